//! Promise 7: a load that would wait for itself, directly or around a ring of keys, threads and tasks, is told so and does not hang. All
//! else a loader may do with its cache: read, write and load other keys, those of its own stripe, and write its own.

mod common;
#[path = "common/faces.rs"]
mod faces;
mod harness;

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::task::Poll;
use std::thread;

use brindle::Cache;
use brindle::LoadError;
use brindle::Stats;

use common::executor::Boxed;
use common::executor::Task;
use common::executor::block_on;
use common::executor::oneshot;
use common::executor::run_woken;
use common::executor::step;
use common::together;
use common::watched;
use faces::Answer;
use faces::Face;
use faces::Trouble;
use faces::async_faces;
use faces::faces;
use faces::sync_faces;
use harness::Planned;
use harness::planned;
use harness::survives;

fn until<K, V>(cache: &Cache<K, V>, reached: impl Fn(&Stats) -> bool) {
    while !reached(&cache.stats()) {
        thread::yield_now();
    }
}

/// The answer of a call inside a loader; a documented panic counts as `Reentrant`.
fn inner(face: &Face<u64, u64>, call: impl FnOnce() -> Answer<u64>) -> Answer<u64> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(answer) => answer,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned().or(panic.downcast_ref::<&str>().map(ToString::to_string));
            assert!(!face.can_fail, "{} can tell it without a panic: {text:?}", face.name);
            assert!(!panic.is::<Planned>());
            assert_ne!(text.as_deref(), Some(LOADED), "{} loaded inside a load of its key", face.name);
            Err(Trouble::Reentrant)
        }
    }
}

const LOADED: &str = "a loader that must not run";

/// Faces whose loader runs inside the call: a lease is filled outside, where nobody can know.
fn with_loader(faces: Vec<Face<u64, u64>>) -> Vec<Face<u64, u64>> {
    faces.into_iter().filter(|face| !face.name.starts_with("get_or_lease")).collect()
}

#[test]
fn a_call_inside_its_own_loader_is_told_so() {
    watched(|| {
        for outer in with_loader(faces()) {
            for within in faces::<u64, u64>() {
                let pair = format!("{} within {}", within.name, outer.name);
                let cache = Cache::new(100);
                let (inside, told) = (cache.clone(), Arc::new(Mutex::new(None)));
                let telling = Arc::clone(&told);
                let load = move || {
                    let answer = inner(&within, || within.call(&inside, &7, || panic!("{LOADED}")));
                    *telling.lock().unwrap() = Some(answer);
                    Ok(1)
                };
                assert_eq!(outer.call(&cache, &7, load), Ok(1), "{pair}");
                assert_eq!(*told.lock().unwrap(), Some(Err(Trouble::Reentrant)), "{pair}");
                assert_eq!((cache.get(&7), cache.stats().loads, cache.stats().flights), (Some(1), 1, 0), "{pair}");
            }
        }
    });
}

#[test]
fn a_task_that_awaits_its_own_load_is_told_so() {
    watched(|| {
        let faces = Arc::new(async_faces::<u64, u64>());
        for outer in with_loader(async_faces()) {
            for number in 0..faces.len() {
                // The call inside begins in the loader's first poll, or in a later one, on another thread.
                for steps in [0, 2] {
                    let pair = format!("{} within {}, after {steps} polls", faces[number].name, outer.name);
                    let cache = Cache::new(100);
                    let (inside, within) = (cache.clone(), Arc::clone(&faces));
                    let mut task = Task::new(outer.start(&cache, &7, async move {
                        for _ in 0..steps {
                            step().await;
                        }
                        let face = &within[number];
                        let mut call = Task::new(face.start(&inside, &7, async { panic!("{LOADED}") }));
                        match inner(face, || call.ends()) {
                            Err(Trouble::Reentrant) => Ok(1),
                            other => panic!("{other:?}"),
                        }
                    }));
                    (0..steps).for_each(|_| task.pends());
                    let ended = thread::scope(|scope| scope.spawn(|| task.ends()).join());
                    assert!(matches!(ended, Ok(Ok(1))), "{pair}");
                    assert_eq!((cache.get(&7), cache.stats().flights), (Some(1), 0), "{pair}");
                }
            }
        }
    });
}

#[test]
fn a_reentrant_panic_leaves_the_cache_whole() {
    watched(|| {
        for face in with_loader(faces()).into_iter().filter(|face| !face.can_fail) {
            let cache: Cache<u64, u64> = Cache::new(100);
            let inside = cache.clone();
            // The panic goes through the outer call, too.
            let ended =
                catch_unwind(AssertUnwindSafe(|| face.call(&cache, &7, move || Ok(inside.get_with(&7, || panic!("{LOADED}"))))));
            let panic = ended.expect_err("documented");
            let text = panic.downcast_ref::<String>().cloned().or(panic.downcast_ref::<&str>().map(ToString::to_string));
            assert_ne!(text.expect("a text"), LOADED, "{}", face.name);
            assert_eq!((cache.len(), cache.stats().flights), (0, 0), "{}", face.name);
            assert_eq!(face.call(&cache, &7, || Ok(2)), Ok(2), "{}", face.name);
        }
    });
}

#[test]
fn an_error_from_within_may_become_the_load_s_own() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::new(100);
        let down = || cache.try_get_with(&7, || cache.try_get_with(&7, || Ok::<_, u8>(1)).map_err(|error| error.to_string()));
        let Err(LoadError::Failed(text)) = down() else { panic!("no error") };
        assert!(!text.is_empty());
        assert_eq!((cache.len(), cache.stats().flights), (0, 0));
        assert!(matches!(down(), Err(LoadError::Failed(_))), "the same again");
    });
}

/// Every thread loads its key and, inside, the next one's. Gives who was told that this is a ring.
fn ring(ways: &[&Face<u64, u64>], keys: usize, in_turn: bool) -> Vec<bool> {
    let cache = Cache::builder().max_capacity(100).stripes(1).build().unwrap();
    let (begun, turn) = (Arc::new(Barrier::new(keys)), Arc::new(AtomicUsize::new(0)));
    let faces = Arc::new(faces());
    let by_name = |name: &str| faces.iter().position(|face: &Face<u64, u64>| face.name == name).unwrap();
    let told = together(keys, |number| {
        let (inside, faces, begun, turn) = (cache.clone(), Arc::clone(&faces), Arc::clone(&begun), Arc::clone(&turn));
        let within = by_name(ways[(number + 1) % ways.len()].name);
        let told = Arc::new(AtomicBool::new(false));
        let telling = Arc::clone(&told);
        let load = move || {
            begun.wait();
            while in_turn && (turn.load(SeqCst) != number || inside.stats().waits != number as u64) {
                thread::yield_now();
            }
            turn.fetch_add(1, SeqCst);
            let face = &faces[within];
            let next = (number + 1) % keys;
            // Where nobody keeps the order, the next one's load may be over, and be loaded again.
            let again = move || if in_turn { panic!("{LOADED}") } else { Ok(next as u64) };
            match inner(face, || face.call(&inside, &(next as u64), again)) {
                Err(Trouble::Reentrant) => telling.store(true, SeqCst),
                other => assert!(other.is_ok(), "{other:?}"),
            }
            Ok(number as u64)
        };
        assert_eq!(ways[number % ways.len()].call(&cache, &(number as u64), load), Ok(number as u64));
        told.load(SeqCst)
    });
    assert_eq!((cache.stats().flights, cache.len()), (0, keys));
    assert!(cache.stats().loads == keys as u64 || !in_turn);
    told
}

#[test]
fn a_ring_of_threads_is_told_so() {
    watched(|| {
        let faces = with_loader(faces());
        for one in &faces {
            for other in &faces {
                for keys in [2, 3] {
                    let pair = format!("{} and {}, {keys} keys", one.name, other.name);
                    let told = ring(&[one, other], keys, true);
                    // One closes the ring, and nobody else is told. (A wait is counted a moment before the ring is looked for.)
                    assert_eq!(told.iter().filter(|told| **told).count(), 1, "{pair}: {told:?}");
                    let told = ring(&[one, other], keys, false);
                    assert!(told.iter().any(|told| *told), "{pair}: {told:?}");
                }
            }
        }
    });
}

/// A task that loads its key, waits for `go`, and then loads the next one's inside. Ends with what it was told there.
fn link(cache: &Cache<u64, u64>, face: usize, key: u64, next: u64) -> (Task<Boxed<'static, Answer<u64>>>, Sending) {
    let faces = with_loader(async_faces());
    let (go, told) = oneshot::<()>();
    let inside = cache.clone();
    let task = faces[face].start(cache, &key, async move {
        told.await;
        let within = &with_loader(async_faces())[(face + 1) % ASYNC];
        let mut call = within.start(&inside, &next, async { panic!("{LOADED}") });
        let answer = std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context))) {
            Ok(polled) => polled,
            Err(panic) => Poll::Ready(inner(within, || std::panic::resume_unwind(panic))),
        });
        match answer.await {
            Err(Trouble::Reentrant) => Ok(RING),
            other => other.map_err(|_| 0),
        }
    });
    (Task::new(task), go)
}

type Sending = common::executor::Sender<()>;

const RING: u64 = 1_000;

/// Async faces with a loader.
const ASYNC: usize = 7;

#[test]
fn a_ring_of_tasks_is_told_so() {
    watched(|| {
        for keys in 2..=4 {
            for face in 0..ASYNC {
                let cache = Cache::builder().max_capacity(100).stripes(1).build().unwrap();
                let link = |key| link(&cache, (face + key as usize) % ASYNC, key, (key + 1) % keys);
                let (mut tasks, mut go): (Vec<_>, Vec<_>) = (0..keys).map(link).unzip();
                tasks.iter_mut().for_each(Task::pends);
                // All but the last wait for the next; that is no ring yet.
                let last = go.pop().unwrap();
                for (task, go) in tasks.iter_mut().zip(go) {
                    go.send(());
                    task.pends();
                }
                last.send(());
                // Who closes it is told, and gives a value that reaches all.
                assert_eq!(tasks.last_mut().unwrap().ends(), Ok(RING), "{keys} keys, face {face}");
                tasks.pop();
                assert_eq!(run_woken(&mut tasks, |_, value| assert_eq!(value, Ok(RING))), tasks.len(), "{keys} keys");
                let stats = cache.stats();
                assert_eq!((stats.flights, stats.loads, stats.len as u64), (0, keys, keys));
            }
        }
    });
}

#[test]
fn a_ring_of_a_thread_and_a_task_is_told_so() {
    watched(|| {
        for face in with_loader(sync_faces()) {
            for the_thread_is_first in [true, false] {
                let cache = Cache::new(100);
                let (mut task, go) = link(&cache, 1, 1, 2);
                task.pends();
                let (here, news) = channel();
                let (turn, wait) = channel::<()>();
                thread::scope(|scope| {
                    let (face, turn) = (&face, turn);
                    let inside = cache.clone();
                    let load = move || {
                        here.send(()).unwrap();
                        wait.recv().unwrap();
                        match inside.try_get_with(&1, || Ok::<_, u8>(0)) {
                            Err(LoadError::Reentrant) => Ok(RING),
                            other => Ok(other.unwrap()),
                        }
                    };
                    let cache = &cache;
                    let thread = scope.spawn(move || face.call(cache, &2, load));
                    news.recv().unwrap();
                    if the_thread_is_first {
                        turn.send(()).unwrap();
                        until(cache, |stats| stats.waits == 1);
                        go.send(());
                    } else {
                        go.send(());
                        task.pends();
                        turn.send(()).unwrap();
                    }
                    let ended = task.poll();
                    assert_eq!(thread.join().unwrap(), Ok(RING), "{}", face.name);
                    let value = if let Poll::Ready(value) = ended { value } else { task.ends() };
                    assert_eq!(value, Ok(RING), "{}", face.name);
                });
                assert_eq!((cache.stats().flights, cache.stats().loads), (0, 2), "{}", face.name);
            }
        }
    });
}

#[test]
fn what_is_no_ring_is_not_called_one() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::builder().max_capacity(1_000).stripes(1).build().unwrap();
        // Two ways to one end, all tasks on one thread.
        let (send, loaded) = oneshot();
        let mut end = Task::new(cache.get_with_async(&0, loaded));
        end.pends();
        let idle = |key: u64| {
            let cache = &cache;
            async move { cache.get_with_async(&key, async { panic!("{LOADED}") }).await }
        };
        let way = |key: u64, next: u64| {
            let (cache, within) = (&cache, idle(next));
            Task::new(async move { cache.get_with_async(&key, within).await })
        };
        let mut ways = vec![way(1, 0), way(2, 0), way(3, 1), way(4, 2), way(5, 3)];
        ways.iter_mut().for_each(Task::pends);
        let mut waiter = Task::new(idle(5));
        waiter.pends();
        send.send(9);
        assert_eq!(end.ends(), 9);
        assert_eq!(run_woken(&mut ways, |_, value| assert_eq!(value, 9)), 5);
        assert_eq!(waiter.ends(), 9);
        // Who waited once and went is no link any more.
        let (go, told) = oneshot::<()>();
        let mut other = Task::new(cache.get_with_async(&11, async {
            told.await;
            cache.get_with_async(&10, async { panic!("{LOADED}") }).await + 1
        }));
        other.pends();
        let mut loader = Task::new(cache.get_with_async(&10, async {
            let mut given_up = Task::new(cache.get_with_async(&11, async { panic!("{LOADED}") }));
            given_up.pends();
            drop(given_up);
            step().await;
            10
        }));
        loader.pends();
        go.send(());
        other.pends();
        assert_eq!(loader.ends(), 10);
        assert_eq!(other.ends(), 11);
    });
}

#[test]
fn loads_within_loads_go_as_deep_as_the_stack() {
    watched(|| {
        fn down(cache: &Cache<u64, u64>, level: u64) -> u64 {
            match level % 3 {
                _ if level == 0 => 0,
                0 => cache.get_with(&level, || down(cache, level - 1) + 1),
                1 => cache.try_get_with(&level, || Ok::<_, u8>(down(cache, level - 1) + 1)).unwrap(),
                _ => block_on(cache.get_with_async(&level, async { down(cache, level - 1) + 1 })),
            }
        }
        let cache = Cache::builder().max_capacity(1_000).stripes(1).build().unwrap();
        assert_eq!(down(&cache, 60), 60);
        assert_eq!((cache.len(), cache.stats().loads, cache.stats().flights), (60, 60, 0));
        // A thread whose loads broke off on the way is as good as new.
        for key in [100, 101] {
            let broken = || cache.get_with(&key, || cache.get_with(&(key + 100), || planned()));
            assert!(survives(broken).is_none());
            assert_eq!(cache.get_with(&(key + 100), || cache.get_with(&key, || 5)), 5);
        }
        assert_eq!(cache.stats().flights, 0);
    });
}

#[test]
fn every_load_that_is_under_way_is_known_at_any_depth() {
    watched(|| {
        const DEPTH: u64 = 40;
        /// Loads key after key inside of each other, and at the bottom asks for all of them.
        fn down(cache: &Cache<u64, u64>, level: u64) -> u64 {
            if level < DEPTH {
                let many = |keys: Vec<u64>| {
                    let value = down(cache, level + 1);
                    Ok::<_, u8>(keys.into_iter().map(|key| (key, value)).collect::<Vec<_>>())
                };
                return match level % 3 {
                    0 => cache.get_with(&level, || down(cache, level + 1)),
                    1 => block_on(cache.get_with_async(&level, async { down(cache, level + 1) })),
                    _ => cache.try_get_many_with(&[level, 1_000 + level], many).unwrap()[1].unwrap(),
                };
            }
            let above = (0..DEPTH).chain((0..DEPTH).filter(|level| level % 3 == 2).map(|level| 1_000 + level));
            for key in above {
                assert_eq!(cache.try_get_with(&key, || Ok::<_, u8>(0)), Err(LoadError::Reentrant), "{key}");
            }
            // The bottom itself is none of them.
            cache.get_with(&level, || 7)
        }
        let cache = Cache::builder().max_capacity(1_000).stripes(1).build().unwrap();
        assert_eq!(down(&cache, 0), 7);
        assert_eq!(cache.stats().flights, 0);
        cache.clear();
        assert_eq!(down(&cache, 0), 7, "the same thread again");
    });
}

#[test]
fn a_loader_may_use_the_cache_as_anybody() {
    watched(|| {
        for face in faces::<u64, u64>() {
            let cache = Cache::builder().max_capacity(1_000).stripes(1).removal_listener(drop).build().unwrap();
            (0..50).for_each(|key| _ = cache.insert(key, key));
            let inside = cache.clone();
            let load = move || {
                assert_eq!((inside.get(&1), inside.get(&100), inside.len()), (Some(1), None, 50));
                let version = inside.insert(2, 22);
                assert!(inside.compare_and_swap(2, version, 23).is_ok());
                assert!(inside.insert_at(3, 33, 4).is_ok());
                assert!(inside.invalidate(&4) && inside.invalidate_at(&5, 9));
                assert!(inside.remove_if(&6, |_, _| true).is_some());
                assert_eq!(inside.get_with(&60, || 61), 61);
                assert_eq!(inside.try_get_with(&62, || Err::<u64, u8>(1)).ok(), None);
                assert_eq!(block_on(inside.get_with_async(&64, async { 65 })), 65);
                assert_eq!(inside.refresh(&1, || 11), 11);
                assert_eq!(inside.iter().count(), 49);
                inside.set_capacity(2_000);
                inside.reclaim();
                assert!(inside.stats().flights >= 1 && inside.memory_used() > 0);
                Ok(inside.get(&2).unwrap())
            };
            assert_eq!(face.call(&cache, &100, load), Ok(23), "{}", face.name);
            assert_eq!((cache.get(&100), cache.len(), cache.stats().flights), (Some(23), 50, 0), "{}", face.name);
        }
    });
}

/// What a loader does to its own key, and what is there afterwards.
type Own = (&'static str, fn(&Cache<u64, u64>), Option<u64>);

#[test]
fn a_loader_that_writes_its_own_key_fences_itself() {
    watched(|| {
        let own: [Own; 8] = [
            ("insert", |cache| _ = cache.insert(7, 9), Some(9)),
            ("insert_at", |cache| _ = cache.insert_at(7, 9, 1), Some(9)),
            ("insert_if_absent", |cache| _ = cache.insert_if_absent(7, 9), Some(9)),
            ("remove", |cache| _ = cache.remove(&7), None),
            ("invalidate", |cache| _ = cache.invalidate(&7), None),
            ("invalidate_at", |cache| _ = cache.invalidate_at(&7, 1), None),
            ("retain", |cache| cache.retain(|_, _| true), None),
            ("clear", Cache::clear, None),
        ];
        for (name, change, left) in own {
            for face in with_loader(faces()) {
                let cache = Cache::builder().max_capacity(1_000).stripes(1).build().unwrap();
                let inside = cache.clone();
                let load = move || {
                    change(&inside);
                    assert_eq!(inside.get(&7), left);
                    Ok(1)
                };
                let answer = face.call(&cache, &7, load);
                // A newer value that is resident goes before what was loaded.
                assert_eq!(answer, Ok(left.unwrap_or(1)), "{name} within {}", face.name);
                let stats = cache.stats();
                assert_eq!((cache.get(&7), stats.fenced, stats.flights), (left, 1, 0), "{name} within {}", face.name);
            }
        }
    });
}

#[test]
fn a_listener_may_load_what_leaves() {
    watched(|| {
        for face in 0..faces::<u64, u64>().len() {
            let handle: Arc<Mutex<Option<Cache<u64, u64>>>> = Arc::default();
            let (inside, loads) = (Arc::clone(&handle), Arc::new(AtomicUsize::new(0)));
            let counted = Arc::clone(&loads);
            let listener = move |removed: brindle::Removed<u64, u64>| {
                let Some(cache) = inside.lock().unwrap().clone() else { return };
                // What is loaded again makes another leave.
                if counted.fetch_add(1, SeqCst) < 200 {
                    let key = *removed.key();
                    assert_eq!(faces()[face].call(&cache, &key, move || Ok(key)), Ok(key));
                }
            };
            let cache = Cache::builder().max_capacity(5).stripes(1).removal_listener(listener).build().unwrap();
            *handle.lock().unwrap() = Some(cache.clone());
            for key in 0..50 {
                assert_eq!(faces()[face].call(&cache, &key, move || Ok(key)), Ok(key));
            }
            *handle.lock().unwrap() = None;
            assert!(loads.load(SeqCst) >= 45);
            assert_eq!((cache.stats().flights, cache.stats().listener_panics, cache.len()), (0, 0, 5));
        }
    });
}

#[test]
fn a_thread_may_load_while_it_is_torn_down() {
    watched(|| {
        struct Last(Cache<u64, u64>);

        impl Drop for Last {
            fn drop(&mut self) {
                assert_eq!(self.0.get_with(&2, || self.0.get_with(&1, || 1) + 1), 2);
                assert_eq!(block_on(self.0.get_with_async(&4, async { self.0.get_with(&3, || 3) + 1 })), 4);
            }
        }

        thread_local! {
            static LAST: std::cell::RefCell<Option<Last>> = const { std::cell::RefCell::new(None) };
        }

        for loads_before in [false, true] {
            let cache: Cache<u64, u64> = Cache::new(100);
            let last = Last(cache.clone());
            let thread = thread::spawn(move || {
                // Before or after the cache's own, the thread's last words are spoken.
                if loads_before {
                    last.0.get_with(&9, || last.0.get_with(&8, || 8) + 1);
                }
                LAST.set(Some(last));
                LAST.with_borrow(|last| last.as_ref().unwrap().0.get_with(&7, || 7));
            });
            thread.join().unwrap();
            assert_eq!((cache.get(&2), cache.get(&4), cache.stats().flights), (Some(2), Some(4), 0));
        }
    });
}
