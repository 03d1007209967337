//! Whoever is woken finds the page: every alert has a section, and every section an alert.

use std::collections::BTreeSet;
use std::fs;

use mesh_testkit::workspace;
use meshctl::generate::observe::{Clock, alerts};

use super::declarations;

const PAGE: &str = "docs/RUNBOOK.md";
/// What a section says.
const PARTS: [&str; 3] = ["**What it means.**", "**How to confirm.**", "**What to do.**"];

#[test]
fn every_alert_has_its_section_and_links_to_it() {
    let page = fs::read_to_string(workspace().join(PAGE)).unwrap();
    let sections: Vec<(&str, &str)> =
        page.split("\n## ").skip(1).map(|section| section.split_once('\n').unwrap()).collect();
    let alerts = alerts(&declarations(), &Clock::REAL).unwrap();
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.name).collect();
    let mut faults = BTreeSet::new();

    for alert in &alerts {
        let anchor = format!("{PAGE}#{}", alert.name.to_lowercase());
        assert_eq!(alert.runbook(), anchor);
        let Some((_, text)) = sections.iter().find(|(name, _)| *name == alert.name) else {
            faults.insert(format!("{PAGE} has no section {}", alert.name));
            continue;
        };
        for part in PARTS.iter().filter(|part| !text.contains(*part)) {
            faults.insert(format!("{} does not say {part}", alert.name));
        }
        if !text.contains("\ncargo mesh ") {
            faults.insert(format!("{} has no command", alert.name));
        }
    }
    for (name, _) in sections.iter().filter(|(name, _)| !names.contains(name)) {
        faults.insert(format!("{PAGE} has a section {name}, and nothing fires under that name"));
    }

    assert!(faults.is_empty(), "{faults:#?}");
    assert!(names.len() > 10, "{names:?}");
}
