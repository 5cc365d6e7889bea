//! What is measured, as the workloads see it.

use std::future::Future;
use std::hash::Hash;

use super::Value;

/// A cache or map under measurement.
pub trait Target<K: Key, V: Value>: Sync {
    fn get(&self, key: &K) -> Option<V>;
    fn insert(&self, key: K, value: V);
    fn remove(&self, key: &K);

    /// Looks at a value without taking it out, where the target can; else takes it out and looks.
    fn with<R>(&self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        Target::get(self, key).map(|value| look(&value))
    }

    /// The value, loaded if there is none. Of those who ask for a key at one time, one loads.
    fn get_with(&self, _key: &K, _load: impl FnOnce() -> V) -> V {
        unreachable!("it does not load")
    }

    /// The same for tasks.
    fn get_with_async(&self, _key: &K, _load: impl Future<Output = V> + Send + 'static) -> impl Future<Output = V> {
        async { unreachable!("it does not load in tasks") }
    }

    /// Writes unless a version as new as this has been written. Whether it wrote.
    fn insert_at(&self, _key: K, _value: V, _version: u64) -> bool {
        unreachable!("it knows no versions")
    }

    /// Reads what is there, and replaces it unless somebody else has written since. Whether it did.
    fn swap(&self, _key: K, _change: impl FnOnce(V) -> V) -> bool {
        unreachable!("it knows no versions")
    }
}

/// A key made of a number, so that the same workloads run on keys of any type.
pub trait Key: Hash + Eq + Clone + Send + Sync + 'static {
    fn of(number: u64) -> Self;

    /// What is its own among all keys, read at next to no cost: answers are checked against it.
    fn token(&self) -> u64;

    /// The key itself, if it is marked as one to write, or to invalidate.
    fn to_write(&self) -> Option<Self>;
}

/// Marks a number as a key to write, or to invalidate.
pub const WRITE: u64 = 1 << 63;

impl Key for u64 {
    fn of(number: u64) -> Self {
        number
    }

    #[inline(always)]
    fn token(&self) -> u64 {
        *self
    }

    #[inline(always)]
    fn to_write(&self) -> Option<Self> {
        (self & WRITE != 0).then_some(self & !WRITE)
    }
}

/// As long as the names that services make up for their keys. None is marked: no workload that mixes reads and writes takes them.
impl Key for String {
    fn of(number: u64) -> Self {
        assert!(number >> 32 == 0, "its digits stand in the first eight bytes");
        format!("{number:08x}:account:profile")
    }

    #[inline(always)]
    fn token(&self) -> u64 {
        let digits = self.as_bytes().first_chunk().expect("it begins with eight digits");
        u64::from_ne_bytes(*digits)
    }

    fn to_write(&self) -> Option<Self> {
        None
    }
}
