//! Changes of many keys that take effect at once. While the body of a transaction runs they are only noted here; the core commits them.

use std::cmp::Ordering;
use std::fmt;
use std::hash::BuildHasher;
use std::hash::Hash;
use std::time::Duration;

use equivalent::Equivalent;
use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::core::Change;
use crate::core::How;
use crate::error::Aborted;
use crate::error::TransactionError;
use crate::error::WhyAborted;
use crate::rule::swap::Expected;
use crate::rule::version::Claim;
use crate::rule::version::Version;

use super::Cache;

/// Up to so many changes are searched one by one.
const FEW: usize = 8;

/// The changes that a [`transaction`](Cache::transaction) is to make. They are noted, and take effect together when its body has
/// returned.
///
/// Of several changes of one key the last decides what becomes of it, and only that is ever seen; what the earlier ones said of the
/// source stays true. Conditions are about what is in the cache when the transaction commits, never about its own changes; where
/// there are several for one key, all must hold.
pub struct Transaction<'a, K, V, S = ahash::RandomState> {
    cache: &'a Cache<K, V, S>,
    changes: SmallVec<[Change<K, V>; 4]>,
    /// Places in `changes` by hash, once they are many.
    places: HashTable<usize>,
    /// Groups that end, by hash.
    groups: Vec<u64>,
    /// The change with which the transaction contradicts itself.
    doomed: Option<(usize, WhyAborted)>,
}

impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// Makes all the changes that `body` notes, at once, or none.
    ///
    /// At once means: after any of its new values has been seen, none of the values that it replaced or invalidated can be read, by
    /// whatever read, on any thread; snapshots see all of it or nothing; loads of its keys that are under way are fenced, all of them. A
    /// reader in between may find keys absent. If a condition does not hold ([`compare_and_swap`](Transaction::compare_and_swap),
    /// [`expect_version`](Transaction::expect_version), [`read`](Transaction::read), [`insert_at`](Transaction::insert_at)), nothing has
    /// changed and no load is fenced.
    ///
    /// `body` runs once, under no lock, and may use the cache as it likes. The commit then takes the locks of the stripes of all its
    /// keys, in order, and holds them while it looks at and changes the keys, a few hundred nanoseconds each: reads that take no lock go
    /// on, writers of these stripes wait. It costs about what its writes cost one by one.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert("user:7", "old name");
    /// cache.insert("page:7", "page with the old name");
    /// cache.transaction(|t| {
    ///     t.insert("user:7", "new name");
    ///     t.invalidate(&"page:7");
    /// })?;
    /// assert_eq!(cache.get(&"page:7"), None);
    /// # Ok::<(), brindle::Aborted<&str, &str>>(())
    /// ```
    ///
    /// # Errors
    /// [`Aborted`] with the key whose state is not as it must be, what that is, and all that was to be written.
    ///
    /// # Panics
    /// With what `body` panics with, and as [`insert`](Self::insert): if user code panics that is asked before the commit, or a key's
    /// `Eq`, nothing has changed.
    pub fn transaction<R>(&self, body: impl FnOnce(&mut Transaction<'_, K, V, S>) -> R) -> Result<R, Aborted<K, V>> {
        let mut transaction = Transaction::new(self);
        let result = body(&mut transaction);
        transaction.commit().map(|()| result)
    }

    /// As [`transaction`](Self::transaction), with a body that may give up: then nothing has changed.
    ///
    /// ```
    /// use brindle::TransactionError;
    /// let cache = brindle::Cache::new(100);
    /// cache.insert("from", 10);
    /// let transfer = |amount| cache.try_transaction(|t| {
    ///     let left = t.read(&"from").unwrap_or(0) - amount;
    ///     let there = t.read(&"to").unwrap_or(0);
    ///     t.insert("from", left);
    ///     t.insert("to", there + amount);
    ///     if left < 0 { Err("not enough") } else { Ok(left) }
    /// });
    /// assert!(matches!(transfer(20), Err(TransactionError::Failed("not enough"))));
    /// assert!(matches!(transfer(8), Ok(2)));
    /// ```
    ///
    /// # Errors
    /// [`TransactionError::Failed`] with the error of `body`; [`TransactionError::Aborted`] as for `transaction`.
    ///
    /// # Panics
    /// As `transaction`.
    pub fn try_transaction<R, E>(
        &self,
        body: impl FnOnce(&mut Transaction<'_, K, V, S>) -> Result<R, E>,
    ) -> Result<R, TransactionError<K, V, E>> {
        let mut transaction = Transaction::new(self);
        let result = body(&mut transaction).map_err(TransactionError::Failed)?;
        transaction.commit().map_err(TransactionError::Aborted).map(|()| result)
    }
}

impl<'a, K: Hash + Eq, V, S: BuildHasher> Transaction<'a, K, V, S> {
    fn new(cache: &'a Cache<K, V, S>) -> Self {
        Transaction { cache, changes: SmallVec::new(), places: HashTable::new(), groups: Vec::new(), doomed: None }
    }

    fn commit(&mut self) -> Result<(), Aborted<K, V>> {
        let committed = match self.doomed {
            Some(doomed) => Err(doomed),
            None => self.cache.core.commit(&mut self.changes, &self.groups),
        };
        committed.map_err(|(at, why)| self.aborted(at, why))
    }

    fn aborted(&mut self, at: usize, why: WhyAborted) -> Aborted<K, V> {
        let Change { key, value, .. } = self.changes.swap_remove(at);
        let others = self.changes.drain(..).filter_map(|change| change.key.zip(change.value)).collect();
        Aborted { key: key.expect("an aborted transaction has its keys"), why, value, others }
    }

    /// The value of `key` as the transaction sees it: its own, else what the cache has at this moment, read as by [`Cache::get`].
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: Clone,
    {
        match self.seen(key) {
            Seen::Own(value) => Some(value.clone()),
            Seen::Gone => None,
            Seen::Below(source) => self.look(key, |value, _, reached| (reached >= source).then(|| value.clone())).flatten(),
            Seen::Cache => self.cache.get(key),
        }
    }

    /// As [`get`](Self::get), and if the value comes from the cache (or the key is absent there), the commit expects it to be so still:
    /// what a transaction only reads in this way is, together with what it writes, of one moment.
    pub fn read<Q>(&mut self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        V: Clone,
    {
        let from = match self.seen(key) {
            Seen::Own(value) => return Some(value.clone()),
            Seen::Gone => return None,
            Seen::Below(source) => source,
            Seen::Cache => 0,
        };
        let found = self.look(key, |value, version, reached| (version, (reached >= from).then(|| value.clone())));
        self.expect_version(key, found.as_ref().map(|(version, _)| *version));
        found.and_then(|(_, value)| value)
    }

    /// Is there a value of `key`, as the transaction sees it?
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        match self.seen(key) {
            Seen::Own(_) => true,
            Seen::Gone => false,
            Seen::Below(source) => self.look(key, |_, _, reached| reached >= source) == Some(true),
            Seen::Cache => self.cache.contains_key(key),
        }
    }

    /// Writes a value, as [`Cache::insert`]. In a cache with [`versioned_by`](crate::Builder::versioned_by), as [`insert_at`](Self::insert_at).
    pub fn insert(&mut self, key: K, value: V) {
        self.write(key, value, How::PLAIN);
    }

    /// Writes a value that the source of truth has at version `source`; the transaction aborts if that is no news, see
    /// [`Cache::insert_at`].
    pub fn insert_at(&mut self, key: K, value: V, source: u64) {
        self.write(key, value, How { claim: Claim::At(source), ..How::PLAIN });
    }

    /// Writes a value with a time to live of its own, as [`Cache::insert_with_ttl`].
    pub fn insert_with_ttl(&mut self, key: K, value: V, ttl: Duration) {
        self.write(key, value, How { ttl: Some(ttl), ..How::PLAIN });
    }

    /// Writes a value into groups of its own, as [`Cache::insert_in_groups`].
    pub fn insert_in_groups<G: Hash>(&mut self, key: K, value: V, groups: impl IntoIterator<Item = G>) {
        let grouping = &self.cache.core.settings.grouping;
        let groups = groups.into_iter().map(|group| grouping.hash(&group)).collect();
        let at = self.write(key, value, How::PLAIN);
        self.changes[at].asks().groups = groups;
    }

    /// Writes a value if the key is in the expected state when the transaction commits, which aborts otherwise.
    pub fn compare_and_swap(&mut self, key: K, expected: impl Into<Expected>, value: V) {
        let at = self.write(key, value, How::PLAIN);
        self.changes[at].asks().expected.push(expected.into());
    }

    /// Removes the entry of `key`, whatever it is when the transaction commits, and gives the value as [`get`](Self::get) sees it now.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        V: Clone,
    {
        let value = self.get(key);
        self.invalidate(key);
        value
    }

    /// Removes the entry of `key`, whatever it is when the transaction commits.
    pub fn invalidate<Q>(&mut self, key: &Q)
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let at = self.change(key);
        self.changes[at].end();
    }

    /// Declares every state of `key` below source version `source` dead, as [`Cache::invalidate_at`]. A newer entry stays, and is no
    /// reason to abort.
    pub fn invalidate_at<Q>(&mut self, key: &Q, source: u64)
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let at = self.change(key);
        let change = &mut self.changes[at];
        if change.value.is_some() && matches!(change.asks().claim, Claim::At(own) if own >= source) {
            return;
        }
        // Of an own value whose source nobody knows it cannot be said that it is newer.
        if change.value.is_some() {
            change.end();
        }
        let below = &mut change.asks().below;
        *below = (*below).max(Some(source));
    }

    /// Ends what is in the group when the transaction commits, as [`Cache::invalidate_group`]; what the transaction itself writes stays. The
    /// commit takes the locks of all stripes then.
    pub fn invalidate_group<G: Hash + ?Sized>(&mut self, group: &G) {
        self.groups.push(self.cache.core.settings.grouping.hash(group));
    }

    /// The transaction aborts if `key` is not in this state when it commits. The key is not changed, and its loads are not fenced.
    pub fn expect_version<Q>(&mut self, key: &Q, expected: impl Into<Expected>)
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let at = self.change(key);
        self.changes[at].asks().expected.push(expected.into());
    }

    /// What the transaction itself says of `key`.
    fn seen<Q>(&self, key: &Q) -> Seen<'_, V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        if self.changes.is_empty() {
            return Seen::Cache;
        }
        let Some(at) = self.find(self.cache.hash(key), key) else { return Seen::Cache };
        let Change { value, gone, asks, .. } = &self.changes[at];
        match (value, gone, asks.as_ref().and_then(|asks| asks.below)) {
            (Some(value), _, _) => Seen::Own(value),
            (None, true, _) => Seen::Gone,
            (None, false, Some(source)) => Seen::Below(source),
            (None, false, None) => Seen::Cache,
        }
    }

    /// Reads what the cache has: the value, its version, and the source that it is known to have reached.
    fn look<Q, R>(&self, key: &Q, take: impl FnOnce(&V, Version, u64) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.cache.core.read(self.cache.hash(key), key, |found| take(&found.pair().1, found.version(), found.reached()))
    }

    #[inline]
    fn find<Q>(&self, hash: u64, key: &Q) -> Option<usize>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let is = |&at: &usize| self.changes[at].hash == hash && key.equivalent(self.changes[at].key());
        if self.changes.len() <= FEW {
            return (0..self.changes.len()).find(is);
        }
        self.places.find(hash, is).copied()
    }

    /// The place of the change of `key`, made if there is none.
    fn change<Q>(&mut self, key: &Q) -> usize
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.cache.hash(key);
        self.find(hash, key).unwrap_or_else(|| self.add(hash, key.to_owned()))
    }

    #[inline]
    fn add(&mut self, hash: u64, key: K) -> usize {
        let at = self.changes.len();
        self.changes.push(Change::new(hash, key));
        let unnoted = match at.cmp(&FEW) {
            Ordering::Less => return at,
            Ordering::Equal => 0,
            Ordering::Greater => at,
        };
        let changes = &self.changes;
        for at in unnoted..=at {
            self.places.insert_unique(changes[at].hash, at, |&at| changes[at].hash);
        }
        at
    }

    /// Notes a value, and gives the place of the change.
    #[inline]
    fn write(&mut self, key: K, value: V, how: How) -> usize {
        let claim = self.cache.core.claim(&key, &value, how.claim);
        let hash = self.cache.hash(&key);
        let at = self.find(hash, &key).unwrap_or_else(|| self.add(hash, key));
        if let Claim::At(source) = claim {
            self.say(at, source);
        }
        let change = &mut self.changes[at];
        // The `Drop` of what it replaces may panic: dropped last.
        let _former = change.value.replace(value);
        change.gone = false;
        if change.asks.is_some() || claim != Claim::Unversioned || how.ttl.is_some() {
            let asks = change.asks();
            (asks.claim, asks.ttl, asks.groups) = (claim, how.ttl, Vec::new());
        }
        at
    }

    /// The source has a state of version `source`. An older one than was said before, or is dead, is no news.
    fn say(&mut self, at: usize, source: u64) {
        let asks = self.changes[at].asks();
        let known = asks.said.max(asks.below);
        match known.filter(|&known| known > source) {
            Some(known) => {
                let why = WhyAborted::Superseded { current: Version::new(known, 0) };
                self.doomed.get_or_insert((at, why));
            }
            None => {
                asks.first_said.get_or_insert(source);
                asks.said = Some(source);
            }
        }
    }
}

/// What a transaction says of a key.
enum Seen<'a, V> {
    Own(&'a V),
    Gone,
    /// What the cache has, unless its source is older than this.
    Below(u64),
    Cache,
}

impl<K, V, S> fmt::Debug for Transaction<'_, K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("changes", &self.changes.len()).finish_non_exhaustive()
    }
}
