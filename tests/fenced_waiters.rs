//! Those who were waiting for a load when it was fenced. A write frees them with what it wrote, though the loader hang for ever. After a removal
//! or an invalidation they go on waiting, for what the old load brings or for what is resident by then; and its end, whatever it is, leaves
//! them neither hanging nor in the way of the load that began after the fence.

mod common;
#[path = "fences/faces.rs"]
mod faces;
#[path = "fences/operations.rs"]
mod operations;

use brindle::WhyUnfilled;

use common::watched;
use faces::Answer;
use faces::End;
use faces::Face;
use faces::Held;
use faces::On;
use faces::Way;
use faces::pick;
use faces::reloading;
use faces::ways;
use operations::FIRST;
use operations::KEY;
use operations::NEW;
use operations::OLD;
use operations::Operation;
use operations::Tried;
use operations::WRITTEN;
use operations::Waiters;
use operations::fencing;
use operations::plain;

/// What a waiter's own loader brings.
const OWN: u64 = 50;
/// Who waits for one load.
const CROWD: usize = 3;

/// Some that wait for the load of `KEY`.
fn join(cache: &Tried, ways: &[Way], first: usize) -> Vec<Held<u64>> {
    (0..CROWD).map(|n| Held::join(cache, pick(ways, first + n * 5), KEY)).collect()
}

/// What the leader of a fenced load is given that brought `OLD`.
fn of_fenced(leader: Way, value: u64) -> Answer<u64> {
    match leader.face {
        Face::Lease => Answer::Unfilled(OLD, WhyUnfilled::Fenced),
        _ => Answer::Value(value),
    }
}

#[test]
fn a_write_frees_the_waiters_at_once_though_the_leader_hangs() {
    watched(|| {
        let mut turn = 0;
        for operation in fencing() {
            let Waiters::Freed(value) = operation.waiters else { continue };
            let loads = operation.loads();
            for leader in &loads {
                turn += 1;
                let case = format!("{} while {leader} hangs", operation.name);
                let cache = operation.prepare();
                let hanging = Held::open(&cache, *leader, KEY);
                let waiting = join(&cache, &loads, turn);
                (operation.run)(&cache);
                for waiter in waiting {
                    assert_eq!(waiter.answer(), Answer::Value(value), "{case}");
                }
                // The leader itself is given what is resident; where the value could not stay, what it has loaded.
                let answer = hanging.end(End::Value(OLD));
                assert_eq!(answer, of_fenced(*leader, operation.leaves.unwrap_or(OLD)), "{case}");
                assert_eq!(cache.get(&KEY), operation.leaves, "{case}");
                assert_eq!(cache.stats().flights, 0, "{case}");
            }
        }
    });
}

/// Operation after operation that frees nobody, a load open and some who wait for it.
fn where_they_wait(mut then: impl FnMut(&str, &Operation, &Tried, Way, Held<u64>, Vec<Held<u64>>)) {
    let mut turn = 0;
    for operation in fencing().into_iter().filter(|operation| operation.waiters == Waiters::Wait) {
        let loads = operation.loads();
        for leader in &loads {
            turn += 1;
            let cache = operation.prepare();
            let old = Held::open(&cache, *leader, KEY);
            let mut waiting = join(&cache, &loads, turn);
            (operation.run)(&cache);
            let case = format!("{} in a load of {leader}", operation.name);
            assert!(waiting.iter_mut().all(Held::waits), "{case}");
            then(&case, &operation, &cache, *leader, old, waiting);
            assert_eq!(cache.stats().flights, 0, "{case}");
        }
    }
}

#[test]
fn after_a_removal_they_get_what_the_old_load_brings() {
    watched(|| {
        where_they_wait(|case, operation, cache, leader, old, waiting| {
            // What was there before the load, and still is, may answer as well.
            let right = |answer: &Answer<u64>| {
                *answer == Answer::Value(OLD) || (operation.leaves == Some(FIRST) && *answer == Answer::Value(FIRST))
            };
            let answer = old.end(End::Value(OLD));
            assert!(answer == of_fenced(leader, OLD) || right(&answer), "{answer:?}: {case}");
            for waiter in waiting {
                let answer = waiter.answer();
                assert!(right(&answer), "{answer:?}: {case}");
            }
            assert_eq!(cache.get(&KEY), operation.leaves, "{case}");
        });
    });
}

#[test]
fn they_get_what_a_newer_load_has_brought_meanwhile() {
    watched(|| {
        let mut turn = 0;
        where_they_wait(|case, operation, cache, leader, old, waiting| {
            turn += 1;
            let after = if operation.leaves.is_some() { reloading() } else { ways() };
            let new = Held::open(cache, pick(&after, turn), KEY);
            assert_eq!(new.end(End::Value(NEW)), Answer::Value(NEW), "{case}");
            assert_eq!(old.end(End::Value(OLD)), of_fenced(leader, NEW), "{case}");
            for waiter in waiting {
                assert_eq!(waiter.answer(), Answer::Value(NEW), "{case}");
            }
            assert_eq!(cache.get(&KEY), Some(NEW), "{case}");
        });
    });
}

/// An insertion that comes when two loads are open, one fenced already: nobody waits for a loader that hangs, and nobody gets what is older.
#[test]
fn a_write_frees_those_of_the_new_load_and_those_of_the_old_get_nothing_older() {
    watched(|| {
        for (turn, leader) in ways().into_iter().enumerate() {
            let cache = plain().build().unwrap();
            let old = Held::open(&cache, leader, KEY);
            let early = join(&cache, &ways(), turn);
            cache.invalidate(&KEY);
            let new = Held::open(&cache, pick(&ways(), turn * 3 + 1), KEY);
            let late = join(&cache, &ways(), turn * 7);
            cache.insert(KEY, WRITTEN);
            late.into_iter().for_each(|waiter| assert_eq!(waiter.answer(), Answer::Value(WRITTEN), "{leader}"));
            assert_eq!(old.end(End::Value(OLD)), of_fenced(leader, WRITTEN));
            early.into_iter().for_each(|waiter| assert_eq!(waiter.answer(), Answer::Value(WRITTEN), "{leader}"));
            new.end(End::Value(OLD));
            assert_eq!(cache.get(&KEY), Some(WRITTEN));
            assert_eq!((cache.stats().fenced, cache.stats().flights), (2, 0), "{leader}");
        }
    });
}

#[test]
fn what_was_written_goes_to_the_waiters_though_it_was_invalidated_since() {
    watched(|| {
        for (turn, leader) in ways().into_iter().enumerate() {
            let cache = plain().build().unwrap();
            let old = Held::open(&cache, leader, KEY);
            let waiting = join(&cache, &ways(), turn);
            cache.insert(KEY, WRITTEN);
            cache.invalidate(&KEY);
            waiting.into_iter().for_each(|waiter| assert_eq!(waiter.answer(), Answer::Value(WRITTEN), "{leader}"));
            assert_eq!(old.end(End::Value(OLD)), of_fenced(leader, OLD), "nothing is resident");
            assert_eq!(cache.get(&KEY), None);
        }
    });
}

/// The ends of a load that bring nothing.
fn bad_ends(leader: Way) -> Vec<End<u64>> {
    leader.ends(OLD).into_iter().filter(|end| *end != End::Value(OLD)).collect()
}

/// Who waited for the old load has waited for the new one then, which has ended. A thread that comes too late for that and reloads
/// loads once more.
fn settle(cache: &Tried, way: Way, waiter: Held<u64>, case: &str) {
    let answer = waiter.answer();
    let once_more = way.reloads() && way.on == On::Thread && answer == Answer::Value(OWN);
    assert!(once_more || answer == Answer::Value(NEW), "{answer:?}: {case}");
    assert_eq!(cache.get(&KEY), Some(if once_more { OWN } else { NEW }), "{case}");
}

#[test]
fn a_fenced_load_that_fails_tells_its_own_waiters_and_nobody_else() {
    watched(|| {
        for (turn, leader) in ways().into_iter().filter(|way| way.can_fail()).enumerate() {
            for waiting in ways() {
                let case = format!("{leader} fails, {waiting} waits");
                let cache = plain().build().unwrap();
                let old = Held::open(&cache, leader, KEY);
                let mut waiter = Held::join(&cache, waiting, KEY);
                waiter.tell(End::Value(OWN));
                cache.invalidate(&KEY);
                let new = Held::open(&cache, pick(&ways(), turn), KEY);
                let mut other = Held::join(&cache, pick(&ways(), turn * 3), KEY);
                assert_eq!(old.end(End::Fail), Answer::Failed, "{case}");
                // Who cannot take an error has to load, or to wait for the new load.
                if waiting.takes_errors() {
                    assert_eq!(waiter.answer(), Answer::Failed, "{case}");
                    assert!(other.waits(), "{case}");
                    assert_eq!(new.end(End::Value(NEW)), Answer::Value(NEW), "{case}");
                } else {
                    assert!(!waiter.is_over() || waiting.on == On::Thread, "{case}");
                    assert!(other.waits(), "{case}");
                    assert_eq!(new.end(End::Value(NEW)), Answer::Value(NEW), "{case}");
                    settle(&cache, waiting, waiter, &case);
                }
                assert_eq!(other.answer(), Answer::Value(NEW), "{case}");
                assert_eq!(cache.stats().flights, 0, "{case}");
            }
        }
    });
}

#[test]
fn who_waits_for_a_fenced_load_that_is_given_up_disturbs_no_newer_one() {
    watched(|| {
        let mut turn = 0;
        for leader in ways() {
            for end in bad_ends(leader).into_iter().filter(|end| *end != End::Fail) {
                for waiting in ways() {
                    turn += 1;
                    let case = format!("{leader} comes to {end:?}, {waiting} waits");
                    let cache = plain().build().unwrap();
                    let old = Held::open(&cache, leader, KEY);
                    let mut waiter = Held::join(&cache, waiting, KEY);
                    waiter.tell(End::Value(OWN));
                    cache.invalidate(&KEY);
                    let new = Held::open(&cache, pick(&ways(), turn), KEY);
                    let mut other = Held::join(&cache, pick(&ways(), turn * 3), KEY);
                    old.end(end.clone());
                    assert_eq!(cache.get(&KEY), None, "{case}");
                    assert!(!waiter.is_over() || waiting.on == On::Thread, "{case}");
                    assert!(other.waits(), "{case}");
                    assert_eq!(new.end(End::Value(NEW)), Answer::Value(NEW), "{case}");
                    assert_eq!(other.answer(), Answer::Value(NEW), "{case}");
                    settle(&cache, waiting, waiter, &case);
                    assert_eq!(cache.stats().flights, 0, "{case}");
                }
            }
        }
    });
}

/// No newer load is there: one of the waiters takes over, and what it brings is as new as its own loader.
#[test]
fn a_waiter_takes_over_from_a_fenced_load_that_is_given_up() {
    watched(|| {
        let mut turn = 0;
        for leader in ways() {
            for end in bad_ends(leader) {
                turn += 1;
                let case = format!("{leader} comes to {end:?}");
                let cache = plain().build().unwrap();
                let old = Held::open(&cache, leader, KEY);
                let takers: Vec<Way> = ways().into_iter().filter(|way| end != End::Fail || !way.takes_errors()).collect();
                let waiting: Vec<_> = (0..CROWD).map(|n| pick(&takers, turn + n)).collect();
                let mut waiting: Vec<_> = waiting.into_iter().map(|way| Held::join(&cache, way, KEY)).collect();
                waiting.iter_mut().for_each(|waiter| waiter.tell(End::Value(OWN)));
                cache.invalidate(&KEY);
                old.end(end);
                for waiter in waiting {
                    let answer = waiter.answer();
                    let right = matches!(answer, Answer::Value(OWN) | Answer::Unfilled(OWN, WhyUnfilled::Fenced));
                    assert!(right, "{answer:?}: {case}");
                }
                assert!([None, Some(OWN)].contains(&cache.get(&KEY)), "{case}");
                assert_eq!(cache.stats().flights, 0, "{case}");
            }
        }
    });
}

/// The leader has given up and a waiter is called; before he comes, the key is invalidated. What he loads then is as new as any, so his
/// lease must count.
#[test]
fn who_is_called_before_a_fence_and_comes_after_it_gets_a_lease_that_counts() {
    watched(|| {
        let given_up = |way: &Way| way.on == On::Task;
        for leader in ways().into_iter().filter(given_up) {
            for called in ways().into_iter().filter(given_up) {
                for operation in fencing().iter().filter(|operation| !operation.present && operation.keeps) {
                    let case = format!("{leader} is given up, {called} is called, {}", operation.name);
                    let cache = operation.prepare();
                    let open = Held::open(&cache, leader, KEY);
                    let mut waiter = Held::join(&cache, called, KEY);
                    waiter.tell(End::Value(NEW));
                    open.end(End::Cancel);
                    (operation.run)(&cache);
                    let answer = waiter.answer();
                    match operation.waiters {
                        Waiters::Freed(value) => assert_eq!(answer, Answer::Value(value), "{case}"),
                        Waiters::Wait => {
                            assert_eq!(answer, Answer::Value(NEW), "{case}");
                            assert_eq!(cache.get(&KEY), Some(NEW), "{case}");
                        }
                        Waiters::Unsaid => {}
                    }
                    assert_eq!(cache.stats().flights, 0, "{case}");
                }
            }
        }
    });
}

#[test]
fn one_write_frees_a_hundred_of_all_kinds() {
    watched(|| {
        for leader in ways() {
            let cache = plain().build().unwrap();
            let hanging = Held::open(&cache, leader, KEY);
            let waiting: Vec<_> = (0..100).map(|n| Held::join(&cache, pick(&ways(), n), KEY)).collect();
            assert_eq!(cache.stats().waits, 100, "{leader}");
            cache.insert(KEY, WRITTEN);
            waiting.into_iter().for_each(|waiter| assert_eq!(waiter.answer(), Answer::Value(WRITTEN), "{leader}"));
            assert_eq!(hanging.end(End::Value(OLD)), of_fenced(leader, WRITTEN));
        }
    });
}
