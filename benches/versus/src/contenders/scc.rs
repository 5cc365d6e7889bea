use ahash::RandomState;
use scc::HashCache;
use scc::hash_cache::Entry;

use super::Family;
use crate::workload::{Target, Value};

/// It rounds its capacity up to a power of two, so it often has more room than the others.
pub struct Scc;

impl Family for Scc {
    const NAME: &'static str = "scc";

    type Of<V: Value> = HashCache<u64, V, RandomState>;

    fn new<V: Value>(capacity: u64) -> Self::Of<V> {
        HashCache::with_capacity_and_hasher(0, capacity as usize, RandomState::new())
    }
}

impl<V: Value> Target<V> for HashCache<u64, V, RandomState> {
    fn get(&self, key: &u64) -> Option<V> {
        self.read_sync(key, |_, value| value.clone())
    }

    fn insert(&self, key: u64, value: V) {
        match self.entry_sync(key) {
            Entry::Occupied(mut entry) => drop(entry.put(value)),
            Entry::Vacant(entry) => drop(entry.put_entry(value)),
        }
    }

    fn remove(&self, key: &u64) {
        self.remove_sync(key);
    }

    fn entries(&self) -> usize {
        self.len()
    }

    fn with<R>(&self, key: &u64, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.read_sync(key, |_, value| look(value))
    }
}
