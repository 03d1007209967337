//! What an operator's Prometheus and Grafana need: recording rules, alerts and dashboards.

mod clock;
mod dashboards;
mod objectives;
mod platform;
mod rules;

use anyhow::Result;
use mesh_local::Declaration;

pub use clock::Clock;
pub use dashboards::{Dashboard, Panel, Target, dashboards};
pub use objectives::FAULTS;
pub use rules::{Alert, Group, Rule, Severity};

use super::Page;

/// Where these pages lie.
pub const FOLDER: &str = "observe/generated";

/// The rules and dashboards of these services.
pub(super) fn pages(declarations: &[Declaration]) -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    for (file, text) in rule_files(declarations, &Clock::REAL)? {
        pages.push(Page { path: format!("{FOLDER}/rules/{file}"), text });
    }
    for dashboard in dashboards() {
        let text = format!("{}\n", serde_json::to_string_pretty(&dashboard)?);
        pages.push(Page { path: format!("{FOLDER}/dashboards/{}.json", dashboard.uid), text });
    }
    Ok(pages)
}

/// Files of rules, by name, with windows as `clock` has them.
pub fn rule_files(declarations: &[Declaration], clock: &Clock) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for declaration in declarations.iter().filter(|it| !it.objectives.is_empty()) {
        let groups = objectives::groups(declaration, clock)?;
        let source = format!("services/{}/mesh.toml", declaration.service);
        files.push((format!("{}.yaml", declaration.service), rules::file(&source, &groups)));
    }
    files.sort();
    let source = "mesh/ctl/src/generate/observe/platform.rs";
    files.push(("platform.yaml".to_owned(), rules::file(source, &platform::groups(clock))));
    Ok(files)
}

/// Every alert of these services, with windows as `clock` has them.
pub fn alerts(declarations: &[Declaration], clock: &Clock) -> Result<Vec<Alert>> {
    let mut groups = platform::groups(clock);
    for declaration in declarations {
        groups.extend(objectives::groups(declaration, clock)?);
    }
    let rules = groups.into_iter().flat_map(|group| group.rules);
    Ok(rules.filter_map(Rule::alert).collect())
}
