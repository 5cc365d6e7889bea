//! Faults that got out of other well-tested crates, and that no other test here is about: each as a test of this one. What holds the rest is said in
//! the table of the README beside this file.

mod common;
#[path = "common/faces.rs"]
mod faces;
mod harness;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::Leased;

use common::Census;
use common::together;
use faces::faces;
use harness::Random;
use harness::watched;

/// A fault of expiry had to be mended twice, as the calls of threads and of tasks were two copies.
#[test]
fn every_face_that_loads_sees_an_entry_expire_at_the_same_moment() {
    watched(|| {
        for face in faces::<u64, u64>() {
            let (clock, hand) = Clock::mock();
            let cache = Cache::builder().max_capacity(10).clock(clock).time_to_live(Duration::from_secs(10)).build().unwrap();
            cache.insert(1, 1);
            hand.advance(Duration::from_nanos(9_999_999_999));
            let loaded = face.call(&cache, &1, || Ok(2));
            assert_eq!(loaded, Ok(if face.reloads { 2 } else { 1 }), "{}: before", face.name);
            hand.advance(Duration::from_nanos(1));
            // Where it was loaded again, its time began anew.
            hand.advance(Duration::from_nanos(if face.reloads { 9_999_999_999 } else { 0 }));
            assert_eq!(face.call(&cache, &1, || Ok(3)), Ok(3), "{}: after", face.name);
        }
    });
}

/// A guard that was dropped leaked its slot: after enough of them nothing fitted any more.
#[test]
fn guards_and_leases_that_are_dropped_give_their_room_back() {
    watched(|| {
        let census = Census::default();
        let cache = Cache::builder().max_capacity(64).stripes(1).build().unwrap();
        let mut memory = 0;
        for round in 0..30_000_u64 {
            let key = round % 100;
            match cache.get_or_lease(&key, None) {
                Leased::Lease(lease) if round % 3 == 0 => drop(lease),
                Leased::Lease(lease) => drop(lease.fill(census.value(key))),
                _ => {}
            }
            // It goes after what it guards.
            let guard = cache.get_ref(&key);
            if round % 5 == 0 {
                cache.invalidate(&key);
            } else if round % 7 == 0 {
                cache.insert(key, census.value(key));
            }
            drop(guard);
            if round == 3_000 {
                memory = cache.memory_used();
            }
        }
        assert!(cache.memory_used() <= memory + memory / 2, "{memory} bytes, then {}", cache.memory_used());
        assert!(census.peak() <= 64 + 600, "{} values at once", census.peak());
        fills(&cache, 64, |key| census.value(key));
        cache.clear();
        cache.reclaim();
        assert_eq!(census.alive(), 0);
    });
}

/// So many entries fit, and no fewer.
#[track_caller]
fn fills<V>(cache: &Cache<u64, V>, entries: u64, value: impl Fn(u64) -> V) {
    cache.clear();
    assert_eq!((cache.len(), cache.weight()), (0, 0), "something is left after `clear`");
    for key in 0..entries {
        cache.insert(1_000_000 + key, value(key));
        assert_eq!(cache.len() as u64, key + 1, "no room for key {key}");
    }
}

/// Weight was left over after `clear`, so the cache stayed empty for ever.
#[test]
fn a_cache_that_is_cleared_in_a_storm_has_all_its_room() {
    watched(|| {
        for round in 0..10 {
            let cache: Cache<u64, u64> =
                Cache::builder().max_capacity(200).stripes(4).weigher(|_, value| *value).build().unwrap();
            together(4, |number| {
                let mut random = Random(round * 10 + number as u64);
                for step in 0..3_000 {
                    let key = random.below(150);
                    match random.below(8) {
                        0 if number == 0 => cache.clear(),
                        0 => drop(cache.get_or_lease(&key, Some(Duration::ZERO))),
                        1 => _ = cache.remove(&key),
                        2 => drop(cache.get_ref(&key)),
                        3 => _ = cache.get_with(&key, || random.below(5)),
                        4 => drop(cache.transaction(|t| (key..key + 3).for_each(|key| t.insert(key, step % 4)))),
                        _ => _ = cache.insert(key, random.below(5)),
                    }
                }
            });
            assert!(cache.weight() <= 200, "too much weight: {}", cache.weight());
            fills(&cache, 200, |_| 1);
        }
    });
}

/// After puts of other weights and removals the weight went below zero, and the cache was full for ever.
#[test]
fn weights_add_up_after_any_churn() {
    watched(|| {
        for seed in 0..5 {
            let (clock, hand) = Clock::mock();
            let builder = Cache::builder().max_capacity(1_000).stripes(2).clock(clock).weigher(|_, value: &u64| *value);
            let cache: Cache<u64, u64> = builder.build().unwrap();
            let mut random = Random(seed);
            for step in 0..20_000_u64 {
                let (key, weight) = (random.below(60), random.below(120));
                match random.below(6) {
                    0 => _ = cache.remove(&key),
                    1 => _ = cache.insert_with_ttl(key, weight, Duration::from_secs(random.below(5))),
                    2 => hand.advance(Duration::from_millis(random.below(500))),
                    _ => _ = cache.insert(key, weight),
                }
                let (said, capacity) = (cache.weight(), cache.capacity());
                assert!(said <= capacity, "seed {seed}, step {step}: {said} of {capacity}");
            }
            (0..60).for_each(|key| _ = cache.remove(&key));
            assert_eq!((cache.len(), cache.weight()), (0, 0), "seed {seed}");
            fills(&cache, 1_000, |_| 1);
        }
    });
}

/// Under writes that use the same keys again and again eviction stalled, and memory grew for good.
#[test]
fn eviction_goes_on_whatever_keys_are_written_again() {
    watched(|| {
        let census = Census::default();
        let cache = Cache::builder().max_capacity(100).stripes(2).build().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        thread::scope(|scope| {
            for number in 0..3_u64 {
                let (cache, census, over) = (&cache, &census, Arc::clone(&over));
                scope.spawn(move || {
                    let mut random = Random(number);
                    while !over.load(SeqCst) {
                        // A few keys all the time, and many now and then.
                        let key = if random.below(4) > 0 { random.below(20) } else { random.below(2_000) };
                        cache.insert(key, census.value(key));
                    }
                });
            }
            let mut evicted = 0;
            for round in 0..20 {
                let before = census.peak();
                while cache.stats().evicted <= evicted + 200 {
                    thread::yield_now();
                }
                evicted = cache.stats().evicted;
                assert!(census.peak() <= 3_000, "round {round}: {before}, then {} values at once", census.peak());
            }
            over.store(true, SeqCst);
        });
        assert!(cache.len() <= 100, "{} entries", cache.len());
        fills(&cache, 100, |key| census.value(key));
        cache.clear();
        cache.reclaim();
        assert_eq!(census.alive(), 0);
    });
}
