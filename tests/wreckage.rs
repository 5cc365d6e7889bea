//! Promise 7: a load that panics, is cancelled or given up leaves nothing behind, and exactly one of those who wait takes over.

mod common;
#[path = "common/faces.rs"]
mod faces;
mod harness;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::task::Context;
use std::task::Poll;
use std::task::Wake;
use std::task::Waker;
use std::thread;

use brindle::Cache;
use brindle::Leased;
use brindle::Stats;

use common::executor::Boxed;
use common::executor::Task;
use common::executor::oneshot;
use common::executor::run_woken;
use common::executor::step;
use common::together;
use common::watched;
use faces::Answer;
use faces::Face;
use faces::async_faces;
use faces::faces;
use faces::sync_faces;
use harness::planned;
use harness::survives;

fn until<K, V>(cache: &Cache<K, V>, reached: impl Fn(&Stats) -> bool) {
    while !reached(&cache.stats()) {
        thread::yield_now();
    }
}

type Waiting = Task<Boxed<'static, Answer<u64>>>;

/// What has become of a key whose first load broke off and whose second ended.
#[track_caller]
fn assert_taken_over(cache: &Cache<u64, u64>, value: Option<u64>, who: &str) {
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.takeovers, stats.flights), (2, 1, 0), "loads, takeovers, flights: {who}");
    assert_eq!((cache.get(&7), stats.fenced, stats.load_timeouts), (value, 0, 0), "{who}");
}

#[test]
fn a_panic_reaches_its_caller_and_one_waiter_takes_over() {
    watched(|| {
        for leader in faces::<u64, u64>() {
            let waiters = faces::<u64, u64>();
            let cache = Cache::new(100);
            let loaders = Arc::new(AtomicUsize::new(0));
            let (here, news) = channel();
            let (go, wait) = channel::<()>();
            let values = thread::scope(|scope| {
                let (cache, leader, waiters, go) = (&cache, &leader, &waiters, go);
                let load = move || {
                    here.send(()).unwrap();
                    wait.recv().unwrap();
                    planned()
                };
                let leading = scope.spawn(move || survives(|| leader.call(cache, &7, load)));
                news.recv().unwrap();
                let mut waiting = Vec::new();
                for (face, number) in waiters.iter().zip(10..) {
                    let loaders = Arc::clone(&loaders);
                    let load = move || {
                        loaders.fetch_add(1, SeqCst);
                        Ok(number)
                    };
                    waiting.push(scope.spawn(move || face.call(cache, &7, load)));
                }
                until(cache, |stats| stats.waits == waiters.len() as u64);
                go.send(()).unwrap();
                assert!(leading.join().unwrap().is_none(), "{}: the panic did not reach its caller", leader.name);
                waiting.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            });
            assert_eq!(loaders.load(SeqCst), 1, "{}: loaders of {} waiters", leader.name, values.len());
            assert!(values.iter().all(|value| value.is_ok() && *value == values[0]), "{}: {values:?}", leader.name);
            assert_taken_over(&cache, values[0].ok(), leader.name);
        }
    });
}

#[test]
fn of_callers_that_all_panic_each_loads_once() {
    watched(|| {
        for (faces, who) in [(sync_faces(), "sync"), (async_faces(), "async"), (faces(), "all")] {
            const CALLERS: usize = 40;
            let cache: Cache<u64, u64> = Cache::new(100);
            let loaders = Arc::new(AtomicUsize::new(0));
            let ended = together(CALLERS, |number| {
                let (waiting, loaders) = (cache.clone(), Arc::clone(&loaders));
                let load = move || {
                    until(&waiting, |stats| stats.waits >= CALLERS as u64 - 1);
                    // The last of them is well.
                    if loaders.fetch_add(1, SeqCst) < CALLERS - 1 { planned() } else { Ok(number as u64) }
                };
                survives(|| faces[number % faces.len()].call(&cache, &7, load))
            });
            assert_eq!((loaders.load(SeqCst), cache.stats().loads), (CALLERS, CALLERS as u64), "{who}");
            assert_eq!(ended.iter().flatten().count(), 1, "{who}: {ended:?}");
            assert_eq!((cache.get(&7), cache.stats().flights), (ended.into_iter().flatten().next().unwrap().ok(), 0), "{who}");
        }
    });
}

#[test]
fn a_panic_without_waiters_is_over_with_its_call() {
    watched(|| {
        for face in faces::<u64, u64>() {
            let cache = Cache::new(100);
            for _ in 0..10 {
                assert!(survives(|| face.call(&cache, &7, || planned())).is_none(), "{}", face.name);
                assert_eq!((cache.stats().flights, cache.len()), (0, 0), "{}", face.name);
            }
            assert_eq!(face.call(&cache, &7, || Ok(1)), Ok(1), "{}", face.name);
            assert_eq!((cache.stats().loads, cache.get(&7)), (11, Some(1)), "{}", face.name);
        }
    });
}

/// A call that loads `value` in so many steps.
fn in_steps(face: &Face<u64, u64>, cache: &Cache<u64, u64>, steps: usize, value: u64) -> Waiting {
    Task::new(face.start(cache, &7, async move {
        for _ in 0..steps {
            step().await;
        }
        Ok(value)
    }))
}

/// A call that must not load.
fn idle(face: &Face<u64, u64>, cache: &Cache<u64, u64>) -> Waiting {
    Task::new(face.start(cache, &7, async { panic!("a second load") }))
}

#[test]
fn a_future_dropped_at_any_await_point_hands_over_to_one_waiter() {
    watched(|| {
        let faces = async_faces::<u64, u64>();
        for leader in &faces {
            for polls in 0..=4 {
                let who = format!("{} dropped after {polls} polls", leader.name);
                let cache = Cache::new(100);
                let mut leading = in_steps(leader, &cache, 4, 1);
                (0..polls).for_each(|_| leading.pends());
                let mut waiters: Vec<_> = faces.iter().zip(10..).map(|(face, value)| in_steps(face, &cache, 0, value)).collect();
                if polls == 0 {
                    drop(leading);
                    assert_eq!(cache.stats().flights, 0, "{who}");
                    assert_eq!(waiters[0].ends(), Ok(10), "{who}");
                    continue;
                }
                waiters.iter_mut().for_each(Task::pends);
                drop(leading);
                assert_eq!(waiters.iter().filter(|task| task.is_woken()).count(), 1, "{who}: one takes over");
                let mut values = Vec::new();
                let ended = run_woken(&mut waiters, |_, value| values.push(value.unwrap()));
                assert_eq!(ended, waiters.len(), "{who}: a waiter was forgotten");
                assert!(values.iter().all(|value| *value == values[0]), "{who}: {values:?}");
                assert_taken_over(&cache, Some(values[0]), &who);
            }
        }
    });
}

/// Takes out the one task that was woken.
#[track_caller]
fn promoted(tasks: &mut Vec<Waiting>, who: &str) -> Waiting {
    let woken: Vec<_> = (0..tasks.len()).filter(|&number| tasks[number].is_woken()).collect();
    assert_eq!(woken.len(), 1, "{who}: the next one takes over");
    tasks.remove(woken[0])
}

#[test]
fn a_promoted_waiter_dropped_before_it_runs_hands_over_to_the_next() {
    watched(|| {
        let faces = async_faces::<u64, u64>();
        // How often each that takes over is polled before it is dropped.
        for polls in 0..=2 {
            for survivors in 0..=2 {
                let who = format!("{polls} polls, {survivors} survivors");
                let cache = Cache::new(100);
                let mut leading = in_steps(&faces[0], &cache, 9, 1);
                leading.pends();
                let mut waiters: Vec<_> = faces.iter().zip(10..).map(|(face, value)| in_steps(face, &cache, 3, value)).collect();
                waiters.iter_mut().for_each(Task::pends);
                drop(leading);
                while waiters.len() > survivors {
                    let mut next = promoted(&mut waiters, &who);
                    (0..polls).for_each(|_| next.pends());
                    assert!(!waiters.iter().any(Task::is_woken), "{who}: two take over");
                    drop(next);
                }
                let mut values = Vec::new();
                assert_eq!(run_woken(&mut waiters, |_, value| values.push(value)), survivors, "{who}");
                assert!(values.iter().all(|value| *value == values[0]), "{who}: {values:?}");
                let begun = 1 + if polls > 0 { faces.len() - survivors } else { 0 } + survivors.min(1);
                let stats = cache.stats();
                assert_eq!((stats.flights, stats.loads as usize), (0, begun), "{who}");
                let after = faces[0].call(&cache, &7, || Ok(99));
                assert_eq!(after, if survivors > 0 { values[0] } else { Ok(99) }, "{who}");
            }
        }
    });
}

#[test]
fn a_waiter_that_goes_does_no_harm() {
    watched(|| {
        let faces = async_faces::<u64, u64>();
        // Every set of waiters that go, before the load's end or between it and their waking.
        for gone in 0..1_u32 << faces.len() {
            for after_the_end in [false, true] {
                let cache = Cache::new(100);
                let (send, loaded) = oneshot();
                let mut leading = Task::new(faces[gone as usize % 7].start(&cache, &7, async { Ok(loaded.await) }));
                leading.pends();
                let mut waiters: Vec<_> = faces.iter().map(|face| idle(face, &cache)).collect();
                waiters.iter_mut().for_each(Task::pends);
                let mut send = Some(send);
                if after_the_end {
                    send.take().unwrap().send(5);
                    assert_eq!(leading.ends(), Ok(5));
                }
                let mut number = 0;
                waiters.retain(|_| {
                    number += 1;
                    gone >> (number - 1) & 1 == 0
                });
                if let Some(send) = send {
                    send.send(5);
                    assert_eq!(leading.ends(), Ok(5));
                }
                assert_eq!(run_woken(&mut waiters, |_, value| assert_eq!(value, Ok(5))), waiters.len(), "{gone:b}");
                let stats = cache.stats();
                assert_eq!((stats.loads, stats.takeovers, stats.flights, cache.get(&7)), (1, 0, 0, Some(5)), "{gone:b}");
            }
        }
    });
}

#[test]
fn threads_take_over_from_tasks_and_tasks_from_threads() {
    watched(|| {
        let tasks = async_faces::<u64, u64>();
        for face in sync_faces::<u64, u64>() {
            let cache = Cache::new(100);
            let mut leading = Task::new(tasks[0].start(&cache, &7, pending()));
            leading.pends();
            thread::scope(|scope| {
                let waiting = scope.spawn(|| face.call(&cache, &7, || Ok(2)));
                until(&cache, |stats| stats.waits == 1);
                drop(leading);
                assert_eq!(waiting.join().unwrap(), Ok(2), "{}", face.name);
            });
            assert_taken_over(&cache, Some(2), face.name);

            let cache: Cache<u64, u64> = Cache::new(100);
            let (here, news) = channel();
            let (go, wait) = channel::<()>();
            thread::scope(|scope| {
                let go = go;
                let load = move || {
                    here.send(()).unwrap();
                    wait.recv().unwrap();
                    planned()
                };
                let (cache, face) = (&cache, &face);
                let leading = scope.spawn(move || survives(|| face.call(cache, &7, load)));
                news.recv().unwrap();
                let mut waiting = in_steps(&tasks[1], cache, 1, 3);
                waiting.pends();
                go.send(()).unwrap();
                assert!(leading.join().unwrap().is_none());
                assert!(waiting.is_woken(), "{}", face.name);
                waiting.pends();
                assert_eq!(waiting.ends(), Ok(3), "{}", face.name);
            });
            assert_taken_over(&cache, Some(3), face.name);
        }
    });
}

#[test]
fn who_panicked_may_wait_for_the_heir() {
    watched(|| {
        for face in faces::<u64, u64>() {
            let cache: Cache<u64, u64> = Cache::new(100);
            let (here, news) = channel();
            let (go, wait) = channel::<()>();
            thread::scope(|scope| {
                let (cache, face, go) = (&cache, &face, go);
                let load = move || {
                    here.send(()).unwrap();
                    wait.recv().unwrap();
                    planned()
                };
                let leading = scope.spawn(move || {
                    assert!(survives(|| face.call(cache, &7, load)).is_none());
                    // It is no part of that load any more.
                    face.call(cache, &7, || panic!("a third load"))
                });
                news.recv().unwrap();
                let mut heir = in_steps(&async_faces()[0], cache, 1, 3);
                heir.pends();
                go.send(()).unwrap();
                until(cache, |stats| stats.takeovers == 1);
                heir.pends();
                until(cache, |stats| stats.waits == 2);
                assert_eq!(heir.ends(), Ok(3), "{}", face.name);
                assert_eq!(leading.join().unwrap(), Ok(3), "{}", face.name);
            });
            assert_taken_over(&cache, Some(3), face.name);
        }
    });
}

#[test]
fn a_lease_that_is_dropped_hands_over() {
    watched(|| {
        for by_a_task in [false, true] {
            let cache: Cache<u64, u64> = Cache::new(100);
            let Leased::Lease(lease) = cache.get_or_lease(&7, None) else { panic!("no lease") };
            assert!(lease.is_current());
            // A lease may go to another thread.
            thread::scope(|scope| {
                if by_a_task {
                    let mut waiting = in_steps(&async_faces()[0], &cache, 0, 4);
                    waiting.pends();
                    scope.spawn(|| drop(lease)).join().unwrap();
                    assert!(waiting.is_woken());
                    assert_eq!(waiting.ends(), Ok(4));
                } else {
                    let waiting = scope.spawn(|| cache.get_with(&7, || 4));
                    until(&cache, |stats| stats.waits == 1);
                    drop(lease);
                    assert_eq!(waiting.join().unwrap(), 4);
                }
            });
            assert_eq!((cache.get(&7), cache.stats().flights, cache.stats().takeovers), (Some(4), 0, 1));
        }
    });
}

#[test]
fn the_waker_of_the_last_poll_is_woken() {
    watched(|| {
        for promoted in [false, true] {
            let cache: Cache<u64, u64> = Cache::new(100);
            let (send, loaded) = oneshot();
            let mut leading = Some(Task::new(cache.get_with_async(&7, loaded)));
            leading.as_mut().unwrap().pends();
            let mut waiting = Box::pin(cache.get_with_async(&7, async { 5 }));
            // A future may move from one task to another between its polls.
            let (former, latter) = (Task::new(pending::<()>()), Task::new(pending::<()>()));
            for task in [&former, &latter, &former, &latter] {
                assert!(waiting.as_mut().poll(&mut Context::from_waker(task.waker())).is_pending());
            }
            if promoted {
                leading = None;
            } else {
                send.send(5);
                assert_eq!(leading.as_mut().unwrap().ends(), 5);
            }
            assert!(latter.is_woken(), "promoted: {promoted}");
            assert_eq!(waiting.as_mut().poll(&mut Context::from_waker(latter.waker())), Poll::Ready(5));
            drop(leading);
        }
    });
}

/// A task of an executor that panics when it is told to wake it.
struct Broken;

impl Wake for Broken {
    fn wake(self: Arc<Self>) {
        planned()
    }
}

#[test]
fn an_executor_that_panics_keeps_nobody_else_asleep() {
    watched(|| {
        for (promoted, broken_first) in [(false, true), (false, false), (true, true), (true, false)] {
            let cache: Cache<u64, u64> = Cache::new(100);
            let (send, loaded) = oneshot();
            let mut leading = Some(Task::new(cache.get_with_async(&7, loaded)));
            leading.as_mut().unwrap().pends();
            let waker = Waker::from(Arc::new(Broken));
            let mut broken = Box::pin(cache.get_with_async(&7, async { 5 }));
            let mut sound = Task::new(cache.get_with_async(&7, async { 5 }));
            if !broken_first {
                sound.pends();
            }
            assert!(broken.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            if broken_first {
                sound.pends();
            }
            if promoted {
                survives(|| leading = None);
                // Its executor has lost it.
                drop(broken);
            } else {
                send.send(5);
                assert_eq!(survives(|| leading.as_mut().unwrap().ends()).unwrap_or(5), 5);
                drop(broken);
            }
            assert!(sound.is_woken(), "promoted: {promoted}, broken first: {broken_first}");
            assert_eq!(sound.ends(), 5);
            drop(leading);
            assert_eq!(cache.stats().flights, 0);
        }
    });
}
