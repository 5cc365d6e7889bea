//! `serve_stale` and `fail_safe`: while one caller reloads what has expired, the others get the old value at once; never longer than was
//! allowed, never by a plain read, and never what was invalidated or replaced: expired is stale, invalidated is wrong.

mod common;
mod hand;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use brindle::Builder;
use brindle::Cache;
use brindle::Clock;
use brindle::Computed;
use brindle::Expected;
use brindle::Expiry;
use brindle::Loaded;
use brindle::MockClock;
use brindle::Op;
use brindle::TimeSource;

use common::watched;
use hand::Broken;
use hand::Crowd;
use hand::Face;
use hand::GETS;
use hand::Leader;
use hand::NANO;
use hand::Numbers;
use hand::OVERTAKINGS;
use hand::RELOADS;
use hand::Said;
use hand::Task;
use hand::all_at_once;
use hand::ask_async;
use hand::at_once;
use hand::overtaking::Overtaking;
use hand::seconds;
use hand::those;

const TTL: Duration = seconds(100);
const GRACE: Duration = seconds(10);
/// What has expired, and what a reload brings.
const OLD: u64 = 10;
const NEW: u64 = 11;

/// Gives a time to live, and as much again at every read.
struct Renewed;

impl Expiry<u64, u64> for Renewed {
    fn after_create(&self, _: &u64, _: &u64) -> Option<Duration> {
        Some(TTL)
    }

    fn after_read(&self, _: &u64, _: &u64, _: Option<Duration>) -> Option<Duration> {
        Some(TTL)
    }
}

type Choose = fn(Builder<u64, u64>) -> Builder<u64, u64>;
type Write = fn(&Numbers);

/// How an entry may come to its end, after `TTL` in each case.
const ENDINGS: [(&str, Choose, Write); 5] = [
    ("time_to_live", |builder| builder.time_to_live(TTL), |cache| _ = cache.insert(1, OLD)),
    ("time_to_idle", |builder| builder.time_to_idle(TTL), |cache| _ = cache.insert(1, OLD)),
    ("expire_after", |builder| builder.expire_after(Renewed), |cache| _ = cache.insert(1, OLD)),
    ("insert_with_ttl", |builder| builder, |cache| _ = cache.insert_with_ttl(1, OLD, TTL)),
    (
        "Loaded::with_ttl",
        |builder| builder,
        |cache| _ = cache.load(&1, || Ok::<_, Broken>(Loaded::new(OLD).with_ttl(TTL))).expect("it brings a value"),
    ),
];

/// A cache whose key 1 was written at once; the clock stands there.
fn built(ending: (&str, Choose, Write), choose: impl FnOnce(Builder<u64, u64>) -> Builder<u64, u64>) -> (Numbers, MockClock) {
    let (clock, hand) = Clock::mock();
    let builder = ending.1(Cache::builder().max_capacity(1_000).stripes(2).clock(clock).serve_stale(GRACE));
    let cache = choose(builder).build().unwrap();
    ending.2(&cache);
    (cache, hand)
}

/// A cache whose key 1 has just expired.
fn expired(ending: (&str, Choose, Write)) -> (Numbers, MockClock) {
    let (cache, hand) = built(ending, |builder| builder);
    hand.advance(TTL);
    (cache, hand)
}

#[test]
fn one_caller_reloads_and_the_others_get_the_stale_value_at_once() {
    watched(|| {
        for ending in ENDINGS {
            for leading in GETS.into_iter().chain(RELOADS) {
                let (cache, _) = expired(ending);
                let loads = cache.stats().loads;
                let leader = Leader::start(leading, &cache, 1);
                for (served, face) in GETS.into_iter().enumerate() {
                    assert_eq!(at_once(face, &cache, 1), Said::Value(OLD), "{face:?} while {leading:?} loads, {}", ending.0);
                    assert_eq!(cache.stats().stale_served, served as u64 + 1, "{face:?} while {leading:?} loads, {}", ending.0);
                }
                assert_eq!(leader.end(Ok(NEW)), Said::Value(NEW), "{leading:?}, {}", ending.0);
                assert_eq!(cache.get(&1), Some(NEW), "{leading:?}, {}", ending.0);
                let stats = cache.stats();
                let counts = (stats.loads - loads, stats.waits, stats.flights, stats.stale_served);
                assert_eq!(counts, (1, 0, 0, GETS.len() as u64), "{leading:?}, {}", ending.0);
            }
        }
    });
}

/// None of the calls that load nothing sees an entry of key 1.
#[track_caller]
fn plain_reads_see_nothing(cache: &Numbers, when: &str) {
    assert_eq!(cache.get(&1), None, "{when}");
    assert_eq!(cache.with(&1, |value| *value), None, "{when}");
    assert!(cache.get_ref(&1).is_none(), "{when}");
    assert_eq!(cache.get_entry(&1), None, "{when}");
    assert_eq!(cache.peek(&1), None, "{when}");
    assert!(!cache.contains_key(&1), "{when}");
    assert_eq!(cache.iter().count(), 0, "{when}");
    assert!(matches!(cache.entry(1).and_compute_with(|entry| keep(entry.is_none())), Computed::Kept(None)), "{when}");
}

fn keep(absent: bool) -> Op<u64> {
    assert!(absent, "shown what has expired");
    Op::Keep
}

#[test]
fn plain_reads_never_see_a_stale_value() {
    watched(|| {
        for ending in ENDINGS {
            let (cache, _) = expired(ending);
            plain_reads_see_nothing(&cache, "before a reload");
            let leader = Leader::start(Face::TryGetWithAsync, &cache, 1);
            plain_reads_see_nothing(&cache, "during a reload");
            assert_eq!(at_once(Face::TryGetWith, &cache, 1), Said::Value(OLD));
            plain_reads_see_nothing(&cache, "after a stale value was served");
            assert_eq!(leader.end(Err(Broken(1))), Said::Failed(1));
            plain_reads_see_nothing(&cache, "after a failed reload");
        }
    });
}

#[test]
fn a_stale_value_is_served_until_its_time_is_up_and_not_a_nanosecond_longer() {
    watched(|| {
        for ending in ENDINGS {
            let (cache, hand) = expired(ending);
            let leader = Leader::start(Face::TryGetWithAsync, &cache, 1);
            // That it is served gives it no new life.
            for _ in 0..9 {
                hand.advance(GRACE / 10);
                assert_eq!(at_once(Face::GetWith, &cache, 1), Said::Value(OLD), "{}", ending.0);
            }
            hand.advance(GRACE / 10 - NANO);
            all_at_once(&cache, 1, Said::Value(OLD), ending.0);
            hand.advance(NANO);
            let crowd = Crowd::gather(&cache, 1, &GETS, Ok(99));
            assert_eq!(leader.end(Ok(NEW)), Said::Value(NEW), "{}", ending.0);
            crowd.all_get(Said::Value(NEW));
            assert_eq!(cache.stats().flights, 0);
        }
    });
}

#[test]
fn no_time_serves_nothing_and_all_time_serves_for_ever() {
    watched(|| {
        let (cache, hand) = built(ENDINGS[0], |builder| builder.serve_stale(Duration::ZERO));
        hand.advance(TTL);
        let leader = Leader::start(Face::TryGetWithAsync, &cache, 1);
        let crowd = Crowd::gather(&cache, 1, &GETS, Ok(99));
        assert_eq!(leader.end(Ok(NEW)), Said::Value(NEW));
        crowd.all_get(Said::Value(NEW));
        let (cache, hand) = built(ENDINGS[0], |builder| builder.serve_stale(Duration::MAX));
        hand.advance(seconds(1_000_000_000));
        plain_reads_see_nothing(&cache, "long after");
        let leader = Leader::start(Face::TryGetWithAsync, &cache, 1);
        assert_eq!(at_once(Face::GetWith, &cache, 1), Said::Value(OLD));
        leader.cancel();
    });
}

#[test]
fn a_reload_that_comes_to_nothing_leaves_the_stale_value_and_the_next_caller_reloads() {
    watched(|| {
        for after in [Face::TryGetWith, Face::GetWithAsync, Face::GetOrLease] {
            let (cache, hand) = built(ENDINGS[0], |builder| builder.load_timeout(GRACE / 10));
            hand.advance(TTL);
            let still_stale = |name| {
                assert_eq!(cache.stats().flights, 0, "{name}");
                let leader = Leader::start(after, &cache, 1);
                assert_eq!(at_once(Face::Load, &cache, 1), Said::Value(OLD), "{name}");
                leader
            };
            let leader = Leader::start(Face::TryGetWith, &cache, 1);
            assert_eq!(leader.end(Err(Broken(7))), Said::Failed(7), "its own caller is told");
            let leader = still_stale("a failure");
            if after.is_async() {
                leader.cancel()
            } else {
                leader.panic()
            }
            let leader = still_stale("a panic, or a cancelled task");
            // Overdue: the next caller takes over, and what comes late is not stored.
            hand.advance(GRACE / 10);
            let next = Leader::start(Face::TryGetWithAsync, &cache, 1);
            assert_eq!(at_once(Face::GetWith, &cache, 1), Said::Value(OLD), "while the second reloads");
            leader.end(Ok(12));
            plain_reads_see_nothing(&cache, "a late result is not stored");
            assert_eq!(at_once(Face::GetWith, &cache, 1), Said::Value(OLD), "while the second still reloads");
            assert_eq!(next.end(Ok(NEW)), Said::Value(NEW));
            assert_eq!((cache.get(&1), cache.stats().flights), (Some(NEW), 0));
        }
    });
}

/// How a load that was overtaken ends.
const LATE_ENDS: [&str; 3] = ["fills", "fails", "is cancelled"];

fn end_late(leader: Leader, how: &str) -> Option<Said> {
    match how {
        "fills" => Some(leader.end(Ok(NEW))),
        "fails" => Some(leader.end(Err(Broken(7)))),
        _ => {
            leader.cancel();
            None
        }
    }
}

/// Nobody gets the old value: either the written one is there, or all wait for a new load.
fn is_wrong_now(cache: &Numbers, by: &Overtaking, late: Option<(Leader, &str)>, context: &str) {
    if let Some(written) = by.leaves {
        all_at_once(cache, 1, Said::Value(written), context);
        if let Some((leader, how)) = late {
            let answer = end_late(leader, how);
            assert!(answer != Some(Said::Value(OLD)), "{context}: the overtaken reload answers {answer:?}");
            all_at_once(cache, 1, Said::Value(written), context);
        }
        return assert_eq!(cache.get(&1), Some(written), "{context}");
    }
    let leader = Leader::start(Face::TryGetWithAsync, cache, 1);
    let mut crowd = Crowd::gather(cache, 1, &GETS, Ok(99));
    if let Some((late, how)) = late {
        let answer = end_late(late, how);
        assert!(answer != Some(Said::Value(OLD)), "{context}: the overtaken reload answers {answer:?}");
        crowd.still_waits();
        let mut others = Crowd::gather(cache, 1, &GETS, Ok(99));
        others.still_waits();
        assert_eq!(leader.end(Ok(30)), Said::Value(30), "{context}");
        others.all_get(Said::Value(30));
    } else {
        assert_eq!(leader.end(Ok(30)), Said::Value(30), "{context}");
    }
    crowd.all_get(Said::Value(30));
    assert_eq!((cache.get(&1), cache.stats().flights), (Some(30), 0), "{context}");
}

#[test]
fn what_was_invalidated_or_replaced_is_never_served() {
    watched(|| {
        for fail_safe in [false, true] {
            for by in &OVERTAKINGS {
                let fresh = || built(ENDINGS[0], |builder| if fail_safe { builder.fail_safe() } else { builder });
                let (cache, hand) = fresh();
                (by.act)(&cache, 1);
                if by.leaves.is_none() {
                    hand.advance(TTL);
                    is_wrong_now(&cache, by, None, &format!("{}, alive", by.name));
                }
                let (cache, hand) = fresh();
                hand.advance(TTL);
                (by.act)(&cache, 1);
                is_wrong_now(&cache, by, None, &format!("{}, expired", by.name));
            }
        }
    });
}

#[test]
fn what_was_invalidated_or_replaced_during_the_reload_is_never_served() {
    watched(|| {
        for (fail_safe, how) in [false, true].into_iter().flat_map(|safe| LATE_ENDS.map(|how| (safe, how))) {
            for by in &OVERTAKINGS {
                let (cache, hand) = built(ENDINGS[0], |builder| if fail_safe { builder.fail_safe() } else { builder });
                hand.advance(TTL);
                let late = Leader::start(Face::LoadAsync, &cache, 1);
                assert_eq!(at_once(Face::GetWith, &cache, 1), Said::Value(OLD));
                (by.act)(&cache, 1);
                let context = format!("{} during a reload that {how}, fail_safe {fail_safe}", by.name);
                is_wrong_now(&cache, by, Some((late, how)), &context);
            }
        }
    });
}

#[test]
fn a_failing_load_after_an_invalidation_has_no_old_value_to_fall_back_on() {
    watched(|| {
        for by in OVERTAKINGS.iter().filter(|by| by.leaves.is_none()) {
            for face in those(&GETS, Face::may_fail) {
                let (cache, hand) = built(ENDINGS[0], Builder::fail_safe);
                hand.advance(TTL);
                let overtaken = Leader::start(face, &cache, 1);
                (by.act)(&cache, 1);
                assert_eq!(overtaken.end(Err(Broken(7))), Said::Failed(7), "{face:?} overtaken by {}", by.name);
                let later = Leader::start(face, &cache, 1);
                assert_eq!(later.end(Err(Broken(8))), Said::Failed(8), "{face:?} after {}", by.name);
                assert_eq!(cache.stats().stale_served, 0);
            }
        }
    });
}

#[test]
fn fail_safe_answers_a_failure_with_the_stale_value_while_it_may_be_served() {
    watched(|| {
        for ending in ENDINGS {
            for face in those(&GETS, Face::may_fail) {
                let (cache, hand) = built(ending, Builder::fail_safe);
                hand.advance(TTL);
                let failures = cache.stats().load_failures;
                let leader = Leader::start(face, &cache, 1);
                hand.advance(GRACE - NANO);
                assert_eq!(leader.end(Err(Broken(1))), Said::Value(OLD), "{face:?}, {}", ending.0);
                let stats = cache.stats();
                let counts = (stats.load_failures - failures, stats.stale_served, stats.flights);
                assert_eq!(counts, (1, 1, 0), "{face:?}, {}", ending.0);
                plain_reads_see_nothing(&cache, "it is served, not stored anew");
                // What was fit to serve when the load began is not when it ends.
                let leader = Leader::start(face, &cache, 1);
                hand.advance(NANO);
                assert_eq!(leader.end(Err(Broken(2))), Said::Failed(2), "{face:?}, {}", ending.0);
            }
        }
        // Where there never was a value there is nothing to fall back on.
        let (cache, _) = built(ENDINGS[0], Builder::fail_safe);
        assert_eq!(Leader::start(Face::TryGetWith, &cache, 2).end(Err(Broken(3))), Said::Failed(3));
        // A panic is no failure: it reaches its caller.
        let (cache, hand) = built(ENDINGS[0], Builder::fail_safe);
        hand.advance(TTL);
        Leader::start(Face::TryGetWith, &cache, 1).panic();
        assert_eq!(Leader::start(Face::TryGetWith, &cache, 1).end(Err(Broken(4))), Said::Value(OLD));
    });
}

#[test]
fn a_write_that_expects_nothing_succeeds_on_a_stale_entry_and_versions_go_on() {
    watched(|| {
        for ending in ENDINGS {
            let writes: [(&str, Write); 4] = [
                ("compare_and_swap", |cache| _ = cache.compare_and_swap(1, Expected::Absent, 20).unwrap()),
                ("insert_if_absent", |cache| _ = cache.insert_if_absent(1, 20).unwrap()),
                ("insert", |cache| _ = cache.insert(1, 20)),
                ("reload", |cache| assert_eq!(Leader::start(Face::TryGetWith, cache, 1).end(Ok(20)), Said::Value(20))),
            ];
            for (name, write) in writes {
                let (cache, hand) = built(ending, |builder| builder);
                let stale = cache.get_entry(&1).unwrap().version;
                // The read may have put off the end.
                hand.advance(TTL);
                let leader = Leader::start(Face::TryGetWithAsync, &cache, 1);
                assert_eq!(at_once(Face::GetWith, &cache, 1), Said::Value(OLD));
                leader.cancel();
                let conflict = cache.compare_and_swap(1, stale, 15).unwrap_err();
                assert!(conflict.current.is_none(), "{name}, {}: an expired state is no state", ending.0);
                write(&cache);
                let fresh = cache.get_entry(&1).unwrap();
                assert_eq!(fresh.value, 20);
                assert!(fresh.version > stale, "{name}, {}: {} after {stale}", ending.0, fresh.version);
            }
        }
    });
}

/// Jumps by `TTL` when it has been read so many more times.
#[derive(Clone, Default)]
struct Jumpy(Arc<(AtomicI64, AtomicBool)>);

impl TimeSource for Jumpy {
    fn now(&self) -> Duration {
        let (left, jumped) = &*self.0;
        if left.fetch_sub(1, SeqCst) == 1 {
            jumped.store(true, SeqCst);
        }
        if jumped.load(SeqCst) { TTL } else { Duration::ZERO }
    }
}

#[test]
fn what_expires_in_the_middle_of_its_invalidation_is_not_served() {
    watched(|| {
        for by in &OVERTAKINGS {
            for reads in 1..12 {
                let clock = Jumpy::default();
                let builder = Cache::builder().max_capacity(1_000).stripes(1).clock(Clock::from_source(clock.clone()));
                let cache: Numbers = builder.time_to_live(TTL).serve_stale(GRACE).build().unwrap();
                cache.insert(1, OLD);
                clock.0.0.store(reads, SeqCst);
                (by.act)(&cache, 1);
                clock.0.1.store(true, SeqCst);
                let mut leader = Task::new(ask_async(Face::LoadAsync, cache.clone(), 1, pending()));
                let mut next = Task::new(ask_async(Face::LoadAsync, cache.clone(), 1, pending()));
                let seen = leader.poll().or_else(|| next.poll());
                assert!(seen.is_none() || seen == by.leaves.map(Said::Value), "{seen:?} after {}, at reading {reads}", by.name);
            }
        }
    });
}

/// But `retain`, which may end those that loads would serve.
#[test]
fn no_write_is_shown_a_stale_value() {
    watched(|| {
        let calls: [(&str, Write); 6] = [
            ("remove", |cache| assert_eq!(cache.remove(&1), None)),
            ("remove_if", |cache| assert_eq!(cache.remove_if(&1, |_, _| panic!("shown what is stale")), None)),
            ("invalidate", |cache| assert!(!cache.invalidate(&1))),
            ("invalidate_at", |cache| assert!(cache.invalidate_at(&1, 0))),
            ("and_compute_with", |cache| {
                let done = cache.entry(1).and_compute_with(|entry| {
                    assert!(entry.is_none(), "shown what is stale");
                    Op::Put(20)
                });
                assert!(matches!(done, Computed::Inserted(_)));
            }),
            ("and_compute_with, remove", |cache| {
                assert!(matches!(cache.entry(1).and_compute_with(|_| Op::Remove), Computed::Kept(None)));
            }),
        ];
        for (name, call) in calls {
            for ending in ENDINGS {
                let (cache, _) = expired(ending);
                call(&cache);
                let there = cache.get(&1);
                assert_eq!(there, (name == "and_compute_with").then_some(20), "{name}, {}", ending.0);
            }
        }
    });
}

#[test]
fn failures_can_only_be_covered_up_with_stale_values() {
    assert!(Cache::<u64, u64>::builder().fail_safe().build().is_err());
    assert!(Cache::<u64, u64>::builder().fail_safe().serve_stale(GRACE).build().is_ok());
}
