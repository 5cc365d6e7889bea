//! A contender ready to run, whatever its type. The loops behind these calls are compiled for each type.

use std::time::Duration;

use super::family::Family;
use crate::latency;
use crate::workload;
use crate::workload::Key;
use crate::workload::Mix;
use crate::workload::Scenario;
use crate::workload::Tally;
use crate::workload::Target;
use crate::workload::Value;

pub trait Subject<K = u64> {
    fn play(&self, mix: Mix, keys: &[K]);
    fn race(&self, mix: Mix, batches: &[Vec<K>]) -> (Duration, Tally);
    fn latencies(&self, batches: &[Vec<K>]) -> Vec<u32>;
    fn settle(&self);
    /// How many of these keys are there.
    fn count(&self, keys: &[K]) -> usize;
}

/// Built and filled as the scenario wants it.
pub(super) fn build<F: Family, K: Key, V: Value>(scenario: &Scenario) -> Box<dyn Subject<K>> {
    let target = F::filled(scenario.capacity, scenario.filled);
    F::settle::<K, V>(&target);
    Box::new(Ready::<F, K, V>(target))
}

struct Ready<F: Family, K: Key, V: Value>(F::Of<K, V>);

impl<F: Family, K: Key, V: Value> Subject<K> for Ready<F, K, V> {
    fn play(&self, mix: Mix, keys: &[K]) {
        workload::play(&self.0, mix, keys);
    }

    fn race(&self, mix: Mix, batches: &[Vec<K>]) -> (Duration, Tally) {
        workload::race(&self.0, mix, batches)
    }

    fn latencies(&self, batches: &[Vec<K>]) -> Vec<u32> {
        latency::read_through(&self.0, batches)
    }

    fn settle(&self) {
        F::settle(&self.0);
    }

    fn count(&self, keys: &[K]) -> usize {
        keys.iter().filter(|key| self.0.get(key).is_some()).count()
    }
}
