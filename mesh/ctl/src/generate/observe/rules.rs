//! Prometheus' rules, as values and as YAML.

use std::fmt::Write as _;

/// The page that every alert links to.
pub(super) const RUNBOOK: &str = "docs/RUNBOOK.md";

/// Rules that are evaluated one after the other.
#[derive(Clone, Debug)]
pub struct Group {
    /// Unique in all files.
    pub name: String,
    /// In order.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug)]
pub enum Rule {
    /// A series that is kept.
    Record {
        /// The series.
        name: String,
        /// What it is.
        expr: String,
        /// Its labels.
        labels: Vec<(&'static str, String)>,
    },
    /// A condition that somebody is told of.
    Alert(Alert),
}

/// A condition that somebody is told of.
#[derive(Clone, Debug)]
pub struct Alert {
    /// The heading of its section in the runbook.
    pub name: &'static str,
    /// What is so while it fires.
    pub expr: String,
    /// For how long that has to be so; at once if not given.
    pub after: Option<String>,
    /// Whether it can wait.
    pub severity: Severity,
    /// What it is about, beside the labels of the expression.
    pub labels: Vec<(&'static str, String)>,
    /// What is wrong, in one line.
    pub summary: String,
}

/// Whether it can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Somebody is woken.
    Page,
    /// Somebody looks at it within a day or so.
    Ticket,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Severity::Page => "page",
            Severity::Ticket => "ticket",
        }
    }
}

impl Rule {
    /// The alert that it is, if it is one.
    pub fn alert(self) -> Option<Alert> {
        match self {
            Rule::Record { .. } => None,
            Rule::Alert(alert) => Some(alert),
        }
    }
}

impl Alert {
    /// Where its section of the runbook begins.
    pub fn runbook(&self) -> String {
        format!("{RUNBOOK}#{}", self.name.to_ascii_lowercase())
    }
}

/// A file of rules that are made from `source`.
pub(super) fn file(source: &str, groups: &[Group]) -> String {
    let mut text =
        format!("# Made by `cargo mesh gen` from {source}: change that, not this.\ngroups:\n");
    for group in groups {
        let _ = writeln!(text, "  - name: {}\n    rules:", group.name);
        for rule in &group.rules {
            one(&mut text, rule);
        }
    }
    text
}

fn one(text: &mut String, rule: &Rule) {
    match rule {
        Rule::Record { name, expr, labels } => {
            let _ = writeln!(text, "      - record: {name}");
            block(text, expr);
            mapping(text, "labels", labels);
        }
        Rule::Alert(alert) => {
            let _ = writeln!(text, "      - alert: {}", alert.name);
            block(text, &alert.expr);
            if let Some(after) = &alert.after {
                let _ = writeln!(text, "        for: {after}");
            }
            let mut labels = vec![("severity", alert.severity.as_str().to_owned())];
            labels.extend(alert.labels.iter().cloned());
            mapping(text, "labels", &labels);
            let annotations = [("summary", alert.summary.clone()), ("runbook", alert.runbook())];
            mapping(text, "annotations", &annotations);
        }
    }
}

fn block(text: &mut String, expr: &str) {
    text.push_str("        expr: |-\n");
    for line in expr.lines() {
        let _ = writeln!(text, "          {line}");
    }
}

fn mapping(text: &mut String, key: &str, values: &[(&str, String)]) {
    let _ = writeln!(text, "        {key}:");
    for (name, value) in values {
        // What JSON quotes, YAML understands.
        let _ = writeln!(text, "          {name}: {}", serde_json::Value::from(value.as_str()));
    }
}
