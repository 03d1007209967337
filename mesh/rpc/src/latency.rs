//! How long successful attempts of one method took lately: what hedges and hopeless pauses are
//! judged by.
//!
//! Two windows of 30 s, the older forgotten whole when the newer is full, so that what is known is
//! half a minute to a minute old. Durations are counted in buckets an eighth of a power of two
//! wide: a quantile is right to 12 %, and is rounded up.
//!
//! Cost: three relaxed atomic operations per success; a quantile reads some 400 counters and is kept for
//! 100 ms. 2 KiB per method; no lock.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(30);
/// How long a computed pause serves.
const FRESH: Duration = Duration::from_millis(100);
/// Buckets per power of two.
const STEPS: u32 = 8;
/// Up to 2^28 µs, four minutes.
const BUCKETS: usize = (STEPS * 26) as usize;

/// The durations of one method's successful attempts.
#[derive(Debug)]
pub struct Latency {
    start: Instant,
    windows: [Window; 2],
    kept: Kept,
}

#[derive(Debug)]
struct Window {
    /// Which half minute since the start it counts, plus one; 0 for none.
    turn: AtomicU64,
    counts: Box<[AtomicU32]>,
}

/// The last quantile computed, so that not every call computes one.
#[derive(Debug, Default)]
struct Kept {
    /// Milliseconds since the start at which it is computed again.
    until: AtomicU64,
    /// In microseconds plus one; 0 for none.
    value: AtomicU64,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            windows: [Window::new(), Window::new()],
            kept: Kept::default(),
        }
    }
}

impl Latency {
    /// Notes a successful attempt. Losers of a hedge and failures are none: they would tell of
    /// answers that nobody got.
    pub fn record(&self, took: Duration) {
        let turn = self.turn();
        let window = &self.windows[(turn % 2) as usize];
        if window.turn.load(Relaxed) != turn && window.turn.swap(turn, Relaxed) != turn {
            // What others count meanwhile is lost with the rest; it is a few of many.
            window.counts.iter().for_each(|count| count.store(0, Relaxed));
        }
        window.counts[bucket(took)].fetch_add(1, Relaxed);
    }

    /// Returns the time within which the share `quantile` of the attempts succeeded; none if fewer
    /// than `least` are known.
    pub fn quantile(&self, quantile: f64, least: usize) -> Option<Duration> {
        let turn = self.turn();
        let current = || self.windows.iter().filter(|window| window.turn.load(Relaxed) + 1 >= turn);
        let count = |index: usize| -> u64 {
            current().map(|window| u64::from(window.counts[index].load(Relaxed))).sum()
        };
        let total: u64 = (0..BUCKETS).map(count).sum();
        if total == 0 || total < least as u64 {
            return None;
        }
        let rank = ((total as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        (0..BUCKETS)
            .find(|index| {
                seen += count(*index);
                seen >= rank
            })
            .map(upper)
    }

    /// As [`quantile`](Self::quantile), for a caller that always asks for the same: computed at most
    /// every 100 ms.
    pub fn kept_quantile(&self, quantile: f64, least: usize) -> Option<Duration> {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        if self.kept.until.load(Relaxed) <= now {
            let value = self.quantile(quantile, least);
            let micros = value.map_or(0, |value| value.as_micros() as u64 + 1);
            self.kept.value.store(micros, Relaxed);
            self.kept.until.store(now + FRESH.as_millis() as u64, Relaxed);
        }
        let micros = self.kept.value.load(Relaxed).checked_sub(1)?;
        Some(Duration::from_micros(micros))
    }

    fn turn(&self) -> u64 {
        self.start.elapsed().as_secs() / WINDOW.as_secs() + 1
    }
}

impl Window {
    fn new() -> Self {
        Self {
            turn: AtomicU64::new(0),
            counts: std::iter::repeat_with(AtomicU32::default).take(BUCKETS).collect(),
        }
    }
}

/// The first eight buckets are a microsecond wide; then each power of two has eight.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let power = micros.ilog2();
    let steps = if power < 3 {
        micros as usize
    } else {
        let step = (micros >> (power - 3)) & 7;
        ((power - 2) * STEPS) as usize + step as usize
    };
    steps.min(BUCKETS - 1)
}

/// The largest duration that is counted in the bucket.
fn upper(bucket: usize) -> Duration {
    let (octave, step) = (bucket as u32 / STEPS, bucket as u64 % u64::from(STEPS));
    let micros = if octave == 0 { step } else { ((8 + step + 1) << (octave - 1)) - 1 };
    Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[test]
    fn a_bucket_holds_what_is_at_most_an_eighth_shorter_than_its_bound() {
        for micros in (1..5000).chain((0..26).map(|power| (1 << power) + 1)) {
            let took = Duration::from_micros(micros);
            let bound = upper(bucket(took));
            assert!(bound >= took, "{took:?} in {bound:?}");
            assert!(bound.as_micros() as f64 <= micros as f64 * 1.125 + 1.0, "{took:?} {bound:?}");
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quantile_is_that_of_the_last_minute_and_of_enough_attempts() {
        let latency = Latency::default();
        (1..=99).for_each(|millis| latency.record(Duration::from_millis(millis)));
        assert_eq!(latency.quantile(0.95, 100), None, "one too few");
        latency.record(Duration::from_millis(100));

        let p95 = latency.quantile(0.95, 100).unwrap().as_secs_f64();
        assert!((0.095..0.107).contains(&p95), "{p95}");
        let p50 = latency.quantile(0.5, 0).unwrap().as_secs_f64();
        assert!((0.050..0.057).contains(&p50), "{p50}");

        advance(Duration::from_secs(31)).await;
        latency.record(Duration::from_millis(1));
        assert!(latency.quantile(0.5, 100).is_some(), "the older window counts");
        advance(Duration::from_secs(31)).await;
        latency.record(Duration::from_millis(1));
        assert_eq!(latency.quantile(0.5, 3), None, "it is forgotten");
        advance(Duration::from_secs(90)).await;
        assert_eq!(latency.quantile(0.5, 0), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_kept_quantile_is_a_tenth_of_a_second_old_at_most() {
        let latency = Latency::default();
        assert_eq!(latency.kept_quantile(0.5, 1), None);
        latency.record(Duration::from_millis(8));
        assert_eq!(latency.kept_quantile(0.5, 1), None, "known for a while");

        advance(FRESH).await;
        assert!(latency.kept_quantile(0.5, 1).is_some());
    }
}
