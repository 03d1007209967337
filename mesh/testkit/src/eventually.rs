//! Waiting for what is true in the end.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(10);

/// An answer that may not be there yet.
pub trait Awaited {
    /// What one gets once it is there.
    type Value;

    /// The value, if it is there.
    fn value(self) -> Option<Self::Value>;
}

impl<T> Awaited for Option<T> {
    type Value = T;

    fn value(self) -> Option<T> {
        self
    }
}

impl Awaited for bool {
    type Value = ();

    fn value(self) -> Option<()> {
        self.then_some(())
    }
}

/// How long tests wait for anything: `TEST_PATIENCE_MS`, else 20 s.
pub fn patience() -> Duration {
    let millis = std::env::var("TEST_PATIENCE_MS").ok().and_then(|text| text.parse().ok());
    Duration::from_millis(millis.unwrap_or(20_000))
}

/// Asks again and again until the answer is `Some` or `true`, and returns what it holds.
///
/// # Panics
/// When patience runs out, naming what was awaited.
#[track_caller]
pub fn eventually<A: Awaited>(
    what: &str,
    mut ask: impl AsyncFnMut() -> A,
) -> impl Future<Output = A::Value> {
    let caller = std::panic::Location::caller();
    async move {
        let begun = Instant::now();
        loop {
            if let Some(value) = ask().await.value() {
                return value;
            }
            let waited = begun.elapsed();
            assert!(
                waited < patience(),
                "{caller}: waited {:.1} s in vain for: {what}",
                waited.as_secs_f64()
            );
            tokio::time::sleep(INTERVAL).await;
        }
    }
}
