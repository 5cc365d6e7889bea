use tinyufo::TinyUfo;

use super::Family;
use super::Weigh;
use crate::workload::Key;
use crate::workload::Target;
use crate::workload::Value;

/// It hashes with ahash, keeps the hash alone and not the key, and may refuse an entry that it thinks little of.
pub struct TinyUfoFamily;

/// Of a cache that weighs, so that weights fit its 16 bits: what is heavier than a sixteenth of the cache counts as that, what is lighter than
/// a millionth as this.
const GRAINS: u64 = 1 << 20;

pub struct Grained<K, V> {
    cache: TinyUfo<K, V>,
    grain: u64,
}

impl Family for TinyUfoFamily {
    const NAME: &'static str = "TinyUFO";

    type Of<K: Key, V: Value> = TinyUfo<K, V>;
    type Weighing<K: Key, V: Weigh> = Grained<K, V>;

    fn new<K: Key, V: Value>(capacity: u64) -> Self::Of<K, V> {
        TinyUfo::new(capacity as usize, capacity as usize)
    }

    fn weighing<K: Key, V: Weigh>(capacity: u64, entries: u64) -> Option<Self::Weighing<K, V>> {
        let grain = (capacity / GRAINS).max(1);
        Some(Grained { cache: TinyUfo::new((capacity / grain) as usize, entries as usize), grain })
    }
}

impl<K: Key, V: Value> Target<K, V> for TinyUfo<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        self.get(key)
    }

    fn insert(&self, key: K, value: V) {
        self.put(key, value, 1);
    }

    fn remove(&self, key: &K) {
        self.remove(key);
    }
}

impl<K: Key, V: Weigh> Target<K, V> for Grained<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        self.cache.get(key)
    }

    fn insert(&self, key: K, value: V) {
        let grains = u64::from(value.weight()).div_ceil(self.grain);
        self.cache.put(key, value, u16::try_from(grains).unwrap_or(u16::MAX));
    }

    fn remove(&self, key: &K) {
        self.cache.remove(key);
    }
}
