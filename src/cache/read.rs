//! The reads: none takes a lock, but a snapshot where it must.

use std::hash::BuildHasher;
use std::hash::Hash;

use equivalent::Equivalent;

use crate::entry::Entry;
use crate::entry::EntryRef;

use super::Cache;

impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
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
        self.core.read_value(self.hash(key), key)
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

    /// The values of many keys, cloned, in their order: as so many [`get`](Self::get)s, and at their cost; where the cache is larger than
    /// the processor's caches, at about half of it, as the memory of the keys is waited for together. Others may write in between; for
    /// the values of one moment see [`get_many_snapshot`](Self::get_many_snapshot).
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert("a", 1);
    /// assert_eq!(cache.get_many(["a", "b"]), [Some(1), None]);
    /// ```
    pub fn get_many<'a, Q>(&self, keys: impl IntoIterator<Item = &'a Q>) -> Vec<Option<V>>
    where
        Q: Hash + Equivalent<K> + ?Sized + 'a,
        V: Clone,
    {
        self.core.read_many(keys.into_iter().map(|key| (self.hash(key), key)))
    }

    /// The values of many keys as they were at one moment, cloned, in their order: all that a [`transaction`](Self::transaction) wrote,
    /// or nothing of it. `None` where the key was absent at that moment.
    ///
    /// Reads twice without a lock and compares the versions; if others wrote in between it tries again, a few times, then takes the
    /// locks of the keys' stripes, in order: so it always ends. It takes them as well where a key is absent, as absence has no version.
    /// The policy and the counts learn of one read for each key.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.transaction(|t| {
    ///     t.insert("from", 60);
    ///     t.insert("to", 40);
    /// }).unwrap();
    /// let sum: i32 = cache.get_many_snapshot(["from", "to"]).into_iter().flatten().sum();
    /// assert_eq!(sum, 100);
    /// ```
    pub fn get_many_snapshot<'a, Q>(&self, keys: impl IntoIterator<Item = &'a Q>) -> Vec<Option<V>>
    where
        Q: Hash + Equivalent<K> + ?Sized + 'a,
        V: Clone,
    {
        let keys: Vec<(u64, &Q)> = keys.into_iter().map(|key| (self.hash(key), key)).collect();
        self.core.snapshot(&keys)
    }
}

#[cfg(test)]
mod tests {
    use super::Cache;

    fn samples(cache: &Cache<u64, u64>) -> usize {
        let mut seen = 0;
        cache.core().table.readers.collect(|_| seen += 1);
        seen
    }

    #[test]
    fn the_steering_sees_every_hit_of_a_small_cache() {
        let cache = Cache::new(100);
        cache.insert(1, 1);
        (0..5).for_each(|_| _ = cache.get(&1));
        assert_eq!(samples(&cache), 5);
    }

    #[test]
    fn what_is_there_is_sampled_when_the_cache_gets_smaller() {
        let cache = Cache::new(1 << 20);
        (0..20).for_each(|key| _ = cache.insert(key, key));
        (0..20).for_each(|key| _ = cache.get(&key));
        assert!(samples(&cache) < 10, "few keys of a large one are");
        cache.set_capacity(100);
        (0..20).for_each(|key| _ = cache.get(&key));
        assert_eq!(samples(&cache), 20);
    }
}
