use ahash::RandomState;
use moka::sync::Cache;

use super::Family;
use super::Weigh;
use crate::workload::Key;
use crate::workload::Target;
use crate::workload::Value;

pub struct Moka;

impl Family for Moka {
    const NAME: &'static str = "moka";
    const LOADS: bool = true;

    type Of<K: Key, V: Value> = Cache<K, V, RandomState>;
    type Weighing<K: Key, V: Weigh> = Cache<K, V, RandomState>;

    fn new<K: Key, V: Value>(capacity: u64) -> Self::Of<K, V> {
        Cache::builder().max_capacity(capacity).build_with_hasher(RandomState::new())
    }

    fn weighing<K: Key, V: Weigh>(capacity: u64, _entries: u64) -> Option<Self::Weighing<K, V>> {
        let builder = Cache::builder().max_capacity(capacity).weigher(|_, value: &V| value.weight());
        Some(builder.build_with_hasher(RandomState::new()))
    }

    fn settle<K: Key, V: Value>(target: &Self::Of<K, V>) {
        target.run_pending_tasks();
    }

    fn settle_weighing<K: Key, V: Weigh>(target: &Self::Weighing<K, V>) {
        target.run_pending_tasks();
    }
}

impl<K: Key, V: Value> Target<K, V> for Cache<K, V, RandomState> {
    fn get(&self, key: &K) -> Option<V> {
        self.get(key)
    }

    fn insert(&self, key: K, value: V) {
        self.insert(key, value);
    }

    fn remove(&self, key: &K) {
        self.invalidate(key);
    }

    fn get_with(&self, key: &K, load: impl FnOnce() -> V) -> V {
        self.get_with_by_ref(key, load)
    }
}
