//! What became of a walk.

use std::fmt;
use std::time::Duration;

use meshctl::rollout::{Broken, Measured};
use serde::Serialize;

/// What became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub service: String,
    pub old: String,
    pub version: String,
    /// Whether the new version has all calls; else the old one has them again.
    pub done: bool,
    /// The last share that the new version had, in percent.
    pub step: u32,
    /// Why it did not go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Which rule, in a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'static str>,
    pub hurt: Hurt,
    pub steps: Vec<Step>,
}

/// What calls to the new version came to, over the whole walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hurt {
    /// All that were made to it and are over.
    pub calls: u64,
    /// Those that failed by its fault.
    pub failed: u64,
    /// Those whose callers would not wait any longer.
    pub given_up: u64,
    /// Those that took longer than they may have, if that is why it did not go on.
    pub slow: u64,
}

impl Hurt {
    pub fn of(new: &Measured, limit: Option<Duration>) -> Hurt {
        let slow = limit.map_or(0, |limit| new.slower_than(limit).saturating_sub(new.given_up));
        Hurt { calls: new.all(), failed: new.failed, given_up: new.given_up, slow }
    }
}

impl fmt::Display for Hurt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hurt { calls, failed, given_up, slow } = self;
        let all = failed + given_up + slow;
        write!(f, "{all} of its {calls} calls: {failed} failed")?;
        if *given_up > 0 {
            write!(f, ", {given_up} were given up by their callers")?;
        }
        if *slow > 0 {
            write!(f, ", {slow} took too long")?;
        }
        Ok(())
    }
}

/// One step that went well.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    pub percent: u32,
    pub calls: u64,
    pub failed: u64,
    /// A bound that 99 of a hundred calls kept, in milliseconds: of the new version, and of the old one.
    pub p99_ms: Option<f64>,
    pub old_p99_ms: Option<f64>,
    pub seconds: f64,
}

impl Step {
    pub fn of(percent: u32, new: &Measured, old: &Measured, took: Duration) -> Step {
        let p99 = |of: &Measured| of.bound_of(0.99).map(|bound| bound.as_secs_f64() * 1000.0);
        Step {
            percent,
            calls: new.all(),
            failed: new.failed,
            p99_ms: p99(new),
            old_p99_ms: p99(old),
            seconds: took.as_secs_f64(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Step { percent, calls, failed, seconds, .. } = self;
        write!(f, "{percent:>4} %  {calls} calls, {failed} failed, ")?;
        let bound = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
        let (new, old) = (bound(self.p99_ms), bound(self.old_p99_ms));
        write!(f, "p99 within {new} (the old one's {old}), {seconds:.0} s")
    }
}

/// Why a new version is not to take over.
#[derive(Debug)]
pub enum Why {
    /// It has broken a rule.
    Broken(Broken),
    /// Too few calls came to judge it.
    TooFew {
        /// So many.
        calls: u64,
        /// Of so many.
        fewest: u64,
        /// Within this time.
        within: Duration,
    },
    /// Somebody wished it.
    Interrupted,
    /// Something else went wrong.
    Failed(anyhow::Error),
}

impl Why {
    pub fn word(&self) -> &'static str {
        match self {
            Why::Broken(Broken::Failing { .. }) => "failing",
            Why::Broken(Broken::Late { .. }) => "late",
            Why::Broken(Broken::Slower { .. }) => "slower",
            Why::TooFew { .. } => "too_few",
            Why::Interrupted => "interrupted",
            Why::Failed(_) => "error",
        }
    }

    pub fn limit(&self) -> Option<Duration> {
        match self {
            Why::Broken(broken) => broken.limit(),
            _ => None,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Broken(broken) => broken.fmt(f),
            Why::TooFew { calls, fewest, within } => {
                let seconds = within.as_secs_f64();
                write!(
                    f,
                    "{calls} calls came in {seconds:.0} s, and {fewest} are needed to judge it"
                )
            }
            Why::Interrupted => f.write_str("it was interrupted"),
            Why::Failed(error) => write!(f, "{error:#}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_hurt_is_said_with_its_kinds() {
        let hurt = |failed, given_up, slow| Hurt { calls: 90, failed, given_up, slow }.to_string();

        assert_eq!(hurt(5, 0, 0), "5 of its 90 calls: 5 failed");
        let all =
            "12 of its 90 calls: 0 failed, 2 were given up by their callers, 10 took too long";
        assert_eq!(hurt(0, 2, 10), all);
    }
}
