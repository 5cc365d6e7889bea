//! The user's code panics at its n-th call, for every hook and every n, in the middle of loads that others wait for, however they end: the
//! panic reaches one caller, everybody else comes to an end, and nothing is left.

mod common;
mod harness;

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::Hash;
use std::hash::Hasher;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::task::Context;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use brindle::Cache;
use brindle::Expiry;
use brindle::Leased;
use brindle::LoadError;

use common::Census;
use common::Counted;
use common::executor::Boxed;
use common::executor::Receiver;
use common::executor::Task;
use common::executor::oneshot;
use common::watched;
use harness::planned;
use harness::planned_in_drop;
use harness::survives;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Hook {
    Hash,
    Eq,
    CloneKey,
    CloneValue,
    CloneError,
    DropKey,
    DropValue,
    DropError,
    /// The loader itself goes.
    DropLoader,
    Weigher,
    Expiry,
    Listener,
}

const HOOKS: [Hook; 12] = [
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
    Hook::Expiry,
    Hook::Listener,
];

impl Hook {
    fn is_drop(self) -> bool {
        matches!(self, Hook::DropKey | Hook::DropValue | Hook::DropError | Hook::DropLoader)
    }
}

#[derive(Default)]
struct State {
    /// The hook that panics, and at which of its calls from now on.
    armed: Option<(Hook, u64)>,
    panicked: bool,
}

#[derive(Clone, Default)]
struct World {
    state: Arc<Mutex<State>>,
    /// Keys, values and errors alive.
    census: Census,
}

impl World {
    fn is_due(&self, hook: Hook) -> bool {
        let mut state = self.state.lock().expect("nothing panics while it is locked");
        let Some((_, left)) = state.armed.as_mut().filter(|(armed, _)| *armed == hook) else { return false };
        *left = left.saturating_sub(1);
        if *left > 0 || thread::panicking() {
            return false;
        }
        state.armed = None;
        state.panicked = true;
        true
    }

    fn call(&self, hook: Hook) {
        if self.is_due(hook) {
            planned();
        }
    }

    fn call_in_drop(&self, hook: Hook) {
        if self.is_due(hook) {
            planned_in_drop();
        }
    }

    fn thing<const KIND: usize>(&self, id: u64) -> Thing<KIND> {
        Thing { counted: self.census.value(id), world: self.clone() }
    }
}

/// Three kinds of things that panic when they are cloned and dropped.
struct Thing<const KIND: usize> {
    counted: Counted,
    world: World,
}

type Key = Thing<0>;
type Value = Thing<1>;
type Broken = Thing<2>;

const CLONES: [Hook; 3] = [Hook::CloneKey, Hook::CloneValue, Hook::CloneError];
const DROPS: [Hook; 3] = [Hook::DropKey, Hook::DropValue, Hook::DropError];

impl<const KIND: usize> Clone for Thing<KIND> {
    fn clone(&self) -> Self {
        self.world.call(CLONES[KIND]);
        self.world.thing(self.counted.id())
    }
}

impl<const KIND: usize> Drop for Thing<KIND> {
    fn drop(&mut self) {
        self.world.call_in_drop(DROPS[KIND]);
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.world.call(Hook::Hash);
        self.counted.id().hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.world.call(Hook::Eq);
        self.counted.id() == other.counted.id()
    }
}

impl Eq for Key {}

struct SomeTime(World);

impl Expiry<Key, Value> for SomeTime {
    fn after_create(&self, _: &Key, _: &Value) -> Option<Duration> {
        self.0.call(Hook::Expiry);
        Some(Duration::from_secs(1_000_000))
    }
}

/// A loader that has to do with panics itself.
struct Loading {
    /// `None`: it panics.
    loaded: Receiver<Option<Result<Value, Broken>>>,
    world: World,
}

impl Future for Loading {
    type Output = Result<Value, Broken>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.loaded).poll(context).map(|loaded| loaded.unwrap_or_else(|| planned()))
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        self.world.call_in_drop(Hook::DropLoader);
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
    let id = value.counted.id();
    assert!((1..=6).contains(&id), "a value that nobody loaded: {id}");
}

fn expect_any(answer: &Result<Value, LoadError<Broken>>) {
    match answer {
        Ok(value) => expect(value),
        Err(LoadError::Failed(broken)) => assert_eq!(broken.counted.id(), 9),
        Err(_) => panic!("an error of nobody's"),
    }
}

/// Three calls that wait, each with a loader of its own for the case that it takes over.
fn waiters(cache: &Cache<Key, Value>, world: &World) -> [Call; 3] {
    let key = || world.thing::<0>(KEY);
    let own = |id: u64| {
        let world = world.clone();
        async move { world.thing::<1>(id) }
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

fn end(world: &World, end: End) -> Option<Result<Value, Broken>> {
    match end {
        End::Error => Some(Err(world.thing(9))),
        End::Panic => None,
        _ => Some(Ok(world.thing(1))),
    }
}

/// What happens to the key while the first load runs.
fn meanwhile(cache: &Cache<Key, Value>, world: &World, how: End) {
    let _ = survives(|| match how {
        End::Fenced => drop(cache.invalidate(&world.thing::<0>(KEY))),
        End::Written => drop(cache.insert(world.thing(KEY), world.thing(5))),
        _ => (),
    });
}

fn lead_as_task(cache: &Cache<Key, Value>, world: &World, leader: Leader, how: End) -> [Call; 3] {
    let (send, loaded) = oneshot();
    let loading = Loading { loaded, world: world.clone() };
    let (inside, key) = (cache.clone(), world.thing::<0>(KEY));
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

fn lead_as_thread(cache: &Cache<Key, Value>, world: &World, how: End) -> [Call; 3] {
    let (here, news) = channel();
    let (go, wait) = channel::<()>();
    thread::scope(|scope| {
        let go = go;
        let leading = scope.spawn(move || {
            survives(|| {
                let key = world.thing::<0>(KEY);
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

fn build(world: &World) -> Cache<Key, Value> {
    let (weighing, listening) = (world.clone(), world.clone());
    let builder = Cache::builder().max_capacity(100).stripes(1).expire_after(SomeTime(world.clone()));
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
    let world = World::default();
    let cache = build(&world);
    if leader == Leader::Refresh {
        cache.insert(world.thing(KEY), world.thing(6));
    }
    world.state.lock().unwrap().armed = Some((hook, n));
    let mut waiting = match leader {
        Leader::Thread => lead_as_thread(&cache, &world, how),
        _ => lead_as_task(&cache, &world, leader, how),
    };
    // Only who was woken runs.
    while let Some(woken) = waiting.iter_mut().find(|call| call.as_ref().is_some_and(Task::is_woken)) {
        poll(woken);
    }
    assert!(waiting.iter().all(Option::is_none), "a call waits for nothing");
    world.state.lock().unwrap().armed = None;
    assert_eq!(cache.stats().flights, 0);
    let key = world.thing::<0>(KEY);
    expect(&cache.get_with(&key, || world.thing(2)));
    cache.invalidate(&key);
    assert_eq!(cache.get_with(&key, || world.thing(3)).counted.id(), 3, "the cache is not whole");
    drop((key, waiting));
    cache.reclaim();
    assert_eq!(cache.len(), 1);
    // The compiler loses what a function returns when the drop of a local of that function panics (rust-lang/rust#47949).
    let lost = world.census.alive() - 2;
    assert!(lost == 0 || hook.is_drop() && lost == 1, "{lost} keys, values and errors are left");
    drop(cache);
    assert_eq!(world.census.alive(), lost);
    let state = world.state.lock().unwrap();
    state.panicked
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
