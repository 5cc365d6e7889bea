//! Promises 1 and 2 for transactions over many keys: a commit fences the loads of every key that it touches and of no other, an abort fences none,
//! whatever the face that loads. (Each change of one key with each face, and how each load ends, is in `fences.rs`.)

mod common;
#[path = "fences/faces.rs"]
mod faces;

use std::hash::BuildHasher;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Context;
use std::task::Wake;
use std::task::Waker;
use std::thread;
use std::time::Duration;

use brindle::Cache;
use brindle::Expected;
use brindle::Transaction;

use common::executor::Task;
use common::watched;
use faces::Answer;
use faces::End;
use faces::Held;
use faces::On;
use faces::Planned;
use faces::Way;
use faces::pick;
use faces::planned;
use faces::ways;

type Tried = Cache<u64, u64, Spread>;

/// Spreads the keys over the stripes, or gives all the same hash.
#[derive(Clone)]
struct Spread(bool);

impl BuildHasher for Spread {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        DefaultHasher::new()
    }

    fn hash_one<T: Hash>(&self, key: T) -> u64 {
        let mut hasher = self.build_hasher();
        if self.0 {
            key.hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// What the loads bring that the commit fences, and what it writes.
const OLD: u64 = 2;
const WRITTEN: u64 = 3;
const NEW: u64 = 4;

/// The keys of the body below.
const WRITES: [u64; 5] = [0, 1, 2, 3, 4];
const ENDS: [u64; 5] = [5, 6, 7, 8, 9];
/// Looked at, or nothing at all.
const LEAVES: [u64; 5] = [10, 11, 12, 13, 14];

fn all() -> impl Iterator<Item = u64> {
    WRITES.into_iter().chain(ENDS).chain(LEAVES)
}

/// One of every change, conditions and reads.
fn everything(t: &mut Transaction<'_, u64, u64, Spread>) {
    t.insert(0, WRITTEN);
    t.insert_at(1, WRITTEN, 7);
    t.insert_with_ttl(2, WRITTEN, Duration::MAX);
    t.compare_and_swap(3, Expected::Absent, WRITTEN);
    t.invalidate(&4);
    t.insert(4, WRITTEN);
    t.remove(&5);
    t.invalidate(&6);
    t.invalidate_at(&7, 3);
    t.insert(8, WRITTEN);
    t.remove(&8);
    t.insert(9, WRITTEN);
    t.invalidate_at(&9, 3);
    assert_eq!(t.get(&10), None);
    assert_eq!(t.read(&11), None);
    assert!(!t.contains_key(&12));
    t.expect_version(&13, None);
}

fn caches() -> [Tried; 2] {
    [false, true].map(|spread| Cache::builder().stripes(4).hasher(Spread(spread)).build().unwrap())
}

fn open_all(cache: &Tried, turn: usize) -> Vec<(u64, Held<u64>)> {
    all().map(|key| (key, Held::open(cache, pick(&ways(), turn + key as usize), key))).collect()
}

#[test]
fn a_commit_fences_the_loads_of_what_it_touches_and_of_no_other() {
    watched(|| {
        for turn in 0..ways().len() {
            for cache in caches() {
                let open = open_all(&cache, turn);
                let waiting: Vec<_> = all().map(|key| (key, Held::join(&cache, pick(&ways(), turn + 3), key))).collect();
                cache.transaction(everything).unwrap();
                let mut left = Vec::new();
                for (key, mut waiter) in waiting {
                    if WRITES.contains(&key) {
                        assert_eq!(waiter.answer(), Answer::Value(WRITTEN), "who waited for {key} gets what was written");
                    } else {
                        assert!(waiter.waits(), "for {key}");
                        left.push((key, waiter));
                    }
                }
                // Who comes now loads for himself where the key was ended, and joins where it was let alone.
                let new: Vec<_> = ENDS.iter().map(|key| Held::open(&cache, pick(&ways(), turn + 5), *key)).collect();
                let joined: Vec<_> = LEAVES.iter().map(|key| Held::join(&cache, pick(&ways(), turn + 7), *key)).collect();
                for (key, load) in open {
                    load.end(End::Value(OLD));
                    let right = if WRITES.contains(&key) { Some(WRITTEN) } else { LEAVES.contains(&key).then_some(OLD) };
                    assert_eq!(cache.get(&key), right, "key {key} after its old load, turn {turn}");
                }
                left.into_iter().for_each(|(_, waiter)| assert_eq!(waiter.answer(), Answer::Value(OLD)));
                joined.into_iter().for_each(|waiter| assert_eq!(waiter.answer(), Answer::Value(OLD)));
                for (key, load) in ENDS.into_iter().zip(new) {
                    assert_eq!(load.end(End::Value(NEW)), Answer::Value(NEW));
                    assert_eq!(cache.get(&key), Some(NEW));
                }
                assert_eq!(cache.stats().fenced as usize, WRITES.len() + ENDS.len(), "turn {turn}");
                assert_eq!(cache.stats().flights, 0);
            }
        }
    });
}

type Abort = fn(&Tried);

/// How the body of `everything` comes to nothing.
const ABORTS: [(&str, Abort); 5] = [
    ("a conflict of a swap", |cache| {
        let version = cache.insert(99, 0);
        let aborted = cache.transaction(|t| {
            everything(t);
            t.compare_and_swap(3, version, WRITTEN);
        });
        assert!(aborted.is_err());
    }),
    ("a conflict of another key", |cache| {
        let aborted = cache.transaction(|t| {
            everything(t);
            t.expect_version(&98, cache.insert(97, 0));
        });
        assert!(aborted.is_err());
    }),
    ("a write that is no news", |cache| {
        cache.invalidate_at(&96, 9);
        let aborted = cache.transaction(|t| {
            everything(t);
            t.insert_at(96, WRITTEN, 8);
        });
        assert!(aborted.is_err());
    }),
    ("an error", |cache| {
        let failed = cache.try_transaction(|t| {
            everything(t);
            Err::<(), _>("no")
        });
        assert!(failed.is_err());
    }),
    ("a panic", |cache| {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            cache.transaction(|t| {
                everything(t);
                planned()
            })
        }));
        assert!(panicked.is_err_and(|panic| panic.is::<Planned>()));
    }),
];

#[test]
fn an_abort_fences_none() {
    watched(|| {
        for (turn, (name, abort)) in ABORTS.into_iter().enumerate() {
            for cache in caches() {
                let open = open_all(&cache, turn * 4);
                abort(&cache);
                assert!(all().all(|key| !cache.contains_key(&key)), "{name}");
                let joined: Vec<_> = all().map(|key| Held::join(&cache, pick(&ways(), turn), key)).collect();
                for (key, load) in open {
                    assert_eq!(load.end(End::Value(NEW)), Answer::Value(NEW), "{name}");
                    assert_eq!(cache.get(&key), Some(NEW), "{name}");
                }
                joined.into_iter().for_each(|waiter| assert_eq!(waiter.answer(), Answer::Value(NEW), "{name}"));
                assert_eq!((cache.stats().fenced, cache.stats().flights), (0, 0), "{name}");
            }
        }
    });
}

/// When a load of the related key begins and ends, in places of the course below.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
enum Place {
    Before,
    InTheBody,
    After,
}

use Place::*;

/// Set one key and invalidate the other. A load of the other begins at one place and ends at another.
fn related(way: Way, begins: Place, ends: Place, end: End<u64>) {
    let case = format!("{way} begins {begins:?} and ends {ends:?} with {end:?}");
    let cache: Cache<u64, u64> = Cache::builder().stripes(4).build().unwrap();
    cache.insert(1, OLD);
    let mut load = None;
    let act = |place: Place, load: &mut Option<Held<u64>>| {
        if begins == place {
            *load = Some(Held::open(&cache, way, 2));
        }
        if ends == place {
            load.take().unwrap().end(end.clone());
        }
    };
    act(Before, &mut load);
    let committed = cache.transaction(|t| {
        t.insert(1, WRITTEN);
        act(InTheBody, &mut load);
        t.invalidate(&2);
    });
    committed.unwrap();
    assert_eq!((cache.get(&1), cache.get(&2)), (Some(WRITTEN), None), "{case}");
    act(After, &mut load);
    let is_new = begins == After && matches!(end, End::Value(_));
    assert_eq!((cache.get(&1), cache.get(&2)), (Some(WRITTEN), is_new.then_some(OLD)), "{case}");
    assert_eq!(cache.stats().flights, 0, "{case}");
}

#[test]
fn a_late_load_of_a_related_key_never_comes_back() {
    watched(|| {
        let places = [Before, InTheBody, After];
        for way in ways() {
            for begins in places {
                for ends in places.into_iter().filter(|ends| *ends >= begins) {
                    way.ends(OLD).into_iter().for_each(|end| related(way, begins, ends, end));
                }
            }
        }
    });
}

#[test]
fn a_call_for_many_keys_keeps_what_the_commit_left_alone() {
    watched(|| {
        for cache in caches() {
            let keys: Vec<u64> = all().collect();
            let loaded = cache.try_get_many_with(&keys, |missing| {
                assert_eq!(missing.len(), keys.len());
                cache.transaction(everything).unwrap();
                Ok::<_, u8>(missing.into_iter().map(|key| (key, OLD)).collect::<Vec<_>>())
            });
            for (key, value) in keys.iter().zip(loaded.unwrap()) {
                let stored = if WRITES.contains(key) { Some(WRITTEN) } else { LEAVES.contains(key).then_some(OLD) };
                assert_eq!((value, cache.get(key)), (Some(stored.unwrap_or(OLD)), stored), "key {key}");
            }
        }
    });
}

/// An error that is remembered is no answer any more for keys that a commit has touched.
#[test]
fn a_commit_ends_what_is_remembered_of_failures_and_an_abort_does_not() {
    watched(|| {
        let builder = || Cache::builder().stripes(4).hasher(Spread(true)).negative_ttl(Duration::from_secs(1000));
        for (turn, (name, abort)) in ABORTS.into_iter().enumerate() {
            let cache = builder().build().unwrap();
            all().for_each(|key| assert!(cache.try_get_with(&key, || Err::<u64, _>(turn)).is_err()));
            abort(&cache);
            let loads = cache.stats().loads;
            all().for_each(|key| assert!(cache.try_get_with(&key, || Ok::<_, usize>(NEW)).is_err(), "{key} after {name}"));
            assert_eq!(cache.stats().loads, loads, "{name}");
        }
        let cache = builder().build().unwrap();
        all().for_each(|key| assert!(cache.try_get_with(&key, || Err::<u64, _>(0)).is_err()));
        cache.transaction(everything).unwrap();
        for key in all() {
            let answer = cache.try_get_with(&key, || Ok::<_, i32>(NEW)).ok();
            let right = if WRITES.contains(&key) { Some(WRITTEN) } else { ENDS.contains(&key).then_some(NEW) };
            assert_eq!(answer, right, "key {key}");
        }
    });
}

/// Uses the cache, the keys of the transaction among all, when it is called.
struct Calls(Cache<u64, u64>, AtomicUsize);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        let again = self.0.transaction(|t| all().for_each(|key| t.invalidate(&key)));
        again.unwrap();
        assert_eq!(self.0.get_many_snapshot(&all().collect::<Vec<_>>()), [None; 15]);
        self.1.fetch_add(1, SeqCst);
    }
}

#[test]
fn waiters_are_woken_when_all_locks_are_gone() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::builder().stripes(4).build().unwrap();
        let calls = Arc::new(Calls(cache.clone(), AtomicUsize::new(0)));
        let mut open: Vec<_> = all().map(|key| Task::new(never(cache.clone(), key))).collect();
        open.iter_mut().for_each(Task::pends);
        let waker = Waker::from(Arc::clone(&calls));
        let mut waiting: Vec<_> = all().map(|key| Box::pin(never(cache.clone(), key))).collect();
        for waiter in &mut waiting {
            assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        cache.transaction(|t| all().for_each(|key| t.insert(key, WRITTEN))).unwrap();
        assert_eq!(calls.1.load(SeqCst), 15);
        for waiter in &mut waiting {
            let polled = waiter.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(polled, std::task::Poll::Ready(WRITTEN), "what was written when they were freed");
        }
    });
}

/// A load that never ends.
async fn never(cache: Cache<u64, u64>, key: u64) -> u64 {
    cache.get_with_async(&key, std::future::pending()).await
}

/// Loads of all keys begin and end on other threads, all the time. Of the loads that begin after a commit has returned none brings anything old,
/// and nothing old is left in the cache.
#[test]
fn loads_and_commits_among_threads() {
    watched(|| {
        const ROUNDS: u64 = 300;
        let cache: Cache<u64, u64> = Cache::builder().stripes(4).build().unwrap();
        let (source, returned) = (Mutex::new(1_u64), Mutex::new(1_u64));
        let over = AtomicUsize::new(0);
        thread::scope(|scope| {
            for thread in 0..3_usize {
                let (cache, source, returned, over) = (&cache, &source, &returned, &over);
                scope.spawn(move || {
                    let mut turn = thread;
                    while over.load(SeqCst) == 0 {
                        turn += 1;
                        let (key, floor) = (turn as u64 % 15, *returned.lock().unwrap());
                        let way = pick(&ways(), turn);
                        if way.on == On::Task {
                            continue;
                        }
                        let answer = faces::call(cache, way.face, &key, || {
                            let number = *source.lock().unwrap();
                            common::dither();
                            Ok(number)
                        });
                        let number = match answer {
                            Answer::Value(number) | Answer::Unfilled(number, _) => number,
                            other => panic!("{other:?}"),
                        };
                        assert!(number >= floor, "{way} gives {number} of key {key} after {floor} was committed");
                    }
                });
            }
            // Until all has been tried: others may have the processor when a load and a commit would meet.
            for round in (2..).take_while(|&round| round < ROUNDS || cache.stats().fenced == 0) {
                *source.lock().unwrap() = round;
                let committed = cache.transaction(|t| {
                    all().for_each(|key| if (key + round) % 3 == 0 { t.insert(key, round) } else { t.invalidate(&key) });
                });
                committed.unwrap();
                *returned.lock().unwrap() = round;
                assert!(cache.iter().all(|entry| *entry >= round), "something old is left in round {round}");
                thread::yield_now();
            }
            over.store(1, SeqCst);
        });
        assert_eq!(cache.stats().flights, 0);
    });
}
