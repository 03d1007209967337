//! Spans that have ended, in the batches in which they are sent: each of them OTLP's bytes, one span
//! after the other.

use std::{
    collections::VecDeque,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::wire;

/// The field of a scope's message that its spans are in.
const SPANS: u32 = 2;

/// How much is held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Spans altogether; who comes when so many wait is dropped.
    pub(super) most: usize,
    /// Spans of a batch.
    pub(super) batch: usize,
}

/// What waits to be sent.
pub(super) struct Queue {
    limits: Limits,
    held: Mutex<Held>,
    has_full: Notify,
}

#[derive(Default)]
struct Held {
    full: VecDeque<Batch>,
    filling: Batch,
    spans: usize,
}

/// Spans that are sent together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) spans: usize,
    pub(super) bytes: Vec<u8>,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, held: Mutex::default(), has_full: Notify::new() }
    }

    /// Queues a span's message, or returns false: too many wait already.
    pub(super) fn put(&self, span: &[u8]) -> bool {
        let mut held = self.lock();
        if held.spans == self.limits.most {
            return false;
        }
        held.spans += 1;
        let batch = &mut held.filling;
        wire::bytes(&mut batch.bytes, SPANS, span);
        batch.spans += 1;
        if batch.spans < self.limits.batch {
            return true;
        }
        // The next one is about as long.
        let next = Batch { spans: 0, bytes: Vec::with_capacity(batch.bytes.len()) };
        let full = mem::replace(batch, next);
        held.full.push_back(full);
        drop(held);
        self.has_full.notify_one();
        true
    }

    /// Waits until there is a full batch. One is told of it.
    pub(super) async fn full(&self) {
        self.has_full.notified().await;
    }

    /// Takes a full batch.
    pub(super) fn take_full(&self) -> Option<Batch> {
        let mut held = self.lock();
        let batch = held.full.pop_front()?;
        held.spans -= batch.spans;
        Some(batch)
    }

    /// Takes the batch that is being filled, unless nothing is in it.
    pub(super) fn take_rest(&self) -> Option<Batch> {
        let mut held = self.lock();
        let batch = mem::take(&mut held.filling);
        held.spans -= batch.spans;
        (batch.spans > 0).then_some(batch)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn spans_wait_in_batches_and_no_more_than_are_held() {
        let queue = Queue::new(Limits { most: 5, batch: 2 });

        let put: Vec<_> = (0..7).map(|n| queue.put(&[n])).collect();

        assert_eq!(put, [true, true, true, true, true, false, false]);
        assert_eq!(queue.full().now_or_never(), Some(()));
        let full = queue.take_full().unwrap();
        assert_eq!((full.spans, &full.bytes[..]), (2, &[0x12, 1, 0, 0x12, 1, 1][..]));
        assert!(queue.put(&[7]) && queue.put(&[8]), "there is room again");
        let rest = [2, 3, 4, 7].map(|n| [0x12, 1, n]).concat();
        let left = [queue.take_full(), queue.take_full()].map(|it| it.unwrap().bytes);
        assert_eq!(left.concat(), rest);
        assert_eq!(queue.take_rest().unwrap().bytes, [0x12, 1, 8]);
        assert!(queue.take_full().is_none() && queue.take_rest().is_none());
    }
}
