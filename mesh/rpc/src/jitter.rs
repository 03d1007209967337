//! Randomness for pauses, seeded where a test wants the same pauses again.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// Draws pauses within ±20 % of what was computed, so that callers that failed together do not come
/// back together (gRFC A6).
///
/// A draw takes a lock for some ten nanoseconds; only calls that pause draw.
pub struct Jitter(Mutex<StdRng>);

impl Jitter {
    /// Draws the same pauses for the same `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    /// Returns `pause` times a number drawn evenly from 0.8 to 1.2.
    pub fn spread(&self, pause: Duration) -> Duration {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pause.mul_f64(random.random_range(0.8..1.2))
    }
}

impl Default for Jitter {
    /// Seeded by the operating system.
    fn default() -> Self {
        Self(Mutex::new(StdRng::from_os_rng()))
    }
}

impl fmt::Debug for Jitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Jitter")
    }
}
