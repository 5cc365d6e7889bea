//! Brindle as a target.

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
}
