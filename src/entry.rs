//! What the cache hands out: an entry kept by a guard, a value with its version, a notice of what left.

use std::fmt;
use std::ops::Deref;

use crate::event::Cause;
use crate::rule::version::Version;
use crate::table::Pinned;

/// A guard of one entry, as it was when it was found: borrows key and value, needs no `Clone`, may be kept, cloned and sent.
///
/// It keeps nothing alive but its own key and value (and the cache's memory, once the last handle is gone): however long it is held,
/// the cache goes on evicting and replacing, and nobody waits. Cloning and dropping cost one atomic operation each on a counter of the entry;
/// the last guard of an entry that has left the cache drops key and value, and what their `Drop` panics with passes on.
///
/// ```
/// let cache = brindle::Cache::new(100);
/// cache.insert("k", String::from("old"));
/// let guard = cache.get_ref("k").unwrap();
/// cache.insert("k", String::from("new"));
/// assert_eq!(*guard, "old");
/// assert_eq!(guard.key(), &"k");
/// assert!(guard.version() < cache.get_ref("k").unwrap().version());
/// ```
pub struct EntryRef<K, V> {
    pinned: Pinned<K, V>,
}

impl<K, V> EntryRef<K, V> {
    pub(crate) fn new(pinned: Pinned<K, V>) -> Self {
        EntryRef { pinned }
    }

    /// Another hold on the entry.
    pub(crate) fn pinned(&self) -> Pinned<K, V> {
        self.pinned.clone()
    }

    /// The guard's own hold.
    #[cfg(feature = "write-behind")]
    pub(crate) fn hold(&self) -> &Pinned<K, V> {
        &self.pinned
    }

    /// The entry's key.
    #[must_use]
    pub fn key(&self) -> &K {
        &self.pinned.pair().0
    }

    /// The entry's value; the guard derefs to it too.
    #[must_use]
    pub fn value(&self) -> &V {
        &self.pinned.pair().1
    }

    /// The version under which the value was written.
    #[must_use]
    pub fn version(&self) -> Version {
        self.pinned.version()
    }
}

impl<K, V> Clone for EntryRef<K, V> {
    fn clone(&self) -> Self {
        EntryRef { pinned: self.pinned.clone() }
    }
}

impl<K, V> Deref for EntryRef<K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        self.value()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for EntryRef<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryRef")
            .field("key", self.key())
            .field("value", self.value())
            .field("version", &self.version())
            .finish()
    }
}

/// A value with the version under which it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Entry<V> {
    /// The value, cloned.
    pub value: V,
    /// Its version: what a [`compare_and_swap`](crate::Cache::compare_and_swap) expects.
    pub version: Version,
}

impl<V> Entry<V> {
    pub(crate) fn new(value: V, version: Version) -> Self {
        Entry { value, version }
    }
}

/// What a removal listener hears: the entry that left, and why.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Removed<K, V> {
    /// Key, value and version. It may be kept.
    pub entry: EntryRef<K, V>,
    /// Why it left.
    pub cause: Cause,
}

impl<K, V> Removed<K, V> {
    pub(crate) fn new(entry: EntryRef<K, V>, cause: Cause) -> Self {
        Removed { entry, cause }
    }

    /// The entry's key.
    #[must_use]
    pub fn key(&self) -> &K {
        self.entry.key()
    }

    /// The value that left.
    #[must_use]
    pub fn value(&self) -> &V {
        self.entry.value()
    }

    /// The version of the value that left.
    #[must_use]
    pub fn version(&self) -> Version {
        self.entry.version()
    }

    /// Why it left.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.cause
    }
}
