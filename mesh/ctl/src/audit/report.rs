//! What an audit found.

use std::fmt;

use serde::Serialize;

/// How many rows that break a rule are kept; the rest is counted.
const SHOWN: usize = 20;

/// The outcome of an audit.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// True if no rule is broken.
    pub clean: bool,
    /// Every rule, with figures.
    pub checks: Vec<Check>,
    /// What was not at rest while it was read.
    pub in_motion: Vec<InMotion>,
}

/// One rule.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// How many things it was applied to.
    pub checked: usize,
    /// What these things are.
    pub unit: &'static str,
    /// The figures that came out.
    pub figures: String,
    /// How many break it.
    pub found: usize,
    /// The first of them.
    pub findings: Vec<Finding>,
}

/// Something that breaks a rule.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What it is.
    pub row: String,
    /// How it breaks the rule.
    pub problem: String,
}

/// Something that was not at rest.
#[derive(Clone, Debug, Serialize)]
pub struct InMotion {
    /// What it is.
    pub what: String,
    /// How far it has come.
    pub state: String,
    /// For how long.
    pub age_seconds: f64,
    /// It waits for an operator, and nothing but an operator will move it.
    pub parked: bool,
}

impl Report {
    pub(super) fn new(checks: Vec<Check>, mut in_motion: Vec<InMotion>) -> Report {
        in_motion.sort_by(|a, b| b.age_seconds.total_cmp(&a.age_seconds));
        Report { clean: checks.iter().all(|check| check.found == 0), checks, in_motion }
    }

    /// True if nothing moves by itself any more.
    pub fn is_quiet(&self) -> bool {
        self.in_motion.iter().all(|it| it.parked)
    }

    /// The names of the rules that are broken.
    pub fn broken(&self) -> Vec<&'static str> {
        self.checks.iter().filter(|check| check.found > 0).map(|check| check.name).collect()
    }
}

impl Check {
    pub(super) fn new(name: &'static str, unit: &'static str) -> Check {
        Check { name, checked: 0, unit, figures: String::new(), found: 0, findings: Vec::new() }
    }

    pub(super) fn find(&mut self, row: impl FnOnce() -> String, problem: impl FnOnce() -> String) {
        self.found += 1;
        if self.findings.len() < SHOWN {
            self.findings.push(Finding { row: row(), problem: problem() });
        }
    }
}

/// One line per broken rule, one per row that breaks it, one per thing in motion.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in self.checks.iter().filter(|check| check.found > 0) {
            writeln!(f, "{}: {} of {} {}", check.name, check.found, check.checked, check.unit)?;
            for Finding { row, problem } in &check.findings {
                writeln!(f, "  {row}: {problem}")?;
            }
        }
        for InMotion { what, state, age_seconds, .. } in self.in_motion.iter().take(SHOWN) {
            writeln!(f, "in motion for {age_seconds:.1} s: {what}, {state}")?;
        }
        Ok(())
    }
}
