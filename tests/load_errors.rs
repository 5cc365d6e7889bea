//! A load that fails: all who wait with it share its error, typed where they can name its type; nothing is stored, and the next call loads.

mod common;
#[path = "common/faces.rs"]
mod faces;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::thread;

use brindle::Cache;
use brindle::Failure;
use brindle::Leased;
use brindle::LoadError;
use brindle::Stats;

use common::executor::Boxed;
use common::executor::Task;
use common::executor::oneshot;
use common::executor::run_woken;
use common::watched;
use faces::Face;
use faces::Trouble;
use faces::faces;

fn until<K, V>(cache: &Cache<K, V>, reached: impl Fn(&Stats) -> bool) {
    while !reached(&cache.stats()) {
        thread::yield_now();
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Broken(u64);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken {}", self.0)
    }
}

impl Error for Broken {}

/// A load of `leader` fails while a call of `waiter` waits for it.
fn fails_while_another_waits(leader: &Face<u64, u64>, waiter: &Face<u64, u64>) {
    let pair = format!("{} waits for {}", waiter.name, leader.name);
    let cache = Cache::new(100);
    let (here, news) = channel();
    let (go, wait) = channel();
    let waited = thread::scope(|scope| {
        let (cache, go) = (&cache, go);
        let load = move || {
            here.send(()).unwrap();
            Err(wait.recv().unwrap())
        };
        let leading = scope.spawn(move || leader.call(cache, &7, load));
        news.recv().unwrap();
        let waiting = scope.spawn(|| waiter.call(cache, &7, || Ok(80)));
        until(cache, |stats| stats.waits == 1);
        go.send(70).unwrap();
        assert_eq!(leading.join().unwrap(), Err(Trouble::Failed(70)), "{pair}");
        waiting.join().unwrap()
    });
    // Only faces of one name have one error type, and a local error has no name.
    let typed = leader.name == waiter.name && leader.name != "try_get_with_local";
    let (expected, loads) = match waiter.shares_errors {
        true if typed => (Err(Trouble::Failed(70)), 1),
        true => (Err(Trouble::Elsewhere), 1),
        false => (Ok(80), 2),
    };
    assert_eq!((waited, cache.get(&7)), (expected, expected.ok()), "{pair}");
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.load_failures, stats.flights), (loads, 1, 0), "{pair}");
    if waiter.shares_errors {
        assert_eq!(leader.call(&cache, &7, || Ok(90)), Ok(90), "{pair}: the next call loads afresh");
        assert_eq!((cache.get(&7), cache.stats().loads), (Some(90), 2), "{pair}");
    }
}

#[test]
fn who_waits_shares_the_error_or_loads_for_itself() {
    watched(|| {
        let faces = faces();
        for leader in faces.iter().filter(|face| face.can_fail) {
            for waiter in &faces {
                fails_while_another_waits(leader, waiter);
            }
        }
    });
}

#[test]
fn a_crowd_shares_one_failed_load() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::new(100);
        let (send, loaded) = oneshot();
        let mut tasks: Vec<Task<Boxed<_>>> = Vec::new();
        tasks.push(Task::new(Box::pin(cache.try_get_with_async(&7, loaded))));
        tasks[0].pends();
        thread::scope(|scope| {
            let cache = &cache;
            let call =
                || scope.spawn(move || cache.try_get_with(&7, || -> Result<u64, Broken> { panic!("one of N serial loads") }));
            let threads: Vec<_> = (0..100).map(|_| call()).collect();
            for _ in 0..100 {
                let load = async { panic!("one of N serial loads") };
                tasks.push(Task::new(Box::pin(cache.try_get_with_async(&7, load))));
                tasks.last_mut().unwrap().pends();
            }
            until(cache, |stats| stats.waits == 200);
            send.send(Err(Broken(5)));
            let ended = run_woken(&mut tasks, |_, answer| assert!(matches!(answer, Err(LoadError::Failed(Broken(5))))));
            assert_eq!(ended, 101);
            threads.into_iter().for_each(|thread| assert!(matches!(thread.join().unwrap(), Err(LoadError::Failed(Broken(5))))));
        });
        let stats = cache.stats();
        assert_eq!((stats.loads, stats.load_failures, stats.flights, cache.len()), (1, 1, 0, 0));
    });
}

#[test]
fn of_those_whose_call_cannot_fail_one_loads_for_all() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::new(100);
        let loaders = AtomicUsize::new(0);
        let (send, loaded) = oneshot::<Result<u64, Broken>>();
        let (send_again, loaded_again) = oneshot();
        let again = Mutex::new(Some(loaded_again));
        let mut leader = Task::new(cache.try_get_with_async(&7, loaded));
        leader.pends();
        let mut tasks: Vec<_> = Vec::new();
        for _ in 0..50 {
            tasks.push(Task::new(cache.get_with_async(&7, async {
                loaders.fetch_add(1, SeqCst);
                let loaded = again.lock().unwrap().take().expect("the only loader");
                loaded.await
            })));
            tasks.last_mut().unwrap().pends();
        }
        send.send(Err(Broken(1)));
        assert!(matches!(leader.ends(), Err(LoadError::Failed(Broken(1)))));
        assert_eq!(run_woken(&mut tasks, |_, _| ()), 0, "the second load is not at its end");
        assert_eq!((loaders.load(SeqCst), cache.stats().loads, cache.stats().flights), (1, 2, 1));
        send_again.send(8);
        assert_eq!(run_woken(&mut tasks, |_, value| assert_eq!(value, 8)), 50, "a task was forgotten");
        assert_eq!((loaders.load(SeqCst), cache.stats().flights, cache.get(&7)), (1, 0, Some(8)));
    });
}

#[test]
fn threads_and_tasks_share_an_error_type() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::new(100);
        thread::scope(|scope| {
            // A thread waits for a task,
            let (send, loaded) = oneshot();
            let mut task = Task::new(cache.load_async(&1, loaded));
            task.pends();
            let thread = scope.spawn(|| cache.try_refresh(&1, || Ok::<_, Broken>(0)));
            until(&cache, |stats| stats.waits == 1);
            send.send(Err(Broken(3)));
            assert!(matches!(task.ends(), Err(LoadError::Failed(Broken(3)))));
            assert!(matches!(thread.join().unwrap(), Err(LoadError::Failed(Broken(3)))));
            // and a task for a thread.
            let (send, wait) = channel();
            let thread = scope.spawn(|| cache.try_get_with(&2, move || wait.recv().unwrap()));
            until(&cache, |stats| stats.loads == 2);
            let mut task = Task::new(cache.reload_async(&2, async { panic!("a second load") }));
            task.pends();
            send.send(Err(Broken(4))).unwrap();
            assert!(matches!(thread.join().unwrap(), Err(LoadError::Failed(Broken(4)))));
            assert!(matches!(task.ends(), Err(LoadError::Failed(Broken(4)))));
        });
    });
}

/// What a task that waits for a load is told when the load ends so.
fn told(end: impl FnOnce(brindle::Lease<u64, u64>)) -> LoadError<String> {
    let cache: Cache<u64, u64> = Cache::new(100);
    let Leased::Lease(lease) = cache.get_or_lease(&7, None) else { panic!("no lease") };
    let mut task = Task::new(cache.try_get_with_async(&7, async { panic!("a second load") }));
    task.pends();
    end(lease);
    assert_eq!((cache.stats().flights, cache.len()), (0, 0));
    task.ends().unwrap_err()
}

#[test]
fn an_error_of_another_type_can_be_asked_for() {
    watched(|| {
        assert!(matches!(told(|lease| lease.fail(String::from("as such"))), LoadError::Failed(text) if text == "as such"));
        let error = told(|lease| lease.fail(Broken(6)));
        let LoadError::Elsewhere(failure) = error.clone() else { panic!("{error:?}") };
        let failure: Failure = failure;
        assert_eq!(failure.downcast_ref::<Broken>(), Some(&Broken(6)));
        assert_eq!(failure.clone().downcast_ref::<Broken>(), Some(&Broken(6)));
        assert!(failure.downcast_ref::<String>().is_none());
        assert!(failure.type_name().contains("Broken"), "{}", failure.type_name());
        let _: (&dyn Error, &(dyn Send + Sync)) = (&failure, &failure);
        assert!(!failure.to_string().is_empty());
        // Errors that are errors give errors.
        let failed: LoadError<Broken> = LoadError::Failed(Broken(1));
        let _: &(dyn Error + Send + Sync + 'static) = &failed;
        assert!(failed.to_string().contains("broken 1") || failed.source().is_some_and(|cause| cause.to_string() == "broken 1"));
    });
}

#[test]
fn an_error_may_be_borrowed_where_only_its_maker_gets_it() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::new(100);
        thread::scope(|scope| {
            let text = String::from("on this stack");
            let waiting = &cache;
            let mut waiters = Vec::new();
            let answer = cache.try_get_with_local(&7, || -> Result<u64, &str> {
                waiters.push(scope.spawn(|| waiting.try_get_with(&7, || Ok::<_, Broken>(0))));
                until(waiting, |stats| stats.waits == 1);
                Err(&text)
            });
            assert!(matches!(answer, Err(LoadError::Failed(borrowed)) if std::ptr::eq(borrowed, text.as_str())));
            for waiter in waiters {
                let Err(LoadError::Elsewhere(failure)) = waiter.join().unwrap() else { panic!("not told") };
                assert!(failure.downcast_ref::<&'static str>().is_none(), "a borrowed error got out");
                assert!(failure.downcast_ref::<Broken>().is_none());
            }
            // Neither Clone nor Send nor 'static.
            let cell = std::cell::Cell::new(0);
            struct Bare<'a>(&'a std::cell::Cell<u64>);
            let Err(LoadError::Failed(bare)) = cache.try_get_with_local(&7, || Err(Bare(&cell))) else { panic!("no error") };
            bare.0.set(9);
            assert_eq!(cell.get(), 9);
            // As a waiter it is told of others' errors.
            let Leased::Lease(lease) = cache.get_or_lease(&7, None) else { panic!("no lease") };
            let waits = cache.stats().waits;
            let waiter = scope.spawn(|| {
                let text = String::from("never used");
                match waiting.try_get_with_local(&7, || Err(&text)) {
                    Err(LoadError::Elsewhere(failure)) => failure.downcast_ref::<Broken>().cloned(),
                    _ => None,
                }
            });
            until(&cache, |stats| stats.waits > waits);
            lease.fail(Broken(2));
            assert_eq!(waiter.join().unwrap(), Some(Broken(2)));
        });
        assert_eq!((cache.len(), cache.stats().flights), (0, 0));
    });
}

#[test]
fn a_failed_reload_leaves_the_value_as_it_was() {
    watched(|| {
        for face in faces().iter().filter(|face| face.reloads && face.can_fail) {
            let cache: Cache<u64, u64> = Cache::new(100);
            let version = cache.insert(7, 1);
            assert_eq!(face.call(&cache, &7, || Err(3)), Err(Trouble::Failed(3)), "{}", face.name);
            let entry = cache.get_entry(&7).expect("the value from before");
            assert_eq!((entry.value, entry.version, cache.stats().flights), (1, version, 0), "{}", face.name);
            assert_eq!(face.call(&cache, &7, || Ok(2)), Ok(2), "{}", face.name);
            assert_eq!(cache.get(&7), Some(2), "{}", face.name);
        }
    });
}

#[test]
fn every_failed_call_loads_afresh() {
    watched(|| {
        for face in faces().iter().filter(|face| face.can_fail) {
            let cache: Cache<u64, u64> = Cache::new(100);
            let loaders = Arc::new(AtomicUsize::new(0));
            for call in 1..=20 {
                let counted = Arc::clone(&loaders);
                let load = move || {
                    counted.fetch_add(1, SeqCst);
                    Err(call)
                };
                assert_eq!(face.call(&cache, &7, load), Err(Trouble::Failed(call)), "{}", face.name);
                assert_eq!((loaders.load(SeqCst) as u64, cache.get(&7), cache.stats().flights), (call, None, 0), "{}", face.name);
            }
            let stats = cache.stats();
            assert_eq!((stats.loads, stats.load_failures, stats.inserts), (20, 20, 0), "{}", face.name);
        }
    });
}
