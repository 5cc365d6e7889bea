//! Promise 6: one load per key, whichever face started it; all who wait get its result. A hit never asks the loader. And what a load costs.

mod common;
#[path = "common/faces.rs"]
mod faces;

use std::alloc::GlobalAlloc;
use std::alloc::Layout;
use std::alloc::System;
use std::cell::Cell;
use std::future::Future;
use std::future::poll_fn;
use std::hash::BuildHasherDefault;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::thread;

use brindle::Cache;
use brindle::Leased;
use brindle::Loaded;
use brindle::Stats;

use common::executor::Task;
use common::executor::oneshot;
use common::executor::run_woken;
use common::together;
use common::watched;
use faces::Face;
use faces::async_faces;
use faces::faces;
use faces::sync_faces;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts what each thread allocates.
struct Counting;

fn count() {
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: all that it does beyond the system's allocator is to count.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn until<K, V>(cache: &Cache<K, V>, reached: impl Fn(&Stats) -> bool) {
    while !reached(&cache.stats()) {
        thread::yield_now();
    }
}

/// What must hold after one load of one key that everybody got.
#[track_caller]
fn assert_one_load(cache: &Cache<u64, u64>, waits: u64, who: &str) {
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.waits, stats.flights), (1, waits, 0), "loads, waits, flights: {who}");
    assert_eq!((stats.load_failures, stats.takeovers, stats.fenced), (0, 0, 0), "failures, takeovers, fenced: {who}");
    assert_eq!(stats.inserts, 1, "{who}");
}

const CROWD: usize = 1000;

/// A thousand threads at once; whoever leads loads until all the others wait.
fn crowd(faces: &[Face<u64, u64>], who: &str) {
    let cache = Cache::new(100);
    let loaders = Arc::new(AtomicUsize::new(0));
    let values = together(CROWD, |number| {
        let (waiting, loaders) = (cache.clone(), Arc::clone(&loaders));
        let load = move || {
            loaders.fetch_add(1, SeqCst);
            until(&waiting, |stats| stats.waits == CROWD as u64 - 1);
            Ok(number as u64)
        };
        faces[number % faces.len()].call(&cache, &7, load)
    });
    assert_eq!(loaders.load(SeqCst), 1, "{who}");
    assert!(values.iter().all(|value| value.is_ok() && *value == values[0]), "{who}: {values:?}");
    assert_eq!(cache.get(&7), values[0].ok());
    assert_one_load(&cache, CROWD as u64 - 1, who);
}

#[test]
fn a_thousand_threads_make_one_load() {
    watched(|| {
        crowd(&sync_faces(), "sync faces");
        crowd(&async_faces(), "async faces");
        crowd(&faces(), "all faces");
    });
}

#[test]
fn a_thousand_tasks_make_one_load() {
    watched(|| {
        let faces = async_faces();
        let cache = Cache::new(100);
        let loaders = Arc::new(AtomicUsize::new(0));
        let (send, loaded) = oneshot();
        let loaded = Arc::new(Mutex::new(Some(loaded)));
        let task = |number: usize| {
            let (loaders, loaded) = (Arc::clone(&loaders), Arc::clone(&loaded));
            Task::new(faces[number % faces.len()].start(&cache, &7, async move {
                loaders.fetch_add(1, SeqCst);
                let loaded = loaded.lock().unwrap().take().expect("the only loader");
                Ok(loaded.await)
            }))
        };
        let mut tasks: Vec<_> = (0..CROWD).map(task).collect();
        assert_eq!(cache.stats().flights, 0, "a future that was never polled loads nothing");
        tasks.iter_mut().for_each(Task::pends);
        // Polls beyond what they were woken for change nothing.
        tasks.iter_mut().for_each(Task::pends);
        let stats = cache.stats();
        assert_eq!((stats.loads, stats.waits, stats.flights), (1, CROWD as u64 - 1, 1));
        assert!(!tasks[1..].iter().any(Task::is_woken), "nobody has a reason to run");
        send.send(70);
        let ended = run_woken(&mut tasks, |_, value| assert_eq!(value, Ok(70)));
        assert_eq!(ended, CROWD, "a task was not woken");
        assert_eq!(loaders.load(SeqCst), 1);
        assert_one_load(&cache, CROWD as u64 - 1, "tasks");
    });
}

#[test]
fn threads_and_tasks_make_one_load_whoever_leads() {
    watched(|| {
        let (sync, tasks_of) = (sync_faces(), async_faces());
        for a_task_leads in [true, false] {
            let cache = Cache::new(100);
            let (send, loaded) = oneshot();
            let (here, news) = channel();
            let mut loaded = Some(loaded);
            thread::scope(|scope| {
                let (cache, sync) = (&cache, &sync);
                let mut tasks = Vec::new();
                if a_task_leads {
                    let loaded = loaded.take().unwrap();
                    tasks.push(Task::new(tasks_of[0].start(cache, &7, async { Ok(loaded.await) })));
                    tasks[0].pends();
                } else {
                    let loaded = loaded.take().unwrap();
                    scope.spawn(move || {
                        let load = move || {
                            here.send(()).unwrap();
                            Ok(loaded.wait())
                        };
                        assert_eq!(sync[0].call(cache, &7, load), Ok(70));
                    });
                    news.recv().unwrap();
                }
                for number in 0..100 {
                    scope.spawn(move || {
                        let face = &sync[number % sync.len()];
                        assert_eq!(face.call(cache, &7, || panic!("a second load")), Ok(70), "{}", face.name);
                    });
                    let face = &tasks_of[number % tasks_of.len()];
                    tasks.push(Task::new(face.start(cache, &7, async { panic!("a second load") })));
                    tasks.last_mut().unwrap().pends();
                }
                until(cache, |stats| stats.waits == 200);
                send.send(70);
                let mut left = tasks.len();
                while left > 0 {
                    // The leader may be a thread, which wakes them when it is there.
                    run_woken(&mut tasks, |_, value| {
                        left -= 1;
                        assert_eq!(value, Ok(70));
                    });
                    thread::yield_now();
                }
            });
            assert_one_load(&cache, 200, if a_task_leads { "a task leads" } else { "a thread leads" });
        }
    });
}

/// One face leads, another joins it; the key may be resident if both are faces that reload.
fn joins(leader: &Face<u64, u64>, waiter: &Face<u64, u64>, resident: bool) {
    let pair = format!("{} waits for {}, resident: {resident}", waiter.name, leader.name);
    let cache = Cache::new(100);
    if resident {
        cache.insert(7, 1);
    }
    let (here, news) = channel();
    let (go, wait) = channel();
    thread::scope(|scope| {
        let (cache, go) = (&cache, go);
        let load = move || {
            here.send(()).unwrap();
            wait.recv().map_err(|_| 1)
        };
        let leading = scope.spawn(move || leader.call(cache, &7, load));
        news.recv().unwrap();
        let waiting = scope.spawn(|| waiter.call(cache, &7, || panic!("a second load")));
        until(cache, |stats| stats.waits == 1);
        assert_eq!(cache.get(&7), resident.then_some(1), "{pair}");
        go.send(70).unwrap();
        assert_eq!(leading.join().unwrap(), Ok(70), "{pair}");
        assert_eq!(waiting.join().unwrap(), Ok(70), "{pair}");
    });
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.waits, stats.flights, cache.get(&7)), (1, 1, 0, Some(70)), "{pair}");
}

#[test]
fn any_face_waits_for_any_other() {
    watched(|| {
        let faces = faces();
        for leader in &faces {
            for waiter in &faces {
                joins(leader, waiter, false);
                if leader.reloads && waiter.reloads {
                    joins(leader, waiter, true);
                }
            }
        }
    });
}

/// A loader that must not even be polled.
fn never<T>() -> impl Future<Output = T> {
    poll_fn(|_| panic!("the loader was polled"))
}

fn not_called<T>() -> T {
    panic!("the loader was called")
}

/// Polls once, on the stack, with a waker that does nothing: what is at its end at once never touched a runtime.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

fn value_of<K, V>(leased: Leased<K, V>) -> V {
    match leased {
        Leased::Value(value) => value,
        _ => panic!("no value"),
    }
}

type Named<'a, T> = (&'static str, &'a dyn Fn(&str) -> T);

#[test]
fn a_hit_asks_no_loader_clones_no_key_and_allocates_nothing() {
    watched(|| {
        let cache: Cache<String, u64> = Cache::new(10_000);
        let keys: Vec<String> = (0..1000).map(|number| format!("key number {number}")).collect();
        keys.iter().zip(0..).for_each(|(key, value)| _ = cache.insert(key.clone(), value));
        let faces: [Named<u64>; 9] = [
            ("get_with", &|key| cache.get_with(key, not_called)),
            ("try_get_with", &|key| cache.try_get_with(key, not_called::<Result<_, String>>).unwrap()),
            ("try_get_with_local", &|key| cache.try_get_with_local(key, not_called::<Result<_, &str>>).unwrap()),
            ("load", &|key| cache.load(key, not_called::<Result<Loaded<_>, u8>>).unwrap()),
            ("get_or_lease", &|key| value_of(cache.get_or_lease(key, None))),
            ("get_with_async", &|key| at_once(cache.get_with_async(key, never()))),
            ("try_get_with_async", &|key| at_once(cache.try_get_with_async(key, never::<Result<_, String>>())).unwrap()),
            ("load_async", &|key| at_once(cache.load_async(key, never::<Result<Loaded<_>, u8>>())).unwrap()),
            ("get_or_lease_async", &|key| value_of(at_once(cache.get_or_lease_async(key)))),
        ];
        for (name, face) in faces {
            // The thread's first call makes what it keeps for the next.
            face(&keys[0]);
            let hits = cache.stats().hits;
            let took = allocations(|| keys.iter().zip(0..).for_each(|(key, value)| assert_eq!(face(key), value, "{name}")));
            assert_eq!(took, 0, "{name}");
            assert_eq!(cache.stats().hits - hits, 1000, "{name}: every hit is counted once");
        }
        let stats = cache.stats();
        assert_eq!((stats.loads, stats.waits, stats.flights, stats.misses), (0, 0, 0, 0));
    });
}

/// How many things loads of `keys` may allocate more than reads and writes of the same.
fn assert_one_more<K>(keys: &[K], own: impl Fn(&K) -> K + Copy)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    let cache = || {
        let cache: Cache<K, u64, BuildHasherDefault<DefaultHasher>> =
            Cache::builder().max_capacity(10_000).hasher(BuildHasherDefault::default()).build().unwrap();
        // The table, and what comes with the thread's first calls, are there before the count begins.
        for _ in 0..3 {
            for key in keys {
                cache.get_with(key, || 1);
                at_once(cache.get_with_async(key, async { 1 }));
                cache.insert(own(key), 1);
            }
            keys.iter().for_each(|key| _ = cache.invalidate(key));
            cache.reclaim();
        }
        cache
    };
    let plain = cache();
    let by_hand = allocations(|| {
        for key in keys {
            assert_eq!(plain.get(key), None);
            plain.insert(own(key), 1);
        }
    });
    type Cold<'a, K> = (&'static str, &'a dyn Fn(&Cache<K, u64, BuildHasherDefault<DefaultHasher>>, &K) -> u64);
    let faces: [Cold<K>; 11] = [
        ("get_with", &|cache, key| cache.get_with(key, || 1)),
        ("try_get_with", &|cache, key| cache.try_get_with(key, || Ok::<_, String>(1)).unwrap()),
        ("try_get_with_local", &|cache, key| cache.try_get_with_local(key, || Ok::<_, &str>(1)).unwrap()),
        ("load", &|cache, key| cache.load(key, || Ok::<_, u8>(Loaded::new(1))).unwrap()),
        ("refresh", &|cache, key| cache.refresh(key, || 1)),
        ("get_or_lease", &|cache, key| {
            let Leased::Lease(lease) = cache.get_or_lease(key, None) else { panic!("no lease") };
            lease.fill(1).map(|_| 1).ok().unwrap()
        }),
        ("get_with_async", &|cache, key| at_once(cache.get_with_async(key, async { 1 }))),
        ("try_get_with_async", &|cache, key| at_once(cache.try_get_with_async(key, async { Ok::<_, u8>(1) })).unwrap()),
        ("load_async", &|cache, key| at_once(cache.load_async(key, async { Ok::<_, u8>(Loaded::new(1)) })).unwrap()),
        ("refresh_async", &|cache, key| at_once(cache.refresh_async(key, async { 1 }))),
        ("get_or_lease_async", &|cache, key| {
            let Leased::Lease(lease) = at_once(cache.get_or_lease_async(key)) else { panic!("no lease") };
            lease.fill(1).map(|_| 1).ok().unwrap()
        }),
    ];
    for (name, face) in faces {
        let loaded = cache();
        let loads = loaded.stats().loads;
        let took = allocations(|| keys.iter().for_each(|key| assert_eq!(face(&loaded, key), 1)));
        assert_eq!(loaded.stats().loads - loads, keys.len() as u64, "{name}: every key was cold");
        let most = by_hand + keys.len() as u64;
        assert!(took <= most, "{name}: {took} allocations for {} loads, {by_hand} by hand", keys.len());
    }
}

#[test]
fn a_cold_load_allocates_one_thing_more_than_a_miss_and_an_insert() {
    watched(|| {
        assert_one_more(&(0..1000).collect::<Vec<u64>>(), |key| *key);
        assert_one_more(&(0..1000).map(|key| format!("the key number {key}")).collect::<Vec<_>>(), String::clone);
    });
}

/// Counts its clones.
struct Cloned(u64, Arc<AtomicUsize>);

impl Clone for Cloned {
    fn clone(&self) -> Self {
        self.1.fetch_add(1, SeqCst);
        Cloned(self.0, Arc::clone(&self.1))
    }
}

impl Hash for Cloned {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for Cloned {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Cloned {}

#[test]
fn the_key_is_cloned_for_a_flight_and_for_an_entry_alone() {
    watched(|| {
        let clones = Arc::new(AtomicUsize::new(0));
        let key = Cloned(1, Arc::clone(&clones));
        let since = |before: usize| clones.load(SeqCst) - before;
        let cache = Cache::new(100);
        let mut begun = clones.load(SeqCst);
        let mut at_most = |most: usize, what: &str| {
            assert!(since(begun) <= most, "{what}: {} clones of the key", since(begun));
            begun = clones.load(SeqCst);
        };
        // A flight without an entry.
        assert!(cache.try_get_with(&key, || Err("broken")).is_err());
        at_most(1, "a load that fails");
        let Leased::Lease(lease) = cache.get_or_lease(&key, None) else { panic!("no lease") };
        let (send, loaded) = oneshot();
        at_most(1, "a lease");
        drop(lease);
        at_most(0, "a lease's end");
        {
            let mut leader = Task::new(cache.get_with_async(&key, loaded));
            let mut waiters: Vec<_> = (0..5).map(|_| Task::new(cache.get_with_async(&key, async { 2 }))).collect();
            at_most(0, "futures that were not polled");
            leader.pends();
            at_most(1, "a flight");
            waiters.iter_mut().for_each(Task::pends);
            drop(waiters.pop());
            assert!(matches!(cache.get_or_lease(&key, Some(std::time::Duration::ZERO)), Leased::TimedOut));
            at_most(0, "waiters");
            send.send(1);
            assert_eq!(leader.ends(), 1);
            at_most(1, "an entry");
            waiters.iter_mut().for_each(|waiter| assert_eq!(waiter.ends(), 1));
            at_most(0, "values for waiters");
        }
        (0..10).for_each(|_| assert_eq!(cache.get_with(&key, not_called), 1));
        (0..10).for_each(|_| assert_eq!(at_once(cache.get_with_async(&key, never())), 1));
        at_most(0, "hits");
        assert_eq!(cache.refresh(&key, || 3), 3);
        at_most(2, "a refresh");
    });
}

#[test]
fn readers_keep_the_old_value_while_a_face_reloads_it() {
    watched(|| {
        for face in async_faces::<u64, u64>().iter().filter(|face| face.reloads) {
            let cache = Cache::new(100);
            cache.insert(7, 1);
            let (send, loaded) = oneshot();
            let mut task = Task::new(face.start(&cache, &7, async { Ok(loaded.await) }));
            task.pends();
            assert_eq!((cache.get(&7), cache.stats().flights), (Some(1), 1), "{}", face.name);
            for other in faces().iter().filter(|face| !face.reloads) {
                assert_eq!(other.call(&cache, &7, not_called), Ok(1), "{} during {}", other.name, face.name);
            }
            send.send(2);
            assert_eq!(task.ends(), Ok(2), "{}", face.name);
            let stats = cache.stats();
            assert_eq!((cache.get(&7), stats.loads, stats.waits, stats.flights), (Some(2), 1, 0, 0), "{}", face.name);
        }
    });
}
