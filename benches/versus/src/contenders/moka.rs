use ahash::RandomState;
use moka::sync::Cache;

use super::Family;
use crate::workload::{Target, Value};

pub struct Moka;

impl Family for Moka {
    const NAME: &'static str = "moka";
    const LOADS: bool = true;

    type Of<V: Value> = Cache<u64, V, RandomState>;

    fn new<V: Value>(capacity: u64) -> Self::Of<V> {
        Cache::builder().max_capacity(capacity).build_with_hasher(RandomState::new())
    }

    fn settle<V: Value>(target: &Self::Of<V>) {
        target.run_pending_tasks();
    }
}

impl<V: Value> Target<V> for Cache<u64, V, RandomState> {
    fn get(&self, key: &u64) -> Option<V> {
        self.get(key)
    }

    fn insert(&self, key: u64, value: V) {
        self.insert(key, value);
    }

    fn remove(&self, key: &u64) {
        self.invalidate(key);
    }

    fn entries(&self) -> usize {
        self.entry_count() as usize
    }

    fn get_with(&self, key: &u64, load: impl FnOnce() -> V) -> V {
        self.get_with(*key, load)
    }
}
