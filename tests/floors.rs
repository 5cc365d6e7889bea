//! A floor is the word of another key: it may cost a miss, and never keeps an old value in the cache (promises 1, 5 and 12).
//!
//! What says nothing of its source keeps the floor's, so that no version goes back. That proves nothing of its age: a load may have read
//! before its key was changed, and land before the source tells of the change.

mod common;
#[path = "fences/faces.rs"]
mod faces;

use std::time::Duration;

use brindle::Aborted;
use brindle::Cache;
use brindle::Clock;
use brindle::EqualSource;
use brindle::Leased;
use brindle::Loaded;
use brindle::MockClock;
use brindle::Ordering;

use common::executor::block_on;
use common::watched;
use faces::Way;
use faces::call;
use faces::future;
use faces::ways;

type Tried = Cache<u64, u64>;
type Word = fn(&Tried, u64) -> bool;
/// Brings [`OLD`], which was read before the closure is called.
type Bring = Box<dyn Fn(&Tried, &dyn Fn())>;
type End = fn(&Tried);
type Reload = fn(&Tried) -> u64;

const SECOND: Duration = Duration::from_secs(1);
const KEY: u64 = 1;
const OTHER: u64 = 2;
/// Before and after the change at [`CHANGED`].
const OLD: u64 = 40;
const NEW: u64 = 50;
const CHANGED: u64 = 50;
/// The source of the other key's state, and so the floor.
const FLOOR: u64 = 90;

fn global(tombstones: usize, equal: EqualSource) -> Tried {
    let builder = Cache::builder().max_capacity(10).stripes(1).ordering(Ordering::Global).equal_source(equal);
    builder.tombstone_capacity(tombstones).build().unwrap()
}

/// Another key's tombstone goes, and leaves a floor to all.
fn raise_floor(cache: &Tried) {
    (OTHER..OTHER + 2).for_each(|other| assert!(cache.invalidate_at(&other, FLOOR)));
}

fn aborts<T>(committed: Result<T, Aborted<u64, u64>>) -> bool {
    committed.is_err()
}

/// What may come late from the source to tell of the change, and whether it tells of its refusal.
const WORDS: [(&str, Word); 6] = [
    ("invalidate_at", |cache, source| cache.invalidate_at(&KEY, source)),
    ("insert_at", |cache, source| cache.insert_at(KEY, NEW, source).is_err()),
    ("transaction, invalidate_at", |cache, source| !aborts(cache.transaction(|t| t.invalidate_at(&KEY, source)))),
    ("transaction, invalidate_at and another", |cache, source| {
        !aborts(cache.transaction(|t| {
            t.insert(7, 7);
            t.invalidate_at(&KEY, source);
        }))
    }),
    ("transaction, insert_at", |cache, source| aborts(cache.transaction(|t| t.insert_at(KEY, NEW, source)))),
    ("write_through", |cache, source| cache.write_through(KEY, |_| Ok::<_, ()>(Loaded::new(NEW).at(source))).is_ok()),
];

/// What brings a value without a source to an absent key.
fn bringers() -> Vec<(String, Bring)> {
    let mut all: Vec<(String, Bring)> = Vec::new();
    for way in ways() {
        all.push((way.to_string(), Box::new(move |cache, meanwhile| load(cache, way, meanwhile))));
    }
    all.push((
        String::from("insert"),
        Box::new(|cache, meanwhile| {
            meanwhile();
            cache.insert(KEY, OLD);
        }),
    ));
    all.push((
        String::from("insert, twice"),
        Box::new(|cache, meanwhile| {
            meanwhile();
            cache.insert(KEY, OLD - 1);
            cache.insert(KEY, OLD);
        }),
    ));
    all.push((
        String::from("transaction"),
        Box::new(|cache, meanwhile| {
            meanwhile();
            cache.transaction(|t| t.insert(KEY, OLD)).unwrap();
        }),
    ));
    all.push((
        String::from("transaction atop"),
        Box::new(|cache, meanwhile| {
            meanwhile();
            cache
                .transaction(|t| {
                    t.invalidate_at(&KEY, CHANGED - 10);
                    t.insert(KEY, OLD);
                })
                .unwrap();
        }),
    ));
    all
}

/// Loads what was read before `meanwhile`.
fn load(cache: &Tried, way: Way, meanwhile: &dyn Fn()) {
    match (way.on, way.face) {
        (_, faces::Face::Lease) => {
            let Leased::Lease(lease) = cache.get_or_lease(&KEY, None) else { panic!("nobody else loads") };
            meanwhile();
            lease.fill(OLD).unwrap();
        }
        (faces::On::Thread, face) => {
            let answer = call(cache, face, &KEY, || {
                meanwhile();
                Ok(OLD)
            });
            assert_eq!(answer, faces::Answer::Value(OLD), "{way}");
        }
        (faces::On::Task, face) => {
            meanwhile();
            assert_eq!(block_on(future(cache, face, KEY, async { Ok(OLD) })), faces::Answer::Value(OLD), "{way}");
        }
    }
}

#[test]
fn what_came_with_a_floor_goes_with_the_first_late_word() {
    watched(|| {
        for (name, bring) in bringers() {
            for (word, tell) in WORDS {
                for equal in [EqualSource::Refuse, EqualSource::Replace] {
                    for tombstones in [0, 1] {
                        for source in [CHANGED, FLOOR] {
                            let case = format!("{name}, then {word} at {source}, {tombstones} tombstones, {equal:?}");
                            let cache = global(tombstones, equal);
                            bring(&cache, &|| raise_floor(&cache));
                            let before = cache.get_entry(&KEY).expect(&case);
                            assert_eq!((before.value, before.version.source()), (OLD, FLOOR), "{case}");
                            let told = tell(&cache, source);
                            assert_ne!(cache.get(&KEY), Some(OLD), "{case}");
                            assert!(told || cache.get(&KEY) == Some(NEW), "{case}");
                            // And no version has gone back.
                            assert!(cache.insert(KEY, OLD) > before.version, "{case}");
                        }
                    }
                }
            }
        }
    });
}

/// Nor is it what a transaction sees that has said so.
#[test]
fn a_transaction_does_not_see_what_it_has_ended() {
    watched(|| {
        let cache = global(0, EqualSource::Refuse);
        raise_floor(&cache);
        cache.insert(KEY, OLD);
        let seen = cache.transaction(|t| {
            t.invalidate_at(&KEY, CHANGED);
            (t.get(&KEY), t.contains_key(&KEY), t.read(&KEY))
        });
        assert_eq!(seen.unwrap(), (None, false, None));
        assert_eq!(cache.get(&KEY), None);
    });
}

/// A key's own tombstone is its own word: what came after it is newer, and a message that comes twice costs nothing.
#[test]
fn what_came_after_the_keys_own_tombstone_stays() {
    watched(|| {
        for (name, bring) in bringers() {
            for ordering in [Ordering::Global, Ordering::PerKey] {
                let cache: Tried = Cache::builder().max_capacity(10).stripes(1).ordering(ordering).build().unwrap();
                assert!(cache.invalidate_at(&KEY, CHANGED));
                bring(&cache, &|| {});
                assert!(!cache.invalidate_at(&KEY, CHANGED), "{name}, {ordering:?}");
                assert_eq!(cache.get(&KEY), Some(OLD), "{name}, {ordering:?}");
            }
        }
    });
}

/// Nor does it keep out what a load has read since, which is newer whatever its source; and still no version goes back.
#[test]
fn a_load_replaces_what_came_with_a_floor() {
    watched(|| {
        let reloads: [(&str, Reload); 2] = [
            ("reload", |cache| cache.reload(&KEY, || Ok::<_, ()>(Loaded::new(NEW).at(CHANGED))).unwrap()),
            ("reload_async", |cache| {
                block_on(cache.reload_async(&KEY, async { Ok::<_, ()>(Loaded::new(NEW).at(CHANGED)) })).unwrap()
            }),
        ];
        for (name, reload) in reloads {
            let cache = global(0, EqualSource::Refuse);
            raise_floor(&cache);
            let before = cache.insert(KEY, OLD);
            assert_eq!((reload(&cache), cache.get(&KEY)), (NEW, Some(NEW)), "{name}");
            assert!(cache.get_entry(&KEY).unwrap().version > before, "{name}");
            // It is not known to have reached the floor either.
            assert!(cache.invalidate_at(&KEY, CHANGED + 1), "{name}");
            assert_eq!(cache.get(&KEY), None, "{name}");
            // What has a source of its own does prove that a load read something older.
            cache.insert_at(KEY, NEW + 1, FLOOR + 1).unwrap();
            assert_eq!((reload(&cache), cache.get(&KEY)), (NEW + 1, Some(NEW + 1)), "{name}");
        }
    });
}

/// What takes the entry out, and leaves the key absent.
const ENDS: [(&str, End); 5] = [
    ("remove", |cache| _ = cache.remove(&KEY)),
    ("invalidate", |cache| _ = cache.invalidate(&KEY)),
    ("transaction", |cache| cache.transaction(|t| t.invalidate(&KEY)).unwrap()),
    ("evicted", |cache| {
        cache.set_capacity(0);
        cache.set_capacity(10);
    }),
    ("cleared", Cache::clear),
];

/// A floor that was lent and comes back is a floor still, and no tombstone of the key that had it.
#[test]
fn what_left_with_a_floor_leaves_no_proof_behind() {
    watched(|| {
        for (name, bring) in bringers() {
            for (end, go) in ENDS {
                for (word, tell) in WORDS {
                    let case = format!("{name}, {end}, {name} again, then {word}");
                    let cache = global(1, EqualSource::Refuse);
                    raise_floor(&cache);
                    bring(&cache, &|| {});
                    go(&cache);
                    assert_eq!(cache.get(&KEY), None, "{case}");
                    bring(&cache, &|| {});
                    tell(&cache, CHANGED);
                    assert_ne!(cache.get(&KEY), Some(OLD), "{case}");
                }
            }
        }
    });
}

/// The floor may be the key's own all the same: then the state that it came from does not come back after what replaced it.
#[test]
fn what_was_replaced_under_a_floor_does_not_come_back() {
    watched(|| {
        for (end, go) in ENDS {
            let cache = global(1, EqualSource::Refuse);
            cache.insert_at(KEY, OLD, FLOOR).unwrap();
            cache.set_capacity(0);
            cache.set_capacity(10);
            // Which costs the key its tombstone.
            assert!(cache.invalidate_at(&OTHER, FLOOR - 1));
            cache.insert(KEY, NEW);
            go(&cache);
            assert!(cache.insert_at(KEY, OLD, FLOOR).is_err(), "{end}");
            assert_eq!(cache.get(&KEY), None, "{end}");
        }
    });
}

/// A word that is refused because something was forgotten fences all the same, whoever says it.
#[test]
fn a_load_is_fenced_by_a_refused_word() {
    watched(|| {
        let words: [(&str, Word); 2] = [
            ("insert_at", |cache, source| cache.insert_at(KEY, NEW, source).is_err()),
            ("transaction", |cache, source| aborts(cache.transaction(|t| t.insert_at(KEY, NEW, source)))),
        ];
        for (word, tell) in words {
            let cache = global(0, EqualSource::Refuse);
            raise_floor(&cache);
            let Leased::Lease(lease) = cache.get_or_lease(&KEY, None) else { panic!("nobody else loads") };
            assert!(tell(&cache, CHANGED), "{word}");
            assert!(!lease.is_current(), "{word}");
            assert!(lease.fill(OLD).is_err(), "{word}");
            assert_eq!(cache.get(&KEY), None, "{word}");
        }
    });
}

/// A cache in which what is a second old is served for another second, where its load fails.
fn stale() -> (Tried, MockClock) {
    let (clock, hand) = Clock::mock();
    let builder = Cache::builder().max_capacity(10).stripes(1).ordering(Ordering::Global).tombstone_capacity(0).clock(clock);
    let cache: Tried = builder.time_to_live(SECOND).serve_stale(SECOND).fail_safe().build().unwrap();
    raise_floor(&cache);
    cache.insert(KEY, OLD);
    hand.advance(SECOND);
    (cache, hand)
}

#[test]
fn what_is_stale_goes_with_the_first_late_word() {
    watched(|| {
        for (word, tell) in WORDS {
            let (cache, _hand) = stale();
            tell(&cache, CHANGED);
            assert_ne!(cache.try_get_with(&KEY, || Err("the source is down")), Ok(OLD), "{word}");
        }
        let (cache, _hand) = stale();
        assert_eq!(cache.try_get_with(&KEY, || Err("the source is down")), Ok(OLD), "else it is served");
    });
}

/// What takes the place of a stale value in a transaction knows no more than that did.
#[test]
fn what_is_stale_proves_nothing_to_what_replaces_it() {
    watched(|| {
        for (word, tell) in WORDS {
            let (cache, _hand) = stale();
            cache.transaction(|t| t.insert(KEY, OLD)).unwrap();
            tell(&cache, CHANGED);
            assert_ne!(cache.get(&KEY), Some(OLD), "{word}");
        }
    });
}
