//! When the next batch begins.

use std::time::Duration;

use tokio::time::Instant;

/// How many times as long as a batch usually takes lies between the beginnings of two: the writer keeps
/// PostgreSQL busy for at most a third of the time.
const TIMES: u32 = 3;
/// How many times the least pause there is at most: a database that is slow for a while shall not make
/// callers wait for each other as well.
const AT_MOST: u32 = 2;
/// Of how many batches the usual duration is about the mean.
const MEMORY: u32 = 8;

/// The pace of one writer. After a batch that held several commands the next one waits; a lone command
/// is never held back.
#[derive(Debug)]
pub(super) struct Pace {
    /// From the beginning of one batch to that of the next, at least.
    least: Duration,
    begun: Instant,
    /// How long a batch usually takes.
    usual: Duration,
    is_crowded: bool,
}

impl Pace {
    pub(super) fn new(least: Duration) -> Pace {
        Pace { least, begun: Instant::now(), usual: Duration::ZERO, is_crowded: false }
    }

    /// Waits until a batch may begin.
    pub(super) async fn wait(&self) {
        if self.is_crowded {
            tokio::time::sleep_until(self.begun + self.pause()).await;
        }
    }

    pub(super) fn begin(&mut self) {
        self.begun = Instant::now();
    }

    /// Notes that the batch which began last held `size` commands and has ended.
    pub(super) fn end(&mut self, size: usize) {
        self.is_crowded = size > 1;
        self.usual = (self.usual * (MEMORY - 1) + self.begun.elapsed()) / MEMORY;
    }

    fn pause(&self) -> Duration {
        (self.usual * TIMES).clamp(self.least, self.least * AT_MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_millis(6);

    /// How long the next batch waits after many like this one.
    async fn after(size: usize, took: Duration) -> Duration {
        let mut pace = Pace::new(LEAST);
        for _ in 0..100 {
            pace.wait().await;
            pace.begin();
            tokio::time::sleep(took).await;
            pace.end(size);
        }
        let ended = Instant::now();
        pace.wait().await;
        ended.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn lone_commands_never_wait() {
        assert_eq!(after(1, Duration::from_millis(1)).await, Duration::ZERO);
        assert_eq!(after(0, Duration::from_millis(50)).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn crowded_batches_begin_three_times_as_far_apart_as_they_take() {
        assert_eq!(after(2, Duration::from_millis(1)).await, Duration::from_millis(5));
        let slower = after(2, Duration::from_millis(3)).await;
        assert!((5..=6).contains(&slower.as_millis()), "{slower:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_database_does_not_make_callers_wait_as_well() {
        assert_eq!(after(2, Duration::from_millis(10)).await, Duration::from_millis(2));
        assert_eq!(after(2, Duration::from_secs(1)).await, Duration::ZERO);
    }
}
