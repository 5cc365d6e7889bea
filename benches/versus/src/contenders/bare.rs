use ahash::RandomState;
use hashbrown::HashMap;

use super::{Family, Kind};
use crate::workload::{Target, Value, shuffled};

/// A map without any lock, filled once: what a read costs at least.
pub struct Bare;

impl Family for Bare {
    const NAME: &'static str = "bare map";
    const KIND: Kind = Kind::Limit;

    type Of<V: Value> = HashMap<u64, V, RandomState>;

    fn new<V: Value>(_capacity: u64) -> Self::Of<V> {
        HashMap::with_hasher(RandomState::new())
    }

    fn filled<V: Value>(_capacity: u64, n: u64) -> Self::Of<V> {
        shuffled(n).into_iter().map(|key| (key, V::of(key))).collect()
    }
}

impl<V: Value> Target<V> for HashMap<u64, V, RandomState> {
    fn get(&self, key: &u64) -> Option<V> {
        self.get(key).cloned()
    }

    fn insert(&self, _key: u64, _value: V) {
        unreachable!("the limit is only read")
    }

    fn remove(&self, _key: &u64) {
        unreachable!("the limit is only read")
    }

    fn entries(&self) -> usize {
        self.len()
    }

    fn with<R>(&self, key: &u64, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.get(key).map(look)
    }
}
