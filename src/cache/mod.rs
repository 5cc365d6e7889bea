//! The handle: every call that never waits. It hashes, asks the core, and puts the answer into words.

mod compute;
mod read;
mod transaction;
mod write;

use std::fmt;
use std::hash::BuildHasher;
use std::hash::Hash;
use std::panic::RefUnwindSafe;
use std::panic::UnwindSafe;
use std::sync::Arc;

use crate::builder::Builder;
use crate::core::Core;
use crate::core::Iter;
#[cfg(feature = "load-times")]
use crate::core::LoadTimes;
use crate::core::Stats;
use crate::entry::EntryRef;

pub use self::compute::EntryOf;
pub use self::transaction::Transaction;

/// A bounded concurrent cache. A handle: cloning it is cheap, and all clones are one cache.
///
/// No call waits for anything but a stripe's lock, which is never held while user code runs; reads do not even wait for that. Only the
/// keys' `Eq` runs under the lock: it must not call the cache. A panic of the user's code reaches the caller, unless said otherwise,
/// and leaves the cache whole.
///
/// Look-ups take any borrowed form of the key, as hash maps do: `&str` for `String`, and whatever else implements
/// [`Equivalent`](equivalent::Equivalent).
///
/// ```
/// let cache = brindle::Cache::new(1_000);
/// let version = cache.insert("k".to_string(), 1);
/// assert_eq!(cache.get("k"), Some(1));
/// assert!(cache.compare_and_swap("k".to_string(), version, 2).is_ok());
/// assert!(cache.compare_and_swap("k".to_string(), version, 3).is_err());
/// ```
pub struct Cache<K, V, S = ahash::RandomState> {
    core: Arc<Core<K, V>>,
    hasher: S,
}

impl<K, V, S: Clone> Clone for Cache<K, V, S> {
    fn clone(&self) -> Self {
        Cache { core: Arc::clone(&self.core), hasher: self.hasher.clone() }
    }
}

// A panic of the user's code leaves the cache whole, so it may be used on after one is caught.
impl<K, V, S: UnwindSafe> UnwindSafe for Cache<K, V, S> {}
impl<K, V, S: RefUnwindSafe> RefUnwindSafe for Cache<K, V, S> {}

impl<K: Hash + Eq, V> Cache<K, V> {
    /// A cache of at most `max_capacity` entries, with default choices. Zero keeps nothing.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert(1, "one");
    /// assert_eq!(cache.len(), 1);
    /// ```
    #[must_use]
    pub fn new(max_capacity: u64) -> Self {
        let built = Self::builder().max_capacity(max_capacity).build();
        built.expect("the default choices can be built")
    }

    /// Starts to choose.
    ///
    /// ```
    /// use std::time::Duration;
    /// let cache = brindle::Cache::<u64, u64>::builder()
    ///     .max_capacity(100)
    ///     .time_to_live(Duration::from_secs(60))
    ///     .build()?;
    /// # Ok::<(), brindle::BuildError>(())
    /// ```
    pub fn builder() -> Builder<K, V> {
        Builder::new()
    }
}

impl<K, V, S> Cache<K, V, S> {
    pub(crate) fn from_core(core: Arc<Core<K, V>>, hasher: S) -> Self {
        Cache { core, hasher }
    }

    pub(crate) fn core(&self) -> &Arc<Core<K, V>> {
        &self.core
    }

    /// The name that the builder gave, if any.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.core.settings.name.as_deref()
    }

    /// Entries in the cache, expired ones that are not yet dropped among them. Costs a look at every stripe, no lock: while others write
    /// it is of no one moment.
    #[must_use]
    pub fn len(&self) -> usize {
        self.core.entries()
    }

    /// Is there no entry?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the entries weigh in all; at most [`capacity`](Self::capacity) when the writes under way have returned. Costs a look at every
    /// stripe, no lock: while others write it is of no one moment.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.core.weight()
    }

    /// What the entries may weigh in all.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.core.capacity()
    }

    /// Changes what the entries may weigh in all, and evicts at once what no longer fits. Values above 2^56 count as 2^56.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// (0..100).for_each(|key| { cache.insert(key, key); });
    /// cache.set_capacity(10);
    /// assert_eq!(cache.len(), 10);
    /// ```
    pub fn set_capacity(&self, capacity: u64) {
        self.core.set_capacity(capacity);
    }

    /// Bytes that the cache has allocated for itself: table, keys and values in place (not what they point to), policy, tombstones.
    /// Takes each stripe's lock in turn.
    #[must_use]
    pub fn memory_used(&self) -> usize {
        self.core.memory_used()
    }

    /// What the cache has counted so far. Takes each stripe's lock in turn.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert(1, "one");
    /// cache.get(&1);
    /// cache.get(&2);
    /// let stats = cache.stats();
    /// assert_eq!((stats.hits, stats.misses, stats.inserts), (1, 1, 1));
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// How long loads took so far, with the feature `load-times`, by the cache's [clock](Builder::clock). Copies a histogram.
    #[cfg(feature = "load-times")]
    #[must_use]
    pub fn load_times(&self) -> LoadTimes {
        self.core.load_times()
    }

    /// Drops every value that has left the cache and is not in use any more. Ordinary writes do this by and by; call it where values
    /// hold something dear, before a pause in the traffic for example. Takes each stripe's lock twice, for a short time, and asks all
    /// running threads for a memory barrier where there is anything to drop.
    ///
    /// # Panics
    /// With what a value's `Drop` panics with, after all are dropped.
    pub fn reclaim(&self) {
        self.core.reclaim();
    }

    /// Removes every entry; one stripe after another, so a write that runs at the same time may stay. What was written before the
    /// call is gone when it returns. Tombstones stay, and those of source-versioned entries are added.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert(1, "one");
    /// cache.clear();
    /// assert!(cache.is_empty());
    /// ```
    pub fn clear(&self) {
        self.core.clear();
    }

    /// Walks over the entries, in no order, as guards. See [`Iter`] for what it sees of changes. Counts nothing.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert("a", 1);
    /// cache.insert("b", 2);
    /// assert_eq!(cache.iter().map(|entry| *entry).sum::<i32>(), 3);
    /// ```
    #[must_use]
    pub fn iter(&self) -> Iter<K, V> {
        Iter::new(Arc::clone(&self.core))
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    #[inline(always)]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }
}

impl<K, V, S> fmt::Debug for Cache<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("name", &self.name())
            .field("len", &self.len())
            .field("weight", &self.weight())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

impl<K, V, S> IntoIterator for &Cache<K, V, S> {
    type Item = EntryRef<K, V>;
    type IntoIter = Iter<K, V>;

    fn into_iter(self) -> Iter<K, V> {
        self.iter()
    }
}
