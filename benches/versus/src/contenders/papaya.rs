use ahash::RandomState;
use papaya::HashMap;

use super::{Family, Kind};
use crate::workload::{Target, Value};

pub struct Papaya;

impl Family for Papaya {
    const NAME: &'static str = "papaya";
    const KIND: Kind = Kind::Map;

    type Of<V: Value> = HashMap<u64, V, RandomState>;

    fn new<V: Value>(_capacity: u64) -> Self::Of<V> {
        HashMap::with_hasher(RandomState::new())
    }
}

impl<V: Value> Target<V> for HashMap<u64, V, RandomState> {
    fn get(&self, key: &u64) -> Option<V> {
        self.pin().get(key).cloned()
    }

    fn insert(&self, key: u64, value: V) {
        self.pin().insert(key, value);
    }

    fn remove(&self, key: &u64) {
        self.pin().remove(key);
    }

    fn entries(&self) -> usize {
        self.len()
    }

    fn with<R>(&self, key: &u64, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.pin().get(key).map(look)
    }
}
