//! Promises 4 and 8, the conditions of a transaction: they are about what is in the cache when it commits, whatever has happened since they were
//! made, and never about its own writes. Of those who have read the same state one wins.

mod common;

use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::Expected;
use brindle::MockClock;
use brindle::Transaction;
use brindle::Version;
use brindle::WhyAborted;

use common::together;
use common::watched;

fn of_stripes(stripes: usize) -> Cache<u64, u64> {
    Cache::builder().stripes(stripes).build().unwrap()
}

fn version(cache: &Cache<u64, u64>, key: u64) -> Option<Version> {
    cache.get_entry(&key).map(|entry| entry.version)
}

/// What others do to key 1 between a condition and the commit.
type Meanwhile = fn(&Cache<u64, u64>, &MockClock);

const CHANGED: [(&str, Meanwhile); 8] = [
    ("insert", |cache, _| _ = cache.insert(1, 2)),
    ("insert of an equal value", |cache, _| _ = cache.insert(1, 1)),
    ("remove", |cache, _| _ = cache.remove(&1)),
    ("invalidate_at", |cache, _| assert!(cache.invalidate_at(&1, 3))),
    ("clear", |cache, _| cache.clear()),
    ("removed and written again", |cache, _| {
        cache.remove(&1);
        cache.insert(1, 1);
    }),
    ("eviction", |cache, _| {
        cache.set_capacity(0);
        cache.set_capacity(10);
    }),
    ("expiry", |_, time| time.advance(Duration::from_secs(9))),
];

fn timed() -> (Cache<u64, u64>, MockClock) {
    let (clock, time) = Clock::mock();
    let cache = Cache::builder().max_capacity(10).stripes(4).clock(clock).build().unwrap();
    cache.insert_with_ttl(1, 1, Duration::from_secs(9));
    (cache, time)
}

type Plain<'a> = Transaction<'a, u64, u64>;
type Condition = fn(&mut Plain<'_>, Option<Version>);

const CONDITIONS: [(&str, Condition); 3] = [
    ("read", |t, _| _ = t.read(&1)),
    ("expect_version", |t, state| t.expect_version(&1, state)),
    ("compare_and_swap", |t, state| t.compare_and_swap(1, state, 50)),
];

#[test]
fn a_condition_on_an_entry_fails_when_anything_has_changed_it() {
    watched(|| {
        for (condition, expects) in CONDITIONS {
            for (name, meanwhile) in CHANGED {
                let case = format!("{condition}, then {name}");
                let (cache, time) = timed();
                let aborted = cache.transaction(|t| {
                    expects(t, version(&cache, 1));
                    t.insert(2, 20);
                    meanwhile(&cache, &time);
                });
                let aborted = aborted.expect_err(&case);
                assert_eq!((aborted.key, aborted.why), (1, WhyAborted::Conflict { current: version(&cache, 1) }), "{case}");
                assert_eq!(aborted.value, (condition == "compare_and_swap").then_some(50), "{case}");
                assert_eq!(aborted.others, [(2, 20)], "{case}");
                assert_eq!(cache.get(&2), None, "{case}");
            }
        }
    });
}

#[test]
fn a_condition_on_an_entry_holds_whatever_becomes_of_others() {
    watched(|| {
        for (condition, expects) in CONDITIONS {
            let (cache, _) = timed();
            let seen = version(&cache, 1);
            let committed = cache.transaction(|t| {
                expects(t, seen);
                t.insert(2, 20);
                // The same key is no other's, read as often as you like.
                assert_eq!(cache.get(&1), Some(1));
                cache.insert(2, 3);
                cache.insert(3, 3);
                cache.invalidate(&2);
            });
            committed.unwrap_or_else(|_| panic!("{condition}"));
            assert_eq!((cache.get(&2), cache.get(&3)), (Some(20), Some(3)));
            let untouched = condition != "compare_and_swap";
            assert_eq!(version(&cache, 1) == seen, untouched, "{condition}");
        }
    });
}

#[test]
fn a_condition_on_absence() {
    watched(|| {
        type Meanwhile = fn(&Cache<u64, u64>);
        let meanwhile: [(Meanwhile, bool); 5] = [
            (|_| {}, true),
            (|cache| _ = cache.insert(1, 7), false),
            (|cache| _ = cache.get_with(&1, || 7), false),
            (
                |cache| {
                    cache.insert(1, 7);
                    cache.invalidate(&1);
                },
                true,
            ),
            (|cache| cache.clear(), true),
        ];
        for (condition, expects) in CONDITIONS {
            for (number, (meanwhile, holds)) in meanwhile.into_iter().enumerate() {
                let cache = of_stripes(4);
                let result = cache.transaction(|t| {
                    expects(t, None);
                    t.insert(2, 20);
                    meanwhile(&cache);
                });
                let state = version(&cache, 1);
                assert_eq!(result.is_ok(), holds, "{condition}, {number}");
                assert_eq!(cache.contains_key(&2), holds, "{condition}, {number}");
                let Err(aborted) = result else { continue };
                assert_eq!((aborted.key, aborted.why), (1, WhyAborted::Conflict { current: state }));
                assert!(state.is_some());
            }
        }
    });
}

#[test]
fn conditions_are_about_the_cache_and_never_about_own_writes() {
    watched(|| {
        for cache in [1, 8].map(of_stripes) {
            let first = cache.insert(1, 1);
            let committed = cache.transaction(|t| {
                t.insert(1, 10);
                t.expect_version(&1, first);
                t.compare_and_swap(1, first, 11);
                t.remove(&1);
                t.expect_version(&1, first);
                t.insert(2, 20);
                t.expect_version(&2, None);
                t.compare_and_swap(2, Expected::Absent, 21);
                // An own write, so this is no condition.
                assert_eq!(t.read(&2), Some(21));
            });
            committed.unwrap();
            assert_eq!((cache.get(&1), cache.get(&2)), (None, Some(21)));
            // What is read after the own write is not expected of the cache.
            let committed = cache.transaction(|t| {
                t.insert(2, 30);
                t.invalidate(&4);
                assert_eq!((t.read(&2), t.get(&3), t.read(&4)), (Some(30), None, None));
                (2..=4).for_each(|key| _ = cache.insert(key, 3));
            });
            committed.unwrap();
            assert_eq!([2, 3, 4].map(|key| cache.get(&key)), [Some(30), Some(3), None]);
        }
    });
}

#[test]
fn several_conditions_on_one_key_must_all_hold() {
    watched(|| {
        for cache in [1, 8].map(of_stripes) {
            let first = cache.insert(1, 1);
            let second = cache.insert(1, 2);
            let states = [Expected::Version(first), Expected::Version(second), Expected::Absent];
            for one in states {
                for two in states {
                    let both = cache.transaction(|t| {
                        t.expect_version(&1, one);
                        t.expect_version(&1, two);
                    });
                    assert_eq!(both.is_ok(), one == states[1] && two == states[1], "{one:?} and {two:?}");
                    let swapped = cache.transaction(|t| {
                        t.compare_and_swap(5, one, 1);
                        t.expect_version(&5, two);
                        t.invalidate(&5);
                    });
                    assert_eq!(swapped.is_ok(), one == states[2] && two == states[2], "{one:?} and {two:?} of nothing");
                }
            }
            // Read before it changed, and expected as it is now.
            let both = cache.transaction(|t| {
                t.read(&1);
                let third = cache.insert(1, 3);
                t.expect_version(&1, third);
            });
            assert_eq!(both.unwrap_err().why, WhyAborted::Conflict { current: version(&cache, 1) });
        }
    });
}

/// Threads whose bodies have all read before the first of them commits. Gives how many commit.
fn at_once(cache: &Cache<u64, u64>, threads: usize, body: impl Fn(usize, &mut Plain<'_>) + Sync) -> usize {
    let (here, tries) = (Barrier::new(threads), AtomicUsize::new(0));
    let done = together(threads, |thread| {
        let result = cache.transaction(|t| {
            tries.fetch_add(1, SeqCst);
            body(thread, t);
            here.wait();
        });
        result.is_ok()
    });
    assert_eq!(tries.load(SeqCst), threads, "the body runs once");
    done.into_iter().filter(|done| *done).count()
}

#[test]
fn of_those_who_have_read_the_same_state_one_wins() {
    watched(|| {
        for stripes in [1, 8] {
            for round in 0..50 {
                let cache = of_stripes(stripes);
                cache.insert(1, 100);
                cache.insert(2, 100);
                let winners = at_once(&cache, 4, |thread, t| {
                    let value = t.read(&1).unwrap();
                    t.insert(1, value + 1);
                    t.insert(10 + thread as u64, 1);
                });
                assert_eq!((winners, cache.get(&1), cache.len()), (1, Some(101), 3), "one key, round {round}");
                // Each reads what the other writes, and both see enough to take from their own.
                let winners = at_once(&cache, 2, |thread, t| {
                    let (own, other) = (1 + thread as u64, 2 - thread as u64);
                    let left = t.get(&own).unwrap();
                    assert!(t.read(&other).unwrap() >= 100);
                    t.insert(own, left - 100);
                });
                assert_eq!(winners, 1, "skewed writes, round {round}");
                // Who reads nothing is in nobody's way.
                assert_eq!(at_once(&cache, 4, |thread, t| t.insert(1, thread as u64)), 4);
                assert_eq!(at_once(&cache, 4, |_, t| t.compare_and_swap(5, None, 1)), 1);
            }
        }
    });
}

/// Increments that many threads make of the same counters, each with others: none is lost.
#[test]
fn of_transactions_that_read_none_is_lost() {
    watched(|| {
        const TURNS: u64 = 200;
        let (cache, tries) = (of_stripes(8), AtomicUsize::new(0));
        (0..6).for_each(|key| _ = cache.insert(key, 0));
        together(4, |thread| {
            for turn in 0..TURNS {
                loop {
                    tries.fetch_add(1, SeqCst);
                    let keys = [turn % 6, (turn + thread as u64) % 6, 5];
                    let result = cache.try_transaction(|t| {
                        for key in keys {
                            // Out of sight for as long as another commits.
                            let count = t.read(&key).ok_or(())?;
                            common::dither();
                            t.insert(key, count + 1);
                        }
                        Ok::<_, ()>(())
                    });
                    if result.is_ok() {
                        break;
                    }
                }
            }
        });
        let sum: u64 = (0..6).map(|key| cache.get(&key).unwrap()).sum();
        assert_eq!(sum, TURNS * 4 * 3);
    });
}
