//! What a service promises those that use it: `[[objectives]]` of its `mesh.toml`.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use serde::Deserialize;
use toml::Spanned;

/// Of an objective's calls or processes, so many are good.
const TARGETS: Range<f64> = 0.95..1.0;
/// Over so many days: shorter ones forget an outage before somebody has read of it.
const WINDOWS: Range<u32> = 28..91;
const DAY: Duration = Duration::from_secs(86_400);

/// One promise.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// Unique within the service; lower case.
    pub name: String,
    /// What is counted, and what of it is good.
    pub what: Indicator,
    /// The share that is good, at least.
    pub target: f64,
    /// The days over which the share is taken.
    pub days: u32,
    /// Where it stands in the file.
    pub line: usize,
}

/// What is counted, and what of it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Indicator {
    /// Calls that do not fail by the service's fault.
    Availability,
    /// Calls that succeed, and do so within the bound.
    Latency {
        /// The longest that is good.
        bound: Duration,
    },
    /// Sagas that have done a step, and are no older than the bound by then.
    Saga {
        /// The step's name.
        step: String,
        /// The oldest that is good.
        bound: Duration,
    },
}

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    name: Spanned<String>,
    what: What,
    target: Spanned<f64>,
    window: Spanned<String>,
    bound: Option<Spanned<String>>,
    step: Option<Spanned<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Availability,
    Latency,
    Saga,
}

/// Reads the objectives of one file, `text`.
pub(crate) fn read(text: &str, written: Vec<Written>) -> Result<Vec<Objective>> {
    let line = |span: Range<usize>| text[..span.start.min(text.len())].matches('\n').count() + 1;
    let mut objectives: Vec<Objective> = Vec::new();
    for written in written {
        let at = line(written.name.span());
        let objective = one(written, at, &line)?;
        if let Some(other) = objectives.iter().find(|other| other.name == objective.name) {
            let (name, first) = (&objective.name, other.line);
            bail!("line {at}: there is an objective `{name}` already, in line {first}");
        }
        objectives.push(objective);
    }
    Ok(objectives)
}

fn one(written: Written, at: usize, line: &impl Fn(Range<usize>) -> usize) -> Result<Objective> {
    let Written { name, what, target, window, bound, step } = written;
    let name = name.into_inner();
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    ensure!(
        !name.is_empty() && name.chars().all(is_plain),
        "line {at}: an objective's name has lower case letters, digits and _, and `{name}` others"
    );
    ensure!(
        TARGETS.contains(target.get_ref()),
        "line {}: target = {}: a share from {} to below 1 is expected, such as 0.999",
        line(target.span()),
        target.get_ref(),
        TARGETS.start
    );
    let days = duration(window.get_ref()).filter(|it| it.as_secs().is_multiple_of(DAY.as_secs()));
    let days = days.and_then(|it| u32::try_from(it.as_secs() / DAY.as_secs()).ok());
    let days = days.filter(|days| WINDOWS.contains(days)).ok_or_else(|| {
        let (at, found) = (line(window.span()), window.get_ref());
        let most = WINDOWS.end - 1;
        anyhow!(
            "line {at}: window = \"{found}\": {} to {most} days are expected, such as \"30d\"",
            WINDOWS.start
        )
    })?;
    let what = match what {
        What::Availability => {
            if let Some(extra) = bound.as_ref().or(step.as_ref()) {
                let at = line(extra.span());
                bail!(
                    "line {at}: the objective `{name}` is of availability, which has no bound and no step"
                );
            }
            Indicator::Availability
        }
        What::Latency => {
            if let Some(step) = step {
                let at = line(step.span());
                bail!("line {at}: the objective `{name}` is of latency, which has no step");
            }
            Indicator::Latency { bound: bounded(bound, &name, at, line)? }
        }
        What::Saga => {
            let step = step.ok_or_else(|| {
                anyhow!("line {at}: the objective `{name}` lacks the step whose age it bounds, such as step = \"capture\"")
            })?;
            Indicator::Saga { step: step.into_inner(), bound: bounded(bound, &name, at, line)? }
        }
    };
    Ok(Objective { name, what, target: target.into_inner(), days, line: at })
}

fn bounded(
    bound: Option<Spanned<String>>,
    name: &str,
    at: usize,
    line: &impl Fn(Range<usize>) -> usize,
) -> Result<Duration> {
    let Some(bound) = bound else {
        bail!("line {at}: the objective `{name}` lacks a bound, such as bound = \"250ms\"");
    };
    duration(bound.get_ref()).ok_or_else(|| {
        let (at, found) = (line(bound.span()), bound.get_ref());
        anyhow!("line {at}: bound = \"{found}\": a time is expected, such as \"250ms\" or \"5s\"")
    })
}

/// Reads `250ms`, `5s`, `2m`, `6h`, `30d`.
fn duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(split);
    let number: u32 = number.parse().ok().filter(|number| *number > 0)?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        "d" => DAY,
        _ => return None,
    };
    unit.checked_mul(number)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Indicator;
    use crate::Declaration;

    const HEAD: &str = "service = \"a\"\ncontract = \"a.v1\"\n\n[[objectives]]\n";
    const CALLS: &str =
        "name = \"calls\"\nwhat = \"availability\"\ntarget = 0.999\nwindow = \"30d\"\n";

    #[test]
    fn objectives_are_read_with_their_lines() {
        let text = format!(
            "{HEAD}{CALLS}\n[[objectives]]\nname = \"fast\"\nwhat = \"latency\"\ntarget = 0.99\n\
             window = \"28d\"\nbound = \"250ms\"\n\n[[objectives]]\nname = \"orders\"\nwhat = \"saga\"\n\
             step = \"pay\"\ntarget = 0.99\nwindow = \"30d\"\nbound = \"5s\"\n"
        );

        let objectives = Declaration::parse(&text).unwrap().objectives;

        let [calls, fast, orders] = &objectives[..] else { panic!("{objectives:?}") };
        assert_eq!((calls.line, calls.days, calls.target), (5, 30, 0.999));
        assert_eq!(calls.what, Indicator::Availability);
        assert_eq!((fast.line, fast.days), (11, 28));
        assert_eq!(fast.what, Indicator::Latency { bound: Duration::from_millis(250) });
        let (step, bound) = ("pay".to_owned(), Duration::from_secs(5));
        assert_eq!(orders.what, Indicator::Saga { step, bound });
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_what_was_expected() {
        let with = |line: &str, instead: &str| format!("{HEAD}{}", CALLS.replace(line, instead));
        let more = |lines: &str| format!("{HEAD}{CALLS}{lines}");
        for (text, place, expected) in [
            (with("0.999", "99.9"), "line 7", "a share from 0.95 to below 1"),
            (with("0.999", "\"most\""), "line 7", "expected f64"),
            (with("30d", "1h"), "line 8", "28 to 90 days are expected, such as \"30d\""),
            (with("30d", "4 weeks"), "line 8", "28 to 90 days are expected"),
            (
                with("availability", "luck"),
                "line 6",
                "expected one of `availability`, `latency`, `saga`",
            ),
            (with("availability", "latency"), "line 5", "lacks a bound, such as bound = \"250ms\""),
            (with("availability", "saga"), "line 5", "lacks the step"),
            (with("\"calls\"", "\"All Calls\""), "line 5", "lower case letters"),
            (with("window = \"30d\"\n", ""), "line 4", "missing field `window`"),
            (more("bound = \"1s\"\n"), "line 9", "has no bound"),
            (more("budget = 1\n"), "line 9", "unknown field `budget`, expected one of"),
            (more(&format!("\n[[objectives]]\n{CALLS}")), "line 11", "already, in line 5"),
            (format!("owner = \"me\"\n{HEAD}{CALLS}"), "line 1", "unknown field `owner`"),
        ] {
            let error = Declaration::parse(&text).unwrap_err();
            let said = format!("{error:#}");
            assert!(said.contains(place) && said.contains(expected), "{said}\nfor\n{text}");
        }
    }
}
