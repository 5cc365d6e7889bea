//! Promise 8 among threads: one writer sets and invalidates related keys, over many stripes, thousands of them and with an `Eq` that lets others
//! run, so that the commit takes its time. After any of a transaction's values has been seen, nobody reads what it replaced or invalidated.
//! The same readers catch a writer who makes single calls.
//!
//! Every transaction touches every key and carries a number. The source of truth has the number before the transaction begins, so that what
//! is loaded may be ahead, but a load that begins after a commit brings nothing older. `seen` is the highest number of a transaction that has
//! returned or of which a value was read; no read that starts now may be below.

mod common;

use std::cell::RefCell;
use std::hash::Hash;
use std::hash::Hasher;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::thread;

use brindle::Builder;
use brindle::Cache;

use common::Rng;
use common::dither;
use common::executor::block_on;
use common::together;
use common::watched;

thread_local! {
    /// Runs at every comparison that this thread makes.
    static AT_EQ: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

#[derive(Clone, Copy, Eq, Debug)]
struct Key(u64);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        AT_EQ.with_borrow_mut(|hook| hook.as_mut().map(|hook| hook()));
        self.0 == other.0
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.0);
    }
}

/// What a key is by transaction `number`, or what its source says by then.
#[derive(Clone, Copy, Debug)]
struct State {
    number: u64,
    loaded: bool,
}

/// The transaction invalidates a part of the keys, another one each time.
fn is_invalidated(key: u64, number: u64) -> bool {
    (key + number).is_multiple_of(4)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Writing {
    Transaction,
    /// A transaction that ends the group that everything is in, and writes its own.
    Group,
    OneByOne,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reading {
    Get,
    With,
    Ref,
    Entry,
    Peek,
    Iter,
    Many,
    Snapshot,
    Load,
    LoadAsync,
}

const READINGS: [Reading; 10] = [
    Reading::Get,
    Reading::With,
    Reading::Ref,
    Reading::Entry,
    Reading::Peek,
    Reading::Iter,
    Reading::Many,
    Reading::Snapshot,
    Reading::Load,
    Reading::LoadAsync,
];

/// Who reads at the same time. Loads fill what the transaction leaves absent.
const CREWS: [&[Reading]; 4] = [
    &[Reading::Get, Reading::With, Reading::Ref, Reading::Entry],
    &[Reading::Peek, Reading::Iter, Reading::Many, Reading::Snapshot],
    &[Reading::Load, Reading::LoadAsync],
    &[Reading::Get, Reading::Load, Reading::Snapshot, Reading::Iter],
];

/// Of all values.
const GROUP: &str = "all";

/// Hits that a run must come to.
const HITS: usize = 100;

/// Keys that one call for many asks for.
const MANY: u64 = 24;

struct Arena {
    cache: Cache<Key, State>,
    keys: u64,
    source: AtomicU64,
    seen: AtomicU64,
    reads: AtomicUsize,
    mixes: AtomicUsize,
    over: AtomicBool,
}

impl Arena {
    fn new(keys: u64, stripes: usize) -> Self {
        Self::with(keys, Cache::builder().stripes(stripes))
    }

    /// All in one group.
    fn grouped(keys: u64, stripes: usize) -> Self {
        Self::with(keys, Cache::builder().stripes(stripes).group_by(|_, _| Some(GROUP)))
    }

    fn with(keys: u64, builder: Builder<Key, State>) -> Self {
        let cache = builder.build().unwrap();
        let zero = || AtomicU64::new(0);
        let (reads, mixes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arena { cache, keys, source: zero(), seen: zero(), reads, mixes, over: AtomicBool::new(false) }
    }

    fn write(&self, writing: Writing, number: u64, rng: &mut Rng) {
        let mut keys: Vec<u64> = (0..self.keys).collect();
        rng.shuffle(&mut keys);
        self.source.store(number, SeqCst);
        let state = State { number, loaded: false };
        match writing {
            Writing::Transaction => {
                let committed = self.cache.transaction(|t| {
                    for &key in &keys {
                        match (is_invalidated(key, number), key % 3) {
                            (false, _) => t.insert(Key(key), state),
                            (true, 0) => _ = t.remove(&Key(key)),
                            (true, _) => t.invalidate(&Key(key)),
                        }
                    }
                });
                committed.expect("there is no condition");
            }
            Writing::Group => {
                let committed = self.cache.transaction(|t| {
                    let written = keys.iter().filter(|key| !is_invalidated(**key, number));
                    written.for_each(|key| t.insert(Key(*key), state));
                    t.invalidate_group(GROUP);
                });
                committed.expect("there is no condition");
            }
            Writing::OneByOne => {
                for &key in &keys {
                    if is_invalidated(key, number) {
                        self.cache.invalidate(&Key(key));
                    } else {
                        self.cache.insert(Key(key), state);
                    }
                }
            }
        }
        self.seen.fetch_max(number, SeqCst);
    }

    fn floor(&self) -> u64 {
        self.seen.load(SeqCst)
    }

    fn judge(&self, state: State, floor: u64) {
        if state.number < floor {
            self.mixes.fetch_add(1, SeqCst);
        } else if !state.loaded {
            self.seen.fetch_max(state.number, SeqCst);
        }
        self.reads.fetch_add(1, SeqCst);
    }

    /// What the source says when the loader runs.
    fn load(&self) -> State {
        let number = self.source.load(SeqCst);
        dither();
        State { number, loaded: true }
    }

    fn read(&self, reading: Reading, rng: &mut Rng) {
        let key = Key(rng.below(self.keys));
        let (cache, floor) = (&self.cache, self.floor());
        let state = match reading {
            Reading::Get => cache.get(&key),
            Reading::With => cache.with(&key, |state| *state),
            Reading::Ref => cache.get_ref(&key).map(|guard| *guard),
            Reading::Entry => cache.get_entry(&key).map(|entry| entry.value),
            Reading::Peek => cache.peek(&key),
            Reading::Load => Some(cache.get_with(&key, || self.load())),
            Reading::LoadAsync => Some(block_on(cache.get_with_async(&key, async { self.load() }))),
            Reading::Iter => return self.walk(),
            Reading::Many | Reading::Snapshot => return self.read_many(reading, rng),
        };
        if let Some(state) = state {
            self.judge(state, floor);
        }
    }

    fn walk(&self) {
        let mut entries = self.cache.iter();
        loop {
            let floor = self.floor();
            let Some(entry) = entries.next() else { return };
            self.judge(*entry, floor);
        }
    }

    fn read_many(&self, reading: Reading, rng: &mut Rng) {
        let keys: Vec<Key> = (0..MANY).map(|_| Key(rng.below(self.keys))).collect();
        let floor = self.floor();
        if reading == Reading::Many {
            self.cache.get_many(&keys).into_iter().flatten().for_each(|state| self.judge(state, floor));
            return;
        }
        let states: Vec<State> = self.cache.get_many_snapshot(&keys).into_iter().flatten().collect();
        let written: Vec<u64> = states.iter().filter(|state| !state.loaded).map(|state| state.number).collect();
        // One moment's state: all is of one transaction, or was loaded since.
        let newest = written.iter().max().copied().unwrap_or(0);
        let mixed = states.iter().any(|state| if state.loaded { state.number < newest } else { state.number != newest });
        if mixed {
            self.mixes.fetch_add(1, SeqCst);
        }
        states.into_iter().for_each(|state| self.judge(state, floor));
    }

    /// One writer, and readers of these kinds, until `enough` of the number of writes so far. Gives how many mixes were seen.
    fn run(&self, writing: Writing, readers: &[Reading], enough: impl Fn(u64) -> bool + Sync) -> usize {
        self.write(Writing::Transaction, 1, &mut Rng::new(1));
        together(readers.len() + 1, |thread| {
            AT_EQ.set(Some(Box::new(dither)));
            let mut rng = Rng::new(thread as u64 + 11);
            if thread == 0 {
                let mut number = 1;
                while !enough(number) || self.reads.load(SeqCst) < HITS {
                    number += 1;
                    self.write(writing, number, &mut rng);
                }
                return self.over.store(true, SeqCst);
            }
            while !self.over.load(SeqCst) {
                self.read(readers[thread - 1], &mut rng);
            }
        });
        self.mixes.load(SeqCst)
    }
}

/// Keys, stripes, writes.
const SIZES: [(u64, usize, u64); 4] = [(3, 4, 500), (60, 16, 150), (60, 1, 100), (3000, 32, 5)];

fn no_mix(writing: Writing, arena: fn(u64, usize) -> Arena) {
    for (keys, stripes, writes) in SIZES {
        for readers in CREWS {
            let mixes = arena(keys, stripes).run(writing, readers, |number| number > writes);
            assert_eq!(mixes, 0, "{readers:?} with {keys} keys in {stripes} stripes");
        }
    }
}

#[test]
fn nobody_reads_a_mix_of_old_and_new() {
    watched(|| no_mix(Writing::Transaction, Arena::new));
}

#[test]
fn nor_of_what_is_written_and_a_group_that_ends() {
    watched(|| no_mix(Writing::Group, Arena::grouped));
}

/// The tests above can fail: each reader catches who writes the same keys one by one.
#[test]
fn each_of_the_readers_catches_a_writer_of_single_keys() {
    watched(|| {
        for reading in READINGS {
            let arena = Arena::new(500, 16);
            let caught = |number| number > 2 && arena.mixes.load(SeqCst) > 0;
            assert!(arena.run(Writing::OneByOne, &[reading, reading], caught) > 0, "{reading:?}");
        }
    });
}

/// The related-keys race of set and invalidate, as two single operations and as one transaction: a reader who comes between.
#[test]
fn a_reader_between_two_single_operations_sees_the_mix() {
    watched(|| {
        let (set, invalidated) = (1, 2);
        for together in [false, true] {
            let cache: Cache<u64, &str> = Cache::builder().stripes(4).build().unwrap();
            cache.insert(set, "old");
            cache.insert(invalidated, "old");
            let mut between = None;
            if together {
                let committed = cache.transaction(|t| {
                    t.insert(set, "new");
                    between = Some((cache.get(&set), cache.get(&invalidated)));
                    t.invalidate(&invalidated);
                });
                committed.unwrap();
            } else {
                cache.insert(set, "new");
                between = Some((cache.get(&set), cache.get(&invalidated)));
                cache.invalidate(&invalidated);
            }
            let mix = between == Some((Some("new"), Some("old")));
            assert_eq!(mix, !together);
            assert_eq!((cache.get(&set), cache.get(&invalidated)), (Some("new"), None));
        }
    });
}

/// A snapshot of all keys, where nothing loads or evicts, is just what one transaction left.
#[test]
fn a_snapshot_of_everything_is_of_one_transaction() {
    watched(|| {
        for (keys, stripes, writes) in SIZES {
            let arena = Arena::new(keys, stripes);
            let all: Vec<Key> = (0..keys).map(Key).collect();
            arena.write(Writing::Transaction, 1, &mut Rng::new(1));
            together(3, |thread| {
                AT_EQ.set(Some(Box::new(dither)));
                let mut rng = Rng::new(thread as u64);
                if thread == 0 {
                    (2..2 + writes).for_each(|number| arena.write(Writing::Transaction, number, &mut rng));
                    return arena.over.store(true, SeqCst);
                }
                while !arena.over.load(SeqCst) {
                    let states = arena.cache.get_many_snapshot(&all);
                    let number = states.iter().flatten().next().expect("no transaction leaves nothing").number;
                    for (key, state) in states.iter().enumerate() {
                        let right = (!is_invalidated(key as u64, number)).then_some(number);
                        assert_eq!(state.map(|state| state.number), right, "key {key} in transaction {number}");
                    }
                }
            });
        }
    });
}

/// What one thread reads, key after key, in some order.
fn readings(cache: &Cache<Key, State>, order: &[u64], how: usize) -> Vec<u64> {
    let number = |state: &State| state.number;
    let one = |key: u64| match how {
        0 => cache.get(&Key(key)).map(|state| state.number),
        1 => cache.with(&Key(key), number),
        2 => cache.get_ref(&Key(key)).map(|guard| guard.number),
        _ => cache.peek(&Key(key)).map(|state| state.number),
    };
    order.iter().filter_map(|&key| one(key)).collect()
}

/// The commit stands still in the n-th comparison of keys that it makes under its locks, for every n: readers go on, and see all of the old or
/// all of the new.
#[test]
fn a_commit_that_stands_still_under_its_locks_shows_no_mix() {
    watched(|| {
        const KEYS: u64 = 8;
        for stripes in [1, 4] {
            let mut stops = 0;
            loop {
                stops += 1;
                let cache: Cache<Key, State> = Cache::builder().stripes(stripes).build().unwrap();
                (0..KEYS).for_each(|key| _ = cache.insert(Key(key), State { number: 1, loaded: false }));
                if !stand_still(&cache, KEYS, stops) {
                    break;
                }
            }
            assert!(stops > KEYS, "a commit compares each key: {stops}");
        }
    });
}

/// Gives whether the commit came to that comparison.
fn stand_still(cache: &Cache<Key, State>, keys: u64, stop: u64) -> bool {
    let (here, news) = channel();
    let (go, wait) = channel::<()>();
    let new = State { number: 2, loaded: false };
    let mut count = 0;
    let hook = move || {
        count += 1;
        if count == stop {
            here.send(()).unwrap();
            wait.recv().unwrap();
        }
    };
    thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let committed = cache.transaction(|t| {
                (0..keys / 2).for_each(|key| t.insert(Key(key), new));
                (keys / 2..keys).for_each(|key| t.invalidate(&Key(key)));
                // No comparison in the body counts.
                AT_EQ.set(Some(Box::new(hook)));
            });
            AT_EQ.set(None);
            committed.unwrap();
        });
        let stopped = news.recv().is_ok();
        let snapshot = stopped.then(|| {
            let orders = [(0..keys).collect::<Vec<_>>(), (0..keys).rev().collect()];
            for (how, order) in (0..4).flat_map(|how| orders.iter().map(move |order| (how, order))) {
                let numbers = readings(cache, order, how);
                assert!(numbers.is_sorted(), "{numbers:?}, old after new, at comparison {stop}");
            }
            // It may have to wait for the locks.
            let all: Vec<Key> = (0..keys).map(Key).collect();
            let snapshot = scope.spawn(move || cache.get_many_snapshot(&all));
            go.send(()).unwrap();
            snapshot.join().unwrap()
        });
        writer.join().unwrap();
        if let Some(snapshot) = snapshot {
            let numbers: Vec<u64> = snapshot.into_iter().flatten().map(|state| state.number).collect();
            let (old, new) = (vec![1; keys as usize], vec![2; keys as usize / 2]);
            assert!(numbers == old || numbers == new, "{numbers:?} at comparison {stop}");
        }
        stopped
    })
}
