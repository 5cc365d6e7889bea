use std::convert::Infallible;
use std::future::Future;

use ahash::RandomState;
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::Family;
use crate::workload::{Target, Value};

pub struct QuickCache;

impl Family for QuickCache {
    const NAME: &'static str = "quick_cache";
    const LOADS: bool = true;
    const LOADS_ASYNC: bool = true;

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

    fn get_with(&self, key: &u64, load: impl FnOnce() -> V) -> V {
        let Ok(value) = self.get_or_insert_with(key, || Ok::<_, Infallible>(load()));
        value
    }

    async fn get_with_async(&self, key: &u64, load: impl Future<Output = V>) -> V {
        let Ok(value) = self.get_or_insert_async(key, async { Ok::<_, Infallible>(load.await) }).await;
        value
    }
}
