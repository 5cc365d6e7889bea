use brindle::Cache;

use super::Family;
use super::Weigh;
use crate::workload::Key;
use crate::workload::Value;

pub struct Brindle;

impl Family for Brindle {
    const NAME: &'static str = "brindle";
    const LOADS: bool = true;
    const LOADS_ASYNC: bool = true;
    const VERSIONS: bool = true;

    type Of<K: Key, V: Value> = Cache<K, V>;
    type Weighing<K: Key, V: Weigh> = Cache<K, V>;

    fn new<K: Key, V: Value>(capacity: u64) -> Self::Of<K, V> {
        Cache::new(capacity)
    }

    fn weighing<K: Key, V: Weigh>(capacity: u64, _entries: u64) -> Option<Self::Weighing<K, V>> {
        let built = Cache::builder().max_capacity(capacity).weigher(|_: &K, value: &V| value.weight().into()).build();
        Some(built.expect("choices that go together"))
    }
}
