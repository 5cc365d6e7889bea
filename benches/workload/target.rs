//! What is measured, as the workloads see it.

use std::future::Future;
use std::sync::Arc;

/// A cache or map under measurement, with `u64` keys.
pub trait Target<V: Value = u64>: Sync {
    fn get(&self, key: &u64) -> Option<V>;
    fn insert(&self, key: u64, value: V);
    fn remove(&self, key: &u64);
    fn entries(&self) -> usize;

    /// Looks at a value without taking it out, where the target can; else takes it out and looks.
    fn with<R>(&self, key: &u64, look: impl FnOnce(&V) -> R) -> Option<R> {
        Target::get(self, key).map(|value| look(&value))
    }

    /// The value, loaded if there is none. Of those who ask for a key at one time, one loads.
    fn get_with(&self, _key: &u64, _load: impl FnOnce() -> V) -> V {
        unreachable!("it does not load")
    }

    /// The same for tasks.
    fn get_with_async(&self, _key: &u64, _load: impl Future<Output = V>) -> impl Future<Output = V> {
        async { unreachable!("it does not load in tasks") }
    }
}

/// A value that tells which key it was stored under, so that every answer can be checked.
pub trait Value: Clone + Send + Sync + 'static {
    fn of(key: u64) -> Self;
    fn belongs_to(&self, key: u64) -> bool;
}

impl Value for u64 {
    fn of(key: u64) -> Self {
        !key
    }

    fn belongs_to(&self, key: u64) -> bool {
        *self == !key
    }
}

impl Value for Arc<u64> {
    fn of(key: u64) -> Self {
        Arc::new(!key)
    }

    fn belongs_to(&self, key: u64) -> bool {
        **self == !key
    }
}
