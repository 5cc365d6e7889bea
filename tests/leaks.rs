//! Counts every byte: what a cache took it gives back, whatever was done with it, and the same work again takes no more.

#![allow(dropping_copy_types, clippy::type_complexity, reason = "what a call answers is often not the point here")]

#[path = "common/bytes.rs"]
mod bytes;
mod harness;

use std::hash::BuildHasherDefault;
use std::hash::DefaultHasher;
use std::thread;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::Op;
use brindle::Ordering;

use bytes::COMMON;
use bytes::Counting;
use bytes::in_use;
use harness::Ledger;
use harness::Random;
use harness::planned;
use harness::planned_in_drop;
use harness::survives;
use harness::watched;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Runs `test` on a thread with an account of its own.
fn counted(test: impl FnOnce() + Send + 'static) {
    watched(move || {
        // What a thread takes once, it has taken before the count begins.
        Cache::new(1).insert(1, 1);
        survives(|| planned());
        bytes::on(bytes::open(), test);
    });
}

/// Nothing of what `work` took is left, the first time and any other.
#[track_caller]
fn leaves_nothing(name: &str, mut work: impl FnMut()) {
    for round in 0..3 {
        let before = in_use();
        work();
        assert_eq!(in_use() - before, 0, "bytes left by `{name}` in round {round}");
    }
}

/// What a test puts in: something without and something with memory of its own.
trait Item: Clone + Send + Sync + 'static {
    fn of(number: u64) -> Self;
}

impl Item for u64 {
    fn of(number: u64) -> Self {
        number
    }
}

impl Item for String {
    fn of(number: u64) -> Self {
        format!("the value of number {number}")
    }
}

fn small<V: Item + std::hash::Hash + Eq>() -> Cache<V, V> {
    Cache::builder().max_capacity(500).stripes(4).build().unwrap()
}

fn every_way_out<V: Item + std::hash::Hash + Eq>() {
    leaves_nothing("build", || drop(small::<V>()));
    leaves_nothing("fill", || {
        let cache = small::<V>();
        (0..400).for_each(|key| drop(cache.insert(V::of(key), V::of(key))));
    });
    leaves_nothing("evict", || {
        let cache = small::<V>();
        (0..5_000).for_each(|key| drop(cache.insert(V::of(key), V::of(key))));
        assert!(cache.stats().evicted >= 4_500);
    });
    leaves_nothing("replace", || {
        let cache = small::<V>();
        (0..5_000).for_each(|number| drop(cache.insert(V::of(number % 50), V::of(number))));
        (0..500).for_each(|number| drop(cache.entry(V::of(number % 50)).and_compute_with(|_| Op::Put(V::of(number)))));
        assert!(cache.insert_if_absent(V::of(1), V::of(2)).is_err());
    });
    leaves_nothing("remove and clear", || {
        let cache = small::<V>();
        for _ in 0..5 {
            (0..400).for_each(|key| drop(cache.insert(V::of(key), V::of(key))));
            (0..200).for_each(|key| drop(cache.remove(&V::of(key))));
            (200..300).for_each(|key| drop(cache.invalidate(&V::of(key))));
            cache.retain(|key, _| *key != V::of(350));
            cache.clear();
            assert_eq!(cache.len(), 0);
        }
    });
    leaves_nothing("guards", || {
        let cache = small::<V>();
        let mut guards = Vec::new();
        for key in 0..2_000 {
            cache.insert(V::of(key % 700), V::of(key));
            guards.extend(cache.get_ref(&V::of(key % 700)));
        }
        guards.truncate(1_000);
        let walk: Vec<_> = cache.iter().take(300).collect();
        cache.clear();
        cache.reclaim();
        drop(cache);
        drop((guards, walk));
    });
    leaves_nothing("tombstones", || {
        for ordering in [Ordering::PerKey, Ordering::Global] {
            let cache = Cache::builder().max_capacity(100).tombstone_capacity(300).ordering(ordering).build().unwrap();
            for key in 0..2_000 {
                let _ = cache.insert_at(V::of(key), V::of(key), key);
                cache.invalidate_at(&V::of(key / 2), key);
            }
        }
    });
    leaves_nothing("expiry", || {
        let (clock, hand) = Clock::mock();
        let builder = Cache::builder().max_capacity(500).clock(clock).time_to_idle(Duration::from_secs(50));
        let cache = builder.removal_listener(|_| ()).build().unwrap();
        for key in 0..3_000 {
            cache.insert_with_ttl(V::of(key), V::of(key), Duration::from_secs(key % 100));
            hand.advance(Duration::from_millis(700));
            cache.get(&V::of(key / 2));
        }
        assert!(cache.stats().expired > 500);
    });
    leaves_nothing("transactions", transactions::<V>);
    leaves_nothing("deep look-ups", || {
        fn down<V: Item + std::hash::Hash + Eq>(cache: &Cache<V, V>, level: u64) {
            cache.with(&V::of(level), |_| {
                if level > 0 {
                    down(cache, level - 1)
                }
            });
        }
        let cache = small::<V>();
        (0..30).for_each(|key| drop(cache.insert(V::of(key), V::of(key))));
        down(&cache, 29);
    });
}

/// Commits, aborts and panics of few keys and many, and snapshots.
fn transactions<V: Item + std::hash::Hash + Eq>() {
    let cache = small::<V>();
    for round in 0..60 {
        let keys = || (0..if round % 10 == 0 { 700 } else { 5 }).map(|key| V::of(key + round));
        let change = |t: &mut brindle::Transaction<'_, V, V>| {
            keys().for_each(|key| t.insert(key.clone(), key));
            keys().step_by(3).for_each(|key| drop(t.remove(&key)));
            keys().step_by(5).for_each(|key| t.insert_at(key.clone(), key, round));
            keys().step_by(7).for_each(|key| t.expect_version(&key, cache.get_ref(&key).map(|entry| entry.version())));
        };
        drop(cache.transaction(change));
        drop(cache.try_transaction(|t| {
            change(t);
            Err::<(), _>(V::of(round))
        }));
        drop(cache.transaction(|t| {
            change(t);
            t.compare_and_swap(V::of(round + 1), None, V::of(0));
            t.compare_and_swap(V::of(round + 2), None, V::of(0));
        }));
        survives(|| {
            drop(cache.transaction(|t| {
                change(t);
                planned();
            }))
        });
        drop(cache.get_many_snapshot(&keys().collect::<Vec<_>>()));
    }
}

#[test]
fn numbers_leave_nothing() {
    counted(every_way_out::<u64>);
}

#[test]
fn strings_leave_nothing() {
    counted(every_way_out::<String>);
}

/// A value that panics now and then, with memory of its own.
struct Moody(Box<u64>);

impl Clone for Moody {
    fn clone(&self) -> Self {
        if *self.0 % 7 == 3 {
            planned();
        }
        Moody(self.0.clone())
    }
}

impl Drop for Moody {
    fn drop(&mut self) {
        if *self.0 % 11 == 5 {
            planned_in_drop();
        }
    }
}

#[test]
fn panics_leave_nothing() {
    counted(|| {
        leaves_nothing("panics", || {
            let builder = Cache::builder().max_capacity(300).stripes(2).weigher(|_, value: &Moody| {
                if *value.0 % 13 == 4 {
                    planned();
                }
                *value.0 % 4
            });
            let cache = builder
                .removal_listener(|removed| {
                    if *removed.value().0 % 5 == 1 {
                        planned()
                    }
                })
                .build()
                .unwrap();
            for number in 0..4_000 {
                let key = format!("key {}", number % 400);
                survives(|| cache.insert(key.clone(), Moody(Box::new(number))));
                survives(|| drop(cache.get(&key)));
                survives(|| drop(cache.get_ref(&key)));
                survives(|| cache.with(&key, |_| planned()));
                survives(|| {
                    drop(cache.entry(key.clone()).and_compute_with(|_| if number % 3 == 0 { planned() } else { Op::Keep }))
                });
                if number % 5 == 0 {
                    survives(|| drop(cache.remove(&key)));
                }
            }
            survives(|| cache.clear());
            survives(|| cache.reclaim());
            survives(|| drop(cache));
        });
    });
}

fn read_here_and_there(cache: Cache<u64, String>, mut random: Random) {
    for _ in 0..15_000 {
        let key = random.below(20_000);
        assert!(cache.with(&key, |value| value.ends_with(&format!(" {key}"))) != Some(false));
        if key.is_multiple_of(16) {
            drop(cache.get_ref(&key));
        }
    }
}

#[test]
fn growth_with_readers_leaves_nothing() {
    counted(|| {
        let account = bytes::account();
        leaves_nothing("growth", || {
            let cache: Cache<u64, String> = Cache::builder().max_capacity(100_000).stripes(2).build().unwrap();
            let readers: Vec<_> = bytes::on(COMMON, || {
                let reader = |number: u64| {
                    let cache = cache.clone();
                    thread::spawn(move || {
                        Cache::new(1).insert(1, 1);
                        bytes::on(account, || read_here_and_there(cache, Random(number)));
                    })
                };
                (0..2).map(reader).collect()
            });
            for key in 0..20_000 {
                cache.insert(key, format!("value {key}"));
                if key % 5 == 0 {
                    cache.remove(&(key / 2));
                }
            }
            bytes::on(COMMON, || readers.into_iter().for_each(|reader| reader.join().unwrap()));
        });
    });
}

#[test]
fn every_value_is_dropped_once() {
    watched(|| {
        for seed in 0..6 {
            let ledger = Ledger::default();
            let (clock, hand) = Clock::mock();
            let builder = Cache::builder().max_capacity(200).stripes(2).clock(clock).tombstone_capacity(50);
            let cache = builder.weigher(|_, value: &harness::Counted| value.number % 5).removal_listener(drop).build().unwrap();
            let mut random = Random(seed);
            let mut guards = Vec::new();
            for number in 0..6_000 {
                let key = random.below(150);
                match random.below(14) {
                    0..=3 => drop(cache.insert(key, ledger.value(number))),
                    4 => drop(cache.insert_at(key, ledger.value(number), random.below(number + 1))),
                    5 => drop(cache.insert_with_ttl(key, ledger.value(number), Duration::from_secs(random.below(9)))),
                    6 => drop(cache.insert_if_absent(key, ledger.value(number))),
                    7 => drop(cache.entry(key).and_compute_with(|_| Op::Put(ledger.value(number)))),
                    8 => drop(cache.remove(&key)),
                    9 => drop(cache.get(&key)),
                    10 => guards.extend(cache.get_ref(&key)),
                    11 => drop(cache.invalidate_at(&key, number)),
                    12 if number % 200 == 0 => cache.clear(),
                    12 => cache.retain(|_, value| value.number % 97 > 0),
                    _ => hand.advance(Duration::from_millis(random.below(300))),
                }
                if guards.len() > 40 {
                    guards.drain(..30);
                }
            }
            cache.reclaim();
            let held = guards.len();
            assert!(ledger.alive() <= cache.len() + held, "seed {seed}: {} alive of {}", ledger.alive(), ledger.made());
            drop(cache);
            drop(guards);
            ledger.all_dropped_once();
        }
    });
}

#[test]
fn the_same_work_takes_the_same_memory_for_ever() {
    counted(|| {
        let (clock, hand) = Clock::mock();
        let builder = Cache::builder().max_capacity(1_000).stripes(2).clock(clock).tombstone_capacity(400);
        let builder = builder.hasher(BuildHasherDefault::<DefaultHasher>::default());
        let cache: Cache<u64, String, _> = builder.removal_listener(drop).build().unwrap();
        let mut levels = Vec::new();
        for cycle in 0..120_u64 {
            let mut random = Random(cycle % 2);
            for number in 0..3_000 {
                let key = random.below(2_500);
                match random.below(10) {
                    0..=4 => drop(cache.insert(key, String::of(key))),
                    5 => drop(cache.insert_with_ttl(key, String::of(key), Duration::from_secs(random.below(100)))),
                    6 => drop(cache.insert_at(key, String::of(key), cycle * 3_000 + number)),
                    7 => drop(cache.remove(&key)),
                    8 => {
                        let guard = cache.get_ref(&key);
                        cache.invalidate_at(&key, cycle * 3_000 + number);
                        drop(guard);
                    }
                    _ => drop(cache.get(&key)),
                }
                hand.advance(Duration::from_millis(20));
            }
            cache.clear();
            cache.reclaim();
            levels.push(in_use());
        }
        // Lists that double now and then are no leak; what grows cycle after cycle is one.
        let highest = |cycle: usize| *levels[..cycle].iter().max().unwrap();
        let records = (20..levels.len()).filter(|&cycle| levels[cycle] > highest(cycle) + 64).count();
        assert!(records <= 8, "{records} of 100 cycles took more than ever before: {levels:?}");
        assert!(highest(levels.len()) <= 2 * highest(12), "{levels:?}");
        let (said, real) = (cache.memory_used() as i64, in_use());
        assert!((said - real).abs() <= real / 5, "says that it uses {said} bytes, uses {real}");
    });
}

/// A value of which one kind panics when it is dropped.
enum Delicate {
    Sound(#[expect(dead_code, reason = "counts its drop")] harness::Counted),
    Bomb,
}

impl Drop for Delicate {
    fn drop(&mut self) {
        if matches!(self, Delicate::Bomb) {
            planned_in_drop();
        }
    }
}

#[test]
fn a_swap_that_loses_while_another_value_panics_keeps_nothing() {
    watched(|| {
        let (clock, time) = Clock::mock();
        let cache = Cache::builder().stripes(1).clock(clock).build().expect("sound choices");
        let ledger = Ledger::default();
        cache.insert(0, Delicate::Sound(ledger.value(0)));
        // The swap finds these expired, which fills the stripe's batch: their values are dropped in the same call.
        (1..=8).for_each(|key| {
            cache.insert_with_ttl(key, Delicate::Bomb, Duration::from_secs(1));
        });
        let other = Ledger::default();
        (0..62).for_each(|round| {
            cache.insert(100, Delicate::Sound(other.value(round)));
        });
        time.advance(Duration::from_secs(1));
        let lost = survives(|| cache.insert_if_absent(0, Delicate::Sound(other.value(0))).is_err());
        assert_eq!(lost, None, "no value was dropped in the call, so it shows nothing");
        cache.invalidate(&0);
        survives(|| cache.reclaim());
        survives(|| cache.reclaim());
        assert_eq!(ledger.alive(), 0, "the swap still holds the value");
    });
}
