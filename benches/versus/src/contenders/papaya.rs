use ahash::RandomState;
use papaya::HashMap;

use super::Family;
use super::Kind;
use super::Weigh;
use crate::workload::Key;
use crate::workload::Target;
use crate::workload::Value;

pub struct Papaya;

impl Family for Papaya {
    const NAME: &'static str = "papaya";
    const KIND: Kind = Kind::Map;

    type Of<K: Key, V: Value> = HashMap<K, V, RandomState>;
    type Weighing<K: Key, V: Weigh> = HashMap<K, V, RandomState>;

    fn new<K: Key, V: Value>(_capacity: u64) -> Self::Of<K, V> {
        HashMap::with_hasher(RandomState::new())
    }
}

impl<K: Key, V: Value> Target<K, V> for HashMap<K, V, RandomState> {
    fn get(&self, key: &K) -> Option<V> {
        self.pin().get(key).cloned()
    }

    fn insert(&self, key: K, value: V) {
        self.pin().insert(key, value);
    }

    fn remove(&self, key: &K) {
        self.pin().remove(key);
    }

    fn with<R>(&self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.pin().get(key).map(look)
    }
}
