//! What is listed is what a replay of the log says, up to where the list has come. Both were read at
//! one moment, so this holds for what is in motion, too.

use std::time::Duration;

use super::super::facts::{Facts, ViewRow};
use super::super::{Check, InMotion, Options};
use super::{amount, order_name};

/// How far a list may be behind, however impatient the auditor: it follows by itself.
const LAG: Duration = Duration::from_secs(5);

pub fn check(facts: &Facts, options: &Options, moving: &mut Vec<InMotion>) -> Check {
    let mut check = Check::new("views", "listed orders");
    let view = &facts.view;
    check.checked = view.rows.len();
    for (id, replayed) in &view.replayed {
        match (view.rows.get(id), replayed) {
            (_, Err(fault)) => check.find(|| order_name(*id), || fault.clone()),
            (None, Ok(_)) => check.find(|| order_name(*id), || "is not listed".to_owned()),
            (Some(row), Ok(replayed)) if row != replayed => {
                let problem =
                    || format!("is listed as {}; its events say {}", told(row), told(replayed));
                check.find(|| order_name(*id), problem);
            }
            (Some(_), Ok(_)) => {}
        }
    }
    for id in view.rows.keys().filter(|id| !view.replayed.contains_key(id)) {
        check.find(|| order_name(*id), || "is listed, and has no event in the log".to_owned());
    }
    behind(facts, options, moving, &mut check);
    check.figures = format!("{} replayed", view.replayed.len());
    check
}

fn behind(facts: &Facts, options: &Options, moving: &mut Vec<InMotion>, check: &mut Check) {
    let (rows, age) = facts.view.behind;
    let name = || "the list of orders".to_owned();
    if age > options.grace.max(LAG) {
        let age = age.as_secs();
        check.find(name, || format!("{rows} rows of the log are not in it, for {age} s"));
    } else if rows > 0 {
        moving.push(InMotion {
            what: name(),
            state: format!("{rows} rows behind the log"),
            age_seconds: age.as_secs_f64(),
            parked: false,
        });
    }
}

fn told(row: &ViewRow) -> String {
    let ViewRow { state, currency, total, line_count, version } = row;
    format!("{state}, {line_count} lines, {}, version {version}", amount(*total, currency))
}
