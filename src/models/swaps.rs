//! Compare-and-swap: one of those who expect the same version wins, and no version comes again.

use crate::core::Op;

use super::trial::Numbers;
use super::trial::beside;
use super::trial::cache;
use super::trial::explore;

fn increment(cache: &Numbers) {
    cache.entry(1).and_compute_with(|entry| Op::Put(entry.map_or(0, |entry| **entry) + 1));
}

#[test]
fn of_three_swappers_one_wins() {
    explore(|| {
        let cache = cache(4);
        let version = cache.insert(1, 10);
        let swap = move |cache: &Numbers, value| cache.compare_and_swap(1, version, value).is_ok();
        let others = [11, 12].map(|value| beside(&cache, move |cache| (swap(cache, value), value)));
        let mut won = vec![(swap(&cache, 13), 13)];
        won.extend(others.map(|other| other.join().unwrap()));
        won.retain(|(won, _)| *won);
        assert_eq!(won.len(), 1);
        assert_eq!(cache.get(&1), Some(won[0].1));
    });
}

#[test]
fn a_swap_beside_a_removal_and_the_same_value_again() {
    explore(|| {
        let cache = cache(4);
        let version = cache.insert(1, 10);
        let other = beside(&cache, |cache| {
            cache.remove(&1);
            cache.insert(1, 10);
        });
        let swapped = cache.compare_and_swap(1, version, 11).is_ok();
        other.join().unwrap();
        // If it won it came first.
        assert_eq!(cache.get(&1), Some(10), "swapped: {swapped}");
    });
}

#[test]
fn no_increment_is_lost() {
    explore(|| {
        let cache = cache(4);
        let other = beside(&cache, increment);
        increment(&cache);
        other.join().unwrap();
        assert_eq!(cache.get(&1), Some(2));
    });
}
