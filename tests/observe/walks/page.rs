//! The walks of docs/OBSERVE.md, as they are written there.

use std::fs;

use mesh_testkit::workspace;

const PAGE: &str = "docs/OBSERVE.md";
/// Behind it a section says what is to be seen once the cause is removed.
const AFTERWARDS: &str = "**Afterwards.**";
const ALERT: &str = "**The alert.** ";

/// From an alert to its cause.
#[derive(Debug)]
pub struct Walk {
    pub alert: Alert,
    pub way: Vec<Step>,
    pub afterwards: Vec<Step>,
}

/// What fires: its name, what it is about, and how severe it is.
#[derive(Debug)]
pub struct Alert {
    pub name: String,
    pub service: String,
    pub severity: String,
}

/// A command, and the lines that it shows.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    pub command: String,
    pub shows: Vec<String>,
}

/// The walk under a heading.
pub fn walk(heading: &str) -> Walk {
    let page = fs::read_to_string(workspace().join(PAGE)).unwrap();
    let start = format!("\n## {heading}\n");
    let section = page.split_once(&start).unwrap_or_else(|| panic!("{PAGE} has no `{heading}`")).1;
    let section = section.split("\n## ").next().unwrap();
    let (way, afterwards) =
        section.split_once(AFTERWARDS).unwrap_or_else(|| panic!("{heading}: no {AFTERWARDS}"));
    let walk = Walk { alert: alert(section), way: steps(way), afterwards: steps(afterwards) };
    assert!(walk.way.len() > 2 && !walk.afterwards.is_empty(), "{walk:#?}");
    walk
}

/// `**The alert.** `CallsFailing` about `catalog`: `page`.`
fn alert(section: &str) -> Alert {
    let line = section.lines().find(|line| line.starts_with(ALERT));
    let line = line.unwrap_or_else(|| panic!("no {ALERT} in\n{section}"));
    let words: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
    let &[name, service, severity] = words.as_slice() else { panic!("{line}") };
    Alert { name: name.to_owned(), service: service.to_owned(), severity: severity.to_owned() }
}

/// What stands between fences, by its lines that begin with a dollar sign.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for fence in text.split("\n```console\n").skip(1) {
        let fence = fence.split("\n```").next().unwrap();
        for line in fence.lines() {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => {
                    steps.push(Step { command: command.to_owned(), shows: Vec::new() });
                }
                (None, Some(step)) => step.shows.push(line.to_owned()),
                (None, None) => panic!("`{line}` is shown by no command"),
            }
        }
    }
    for step in &steps {
        assert!(!step.shows.is_empty(), "`{}` shows nothing", step.command);
    }
    steps
}

#[test]
fn commands_and_what_they_show_are_told_apart() {
    let text = "words\n```console\n$ one\nfirst\n  second\n$ two\nthird\n```\n```\n$ none\n```\n";
    let step = |command: &str, shows: &[&str]| Step {
        command: command.to_owned(),
        shows: shows.iter().map(ToString::to_string).collect(),
    };

    let found = steps(&format!("{text}\n```console\n$ three\nfourth\n```"));

    let expected =
        [step("one", &["first", "  second"]), step("two", &["third"]), step("three", &["fourth"])];
    assert_eq!(found, expected);
}
