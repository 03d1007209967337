//! What `cargo mesh gen` makes is in the tree, and Prometheus takes it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use mesh_local::Prometheus;
use mesh_testkit::{skipped, workspace};
use meshctl::generate::{self, observe};

use super::declarations;

const RULES: &str = "observe/generated/rules";
const TESTS: &str = "observe/tests";

#[test]
fn the_tree_holds_what_gen_makes() {
    let pages = generate::pages(&declarations()).unwrap();

    let drift = generate::drift(&workspace(), &pages).unwrap();

    assert!(drift.is_empty(), "run `cargo mesh gen`: {drift:#?}");
    assert_eq!(pages, generate::pages(&declarations()).unwrap(), "the same every time");
    assert!(pages.len() > 24, "{} pages", pages.len());
}

/// Grafana in a cluster shows every dashboard that is made.
#[test]
fn a_cluster_is_given_every_dashboard() {
    let listed = fs::read_to_string(workspace().join("observe/kustomization.yaml")).unwrap();

    let dashboards = generate::pages(&declarations()).unwrap().into_iter();
    let is_dashboard = |path: &str| path.starts_with("observe/") && path.ends_with(".json");
    let dashboards: Vec<_> = dashboards.filter(|page| is_dashboard(&page.path)).collect();
    assert!(dashboards.len() > 4);
    for page in dashboards {
        let path = page.path.strip_prefix("observe/").unwrap();
        assert!(listed.contains(&format!("- {path}\n")), "observe/kustomization.yaml: {path}");
    }
}

#[test]
fn rules_do_what_promtool_expects_of_them() {
    let Some(promtool) = Prometheus::find_promtool() else {
        return skipped("promtool", "Debian, Ubuntu: `apt install prometheus`");
    };
    let run = |arguments: &[&str], files: &[String]| {
        let mut command = Command::new(&promtool);
        let output = command.args(arguments).args(files).current_dir(workspace()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "promtool {arguments:?}\n{said}");
    };
    run(&["check", "rules"], &files(RULES));
    run(&["test", "rules"], &files(TESTS));
}

#[test]
fn every_alert_has_a_test_in_which_it_fires() {
    let texts: Vec<String> = files(TESTS)
        .iter()
        .map(|file| fs::read_to_string(workspace().join(file)).unwrap())
        .collect();
    let mut untested = BTreeSet::new();
    for alert in observe::alerts(&declarations(), &observe::Clock::REAL).unwrap() {
        let begin = format!("alertname: {}\n", alert.name);
        let fires = |case: &str| {
            let case = case.split("- eval_time").next().unwrap_or_default();
            case.contains("exp_labels")
        };
        if !texts.iter().any(|text| text.split(&begin).skip(1).any(fires)) {
            untested.insert(alert.name);
        }
    }
    assert!(untested.is_empty(), "{TESTS} has no case in which these fire: {untested:?}");
}

/// The YAML files of a folder, from the root.
fn files(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(workspace().join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<_> = names
        .filter(|name| name.ends_with(".yaml"))
        .map(|name| format!("{folder}/{name}"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} is empty");
    files
}
