//! Promise 7 for write-throughs that are leaked or hang: with a `load_timeout` the next goes on when they are overdue, nothing is left that may be older
//! than what they have done, and their late end harms nobody. Time is moved by hand.

mod common;
#[path = "fences/faces.rs"]
mod faces;
mod through;

use std::future::pending;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::Loaded;
use brindle::MockClock;
use brindle::WhileWriting;

use common::Flat;
use common::executor::Boxed;
use common::executor::Task;
use common::watched;
use faces::End;
use faces::Held;
use faces::On;
use faces::pick;
use faces::ways;
use through::FIRST;
use through::Finish;
use through::KEY;
use through::LOADED;
use through::MEANWHILE;
use through::Numbers;
use through::ON;
use through::WRITTEN;
use through::Writing;
use through::Wrote;
use through::boxed;
use through::builder;
use through::failures;
use through::judge;
use through::reads;
use through::through;
use through::well;
use through::well_at;
use through::wrote;

const TIMEOUT: Duration = Duration::from_secs(10);
const A_LITTLE: Duration = Duration::from_secs(1);

fn timed(meanwhile: WhileWriting) -> (Numbers, MockClock) {
    let (clock, hand) = Clock::mock();
    let cache = builder(meanwhile).clock(clock).load_timeout(TIMEOUT).build().unwrap();
    // Not the first write of its stripe: what readers are shown is known by its revision.
    cache.insert(KEY, 0);
    cache.insert(KEY, FIRST);
    (cache, hand)
}

#[test]
fn the_next_comes_after_a_leaked_write() {
    watched(|| {
        for meanwhile in MEANWHILE {
            for on in ON {
                for finish in failures(on).into_iter().chain([well(WRITTEN)]) {
                    let (cache, hand) = timed(meanwhile);
                    Writing::open(&cache, On::Task, KEY).leak();
                    hand.advance(TIMEOUT - A_LITTLE);
                    let early = Writing::queue(&cache, On::Task, KEY);
                    drop(early);
                    hand.advance(A_LITTLE * 2);
                    let next = Writing::open(&cache, on, KEY);
                    assert_eq!(next.current(), None, "{meanwhile:?}: nobody knows what the leaked one has done");
                    reads(&cache, None, "the next runs");
                    judge(next.end(finish), finish, "the next");
                    reads(&cache, through::leaves(finish), "after the next");
                    assert_eq!(cache.stats().flights, 0);
                }
            }
        }
    });
}

#[test]
fn those_in_line_behind_a_leaked_write_come_when_it_is_overdue() {
    watched(|| {
        for meanwhile in MEANWHILE {
            let (cache, hand) = timed(meanwhile);
            Writing::open(&cache, On::Task, KEY).leak();
            let mut line: Vec<Task<Boxed<'static, Wrote>>> = (0..3)
                .map(|number| {
                    let cache = cache.clone();
                    let write = move |_| async move { Ok::<_, ()>(Loaded::new(number)) };
                    Task::new(boxed(async move { wrote(cache.write_through_async(KEY, write).await) }))
                })
                .collect();
            line.iter_mut().for_each(Task::pends);
            hand.advance(TIMEOUT - A_LITTLE);
            line.iter_mut().for_each(Task::pends);
            hand.advance(A_LITTLE * 2);
            // Timers are real: whoever is polled finds that it is time, the first in line goes first.
            for (number, task) in line.iter_mut().enumerate() {
                assert!(matches!(task.ends(), Wrote::Stored(_)));
                assert_eq!(cache.get(&KEY), Some(number as u64));
            }
            assert_eq!(cache.stats().flights, 0);
        }
    });
}

/// Time passes by itself: who waits behind a write that hangs comes in the end, without anybody's help.
#[test]
fn who_waits_behind_a_hanging_write_wakes_by_itself() {
    watched(|| {
        for on in ON {
            let cache = builder(WhileWriting::ServeOld).load_timeout(Duration::from_millis(20)).build().unwrap();
            cache.insert(KEY, FIRST);
            let hanging = Writing::open(&cache, On::Thread, KEY);
            let waiting = Writing::call(&cache, on, KEY);
            // It may be overdue in its turn, on a machine that is busy enough.
            assert!(matches!(waiting.end(well(WRITTEN)), Wrote::Stored(_) | Wrote::NotStored));
            assert_ne!(cache.get(&KEY), Some(FIRST));
            assert_eq!(hanging.end(well(8)), Wrote::NotStored);
            assert_ne!(cache.get(&KEY), Some(8));
            assert_eq!(cache.stats().flights, 0);
        }
    });
}

/// The leaked write is forgotten by ordinary traffic before anybody comes who would write the key: it may have changed the source all the same.
#[test]
fn what_an_overdue_write_may_have_replaced_is_nobodys_ground_to_build_on() {
    watched(|| {
        for meanwhile in MEANWHILE {
            for on in ON {
                let (cache, hand) = timed(meanwhile);
                Writing::open(&cache, On::Task, KEY).leak();
                hand.advance(TIMEOUT + A_LITTLE);
                (100..200).for_each(|key| _ = cache.insert(key, cache.get_with(&(key + 100), || key)));
                cache.reclaim();
                reads(&cache, None, "the leaked write is forgotten");
                let next = Writing::open(&cache, on, KEY);
                assert_eq!(next.current(), None, "{meanwhile:?}");
                reads(&cache, None, "the next runs");
                judge(next.end(Finish::Fail), Finish::Fail, "the next");
                reads(&cache, None, "after the next");
            }
        }
    });
}

/// Keys of one hash have lines of their own, and of their entries the right one goes.
#[test]
fn an_overdue_write_is_about_its_own_key_whatever_its_hash() {
    watched(|| {
        for meanwhile in MEANWHILE {
            let (clock, hand) = Clock::mock();
            let builder = Cache::builder().stripes(1).while_writing(meanwhile).clock(clock).load_timeout(TIMEOUT);
            let cache: Cache<u64, u64, Flat> = builder.hasher(Flat).build().unwrap();
            let others = KEY + 1..KEY + 4;
            others.clone().for_each(|key| _ = cache.insert(key, key));
            cache.insert(KEY, FIRST);
            let inside = cache.clone();
            let mut leaked = Task::new(boxed(async move {
                _ = inside.write_through_async(KEY, |_| pending::<Result<Loaded<u64>, ()>>()).await;
            }));
            leaked.pends();
            std::mem::forget(leaked);
            let write = |_| Ok::<_, ()>(Loaded::new(WRITTEN));
            assert!(matches!(wrote(cache.write_through(KEY + 1, write)), Wrote::Stored(_)), "another key's turn is at once");
            // Whoever takes the lock finds out, though nothing else depends on time here.
            hand.advance(TIMEOUT + A_LITTLE);
            (100..110).for_each(|key| _ = cache.insert(key, key));
            assert_eq!(cache.get(&KEY), None, "{meanwhile:?}");
            assert!(others.clone().all(|key| cache.contains_key(&key)), "{meanwhile:?}");
        }
    });
}

/// A load began while the write ran, and ends when that is overdue, with nobody in line: what it brings may be older than what the write has done.
#[test]
fn a_load_that_began_during_a_leaked_write_is_not_stored() {
    watched(|| {
        for meanwhile in MEANWHILE {
            for way in ways() {
                for traffic in [false, true] {
                    let (cache, hand) = timed(meanwhile);
                    cache.invalidate(&KEY);
                    hand.advance(A_LITTLE);
                    Writing::open(&cache, On::Task, KEY).leak();
                    hand.advance(TIMEOUT - A_LITTLE);
                    let load = Held::open(&cache, way, KEY);
                    hand.advance(A_LITTLE * 2);
                    if traffic {
                        (100..200).for_each(|key| _ = cache.insert(key, cache.get_with(&(key + 100), || key)));
                    }
                    _ = load.end(End::Value(LOADED));
                    reads(&cache, None, &format!("{meanwhile:?}, {way}, traffic: {traffic}"));
                }
            }
        }
    });
}

/// The write is leaked, and so are those who stood in line: loads are stored again, and who wants to write comes when each of them has had its time.
#[test]
fn a_leaked_line_holds_nobody_up_for_ever() {
    watched(|| {
        for meanwhile in MEANWHILE {
            for leaked in 1..4 {
                let (cache, hand) = timed(meanwhile);
                Writing::open(&cache, On::Task, KEY).leak();
                (0..leaked).for_each(|_| Writing::queue(&cache, On::Task, KEY).leak());
                cache.invalidate(&KEY);
                hand.advance(TIMEOUT + A_LITTLE);
                // The first may only find out that the write is overdue.
                (0..2).for_each(|_| assert_eq!(cache.get_with(&KEY, || LOADED), LOADED));
                reads(&cache, Some(LOADED), &format!("{meanwhile:?}, {leaked} leaked in line"));

                let inside = cache.clone();
                let mut last = Task::new(boxed(async move {
                    wrote(inside.write_through_async(KEY, |_| async { Ok::<_, ()>(Loaded::new(WRITTEN)) }).await)
                }));
                let turns = (0..=leaked).take_while(|_| {
                    let waits = last.poll().is_pending();
                    hand.advance(TIMEOUT + A_LITTLE);
                    waits
                });
                assert!(turns.count() <= leaked, "{meanwhile:?}, {leaked} leaked in line: its turn never comes");
                reads(&cache, Some(WRITTEN), &format!("{meanwhile:?}, {leaked} leaked in line"));
                // The line may be there still, with nobody in it who lives.
                cache.invalidate(&KEY);
                (0..2).for_each(|_| assert_eq!(cache.get_with(&KEY, || LOADED), LOADED));
                reads(&cache, Some(LOADED), &format!("{meanwhile:?}, {leaked} leaked in line, after the last"));
                assert_eq!(cache.stats().flights, 0);
            }
        }
    });
}

#[test]
fn an_overdue_write_does_not_keep_the_cache_from_filling() {
    watched(|| {
        for meanwhile in MEANWHILE {
            for way in ways() {
                let (cache, hand) = timed(meanwhile);
                cache.invalidate(&KEY);
                Writing::open(&cache, On::Task, KEY).leak();
                hand.advance(TIMEOUT + A_LITTLE);
                // The first may only find out.
                _ = Held::open(&cache, way, KEY).end(End::Value(LOADED));
                if cache.get(&KEY).is_none() {
                    _ = Held::open(&cache, way, KEY).end(End::Value(LOADED));
                }
                reads(&cache, Some(LOADED), &format!("{meanwhile:?}, {way}"));
                assert_eq!(cache.stats().flights, 0);
            }
        }
    });
}

/// An overdue write is over: who is part of it does not wait for it, so he is not in his own way.
#[test]
fn who_writes_the_key_again_in_his_own_overdue_write_goes_on() {
    watched(|| {
        for meanwhile in MEANWHILE {
            for (passed, inner) in [(TIMEOUT - A_LITTLE, None), (TIMEOUT + A_LITTLE, Some(WRITTEN))] {
                let (cache, hand) = timed(meanwhile);
                let write = |_| {
                    hand.advance(passed);
                    let again = wrote(cache.write_through(KEY, |_| Ok::<_, ()>(Loaded::new(WRITTEN))));
                    let right = if inner.is_some() { matches!(again, Wrote::Stored(_)) } else { again == Wrote::Reentrant };
                    assert!(right, "{again:?} after {passed:?}");
                    assert_eq!(cache.get(&KEY).filter(|&value| value != FIRST), inner);
                    Ok::<_, ()>(Loaded::new(LOADED))
                };
                let outer = wrote(cache.write_through(KEY, write));
                assert_eq!(outer == Wrote::NotStored, inner.is_some(), "the late end of a write is not stored");
                assert_eq!(cache.stats().flights, 0);
            }
        }
    });
}

/// When an overdue write ends after all, the source has got it last, as far as anybody knows: what others have stored since goes, unless its source
/// version says that it is newer.
#[test]
fn the_late_end_of_a_write_leaves_nothing_that_may_be_older() {
    watched(|| {
        for meanwhile in MEANWHILE {
            for on in ON {
                for finish in failures(on).into_iter().chain([well(WRITTEN), well_at(WRITTEN, 10)]) {
                    for next_ends in [Some(false), Some(true), None] {
                        let case = format!("{finish:?} on a {on:?}, {meanwhile:?}, the next ends before it: {next_ends:?}");
                        let (cache, hand) = timed(meanwhile);
                        let late = Writing::open(&cache, on, KEY);
                        hand.advance(TIMEOUT + A_LITTLE);
                        let mut next = next_ends.map(|_| Writing::open(&cache, On::Task, KEY));
                        if next_ends == Some(true) {
                            judge(next.take().unwrap().end(well_at(20, 5)), well_at(20, 5), &case);
                        }
                        let answer = late.end(finish);
                        match finish {
                            Finish::Value(_) => assert_eq!(answer, Wrote::NotStored, "{case}"),
                            _ => judge(answer, finish, &case),
                        }
                        if let Some(next) = next {
                            _ = next.end(well_at(20, 5));
                        }
                        reads(&cache, None, &case);
                        assert_eq!(cache.stats().flights, 0, "{case}");
                        judge(through(&cache, on, KEY, well_at(9, 20)), well(9), &case);
                        reads(&cache, Some(9), &case);
                    }
                }
            }
        }
    });
}

/// A load that began during a write that was leaked, or during the next, is not stored after them.
#[test]
fn loads_that_overlap_an_overdue_write_are_not_stored() {
    watched(|| {
        for (turn, way) in ways().into_iter().enumerate() {
            let (cache, hand) = timed(WhileWriting::Miss);
            Writing::open(&cache, On::Task, KEY).leak();
            hand.advance(TIMEOUT - A_LITTLE);
            let first = Held::open(&cache, way, KEY);
            hand.advance(A_LITTLE * 2);
            let next = Writing::open(&cache, ON[turn % 2], KEY);
            let second = Held::open(&cache, pick(&ways(), turn + 3), KEY);
            _ = first.end(End::Value(LOADED));
            reads(&cache, None, "the load of the leaked write's time has ended");
            judge(next.end(well(WRITTEN)), well(WRITTEN), "the next");
            _ = second.end(End::Value(LOADED));
            reads(&cache, Some(WRITTEN), "the load of the next's time has ended");
            assert_eq!(cache.stats().flights, 0);
        }
    });
}
