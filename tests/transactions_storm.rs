//! Promises 8, 9 and 7 under a storm: transactions against loads, evictions, expiry, `clear`, `retain`, `set_capacity`, single writes and each other.
//! Nothing hangs, whatever the order of the keys; no weight above the capacity; no mix; nothing lost of values and flights.

mod common;

use std::collections::BTreeMap;
use std::hash::Hash;
use std::hash::Hasher;
use std::sync::Barrier;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::MockClock;
use brindle::Version;

use common::Census;
use common::Counted;
use common::Rng;
use common::dither;
use common::executor::block_on;
use common::together;
use common::watched;

/// A key whose comparison, under the locks too, lets others run.
#[derive(Clone, Copy, Eq, PartialOrd, Ord, Debug)]
struct Key(u64);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        dither();
        self.0 == other.0
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.0);
    }
}

fn permutations(items: &[u64]) -> Vec<Vec<u64>> {
    if items.is_empty() {
        return vec![vec![]];
    }
    let each = items.iter().flat_map(|first| {
        let rest: Vec<u64> = items.iter().copied().filter(|item| item != first).collect();
        permutations(&rest).into_iter().map(|order| [&[*first], &order[..]].concat())
    });
    each.collect()
}

#[test]
fn overlapping_keys_in_every_order_never_deadlock() {
    watched(|| {
        for stripes in [1, 2, 64] {
            let cache: Cache<Key, u64> = Cache::builder().stripes(stripes).build().unwrap();
            let orders = permutations(&[0, 1, 2, 3]);
            // Threads overlap in a part of their keys, and each sees every order against every order of the others.
            together(4, |thread| {
                let mut rng = Rng::new(thread as u64);
                for _ in 0..20 {
                    for order in &orders {
                        let keys: Vec<Key> = order.iter().map(|key| Key(key + rng.below(3))).collect();
                        // Keys come twice, written and ended and expected.
                        let done = cache.transaction(|t| {
                            keys.iter().for_each(|key| t.insert(*key, thread as u64));
                            keys.iter().rev().for_each(|key| t.invalidate(key));
                            keys.iter().take(2).for_each(|key| t.insert(*key, thread as u64));
                            t.read(&Key(rng.below(8)));
                        });
                        if let Err(aborted) = done {
                            assert!(!aborted.others.is_empty() || aborted.value.is_some());
                        }
                        cache.get_many_snapshot(&keys);
                    }
                }
            });
            assert!(cache.len() <= 6);
        }
    });
}

#[test]
fn thousands_of_keys_in_opposite_orders_never_deadlock() {
    watched(|| {
        const KEYS: u64 = 3000;
        let cache: Cache<u64, usize> = Cache::builder().stripes(64).build().unwrap();
        together(4, |thread| {
            let mut rng = Rng::new(thread as u64);
            for round in 0..6 {
                let mut keys: Vec<u64> = (0..KEYS).collect();
                match thread {
                    0 => {}
                    1 => keys.reverse(),
                    _ => rng.shuffle(&mut keys),
                }
                cache.transaction(|t| keys.iter().for_each(|key| t.insert(*key, thread * 100 + round))).unwrap();
                let seen = cache.get_many_snapshot(&keys);
                assert!(seen.iter().all(|value| value.is_some() && *value == seen[0]), "a mix of transactions over all keys");
            }
        });
        assert_eq!(cache.len() as u64, KEYS);
    });
}

/// A state that says of which transaction it is, and knows that it lives.
struct State {
    key: u64,
    number: u64,
    loaded: bool,
    counted: Counted,
}

impl Clone for State {
    fn clone(&self) -> Self {
        dither();
        State { counted: self.counted.clone(), ..*self }
    }
}

const KEYS: u64 = 24;

/// Transactions of one writer, each over all keys, as in `transactions_atomic.rs`, in a cache where everything else happens as well. Others write
/// nothing but what the source says.
struct Storm {
    cache: Cache<Key, State>,
    capacity: u64,
    time: MockClock,
    census: Census,
    source: AtomicU64,
    seen: AtomicU64,
    hits: AtomicU64,
}

impl Storm {
    fn new(capacity: u64, stripes: usize) -> Self {
        let (clock, time) = Clock::mock();
        let builder = Cache::builder().max_capacity(capacity).stripes(stripes).clock(clock);
        let builder = builder.weigher(|_, state: &State| 1 + state.number % 4).time_to_live(Duration::from_secs(20));
        let cache = builder.serve_stale(Duration::from_secs(1)).removal_listener(|_| dither()).build().unwrap();
        let zero = || AtomicU64::new(0);
        Storm { cache, capacity, time, census: Census::default(), source: zero(), seen: zero(), hits: zero() }
    }

    fn state(&self, key: u64, number: u64, loaded: bool) -> State {
        State { key, number, loaded, counted: self.census.value(key) }
    }

    /// What the source has now.
    fn load(&self, key: u64) -> State {
        let number = self.source.load(SeqCst);
        dither();
        self.state(key, number, true)
    }

    fn commit(&self, number: u64, rng: &mut Rng) {
        let mut keys: Vec<u64> = (0..KEYS).collect();
        rng.shuffle(&mut keys);
        self.source.store(number, SeqCst);
        let committed = self.cache.transaction(|t| {
            for key in keys {
                match (key + number) % 6 {
                    0 => t.invalidate(&Key(key)),
                    1 => _ = t.remove(&Key(key)),
                    2 => t.insert_with_ttl(Key(key), self.state(key, number, false), Duration::from_secs(number % 5)),
                    _ => t.insert(Key(key), self.state(key, number, false)),
                }
            }
        });
        assert!(committed.is_ok(), "there is no condition");
        self.seen.fetch_max(number, SeqCst);
    }

    fn judge(&self, key: Option<u64>, state: &State, floor: u64, how: &str) {
        assert!(key.is_none_or(|key| key == state.key), "another key's state");
        assert_eq!(state.counted.id(), state.key);
        assert!(state.number >= floor, "key {}: {} after {floor} was seen, by {how}", state.key, state.number);
        if !state.loaded {
            self.seen.fetch_max(state.number, SeqCst);
        }
        self.hits.fetch_add(1, SeqCst);
    }

    fn read(&self, rng: &mut Rng) {
        let (key, cache, floor) = (rng.below(KEYS), &self.cache, self.seen.load(SeqCst));
        match rng.below(6) {
            0 => _ = cache.with(&Key(key), |state| self.judge(Some(key), state, floor, "with")),
            1 => _ = cache.get_ref(&Key(key)).map(|guard| self.judge(Some(key), &guard, floor, "get_ref")),
            2 => self.judge(Some(key), &cache.get_with(&Key(key), || self.load(key)), floor, "get_with"),
            3 => {
                let state = block_on(cache.get_with_async(&Key(key), async { self.load(key) }));
                self.judge(Some(key), &state, floor, "get_with_async");
            }
            4 => {
                let mut entries = cache.iter();
                loop {
                    let floor = self.seen.load(SeqCst);
                    let Some(entry) = entries.next() else { return };
                    self.judge(Some(entry.key().0), &entry, floor, "iter");
                }
            }
            _ => {
                let keys: Vec<Key> = (0..KEYS).map(Key).collect();
                let states: Vec<State> = cache.get_many_snapshot(&keys).into_iter().flatten().collect();
                let numbers: Vec<u64> = states.iter().filter(|state| !state.loaded).map(|state| state.number).collect();
                assert!(numbers.iter().all(|number| *number == numbers[0]), "a snapshot of a mix: {numbers:?}");
                states.iter().for_each(|state| self.judge(None, state, floor, "snapshot"));
            }
        }
    }

    /// What takes things out, or has no say in what they are.
    fn disturb(&self, rng: &mut Rng) {
        let (key, cache) = (rng.below(KEYS), &self.cache);
        match rng.below(12) {
            0 => cache.clear(),
            1 => cache.retain(|other, _| other.0 != key),
            2 => _ = cache.invalidate(&Key(key)),
            3 => cache.set_capacity(self.capacity / 2),
            4 => cache.set_capacity(self.capacity),
            5 => self.time.advance(Duration::from_secs(1)),
            6 => {
                let far = Key(1000 + rng.below(20));
                let aborted = cache.transaction(|t| {
                    t.invalidate(&Key(key));
                    t.insert(Key(key), self.state(key, u64::MAX, true));
                    let there = cache.insert(far, self.state(far.0, u64::MAX, true));
                    t.expect_version(&far, there);
                    cache.invalidate(&far);
                });
                assert!(aborted.is_err(), "nothing of it is ever seen");
            }
            7 => _ = cache.refresh(&Key(key), || self.load(key)),
            8 => _ = cache.transaction(|t| (0..KEYS).for_each(|key| t.invalidate(&Key(key)))).is_ok(),
            9 => cache.reclaim(),
            _ => {
                _ = cache.transaction(|t| (100..110).for_each(|key| t.insert(Key(key), self.state(key, u64::MAX, true)))).is_ok()
            }
        }
    }

    fn run(&self, rounds: u64) {
        const THREADS: usize = 4;
        let (here, checked) = (Barrier::new(THREADS), Barrier::new(THREADS));
        together(THREADS, |thread| {
            let mut rng = Rng::new(thread as u64 + 77);
            for round in 1..=rounds {
                for step in 0..4 {
                    match thread {
                        0 => self.commit(round * 4 + step, &mut rng),
                        1 => self.disturb(&mut rng),
                        _ => self.read(&mut rng),
                    }
                }
                // All calls have returned.
                here.wait();
                let (weight, capacity) = (self.cache.weight(), self.cache.capacity());
                assert!(weight <= capacity, "{weight} of {capacity} in round {round}");
                assert_eq!(self.cache.stats().flights, 0, "a flight is left in round {round}");
                checked.wait();
            }
        });
        assert!(self.hits.load(SeqCst) > rounds, "too few hits to tell anything");
        self.cache.clear();
        self.cache.reclaim();
        assert_eq!((self.census.alive(), self.cache.weight()), (0, 0));
    }
}

#[test]
fn among_everything_else_nobody_sees_a_mix() {
    watched(|| {
        for (capacity, stripes) in [(100_000, 8), (40, 1), (40, 8), (6, 4)] {
            Storm::new(capacity, stripes).run(250);
        }
    });
}

/// Any number of writers to any keys: every version is given once, and none goes back.
#[test]
fn versions_of_transactions_only_rise() {
    watched(|| {
        const KEYS: u64 = 8;
        for (capacity, stripes) in [(5, 1), (1000, 4)] {
            let cache: Cache<u64, u64> = Cache::builder().max_capacity(capacity).stripes(stripes).build().unwrap();
            let highest: Vec<Mutex<Option<Version>>> = (0..KEYS).map(|_| Mutex::new(None)).collect();
            let values: Mutex<BTreeMap<(u64, Version), u64>> = Mutex::default();
            let look = |key: u64| {
                let known = *highest[key as usize].lock().unwrap();
                let Some(entry) = cache.get_entry(&key) else { return };
                assert!(Some(entry.version) >= known, "{} of {key} after {known:?}", entry.version);
                let mut highest = highest[key as usize].lock().unwrap();
                *highest = (*highest).max(Some(entry.version));
                let before = values.lock().unwrap().insert((key, entry.version), entry.value);
                assert!(before.is_none_or(|before| before == entry.value), "a version of {key} is given twice");
            };
            together(4, |thread| {
                let mut rng = Rng::new(thread as u64 + 1);
                for step in 0..1500_u64 {
                    let (key, other, id) = (rng.below(KEYS), rng.below(KEYS), step * 4 + thread as u64);
                    match rng.below(8) {
                        0 => _ = cache.insert(key, id),
                        1 => _ = cache.invalidate(&key),
                        2 if rng.below(20) == 0 => cache.clear(),
                        2..5 => look(key),
                        _ => {
                            let _ = cache.transaction(|t| {
                                t.insert(key, id);
                                if id.is_multiple_of(3) {
                                    t.remove(&other);
                                } else {
                                    t.insert_at(other, id, id);
                                }
                                t.read(&rng.below(KEYS));
                            });
                            look(key);
                        }
                    }
                }
            });
        }
    });
}

/// Heavy and light values; what does not fit goes at once, and what a transaction replaces makes room first.
#[test]
fn weights_are_kept_by_transactions_of_all_sizes() {
    watched(|| {
        for stripes in [1, 4, 16] {
            for capacity in [0, 1, 10, 1000] {
                let builder = Cache::builder().max_capacity(capacity).stripes(stripes).weigher(|_, weight: &u64| *weight);
                let cache: Cache<u64, u64> = builder.build().unwrap();
                let mut rng = Rng::new(stripes as u64 * 7 + capacity);
                for step in 0..400 {
                    let most = if rng.below(10) == 0 { capacity + 3 } else { capacity / 6 + 2 };
                    let result = cache.transaction(|t| {
                        for _ in 0..rng.below(12) {
                            let key = rng.below(40);
                            match rng.below(5) {
                                0 => t.invalidate(&key),
                                1 => t.insert_at(key, rng.below(most), step),
                                _ => t.insert(key, rng.below(most)),
                            }
                        }
                    });
                    let _ = result;
                    let counted: u64 = cache.iter().map(|entry| *entry).sum();
                    assert!(cache.weight() <= capacity, "{} of {capacity} in {stripes} stripes", cache.weight());
                    assert_eq!(cache.weight(), counted);
                }
                cache.transaction(|t| (0..40).for_each(|key| t.invalidate(&key))).unwrap();
                // The whole capacity is there for a single entry and for many.
                cache.transaction(|t| t.insert(7, capacity)).unwrap();
                assert_eq!((cache.get(&7), cache.weight()), (Some(capacity), capacity));
                cache.transaction(|t| t.insert(7, capacity + 1)).unwrap();
                assert_eq!((cache.get(&7), cache.weight()), (None, 0), "too heavy, as by insert");
                cache.transaction(|t| (0..capacity).for_each(|key| t.insert(key, 1))).unwrap();
                assert_eq!(cache.len() as u64, capacity);
            }
        }
    });
}

/// Plain changes in caches without choices, which evict all the time: of four threads at once.
#[test]
fn plain_transactions_of_more_than_there_is_room_for() {
    watched(|| {
        const THREADS: usize = 4;
        for (capacity, stripes) in [(0, 1), (1, 4), (10, 1), (10, 8), (100, 4)] {
            let census = Census::default();
            let cache: Cache<u64, Counted> = Cache::builder().max_capacity(capacity).stripes(stripes).build().unwrap();
            let (here, checked) = (Barrier::new(THREADS), Barrier::new(THREADS));
            together(THREADS, |thread| {
                let mut rng = Rng::new(thread as u64 + capacity);
                for round in 0..150 {
                    let written = cache.transaction(|t| {
                        for _ in 0..rng.below(30) {
                            let key = rng.below(60);
                            if rng.below(4) == 0 { t.invalidate(&key) } else { t.insert(key, census.value(key)) }
                        }
                    });
                    assert!(written.is_ok());
                    if thread == 0 {
                        cache.set_capacity(capacity / (1 + round % 2));
                    }
                    here.wait();
                    assert!(cache.weight() <= cache.capacity(), "{} of {} in round {round}", cache.weight(), cache.capacity());
                    assert_eq!(cache.weight(), cache.iter().inspect(|entry| assert_eq!(entry.id(), *entry.key())).count() as u64);
                    checked.wait();
                }
            });
            cache.clear();
            cache.reclaim();
            assert_eq!(census.alive(), 0, "values are left");
        }
    });
}
