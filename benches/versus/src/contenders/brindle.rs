use brindle::Cache;

use super::Family;
use crate::workload::Value;

pub struct Brindle;

impl Family for Brindle {
    const NAME: &'static str = "brindle";
    const LOADS: bool = true;
    const LOADS_ASYNC: bool = true;

    type Of<V: Value> = Cache<u64, V>;

    fn new<V: Value>(capacity: u64) -> Self::Of<V> {
        Cache::new(capacity)
    }
}
