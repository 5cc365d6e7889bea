//! Promises 1 and 2 for groups: `invalidate_group` fences the loads of its members, whatever they bring, and the loads of all other keys that bring
//! a value of the group. Nobody who comes later gets such a value, neither from the cache nor from the load; who waited before may. Loads
//! that bring something else are not harmed.

mod common;
#[path = "fences/faces.rs"]
mod faces;
mod grouped;

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;

use brindle::Cache;
use brindle::Leased;
use brindle::Loaded;
use brindle::Stats;
use brindle::WhyUnfilled;

use common::executor::block_on;
use common::watched;
use faces::Answer;
use faces::End;
use faces::Face;
use faces::Held;
use faces::On;
use faces::Way;
use faces::call;
use faces::future;
use faces::pick;
use faces::reloading;
use faces::ways;
use grouped::Numbers;
use grouped::grouped;
use grouped::groups_of;
use grouped::read;
use grouped::value;

const KEY: u64 = 7;

/// What is there before, in a group of its own.
const FIRST: u64 = value(1, &[6]);
/// What the old load brings.
const OLD: u64 = value(2, &[1, 2]);
/// What a load brings that begins after the invalidation.
const NEW: u64 = value(3, &[1, 2]);
/// What is in no group that is invalidated.
const OUTSIDE: u64 = value(4, &[5]);

type Invalidate = fn(&Numbers) -> usize;

/// The ways to invalidate groups 1 and 2: the one of them or the other.
const INVALIDATE: [(&str, Invalidate); 4] = [
    ("invalidate_group", |cache| cache.invalidate_group(&1_u64)),
    ("its second group", |cache| cache.invalidate_group(&2_u64)),
    ("one of many", |cache| {
        (0..100).map(|group| cache.invalidate_group(&("many", group))).sum::<usize>() + cache.invalidate_group(&2_u64)
    }),
    ("transaction", |cache| {
        let before = cache.len();
        cache.transaction(|t| t.invalidate_group(&1_u64)).unwrap();
        before - cache.len()
    }),
];

/// The loads that can be under way: of an absent key any, of a resident one those that reload.
fn loads(there: bool) -> Vec<Way> {
    if there { reloading() } else { ways() }
}

fn prepare(there: bool) -> Numbers {
    let cache = grouped();
    there.then(|| cache.insert(KEY, FIRST));
    cache
}

/// What a fenced leader may be given: what it has loaded, or what is there.
#[track_caller]
fn judge_leader(way: Way, answer: Answer<u64>, case: &str) {
    match way.face {
        Face::Lease => assert_eq!(answer, Answer::Unfilled(OLD, WhyUnfilled::Fenced), "{case}"),
        _ => assert!([OLD, NEW, FIRST].contains(&answer.value()), "{case}"),
    }
}

/// Who wants to load even so, and comes when the new load is over already, may load once more.
fn reload_more_than_once<const N: usize>(stats: &Stats, ways: [Way; N]) -> bool {
    stats.loads <= 1 + N as u64 && ways.iter().any(|way| way.reloads())
}

#[test]
fn a_load_that_brings_a_member_is_fenced() {
    watched(|| {
        let mut turn = 0;
        for (name, invalidate) in INVALIDATE {
            for there in [false, true] {
                for leader in loads(there) {
                    turn += 1;
                    let (early, late) = (pick(&loads(there), turn), pick(&loads(there), turn * 3 + 1));
                    let case = format!("{name}: {leader}, {early} before, {late} after, resident: {there}");
                    let cache = prepare(there);
                    let old = Held::open(&cache, leader, KEY);
                    let mut waited = Held::join(&cache, early, KEY);
                    assert_eq!(invalidate(&cache), 0, "{case}");
                    // Nobody knows yet what comes: it waits for the one load there is.
                    let mut new = Held::join(&cache, late, KEY);
                    let mut last = Held::join(&cache, pick(&loads(there), turn + 7), KEY);
                    for own in [&mut waited, &mut new, &mut last] {
                        own.tell(End::Value(NEW));
                    }
                    judge_leader(leader, old.end(End::Value(OLD)), &case);
                    assert_eq!(cache.stats().fenced, 1, "{case}");
                    assert_ne!(cache.get(&KEY), Some(OLD), "{case}");
                    assert_eq!(new.answer(), Answer::Value(NEW), "who came after it: {case}");
                    assert_eq!(last.answer(), Answer::Value(NEW), "who came after it: {case}");
                    assert!([OLD, NEW].contains(&waited.answer().value()), "who waited before: {case}");
                    assert_eq!(cache.get(&KEY), Some(NEW), "{case}");
                    let stats = cache.stats();
                    assert_eq!((stats.fenced, stats.flights), (1, 0), "{case}");
                    assert!(stats.loads == 2 || reload_more_than_once(&stats, [late, pick(&loads(there), turn + 7)]), "{case}");
                    assert_eq!(cache.invalidate_group(&2_u64), 1, "the new one is a member: {case}");
                }
            }
        }
    });
}

#[test]
fn a_load_that_brings_something_else_is_not_harmed() {
    watched(|| {
        let mut turn = 0;
        for (name, invalidate) in INVALIDATE {
            for there in [false, true] {
                for leader in loads(there) {
                    turn += 1;
                    let (early, late) = (pick(&loads(there), turn), pick(&loads(there), turn * 3 + 1));
                    let case = format!("{name}: {leader}, {early} before, {late} after, resident: {there}");
                    let cache = prepare(there);
                    let open = Held::open(&cache, leader, KEY);
                    let waited = Held::join(&cache, early, KEY);
                    assert_eq!(invalidate(&cache), 0, "{case}");
                    let new = Held::join(&cache, late, KEY);
                    assert_eq!(cache.get(&KEY), there.then_some(FIRST), "{case}");
                    assert_eq!(open.end(End::Value(OUTSIDE)), Answer::Value(OUTSIDE), "{case}");
                    assert_eq!(waited.answer(), Answer::Value(OUTSIDE), "{case}");
                    assert_eq!(new.answer(), Answer::Value(OUTSIDE), "{case}");
                    assert_eq!(cache.get(&KEY), Some(OUTSIDE), "{case}");
                    let stats = cache.stats();
                    assert_eq!((stats.fenced, stats.flights, stats.loads), (0, 0, 1), "{case}");
                }
            }
        }
    });
}

/// The load of a member is fenced there and then, whatever it brings and however it ends; who comes later has nothing to do with it.
#[test]
fn the_load_of_a_member_is_fenced_whatever_it_brings() {
    watched(|| {
        let mut turn = 0;
        for (name, invalidate) in INVALIDATE {
            for explicit in [false, true] {
                for leader in reloading() {
                    for end in leader.ends(OUTSIDE) {
                        turn += 1;
                        let late = pick(&ways(), turn);
                        let case = format!("{name}: {leader} ends with {end:?}, {late} after, explicit: {explicit}");
                        let cache = grouped();
                        match explicit {
                            false => cache.insert(KEY, value(1, &[1, 2])),
                            true => cache.insert_in_groups(KEY, FIRST, [1_u64, 2]),
                        };
                        let old = Held::open(&cache, leader, KEY);
                        assert_eq!((invalidate(&cache), cache.get(&KEY)), (1, None), "{case}");
                        let mut new = Held::open(&cache, late, KEY);
                        let mut waiter = Held::join(&cache, pick(&ways(), turn * 5), KEY);
                        let answer = old.end(end.clone());
                        assert!(end != End::Value(OUTSIDE) || answer == Answer::Value(OUTSIDE), "{answer:?}: {case}");
                        assert_eq!((cache.get(&KEY), waiter.waits(), new.is_over()), (None, true, false), "{case}");
                        assert_eq!(cache.stats().fenced, u64::from(end == End::Value(OUTSIDE)), "{case}");
                        assert_eq!(new.end(End::Value(NEW)), Answer::Value(NEW), "{case}");
                        assert_eq!(waiter.answer(), Answer::Value(NEW), "{case}");
                        assert_eq!((cache.get(&KEY), cache.stats().flights), (Some(NEW), 0), "{case}");
                    }
                }
            }
        }
    });
}

/// The key was a member and has left before the invalidation: it is a key like any other.
#[test]
fn who_has_left_the_group_before_is_no_member() {
    watched(|| {
        type Leave = fn(&Numbers);
        let ways_out: [(&str, bool, Leave); 4] = [
            ("replaced", true, |cache| _ = cache.insert(KEY, FIRST)),
            ("removed", false, |cache| _ = cache.remove(&KEY)),
            ("evicted", false, |cache| {
                cache.set_capacity(0);
                cache.set_capacity(1_000);
            }),
            ("in a transaction", true, |cache| cache.transaction(|t| t.insert(KEY, FIRST)).unwrap()),
        ];
        for (name, there, leave) in ways_out {
            for way in loads(there) {
                for (brings, stored) in [(OUTSIDE, true), (OLD, false)] {
                    let cache = grouped();
                    cache.insert_in_groups(KEY, value(1, &[1, 2]), ["named"]);
                    leave(&cache);
                    let open = Held::open(&cache, way, KEY);
                    assert_eq!((cache.invalidate_group(&1_u64), cache.invalidate_group("named")), (0, 0), "{name}");
                    _ = open.end(End::Value(brings));
                    let left = if stored { Some(OUTSIDE) } else { there.then_some(FIRST) };
                    assert_eq!(cache.get(&KEY), left, "{name}, {way}");
                }
            }
        }
    });
}

/// A load that fails, panics or is cancelled has brought nothing. Who takes over, among those who waited before it and those who came after, begins
/// after the invalidation, and what it brings is stored.
#[test]
fn who_takes_over_begins_after_the_invalidation() {
    watched(|| {
        let mut turn = 0;
        for leader in ways() {
            for end in leader.ends(OLD).into_iter().filter(|end| matches!(end, End::Panic | End::Cancel)) {
                turn += 1;
                let case = format!("{leader} ends with {end:?}, turn {turn}");
                let cache = grouped();
                let old = Held::open(&cache, leader, KEY);
                let mut all = vec![Held::join(&cache, pick(&ways(), turn), KEY)];
                cache.invalidate_group(&1_u64);
                all.extend((1..4).map(|more| Held::join(&cache, pick(&ways(), turn * 3 + more * 5), KEY)));
                all.iter_mut().for_each(|waiter| waiter.tell(End::Value(NEW)));
                old.end(end);
                for waiter in all {
                    assert_eq!(waiter.answer(), Answer::Value(NEW), "{case}");
                }
                let stats = cache.stats();
                assert_eq!((cache.get(&KEY), stats.fenced, stats.flights, stats.loads), (Some(NEW), 0, 0, 2), "{case}");
            }
        }
    });
}

/// Invalidation after invalidation, and each time somebody comes: nobody gets what began before he came, if its group was invalidated since.
#[test]
fn wave_after_wave_gets_nothing_older() {
    const WAVES: usize = 4;
    watched(|| {
        for (turn, leader) in ways().into_iter().enumerate() {
            let cache = grouped();
            let mut leaders = Held::open(&cache, leader, KEY);
            let ways: [Way; WAVES] = std::array::from_fn(|wave| pick(&ways(), turn * 7 + wave));
            let mut waves: Vec<_> = Vec::new();
            for (wave, way) in ways.into_iter().enumerate() {
                cache.invalidate_group(&(1 + wave as u64 % 2));
                waves.push(Held::join(&cache, way, KEY));
            }
            // All of them have come too late for the first load; for each other's they have come in time.
            waves.iter_mut().for_each(|held| held.tell(End::Value(NEW)));
            leaders.tell(End::Value(OLD));
            judge_leader(leader, leaders.answer(), "the leader");
            for (wave, held) in waves.into_iter().enumerate() {
                assert_eq!(held.answer(), Answer::Value(NEW), "wave {wave}, {leader}");
            }
            let stats = cache.stats();
            assert_eq!((cache.get(&KEY), stats.fenced, stats.flights), (Some(NEW), 1, 0), "{leader}");
            assert!(stats.loads == 2 || reload_more_than_once(&stats, ways), "{leader}");
        }
    });
}

/// Of two loads of one key the first is fenced by its key, and the group is invalidated while both are open.
#[test]
fn an_invalidation_reaches_old_and_new_loads_of_a_key() {
    watched(|| {
        for (turn, first) in ways().into_iter().enumerate() {
            let second = pick(&ways(), turn * 5 + 3);
            let cache = grouped();
            let old = Held::open(&cache, first, KEY);
            cache.invalidate(&KEY);
            let new = Held::open(&cache, second, KEY);
            cache.invalidate_group(&1_u64);
            let mut late = Held::join(&cache, pick(&ways(), turn), KEY);
            late.tell(End::Value(NEW));
            judge_leader(first, old.end(End::Value(OLD)), "the old load");
            judge_leader(second, new.end(End::Value(OLD)), "the new load");
            assert_eq!(late.answer(), Answer::Value(NEW), "{first}, {second}");
            let stats = cache.stats();
            assert_eq!((cache.get(&KEY), stats.fenced, stats.flights), (Some(NEW), 2, 0), "{first}, {second}");
        }
    });
}

/// Who came after the invalidation has come too late for the load, also when the key itself is fenced then, or everything is.
#[test]
fn who_came_late_is_late_though_the_load_is_fenced_once_more() {
    watched(|| {
        type Fence = fn(&Numbers);
        // Those that write let everybody go with what they write: these do not.
        let fences: [(&str, Fence); 7] = [
            ("invalidate", |cache| _ = cache.invalidate(&KEY)),
            ("remove", |cache| _ = cache.remove(&KEY)),
            ("clear", |cache| cache.clear()),
            ("retain", |cache| cache.retain(|_, _| false)),
            ("transaction", |cache| cache.transaction(|t| t.invalidate(&KEY)).unwrap()),
            ("a write-through that fails", |cache| {
                cache.write_through(KEY, |_| Err::<Loaded<u64>, _>(())).unwrap_err();
            }),
            ("thousands of groups", |cache| (0..10_000).for_each(|group| _ = cache.invalidate_group(&("of thousands", group)))),
        ];
        for (name, fence) in fences {
            for (turn, leader) in ways().into_iter().enumerate() {
                for another in [false, true] {
                    let case = format!("{name}, {leader}, another load after it: {another}");
                    let cache = grouped();
                    let old = Held::open(&cache, leader, KEY);
                    let mut early = Held::join(&cache, pick(&ways(), turn), KEY);
                    cache.invalidate_group(&1_u64);
                    let mut late = Held::join(&cache, pick(&ways(), turn * 3 + 1), KEY);
                    fence(&cache);
                    let new = another.then(|| Held::open(&cache, pick(&ways(), turn * 5 + 2), KEY));
                    [&mut early, &mut late].into_iter().for_each(|held| held.tell(End::Value(NEW)));
                    judge_leader(leader, old.end(End::Value(OLD)), &case);
                    if let Some(new) = new {
                        assert_eq!(new.end(End::Value(NEW)), Answer::Value(NEW), "{case}");
                    }
                    assert_eq!(late.answer(), Answer::Value(NEW), "{case}");
                    assert!([OLD, NEW].contains(&early.answer().value()), "{case}");
                    assert_eq!((cache.get(&KEY), cache.stats().flights), (Some(NEW), 0), "{case}");
                }
            }
        }
    });
}

#[test]
fn an_invalidation_from_within_the_load_fences_it() {
    watched(|| {
        for (name, invalidate) in INVALIDATE {
            for way in ways() {
                let cache = grouped();
                let within = cache.clone();
                let load = move || {
                    assert_eq!(invalidate(&within), 0);
                    Ok(OLD)
                };
                let answer = match way.on {
                    On::Thread => call(&cache, way.face, &KEY, load),
                    On::Task => block_on(future(&cache, way.face, KEY, async move { load() })),
                };
                // A lease is taken before its load runs, here as anywhere.
                judge_leader(way, answer, name);
                assert_eq!((cache.get(&KEY), cache.stats().fenced, cache.stats().flights), (None, 1, 0), "{name}, {way}");
            }
        }
    });
}

/// The load has ended and its groups are being asked for when one of them is invalidated.
#[test]
fn an_invalidation_between_the_load_and_its_publication_fences_it() {
    watched(|| {
        for (name, invalidate) in INVALIDATE {
            for way in ways() {
                let (here, news) = channel();
                let (go, wait) = channel::<()>();
                let (here, wait) = (Mutex::new(here), Mutex::new(wait));
                let group_by = move |_: &u64, value: &u64| {
                    if *value == OLD {
                        here.lock().unwrap().send(()).unwrap();
                        wait.lock().unwrap().recv().unwrap();
                    }
                    groups_of(*value)
                };
                let cache: Numbers = Cache::builder().stripes(2).group_by(group_by).build().unwrap();
                let loading = thread::spawn({
                    let cache = cache.clone();
                    move || match way.on {
                        On::Thread => call(&cache, way.face, &KEY, || Ok(OLD)),
                        On::Task => block_on(future(&cache, way.face, KEY, async { Ok(OLD) })),
                    }
                });
                news.recv().unwrap();
                assert_eq!(invalidate(&cache), 0, "{name}, {way}");
                go.send(()).unwrap();
                judge_leader(way, loading.join().unwrap(), name);
                assert_eq!((cache.get(&KEY), cache.stats().fenced, cache.stats().flights), (None, 1, 0), "{name}, {way}");
            }
        }
    });
}

#[test]
fn of_many_keys_those_in_the_group_are_fenced() {
    watched(|| {
        let keys: Vec<u64> = (0..10).collect();
        let row = |key: u64| (key, value(key, &[key % 3]));
        for on in [On::Thread, On::Task] {
            let cache = grouped();
            let within = cache.clone();
            let load = |keys: Vec<u64>| {
                assert_eq!(within.invalidate_group(&1_u64), 0);
                Ok::<_, ()>(keys.into_iter().map(row).collect::<Vec<_>>())
            };
            let loaded = match on {
                On::Thread => cache.try_get_many_with(&keys, load),
                On::Task => block_on(cache.try_get_many_with_async(&keys, |keys| std::future::ready(load(keys)))),
            };
            assert!(loaded.unwrap().into_iter().eq(keys.iter().map(|key| Some(row(*key).1))), "its own caller gets all");
            let stored: Vec<_> = keys.iter().map(|key| row(*key)).filter(|row| row.0 % 3 != 1).collect();
            assert_eq!(read(&cache, 0..10), stored);
            assert_eq!((cache.stats().fenced, cache.stats().flights), (3, 0));
        }
    });
}

fn lease(cache: &Numbers, key: u64) -> brindle::Lease<u64, u64> {
    match cache.get_or_lease(&key, None) {
        Leased::Lease(lease) => lease,
        _ => panic!("no lease of {key}"),
    }
}

#[test]
fn groups_invalidated_before_a_load_say_nothing_of_it() {
    watched(|| {
        let cache = grouped();
        // Another load keeps what was invalidated from being forgotten.
        let witness = lease(&cache, 0);
        for key in 1..50 {
            cache.invalidate_group(&1_u64);
            let first = lease(&cache, key);
            cache.invalidate_group(&2_u64);
            let second = lease(&cache, key + 100);
            assert!(first.fill(value(key, &[1, 3])).is_ok());
            assert!(second.fill(value(key, &[1, 2])).is_ok());
            assert!(lease(&cache, key + 200).fill(value(key, &[1, 2])).is_ok());
        }
        assert_eq!(witness.fill(OLD).unwrap_err().why, WhyUnfilled::Fenced);
    });
}

/// However many groups are invalidated while a load runs, and whichever of them its value is in.
#[test]
fn a_slow_load_misses_no_invalidation_of_thousands() {
    const MANY: u64 = 20_000;
    watched(|| {
        for through in [0, 1, MANY / 3, MANY - 2, MANY - 1] {
            let cache: Numbers = Cache::builder().group_by(|_, value: &u64| [("one of many", *value)]).build().unwrap();
            let open = lease(&cache, KEY);
            (0..MANY).for_each(|group| assert_eq!(cache.invalidate_group(&("one of many", group)), 0));
            let unfilled = open.fill(through).expect_err("it was invalidated");
            assert_eq!((unfilled.why, cache.get(&KEY)), (WhyUnfilled::Fenced, None));
            assert!(lease(&cache, KEY).fill(through).is_ok());
        }
    });
}

/// Groups of values that are written in hand: a load brings none, so that only its key tells.
#[test]
fn without_group_by_only_members_loads_are_fenced() {
    watched(|| {
        for way in reloading() {
            let cache: Numbers = Cache::new(1_000);
            cache.insert_in_groups(1, 1, ["group"]);
            cache.insert_in_groups(2, 2, ["other"]);
            let [member, other] = [1, 2].map(|key| Held::open(&cache, way, key));
            let absent = Held::open(&cache, pick(&ways(), 4), 3);
            assert_eq!(cache.invalidate_group("group"), 1);
            for (open, brings) in [(member, 10), (other, 20), (absent, 30)] {
                assert_eq!(open.end(End::Value(brings)), Answer::Value(brings), "{way}");
            }
            assert_eq!(read(&cache, 1..4), [(2, 20), (3, 30)], "{way}");
            assert_eq!(cache.invalidate_group("other"), 0, "a loaded value is not in the groups of the one before: {way}");
        }
    });
}
