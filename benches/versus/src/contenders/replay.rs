//! A cache that a trace is replayed against.

use super::family::Family;
use super::family::Weigh;
use crate::workload::Target;
use crate::workload::Value;

pub trait Replay: Send + Sync {
    /// `get`, then `insert` after a miss. Whether it was a hit. A cache that does not weigh ignores the weight.
    fn access(&self, key: u64, weight: u32) -> bool;

    /// Does what the cache puts off.
    fn settle(&self);
}

pub(super) fn plain<F: Family>(capacity: u64) -> Box<dyn Replay> {
    Box::new(Plain::<F>(F::new(capacity)))
}

pub(super) fn weighing<F: Family>(capacity: u64, entries: u64) -> Option<Box<dyn Replay>> {
    F::weighing(capacity, entries).map(|target| Box::new(Weighing::<F>(target)) as Box<dyn Replay>)
}

struct Plain<F: Family>(F::Of<u64, u64>);

impl<F: Family> Replay for Plain<F> {
    fn access(&self, key: u64, _weight: u32) -> bool {
        let found = self.0.get(&key);
        match found {
            Some(value) => assert!(value.belongs_to(key), "another key's value"),
            None => self.0.insert(key, u64::of(key)),
        }
        found.is_some()
    }

    fn settle(&self) {
        F::settle(&self.0);
    }
}

struct Weighing<F: Family>(F::Weighing<u64, Load>);

impl<F: Family> Replay for Weighing<F> {
    fn access(&self, key: u64, weight: u32) -> bool {
        let found = self.0.get(&key);
        match &found {
            Some(value) => assert!(value.belongs_to(key), "another key's value"),
            None => self.0.insert(key, Load { weight, ..Load::of(key) }),
        }
        found.is_some()
    }

    fn settle(&self) {
        F::settle_weighing(&self.0);
    }
}

/// Stands for an object of some size.
#[derive(Clone)]
struct Load {
    check: u64,
    weight: u32,
}

impl Value for Load {
    fn of(token: u64) -> Self {
        Self { check: u64::of(token), weight: 1 }
    }

    fn belongs_to(&self, token: u64) -> bool {
        self.check.belongs_to(token)
    }
}

impl Weigh for Load {
    fn weight(&self) -> u32 {
        self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::Replay;
    use crate::contenders::ALL;
    use crate::contenders::Contender;
    use crate::contenders::ONLY_REPLAYED;

    fn caches() -> impl Iterator<Item = &'static Contender> {
        ALL.iter().chain(ONLY_REPLAYED).filter(|contender| contender.is_cache())
    }

    /// Accesses all these keys, and tells how many hit.
    fn hits(cache: &dyn Replay, keys: u64, weight: u32) -> u64 {
        let hits = (0..keys).map(|key| u64::from(cache.access(key, weight))).sum();
        cache.settle();
        hits
    }

    /// Nearly all of it: some have buckets that overflow, whose hashes are drawn anew in every process; below four fifths it is the
    /// adapter that loses entries.
    fn assert_stays(contender: &Contender, cache: &dyn Replay, weight: u32) {
        assert_eq!(hits(cache, 5_000, weight), 0, "{}", contender.name);
        let again = hits(cache, 5_000, weight);
        assert!(again > 4_000, "{} kept {again} of 5000", contender.name);
    }

    #[test]
    fn what_has_room_stays() {
        for contender in caches() {
            assert_stays(contender, &*contender.replayed(10_000), 1);
        }
    }

    #[test]
    fn weights_count() {
        for contender in caches() {
            let Some(cache) = contender.weighing(100_000, 10_000) else {
                continue;
            };
            assert_stays(contender, &*cache, 10);

            // The same keys, where there is room for half of them at most: how many hit is the policy's affair, but never more than fit.
            let cache = contender.weighing(10_000, 1_000).expect("it could before");
            hits(&*cache, 2_000, 10);
            let again = hits(&*cache, 2_000, 10);
            assert!(again <= 1_100, "{} kept {again} of 1000", contender.name);
        }
    }
}
