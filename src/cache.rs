//! The handle: every call that never waits. It hashes, asks the core, and puts the answer into words.

use std::fmt;
use std::hash::BuildHasher;
use std::hash::Hash;
use std::panic::RefUnwindSafe;
use std::panic::UnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use equivalent::Equivalent;

use crate::builder::Builder;
use crate::core::Computed;
use crate::core::Core;
use crate::core::How;
use crate::core::Iter;
#[cfg(feature = "load-times")]
use crate::core::LoadTimes;
use crate::core::Op;
use crate::core::Stats;
use crate::core::Why;
use crate::entry::Entry;
use crate::entry::EntryRef;
use crate::error::Conflict;
use crate::error::Superseded;
use crate::error::TooHeavy;
use crate::rule::swap::Condition;
use crate::rule::swap::Expected;
use crate::rule::version::Claim;
use crate::rule::version::Version;

/// A bounded concurrent cache. A handle: cloning it is cheap, and all clones are one cache.
///
/// No call waits for anything but a stripe's lock, which is never held while user code runs; reads do not even wait for that. Only the
/// keys' `Eq` runs under the lock: it must not call the cache. A panic of the user's code reaches the caller, unless said otherwise,
/// and leaves the cache whole.
///
/// Look-ups take any borrowed form of the key, as hash maps do: `&str` for `String`, and whatever else implements
/// [`Equivalent`].
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

    /// Entries in the cache, expired ones that are not yet dropped among them. Costs a look at every stripe, no lock.
    #[must_use]
    pub fn len(&self) -> usize {
        self.core.entries()
    }

    /// Is there no entry?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the entries weigh in all; at most [`capacity`](Self::capacity) whenever a write returns. Costs a look at every stripe.
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

    /// The value of `key`, cloned. Takes no lock and allocates nothing of its own.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert("k".to_string(), 7);
    /// assert_eq!(cache.get("k"), Some(7));
    /// assert_eq!(cache.get("other"), None);
    /// ```
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: Clone,
    {
        self.core.read(self.hash(key), key, |found| found.pair().1.clone())
    }

    /// Calls `look` with the value of `key`. Takes no lock, clones nothing, counts no reference: on a hot key this is the cheapest read.
    /// `look` may call the cache and may take its time: it holds back this one value and nothing else.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert("k", vec![1, 2, 3]);
    /// assert_eq!(cache.with("k", |list| list.len()), Some(3));
    /// ```
    #[inline]
    pub fn with<Q, R>(&self, key: &Q, look: impl FnOnce(&V) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.core.read(self.hash(key), key, |found| look(&found.leave_table().pair().1))
    }

    /// A guard of the entry of `key`, which borrows key and value, and may be kept and sent; `V` need not be `Clone`.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert("k", String::from("value"));
    /// let guard = cache.get_ref("k").unwrap();
    /// cache.remove("k");
    /// assert_eq!(guard.len(), 5);
    /// ```
    pub fn get_ref<Q>(&self, key: &Q) -> Option<EntryRef<K, V>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.core.read_guard(self.hash(key), key)
    }

    /// The value of `key`, cloned, and its version.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// let version = cache.insert("k", 7);
    /// let entry = cache.get_entry("k").unwrap();
    /// assert_eq!((entry.value, entry.version), (7, version));
    /// ```
    pub fn get_entry<Q>(&self, key: &Q) -> Option<Entry<V>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: Clone,
    {
        self.core.read(self.hash(key), key, |found| Entry::new(found.pair().1.clone(), found.version()))
    }

    /// The value of `key`, cloned; and nobody learns of it: nothing is counted, the policy does not see it, time to idle runs on.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert("k", 7);
    /// assert_eq!(cache.peek("k"), Some(7));
    /// assert_eq!(cache.stats().hits, 0);
    /// ```
    pub fn peek<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: Clone,
    {
        self.core.glance(self.hash(key), key).map(|found| found.pair().1.clone())
    }

    /// Is there a live entry of `key`? As unseen as [`peek`](Self::peek).
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert("k", 7);
    /// assert!(cache.contains_key("k"));
    /// ```
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.core.glance(self.hash(key), key).is_some()
    }

    /// Writes a value, whatever is there, and tells its version. No read that starts after the call sees an older value.
    ///
    /// A value heavier than the whole cache takes effect and is evicted at once: what was there before is gone, and the removal
    /// listener gets the value ([`try_insert`](Self::try_insert) gives it back instead). In a cache with
    /// [`versioned_by`](Builder::versioned_by), a value that is not newer than what is known changes nothing, and the version that is
    /// known comes back.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// let first = cache.insert("k", 1);
    /// assert!(cache.insert("k", 2) > first);
    /// ```
    ///
    /// # Panics
    /// With what the weigher, `versioned_by`, `Expiry` or the key's `Hash` or `Eq` panic with, and then nothing has changed; with what the `Drop`
    /// of a value panics with that this call drops, and then the write has taken effect.
    pub fn insert(&self, key: K, value: V) -> Version {
        self.write_or_known(key, value, How::PLAIN)
    }

    /// As [`insert`](Self::insert), but gives back a value that is too heavy.
    ///
    /// ```
    /// let cache = brindle::Cache::builder().max_capacity(10).weigher(|_, text: &String| text.len() as u64).build()?;
    /// assert!(cache.try_insert(1, "short".to_string()).is_ok());
    /// let refused = cache.try_insert(1, "far too long for it".to_string()).unwrap_err();
    /// assert_eq!((refused.weight, refused.value.len()), (19, 19));
    /// assert_eq!(cache.get(&1).as_deref(), Some("short"));
    /// # Ok::<(), brindle::BuildError>(())
    /// ```
    ///
    /// # Errors
    /// [`TooHeavy`] if the value weighs more than the whole cache may; nothing has changed then.
    ///
    /// # Panics
    /// As [`insert`](Self::insert).
    pub fn try_insert(&self, key: K, value: V) -> Result<Version, TooHeavy<K, V>> {
        let failure = match self.core.write(self.hash(&key), key, value, How { refuse_heavy: true, ..How::PLAIN }) {
            Ok(version) => return Ok(version),
            Err(failure) => failure,
        };
        match failure.why {
            Why::TooHeavy(weight) => Err(TooHeavy { key: failure.key, value: failure.value, weight, capacity: self.capacity() }),
            Why::Superseded(version) => Ok(version),
            Why::Conflict(current) => Ok(known(current)),
        }
    }

    /// As [`insert`](Self::insert), with a time to live of its own instead of the cache's (and instead of what
    /// [`Expiry`](crate::Expiry) says). Zero: the value is never served. `Duration::MAX`: as long as there is room.
    ///
    /// ```
    /// use std::time::Duration;
    /// let (clock, time) = brindle::Clock::mock();
    /// let cache = brindle::Cache::builder().max_capacity(100).clock(clock).build()?;
    /// cache.insert_with_ttl("k", 1, Duration::from_secs(5));
    /// time.advance(Duration::from_secs(5));
    /// assert_eq!(cache.get("k"), None);
    /// # Ok::<(), brindle::BuildError>(())
    /// ```
    pub fn insert_with_ttl(&self, key: K, value: V, ttl: Duration) -> Version {
        self.write_or_known(key, value, How { ttl: Some(ttl), ..How::PLAIN })
    }

    /// Writes a value if the key has none.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// assert!(cache.insert_if_absent("k", 1).is_ok());
    /// let conflict = cache.insert_if_absent("k", 2).unwrap_err();
    /// assert_eq!((conflict.value, *conflict.current.unwrap()), (2, 1));
    /// ```
    ///
    /// # Errors
    /// [`Conflict`] with the value and the entry that is there.
    ///
    /// # Panics
    /// As [`insert`](Self::insert).
    pub fn insert_if_absent(&self, key: K, value: V) -> Result<Version, Conflict<K, V>> {
        self.compare_and_swap(key, Expected::Absent, value)
    }

    /// Writes the value that the source of truth has at version `source`, if that is news: newer than the entry that is there or, if
    /// there is none, than what is still known of the key from its removal, its invalidation or its eviction.
    ///
    /// So the same writes and invalidations end in the same state in whatever order they arrive. How long that is known of absent keys, and at
    /// what price, [`Ordering`](crate::Ordering) says. An evicted or expired state may be written again. Keys whose 64-bit hashes are
    /// equal share what is known.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert_at("k", "newer", 7).unwrap();
    /// let late = cache.insert_at("k", "older", 6).unwrap_err();
    /// assert_eq!((late.value, late.current.source()), ("older", 7));
    /// ```
    ///
    /// # Errors
    /// [`Superseded`] with the value and the version that stands in the way.
    ///
    /// # Panics
    /// As [`insert`](Self::insert).
    pub fn insert_at(&self, key: K, value: V, source: u64) -> Result<Version, Superseded<K, V>> {
        let how = How { claim: Claim::At(source), ..How::PLAIN };
        self.core.write(self.hash(&key), key, value, how).map_err(|failure| {
            let current = known_of(failure.why);
            Superseded { key: failure.key, value: failure.value, current }
        })
    }

    /// Writes a value if the key is in the expected state. Of any number of calls that expect the same version, one wins.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// let version = cache.compare_and_swap("k", None, 1).unwrap();
    /// assert!(cache.compare_and_swap("k", version, 2).is_ok());
    /// let conflict = cache.compare_and_swap("k", version, 3).unwrap_err();
    /// assert_eq!((conflict.value, *conflict.current.unwrap()), (3, 2));
    /// ```
    ///
    /// # Errors
    /// [`Conflict`] with the value and the entry that is there. In a cache with [`versioned_by`](Builder::versioned_by) also when the
    /// value is not newer than what is known.
    ///
    /// # Panics
    /// As [`insert`](Self::insert).
    pub fn compare_and_swap(&self, key: K, expected: impl Into<Expected>, value: V) -> Result<Version, Conflict<K, V>> {
        let hash = self.hash(&key);
        let how = How { condition: Condition::If(expected.into()), ..How::PLAIN };
        self.core.write(hash, key, value, how).map_err(|failure| {
            let current = match failure.why {
                Why::Conflict(current) => current,
                Why::Superseded(_) | Why::TooHeavy(_) => {
                    self.core.glance(hash, &failure.key).map(|found| self.core.guard(hash, &found))
                }
            };
            Conflict { key: failure.key, value: failure.value, current }
        })
    }

    /// One key, to be read and written at once: see [`EntryOf::and_compute_with`].
    pub fn entry(&self, key: K) -> EntryOf<'_, K, V, S> {
        EntryOf { cache: self, key }
    }

    /// Removes the entry of `key` and gives its value, cloned. No read that starts after the call sees it. `V` need not be `Clone` for
    /// [`invalidate`](Self::invalidate).
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert("k", 1);
    /// assert_eq!(cache.remove("k"), Some(1));
    /// assert_eq!(cache.remove("k"), None);
    /// ```
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: Clone,
    {
        self.core.remove(self.hash(key), key)
    }

    /// Removes the entry of `key` if `wanted` says so of it, and gives its value, cloned. `wanted` runs under no lock; if the entry
    /// changes meanwhile it is asked again.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert("k", 1);
    /// assert_eq!(cache.remove_if("k", |_, value| *value > 1), None);
    /// assert_eq!(cache.remove_if("k", |_, value| *value == 1), Some(1));
    /// ```
    pub fn remove_if<Q>(&self, key: &Q, wanted: impl FnMut(&K, &V) -> bool) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: Clone,
    {
        self.core.remove_if(self.hash(key), key, wanted)
    }

    /// Removes every entry of which `keep` says no. `keep` runs under no lock, and again for an entry that changes meanwhile.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// (0..10).for_each(|key| { cache.insert(key, key); });
    /// cache.retain(|_, value| value % 2 == 0);
    /// assert_eq!(cache.len(), 5);
    /// ```
    pub fn retain(&self, keep: impl FnMut(&K, &V) -> bool) {
        self.core.retain(|key| self.hash(key), keep);
    }

    /// Removes the entry of `key`; tells whether there was one. No read that starts after the call sees it. Of an entry that had a
    /// source version, a tombstone keeps that version and older ones out.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert("k", 1);
    /// assert!(cache.invalidate("k"));
    /// assert!(!cache.contains_key("k"));
    /// ```
    pub fn invalidate<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.core.invalidate(self.hash(key), key)
    }

    /// Declares every state of `key` below source version `source` dead, those that are yet to arrive as well: call it when the source
    /// has committed that version. The state at `source` itself is welcome whenever it comes. False if a state as new is there already,
    /// which stays.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert_at("k", "old", 6).unwrap();
    /// assert!(cache.invalidate_at("k", 7));
    /// assert!(cache.insert_at("k", "late", 6).is_err());
    /// assert!(cache.insert_at("k", "current", 7).is_ok());
    /// assert!(!cache.invalidate_at("k", 7));
    /// ```
    pub fn invalidate_at<Q>(&self, key: &Q, source: u64) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.core.invalidate_at(self.hash(key), key, source)
    }

    fn write_or_known(&self, key: K, value: V, how: How) -> Version {
        let written = self.core.write(self.hash(&key), key, value, how);
        written.unwrap_or_else(|failure| known_of(failure.why))
    }
}

/// The version that kept a write from taking place.
fn known_of<K, V>(why: Why<K, V>) -> Version {
    match why {
        Why::Superseded(version) => version,
        Why::Conflict(current) => known(current),
        Why::TooHeavy(_) => known::<K, V>(None),
    }
}

fn known<K, V>(current: Option<EntryRef<K, V>>) -> Version {
    current.map_or(Version::new(0, 0), |entry| entry.version())
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
