//! Brindle as a target.

use std::future::Future;

use ::brindle::Cache;

use super::{Target, Value};

impl<V: Value> Target<V> for Cache<u64, V> {
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
        self.len()
    }

    fn with<R>(&self, key: &u64, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.with(key, look)
    }

    fn get_with(&self, key: &u64, load: impl FnOnce() -> V) -> V {
        self.get_with(key, load)
    }

    fn get_with_async(&self, key: &u64, load: impl Future<Output = V>) -> impl Future<Output = V> {
        self.get_with_async(key, load)
    }
}
