//! What the rounds say.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Filled, Round};

/// How much worse a figure may be with a history.
const TOLERANCE: f64 = 0.10;

/// What was measured, and what follows.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether a service is a dev build: rates then say little, ratios more.
    pub dev_build: bool,
    /// The history of the grown side.
    pub filled: Filled,
    /// One per figure.
    pub lines: Vec<Line>,
    /// Whether the auditor found the grown side right; none if it did not look.
    pub audit_clean: Option<bool>,
    /// What the figures do not cover.
    pub restrictions: Vec<&'static str>,
}

/// One figure of both sides.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// What was measured.
    pub what: &'static str,
    /// Of every round, without a history.
    pub empty: Vec<f64>,
    /// Of every round, with one.
    pub grown: Vec<f64>,
    /// Grown to empty, of the medians.
    pub ratio: f64,
    /// What that says.
    pub verdict: Verdict,
}

/// Whether a history costs something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Not more than a tenth.
    Within,
    /// More than a tenth by the medians, but some round of the empty side was as bad.
    Unclear,
    /// More than a tenth, in every round.
    Beyond,
}

/// Compares the rounds of both sides.
pub fn lines(empty: &[Round], grown: &[Round]) -> Vec<Line> {
    let names: BTreeSet<&'static str> = empty.iter().flat_map(|it| it.keys().copied()).collect();
    names.into_iter().map(|what| line(what, values(empty, what), values(grown, what))).collect()
}

fn values(rounds: &[Round], what: &str) -> Vec<f64> {
    rounds.iter().filter_map(|round| round.get(what).copied()).collect()
}

fn line(what: &'static str, empty: Vec<f64>, grown: Vec<f64>) -> Line {
    let ratio = median(&grown) / median(&empty);
    // Rates are better when they are higher, times when they are lower.
    let is_rate = what.contains("/s");
    let worse = if is_rate { 1.0 / ratio - 1.0 } else { ratio - 1.0 };
    let apart = match is_rate {
        true => highest(&grown) < lowest(&empty),
        false => lowest(&grown) > highest(&empty),
    };
    let verdict = match worse <= TOLERANCE {
        true => Verdict::Within,
        false if apart => Verdict::Beyond,
        false => Verdict::Unclear,
    };
    Line { what, empty, grown, ratio, verdict }
}

fn lowest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn highest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// The middle one; of two, their mean.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(what: &'static str, empty: &[f64], grown: &[f64]) -> Verdict {
        line(what, empty.to_vec(), grown.to_vec()).verdict
    }

    #[test]
    fn a_rate_is_worse_when_it_is_lower_and_a_time_when_it_is_higher() {
        assert_eq!(verdict("orders/s", &[100.0], &[95.0]), Verdict::Within);
        assert_eq!(verdict("orders/s", &[100.0], &[150.0]), Verdict::Within);
        assert_eq!(verdict("orders/s", &[100.0], &[50.0]), Verdict::Beyond);
        assert_eq!(verdict("start-up, s", &[1.0], &[0.5]), Verdict::Within);
        assert_eq!(verdict("start-up, s", &[1.0], &[1.5]), Verdict::Beyond);
    }

    #[test]
    fn what_differs_less_than_the_rounds_do_is_unclear() {
        assert_eq!(verdict("p99, ms", &[1.0, 5.0, 2.0], &[3.0, 4.0, 3.0]), Verdict::Unclear);
    }
}
