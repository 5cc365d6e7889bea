//! A contender ready to run, whatever its type. The loops behind these calls are compiled for each type.

use std::time::Duration;

use super::family::Family;
use crate::latency;
use crate::latency::Latencies;
use crate::pin;
use crate::workload;
use crate::workload::Key;
use crate::workload::Mix;
use crate::workload::Scenario;
use crate::workload::Tally;
use crate::workload::Target;
use crate::workload::Value;

pub trait Subject<K = u64> {
    fn play(&self, mix: Mix, keys: &[K]);
    /// Plays each timed batch on a thread of its own, pinned to a core; after the same thread has played its part of `warm`, untimed, since
    /// whoever ran before has swept the processor's caches.
    fn race(&self, mix: Mix, warm: &[Vec<K>], timed: &[Vec<K>]) -> (Duration, Tally);
    fn latencies(&self, batches: &[Vec<K>]) -> Latencies;
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

    fn race(&self, mix: Mix, warm: &[Vec<K>], timed: &[Vec<K>]) -> (Duration, Tally) {
        workload::race_on(&self.0, mix, timed, |nth| {
            pin::pin(nth);
            if let Some(keys) = warm.get(nth) {
                workload::play(&self.0, mix, keys);
            }
        })
    }

    fn latencies(&self, batches: &[Vec<K>]) -> Latencies {
        latency::read_through(&self.0, batches)
    }

    fn settle(&self) {
        F::settle(&self.0);
    }

    fn count(&self, keys: &[K]) -> usize {
        keys.iter().filter(|key| self.0.get(key).is_some()).count()
    }
}
