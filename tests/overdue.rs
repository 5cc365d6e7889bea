//! Promise 7: a load that hangs or whose lease was leaked is taken over when its time is up, and what it brings late is refused. A waiter
//! that loses patience goes alone. Time is moved by hand, except where a parked thread must wake by itself.

mod common;
#[path = "common/faces.rs"]
mod faces;
mod harness;

use std::future::pending;
use std::mem::forget;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use brindle::Builder;
use brindle::Cache;
use brindle::Clock;
use brindle::Lease;
use brindle::Leased;
use brindle::Loaded;
use brindle::MockClock;
use brindle::Stats;
use brindle::Unfilled;
use brindle::Version;
use brindle::WhyUnfilled;

use common::executor::Boxed;
use common::executor::Task;
use common::executor::block_on;
use common::executor::oneshot;
use common::watched;
use faces::Answer;
use faces::Face;
use faces::Trouble;
use faces::async_faces;
use faces::faces;
use faces::sync_faces;
use harness::planned;
use harness::survives;

const TIMEOUT: Duration = Duration::from_secs(10);
const A_LITTLE: Duration = Duration::from_secs(1);

fn until<K, V>(cache: &Cache<K, V>, reached: impl Fn(&Stats) -> bool) {
    while !reached(&cache.stats()) {
        thread::yield_now();
    }
}

fn timed() -> (Cache<u64, u64>, MockClock) {
    timed_and(|builder| builder)
}

fn timed_and(choose: impl FnOnce(Builder<u64, u64>) -> Builder<u64, u64>) -> (Cache<u64, u64>, MockClock) {
    let (clock, hand) = Clock::mock();
    (choose(Cache::builder().max_capacity(100).clock(clock).load_timeout(TIMEOUT)).build().unwrap(), hand)
}

#[track_caller]
fn lease(cache: &Cache<u64, u64>) -> Lease<u64, u64> {
    match cache.get_or_lease(&7, Some(Duration::ZERO)) {
        Leased::Lease(lease) => lease,
        _ => panic!("no lease"),
    }
}

fn is_busy(cache: &Cache<u64, u64>) -> bool {
    matches!(cache.get_or_lease(&7, Some(Duration::ZERO)), Leased::TimedOut)
}

/// What must be counted after one load that was overdue, and another that took over from it and ended.
#[track_caller]
fn assert_taken_over(cache: &Cache<u64, u64>, value: u64, who: &str) {
    let stats = cache.stats();
    assert_eq!((stats.load_timeouts, stats.takeovers, stats.flights), (1, 1, 0), "timeouts, takeovers, flights: {who}");
    assert_eq!(cache.get(&7), Some(value), "{who}");
}

#[test]
fn the_next_caller_takes_over_from_a_leaked_lease() {
    watched(|| {
        for face in faces::<u64, u64>() {
            let (cache, hand) = timed();
            forget(lease(&cache));
            hand.advance(TIMEOUT - A_LITTLE);
            assert!(is_busy(&cache), "{}: too early", face.name);
            hand.advance(A_LITTLE * 2);
            assert_eq!(face.call(&cache, &7, || Ok(2)), Ok(2), "{}", face.name);
            assert_taken_over(&cache, 2, face.name);
        }
    });
}

#[test]
fn the_next_caller_takes_over_from_a_leaked_future() {
    watched(|| {
        for face in async_faces::<u64, u64>() {
            let (cache, hand) = timed();
            let mut leading = Task::new(face.start(&cache, &7, pending()));
            leading.pends();
            forget(leading);
            assert!(is_busy(&cache), "{}", face.name);
            hand.advance(TIMEOUT + A_LITTLE);
            assert_eq!(face.call(&cache, &7, || Ok(2)), Ok(2), "{}", face.name);
            assert_taken_over(&cache, 2, face.name);
        }
    });
}

#[test]
fn a_task_that_waits_takes_over_and_the_others_wait_for_it() {
    watched(|| {
        for face in async_faces::<u64, u64>() {
            let (cache, hand) = timed();
            forget(lease(&cache));
            let (send, loaded) = oneshot();
            let mut first = Task::new(face.start(&cache, &7, async { Ok(loaded.await) }));
            let idle = |face: &Face<u64, u64>| Task::new(face.start(&cache, &7, async { panic!("two took over") }));
            let mut others: Vec<_> = async_faces().iter().map(idle).collect();
            first.pends();
            others.iter_mut().for_each(Task::pends);
            hand.advance(TIMEOUT - A_LITTLE);
            first.pends();
            assert_eq!(cache.stats().load_timeouts, 0, "{}: too early", face.name);
            hand.advance(A_LITTLE * 2);
            // Whoever is polled first; the loader begins, and the others find a new lease.
            first.pends();
            others.iter_mut().for_each(Task::pends);
            send.send(5);
            assert_eq!(first.ends(), Ok(5), "{}", face.name);
            others.iter_mut().for_each(|other| assert_eq!(other.ends(), Ok(5), "{}", face.name));
            assert_taken_over(&cache, 5, face.name);
        }
    });
}

#[test]
fn a_promoted_waiter_that_is_leaked_is_overdue_in_its_turn() {
    watched(|| {
        let (cache, hand) = timed();
        let faces = async_faces::<u64, u64>();
        let mut tasks: Vec<_> = (0..3).map(|value| Task::new(faces[0].start(&cache, &7, async move { Ok(value) }))).collect();
        let mut leading = Task::new(faces[0].start(&cache, &7, pending()));
        leading.pends();
        tasks.iter_mut().for_each(Task::pends);
        drop(leading);
        let promoted = tasks.iter().position(Task::is_woken).expect("one takes over");
        forget(tasks.remove(promoted));
        hand.advance(TIMEOUT + A_LITTLE);
        let value = tasks[0].ends();
        assert!(value.is_ok(), "{value:?}");
        assert_eq!(tasks[1].ends(), value);
        assert_eq!((cache.get(&7), cache.stats().flights), (value.ok(), 0));
    });
}

#[test]
fn every_lease_has_its_own_time() {
    watched(|| {
        let (cache, hand) = timed();
        for round in 1..=5 {
            let leased = lease(&cache);
            assert!(leased.is_current());
            hand.advance(TIMEOUT - A_LITTLE);
            assert!(leased.is_current() && is_busy(&cache));
            hand.advance(A_LITTLE * 2);
            assert!(!leased.is_current(), "round {round}");
            forget(leased);
            assert_eq!(cache.stats().load_timeouts, round - 1, "counted when it is taken over");
        }
        let last = lease(&cache);
        hand.advance(TIMEOUT - A_LITTLE);
        assert!(last.fill(6).is_ok(), "a load that is on time is stored");
        assert_eq!((cache.get(&7), cache.stats().load_timeouts, cache.stats().flights), (Some(6), 5, 0));
    });
}

#[test]
fn leaked_leases_of_a_stripe_are_let_go_each_in_its_time() {
    watched(|| {
        let (cache, hand) = timed_and(|builder| builder.stripes(1));
        for key in 1..=3 {
            let Leased::Lease(leased) = cache.get_or_lease(&key, None) else { panic!("no lease") };
            // One ends: when it would be overdue, there is nobody to let go.
            if key == 1 {
                drop(leased)
            } else {
                forget(leased)
            }
            hand.advance(TIMEOUT * 2 / 5);
        }
        for gone in 0..=2 {
            // Whoever writes something in the stripe sees to them.
            cache.insert(100 + gone, 0);
            let stats = cache.stats();
            assert_eq!((stats.load_timeouts, stats.flights), (gone, 2 - gone as usize));
            hand.advance(TIMEOUT * 2 / 5);
        }
    });
}

type Fill = fn(Lease<u64, u64>) -> Result<Version, Unfilled<u64>>;
type GiveUp = fn(Lease<u64, u64>);

#[test]
fn a_late_lease_stores_nothing() {
    watched(|| {
        let fill: [(&str, Fill); 2] =
            [("fill", |lease| lease.fill(1)), ("fill_loaded", |lease| lease.fill_loaded(Loaded::new(1)))];
        for (name, fill) in fill {
            let refused = |lease| {
                let unfilled = fill(lease).expect_err("a late value was stored");
                assert!(matches!(unfilled.why, WhyUnfilled::TimedOut), "{name}: {:?}", unfilled.why);
                assert_eq!(unfilled.value, 1, "{name}");
            };
            // Nobody came,
            let (cache, hand) = timed();
            let late = lease(&cache);
            hand.advance(TIMEOUT + A_LITTLE);
            refused(late);
            assert_eq!((cache.get(&7), cache.stats().flights), (None, 0), "{name}");
            // another has taken over and ended,
            let late = lease(&cache);
            hand.advance(TIMEOUT + A_LITTLE);
            assert_eq!(cache.get_with(&7, || 2), 2);
            refused(late);
            assert_eq!((cache.get(&7), cache.stats().flights), (Some(2), 0), "{name}");
            // or is still at it, and others wait for it.
            let (cache, hand) = timed();
            let late = lease(&cache);
            hand.advance(TIMEOUT + A_LITTLE);
            let (mut leading, mut waiting, send) = second_load(&cache);
            refused(late);
            assert_undisturbed(&cache, &mut leading, &mut waiting, send, name);
        }
    });
}

type Waiting = Task<Boxed<'static, Answer<u64>>>;
type Sending = common::executor::Sender<u64>;

/// A load that took over, a task that waits for it, and what ends it.
fn second_load(cache: &Cache<u64, u64>) -> (Waiting, Waiting, Sending) {
    let faces = async_faces();
    let (send, loaded) = oneshot();
    let mut leading = Task::new(faces[1].start(cache, &7, async { Ok(loaded.await) }));
    let mut waiting = Task::new(faces[2].start(cache, &7, async { panic!("a third load") }));
    leading.pends();
    waiting.pends();
    (leading, waiting, send)
}

/// The late end of the first load neither ended nor stored nor woke anything of the second.
#[track_caller]
fn assert_undisturbed(cache: &Cache<u64, u64>, leading: &mut Waiting, waiting: &mut Waiting, send: Sending, who: &str) {
    assert_eq!((cache.get(&7), cache.stats().flights), (None, 1), "{who}");
    leading.pends();
    waiting.pends();
    send.send(2);
    assert_eq!((leading.ends(), waiting.ends()), (Ok(2), Ok(2)), "{who}");
    assert_taken_over(cache, 2, who);
}

#[test]
fn a_late_lease_that_ends_otherwise_disturbs_nobody() {
    watched(|| {
        let ends: [(&str, GiveUp); 2] = [("drop", drop), ("fail", |lease| lease.fail("late"))];
        // Where failures are remembered, a late one is not.
        let caches = [timed, || timed_and(|builder| builder.negative_ttl(TIMEOUT))];
        for ((name, end), timed) in ends.into_iter().flat_map(|end| caches.map(|timed| (end, timed))) {
            let (cache, hand) = timed();
            let late = lease(&cache);
            hand.advance(TIMEOUT + A_LITTLE);
            let (mut leading, mut waiting, send) = second_load(&cache);
            end(late);
            assert_undisturbed(&cache, &mut leading, &mut waiting, send, name);
        }
    });
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    Value,
    Error,
    Panic,
}

/// A loader that tells that it has begun and ends when it is told.
fn hung(end: End) -> (impl FnOnce() -> Result<u64, u64> + Send + 'static, Receiver<()>, Sender<()>) {
    let (here, news) = channel();
    let (go, wait) = channel::<()>();
    let load = move || {
        here.send(()).unwrap();
        let _ = wait.recv();
        match end {
            End::Value => Ok(1),
            End::Error => Err(1),
            End::Panic => planned(),
        }
    };
    (load, news, go)
}

/// A late leader gets its own, or what is resident; never a hang, and never anything of another kind.
#[track_caller]
fn assert_own(answer: Option<Answer<u64>>, end: End, face: &Face<u64, u64>) {
    match end {
        End::Value => assert!(matches!(answer, Some(Ok(1 | 2))), "{}: {answer:?}", face.name),
        End::Error => assert!(matches!(answer, Some(Err(Trouble::Failed(1)) | Ok(2))), "{}: {answer:?}", face.name),
        End::Panic => assert!(answer.is_none(), "{}: {answer:?}", face.name),
    }
}

#[test]
fn a_late_loader_neither_overwrites_nor_disturbs() {
    watched(|| {
        for face in faces::<u64, u64>() {
            for end in [End::Value, End::Error, End::Panic] {
                if end == End::Error && !face.can_fail {
                    continue;
                }
                for over in [true, false] {
                    let (cache, hand) = timed();
                    let (load, news, go) = hung(end);
                    thread::scope(|scope| {
                        let (cache, face, go) = (&cache, &face, go);
                        let late = scope.spawn(move || survives(|| face.call(cache, &7, load)));
                        news.recv().unwrap();
                        hand.advance(TIMEOUT + A_LITTLE);
                        let (mut leading, mut waiting, send) = second_load(cache);
                        if over {
                            send.send(2);
                            assert_eq!((leading.ends(), waiting.ends()), (Ok(2), Ok(2)), "{}", face.name);
                            go.send(()).unwrap();
                            assert_own(late.join().unwrap(), end, face);
                            assert_taken_over(cache, 2, face.name);
                        } else {
                            go.send(()).unwrap();
                            assert_own(late.join().unwrap(), end, face);
                            assert_undisturbed(cache, &mut leading, &mut waiting, send, face.name);
                        }
                    });
                }
            }
        }
    });
}

#[test]
fn a_late_load_that_nobody_took_over_is_its_callers_alone() {
    watched(|| {
        for face in faces::<u64, u64>() {
            let (cache, hand) = timed();
            let load = move || {
                hand.advance(TIMEOUT + A_LITTLE);
                Ok(1)
            };
            assert_eq!(face.call(&cache, &7, load), Ok(1), "{}", face.name);
            assert_eq!((cache.get(&7), cache.stats().flights), (None, 0), "{}: a late result was stored", face.name);
            assert_eq!(face.call(&cache, &7, || Ok(2)), Ok(2), "{}", face.name);
        }
    });
}

/// Time passes by itself here. However long the waiter sleeps, it takes over.
fn real() -> Cache<u64, u64> {
    Cache::builder().max_capacity(100).load_timeout(Duration::from_millis(20)).build().unwrap()
}

#[test]
fn a_parked_thread_wakes_by_itself_and_takes_over() {
    watched(|| {
        for face in sync_faces::<u64, u64>() {
            let cache = real();
            let (load, news, go) = hung(End::Value);
            thread::scope(|scope| {
                let (cache, face, go) = (&cache, &face, go);
                let late = scope.spawn(move || cache.get_with(&7, || load().unwrap()));
                news.recv().unwrap();
                assert_eq!(face.call(cache, &7, || Ok(2)), Ok(2), "{}", face.name);
                go.send(()).unwrap();
                assert!(matches!(late.join().unwrap(), 1 | 2), "{}", face.name);
            });
            // Its own lease may have come of age too, on a machine that is busy enough; the late one can never have stored.
            assert_ne!(cache.get(&7), Some(1), "{}", face.name);
            assert!(cache.stats().load_timeouts >= 1, "{}", face.name);
            assert_eq!(cache.stats().flights, 0, "{}", face.name);
        }
    });
}

#[test]
fn a_waiting_task_is_woken_by_a_timer_and_takes_over() {
    watched(|| {
        for face in async_faces::<u64, u64>() {
            let cache = real();
            forget(lease(&cache));
            assert_eq!(block_on(face.start(&cache, &7, async { Ok(2) })), Ok(2), "{}", face.name);
            // Many at once: all are woken sooner or later.
            forget(cache.get_or_lease(&8, None));
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| assert_eq!(block_on(face.start(&cache, &8, async { Ok(3) })), Ok(3), "{}", face.name));
                }
            });
            assert_eq!(cache.stats().flights, 0, "{}", face.name);
        }
    });
}

#[test]
fn a_thread_that_loses_patience_harms_nobody() {
    watched(|| {
        for face in faces::<u64, u64>() {
            let cache = Cache::new(100);
            let (load, news, go) = hung(End::Value);
            thread::scope(|scope| {
                let (cache, face, go) = (&cache, &face, go);
                let leading = scope.spawn(move || face.call(cache, &7, load));
                news.recv().unwrap();
                let patient = scope.spawn(|| cache.get_or_lease(&7, None));
                let mut waiting = Task::new(async_faces()[0].start(cache, &7, async { panic!("a second load") }));
                waiting.pends();
                for patience in [0, 1, 3] {
                    let answer = cache.get_or_lease(&7, Some(Duration::from_millis(patience)));
                    assert!(matches!(answer, Leased::TimedOut), "{}, {patience} ms", face.name);
                }
                assert_eq!(cache.stats().flights, 1);
                go.send(()).unwrap();
                assert_eq!((leading.join().unwrap(), waiting.ends()), (Ok(1), Ok(1)), "{}", face.name);
                assert!(matches!(patient.join().unwrap(), Leased::Value(1)), "{}", face.name);
                // Who finds the value there needs no patience.
                assert!(matches!(cache.get_or_lease(&7, Some(Duration::ZERO)), Leased::Value(1)));
            });
            let stats = cache.stats();
            assert_eq!((stats.loads, stats.takeovers, stats.load_timeouts, stats.flights), (1, 0, 0, 0), "{}", face.name);
        }
    });
}

#[test]
fn patience_without_end_ends_with_the_load() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::new(100);
        let held = lease(&cache);
        thread::scope(|scope| {
            // So long that no deadline can be reckoned.
            let waiting = scope.spawn(|| cache.get_or_lease(&7, Some(Duration::MAX)));
            until(&cache, |stats| stats.waits == 1);
            held.fill(3).unwrap();
            assert!(matches!(waiting.join().unwrap(), Leased::Value(3)));
        });
        // The same of a load timeout.
        let cache: Cache<u64, u64> = Cache::builder().max_capacity(100).load_timeout(Duration::MAX).build().unwrap();
        let held = lease(&cache);
        assert!(held.is_current() && is_busy(&cache));
        let mut waiting = Task::new(async_faces()[0].start(&cache, &7, async { panic!("a second load") }));
        waiting.pends();
        held.fill(4).unwrap();
        assert_eq!(waiting.ends(), Ok(4));
    });
}
