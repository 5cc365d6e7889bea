//! The order of the source decides, not that of arrival.

use crate::rule::tombstone::Ordering;

use super::trial::BUILT;
use super::trial::Numbers;
use super::trial::beside;
use super::trial::cache;
use super::trial::explore;
use super::trial::small;

/// Two who tell of key 1 at once, in whatever order they arrive.
fn arrive(make: fn() -> Numbers, one: fn(&Numbers), other: fn(&Numbers), end: Option<u64>) {
    explore(move || {
        let cache = make();
        let teller = beside(&cache, other);
        one(&cache);
        teller.join().unwrap();
        assert_eq!(cache.get(&1), end);
    });
}

#[test]
fn two_writes_with_sources() {
    let newer = |cache: &Numbers| drop(cache.insert_at(1, 15, 5));
    arrive(|| cache(4), newer, |cache| drop(cache.insert_at(1, 14, 4)), Some(15));
}

#[test]
fn a_late_write_beside_an_invalidation() {
    let invalidate = |cache: &Numbers| assert!(cache.invalidate_at(&1, 5));
    arrive(|| cache(4), invalidate, |cache| drop(cache.insert_at(1, 14, 4)), None);
}

#[test]
fn a_late_write_after_an_eviction() {
    let newer = |cache: &Numbers| {
        cache.insert_at(1, 15, 5).unwrap();
        // It goes, and what is known of it stays.
        cache.set_capacity(0);
        cache.set_capacity(1);
    };
    arrive(|| cache(1), newer, |cache| drop(cache.insert_at(1, 14, 4)), None);
}

/// There is no room for a tombstone: the floor holds.
#[test]
fn a_late_write_below_the_floor() {
    let global = || small(4).ordering(Ordering::Global).tombstone_capacity(0).build().expect(BUILT);
    arrive(global, |cache| assert!(cache.invalidate_at(&1, 5)), |cache| drop(cache.insert_at(1, 14, 4)), None);
}
