//! The round trip of an endpoint: worse at once, better slowly (peak EWMA, as in Finagle).

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A moving average of round trips that jumps up to every peak.
///
/// Microseconds as `f32` above, the time of the last observation in wrapping milliseconds below:
/// one word, so that reading costs a load and an exponential, and observing one exchange.
#[derive(Debug, Default)]
pub(super) struct PeakEwma(AtomicU64);

impl PeakEwma {
    /// Takes in that a round trip took `rtt`, at `now` milliseconds.
    pub(super) fn observe(&self, rtt: Duration, now: u32, decay: Duration) {
        let rtt = micros(rtt);
        let update = |word| {
            let Some((average, at)) = unpack(word) else { return Some(pack(rtt, now)) };
            let average = average * remaining(at, now, decay) + rtt * lost(at, now, decay);
            Some(pack(average.max(rtt), now))
        };
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    /// Returns the estimate in microseconds; it falls while nothing is observed. `default` stands
    /// in until anything is.
    pub(super) fn estimate(&self, now: u32, decay: Duration, default: Duration) -> f32 {
        match unpack(self.0.load(Ordering::Relaxed)) {
            Some((average, at)) => average * remaining(at, now, decay),
            None => micros(default),
        }
    }

    /// Forgets everything.
    pub(super) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// The share of an old value that still counts.
fn remaining(at: u32, now: u32, decay: Duration) -> f32 {
    1.0 - lost(at, now, decay)
}

fn lost(at: u32, now: u32, decay: Duration) -> f32 {
    // Threads read the clock in no order: what is from the future is new.
    match now.wrapping_sub(at) {
        0 | 0x8000_0000.. => 0.0,
        age => -(-(age as f32 / 1000.0) / decay.as_secs_f32()).exp_m1(),
    }
}

fn micros(duration: Duration) -> f32 {
    (duration.as_secs_f32() * 1e6).max(1.0)
}

fn pack(average: f32, at: u32) -> u64 {
    u64::from(average.to_bits()) << 32 | u64::from(at)
}

fn unpack(word: u64) -> Option<(f32, u32)> {
    let average = f32::from_bits((word >> 32) as u32);
    (word != 0).then_some((average, word as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECAY: Duration = Duration::from_secs(10);
    const DEFAULT: Duration = Duration::from_millis(30);

    fn close(left: f32, right: f32) -> bool {
        (left / right - 1.0).abs() < 0.01
    }

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let ewma = PeakEwma::default();
        assert!(close(ewma.estimate(0, DECAY, DEFAULT), 30_000.0), "nothing known");

        ewma.observe(Duration::from_millis(1), 0, DECAY);
        assert!(close(ewma.estimate(0, DECAY, DEFAULT), 1_000.0), "the first replaces the default");
        ewma.observe(Duration::from_millis(100), 1, DECAY);
        assert!(close(ewma.estimate(1, DECAY, DEFAULT), 100_000.0), "worse at once");
        ewma.observe(Duration::from_millis(1), 10_001, DECAY);
        let after = ewma.estimate(10_001, DECAY, DEFAULT);
        assert!(close(after, 100_000.0 * 0.3679 + 1_000.0 * 0.6321), "better slowly: {after}");
    }

    #[test]
    fn reading_changes_nothing() {
        let ewma = PeakEwma::default();
        ewma.observe(Duration::from_secs(5), 0, DECAY);

        let once = ewma.estimate(20_000, DECAY, DEFAULT);
        for now in (0..20_000).step_by(7) {
            ewma.estimate(now, DECAY, DEFAULT);
        }

        assert_eq!(ewma.estimate(20_000, DECAY, DEFAULT), once);
        assert!(close(once, 5e6 * 0.1353), "{once}");
    }

    #[test]
    fn the_clock_may_wrap_and_may_be_read_out_of_order() {
        let ewma = PeakEwma::default();
        ewma.observe(Duration::from_millis(50), u32::MAX - 1, DECAY);

        assert!(close(ewma.estimate(1, DECAY, DEFAULT), 50_000.0 * (-0.0003_f32).exp()));
        assert!(close(ewma.estimate(u32::MAX - 9, DECAY, DEFAULT), 50_000.0));
    }
}
