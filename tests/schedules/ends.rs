//! What is open when the last handle goes: guards, borrows, walks, loads, leases, tasks. Every value is dropped once.

use shuttle::future::block_on;
use shuttle::future::yield_now;
use shuttle::thread;

use super::common::Census;
use super::common::Counted;
use super::play::play;
use super::stage::FAR;
use super::stage::KEY;
use super::stage::NEAR;
use super::stage::Small;
use super::stage::both;
use super::stage::lease;
use super::stage::one_of;
use super::stage::patiently;
use super::stage::small;
use super::stage::three;

fn counted(census: &Census) -> Small<Counted> {
    let cache = small(4).build().unwrap();
    [KEY, NEAR, FAR].iter().for_each(|&key| _ = cache.insert(key, census.value(key % 10)));
    cache
}

#[test]
fn guards_outlive_the_cache() {
    play(|| {
        let census = Census::default();
        let cache = counted(&census);
        let (guard, other) = (cache.get_ref(&KEY).unwrap(), cache.get_ref(&FAR).unwrap());
        cache.insert(KEY, census.value(0));
        three(
            move || drop(cache),
            move || assert_eq!(guard.id(), KEY),
            move || {
                let clone = other.clone();
                drop(other);
                clone.id();
            },
        );
        assert_eq!(census.alive(), 0);
    });
}

#[test]
fn walks_outlive_their_handles() {
    play(|| {
        let census = Census::default();
        let cache = counted(&census);
        let mut walk = cache.iter();
        let first = walk.next();
        both(
            move || {
                cache.remove(&KEY);
                drop(cache);
            },
            move || {
                walk.for_each(|entry| _ = entry.id());
                drop(first);
            },
        );
        assert_eq!(census.alive(), 0);
    });
}

#[test]
fn a_load_outlives_all_other_handles() {
    play(|| {
        let census = Census::default();
        let (cache, other) = (counted(&census), counted(&census));
        drop(other);
        let (one, two) = (cache.clone(), cache.clone());
        three(
            move || drop(cache),
            move || assert_eq!(one.get_with(&9, || census_value(&census)).id(), 9),
            move || _ = two.get_ref(&9).map(|value| value.id()),
        );
    });
}

fn census_value(census: &Census) -> Counted {
    thread::yield_now();
    census.value(9)
}

#[test]
fn a_lease_outlives_the_cache() {
    play(|| {
        let census = Census::default();
        let cache = counted(&census);
        let lease = lease(&cache, 9);
        let value = census.value(9);
        both(
            move || drop(cache),
            move || match *one_of(&[0, 1, 2]) {
                0 => drop(lease.fill(value)),
                1 => lease.fail("down"),
                _ => drop(lease),
            },
        );
        assert_eq!(census.alive(), 0);
    });
}

#[test]
fn tasks_that_are_dropped_drop_what_they_brought() {
    play(|| {
        let census = Census::default();
        let cache = counted(&census);
        let load = || {
            block_on(patiently(
                *one_of(&[1, 2, 3]),
                cache.get_with_async(&9, async {
                    let value = census.value(9);
                    yield_now().await;
                    value
                }),
            ))
        };
        let (one, two) = both(load, load);
        drop((one, two));
        cache.clear();
        cache.reclaim();
        assert_eq!(census.alive(), 0);
        assert_eq!(cache.stats().flights, 0);
    });
}

#[test]
fn the_cache_ends_while_it_is_written() {
    play(|| {
        let census = Census::default();
        let cache = counted(&census);
        let (one, two) = (cache.clone(), cache.clone());
        three(
            move || drop(cache),
            || {
                (0..3).for_each(|id| _ = one.insert(KEY, census.value(id)));
                drop(one);
            },
            || {
                two.with(&KEY, |value| _ = value.id());
                two.set_capacity(1);
                drop(two);
            },
        );
        assert_eq!(census.alive(), 0);
    });
}
