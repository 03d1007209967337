//! What repeating may cost: one account of tokens per target, shared by retries and hedges.
//!
//! gRFC A6's throttle. A failure with a code that would be repeated takes a token, a success earns
//! a fraction of one; at half of the tokens nothing is repeated any more, so a target that is down
//! gets the calls that are made and hardly any besides. A re-send below the retry policy and a
//! refusal of this side take nothing: the callee has not worked for them.
//!
//! With the default of 100 tokens and 0.2, random failures of 10 % are repeated as if there were
//! no budget, and a total outage costs some fifty failures until nothing is repeated.
//!
//! ```
//! use mesh_policy::values;
//! use mesh_rpc::budget::Budget;
//!
//! let budget = Budget::new(values::Budget { tokens: 4.0, ratio: 0.5 });
//! budget.failed();
//! assert!(budget.allows());
//! budget.failed();
//! assert!(!budget.allows(), "half is spent");
//! budget.succeeded();
//! assert!(budget.allows());
//! ```
//!
//! Cost: one atomic load per successful call while the account is full, else a compare-and-swap;
//! no lock.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use mesh_policy::values;

/// Thousandths of a token, gRFC A6's precision.
const SCALE: f64 = 1000.0;

/// The account of one target.
#[derive(Debug)]
pub struct Budget {
    tokens: AtomicI64,
    most: AtomicI64,
    ratio: AtomicI64,
}

/// An account as operators see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    /// Tokens left.
    pub tokens: f64,
    /// Tokens of a full account.
    pub most: f64,
    /// Whether a failed call may be repeated now.
    pub allows: bool,
}

impl Budget {
    /// Opens a full account.
    pub fn new(values: values::Budget) -> Self {
        let most = scaled(values.tokens);
        Self {
            tokens: AtomicI64::new(most),
            most: AtomicI64::new(most),
            ratio: AtomicI64::new(scaled(values.ratio)),
        }
    }

    /// Changes size and earnings; the share that is left stays.
    pub fn set(&self, values: values::Budget) {
        let most = scaled(values.tokens);
        let old = self.most.swap(most, Relaxed).max(1);
        self.ratio.store(scaled(values.ratio), Relaxed);
        self.change(|tokens| {
            i64::try_from(i128::from(tokens) * i128::from(most) / i128::from(old)).unwrap_or(most)
        });
    }

    /// Notes an attempt that succeeded.
    pub fn succeeded(&self) {
        // Full is what it is almost always: nothing is written then, and no cache line moves.
        if self.tokens.load(Relaxed) < self.most.load(Relaxed) {
            let ratio = self.ratio.load(Relaxed);
            self.change(|tokens| tokens + ratio);
        }
    }

    /// Notes an attempt that failed with a code that is repeated, or whose callee asked for no
    /// repetition.
    pub fn failed(&self) {
        self.change(|tokens| tokens - scaled(1.0));
    }

    /// Returns whether a failed or slow call may be repeated: more than half is left.
    pub fn allows(&self) -> bool {
        self.tokens.load(Relaxed) > self.most.load(Relaxed) / 2
    }

    /// Returns what is left.
    pub fn state(&self) -> State {
        let unscaled = |value: &AtomicI64| value.load(Relaxed) as f64 / SCALE;
        State { tokens: unscaled(&self.tokens), most: unscaled(&self.most), allows: self.allows() }
    }

    fn change(&self, change: impl Fn(i64) -> i64) {
        let most = self.most.load(Relaxed);
        let _ = self
            .tokens
            .fetch_update(Relaxed, Relaxed, |tokens| Some(change(tokens).clamp(0, most)));
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(values::Budget::default())
    }
}

fn scaled(tokens: f64) -> i64 {
    // A float too large for it becomes the largest integer.
    (tokens.max(0.0) * SCALE).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_never_below_nothing_nor_above_full() {
        let budget = Budget::new(values::Budget { tokens: 2.0, ratio: 0.5 });

        (0..9).for_each(|_| budget.failed());
        assert_eq!(budget.state(), State { tokens: 0.0, most: 2.0, allows: false });

        (0..2).for_each(|_| budget.succeeded());
        assert!(!budget.allows(), "half is not more than half");
        (0..9).for_each(|_| budget.succeeded());
        assert_eq!(budget.state(), State { tokens: 2.0, most: 2.0, allows: true });
    }

    #[test]
    fn no_change_is_lost_between_threads() {
        let budget = Budget::new(values::Budget { tokens: 100_000.0, ratio: 0.25 });
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        budget.failed();
                        budget.succeeded();
                    }
                });
            }
        });

        assert_eq!(budget.state().tokens, 100_000.0 - 4_000.0 * 0.75);
    }

    #[test]
    fn a_change_of_size_keeps_the_share_that_is_left() {
        let budget = Budget::new(values::Budget { tokens: 100.0, ratio: 0.2 });
        (0..40).for_each(|_| budget.failed());

        budget.set(values::Budget { tokens: 10.0, ratio: 0.2 });

        assert_eq!(budget.state(), State { tokens: 6.0, most: 10.0, allows: true });
    }
}
