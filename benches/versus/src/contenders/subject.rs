//! A contender ready to run, whatever its type. The loops behind these calls are compiled for each type; all the rest once.

use super::family::Family;
use crate::latency;
use crate::latency::Latencies;
use crate::workload;
use crate::workload::Key;
use crate::workload::Mix;
use crate::workload::Scenario;
use crate::workload::Tally;
use crate::workload::Target;
use crate::workload::Value;

pub trait Subject<K = u64>: Sync {
    fn play(&self, mix: Mix, keys: &[K]) -> Tally;
    /// Plays [`Mix::ReadThrough`], with a watch on every call.
    fn time(&self, keys: &[K]) -> Latencies;
    fn settle(&self);
    /// How many of these keys are there.
    fn count(&self, keys: &[K]) -> usize;
}

pub(super) type Build<K> = fn(&Scenario) -> Box<dyn Subject<K>>;

/// With `u64` to `u64`, for all mixes.
pub(super) fn numbers<F: Family>(scenario: &Scenario) -> Box<dyn Subject> {
    ready::<F, u64, u64>(scenario, workload::play, latency::read_through)
}

/// With other entries, for the mixes that take them: whoever builds this waits for each loop that is compiled.
pub(super) fn simple<F: Family, K: Key, V: Value>(scenario: &Scenario) -> Box<dyn Subject<K>> {
    ready::<F, K, V>(scenario, workload::play_simple, |_, _| unreachable!("latencies are those of numbers"))
}

/// Built and filled as the scenario wants it.
fn ready<F: Family, K: Key, V: Value>(
    scenario: &Scenario,
    play: Play<F::Of<K, V>, K>,
    time: fn(&F::Of<K, V>, &[K]) -> Latencies,
) -> Box<dyn Subject<K>> {
    let target = F::filled(scenario.capacity, scenario.filled);
    F::settle(&target);
    Box::new(Ready { target, play, time, settle: F::settle, holds: |target, key| target.get(key).is_some() })
}

type Play<T, K> = fn(&T, Mix, &[K]) -> Tally;

struct Ready<T, K> {
    target: T,
    play: Play<T, K>,
    time: fn(&T, &[K]) -> Latencies,
    settle: fn(&T),
    holds: fn(&T, &K) -> bool,
}

impl<T: Sync, K> Subject<K> for Ready<T, K> {
    fn play(&self, mix: Mix, keys: &[K]) -> Tally {
        (self.play)(&self.target, mix, keys)
    }

    fn time(&self, keys: &[K]) -> Latencies {
        (self.time)(&self.target, keys)
    }

    fn settle(&self) {
        (self.settle)(&self.target);
    }

    fn count(&self, keys: &[K]) -> usize {
        keys.iter().filter(|key| (self.holds)(&self.target, key)).count()
    }
}
