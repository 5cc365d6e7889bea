use std::borrow::Borrow;
use std::hash::Hash;
use std::marker::PhantomData;

use ahash::RandomState;
use stretto::Cache;
use stretto::CacheBuilder;
use stretto::Coster;
use stretto::DefaultCacheCallback;
use stretto::DefaultCoster;
use stretto::DefaultUpdateValidator;
use stretto::KeyBuilder;

use super::Family;
use super::Weigh;
use crate::workload::Key;
use crate::workload::Target;
use crate::workload::Value;

/// It evicts from a thread of its own, so it has more entries than it is told to until that has caught up; it keeps hashes and not keys, and
/// drops writes that it has no time for.
pub struct Stretto;

/// As its documentation advises.
const COUNTERS_AN_ENTRY: u64 = 10;

/// Two hashes of a key stand for it.
pub struct Hashed<K> {
    index: RandomState,
    conflict: RandomState,
    key: PhantomData<fn(K)>,
}

impl<K> Hashed<K> {
    fn new() -> Self {
        Self { index: RandomState::new(), conflict: RandomState::new(), key: PhantomData }
    }
}

impl<K: Key> KeyBuilder for Hashed<K> {
    type Key = K;

    fn hash_index<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> u64
    where
        K: Borrow<Q>,
    {
        self.index.hash_one(key)
    }

    fn hash_conflict<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> u64
    where
        K: Borrow<Q>,
    {
        self.conflict.hash_one(key)
    }
}

/// Asks the value.
pub struct ByValue<V>(PhantomData<fn(V)>);

impl<V: Weigh> Coster for ByValue<V> {
    type Value = V;

    fn cost(&self, value: &V) -> i64 {
        value.weight().into()
    }
}

type Of<K, V, C> = Cache<K, V, Hashed<K>, C, DefaultUpdateValidator<V>, DefaultCacheCallback<V>, RandomState>;

/// Tells a cost on insertion; nought means that its coster is asked.
pub struct Costing<K: Key, V: Value, C: Coster<Value = V>> {
    cache: Of<K, V, C>,
    cost: i64,
}

impl Family for Stretto {
    const MORE_ROOM: bool = true;
    const NAME: &'static str = "stretto";
    const LAGS: bool = true;

    type Of<K: Key, V: Value> = Costing<K, V, DefaultCoster<V>>;
    type Weighing<K: Key, V: Weigh> = Costing<K, V, ByValue<V>>;

    fn new<K: Key, V: Value>(capacity: u64) -> Self::Of<K, V> {
        let cache = builder(capacity, capacity).finalize().expect("a thread can be started");
        Costing { cache, cost: 1 }
    }

    fn weighing<K: Key, V: Weigh>(capacity: u64, entries: u64) -> Option<Self::Weighing<K, V>> {
        let cache = builder(capacity, entries).set_coster(ByValue(PhantomData)).finalize().expect("a thread can be started");
        Some(Costing { cache, cost: 0 })
    }

    fn settle<K: Key, V: Value>(target: &Self::Of<K, V>) {
        target.wait();
    }

    fn settle_weighing<K: Key, V: Weigh>(target: &Self::Weighing<K, V>) {
        target.wait();
    }
}

type Builder<K, V> =
    CacheBuilder<K, V, Hashed<K>, DefaultCoster<V>, DefaultUpdateValidator<V>, DefaultCacheCallback<V>, RandomState>;

fn builder<K: Key, V: Value>(capacity: u64, entries: u64) -> Builder<K, V> {
    let counters = COUNTERS_AN_ENTRY * entries;
    CacheBuilder::new_with_key_builder(counters as usize, capacity as i64, Hashed::new()).set_hasher(RandomState::new())
}

impl<K: Key, V: Value, C: Coster<Value = V>> Costing<K, V, C> {
    fn wait(&self) {
        self.cache.wait().expect("its thread runs");
    }
}

impl<K: Key, V: Value, C: Coster<Value = V>> Target<K, V> for Costing<K, V, C> {
    fn get(&self, key: &K) -> Option<V> {
        self.cache.get(key).map(|value| value.value().clone())
    }

    fn insert(&self, key: K, value: V) {
        self.cache.insert(key, value, self.cost);
    }

    fn remove(&self, key: &K) {
        self.cache.remove(key);
    }

    fn with<R>(&self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.cache.get(key).map(|value| look(value.value()))
    }
}
