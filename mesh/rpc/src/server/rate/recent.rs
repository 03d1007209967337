//! A map that forgets what was not used for long.

use std::{collections::HashMap, hash::Hash, mem};

/// Holds at most `capacity` keys: when the young generation is full it becomes the old one, and
/// what was old and not used since is forgotten. A least-recently-used map to within half its
/// capacity, at the price of two lookups and no list.
#[derive(Debug)]
pub struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    capacity: usize,
}

impl<K: Eq + Hash, V: Copy> Recent<K, V> {
    /// Holds nothing yet.
    pub fn new(capacity: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), capacity }
    }

    /// The value of a key that is not forgotten.
    pub fn get(&self, key: &K) -> Option<V> {
        self.young.get(key).or_else(|| self.old.get(key)).copied()
    }

    /// Notes a value; its key is then the last to be forgotten.
    pub fn put(&mut self, key: K, value: V) {
        if let Some(known) = self.young.get_mut(&key) {
            *known = value;
            return;
        }
        self.old.remove(&key);
        if self.young.len() >= self.capacity / 2 {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}
