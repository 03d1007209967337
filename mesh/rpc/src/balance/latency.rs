//! How long this target's answers take: decides whether a deadline was one it could have met.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Four buckets for each power of two of microseconds, up to more than an hour.
const BUCKETS: usize = 128;
const WINDOW_MS: u32 = 30_000;
const MIN_SAMPLES: u32 = 100;

/// A histogram of the answers of the last 30 to 60 seconds. Recording costs two additions.
#[derive(Debug)]
pub(super) struct Latencies {
    windows: [[AtomicU32; BUCKETS]; 2],
    /// The number of the current window.
    current: AtomicU32,
}

impl Default for Latencies {
    fn default() -> Self {
        let window = || std::array::from_fn(|_| AtomicU32::new(0));
        Self { windows: [window(), window()], current: AtomicU32::new(0) }
    }
}

impl Latencies {
    pub(super) fn record(&self, elapsed: Duration, now: u32) {
        let window = &self.windows[self.window(now)];
        window[bucket(elapsed)].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns what 99 of 100 answers took at most, within a fifth; none if too few are known.
    pub(super) fn p99(&self, now: u32) -> Option<Duration> {
        self.window(now);
        let [first, second] = &self.windows;
        let counts = first.iter().zip(second);
        let counts = counts.map(|(a, b)| a.load(Ordering::Relaxed) + b.load(Ordering::Relaxed));
        let total: u32 = counts.clone().sum();
        if total < MIN_SAMPLES {
            return None;
        }
        let mut above = total;
        let index = counts.take_while(|count| {
            above = above.saturating_sub(*count);
            above > total / 100
        });
        Some(upper(index.count()))
    }

    /// The current window's index; the first to see a new one empties it.
    fn window(&self, now: u32) -> usize {
        let (number, known) = (now / WINDOW_MS, self.current.load(Ordering::Relaxed));
        let index = number as usize % 2;
        // Not for one who read the clock just before somebody else went on.
        if number != known && number.wrapping_add(1) != known {
            let orders = (Ordering::Relaxed, Ordering::Relaxed);
            let exchange = self.current.compare_exchange(known, number, orders.0, orders.1);
            if exchange.is_ok() {
                let both = number != known.wrapping_add(1);
                let clear = |window: &[AtomicU32]| {
                    window.iter().for_each(|count| count.store(0, Ordering::Relaxed));
                };
                clear(&self.windows[index]);
                if both {
                    clear(&self.windows[1 - index]);
                }
            }
        }
        index
    }
}

fn bucket(elapsed: Duration) -> usize {
    let micros = u32::try_from(elapsed.as_micros()).unwrap_or(u32::MAX).max(4);
    let exponent = micros.ilog2();
    let quarter = micros >> (exponent - 2) & 3;
    (exponent * 4 + quarter) as usize
}

/// The least time that is too long for a bucket.
fn upper(bucket: usize) -> Duration {
    let (exponent, quarter) = (bucket / 4, bucket as u64 % 4);
    Duration::from_micros((5 + quarter) << exponent >> 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_percentile_is_within_a_fifth_and_forgets() {
        let latencies = Latencies::default();
        (1..100).for_each(|n| latencies.record(Duration::from_millis(n), 0));
        assert_eq!(latencies.p99(0), None, "too few");

        (1..=900).for_each(|n| latencies.record(Duration::from_micros(n * 111), 0));
        let p99 = latencies.p99(0).unwrap();

        assert!((98..120).contains(&p99.as_millis()), "{p99:?}");
        assert!(latencies.p99(WINDOW_MS).is_some(), "the window before counts");
        assert_eq!(latencies.p99(2 * WINDOW_MS), None, "older ones do not");
    }
}
