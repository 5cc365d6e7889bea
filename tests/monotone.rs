//! Promises 1 (for writes) and 3: what was replaced, removed or invalidated before a read starts is never read, and once anyone has seen
//! a state, nobody later sees an older one. Tiny caches, so that entries come and go and slots are used again all the time.
//!
//! The ledger of a key says what no read that starts now may be below: twice a state's sequence number, and one more where that state is
//! dead. A write raises it when it returns, a read raises it to what it saw, a removal, when it returns, makes odd what it was when the
//! removal began, and an invalidation at a source, when it returns, makes dead what is below.

mod common;

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::MockClock;
use brindle::Ordering;
use brindle::Version;

use common::Census;
use common::Flat;
use common::Rng;
use common::dither;
use common::together;
use common::watched;

/// A key whose hashing and comparison take their time.
#[derive(Debug, Clone, Copy, Eq)]
struct Key(u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        dither();
        hasher.write_u64(self.0);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        dither();
        self.0 == other.0
    }
}

/// The n-th state of a key, whose copying takes its time. The two halves must stay together.
#[derive(Debug)]
struct State {
    key: u64,
    sequence: u64,
    check: u64,
}

impl State {
    fn new(key: u64, sequence: u64) -> Self {
        State { key, sequence, check: key ^ sequence ^ 0x5eed }
    }

    fn read(&self) -> (u64, u64) {
        assert_eq!(self.check, self.key ^ self.sequence ^ 0x5eed, "torn, or read after its end");
        (self.key, self.sequence)
    }
}

impl Clone for State {
    fn clone(&self) -> Self {
        dither();
        let (key, sequence) = self.read();
        dither();
        State::new(key, sequence)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.read();
        // Volatile, or the store to dying memory would be left out.
        // SAFETY: a plain field of a value that is borrowed mutably.
        unsafe { std::ptr::write_volatile(&mut self.check, 0) };
    }
}

const KEYS: u64 = 12;
const THREADS: u64 = 4;
/// No test takes so long that a write lags by more.
const LONG: Duration = Duration::from_secs(3_600);

struct Arena<S> {
    cache: Cache<Key, State, S>,
    ledger: Vec<AtomicU64>,
    /// The last sequence number that each key's writer has begun to write.
    newest: Vec<AtomicU64>,
    /// Writes carry their sequence as source version.
    sourced: bool,
    capacity: u64,
    seen: AtomicU64,
}

impl<S: BuildHasher + Sync> Arena<S> {
    fn new(cache: Cache<Key, State, S>, sourced: bool) -> Self {
        let zeros = || (0..KEYS).map(|_| AtomicU64::new(0)).collect();
        let (capacity, ledger, newest) = (cache.capacity(), zeros(), zeros());
        Arena { cache, ledger, newest, sourced, capacity, seen: AtomicU64::new(0) }
    }

    fn floor(&self, key: u64) -> u64 {
        self.ledger[key as usize].load(SeqCst)
    }

    fn raise(&self, key: u64, floor: u64) {
        self.ledger[key as usize].fetch_max(floor, SeqCst);
    }

    /// Each key has one writer, so that its sequence numbers are written in order.
    fn write(&self, key: u64, sequence: u64) {
        let state = State::new(key, sequence);
        self.newest[key as usize].store(sequence, SeqCst);
        if !self.sourced {
            self.cache.insert(Key(key), state);
        } else if self.cache.insert_at(Key(key), state, sequence).is_err() {
            return;
        }
        self.raise(key, sequence * 2);
    }

    fn read(&self, key: u64, how: u64) {
        let floor = self.floor(key);
        let cache = &self.cache;
        let seen = match how % 6 {
            0 => cache.get(&Key(key)).map(|state| state.read()),
            1 => cache.with(&Key(key), State::read),
            2 => cache.get_ref(&Key(key)).map(|state| state.read()),
            3 => cache.get_entry(&Key(key)).map(|entry| entry.value.read()),
            4 => cache.peek(&Key(key)).map(|state| state.read()),
            _ => {
                let floors: Vec<u64> = (0..KEYS).map(|key| self.floor(key)).collect();
                for entry in cache.iter() {
                    let (key, sequence) = entry.read();
                    assert_eq!(entry.key().0, key);
                    self.judge(key, sequence, floors[key as usize], how);
                }
                return;
            }
        };
        if let Some((of, sequence)) = seen {
            assert_eq!(of, key, "another key's state");
            self.judge(key, sequence, floor, how);
        }
    }

    fn judge(&self, key: u64, sequence: u64, floor: u64, how: u64) {
        assert!(sequence * 2 >= floor, "key {key}: state {sequence} after {} was known, read {}", floor as f64 / 2.0, how % 6);
        self.raise(key, sequence * 2);
        self.seen.fetch_add(1, SeqCst);
    }

    /// Takes something out. What was known before is dead after it.
    fn end(&self, key: u64, how: u64, rng: &mut Rng) {
        let before: Vec<u64> = (0..KEYS).map(|key| self.floor(key)).collect();
        let dead = |key: u64| self.raise(key, before[key as usize] | 1);
        let cache = &self.cache;
        match how % 8 {
            0 | 1 => _ = cache.remove(&Key(key)),
            2 | 3 => _ = cache.invalidate(&Key(key)),
            4 => _ = cache.remove_if(&Key(key), |_, _| true),
            5 => cache.retain(|other, _| other.0 != key),
            6 if rng.below(4) == 0 => {
                cache.clear();
                return (0..KEYS).for_each(dead);
            }
            7 if self.sourced => {
                let source = before[key as usize] / 2 + rng.below(3);
                if cache.invalidate_at(&Key(key), source) {
                    return self.raise(key, (source * 2).saturating_sub(1));
                }
                // For the sake of a state that is there, at that source or above.
                assert!(source <= self.newest[key as usize].load(SeqCst), "there is no such state");
                return self.raise(key, source * 2);
            }
            _ => {
                cache.set_capacity(self.capacity / 2);
                cache.set_capacity(self.capacity);
                return;
            }
        }
        dead(key);
    }

    fn run(&self, steps: u64) {
        together(THREADS as usize, |thread| {
            let mut rng = Rng::new(thread as u64 + 7);
            let mut sequence = 0;
            for _ in 0..steps {
                let key = rng.below(KEYS);
                let how = rng.next();
                match rng.below(10) {
                    0..4 => {
                        // One of this thread's own keys.
                        sequence += 1;
                        let source = if self.sourced { self.floor(key / THREADS * THREADS + thread as u64) / 2 } else { 0 };
                        sequence = sequence.max(source + 1);
                        self.write(key / THREADS * THREADS + thread as u64, sequence);
                    }
                    4 => self.end(key, how, &mut rng),
                    _ => self.read(key, how),
                }
            }
        });
        assert!(self.seen.load(SeqCst) > steps / 20, "too few hits to tell anything");
    }
}

#[test]
fn nothing_old_is_read_after_a_write_or_a_removal() {
    watched(|| {
        for (capacity, stripes) in [(4, 1), (6, 4), (1000, 2)] {
            Arena::new(Cache::builder().max_capacity(capacity).stripes(stripes).build().unwrap(), false).run(2500);
        }
        Arena::new(Cache::builder().max_capacity(7).stripes(1).hasher(Flat).build().unwrap(), false).run(2500);
    });
}

#[test]
fn nothing_old_is_read_where_sources_decide() {
    watched(|| {
        for ordering in [Ordering::PerKey, Ordering::Global] {
            for (capacity, tombstones) in [(6, 65_536), (1000, 65_536), (6, 2)] {
                if (ordering, tombstones) == (Ordering::PerKey, 2) {
                    continue; // Would refuse everything for as long: see `order.rs`.
                }
                let builder = Cache::builder().max_capacity(capacity).stripes(2).ordering(ordering).tombstone_ttl(LONG);
                Arena::new(builder.tombstone_capacity(tombstones).build().unwrap(), true).run(2000);
            }
        }
    });
}

/// Versions of any writers to the same keys: the ledger is of versions, kept under a lock of its own.
#[test]
fn versions_never_go_back_and_are_never_given_twice() {
    watched(|| {
        for (capacity, ordering, tombstones, hashes) in [
            (3, Ordering::PerKey, 65_536, 1),
            (3, Ordering::Global, 1, 1),
            (100, Ordering::Global, 4, 2),
            (3, Ordering::Global, 0, 2),
        ] {
            let builder = Cache::builder().max_capacity(capacity).stripes(hashes).ordering(ordering).tombstone_ttl(LONG);
            let cache = builder.tombstone_capacity(tombstones).build().unwrap();
            let highest: Vec<Mutex<Option<Version>>> = (0..6).map(|_| Mutex::new(None)).collect();
            let learn = |key: u64, version: Version| {
                let mut highest = highest[key as usize].lock().unwrap();
                *highest = (*highest).max(Some(version));
            };
            let written = together(4, |thread| {
                let mut rng = Rng::new(thread as u64 + 99);
                let mut written = Vec::new();
                for step in 0..3000_u64 {
                    let key = rng.below(6);
                    let known = *highest[key as usize].lock().unwrap();
                    let id = step * 4 + thread as u64;
                    match rng.below(12) {
                        0..3 => written.push((key, cache.insert(key, id), id, known)),
                        3 | 4 => {
                            let source = if rng.below(2) == 0 { step } else { known.map_or(0, Version::source) + rng.below(2) };
                            written.extend(cache.insert_at(key, id, source).ok().map(|version| (key, version, id, None)));
                        }
                        5 => _ = cache.invalidate(&key),
                        6 if rng.below(8) == 0 => cache.clear(),
                        6 => _ = cache.invalidate_at(&key, step),
                        _ => {
                            if let Some(entry) = cache.get_entry(&key) {
                                assert!(Some(entry.version) >= known, "{} was read after {known:?}", entry.version);
                                learn(key, entry.version);
                            }
                            continue;
                        }
                    }
                    if let Some((key, version, _, known)) = written.last() {
                        assert!(Some(*version) > *known, "{version} was written after {known:?}");
                        learn(*key, *version);
                    }
                }
                written
            });
            let mut versions = BTreeMap::new();
            for (key, version, id, _) in written.into_iter().flatten() {
                assert_eq!(versions.insert((key, version), id), None, "version {version} of key {key} was given twice");
            }
            for entry in cache.iter() {
                assert_eq!(
                    versions.get(&(*entry.key(), entry.version())),
                    Some(&*entry),
                    "not what was written as {}",
                    entry.version()
                );
            }
        }
    });
}

#[test]
fn entries_that_stay_are_always_found_and_never_older() {
    watched(|| {
        const STAY: u64 = 40;
        let cache: Cache<Key, State> = Cache::builder().stripes(1).build().unwrap();
        let ledger: Vec<AtomicU64> = (0..STAY).map(|_| AtomicU64::new(1)).collect();
        (0..STAY).for_each(|key| _ = cache.insert(Key(key), State::new(key, 1)));
        let over = AtomicBool::new(false);
        together(4, |thread| {
            let mut rng = Rng::new(thread as u64 + 5);
            if thread == 0 {
                // Grows the table many times over, with replacements of what the others read, and shrinks it again.
                for step in 0..6000 {
                    cache.insert(Key(STAY + step), State::new(STAY + step, 1));
                    let key = rng.below(STAY);
                    cache.insert(Key(key), State::new(key, step + 2));
                    ledger[key as usize].fetch_max(step + 2, SeqCst);
                }
                (0..6000).for_each(|step| assert!(cache.invalidate(&Key(STAY + step))));
                return over.store(true, SeqCst);
            }
            while !over.load(SeqCst) {
                let key = rng.below(STAY);
                let floor = ledger[key as usize].load(SeqCst);
                let (of, sequence) = cache.with(&Key(key), State::read).expect("it was never removed");
                assert_eq!(of, key);
                assert!(sequence >= floor, "state {sequence} after {floor} was known");
                ledger[key as usize].fetch_max(sequence, SeqCst);
            }
        });
        assert_eq!(cache.len(), STAY as usize);
    });
}

/// More readers than cores, so that many are interrupted anywhere in a look-up, while slots are dropped and used again as fast as can be.
#[test]
fn readers_that_are_interrupted_read_nothing_that_was_dropped() {
    watched(|| {
        const STAY: u64 = 4;
        let census = Census::default();
        let cache = Cache::builder().stripes(1).build().unwrap();
        (0..STAY).for_each(|key| _ = cache.insert(key, census.value(key)));
        let over = AtomicBool::new(false);
        together(9, |thread| {
            if thread == 0 {
                for step in 0..25_000 {
                    cache.insert(step % STAY, census.value(step % STAY));
                    cache.insert(100 + step % 3, census.value(100));
                    cache.invalidate(&(100 + (step + 1) % 3));
                    cache.reclaim();
                }
                return over.store(true, SeqCst);
            }
            let key = thread as u64 % STAY;
            while !over.load(SeqCst) {
                for _ in 0..50 {
                    assert_eq!(
                        cache.with(&key, common::Counted::id),
                        Some(key),
                        "an entry that stayed was not found, or was another's"
                    );
                }
            }
        });
        cache.clear();
        cache.reclaim();
        assert_eq!(census.alive(), 0);
    });
}

/// A value whose copying waits to be allowed.
struct Gated(u64, Option<Arc<dyn Fn() + Send + Sync>>);

impl Clone for Gated {
    fn clone(&self) -> Self {
        if let Some(gate) = &self.1 {
            gate();
        }
        Gated(self.0, None)
    }
}

#[test]
fn a_slow_copy_of_an_old_value_holds_nobody_up_and_fools_nobody() {
    watched(|| {
        let cache = Cache::builder().max_capacity(10).stripes(1).build().unwrap();
        let (here, news) = channel();
        let (go, wait) = channel::<()>();
        let doors = Mutex::new((here, wait));
        let gate = Arc::new(move || {
            let doors = doors.lock().unwrap();
            doors.0.send(()).unwrap();
            doors.1.recv().unwrap();
        });
        cache.insert(1, Gated(1, Some(gate)));
        thread::scope(|scope| {
            let slow = scope.spawn(|| cache.get(&1).map(|value| value.0));
            news.recv().unwrap();
            // The slow read began before the write, so it may yield the old state; no other may.
            cache.insert(1, Gated(2, None));
            assert_eq!(cache.get(&1).map(|value| value.0), Some(2));
            cache.invalidate(&1);
            (0..500).for_each(|other| _ = cache.insert(other + 2, Gated(other, None)));
            assert!(cache.get(&1).is_none());
            go.send(()).unwrap();
            assert_eq!(slow.join().unwrap(), Some(1), "it had the value in its hands");
        });
    });
}

#[test]
fn a_removal_that_has_returned_is_seen_by_a_later_thread() {
    watched(|| {
        // The write and the end pass through channels to the reader: order without a clock.
        let census = Census::default();
        let cache = Cache::builder().max_capacity(3).stripes(2).build().unwrap();
        let (wrote, written) = channel();
        let (next, wait) = channel();
        thread::scope(|scope| {
            let (cache, census) = (&cache, &census);
            scope.spawn(move || {
                for round in 0..1500_u64 {
                    cache.insert(0, census.value(round * 2));
                    cache.insert(0, census.value(round * 2 + 1));
                    let gone = match round % 5 {
                        0 => cache.invalidate(&0),
                        1 => cache.remove(&0).is_some(),
                        2 => {
                            cache.clear();
                            true
                        }
                        3 => {
                            cache.retain(|_, _| false);
                            true
                        }
                        _ => false,
                    };
                    wrote.send((round, gone)).unwrap();
                    wait.recv().unwrap();
                }
            });
            scope.spawn(move || {
                for (round, gone) in written {
                    let there = cache.with(&0, common::Counted::id);
                    assert!(there.is_none() || (!gone && there == Some(round * 2 + 1)), "{there:?} in round {round}");
                    cache.insert(1 + round % 7, census.value(0));
                    next.send(()).unwrap();
                }
            });
        });
        cache.clear();
        cache.reclaim();
        assert_eq!(census.alive(), 0);
    });
}

#[test]
fn a_plain_write_is_no_older_than_what_was_seen_though_its_source_is_forgotten() {
    watched(|| {
        const LAG: Duration = Duration::from_secs(10);
        type Leave = fn(&Cache<u64, u64>);
        type Forget = fn(&Cache<u64, u64>, &MockClock);
        let ways: [Leave; 4] = [
            |cache| assert!(cache.invalidate(&1)),
            |cache| cache.clear(),
            |cache| {
                cache.set_capacity(0);
                cache.set_capacity(10);
            },
            |cache| assert!(cache.invalidate_at(&1, 6)),
        ];
        for (ordering, leave) in
            [Ordering::PerKey, Ordering::Global].into_iter().flat_map(|ordering| ways.map(|way| (ordering, way)))
        {
            let left = |tombstones| {
                let (clock, time) = Clock::mock();
                let builder = Cache::<u64, u64>::builder().max_capacity(10).stripes(1).ordering(ordering).clock(clock);
                let cache = builder.tombstone_capacity(tombstones).tombstone_ttl(LAG).build().unwrap();
                let seen = cache.insert_at(1, 5, 5).unwrap();
                leave(&cache);
                (cache, seen, time)
            };
            let later = |cache: &Cache<u64, u64>, seen: Version| {
                cache.insert(1, 6);
                let later = cache.get_entry(&1).unwrap().version;
                assert!(later.revision() > seen.revision(), "version {later} is read after {seen} was, {ordering:?}");
                later
            };
            // As long as the key's tombstone lives.
            let (cache, seen, time) = left(1);
            time.advance(LAG - Duration::from_nanos(1));
            assert_eq!((cache.stats().tombstones, cache.stats().tombstones_lost), (1, 0));
            assert!(later(&cache, seen) > seen, "{ordering:?}");
            // And for ever where a floor takes the tombstone's place: there was no room for it, another's took it, or its time was up.
            let forget: [(usize, Forget); 3] = [
                (0, |_, _| {}),
                (1, |cache, _| assert!(cache.invalidate_at(&2, 7), "which costs key 1 its tombstone")),
                (1, |_, time| time.advance(LAG)),
            ];
            for (tombstones, forget) in forget {
                let (cache, seen, time) = left(tombstones);
                forget(&cache, &time);
                let later = later(&cache, seen);
                assert!(ordering == Ordering::PerKey || later > seen, "version {later} is read after {seen} was");
            }
        }
    });
}
