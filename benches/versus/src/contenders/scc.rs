use ahash::RandomState;
use scc::HashCache;
use scc::hash_cache::Entry;

use super::Family;
use super::Weigh;
use crate::workload::Key;
use crate::workload::Target;
use crate::workload::Value;

/// It rounds its capacity up to a power of two, so it often has more room than the others. It does not weigh.
pub struct Scc;

impl Family for Scc {
    const NAME: &'static str = "scc";
    const MORE_ROOM: bool = true;

    type Of<K: Key, V: Value> = HashCache<K, V, RandomState>;
    type Weighing<K: Key, V: Weigh> = HashCache<K, V, RandomState>;

    fn new<K: Key, V: Value>(capacity: u64) -> Self::Of<K, V> {
        HashCache::with_capacity_and_hasher(0, capacity as usize, RandomState::new())
    }
}

impl<K: Key, V: Value> Target<K, V> for HashCache<K, V, RandomState> {
    fn get(&self, key: &K) -> Option<V> {
        self.read_sync(key, |_, value| value.clone())
    }

    fn insert(&self, key: K, value: V) {
        match self.entry_sync(key) {
            Entry::Occupied(mut entry) => drop(entry.put(value)),
            Entry::Vacant(entry) => drop(entry.put_entry(value)),
        }
    }

    fn remove(&self, key: &K) {
        self.remove_sync(key);
    }

    fn with<R>(&self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.read_sync(key, |_, value| look(value))
    }
}
