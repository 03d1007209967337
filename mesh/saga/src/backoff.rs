//! Pauses between repeats of a step.

use std::time::Duration;

/// Pause before the first repeat.
const FIRST: Duration = Duration::from_millis(50);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(2);

/// Pauses that double up to a limit, each varied by ±20 % so that many sagas do not march in step.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The pause before the next repeat.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next.mul_f64(rand::random_range(0.8..1.2));
        self.next = (self.next * 2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        let mut backoff = Backoff::new();
        let pauses: Vec<_> = (0..20).map(|_| backoff.pause()).collect();
        assert!(pauses[0] >= FIRST.mul_f64(0.8) && pauses[0] <= FIRST.mul_f64(1.2));
        assert!(pauses.iter().all(|pause| *pause <= LONGEST.mul_f64(1.2)));
        assert!(pauses[19] >= LONGEST.mul_f64(0.8));
    }
}
