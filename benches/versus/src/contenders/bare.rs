use ahash::RandomState;
use hashbrown::HashMap;

use super::Family;
use super::Kind;
use super::Weigh;
use crate::workload::Key;
use crate::workload::Target;
use crate::workload::Value;
use crate::workload::shuffled;

/// A map without any lock, filled once: what a read costs at least.
pub struct Bare;

impl Family for Bare {
    const NAME: &'static str = "bare map";
    const KIND: Kind = Kind::Limit;

    type Of<K: Key, V: Value> = HashMap<K, V, RandomState>;
    type Weighing<K: Key, V: Weigh> = HashMap<K, V, RandomState>;

    fn new<K: Key, V: Value>(_capacity: u64) -> Self::Of<K, V> {
        HashMap::with_hasher(RandomState::new())
    }

    fn filled<K: Key, V: Value>(_capacity: u64, n: u64) -> Self::Of<K, V> {
        let pair = |number| {
            let key = K::of(number);
            let value = V::of(key.token());
            (key, value)
        };
        shuffled(n).into_iter().map(pair).collect()
    }
}

impl<K: Key, V: Value> Target<K, V> for HashMap<K, V, RandomState> {
    fn get(&self, key: &K) -> Option<V> {
        self.get(key).cloned()
    }

    fn insert(&self, _key: K, _value: V) {
        unreachable!("the limit is only read")
    }

    fn remove(&self, _key: &K) {
        unreachable!("the limit is only read")
    }

    fn with<R>(&self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.get(key).map(look)
    }
}
