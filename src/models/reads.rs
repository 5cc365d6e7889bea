//! Reads without a lock against writers that reuse what they read.

use std::sync::Arc;

use loom::sync::atomic::AtomicU64;
use loom::sync::atomic::Ordering;

use super::trial::HERE;
use super::trial::Numbers;
use super::trial::beside;
use super::trial::cache;
use super::trial::explore;
use super::trial::roomy;
use super::watched::Watched;

/// A read of key 1, whose value is 10, while the entry ends by `end`, is reclaimed, and its slot used for another key.
fn read_beside(end: fn(&Numbers)) {
    explore(move || {
        let cache = cache(4);
        cache.insert(1, 10);
        let writer = beside(&cache, move |cache| {
            end(cache);
            cache.reclaim();
            // In the slot that was freed.
            cache.insert(2, 20);
        });
        let seen = cache.get(&1);
        assert!(matches!(seen, None | Some(10 | 11)), "{seen:?}");
        writer.join().unwrap();
        assert_ne!(cache.get(&1), Some(10));
    });
}

#[test]
fn a_read_beside_a_replacement() {
    read_beside(|cache| {
        cache.insert(1, 11);
    });
}

#[test]
fn a_read_beside_a_removal() {
    read_beside(|cache| {
        cache.remove(&1);
    });
}

#[test]
fn a_read_beside_an_eviction() {
    read_beside(|cache| cache.set_capacity(0));
}

#[test]
fn a_read_beside_clear() {
    read_beside(Numbers::clear);
}

/// A read, after what the reader does `before`, while `write` puts 11 in the place of 10.
fn read_while_replaced(before: fn(&Numbers), write: fn(&Numbers)) {
    explore(move || {
        let cache = roomy();
        cache.insert(HERE | 1, 10);
        before(&cache);
        let writer = beside(&cache, write);
        assert!(matches!(cache.get(&(HERE | 1)), Some(10 | 11)));
        writer.join().unwrap();
        assert_eq!(cache.get(&(HERE | 1)), Some(11));
    });
}

/// Nobody reclaims: the value is seen by the order of the write alone.
#[test]
fn a_read_beside_a_write() {
    read_while_replaced(|_| {}, |cache| _ = cache.insert(HERE | 1, 11));
}

#[test]
fn a_read_the_short_way_beside_a_replacement() {
    // From its first read on the thread takes the short way.
    let look = |cache: &Numbers| _ = cache.get(&(HERE | 1));
    read_while_replaced(look, |cache| {
        cache.insert(HERE | 1, 11);
        cache.reclaim();
        cache.insert(HERE | 2, 20);
    });
}

/// The first byte of this key's hash is that of a free place, which the short way does not tell apart.
#[test]
fn what_the_short_way_finds_the_long_way_finds() {
    explore(|| {
        let cache = roomy();
        cache.insert(HERE | 1, 10);
        cache.get(&(HERE | 1));
        let writer = beside(&cache, |cache| cache.insert(HERE | 0x100, 20));
        // A look-up within another one goes the long way.
        cache.with(&(HERE | 0x100), |_| assert_eq!(cache.get(&(HERE | 0x100)), Some(20)));
        writer.join().unwrap();
        assert_eq!(cache.get(&(HERE | 0x100)), Some(20));
    });
}

/// What one thread has seen another one sees.
#[test]
fn reads_never_go_back() {
    explore(|| {
        let cache = roomy();
        cache.insert(HERE | 1, 10);
        let seen = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&seen);
        let reader = beside(&cache, move |cache| told.store(cache.get(&(HERE | 1)).unwrap(), Ordering::Release));
        let writer = beside(&cache, |cache| cache.insert(HERE | 1, 11));
        let seen = seen.load(Ordering::Acquire);
        assert!(cache.get(&(HERE | 1)).unwrap() >= seen);
        reader.join().unwrap();
        writer.join().unwrap();
    });
}

#[test]
fn a_closure_looks_at_a_value_that_is_replaced() {
    explore(|| {
        let cache = roomy();
        let (value, witness) = Watched::new();
        cache.insert(HERE | 1, value);
        cache.insert(HERE | 2, Watched::unseen());
        let writer = beside(&cache, |cache| {
            cache.insert(HERE | 1, Watched::unseen());
            cache.reclaim();
        });
        cache.with(&(HERE | 1), |value| {
            cache.with(&(HERE | 2), Watched::look);
            value.look();
        });
        writer.join().unwrap();
        cache.reclaim();
        assert!(witness.is_dropped());
    });
}

/// More look-ups within each other than a thread has words for.
#[test]
fn nested_looks_beside_a_replacement() {
    explore(|| {
        let cache = roomy();
        (1..=4).for_each(|key| {
            cache.insert(HERE | key, Watched::unseen());
        });
        let writer = beside(&cache, |cache| {
            cache.insert(HERE | 4, Watched::unseen());
            cache.reclaim();
        });
        cache.with(&(HERE | 1), |_| {
            cache.with(&(HERE | 2), |_| cache.with(&(HERE | 3), |_| cache.with(&(HERE | 4), Watched::look)))
        });
        writer.join().unwrap();
    });
}
