//! Promise 9: the weight is at most the capacity when a write returns, the capacity is the whole cache's, and what has left the cache is
//! soon dropped, whoever holds whatever.

mod common;

use std::sync::Arc;
use std::sync::Barrier;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::Op;

use common::Census;
use common::Counted;
use common::Itself;
use common::Rng;
use common::together;
use common::watched;

fn weighing(capacity: u64, stripes: usize) -> Cache<u64, u64> {
    Cache::builder().max_capacity(capacity).stripes(stripes).weigher(|_, weight| *weight).build().unwrap()
}

/// What the entries weigh, one by one.
fn counted_weight(cache: &Cache<u64, u64>) -> u64 {
    cache.iter().map(|entry| *entry).sum()
}

#[test]
fn no_write_leaves_the_cache_too_heavy() {
    watched(|| {
        for stripes in [1, 4, 16] {
            for capacity in [0, 1, 2, 10, 1000] {
                let cache = weighing(capacity, stripes);
                let mut rng = Rng::new(stripes as u64 * 31 + capacity);
                for step in 0..1500 {
                    let (key, most) = (rng.below(60), if rng.below(20) == 0 { capacity + 2 } else { capacity / 8 + 2 });
                    let weight = rng.below(most);
                    match rng.below(6) {
                        0 => _ = cache.try_insert(key, weight),
                        1 => _ = cache.entry(key).and_compute_with(|_| Op::Put(weight)),
                        2 => _ = cache.insert_at(key, weight, step),
                        3 => _ = cache.insert_with_ttl(key, weight, Duration::from_secs(1000)),
                        _ => _ = cache.insert(key, weight),
                    }
                    assert!(cache.weight() <= capacity, "{} of {capacity} in {stripes} stripes", cache.weight());
                    if step % 50 == 0 {
                        assert_eq!(cache.weight(), counted_weight(&cache));
                    }
                }
            }
        }
    });
}

#[test]
fn no_thread_leaves_the_cache_too_heavy() {
    watched(|| {
        const THREADS: usize = 4;
        for stripes in [1, 8] {
            let cache = weighing(100, stripes);
            let (here, checked) = (Barrier::new(THREADS), Barrier::new(THREADS));
            together(THREADS, |thread| {
                let mut rng = Rng::new(thread as u64);
                for round in 0..600 {
                    for _ in 0..4 {
                        let weight = if rng.below(10) == 0 { rng.below(120) } else { rng.below(12) };
                        match rng.below(8) {
                            0 => _ = cache.invalidate(&rng.below(80)),
                            1 if thread == 0 => cache.set_capacity(20 + rng.below(100)),
                            _ => _ = cache.insert(rng.below(80), weight),
                        }
                    }
                    // All writes have returned: now the promise holds for all of them.
                    here.wait();
                    assert!(cache.weight() <= cache.capacity(), "{} of {} in round {round}", cache.weight(), cache.capacity());
                    if thread == 1 && round % 16 == 0 {
                        assert_eq!(cache.weight(), counted_weight(&cache));
                    }
                    checked.wait();
                }
            });
        }
    });
}

#[test]
fn a_new_capacity_counts_at_once() {
    watched(|| {
        let cache = weighing(1000, 4);
        (1..=40).for_each(|key| _ = cache.insert(key, 20));
        assert_eq!((cache.weight(), cache.len()), (800, 40));
        for capacity in [799, 500, 19, 0] {
            cache.set_capacity(capacity);
            assert_eq!(cache.capacity(), capacity);
            assert_eq!(cache.weight(), capacity / 20 * 20, "as much as fits stays");
        }
        cache.set_capacity(u64::MAX);
        assert_eq!(cache.capacity(), 1 << 56);
        (1..=40).for_each(|key| _ = cache.insert(key, 1000));
        assert_eq!(cache.len(), 40);
    });
}

#[test]
fn one_entry_may_be_as_heavy_as_the_cache() {
    watched(|| {
        for stripes in [1, 2, 16, 256] {
            let cache = weighing(100, stripes);
            for key in 0..50 {
                cache.insert(key, 100);
                assert_eq!(cache.len(), 1, "one of the two stays, in {stripes} stripes");
                cache.clear();
                assert!(cache.try_insert(key, 100).is_ok());
                assert_eq!((cache.get(&key), cache.weight()), (Some(100), 100), "key {key}, {stripes} stripes");
            }
            let refused = cache.try_insert(7, 101).unwrap_err();
            assert_eq!((refused.key, refused.value, refused.weight, refused.capacity), (7, 101, 101, 100));
        }
    });
}

#[test]
fn a_heavy_entry_in_demand_gets_in_among_others() {
    watched(|| {
        for stripes in [1, 4, 16] {
            let cache = weighing(100, stripes);
            (0..4).for_each(|key| _ = cache.insert(key, 25));
            // The others are never asked for, the heavy one again and again: it gets in once it is worth all that it displaces.
            let admitted = (0..200).any(|_| {
                cache.insert(1000, 100);
                cache.get(&1000).is_some()
            });
            assert!(admitted, "in {stripes} stripes an entry as heavy as the cache cannot be admitted");
        }
    });
}

#[test]
fn what_weighs_nothing_is_never_evicted() {
    watched(|| {
        let cache = weighing(10, 2);
        (0..50).for_each(|key| _ = cache.insert(key, 0));
        (100..2000).for_each(|key| _ = cache.insert(key, 1 + key % 10));
        cache.set_capacity(0);
        assert_eq!((cache.weight(), cache.len()), (0, 50));
        assert!((0..50).all(|key| cache.get(&key) == Some(0)));
        // It may become heavy, and light again; and it may be taken out on purpose.
        cache.set_capacity(10);
        cache.insert(1, 5);
        cache.insert(1, 0);
        cache.insert(2, 5);
        cache.set_capacity(0);
        assert_eq!((cache.get(&1), cache.get(&2)), (Some(0), None));
        cache.insert(3, 1);
        assert_eq!(cache.get(&3), None, "too heavy, and what it replaced is gone");
        assert!(cache.invalidate(&1));
        cache.clear();
        assert!(cache.is_empty());
    });
}

#[test]
fn the_smallest_capacities_work() {
    watched(|| {
        let none: Cache<u64, u64> = Cache::new(0);
        assert!(none.insert(1, 1) < none.insert(1, 2));
        assert_eq!((none.get(&1), none.len(), none.stats().evicted), (None, 0, 2));
        assert_eq!(none.try_insert(1, 3).unwrap_err().capacity, 0);
        for stripes in [1, 16] {
            let one: Cache<u64, u64> = Cache::builder().max_capacity(1).stripes(stripes).build().unwrap();
            for key in 0..200 {
                one.insert(key, key);
                assert!(one.len() == 1 && one.weight() == 1);
            }
            one.clear();
            one.insert(5, 5);
            assert_eq!(one.get(&5), Some(5));
        }
    });
}

/// Also where there are more stripes than entries: whichever stripe a key falls into, it is not the one that always gives way.
#[test]
fn what_is_written_again_and_again_gets_in() {
    watched(|| {
        for (stripes, capacity) in [(2, 1), (4, 1), (4, 3), (8, 4), (16, 1), (16, 8), (16, 17), (1, 4)] {
            for weighted in [false, true] {
                let builder = Cache::builder().max_capacity(capacity).stripes(stripes);
                let builder = if weighted { builder.weigher(|_, _| 1) } else { builder };
                let cache: Cache<u64, u64> = builder.build().unwrap();
                (0..2 * capacity).for_each(|key| _ = cache.insert(key, key));
                for key in 100..200 {
                    let gets_in = (0..50).any(|_| {
                        cache.insert(key, key);
                        cache.contains_key(&key)
                    });
                    assert!(gets_in, "{capacity} entries in {stripes} stripes, weighted {weighted}");
                    assert!(cache.weight() <= capacity);
                }
            }
        }
    });
}

#[test]
fn weights_beyond_all_bounds_are_refused_and_add_up() {
    watched(|| {
        let cache = weighing(u64::MAX, 2);
        assert_eq!(cache.capacity(), 1 << 56);
        cache.insert(1, u64::MAX);
        assert_eq!((cache.get(&1), cache.weight()), (None, 0));
        cache.insert(1, 1 << 56);
        assert_eq!(cache.get(&1), Some(1 << 56));
        for key in 2..20 {
            cache.insert(key, (1 << 56) - key % 3);
            assert!(cache.weight() <= 1 << 56);
        }
        for key in 100..1000 {
            cache.insert(key, u64::MAX - key);
            cache.insert(key, 1);
            assert!(cache.weight() <= 1 << 56);
        }
        cache.clear();
        assert_eq!(cache.weight(), 0);
    });
}

/// As `lib.rs` says: a batch for each stripe (a sixteenth of its share, from 64 to 512), and one for each thread that reclaims.
fn most_alive(residents: u64, stripes: u64, threads: u64) -> usize {
    let batch = (residents / stripes / 16).clamp(64, 512);
    // And what each thread has in its hands.
    (residents + (stripes + threads) * batch + 2 * threads) as usize
}

#[test]
fn values_that_left_are_soon_dropped() {
    watched(|| {
        for (residents, stripes, threads) in [(10, 1, 1), (2000, 4, 1), (64, 2, 3)] {
            let census = Census::default();
            let cache = Cache::builder().max_capacity(residents).stripes(stripes as usize).build().unwrap();
            together(threads as usize, |thread| {
                let mut rng = Rng::new(thread as u64);
                for step in 0..20_000 / threads {
                    // Replaced, evicted, removed.
                    let key = if step % 3 == 0 { rng.next() } else { rng.below(residents) };
                    cache.insert(key, census.value(key));
                    if step % 7 == 0 {
                        cache.invalidate(&rng.below(residents));
                    }
                }
            });
            let most = most_alive(residents, stripes, threads);
            assert!(census.peak() <= most, "{} alive at once, more than {most}", census.peak());
            cache.reclaim();
            assert_eq!(census.alive(), cache.len(), "`reclaim` drops all");
            drop(cache);
            assert_eq!(census.alive(), 0);
        }
    });
}

#[test]
fn expired_values_are_dropped_by_ordinary_traffic() {
    watched(|| {
        let (clock, time) = Clock::mock();
        let census = Census::default();
        let ttl = Duration::from_secs(10);
        let cache = Cache::builder().max_capacity(100_000).stripes(1).time_to_live(ttl).clock(clock).build().unwrap();
        (0..3000).for_each(|key| _ = cache.insert(key, census.value(key)));
        time.advance(ttl);
        (0..3000).for_each(|key| _ = cache.insert(10_000 + key % 10, census.value(key)));
        cache.reclaim();
        assert_eq!((cache.len(), census.alive()), (10, 10));
    });
}

/// What stops the first value that is dropped behind it.
#[derive(Clone, Default)]
struct Brake(Arc<Mutex<Option<Doors>>>);

type Doors = (Sender<()>, Receiver<()>);

impl Brake {
    fn set(&self) -> (Receiver<()>, Sender<()>) {
        let (here, news) = channel();
        let (go, wait) = channel();
        *self.0.lock().unwrap() = Some((here, wait));
        (news, go)
    }
}

struct Braked(#[expect(dead_code, reason = "counted")] Counted, Brake);

impl Drop for Braked {
    fn drop(&mut self) {
        let doors = self.1.0.lock().unwrap().take();
        if let Some((here, wait)) = doors {
            here.send(()).unwrap();
            wait.recv().unwrap();
        }
    }
}

#[test]
fn slow_drops_do_not_raise_what_is_held_back() {
    watched(|| {
        const BATCH: usize = 64;
        let (census, brake) = (Census::default(), Brake::default());
        let cache = Cache::builder().max_capacity(10).stripes(1).build().unwrap();
        let write = || _ = cache.insert(1, Braked(census.value(1), brake.clone()));
        // Several times over: at first the table still grows, and reclaims for that reason.
        for round in (0..6).cycle().take(24) {
            if round == 0 {
                cache.reclaim();
            }
            let (news, go) = brake.set();
            thread::scope(|scope| {
                // One thread writes until it has a batch to reclaim, and is stuck in dropping it.
                let stuck = scope.spawn(|| {
                    while brake.0.lock().unwrap().is_some() {
                        write();
                    }
                });
                news.recv().unwrap();
                // Meanwhile another writes, just less than would make it reclaim if each round had raised what a batch is.
                (0..BATCH + round * (BATCH - 1) - 1).for_each(|_| write());
                go.send(()).unwrap();
                stuck.join().unwrap();
            });
        }
        // Nobody reclaims, reads or holds anything: a batch is what a stripe may keep back.
        let mut most = 0;
        for _ in 0..BATCH * 20 {
            write();
            most = most.max(census.alive());
        }
        assert!(most <= 1 + BATCH + 1, "{most} values of one key are alive");
        cache.reclaim();
        assert_eq!(census.alive(), 1);
    });
}

/// Replaces, evicts and removes for long, and gives the most values that were alive meanwhile.
fn churn(cache: &Cache<u64, Counted, Itself>, census: &Census, writes: u64) -> usize {
    let mut most = 0;
    for step in 0..writes {
        cache.insert(1 + step % 97, census.value(step));
        if step % 5 == 0 {
            cache.invalidate(&(1 + step % 31));
        }
        most = most.max(census.alive());
    }
    most
}

#[test]
fn a_guard_held_long_keeps_only_its_own_value() {
    watched(|| {
        let census = Census::default();
        let cache = Cache::builder().max_capacity(50).stripes(1).hasher(Itself).build().unwrap();
        cache.insert(0, census.value(7));
        let guard = cache.get_ref(&0).unwrap();
        cache.invalidate(&0);
        let memory_of = |rounds| {
            let most = churn(&cache, &census, rounds);
            assert!(most <= most_alive(50, 1, 1) + 1, "{most} alive while one is held");
            cache.memory_used()
        };
        let before = memory_of(20_000);
        let after = memory_of(100_000);
        assert!(after <= before + 4096, "a guard makes memory grow: from {before} to {after}");
        cache.reclaim();
        assert_eq!((census.alive(), guard.id()), (cache.len() + 1, 7));
        drop(guard);
        assert_eq!(census.alive(), cache.len());
    });
}

#[test]
fn a_closure_that_takes_its_time_keeps_only_its_own_value() {
    watched(|| {
        let census = Census::default();
        let cache = Cache::builder().max_capacity(50).stripes(1).hasher(Itself).build().unwrap();
        cache.insert(0, census.value(7));
        let (here, news) = channel();
        let (go, wait) = channel();
        thread::scope(|scope| {
            let (cache, census) = (&cache, &census);
            let slow = scope.spawn(move || {
                cache.with(&0, |value| {
                    here.send(()).unwrap();
                    wait.recv().unwrap();
                    value.id()
                })
            });
            news.recv().unwrap();
            cache.invalidate(&0);
            churn(cache, census, 20_000);
            let before = cache.memory_used();
            let most = churn(cache, census, 100_000);
            assert!(most <= most_alive(50, 1, 1) + 1, "{most} alive while a closure reads one");
            // Growth, too: outgrown arrays are not held back by a closure, and nothing waits.
            assert!(cache.memory_used() <= before + 4096);
            cache.clear();
            cache.set_capacity(10);
            cache.reclaim();
            assert_eq!(census.alive(), 1, "all but the one that is read");
            go.send(()).unwrap();
            assert_eq!(slow.join().unwrap(), Some(7));
        });
        cache.reclaim();
        assert_eq!(census.alive(), 0);
    });
}

#[test]
fn many_guards_on_one_entry_make_nothing_grow() {
    watched(|| {
        let census = Census::default();
        let cache = Cache::builder().max_capacity(20).stripes(1).hasher(Itself).build().unwrap();
        let mut guards = Vec::new();
        for round in 0..500 {
            cache.insert(0, census.value(round));
            guards.push(cache.get_ref(&0).unwrap());
            if guards.len() > 10 {
                // Given back in another order than taken, long after their entry has gone.
                guards.swap_remove(round as usize % 7);
            }
        }
        cache.reclaim();
        assert_eq!(census.alive(), guards.len(), "the newest guard's entry is still resident");
        let ids = AtomicU64::new(0);
        guards.iter().for_each(|guard| _ = ids.fetch_add(guard.id(), SeqCst));
        guards.clear();
        assert_eq!(census.alive(), 1);
    });
}
