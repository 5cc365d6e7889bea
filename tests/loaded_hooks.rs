//! The user's code that has a say in what was loaded (weigher, `versioned_by`, `Expiry`, listener, `Clone`): asked once, under no lock, and when
//! it panics nothing is stored, a waiter takes over and the cache is whole.

mod common;
#[path = "fences/faces.rs"]
mod faces;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use brindle::Builder;
use brindle::Cache;
use brindle::Cause;
use brindle::Clock;
use brindle::Expiry;
use brindle::Removed;

use common::Flat;
use common::executor::block_on;
use common::watched;
use faces::Answer;
use faces::End;
use faces::Held;
use faces::On;
use faces::Way;
use faces::call;
use faces::future;
use faces::planned;
use faces::reloading;
use faces::survives;
use faces::ways;

type Tried = Cache<u64, u64, Flat>;
type Built = Builder<u64, u64, Flat>;

const KEY: u64 = 7;
const SECOND: Duration = Duration::from_secs(1);
/// No cache here has room for it.
const HEAVY: u64 = 1000;

fn plain() -> Built {
    Cache::builder().max_capacity(10).stripes(1).hasher(Flat)
}

/// What each hook was asked, and what it was told.
type Asked = Arc<Mutex<Vec<(&'static str, u64, u64, Option<Duration>)>>>;

struct Recorded(Asked);

impl Expiry<u64, u64> for Recorded {
    fn after_create(&self, key: &u64, value: &u64) -> Option<Duration> {
        self.0.lock().unwrap().push(("create", *key, *value, None));
        Some(SECOND * 10)
    }

    fn after_update(&self, key: &u64, value: &u64, remaining: Option<Duration>) -> Option<Duration> {
        self.0.lock().unwrap().push(("update", *key, *value, remaining));
        Some(SECOND * 20)
    }
}

fn recorded(builder: Built, asked: &Asked) -> Built {
    let record = |name| {
        let asked = Arc::clone(asked);
        move |key: &u64, value: &u64| asked.lock().unwrap().push((name, *key, *value, None))
    };
    let (weigh, source, hear) = (record("weigh"), record("source"), record("removed"));
    let weigher = move |key: &u64, value: &u64| {
        weigh(key, value);
        if *value >= HEAVY { 100 } else { 1 }
    };
    let versioned_by = move |key: &u64, value: &u64| {
        source(key, value);
        *value
    };
    let listener = move |removed: Removed<u64, u64>| hear(removed.key(), removed.value());
    builder.weigher(weigher).versioned_by(versioned_by).expire_after(Recorded(Arc::clone(asked))).removal_listener(listener)
}

fn load(cache: &Tried, way: Way, value: u64) -> Answer<u64> {
    match way.on {
        On::Thread => survives(|| call(cache, way.face, &KEY, || Ok(value))),
        On::Task => survives(|| block_on(future(cache, way.face, KEY, async move { Ok(value) }))),
    }
}

fn taken(asked: &Asked) -> Vec<(&'static str, u64, u64, Option<Duration>)> {
    let mut asked = std::mem::take(&mut *asked.lock().unwrap());
    asked.sort();
    asked
}

#[test]
fn each_is_asked_once_for_a_load_and_never_for_a_hit() {
    watched(|| {
        for way in ways() {
            let asked = Asked::default();
            let (clock, hand) = Clock::mock();
            let cache = recorded(plain(), &asked).clock(clock).build().unwrap();
            let open = Held::open(&cache, way, KEY);
            let joined = Held::join(&cache, way, KEY);
            assert_eq!(taken(&asked), [], "{way}: nothing is known yet");
            assert_eq!(open.end(End::Value(3)), Answer::Value(3), "{way}");
            assert_eq!(joined.answer(), Answer::Value(3), "{way}");
            let once = [("create", KEY, 3, None), ("source", KEY, 3, None), ("weigh", KEY, 3, None)];
            assert_eq!(taken(&asked), once, "{way}");

            hand.advance(SECOND * 4);
            if way.reloads() {
                assert_eq!(load(&cache, way, 4), Answer::Value(4), "{way}");
                let once = [
                    ("removed", KEY, 3, None),
                    ("source", KEY, 4, None),
                    ("update", KEY, 4, Some(SECOND * 6)),
                    ("weigh", KEY, 4, None),
                ];
                assert_eq!(taken(&asked), once, "{way}");
                hand.advance(SECOND * 19);
                assert_eq!(cache.peek(&KEY), Some(4), "{way}: as long as `after_update` said");
            } else {
                assert_eq!(load(&cache, way, 4), Answer::Value(3), "{way}");
                assert_eq!(taken(&asked), [], "{way}: a hit");
                hand.advance(SECOND * 6);
                assert_eq!(cache.peek(&KEY), None, "{way}: as long as `after_create` said");
            }
        }
    });
}

/// Evicts the entry that it is asked to update: no fence, but another state than the one that the answer was for.
struct Evicting(Asked, Arc<Mutex<Option<Tried>>>);

impl Expiry<u64, u64> for Evicting {
    fn after_create(&self, key: &u64, value: &u64) -> Option<Duration> {
        Recorded(Arc::clone(&self.0)).after_create(key, value)
    }

    fn after_update(&self, key: &u64, value: &u64, remaining: Option<Duration>) -> Option<Duration> {
        if let Some(cache) = self.1.lock().unwrap().take() {
            cache.set_capacity(0);
            cache.set_capacity(10);
        }
        Recorded(Arc::clone(&self.0)).after_update(key, value, remaining)
    }
}

#[test]
fn expiry_is_asked_again_if_the_entry_is_evicted_meanwhile() {
    watched(|| {
        for way in reloading() {
            let (asked, within) = (Asked::default(), Arc::default());
            let (clock, hand) = Clock::mock();
            let cache = plain().expire_after(Evicting(Arc::clone(&asked), Arc::clone(&within))).clock(clock).build().unwrap();
            cache.insert(KEY, 1);
            asked.lock().unwrap().clear();
            *within.lock().unwrap() = Some(cache.clone());
            assert_eq!(load(&cache, way, 2), Answer::Value(2), "{way}");
            assert_eq!(taken(&asked), [("create", KEY, 2, None), ("update", KEY, 2, Some(SECOND * 10))], "{way}");
            hand.advance(SECOND * 10 - Duration::from_nanos(1));
            assert_eq!(cache.peek(&KEY), Some(2), "{way}: as long as `after_create` said");
            hand.advance(Duration::from_nanos(1));
            assert_eq!((cache.peek(&KEY), cache.stats().fenced), (None, 0), "{way}");
        }
    });
}

#[test]
fn the_weight_of_what_was_loaded_counts() {
    watched(|| {
        for way in ways() {
            let cache = plain().weigher(|_, value| *value).build().unwrap();
            assert_eq!(load(&cache, way, 4), Answer::Value(4), "{way}");
            assert_eq!(cache.weight(), 4, "{way}");
            if way.reloads() {
                load(&cache, way, 9);
                assert_eq!(cache.weight(), 9, "{way}");
            }
        }
    });
}

#[test]
fn the_listener_hears_of_what_a_load_drove_out() {
    watched(|| {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listening = || {
            let heard = Arc::clone(&heard);
            let listener = move |removed: Removed<u64, u64>| heard.lock().unwrap().push((*removed.value(), removed.cause()));
            plain().weigher(|_, value| if *value >= HEAVY { 100 } else { 4 }).removal_listener(listener).build().unwrap()
        };
        let taken = || std::mem::take(&mut *heard.lock().unwrap());
        for way in ways() {
            // What could not stay has left.
            let cache = listening();
            assert_eq!(load(&cache, way, HEAVY), Answer::Value(HEAVY), "{way}");
            assert_eq!((cache.len(), taken()), (0, vec![(HEAVY, Cause::Evicted)]), "{way}");
            // What made room for it.
            (100..102).for_each(|other| _ = cache.insert(other, 1));
            assert_eq!(load(&cache, way, 3), Answer::Value(3), "{way}");
            assert_eq!(taken().iter().map(|(_, cause)| *cause).collect::<Vec<_>>(), [Cause::Evicted], "{way}");
            // A fenced one never came in.
            let cache = listening();
            let open = Held::open(&cache, way, KEY);
            cache.invalidate(&KEY);
            open.end(End::Value(2));
            assert_eq!(taken(), [], "{way}");
            if way.reloads() {
                cache.insert(KEY, 1);
                load(&cache, way, 2);
                assert_eq!(taken(), [(1, Cause::Replaced)], "{way}");
                load(&cache, way, HEAVY);
                assert_eq!(taken(), [(2, Cause::Replaced), (HEAVY, Cause::Evicted)], "{way}");
            }
        }
    });
}

/// Where a hook stands and waits.
struct Gate {
    here: Mutex<Sender<()>>,
    go: Mutex<Option<Receiver<()>>>,
}

impl Gate {
    fn pass(&self, value: u64) {
        let wait = if value == GATED { self.go.lock().unwrap().take() } else { None };
        if let Some(wait) = wait {
            self.here.lock().unwrap().send(()).unwrap();
            wait.recv().unwrap();
        }
    }
}

const GATED: u64 = 5;

/// `Expiry` that calls something first.
struct Calls<F>(F);

impl<F: Fn(u64) + Send + Sync> Expiry<u64, u64> for Calls<F> {
    fn after_create(&self, _: &u64, value: &u64) -> Option<Duration> {
        self.0(*value);
        Some(SECOND)
    }
}

/// Something to call, made anew for each cache.
type Call = Box<dyn Fn(u64) + Send + Sync>;
type Hook = fn(Built, Call) -> Built;

/// The hooks that are asked about what was loaded, each with something to call first.
fn hooks() -> [(&'static str, Hook); 3] {
    [
        ("the weigher", |builder, call| {
            builder.weigher(move |_, value| {
                call(*value);
                1
            })
        }),
        ("versioned_by", |builder, call| {
            builder.versioned_by(move |_, value| {
                call(*value);
                1
            })
        }),
        ("Expiry", |builder, call| builder.expire_after(Calls(call))),
    ]
}

#[test]
fn while_they_are_asked_everything_else_goes_on_in_the_same_stripe() {
    watched(|| {
        for (name, hook) in hooks() {
            for way in ways() {
                let (here, arrived) = channel();
                let (go, wait) = channel();
                let gate = Gate { here: Mutex::new(here), go: Mutex::new(Some(wait)) };
                let cache = hook(plain(), Box::new(move |value| gate.pass(value))).build().unwrap();
                let loading = thread::spawn({
                    let cache = cache.clone();
                    move || load(&cache, way, GATED)
                });
                arrived.recv().unwrap();
                cache.insert(8, 1);
                assert_eq!((cache.get(&8), cache.remove(&8), cache.get(&KEY)), (Some(1), Some(1), None), "{name}, {way}");
                assert_eq!(cache.get_with(&9, || 2), 2, "{name}, {way}");
                cache.retain(|key, _| *key != 9);
                assert_eq!(cache.len(), 0, "{name}, {way}");
                go.send(()).unwrap();
                loading.join().unwrap();
            }
        }
    });
}

#[test]
fn they_may_call_the_cache() {
    watched(|| {
        for (name, hook) in hooks() {
            for way in ways() {
                let inner: Arc<Mutex<Option<Tried>>> = Arc::default();
                let calls = {
                    let inner = Arc::clone(&inner);
                    move |value| {
                        let cache = if value == GATED { inner.lock().unwrap().take() } else { None };
                        if let Some(cache) = cache {
                            cache.insert(8, 1);
                            assert_eq!(cache.get_with(&9, || 2), 2);
                            assert_eq!(cache.refresh(&8, || 3), 3);
                            assert_eq!(cache.get(&KEY), None);
                        }
                    }
                };
                let cache = hook(plain(), Box::new(calls)).build().unwrap();
                *inner.lock().unwrap() = Some(cache.clone());
                assert_eq!(load(&cache, way, GATED), Answer::Value(GATED), "{name}, {way}");
                assert_eq!([KEY, 8, 9].map(|key| cache.get(&key)), [Some(GATED), Some(3), Some(2)], "{name}, {way}");
            }
        }
    });
}

#[test]
fn a_listener_may_load_and_its_panic_goes_no_further() {
    watched(|| {
        for way in reloading() {
            let inner: Arc<Mutex<Option<Tried>>> = Arc::default();
            let within = Arc::clone(&inner);
            let listener = move |_| {
                let cache = within.lock().unwrap().take();
                cache.inspect(|cache| assert_eq!(cache.get_with(&9, || 2), 2));
                planned();
            };
            let cache = plain().removal_listener(listener).build().unwrap();
            cache.insert(KEY, 1);
            *inner.lock().unwrap() = Some(cache.clone());
            let open = Held::open(&cache, way, KEY);
            let joined = Held::join(&cache, way, KEY);
            assert_eq!(open.end(End::Value(3)), Answer::Value(3), "{way}");
            assert_eq!(joined.answer(), Answer::Value(3), "{way}");
            assert_eq!((cache.get(&KEY), cache.get(&9)), (Some(3), Some(2)), "{way}");
            assert_eq!((cache.stats().listener_panics, cache.stats().flights), (1, 0), "{way}");
        }
    });
}

const BAD: u64 = 66;
const GOOD: u64 = 67;

fn bad(value: u64) {
    if value == BAD {
        planned();
    }
}

fn whole(cache: &Tried, case: &str) {
    assert_eq!(cache.stats().flights, 0, "{case}");
    cache.insert(8, 1);
    assert_eq!(cache.get_with(&9, || 2), 2, "{case}");
    assert_eq!((cache.remove(&8), cache.remove(&9)), (Some(1), Some(2)), "{case}");
    assert_eq!((cache.len(), cache.iter().count() as u64), (cache.iter().count(), cache.weight()), "{case}");
}

/// What the leader brought is not stored, its caller has the panic, and a waiter takes over, whose value is stored.
#[test]
fn when_one_panics_nothing_is_stored_and_a_waiter_takes_over() {
    watched(|| {
        let mut turn = 0;
        for (name, hook) in hooks() {
            for leader in ways() {
                for waiting in ways() {
                    turn += 1;
                    let case = format!("{name} panics in {leader}, {waiting} takes over");
                    let cache = hook(plain(), Box::new(bad)).build().unwrap();
                    let open = Held::open(&cache, leader, KEY);
                    let mut waiter = Held::join(&cache, waiting, KEY);
                    let mut last = Held::join(&cache, ways()[turn % ways().len()], KEY);
                    waiter.tell(End::Value(GOOD));
                    last.tell(End::Value(GOOD));
                    assert_eq!(open.end(End::Value(BAD)), Answer::Panicked, "{case}");
                    assert_eq!(waiter.answer(), Answer::Value(GOOD), "{case}");
                    assert_eq!(last.answer(), Answer::Value(GOOD), "{case}");
                    assert_eq!(cache.get(&KEY), Some(GOOD), "{case}");
                    whole(&cache, &case);
                }
            }
        }
    });
}

#[test]
fn when_one_panics_over_a_resident_entry_the_entry_stays() {
    watched(|| {
        for (name, hook) in hooks() {
            for way in reloading() {
                let cache = hook(plain(), Box::new(bad)).build().unwrap();
                let version = cache.insert(KEY, 1);
                assert_eq!(load(&cache, way, BAD), Answer::Panicked, "{name}, {way}");
                let entry = cache.get_entry(&KEY).map(|entry| (entry.value, entry.version));
                assert_eq!(entry, Some((1, version)), "{name}, {way}");
                whole(&cache, name);
            }
        }
    });
}

/// A value whose copying panics at a chosen call.
struct Fragile(u64, Arc<AtomicU64>);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        if self.1.fetch_sub(1, SeqCst) == 1 {
            planned();
        }
        Fragile(self.0, Arc::clone(&self.1))
    }
}

#[test]
fn a_panic_of_a_copy_harms_nobody_else() {
    watched(|| {
        for (turn, leader) in ways().into_iter().enumerate() {
            for at in 1..6 {
                let case = format!("the copy number {at} panics in a load of {leader}");
                let copies = Arc::new(AtomicU64::new(u64::MAX));
                let value = |number| Fragile(number, Arc::clone(&copies));
                let cache: Cache<u64, Fragile, Flat> = Cache::builder().max_capacity(10).stripes(1).hasher(Flat).build().unwrap();
                let open = Held::open(&cache, leader, KEY);
                let mut waiting: Vec<_> =
                    (0..2).map(|n| Held::join(&cache, ways()[(turn + n * 7) % ways().len()], KEY)).collect();
                waiting.iter_mut().for_each(|waiter| waiter.tell(End::Value(value(2))));
                copies.store(at, SeqCst);
                let mut answers = vec![open.end(End::Value(value(1)))];
                answers.extend(waiting.into_iter().map(Held::answer));
                copies.store(u64::MAX, SeqCst);
                let panics = answers.iter().filter(|answer| matches!(answer, Answer::Panicked)).count();
                assert!(panics <= 1, "{case}");
                let told = |answer: &Answer<Fragile>| matches!(answer, Answer::Panicked | Answer::Value(Fragile(1 | 2, _)));
                assert!(answers.iter().all(told), "{case}");
                assert_eq!(cache.stats().flights, 0, "{case}");
                assert!(cache.get_with(&KEY, || value(3)).0 <= 3, "{case}");
                cache.insert(KEY, value(4));
                assert_eq!(cache.get(&KEY).map(|value| value.0), Some(4), "{case}");
            }
        }
    });
}
