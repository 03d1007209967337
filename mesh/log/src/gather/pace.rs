//! When the next batch begins.

use std::time::Duration;

use tokio::{task::yield_now, time::Instant};

/// How often whatever else is ready gets its turn before nobody is taken to be on the way: what arrived is
/// read in one, its call begins in another, and submits its command in a third.
const TURNS: u32 = 3;

/// The pace of one writer. After a batch that held several commands the next one waits for those that
/// follow; a lone command is never held back.
#[derive(Debug)]
pub(super) struct Pace {
    /// From the beginning of one batch to that of the next, at least.
    least: Duration,
    begun: Instant,
    is_crowded: bool,
}

impl Pace {
    pub(super) fn new(least: Duration) -> Pace {
        Pace { least, begun: Instant::now(), is_crowded: false }
    }

    /// Waits until a batch may begin: until its time has come and no more commands come in although
    /// everything that is ready has run, or until so many wait as a batch can hold.
    pub(super) async fn wait(&self, most: usize, waiting: impl Fn() -> usize) {
        if !self.is_crowded {
            return;
        }
        tokio::time::sleep_until(self.begun + self.least).await;
        loop {
            let before = waiting();
            for _ in 0..TURNS {
                yield_now().await;
            }
            let now = waiting();
            if now <= before || now >= most {
                return;
            }
        }
    }

    pub(super) fn begin(&mut self) {
        self.begun = Instant::now();
    }

    /// Notes that the batch which began last held `size` commands and has ended.
    pub(super) fn end(&mut self, size: usize) {
        self.is_crowded = size > 1;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
    };

    use super::*;

    const LEAST: Duration = Duration::from_millis(4);

    /// A pace whose last batch held so many commands, and took so long.
    async fn after(size: usize, took: Duration) -> Pace {
        let mut pace = Pace::new(LEAST);
        pace.begin();
        tokio::time::sleep(took).await;
        pace.end(size);
        pace
    }

    /// How long a batch is held back for which nobody else comes.
    async fn pause(pace: &Pace) -> Duration {
        let ended = Instant::now();
        pace.wait(256, || 0).await;
        ended.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn lone_commands_never_wait() {
        for size in [0, 1] {
            let pace = after(size, Duration::from_millis(1)).await;
            assert_eq!(pause(&pace).await, Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn crowded_batches_begin_apart() {
        let quick = after(2, Duration::from_millis(1)).await;
        assert_eq!(pause(&quick).await, Duration::from_millis(3));
        let slow = after(2, Duration::from_secs(1)).await;
        assert_eq!(pause(&slow).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_for_those_who_are_ready_to_come_and_for_nobody_else() {
        let pace = after(2, LEAST).await;
        let come = Arc::new(AtomicUsize::new(0));
        // Each sets the next one going, as answers set calls going.
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let arrives = Arc::clone(&come);
        let next = sender.clone();
        tokio::spawn(async move {
            while receiver.recv().await.is_some() {
                if arrives.fetch_add(1, Relaxed) < 9 {
                    let _ = next.send(());
                    yield_now().await;
                }
            }
        });
        let _ = sender.send(());
        let late = Arc::clone(&come);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            late.fetch_add(100, Relaxed);
        });

        let ended = Instant::now();
        pace.wait(256, || come.load(Relaxed)).await;

        assert_eq!((come.load(Relaxed), ended.elapsed()), (10, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_that_does_not_end_holds_no_batch_back() {
        let pace = after(2, LEAST).await;
        let crowd = Cell::new(0);

        pace.wait(256, || crowd.replace(crowd.get() + 50)).await;

        assert!((256..=400).contains(&crowd.get()), "{crowd:?}");
    }
}
