use std::marker::PhantomData;
use std::sync::Mutex;
use std::sync::MutexGuard;

use ahash::RandomState;

use super::Family;
use super::Kind;
use super::Weigh;
use super::moka::Moka;
use super::quick_cache::QuickCache;
use crate::workload::Key;
use crate::workload::Target;
use crate::workload::Value;

/// What teams write around a cache that knows no versions: each value carries its version, and who writes holds one of a fixed number of
/// locks, chosen by the key, from the look at what is there until the write. It forgets the version of what is evicted or removed, so unlike
/// Brindle it lets older state back in after that; a gate that remembers costs more.
pub struct Gate<F>(PhantomData<F>);

const LOCKS: usize = 64;

pub struct Gated<F: Family, K: Key, V: Value> {
    cache: F::Of<K, Versioned<V>>,
    locks: [Mutex<()>; LOCKS],
    hasher: RandomState,
}

#[derive(Clone)]
pub struct Versioned<V> {
    version: u64,
    value: V,
}

impl<V: Value> Value for Versioned<V> {
    fn of(token: u64) -> Self {
        Self { version: 0, value: V::of(token) }
    }

    fn belongs_to(&self, token: u64) -> bool {
        self.value.belongs_to(token)
    }
}

/// A cache that is given a gate.
trait Gateable: Family {
    const GATED: &'static str;
}

impl Gateable for QuickCache {
    const GATED: &'static str = "gated quick_cache";
}

impl Gateable for Moka {
    const GATED: &'static str = "gated moka";
}

impl<F: Gateable> Family for Gate<F> {
    const NAME: &'static str = F::GATED;
    const KIND: Kind = Kind::Gate;
    const REFERENCE: bool = F::REFERENCE;
    const VERSIONS: bool = true;

    type Of<K: Key, V: Value> = Gated<F, K, V>;
    type Weighing<K: Key, V: Weigh> = F::Weighing<K, V>;

    fn new<K: Key, V: Value>(capacity: u64) -> Self::Of<K, V> {
        Gated { cache: F::new(capacity), locks: [const { Mutex::new(()) }; LOCKS], hasher: RandomState::new() }
    }

    fn settle<K: Key, V: Value>(target: &Self::Of<K, V>) {
        F::settle(&target.cache);
    }
}

impl<F: Family, K: Key, V: Value> Gated<F, K, V> {
    fn lock(&self, key: &K) -> MutexGuard<'_, ()> {
        self.locks[self.hasher.hash_one(key) as usize % LOCKS].lock().expect("nobody panics under it")
    }

    fn current(&self, key: &K) -> Option<u64> {
        self.cache.with(key, |entry| entry.version)
    }

    fn write(&self, key: K, value: V, version: u64) {
        self.cache.insert(key, Versioned { version, value });
    }
}

impl<F: Family, K: Key, V: Value> Target<K, V> for Gated<F, K, V> {
    fn get(&self, key: &K) -> Option<V> {
        self.cache.with(key, |entry| entry.value.clone())
    }

    fn insert(&self, key: K, value: V) {
        let _lock = self.lock(&key);
        let next = self.current(&key).map_or(0, |version| version + 1);
        self.write(key, value, next);
    }

    fn remove(&self, key: &K) {
        let _lock = self.lock(key);
        self.cache.remove(key);
    }

    fn insert_at(&self, key: K, value: V, version: u64) -> bool {
        let _lock = self.lock(&key);
        let newer = self.current(&key).is_none_or(|current| current < version);
        if newer {
            self.write(key, value, version);
        }
        newer
    }

    fn swap(&self, key: K, change: impl FnOnce(V) -> V) -> bool {
        let Some(old) = self.cache.get(&key) else {
            return false;
        };
        let value = change(old.value);
        let _lock = self.lock(&key);
        let same = self.current(&key) == Some(old.version);
        if same {
            self.write(key, value, old.version + 1);
        }
        same
    }
}

#[cfg(test)]
mod tests {
    use super::Gate;
    use crate::contenders::brindle::Brindle;
    use crate::contenders::family::Family;
    use crate::contenders::moka::Moka;
    use crate::contenders::quick_cache::QuickCache;
    use crate::workload::Target;

    fn writes_in_order<F: Family>() {
        let target = F::new::<u64, u64>(100);
        assert!(!target.swap(1, |old| old), "there is nothing to replace");
        assert!(target.insert_at(1, 50, 5));
        assert!(!target.insert_at(1, 40, 4), "older");
        assert!(!target.insert_at(1, 51, 5), "the same");
        assert!(target.insert_at(1, 60, 6));
        assert!(target.swap(1, |old| old + 1));
        let overtaken = target.swap(1, |old| {
            assert!(target.insert_at(1, 90, 9));
            old + 1
        });
        assert!(!overtaken, "somebody has written since");
        assert_eq!(target.get(&1), Some(90));
    }

    #[test]
    fn a_gate_refuses_what_brindle_refuses() {
        writes_in_order::<Brindle>();
        writes_in_order::<Gate<QuickCache>>();
        writes_in_order::<Gate<Moka>>();
    }
}
