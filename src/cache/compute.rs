//! One key, read and written at once.

use std::fmt;
use std::hash::BuildHasher;
use std::hash::Hash;

use crate::core::Computed;
use crate::core::Op;
use crate::entry::EntryRef;

use super::Cache;

impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// One key, to be read and written at once: see [`EntryOf::and_compute_with`].
    pub fn entry(&self, key: K) -> EntryOf<'_, K, V, S> {
        EntryOf { cache: self, key }
    }
}

/// One key of a cache, from [`Cache::entry`].
#[must_use = "says what to do with the key next"]
pub struct EntryOf<'a, K, V, S> {
    cache: &'a Cache<K, V, S>,
    key: K,
}

impl<K: Hash + Eq, V, S: BuildHasher> EntryOf<'_, K, V, S> {
    /// Reads the entry, asks `decide` what to do, and does it, atomically against every other write of the key: no update is lost.
    /// `decide` runs under no lock; if another write comes in between, it is asked again with what is there then, so it should have no
    /// effects of its own. Every repetition means that another write got through.
    ///
    /// ```
    /// use brindle::{Cache, Op};
    /// let cache = Cache::new(100);
    /// for _ in 0..3 {
    ///     cache.entry("k").and_compute_with(|entry| Op::Put(entry.map_or(1, |count| **count + 1)));
    /// }
    /// assert_eq!(cache.get("k"), Some(3));
    /// ```
    ///
    /// # Panics
    /// With what `decide` panics with, and then nothing has changed; and as [`Cache::insert`].
    pub fn and_compute_with(self, decide: impl FnMut(Option<&EntryRef<K, V>>) -> Op<V>) -> Computed<K, V> {
        self.cache.core.compute(self.cache.hash(&self.key), self.key, decide)
    }
}

impl<K, V, S> fmt::Debug for EntryOf<'_, K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryOf").field("cache", self.cache).finish_non_exhaustive()
    }
}
