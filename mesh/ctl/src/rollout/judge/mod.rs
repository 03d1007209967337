//! Whether a new version may go on taking calls.
//!
//! Three rules, each about a share of calls that may be bad, and each held against how many of the new
//! version's calls were. A share is known from few calls only roughly, so a rule counts as broken when
//! at least [`FEWEST`] calls were bad and so many would have been in fewer than one of a thousand cases
//! ([`DOUBT`]) if the version kept the rule: the tail of a binomial distribution, computed as it is. So
//! 3 failures of 100 calls break a promise of 99.9 %, one does not; what one step is too short to show, a
//! later one does, with more calls.
//!
//! 1. **It fails.** Bad is a call that failed by its fault. As many may be as the service's objective of
//!    availability leaves, or as many as of the old version's in the same time if those are more: what a
//!    neighbour does to both is held against neither.
//! 2. **It is late.** Bad is a call beyond the bound of the service's objective of latency; likewise.
//! 3. **It is slower.** Bad is a call beyond the limit: so many times the old version's p99 of the same
//!    time, rounded up to a bound that the histogram has, and at least [`NOTICED`]. One of a hundred may
//!    be, else its p99 is beyond the limit.
//!
//! Failures count at once. How long calls take counts when there are as many as a step needs, and not of
//! the first so many of the walk: they warm a new process up, and are its slowest.

use std::fmt;
use std::time::Duration;

use super::Measured;

/// Fewer bad calls are nobody's pattern.
const FEWEST: u64 = 3;
/// A version that keeps a rule is taken for one that breaks it so often.
const DOUBT: f64 = 0.001;
/// The share of the slowest that p99 leaves aside.
const SLOWEST: f64 = 0.01;
/// Nobody waits for less.
const NOTICED: Duration = Duration::from_millis(5);

/// What a version is held to.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Of its calls, the share that may fail.
    pub failing: f64,
    /// The longest that calls may take, and the share that may take longer; none if nothing is promised.
    pub late: Option<(Duration, f64)>,
    /// How many times the old version's p99 its own may be.
    pub slower: f64,
    /// From so many calls on, how long they took says something.
    pub fewest: u64,
}

/// A rule that a version has broken.
#[derive(Clone, Debug, PartialEq)]
pub enum Broken {
    /// Too many calls failed.
    Failing {
        /// So many.
        bad: u64,
        /// Of so many.
        of: u64,
        /// The share that may fail.
        allowed: f64,
    },
    /// Too many took longer than was promised.
    Late {
        /// So many.
        bad: u64,
        /// Of so many.
        of: u64,
        /// The share that may.
        allowed: f64,
        /// What was promised.
        bound: Duration,
    },
    /// Its p99 is too far beyond the old version's.
    Slower {
        /// So many calls are beyond the limit.
        bad: u64,
        /// Of so many.
        of: u64,
        /// The limit.
        limit: Duration,
        /// The bound that the old version's p99 keeps.
        old: Duration,
    },
}

/// Which rule the new version has broken, if one; `old` is the other one's calls to compare with.
pub fn judge(rules: &Rules, new: &Measured, old: &Measured) -> Option<Broken> {
    failing(rules, new, old).or_else(|| late(rules, new, old)).or_else(|| slower(rules, new, old))
}

impl Broken {
    /// How many calls took longer than they may have by this rule; none if it is about failures.
    pub fn limit(&self) -> Option<Duration> {
        match self {
            Broken::Failing { .. } => None,
            Broken::Late { bound: limit, .. } | Broken::Slower { limit, .. } => Some(*limit),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| {
            let text = format!("{:.3}", share * 100.0);
            format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
        };
        match self {
            Broken::Failing { bad, of, allowed } => {
                write!(f, "{bad} of {of} calls failed, and {} may", percent(*allowed))
            }
            Broken::Late { bad, of, allowed, bound } => {
                let allowed = percent(*allowed);
                write!(f, "{bad} of {of} calls took longer than {bound:?}, and {allowed} may")
            }
            Broken::Slower { bad, of, limit, old } => {
                let allowed = percent(SLOWEST);
                write!(
                    f,
                    "{bad} of {of} calls took longer than {limit:?}, and {allowed} may: the old \
                     version's p99 is within {old:?}"
                )
            }
        }
    }
}

fn failing(rules: &Rules, new: &Measured, old: &Measured) -> Option<Broken> {
    let allowed = rules.failing.max(share(old.failed, old.calls));
    let (bad, of) = (new.failed, new.calls);
    is_more(bad, of, allowed).then_some(Broken::Failing { bad, of, allowed })
}

fn late(rules: &Rules, new: &Measured, old: &Measured) -> Option<Broken> {
    let (bound, promised) = rules.late.filter(|_| new.timed() >= rules.fewest)?;
    let allowed = promised.max(share(old.slower_than(bound), old.timed()));
    let (bad, of) = (new.slower_than(bound), new.timed());
    is_more(bad, of, allowed).then_some(Broken::Late { bad, of, allowed, bound })
}

fn slower(rules: &Rules, new: &Measured, old: &Measured) -> Option<Broken> {
    if new.timed() < rules.fewest || old.timed() < rules.fewest {
        return None;
    }
    let p99 = old.bound_of(1.0 - SLOWEST)?;
    let limit = old.times.bound_from(p99.mul_f64(rules.slower).max(NOTICED))?;
    let (bad, of) = (new.slower_than(limit), new.timed());
    is_more(bad, of, SLOWEST).then_some(Broken::Slower { bad, of, limit, old: p99 })
}

fn share(bad: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { bad as f64 / of as f64 }
}

/// Whether `bad` of so many is more than this share can explain.
fn is_more(bad: u64, of: u64, share: f64) -> bool {
    bad >= FEWEST && tail(bad, of, share) < DOUBT
}

/// How likely at least `least` of `of` are bad if each is with this probability.
fn tail(least: u64, of: u64, probability: f64) -> f64 {
    if least == 0 || probability >= 1.0 {
        return 1.0;
    }
    if probability <= 0.0 || least > of {
        return 0.0;
    }
    let odds = (probability / (1.0 - probability)).ln();
    // Of exactly none, exactly one, …; in logarithms, since of many calls none is next to impossible.
    let mut exactly = of as f64 * (1.0 - probability).ln();
    let mut fewer = 0.0;
    for count in 0..least {
        fewer += exactly.exp();
        exactly += ((of - count) as f64 / (count + 1) as f64).ln() + odds;
    }
    (1.0 - fewer).max(0.0)
}

#[cfg(test)]
mod tests;
