//! When a source is asked again.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::Settings;

/// Draws the pauses between look-ups.
#[derive(Debug)]
pub(super) struct Schedule {
    settings: Settings,
    rng: StdRng,
}

/// What a look-up gave, as far as the next one depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// An answer that may be kept for this long, positive or negative.
    Answer {
        /// None, if the answer does not say.
        ttl: Option<Duration>,
    },
    /// No answer, for the nth time in a row.
    Failure {
        /// At least 1.
        in_a_row: u32,
        /// Whether there are addresses to serve meanwhile.
        served: bool,
    },
}

impl Schedule {
    pub(super) fn new(settings: Settings) -> Self {
        let rng = settings.seed.map_or_else(StdRng::from_os_rng, StdRng::seed_from_u64);
        Self { settings, rng }
    }

    /// The pause until the next look-up.
    pub(super) fn after(&mut self, outcome: Outcome) -> Duration {
        let Settings { min_ttl, max_ttl, spread, gap, .. } = self.settings;
        let pause = match outcome {
            Outcome::Answer { ttl } => ttl.unwrap_or(min_ttl).clamp(min_ttl, max_ttl.max(min_ttl)),
            Outcome::Failure { served: true, .. } => min_ttl,
            // Callers are waiting.
            Outcome::Failure { in_a_row, served: false } => {
                gap.saturating_mul(1 << in_a_row.saturating_sub(1).min(16)).min(min_ttl)
            }
        };
        let spread = spread.clamp(0.0, 1.0);
        pause.mul_f64(self.rng.random_range(1.0 - spread..=1.0 + spread)).max(gap)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(seed: u64) -> Schedule {
        Schedule::new(Settings { seed: Some(seed), ..Settings::default() })
    }

    fn answer(seconds: u64) -> Outcome {
        Outcome::Answer { ttl: Some(Duration::from_secs(seconds)) }
    }

    proptest! {
        #[test]
        fn an_answer_is_kept_for_its_ttl_within_bounds(seed: u64, ttl in 0_u64..100_000) {
            let pause = schedule(seed).after(answer(ttl)).as_secs_f64();

            let bounded = ttl.clamp(5, 30) as f64;
            prop_assert!((bounded * 0.9..=bounded * 1.1).contains(&pause), "{ttl}: {pause}");
        }
    }

    #[test]
    fn pauses_are_spread_so_that_clients_do_not_ask_together() {
        let pauses: Vec<_> =
            (0..1000).map(|seed| schedule(seed).after(answer(10)).as_secs_f64()).collect();

        let share = |from: f64, to: f64| {
            pauses.iter().filter(|pause| (from..to).contains(*pause)).count() as f64 / 1000.0
        };
        for from in [9.0, 9.5, 10.0, 10.5] {
            assert!((0.2..0.3).contains(&share(from, from + 0.5)), "{from}");
        }
    }

    #[test]
    fn an_answer_that_does_not_say_how_long_is_kept_for_the_shortest_time() {
        let pause = schedule(1).after(Outcome::Answer { ttl: None });

        assert!((4.5..=5.5).contains(&pause.as_secs_f64()));
    }

    #[test]
    fn a_failure_is_hurried_only_while_nobody_can_be_served() {
        let pause = |in_a_row, served| {
            schedule(7).after(Outcome::Failure { in_a_row, served }).as_secs_f64()
        };

        assert!((4.5..=5.5).contains(&pause(1, true)));
        assert!((1.0..=1.1).contains(&pause(1, false)));
        assert!((1.8..=2.2).contains(&pause(2, false)));
        assert!((3.6..=4.4).contains(&pause(3, false)));
        assert!((4.5..=5.5).contains(&pause(4, false)));
        assert!((4.5..=5.5).contains(&pause(u32::MAX, false)));
    }

    #[test]
    fn no_pause_is_shorter_than_the_gap() {
        let settings = Settings { min_ttl: Duration::ZERO, seed: Some(3), ..Settings::default() };

        let pause = Schedule::new(settings).after(answer(0));

        assert_eq!(pause, settings.gap);
    }
}
