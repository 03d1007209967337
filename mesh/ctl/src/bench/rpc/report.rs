//! What was measured, and whether that is good enough.

use std::fmt;

use serde::Serialize;

use super::{Layer, Telemetry, load::Round};
use crate::bench::growth::median;
use crate::demo::rounded;

/// The figures of a run, as `--json` prints them.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// One for each number of callers.
    pub rows: Vec<Row>,
    /// What each layer costs by itself.
    pub layers: Vec<Layer>,
    /// The stack without telemetry and with it, if that was measured.
    pub telemetry: Option<Telemetry>,
}

/// Both sides with so many callers.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Callers, each with one call under way.
    pub callers: usize,
    /// tonic alone.
    pub bare: Figures,
    /// The stack.
    pub stack: Figures,
    /// Requests per second, the stack's as a share of tonic's.
    pub throughput: Ratio,
    /// 99th percentile, the stack's as a multiple of tonic's.
    pub p99: Ratio,
}

/// One side: the median of its rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Calls per second.
    pub rps: f64,
    /// Half of the calls took no longer, in microseconds.
    pub p50_us: f64,
    /// Of a hundred calls 99 took no longer, in microseconds.
    pub p99_us: f64,
    /// Allocations per call, of caller and server together; 0 in a program whose allocator does
    /// not count.
    pub allocations: f64,
    /// Calls of all rounds.
    #[serde(skip)]
    pub calls: u64,
}

/// The stack against tonic, round by round. As JSON it is its median.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(into = "f64")]
pub struct Ratio {
    /// The median of the rounds' ratios.
    pub median: f64,
    /// A quarter of them is less.
    pub low: f64,
    /// A quarter of them is more.
    pub high: f64,
}

/// What is asked of what is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// What is compared.
    pub what: &'static str,
    /// What it should be at least, or at most.
    pub bound: f64,
    /// What it is.
    pub value: f64,
    /// Whether that will do.
    pub reached: bool,
}

impl Report {
    /// The targets; none if their number of callers was not measured.
    pub fn targets(&self) -> Option<[Target; 2]> {
        const CALLERS: usize = 64;
        const THROUGHPUT: f64 = 0.9;
        const P99: f64 = 1.25;
        let row = self.rows.iter().find(|row| row.callers == CALLERS)?;
        let (throughput, p99) = (row.throughput.median, row.p99.median);
        Some([
            Target {
                what: "of tonic's throughput with 64 callers, at least",
                bound: THROUGHPUT,
                value: throughput,
                reached: throughput >= THROUGHPUT,
            },
            Target {
                what: "of tonic's p99 with 64 callers, at most",
                bound: P99,
                value: p99,
                reached: p99 <= P99,
            },
        ])
    }
}

impl Row {
    /// Of rounds of tonic and of the stack that followed each other.
    pub(super) fn new(callers: usize, pairs: &[(Round, Round)]) -> Row {
        let (bare, stack): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        let ratio = |of: fn(&Round) -> f64| {
            Ratio::new(pairs.iter().map(|(bare, stack)| of(stack) / of(bare)).collect())
        };
        Row {
            callers,
            bare: Figures::new(&bare),
            stack: Figures::new(&stack),
            throughput: ratio(|round| round.rps),
            p99: ratio(|round| round.p99_us),
        }
    }
}

impl Figures {
    pub(super) fn new(rounds: &[Round]) -> Figures {
        let middle =
            |of: fn(&Round) -> f64| rounded(median(&rounds.iter().map(of).collect::<Vec<_>>()));
        Figures {
            rps: middle(|round| round.rps),
            p50_us: middle(|round| round.p50_us),
            p99_us: middle(|round| round.p99_us),
            allocations: middle(|round| round.allocations),
            calls: rounds.iter().map(|round| round.calls).sum(),
        }
    }
}

impl Ratio {
    pub(in crate::bench) fn new(mut rounds: Vec<f64>) -> Ratio {
        rounds.sort_by(f64::total_cmp);
        let precise = |ratio: f64| (ratio * 1e3).round() / 1e3;
        let quarter = rounds.len() / 4;
        Ratio {
            median: precise(median(&rounds)),
            low: precise(rounds[quarter]),
            high: precise(rounds[rounds.len() - 1 - quarter]),
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2} to {:.2})", self.median, self.low, self.high)
    }
}

impl From<Ratio> for f64 {
    fn from(ratio: Ratio) -> f64 {
        ratio.median
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(rps: f64) -> Round {
        Round { calls: 10, rps, p50_us: 5.0, p99_us: 9.0, allocations: 7.0 }
    }

    #[test]
    fn a_ratio_is_that_of_neighbours_so_that_a_slow_minute_is_both_sides() {
        // The machine halves its speed twice, and the stack is a tenth slower throughout.
        let pairs = [100.0, 200.0, 400.0, 200.0, 100.0].map(|it| (round(it), round(it * 0.9)));

        let row = Row::new(64, &pairs);

        assert_eq!(row.throughput.median, 0.9);
        assert_eq!((row.throughput.low, row.throughput.high), (0.9, 0.9));
        assert_eq!((row.bare.rps, row.stack.rps), (200.0, 180.0));
        assert_eq!((row.bare.calls, row.stack.allocations), (50, 7.0));
    }

    #[test]
    fn targets_are_for_64_callers_and_bounds_are_within_them() {
        let report = |callers| Report {
            rows: vec![Row::new(callers, &[(round(100.0), round(90.0))])],
            layers: Vec::new(),
            telemetry: None,
        };

        let [throughput, p99] = report(64).targets().unwrap();
        assert!(throughput.reached && p99.reached, "{throughput:?} {p99:?}");
        assert_eq!(report(1).targets(), None);
    }
}
