//! Brindle as a target.

use std::future::Future;

use ::brindle::Cache;

use super::Key;
use super::Target;
use super::Value;

impl<K: Key, V: Value> Target<K, V> for Cache<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        self.get(key)
    }

    fn insert(&self, key: K, value: V) {
        self.insert(key, value);
    }

    fn remove(&self, key: &K) {
        self.invalidate(key);
    }

    fn with<R>(&self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.with(key, look)
    }

    fn get_with(&self, key: &K, load: impl FnOnce() -> V) -> V {
        self.get_with(key, load)
    }

    fn get_with_async(&self, key: &K, load: impl Future<Output = V> + Send + 'static) -> impl Future<Output = V> {
        self.get_with_async(key, load)
    }

    fn insert_at(&self, key: K, value: V, version: u64) -> bool {
        self.insert_at(key, value, version).is_ok()
    }

    fn swap(&self, key: K, change: impl FnOnce(V) -> V) -> bool {
        let Some(entry) = self.get_entry(&key) else {
            return false;
        };
        self.compare_and_swap(key, entry.version, change(entry.value)).is_ok()
    }
}
