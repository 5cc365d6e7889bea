use ahash::RandomState;
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::Family;
use crate::workload::{Target, Value};

pub struct QuickCache;

impl Family for QuickCache {
    const NAME: &'static str = "quick_cache";

    type Of<V: Value> = Cache<u64, V, UnitWeighter, RandomState>;

    fn new<V: Value>(capacity: u64) -> Self::Of<V> {
        Cache::with(capacity as usize, capacity, UnitWeighter, RandomState::new(), DefaultLifecycle::default())
    }
}

impl<V: Value> Target<V> for Cache<u64, V, UnitWeighter, RandomState> {
    fn get(&self, key: &u64) -> Option<V> {
        self.get(key)
    }

    fn insert(&self, key: u64, value: V) {
        self.insert(key, value);
    }

    fn remove(&self, key: &u64) {
        self.remove(key);
    }

    fn entries(&self) -> usize {
        self.len()
    }
}
