//! Loads against what fences them: what a load read before comes back from neither the cache nor the flight.

use std::sync::Arc;

use loom::sync::atomic::AtomicU64;
use loom::sync::atomic::Ordering;

use crate::loaded::Loaded;

use super::trial::BUILT;
use super::trial::Numbers;
use super::trial::beside;
use super::trial::cache;
use super::trial::explore;
use super::trial::small;

const OLD: u64 = 10;
const NEW: u64 = 11;
const GROUP: &str = "all";

fn load_beside(change: fn(&Numbers)) {
    load_in(|| cache(4), change);
}

/// The source of truth changes, and the cache learns of it by `change`, while key 1 is loaded.
fn load_in(make: fn() -> Numbers, change: fn(&Numbers)) {
    explore(move || {
        let cache = make();
        let source = Arc::new(AtomicU64::new(OLD));
        let loaded = Arc::clone(&source);
        let loader = beside(&cache, move |cache| cache.get_with(&1, || loaded.load(Ordering::Acquire)));
        source.store(NEW, Ordering::Release);
        change(&cache);
        assert_ne!(cache.get(&1), Some(OLD), "it is fenced");
        assert_eq!(cache.get_with(&1, || source.load(Ordering::Acquire)), NEW, "who comes late does not join");
        assert!(matches!(loader.join().unwrap(), OLD | NEW));
        assert_eq!(cache.get(&1), Some(NEW));
        assert_eq!(cache.stats().flights, 0);
    });
}

#[test]
fn a_load_beside_a_write() {
    load_beside(|cache| {
        cache.insert(1, NEW);
    });
}

#[test]
fn a_load_beside_a_write_with_a_source() {
    load_beside(|cache| {
        cache.insert_at(1, NEW, 5).unwrap();
    });
}

#[test]
fn a_load_beside_a_transaction() {
    load_beside(|cache| {
        cache.transaction(|t| t.insert(1, NEW)).unwrap();
    });
}

#[test]
fn a_load_beside_a_write_through() {
    load_beside(|cache| {
        cache.write_through(1, |_| Ok::<_, ()>(Loaded::new(NEW))).unwrap();
    });
}

#[test]
fn a_load_beside_an_invalidation() {
    load_beside(|cache| {
        cache.invalidate(&1);
    });
}

#[test]
fn a_load_beside_an_invalidation_with_a_source() {
    load_beside(|cache| {
        cache.invalidate_at(&1, 5);
    });
}

#[test]
fn a_load_beside_a_removal() {
    load_beside(|cache| {
        cache.remove(&1);
    });
}

#[test]
fn a_load_beside_a_conditional_removal() {
    load_beside(|cache| {
        cache.remove_if(&1, |_, &value| value == OLD);
    });
}

#[test]
fn a_load_beside_clear() {
    load_beside(Numbers::clear);
}

#[test]
fn a_load_beside_retain() {
    load_beside(|cache| cache.retain(|_, &value| value != OLD));
}

#[test]
fn a_load_beside_the_end_of_its_group() {
    let grouped = || small(4).group_by(|_, _| [GROUP]).build().expect(BUILT);
    load_in(grouped, |cache| {
        cache.invalidate_group(GROUP);
    });
}

/// Of those who want a key at once one loads.
#[test]
fn two_loads_of_a_key() {
    explore(|| {
        let cache = cache(4);
        let loads = Arc::new(AtomicU64::new(0));
        let others = Arc::clone(&loads);
        let other = beside(&cache, move |cache| cache.get_with(&1, || others.fetch_add(1, Ordering::Relaxed)));
        assert_eq!(cache.get_with(&1, || loads.fetch_add(1, Ordering::Relaxed)), 0);
        assert_eq!(other.join().unwrap(), 0);
        assert_eq!(loads.load(Ordering::Relaxed), 1);
    });
}
