use std::convert::Infallible;
use std::future::Future;

use ahash::RandomState;
use quick_cache::UnitWeighter;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use quick_cache::sync::DefaultLifecycle;

use super::Family;
use super::Weigh;
use crate::workload::Key;
use crate::workload::Target;
use crate::workload::Value;

pub struct QuickCache;

/// Asks the value.
#[derive(Clone)]
pub struct ByValue;

impl<K: Key, V: Weigh> Weighter<K, V> for ByValue {
    fn weight(&self, _key: &K, value: &V) -> u64 {
        value.weight().into()
    }
}

impl Family for QuickCache {
    const NAME: &'static str = "quick_cache";
    const REFERENCE: bool = true;
    const LOADS: bool = true;
    const LOADS_ASYNC: bool = true;

    type Of<K: Key, V: Value> = Cache<K, V, UnitWeighter, RandomState>;
    type Weighing<K: Key, V: Weigh> = Cache<K, V, ByValue, RandomState>;

    fn new<K: Key, V: Value>(capacity: u64) -> Self::Of<K, V> {
        Cache::with(capacity as usize, capacity, UnitWeighter, RandomState::new(), DefaultLifecycle::default())
    }

    fn weighing<K: Key, V: Weigh>(capacity: u64, entries: u64) -> Option<Self::Weighing<K, V>> {
        Some(Cache::with(entries as usize, capacity, ByValue, RandomState::new(), DefaultLifecycle::default()))
    }
}

impl<K: Key, V: Value, W: Weighter<K, V> + Clone + Send + Sync> Target<K, V> for Cache<K, V, W, RandomState> {
    fn get(&self, key: &K) -> Option<V> {
        self.get(key)
    }

    fn insert(&self, key: K, value: V) {
        self.insert(key, value);
    }

    fn remove(&self, key: &K) {
        self.remove(key);
    }

    fn get_with(&self, key: &K, load: impl FnOnce() -> V) -> V {
        let Ok(value) = self.get_or_insert_with(key, || Ok::<_, Infallible>(load()));
        value
    }

    async fn get_with_async(&self, key: &K, load: impl Future<Output = V> + Send + 'static) -> V {
        let Ok(value) = self.get_or_insert_async(key, async { Ok::<_, Infallible>(load.await) }).await;
        value
    }
}
