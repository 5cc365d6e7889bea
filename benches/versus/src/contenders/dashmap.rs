use ahash::RandomState;
use dashmap::DashMap;

use super::Family;
use super::Kind;
use super::Weigh;
use crate::workload::Key;
use crate::workload::Target;
use crate::workload::Value;

pub struct Dashmap;

impl Family for Dashmap {
    const NAME: &'static str = "dashmap";
    const KIND: Kind = Kind::Map;
    const LOADS: bool = true;

    type Of<K: Key, V: Value> = DashMap<K, V, RandomState>;
    type Weighing<K: Key, V: Weigh> = DashMap<K, V, RandomState>;

    fn new<K: Key, V: Value>(_capacity: u64) -> Self::Of<K, V> {
        DashMap::with_hasher(RandomState::new())
    }
}

impl<K: Key, V: Value> Target<K, V> for DashMap<K, V, RandomState> {
    fn get(&self, key: &K) -> Option<V> {
        self.get(key).map(|value| value.clone())
    }

    fn insert(&self, key: K, value: V) {
        self.insert(key, value);
    }

    fn remove(&self, key: &K) {
        self.remove(key);
    }

    fn with<R>(&self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.get(key).map(|value| look(&value))
    }

    fn get_with(&self, key: &K, load: impl FnOnce() -> V) -> V {
        self.get(key).map_or_else(|| self.entry(key.clone()).or_insert_with(load).clone(), |value| value.clone())
    }
}
