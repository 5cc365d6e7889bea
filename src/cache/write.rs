//! The writes, removals and invalidations of one key, and those of whatever is there.

use std::hash::BuildHasher;
use std::hash::Hash;
use std::time::Duration;

use equivalent::Equivalent;

use crate::core::How;
use crate::core::Why;
use crate::entry::EntryRef;
use crate::error::Conflict;
use crate::error::Superseded;
use crate::error::TooHeavy;
use crate::rule::swap::Condition;
use crate::rule::swap::Expected;
use crate::rule::version::Claim;
use crate::rule::version::Version;

use super::Cache;

impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// Writes a value, whatever is there, and tells its version. No read that starts after the call sees an older value.
    ///
    /// A value heavier than the whole cache takes effect and is evicted at once: what was there before is gone, and the removal
    /// listener gets the value ([`try_insert`](Self::try_insert) gives it back instead). In a cache with
    /// [`versioned_by`](crate::Builder::versioned_by), a value that is not newer than what is known changes nothing, and the version that is
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
    /// [`TooHeavy`] if the value weighs more than the whole cache may; nothing has changed then, but that a load of the key under way will
    /// not be stored.
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

    /// As [`insert`](Self::insert), into groups of the value's own, beside those that [`group_by`](crate::Builder::group_by) puts it in.
    ///
    /// Groups are told apart by their 64-bit hash, so name a group by the same type everywhere, or by one that hashes alike (`str` for
    /// `String`). The groups are this value's: one that takes its place, from a [refresh](Self::refresh) for example, is in those of `group_by`
    /// alone.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert_in_groups("page", "rendered", ["user 7", "theme dark"]);
    /// assert_eq!(cache.invalidate_group("theme dark"), 1);
    /// assert_eq!(cache.get("page"), None);
    /// ```
    pub fn insert_in_groups<G: Hash>(&self, key: K, value: V, groups: impl IntoIterator<Item = G>) -> Version {
        let grouping = &self.core.settings.grouping;
        let groups: Vec<u64> = groups.into_iter().map(|group| grouping.hash(&group)).collect();
        let written = self.core.write_in_groups(self.hash(&key), key, value, &groups);
        written.unwrap_or_else(|failure| known_of(failure.why))
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
    /// [`Conflict`] with the value and the entry that is there. In a cache with [`versioned_by`](crate::Builder::versioned_by) also when the
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

    /// Ends every entry of a group, and tells how many they were; see [`group_by`](crate::Builder::group_by). After the call no read sees one of
    /// them, and no load that began before it and brings a value for the group is stored, or given to callers that came later. Loads of
    /// other values go on. One stripe after another, so a write that runs at the same time may stay; in a
    /// [transaction](crate::Transaction::invalidate_group) all at once.
    ///
    /// Costs a lock for each stripe, and for each member what [`invalidate`](Self::invalidate) costs. A stripe remembers groups that were
    /// invalidated while loads are under way in it, 4,096 at most: beyond that these loads are fenced, whatever they bring.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert_in_groups("a", 1, [7]);
    /// cache.insert_in_groups("b", 2, [7, 8]);
    /// assert_eq!(cache.invalidate_group(&8), 1);
    /// assert_eq!(cache.invalidate_group(&7), 1);
    /// ```
    pub fn invalidate_group<G: Hash + ?Sized>(&self, group: &G) -> usize {
        self.core.invalidate_group(self.core.settings.grouping.hash(group))
    }

    #[inline(always)]
    fn write_or_known(&self, key: K, value: V, how: How) -> Version {
        let written = self.core.write(self.hash(&key), key, value, how);
        written.unwrap_or_else(|failure| known_of(failure.why))
    }
}

/// The version that kept a write from taking place.
#[cold]
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::cache::Cache;
    use crate::time::Clock;

    #[test]
    fn a_transition_that_began_before_time_mattered_is_told_the_time() {
        let (clock, hand) = Clock::mock();
        let cache: Cache<u64, u64> = Cache::builder().max_capacity(10).clock(clock).build().unwrap();
        hand.advance(Duration::from_nanos(7));
        let told = || cache.core().transition_at(0, None, |_, now| now);
        assert_eq!(told(), 0);
        cache.core().keep_time();
        assert_eq!(told(), 7);
    }
}
