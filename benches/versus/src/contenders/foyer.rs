use ahash::RandomState;
use foyer_memory::Cache;
use foyer_memory::CacheBuilder;
use foyer_memory::EvictionConfig;
use foyer_memory::LfuConfig;
use foyer_memory::S3FifoConfig;

use super::Family;
use super::Weigh;
use crate::workload::Key;
use crate::workload::Target;
use crate::workload::Value;

/// foyer's cache in memory, with S3-FIFO. Its loads are futures that only run inside a runtime of tokio, so it takes no part in rows that load.
pub struct Foyer;

/// The same with W-TinyLFU.
pub struct FoyerLfu;

impl Family for Foyer {
    const NAME: &'static str = "foyer";

    type Of<K: Key, V: Value> = Cache<K, V, RandomState>;
    type Weighing<K: Key, V: Weigh> = Cache<K, V, RandomState>;

    fn new<K: Key, V: Value>(capacity: u64) -> Self::Of<K, V> {
        builder(capacity, S3FifoConfig::default()).build()
    }

    fn weighing<K: Key, V: Weigh>(capacity: u64, _entries: u64) -> Option<Self::Weighing<K, V>> {
        Some(weighing(builder(capacity, S3FifoConfig::default())))
    }
}

impl Family for FoyerLfu {
    const NAME: &'static str = "foyer LFU";

    type Of<K: Key, V: Value> = Cache<K, V, RandomState>;
    type Weighing<K: Key, V: Weigh> = Cache<K, V, RandomState>;

    fn new<K: Key, V: Value>(capacity: u64) -> Self::Of<K, V> {
        builder(capacity, LfuConfig::default()).build()
    }

    fn weighing<K: Key, V: Weigh>(capacity: u64, _entries: u64) -> Option<Self::Weighing<K, V>> {
        Some(weighing(builder(capacity, LfuConfig::default())))
    }
}

fn builder<K: Key, V: Value>(capacity: u64, eviction: impl Into<EvictionConfig>) -> CacheBuilder<K, V, RandomState> {
    CacheBuilder::new(capacity as usize).with_eviction_config(eviction).with_hash_builder(RandomState::new())
}

fn weighing<K: Key, V: Weigh>(builder: CacheBuilder<K, V, RandomState>) -> Cache<K, V, RandomState> {
    builder.with_weighter(|_, value: &V| value.weight() as usize).build()
}

impl<K: Key, V: Value> Target<K, V> for Cache<K, V, RandomState> {
    fn get(&self, key: &K) -> Option<V> {
        self.get(key).map(|entry| entry.value().clone())
    }

    fn insert(&self, key: K, value: V) {
        self.insert(key, value);
    }

    fn remove(&self, key: &K) {
        self.remove(key);
    }

    fn with<R>(&self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.get(key).map(|entry| look(entry.value()))
    }
}
