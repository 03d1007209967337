//! The endpoints that one call was sent to already.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The most that are remembered; then the first is forgotten.
const MOST: usize = 8;

/// The endpoints that the attempts of one call went to, so that the next goes elsewhere.
///
/// Make one per call and give it to every [`pick`](super::Balancer::pick), which adds to it.
/// Concurrent attempts may share it. It allocates nothing.
#[derive(Debug, Default)]
pub struct Tried {
    /// Keys, which begin with 1.
    keys: [AtomicU64; MOST],
    count: AtomicUsize,
}

impl Tried {
    /// Returns how many attempts there were.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    pub(super) fn add(&self, key: u64) {
        let index = self.count.fetch_add(1, Ordering::Relaxed);
        self.keys[index % MOST].store(key, Ordering::Relaxed);
    }

    pub(super) fn contains(&self, key: u64) -> bool {
        self.keys.iter().any(|known| known.load(Ordering::Relaxed) == key)
    }
}
