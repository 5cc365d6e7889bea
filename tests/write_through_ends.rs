//! Promise 7 for write-throughs: cancelled at any poll, in line or in its turn, leaked or hung, one leaves the key absent rather than old, harms nobody
//! who comes after it, and leaves nothing. And every short script of polls, drops and time comes to its end.

mod common;
#[path = "fences/faces.rs"]
mod faces;
mod through;

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::time::Duration;

use brindle::Clock;
use brindle::Loaded;
use brindle::MockClock;
use brindle::WhileWriting;

use common::executor::Boxed;
use common::executor::Task;
use common::executor::step;
use common::watched;
use faces::End;
use faces::Held;
use faces::On;
use faces::pick;
use faces::planned;
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
use through::caught;
use through::failures;
use through::judge;
use through::prepare;
use through::reads;
use through::through;
use through::well;
use through::well_at;
use through::wrote;

/// The write is in line still, or in its turn at one of its await points, or at its end, when its future is dropped.
#[test]
fn a_future_that_is_dropped_at_any_poll_leaves_nothing_old() {
    const STEPS: usize = 3;
    watched(|| {
        for meanwhile in MEANWHILE {
            for there in [false, true] {
                for polls in 0..=STEPS + 1 {
                    for (turn, way) in ways().into_iter().enumerate() {
                        let case = format!("{polls} polls, {meanwhile:?}, resident: {there}, {way}");
                        let cache = prepare(meanwhile, there);
                        let inside = cache.clone();
                        let mut task = Task::new(boxed(async move {
                            let write = |_| async {
                                for _ in 0..STEPS {
                                    step().await;
                                }
                                Ok::<_, ()>(Loaded::new(WRITTEN))
                            };
                            inside.write_through_async(KEY, write).await
                        }));
                        let ended = (0..polls).map(|_| task.poll()).last();
                        let load = (polls > 0 && cache.get(&KEY).is_none()).then(|| Held::open(&cache, way, KEY));
                        drop(task);
                        let left = match polls {
                            0 => there.then_some(FIRST),
                            _ if polls > STEPS => Some(WRITTEN),
                            _ => None,
                        };
                        assert_eq!(ended.is_some_and(|ended| ended.is_ready()), polls > STEPS, "{case}");
                        reads(&cache, left, &case);
                        if let Some(load) = load {
                            _ = load.end(End::Value(LOADED));
                            reads(&cache, left, &format!("a load that began during the write ends after it: {case}"));
                        }
                        judge(through(&cache, ON[turn % 2], KEY, well(9)), well(9), &case);
                        reads(&cache, Some(9), &case);
                        assert_eq!(cache.stats().flights, 0, "{case}");
                    }
                }
            }
        }
    });
}

#[test]
fn who_gives_up_in_line_has_done_nothing() {
    watched(|| {
        for on in ON {
            for meanwhile in MEANWHILE {
                for gone in [0, 1, 2] {
                    let cache = prepare(meanwhile, true);
                    let running = Writing::open(&cache, on, KEY);
                    let before = cache.get(&KEY);
                    let mut line: Vec<_> = (0..3).map(|_| Writing::queue(&cache, On::Task, KEY)).collect();
                    drop(line.remove(gone));
                    reads(&cache, before, "somebody in line has gone");
                    assert!(line.iter_mut().all(Writing::waits));
                    judge(running.end(well(1)), well(1), "the first");
                    for (number, writing) in line.into_iter().enumerate() {
                        let mut writing = writing;
                        writing.begins();
                        assert_eq!(writing.current().map(|current| current.0), Some(number as u64 + 1), "{gone} has gone");
                        judge(writing.end(well(number as u64 + 2)), well(0), "one of those in line");
                    }
                    reads(&cache, Some(3), "all have had their turn");
                    assert_eq!(cache.stats().flights, 0);
                }
            }
        }
    });
}

/// Its turn has come, and it is dropped before it knows: the next is called instead.
#[test]
fn who_is_called_and_gone_passes_the_turn_on() {
    watched(|| {
        for meanwhile in MEANWHILE {
            for finish in failures(On::Task).into_iter().chain([well(WRITTEN)]) {
                for goes in 1..=3 {
                    let cache = prepare(meanwhile, true);
                    let running = Writing::open(&cache, On::Task, KEY);
                    let mut line: Vec<_> = (0..4).map(|_| Writing::queue(&cache, On::Task, KEY)).collect();
                    judge(running.end(finish), finish, "the first");
                    for _ in 0..goes {
                        assert!(line[0].is_woken() && line[1..].iter().all(|writing| !writing.is_woken()), "one is called");
                        drop(line.remove(0));
                        assert_ne!(cache.get(&KEY), Some(FIRST), "{finish:?}");
                    }
                    let mut next = line.remove(0);
                    next.begins();
                    assert!(line.iter_mut().all(Writing::waits));
                    judge(next.end(well(9)), well(9), "the one who is left");
                    line.into_iter().for_each(|writing| judge(writing.end(well(10)), well(10), "the last"));
                    assert_eq!(cache.stats().flights, 0);
                }
                // All go: nothing is left that would hold up the next.
                let cache = prepare(meanwhile, true);
                let running = Writing::open(&cache, On::Task, KEY);
                let line: Vec<_> = (0..3).map(|_| Writing::queue(&cache, On::Task, KEY)).collect();
                judge(running.end(finish), finish, "the first");
                drop(line);
                assert_eq!(cache.get_with(&KEY, || 5), cache.get(&KEY).unwrap_or(0), "loads are stored again");
                judge(through(&cache, On::Thread, KEY, well(9)), well(9), "who comes then");
            }
        }
    });
}

const TIMEOUT: Duration = Duration::from_secs(10);
const A_LITTLE: Duration = Duration::from_secs(1);

fn timed(meanwhile: WhileWriting) -> (Numbers, MockClock) {
    let (clock, hand) = Clock::mock();
    let cache = builder(meanwhile).clock(clock).load_timeout(TIMEOUT).build().unwrap();
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
                let next = Writing::open(&cache, on, KEY);
                assert_eq!(next.current(), None, "{meanwhile:?}");
                reads(&cache, None, "the next runs");
                judge(next.end(Finish::Fail), Finish::Fail, "the next");
                reads(&cache, None, "after the next");
            }
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

/// The write is leaked, and so are those who stood in line: neither loads nor writes of the key suffer for ever.
#[test]
fn a_leaked_line_holds_nobody_up_for_ever() {
    watched(|| {
        for meanwhile in MEANWHILE {
            for leaked in 1..4 {
                let (cache, hand) = timed(meanwhile);
                Writing::open(&cache, On::Task, KEY).leak();
                (0..leaked).for_each(|_| Writing::queue(&cache, On::Task, KEY).leak());
                // Each of them may have its time.
                for _ in 0..=leaked {
                    hand.advance(TIMEOUT + A_LITTLE);
                    assert_eq!(cache.get_with(&KEY, || LOADED), cache.get(&KEY).unwrap_or(LOADED));
                }
                cache.invalidate(&KEY);
                assert_eq!(cache.get_with(&KEY, || LOADED), LOADED);
                reads(&cache, Some(LOADED), &format!("{meanwhile:?}, {leaked} leaked in line"));
                judge(through(&cache, On::Thread, KEY, well(WRITTEN)), well(WRITTEN), "a thread's");
                reads(&cache, Some(WRITTEN), "a thread's");
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

/// The source of truth of a script: each write makes a new state.
#[derive(Default)]
struct Source {
    state: AtomicU64,
    /// The newest state of a write that is over, however it ended.
    over: AtomicU64,
    running: AtomicUsize,
}

/// A write that has begun. It is over when it is dropped.
struct Running(Arc<Source>, u64);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
        self.0.over.fetch_max(self.1, SeqCst);
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Ends {
    Well,
    Fails,
    Panics,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum World {
    Plain,
    /// Writes may be overdue,
    Timed,
    /// or others write what the source has, invalidate the key, or load it.
    Shared,
}

impl World {
    fn choices(self) -> u32 {
        match self {
            World::Plain => 6,
            World::Timed => 7,
            World::Shared => 9,
        }
    }
}

type Call = Task<Boxed<'static, ()>>;

fn call(cache: &Numbers, key: u64, ends: Ends, source: &Arc<Source>, world: World) -> Call {
    let (cache, source) = (cache.clone(), Arc::clone(source));
    Task::new(boxed(async move {
        let write = |_| async {
            let others = source.running.fetch_add(1, SeqCst);
            let mut running = Running(Arc::clone(&source), 0);
            assert!(others == 0 || world == World::Timed, "two writes of one key at once");
            step().await;
            running.1 = source.state.fetch_add(1, SeqCst) + 1;
            step().await;
            match ends {
                Ends::Well => Ok(Loaded::new(running.1)),
                Ends::Fails => Err(()),
                Ends::Panics => planned(),
            }
        };
        _ = cache.write_through_async(key, write).await;
    }))
}

/// Polls a call of a script; one that panics as planned is at its end.
fn poll(slot: &mut Option<Call>) {
    let Some(task) = slot else { return };
    if caught(|| task.poll(), Poll::Ready(())).is_ready() {
        *slot = None;
    }
}

const LENGTH: u32 = 6;

fn play(cache: &Numbers, hand: &MockClock, key: u64, ends: [Ends; 3], world: World, mut script: u32) {
    let source: Arc<Source> = Arc::default();
    cache.insert(key, 0);
    let mut calls = ends.map(|ends| Some(call(cache, key, ends, &source, world)));
    let mut begun = [false; 3];
    let check = || {
        let (seen, over) = (cache.get(&key), source.over.load(SeqCst));
        assert!(seen.is_none_or(|seen| seen >= over), "{seen:?} is seen, and state {over} is over");
    };
    for _ in 0..LENGTH {
        let digit = script % world.choices();
        script /= world.choices();
        let number = digit as usize % 3;
        match digit {
            0..3 => poll(&mut calls[number]),
            3..6 => calls[number] = None,
            6 if world == World::Timed => hand.advance(TIMEOUT + A_LITTLE),
            6 => _ = cache.insert(key, source.state.load(SeqCst)),
            7 => _ = cache.invalidate(&key),
            _ => _ = cache.get_with(&key, || source.state.load(SeqCst)),
        }
        begun[number] |= digit < 6;
        check();
    }
    for (task, begun) in calls.iter_mut().zip(begun) {
        if !begun {
            poll(task);
            check();
        }
    }
    while let Some(woken) = calls.iter_mut().find(|slot| slot.as_ref().is_some_and(Task::is_woken)) {
        poll(woken);
        check();
    }
    assert!(calls.iter().all(Option::is_none), "a call waits for nothing");
    assert_eq!((source.running.load(SeqCst), cache.stats().flights), (0, 0));
    // Nothing stands in the way of the next, nor of a load.
    assert!(cache.write_through(key, |_| Ok::<_, ()>(Loaded::new(100))).unwrap().is_some());
    cache.invalidate(&key);
    assert_eq!((cache.get_with(&key, || 101), cache.get(&key)), (101, Some(101)));
}

fn play_all(world: World, meanwhile: WhileWriting) {
    let calls = [[Ends::Well; 3], [Ends::Well, Ends::Fails, Ends::Panics], [Ends::Panics, Ends::Well, Ends::Well]];
    let (clock, hand) = Clock::mock();
    let builder = builder(meanwhile).clock(clock);
    let builder = if world == World::Timed { builder.load_timeout(TIMEOUT) } else { builder };
    let cache = builder.build().unwrap();
    let mut key = 0;
    for ends in calls {
        // Of the many with more choices every so-and-so-manieth: a prime, so that all digits come about.
        let every = match world {
            World::Plain => 1,
            World::Timed => 5,
            World::Shared => 29,
        };
        for script in (0..world.choices().pow(LENGTH)).step_by(every) {
            key += 1;
            let played = catch_unwind(AssertUnwindSafe(|| play(&cache, &hand, key, ends, world, script)));
            if let Err(panic) = played {
                eprintln!("{ends:?}, {world:?}, {meanwhile:?}, script {script}");
                resume_unwind(panic);
            }
        }
    }
}

#[test]
fn every_script_of_polls_and_drops_comes_to_its_end() {
    watched(|| play_all(World::Plain, WhileWriting::ServeOld));
}

#[test]
fn every_script_where_readers_miss_comes_to_its_end() {
    watched(|| play_all(World::Plain, WhileWriting::Miss));
}

#[test]
fn scripts_in_which_writes_are_overdue_come_to_their_end() {
    watched(|| play_all(World::Timed, WhileWriting::ServeOld));
}

#[test]
fn scripts_in_which_others_write_come_to_their_end() {
    watched(|| MEANWHILE.into_iter().for_each(|meanwhile| play_all(World::Shared, meanwhile)));
}
