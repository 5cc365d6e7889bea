//! Walks over all entries beside writes.

use super::trial::HERE;
use super::trial::Numbers;
use super::trial::beside;
use super::trial::cache;
use super::trial::explore;
use super::trial::roomy;

#[test]
fn a_walk_does_not_yield_what_was_replaced_before() {
    explore(|| {
        let cache: Numbers = roomy();
        cache.insert(HERE | 1, 10);
        let writer = beside(&cache, |cache| {
            cache.insert(HERE | 1, 11);
        });
        let mut walk = cache.iter();
        // It has guards of a few entries ready.
        let ready = walk.next().map(|entry| *entry);
        let seen = cache.get(&(HERE | 1)).unwrap();
        let from_now_on = cache.iter().chain(walk).map(|entry| *entry);
        assert!(ready.is_some() && from_now_on.into_iter().all(|value| value >= seen));
        writer.join().unwrap();
    });
}

#[test]
fn a_walk_that_is_ready_with_what_is_replaced() {
    explore(|| {
        let cache: Numbers = roomy();
        cache.insert(HERE | 1, 10);
        cache.insert(HERE | 2, 20);
        let mut walk = cache.iter();
        walk.next();
        let writer = beside(&cache, |cache| {
            cache.insert(HERE | 1, 11);
            cache.insert(HERE | 2, 21);
        });
        let seen = [1, 2].map(|key| cache.get(&(HERE | key)).unwrap());
        // The other one is ready.
        if let Some(entry) = walk.next() {
            assert!(*entry >= seen[(*entry.key() & 3) as usize - 1]);
        }
        writer.join().unwrap();
    });
}

#[test]
fn retain_beside_a_replacement() {
    explore(|| {
        let cache = cache(4);
        cache.insert(1, 10);
        let writer = beside(&cache, |cache| {
            cache.insert(1, 9);
        });
        cache.retain(|_, &value| value != 10);
        assert!(matches!(cache.get(&1), None | Some(9)));
        writer.join().unwrap();
        assert_eq!(cache.get(&1), Some(9));
    });
}
