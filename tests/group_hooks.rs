//! `group_by` is user code: it is asked once for each write, under no lock, and when it panics (or what it gives, or the `Hash` of a group)
//! nothing has changed.

mod common;
#[path = "fences/faces.rs"]
mod faces;
mod grouped;

use std::hash::Hash;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::thread;

use brindle::Builder;
use brindle::Cache;
use brindle::Op;

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
use grouped::Numbers;
use grouped::groups_of;
use grouped::value;

const KEY: u64 = 7;
const OLD: u64 = value(1, &[1]);
const GOOD: u64 = value(2, &[1]);
/// Whatever is asked of its groups panics.
const BAD: u64 = value(66, &[1]);

fn plain() -> Builder<u64, u64> {
    Cache::builder().max_capacity(1_000).stripes(1)
}

type Write = fn(&Numbers, u64);

/// One write each; the value is stored, whatever is there.
const WRITES: [(&str, Write); 9] = [
    ("insert", |cache, value| _ = cache.insert(KEY, value)),
    ("try_insert", |cache, value| _ = cache.try_insert(KEY, value)),
    ("insert_at", |cache, value| _ = cache.insert_at(KEY, value, value)),
    ("insert_in_groups", |cache, value| _ = cache.insert_in_groups(KEY, value, ["besides"])),
    ("compare_and_swap", |cache, value| {
        _ = cache.compare_and_swap(KEY, cache.get_ref(&KEY).map(|entry| entry.version()), value);
    }),
    ("and_compute_with", |cache, value| _ = cache.entry(KEY).and_compute_with(|_| Op::Put(value))),
    ("refresh", |cache, value| _ = cache.refresh(&KEY, || value)),
    ("transaction", |cache, value| cache.transaction(|t| t.insert(KEY, value)).unwrap()),
    ("transaction, in groups", |cache, value| cache.transaction(|t| t.insert_in_groups(KEY, value, ["besides"])).unwrap()),
];

/// As an answer: panics are planned.
fn write(cache: &Numbers, act: Write, value: u64) -> Answer<u64> {
    survives(|| {
        act(cache, value);
        Answer::Value(value)
    })
}

fn load(cache: &Numbers, way: Way, value: u64) -> Answer<u64> {
    survives(|| match way.on {
        On::Thread => call(cache, way.face, &KEY, || Ok(value)),
        On::Task => block_on(future(cache, way.face, KEY, async move { Ok(value) })),
    })
}

#[test]
fn it_is_asked_once_for_each_write() {
    watched(|| {
        let asked: Arc<Mutex<Vec<(u64, u64)>>> = Arc::default();
        let ask = Arc::clone(&asked);
        let group_by = move |key: &u64, value: &u64| {
            ask.lock().unwrap().push((*key, *value));
            groups_of(*value)
        };
        let cache = plain().group_by(group_by).build().unwrap();
        let asked = move || std::mem::take(&mut *asked.lock().unwrap());
        for (turn, (name, act)) in WRITES.into_iter().enumerate() {
            let new = value(100 + turn as u64, &[1]);
            act(&cache, new);
            assert_eq!(asked(), [(KEY, new)], "{name}");
        }
        for way in ways() {
            cache.invalidate(&KEY);
            assert_eq!(load(&cache, way, GOOD), Answer::Value(GOOD), "{way}");
            assert_eq!(asked(), [(KEY, GOOD)], "{way}");
        }
        // What writes nothing does not ask: reads, hits of loads, loads that fail, removals and invalidations.
        assert_eq!(cache.get_with(&KEY, || BAD), GOOD);
        assert!(cache.try_refresh(&KEY, || Err::<_, u8>(1)).is_err());
        assert_eq!(cache.invalidate_group(&1_u64), 1);
        cache.retain(|_, _| false);
        drop(cache.get_or_lease(&KEY, None));
        assert_eq!(asked(), []);
    });
}

#[test]
fn it_may_do_anything_with_the_cache() {
    watched(|| {
        let inner: Arc<Mutex<Option<Numbers>>> = Arc::default();
        let within = Arc::clone(&inner);
        let group_by = move |_: &u64, value: &u64| {
            // Taken, or it would go on for ever.
            let taken = within.lock().unwrap().take();
            if let Some(cache) = taken {
                cache.insert(KEY + 1, *value);
                cache.invalidate_group(&5_u64);
                assert_eq!(cache.get_with(&(KEY + 2), || *value), *value);
                cache.transaction(|t| t.invalidate_group(&6_u64)).unwrap();
            }
            groups_of(*value)
        };
        let cache = plain().group_by(group_by).build().unwrap();
        for (name, act) in WRITES {
            cache.clear();
            *inner.lock().unwrap() = Some(cache.clone());
            act(&cache, GOOD);
            assert_eq!(grouped::read(&cache, KEY..KEY + 3).len(), 3, "{name}");
            assert_eq!(cache.invalidate_group(&1_u64), 3, "{name}");
        }
        *inner.lock().unwrap() = None;
    });
}

/// A group whose hash panics, if it is bad.
struct Group(u64, bool);

impl Hash for Group {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if self.1 {
            planned();
        }
        self.0.hash(state);
    }
}

type Break = fn(Builder<u64, u64>) -> Builder<u64, u64>;

/// The places where `BAD` panics.
const BREAKS: [(&str, Break); 3] = [
    ("group_by", |builder| {
        builder.group_by(|_, value| {
            if *value == BAD {
                planned();
            }
            groups_of(*value)
        })
    }),
    ("its iterator", |builder| {
        builder.group_by(|_, &value| {
            let bad = [()].into_iter().take(usize::from(value == BAD)).map(|()| -> u64 { planned() });
            groups_of(value).into_iter().chain(bad)
        })
    }),
    ("the group's hash", |builder| {
        builder.group_by(|_, &value| {
            let bad = (value == BAD).then_some(Group(0, true));
            groups_of(value).into_iter().map(|group| Group(group, false)).chain(bad)
        })
    }),
];

/// The index knows of `OLD` alone, and only if it is there.
#[track_caller]
fn assert_unchanged(cache: &Numbers, there: bool, case: &str) {
    assert_eq!(cache.get(&KEY), there.then_some(OLD), "{case}");
    assert_eq!(cache.stats().flights, 0, "{case}");
    assert_eq!(cache.invalidate_group("besides"), 0, "{case}");
    assert_eq!(cache.invalidate_group(&1_u64), usize::from(there), "{case}");
    assert!(cache.is_empty(), "{case}");
    cache.insert(KEY, GOOD);
    assert_eq!(cache.invalidate_group(&1_u64), 1, "{case}");
}

#[test]
fn when_it_panics_nothing_has_changed() {
    watched(|| {
        for (place, broken) in BREAKS {
            for there in [false, true] {
                let prepare = || {
                    let cache = broken(plain()).build().unwrap();
                    there.then(|| cache.insert(KEY, OLD));
                    cache
                };
                for (name, act) in WRITES {
                    let (cache, case) = (prepare(), format!("{place} in {name}, {there}"));
                    assert_eq!(write(&cache, act, BAD), Answer::Panicked, "{case}");
                    assert_unchanged(&cache, there, &case);
                }
                for way in if there { reloading() } else { ways() } {
                    let (cache, case) = (prepare(), format!("{place} in {way}, {there}"));
                    assert_eq!(load(&cache, way, BAD), Answer::Panicked, "{case}");
                    assert_unchanged(&cache, there, &case);
                }
            }
        }
    });
}

#[test]
fn when_it_panics_in_a_load_a_waiter_takes_over() {
    watched(|| {
        for (place, broken) in BREAKS {
            for (turn, leader) in ways().into_iter().enumerate() {
                let case = format!("{place} in {leader}");
                let cache = broken(plain()).build().unwrap();
                let open = Held::open(&cache, leader, KEY);
                let mut waiter = Held::join(&cache, faces::pick(&ways(), turn + 5), KEY);
                waiter.tell(End::Value(GOOD));
                assert_eq!(open.end(End::Value(BAD)), Answer::Panicked, "{case}");
                assert_eq!(waiter.answer(), Answer::Value(GOOD), "{case}");
                assert_eq!((cache.invalidate_group(&1_u64), cache.get(&KEY)), (1, None), "{case}");
            }
        }
    });
}

#[test]
fn when_what_the_write_names_panics_nothing_has_changed() {
    watched(|| {
        type Name = fn(&Numbers);
        let calls: [(&str, Name); 4] = [
            ("insert_in_groups, hash", |cache| _ = cache.insert_in_groups(KEY, GOOD, [Group(3, false), Group(4, true)])),
            ("insert_in_groups, iterator", |cache| {
                cache.insert_in_groups(KEY, GOOD, (0..3).map(|group| if group == 2 { planned() } else { group }));
            }),
            ("transaction, hash", |cache| {
                cache.transaction(|t| t.insert_in_groups(KEY, GOOD, [Group(3, false), Group(4, true)])).unwrap();
            }),
            ("invalidate_group, hash", |cache| _ = cache.invalidate_group(&Group(1, true))),
        ];
        for (name, act) in calls {
            let cache = plain().group_by(|_, value| groups_of(*value)).build().unwrap();
            cache.insert(KEY, OLD);
            let answer = survives(|| {
                act(&cache);
                Answer::Value(0)
            });
            assert_eq!(answer, Answer::Panicked, "{name}");
            assert_eq!(cache.invalidate_group(&3_u64), 0, "{name}");
            assert_unchanged(&cache, true, name);
        }
    });
}

/// The write has asked for its groups and is not there yet when one of them is invalidated. It comes after that, so it stays; the index knows of it.
#[test]
fn a_write_that_is_overtaken_is_in_its_groups_all_the_same() {
    watched(|| {
        for (name, act) in WRITES.into_iter().filter(|(name, _)| *name != "refresh") {
            let (here, news) = channel();
            let (go, wait) = channel::<()>();
            let (here, wait) = (Mutex::new(here), Mutex::new(wait));
            let group_by = move |_: &u64, value: &u64| {
                if *value == GOOD {
                    here.lock().unwrap().send(()).unwrap();
                    wait.lock().unwrap().recv().unwrap();
                }
                groups_of(*value)
            };
            let cache = plain().group_by(group_by).build().unwrap();
            let writing = thread::spawn({
                let cache = cache.clone();
                move || act(&cache, GOOD)
            });
            news.recv().unwrap();
            assert_eq!(cache.invalidate_group(&1_u64), 0, "{name}");
            go.send(()).unwrap();
            writing.join().unwrap();
            assert_eq!(cache.get(&KEY), Some(GOOD), "{name}");
            assert_eq!((cache.invalidate_group(&1_u64), cache.get(&KEY)), (1, None), "{name}");
        }
    });
}

/// Groups are told apart by a hash of their own: the keys' hasher has no say, unless it is a miss.
#[test]
fn a_bad_hasher_costs_misses_at_most() {
    watched(|| {
        let cache = Cache::builder().stripes(1).hasher(Flat).group_by(|_, value: &u64| groups_of(*value)).build().unwrap();
        (0..64).for_each(|key| _ = cache.insert(key, value(key, &[key % 4])));
        cache.invalidate_group(&1_u64);
        assert!((0..64).filter(|key| key % 4 == 1).all(|key| !cache.contains_key(&key)));
        let left = cache.len();
        assert_eq!(cache.iter().count(), left);
        cache.invalidate_group(&2_u64);
        assert!((0..64).filter(|key| key % 4 == 2).all(|key| !cache.contains_key(&key)));
    });
}

/// A key that counts how often it is compared and hashed.
#[derive(Clone)]
struct Asked(u64, Arc<AtomicUsize>);

impl PartialEq for Asked {
    fn eq(&self, other: &Self) -> bool {
        self.1.fetch_add(1, SeqCst);
        self.0 == other.0
    }
}

impl Eq for Asked {}

impl Hash for Asked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.1.fetch_add(1, SeqCst);
        self.0.hash(state);
    }
}

#[test]
fn an_invalidation_asks_no_more_keys_than_there_are_members() {
    watched(|| {
        let count = Arc::new(AtomicUsize::new(0));
        let cache = Cache::builder().stripes(2).build().unwrap();
        (0..5_000).for_each(|key| _ = cache.insert_in_groups(Asked(key, Arc::clone(&count)), key, [("group", key / 10)]));
        for group in 0..100_u64 {
            let before = count.load(SeqCst);
            assert_eq!(cache.invalidate_group(&("group", group)), 10);
            let asked = count.load(SeqCst) - before;
            assert!(asked <= 50, "{asked} comparisons and hashes for 10 members");
        }
    });
}
