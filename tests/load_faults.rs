//! The user's code panics at its n-th call, for every hook and every n, in the middle of loads that others wait for, however they end: the
//! panic reaches one caller, everybody else comes to an end, and nothing is left.

mod common;
mod harness;
#[allow(dead_code, unreachable_pub, reason = "it has hooks for more than loads")]
#[path = "injection/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::Context;
use std::task::Poll;
use std::thread;

use brindle::Cache;
use brindle::Leased;
use brindle::LoadError;

use common::executor::Boxed;
use common::executor::Receiver;
use common::executor::Task;
use common::executor::oneshot;
use common::watched;
use harness::planned;
use harness::survives;
use world::Broken;
use world::Captive;
use world::Hook;
use world::Key;
use world::SomeTime;
use world::Value;
use world::World;

const HOOKS: [Hook; 13] = [
    Hook::Hash,
    Hook::Eq,
    Hook::CloneKey,
    Hook::CloneValue,
    Hook::CloneError,
    Hook::DropKey,
    Hook::DropValue,
    Hook::DropError,
    Hook::DropLoader,
    Hook::Weigher,
    Hook::Create,
    Hook::Update,
    Hook::Listener,
];

/// A loader that has to do with panics itself.
struct Loading {
    /// `None`: it panics.
    loaded: Receiver<Option<Result<Value, Broken>>>,
    _captive: Captive,
}

impl Future for Loading {
    type Output = Result<Value, Broken>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.loaded).poll(context).map(|loaded| loaded.unwrap_or_else(|| planned()))
    }
}

/// What becomes of the first load.
#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    Value,
    Error,
    Panic,
    Cancelled,
    /// It is invalidated before it brings its value.
    Fenced,
    /// Another value is written before it brings its own.
    Written,
}

const ENDS: [End; 6] = [End::Value, End::Error, End::Panic, End::Cancelled, End::Fenced, End::Written];

#[derive(Clone, Copy, PartialEq, Debug)]
enum Leader {
    Task,
    Thread,
    /// A task, of a key that is resident.
    Refresh,
}

type Call = Option<Task<Boxed<'static, ()>>>;

const KEY: u64 = 7;

fn expect(value: &Value) {
    let id = value.id();
    assert!((1..=6).contains(&id), "a value that nobody loaded: {id}");
}

fn expect_any(answer: &Result<Value, LoadError<Broken>>) {
    match answer {
        Ok(value) => expect(value),
        Err(LoadError::Failed(broken)) => assert_eq!(broken.id(), 0),
        Err(_) => panic!("an error of nobody's"),
    }
}

/// Three calls that wait, each with a loader of its own for the case that it takes over.
fn waiters(cache: &Cache<Key, Value>, world: &Arc<World>) -> [Call; 3] {
    let key = || world.key(KEY);
    let own = |id: u64| {
        let world = Arc::clone(world);
        async move { world.value(id) }
    };
    let (cache, first, second, third) = (cache.clone(), own(2), own(3), own(4));
    let (one, two, three) = (key(), key(), key());
    let others = [cache.clone(), cache.clone()];
    let [for_second, for_third] = others;
    let first: Boxed<()> = Box::pin(async move { expect(&cache.get_with_async(&one, first).await) });
    let second: Boxed<()> = Box::pin(async move {
        expect_any(&for_second.try_get_with_async(&two, async { Ok(second.await) }).await);
    });
    let third: Boxed<()> = Box::pin(async move {
        match for_third.get_or_lease_async(&three).await {
            Leased::Value(value) => expect(&value),
            Leased::Lease(lease) => drop(lease.fill(third.await)),
            _ => panic!("neither value nor lease"),
        }
    });
    [first, second, third].map(|future| Some(Task::new(future)))
}

/// Polls a call. One that panics as planned is at its end.
fn poll(call: &mut Call) {
    let Some(task) = call else { return };
    if survives(|| task.poll()).is_none_or(|polled| polled.is_ready()) {
        let _ = survives(|| *call = None);
    }
}

fn end(world: &Arc<World>, end: End) -> Option<Result<Value, Broken>> {
    match end {
        End::Error => Some(Err(world.error())),
        End::Panic => None,
        _ => Some(Ok(world.value(1))),
    }
}

/// What happens to the key while the first load runs.
fn meanwhile(cache: &Cache<Key, Value>, world: &Arc<World>, how: End) {
    let _ = survives(|| match how {
        End::Fenced => drop(cache.invalidate(&world.key(KEY))),
        End::Written => drop(cache.insert(world.key(KEY), world.value(5))),
        _ => (),
    });
}

fn lead_as_task(cache: &Cache<Key, Value>, world: &Arc<World>, leader: Leader, how: End) -> [Call; 3] {
    let (send, loaded) = oneshot();
    let loading = Loading { loaded, _captive: world.captive() };
    let (inside, key) = (cache.clone(), world.key(KEY));
    let mut call: Call = Some(Task::new(Box::pin(async move {
        expect_any(&match leader {
            Leader::Refresh => inside.try_refresh_async(&key, loading).await,
            _ => inside.try_get_with_async(&key, loading).await,
        });
    })));
    poll(&mut call);
    let mut waiting = waiters(cache, world);
    waiting.iter_mut().for_each(poll);
    meanwhile(cache, world, how);
    if how == End::Cancelled {
        let _ = survives(|| call = None);
    } else {
        send.send(end(world, how));
    }
    poll(&mut call);
    assert!(call.is_none(), "the leader waits for nothing");
    waiting
}

fn lead_as_thread(cache: &Cache<Key, Value>, world: &Arc<World>, how: End) -> [Call; 3] {
    let (here, news) = channel();
    let (go, wait) = channel::<()>();
    thread::scope(|scope| {
        let go = go;
        let leading = scope.spawn(move || {
            survives(|| {
                let key = world.key(KEY);
                expect_any(&cache.try_get_with(&key, || {
                    here.send(()).unwrap();
                    wait.recv().unwrap();
                    end(world, how).unwrap_or_else(|| planned())
                }));
            })
        });
        // It has begun, or has panicked before.
        let _ = news.recv();
        let mut waiting = waiters(cache, world);
        waiting.iter_mut().for_each(poll);
        meanwhile(cache, world, how);
        let _ = go.send(());
        leading.join().unwrap();
        waiting
    })
}

fn build(world: &Arc<World>) -> Cache<Key, Value> {
    let (weighing, listening) = (Arc::clone(world), Arc::clone(world));
    let builder = Cache::builder().max_capacity(100).stripes(1).expire_after(SomeTime(Arc::clone(world)));
    let builder = builder.weigher(move |_, _| {
        weighing.call(Hook::Weigher);
        1
    });
    let builder = builder.removal_listener(move |removed| {
        listening.call(Hook::Listener);
        drop(removed);
    });
    builder.build().unwrap()
}

/// One run with one panic. Was there a panic?
fn run(hook: Hook, n: u64, leader: Leader, how: End) -> bool {
    let world = World::new();
    let cache = build(&world);
    if leader == Leader::Refresh {
        cache.insert(world.key(KEY), world.value(6));
    }
    world.arm(hook, n);
    let mut waiting = match leader {
        Leader::Thread => lead_as_thread(&cache, &world, how),
        _ => lead_as_task(&cache, &world, leader, how),
    };
    // Only who was woken runs.
    while let Some(woken) = waiting.iter_mut().find(|call| call.as_ref().is_some_and(Task::is_woken)) {
        poll(woken);
    }
    assert!(waiting.iter().all(Option::is_none), "a call waits for nothing");
    let panicked = world.disarm();
    assert_eq!(cache.stats().flights, 0);
    let key = world.key(KEY);
    expect(&cache.get_with(&key, || world.value(2)));
    cache.invalidate(&key);
    assert_eq!(cache.get_with(&key, || world.value(3)).id(), 3, "the cache is not whole");
    drop((key, waiting));
    cache.reclaim();
    assert_eq!(cache.len(), 1);
    // The compiler loses what a function returns when the drop of a local of that function panics (rust-lang/rust#47949).
    let lost = world.census.alive() - 2;
    assert!(lost == 0 || hook.is_drop() && lost == 1, "{lost} keys, values and errors are left");
    drop(cache);
    assert_eq!(world.census.alive(), lost);
    panicked
}

#[test]
fn a_panic_of_user_code_anywhere_harms_one_caller_alone() {
    watched(|| {
        let mut panics: BTreeMap<Hook, u64> = BTreeMap::new();
        for leader in [Leader::Task, Leader::Thread, Leader::Refresh] {
            for how in ENDS {
                for hook in HOOKS {
                    let mut n = 1;
                    loop {
                        // Told by libtest only if this fails.
                        println!("{hook:?} panics at its call {n}, led by a {leader:?}, ends with {how:?}");
                        if !run(hook, n, leader, how) {
                            break;
                        }
                        *panics.entry(hook).or_default() += 1;
                        n += 1;
                    }
                }
            }
        }
        println!("{panics:?}");
        assert_eq!(panics.len(), HOOKS.len(), "a hook that never panicked: {panics:?}");
    });
}
