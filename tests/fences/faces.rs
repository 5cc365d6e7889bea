//! Every load of the public face behind one call, for tables: a way to load, a load that is held open, and how it ends.
#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part of it")]

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::hash::BuildHasher;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::thread;
use std::thread::JoinHandle;

use brindle::Cache;
use brindle::Lease;
use brindle::Leased;
use brindle::LoadError;
use brindle::Loaded;
use brindle::Unfilled;
use brindle::WhyUnfilled;

use crate::common::executor::Boxed;
use crate::common::executor::Sender;
use crate::common::executor::Task;
use crate::common::executor::oneshot;

/// A method that loads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Face {
    GetWith,
    TryGetWith,
    /// Whose error has no bound. For threads alone.
    TryGetWithLocal,
    Load,
    Refresh,
    TryRefresh,
    Reload,
    Lease,
    /// `try_get_many_with`, for one key.
    Many,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum On {
    Thread,
    Task,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Way {
    pub face: Face,
    pub on: On,
}

const FACES: [Face; 9] = [
    Face::GetWith,
    Face::TryGetWith,
    Face::TryGetWithLocal,
    Face::Load,
    Face::Refresh,
    Face::TryRefresh,
    Face::Reload,
    Face::Lease,
    Face::Many,
];

/// All of them.
pub fn ways() -> Vec<Way> {
    let on = |on| FACES.map(|face| Way { face, on });
    let both = on(On::Thread).into_iter().chain(on(On::Task));
    both.filter(|way| *way != Way { face: Face::TryGetWithLocal, on: On::Task }).collect()
}

/// Those that load though the key is resident.
pub fn reloading() -> Vec<Way> {
    ways().into_iter().filter(|way| way.reloads()).collect()
}

/// The n-th of some, over and over.
pub fn pick(ways: &[Way], n: usize) -> Way {
    ways[n % ways.len()]
}

impl Way {
    pub fn reloads(self) -> bool {
        matches!(self.face, Face::Refresh | Face::TryRefresh | Face::Reload)
    }

    pub fn can_fail(self) -> bool {
        !matches!(self.face, Face::GetWith | Face::Refresh)
    }

    pub fn can_be_cancelled(self) -> bool {
        self.on == On::Task || self.face == Face::Lease
    }

    /// Every end that a load of this kind may come to.
    pub fn ends<V>(self, value: V) -> Vec<End<V>> {
        let mut ends = vec![End::Value(value), End::Panic];
        if self.can_fail() {
            ends.push(End::Fail);
        }
        if self.can_be_cancelled() {
            ends.push(End::Cancel);
        }
        ends
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} on a {:?}", self.face, self.on)
    }
}

/// How a held load ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End<V> {
    Value(V),
    Fail,
    Panic,
    /// The future is dropped, or the lease is.
    Cancel,
}

/// Why a loader brings nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    Fail,
    GiveUp,
}

/// What the loaders fail with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken;

/// What a call came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer<V> {
    Value(V),
    /// A lease that could not be filled.
    Unfilled(V, WhyUnfilled),
    Failed,
    Panicked,
    Cancelled,
    Reentrant,
    TimedOut,
}

impl<V> Answer<V> {
    #[track_caller]
    pub fn value(self) -> V {
        match self {
            Answer::Value(value) => value,
            Answer::Unfilled(_, why) => panic!("an unfilled lease: {why:?}"),
            Answer::Failed => panic!("an error"),
            Answer::Panicked => panic!("a panic"),
            Answer::Cancelled | Answer::Reentrant | Answer::TimedOut => panic!("no value"),
        }
    }
}

/// An error type without any bound: neither `Clone` nor `Sync`.
struct Bare(#[allow(dead_code)] Cell<u8>);

/// The payload of a panic that a test wanted; says nothing on the standard error output.
pub struct Planned;

pub fn planned() -> ! {
    resume_unwind(Box::new(Planned))
}

/// The answer, unless there was a planned panic; any other goes on.
pub fn survives<V>(call: impl FnOnce() -> Answer<V>) -> Answer<V> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(answer) => answer,
        Err(panic) if panic.is::<Planned>() => Answer::Panicked,
        Err(panic) => resume_unwind(panic),
    }
}

fn value_or_panic<V>(loaded: Result<V, Stop>) -> V {
    loaded.unwrap_or_else(|_| planned())
}

fn broken<V>(loaded: Result<V, Stop>) -> Result<V, Broken> {
    loaded.map_err(|_| Broken)
}

fn answer<V, E>(result: Result<V, LoadError<E>>) -> Answer<V> {
    match result {
        Ok(value) => Answer::Value(value),
        Err(LoadError::Reentrant) => Answer::Reentrant,
        Err(_) => Answer::Failed,
    }
}

fn fill<K: Hash + Eq + Clone, V: Clone>(lease: Lease<K, V>, loaded: Result<V, Stop>) -> Answer<V> {
    match loaded {
        Ok(value) => match lease.fill(value.clone()) {
            Ok(_) => Answer::Value(value),
            Err(Unfilled { value, why, .. }) => Answer::Unfilled(value, why),
        },
        Err(Stop::Fail) => {
            lease.fail(Broken);
            Answer::Failed
        }
        Err(Stop::GiveUp) => Answer::Cancelled,
    }
}

/// `Ok` is the lease.
fn granted<K, V>(leased: Leased<K, V>) -> Result<Lease<K, V>, Answer<V>> {
    match leased {
        Leased::Lease(lease) => Ok(lease),
        Leased::Value(value) => Err(Answer::Value(value)),
        Leased::TimedOut => Err(Answer::TimedOut),
        _ => Err(Answer::Reentrant),
    }
}

/// A call loads one key at most once for itself.
const ONCE: &str = "asked to load once";

fn bring<K: Clone, V>(keys: Vec<K>, loaded: Result<V, Stop>) -> Result<Option<(K, V)>, Broken> {
    assert_eq!(keys.len(), 1);
    broken(loaded.map(|value| Some((keys[0].clone(), value))))
}

fn first<V>(result: Result<Vec<Option<V>>, LoadError<Broken>>) -> Answer<V> {
    answer(result.map(|mut values| values.pop().flatten().expect("the loader brought it")))
}

/// Calls a method on this thread. A loader that fails where the method knows no error panics. Panics pass.
pub fn call<K, V, S>(cache: &Cache<K, V, S>, face: Face, key: &K, load: impl FnOnce() -> Result<V, Stop>) -> Answer<V>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
{
    match face {
        Face::GetWith => Answer::Value(cache.get_with(key, || value_or_panic(load()))),
        Face::TryGetWith => answer(cache.try_get_with(key, || broken(load()))),
        Face::TryGetWithLocal => answer(cache.try_get_with_local(key, || load().map_err(|_| Bare(Cell::new(1))))),
        Face::Load => answer(cache.load(key, || broken(load().map(Loaded::from)))),
        Face::Refresh => Answer::Value(cache.refresh(key, || value_or_panic(load()))),
        Face::TryRefresh => answer(cache.try_refresh(key, || broken(load()))),
        Face::Reload => answer(cache.reload(key, || broken(load().map(Loaded::from)))),
        Face::Lease => granted(cache.get_or_lease(key, None)).map_or_else(|other| other, |lease| fill(lease, load())),
        Face::Many => {
            let mut load = Some(load);
            first(cache.try_get_many_with([key], |keys| bring(keys, (load.take().expect(ONCE))())))
        }
    }
}

/// The same as a future, which owns what it needs.
pub fn future<K, V, S>(
    cache: &Cache<K, V, S>,
    face: Face,
    key: K,
    load: impl Future<Output = Result<V, Stop>> + Send + 'static,
) -> Boxed<'static, Answer<V>>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: BuildHasher + Clone + Send + Sync + 'static,
{
    let cache = cache.clone();
    Box::pin(async move {
        match face {
            Face::GetWith => Answer::Value(cache.get_with_async(&key, async { value_or_panic(load.await) }).await),
            Face::TryGetWith => answer(cache.try_get_with_async(&key, async { broken(load.await) }).await),
            Face::TryGetWithLocal => unreachable!("for threads alone"),
            Face::Load => answer(cache.load_async(&key, async { broken(load.await.map(Loaded::from)) }).await),
            Face::Refresh => Answer::Value(cache.refresh_async(&key, async { value_or_panic(load.await) }).await),
            Face::TryRefresh => answer(cache.try_refresh_async(&key, async { broken(load.await) }).await),
            Face::Reload => answer(cache.reload_async(&key, async { broken(load.await.map(Loaded::from)) }).await),
            Face::Lease => match granted(cache.get_or_lease_async(&key).await) {
                Ok(lease) => fill(lease, load.await),
                Err(other) => other,
            },
            Face::Many => {
                let mut load = Some(load);
                let bring = |keys| {
                    let load = load.take().expect(ONCE);
                    async move { bring(keys, load.await) }
                };
                first(cache.try_get_many_with_async([&key], bring).await)
            }
        }
    })
}

type Work<V> = Task<Boxed<'static, Answer<V>>>;

enum Doing<V> {
    Thread(JoinHandle<Answer<V>>),
    Task(Work<V>),
    Over(Answer<V>),
}

/// A call that was made, whose loader, if it runs, waits to be told how to end.
pub struct Held<V> {
    way: Way,
    doing: Doing<V>,
    /// Has the loader begun?
    begun: Arc<AtomicBool>,
    end: Option<Sender<End<V>>>,
}

fn poll<V>(task: &mut Work<V>) -> Option<Answer<V>> {
    let polled = catch_unwind(AssertUnwindSafe(|| task.poll()));
    match polled {
        Ok(Poll::Ready(answer)) => Some(answer),
        Ok(Poll::Pending) => None,
        Err(panic) if panic.is::<Planned>() => Some(Answer::Panicked),
        Err(panic) => resume_unwind(panic),
    }
}

fn come_to<V>(end: End<V>) -> Result<V, Stop> {
    match end {
        End::Value(value) => Ok(value),
        End::Fail => Err(Stop::Fail),
        End::Panic => planned(),
        End::Cancel => Err(Stop::GiveUp),
    }
}

impl<V: Clone + Send + Sync + 'static> Held<V> {
    /// Makes the call; what comes of it is for others to find out.
    pub fn call<K, S>(cache: &Cache<K, V, S>, way: Way, key: K) -> Self
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        S: BuildHasher + Clone + Send + Sync + 'static,
    {
        let (end, told) = oneshot();
        let begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&begun);
        let doing = match way.on {
            On::Thread => {
                let cache = cache.clone();
                let load = move || {
                    begins.store(true, SeqCst);
                    come_to(told.wait())
                };
                Doing::Thread(thread::spawn(move || survives(|| call(&cache, way.face, &key, load))))
            }
            On::Task => {
                let load = async move {
                    begins.store(true, SeqCst);
                    come_to(told.await)
                };
                let mut task = Task::new(future(cache, way.face, key, load));
                poll(&mut task).map_or(Doing::Task(task), Doing::Over)
            }
        };
        Held { way, doing, begun, end: Some(end) }
    }

    /// A call that must load for itself, at once.
    #[track_caller]
    pub fn open<K, S>(cache: &Cache<K, V, S>, way: Way, key: K) -> Self
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        S: BuildHasher + Clone + Send + Sync + 'static,
    {
        let joined = cache.stats().waits;
        let mut held = Self::call(cache, way, key);
        while !held.has_begun() {
            assert!(!held.is_over() || held.has_begun(), "{way}: answered without a load of its own");
            assert!(cache.stats().waits == joined, "{way}: joined another's load");
            thread::yield_now();
        }
        held
    }

    /// A call that must wait for the load of another.
    #[track_caller]
    pub fn join<K, S>(cache: &Cache<K, V, S>, way: Way, key: K) -> Self
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        S: BuildHasher + Clone + Send + Sync + 'static,
    {
        let joined = cache.stats().waits;
        let mut held = Self::call(cache, way, key);
        while cache.stats().waits == joined {
            assert!(!held.has_begun(), "{way}: began a load of its own");
            assert!(!held.is_over(), "{way}: answered without waiting");
            thread::yield_now();
        }
        held
    }

    pub fn has_begun(&self) -> bool {
        self.begun.load(SeqCst)
    }

    /// Waits until its own loader runs: it has taken over.
    #[track_caller]
    pub fn begins(&mut self) {
        while !self.has_begun() {
            self.step();
            assert!(!self.is_over() || self.has_begun(), "{}: answered without a load of its own", self.way);
            thread::yield_now();
        }
    }

    /// Polls the task if it was woken.
    fn step(&mut self) {
        if let Doing::Task(task) = &mut self.doing
            && task.is_woken()
            && let Some(answer) = poll(task)
        {
            self.doing = Doing::Over(answer);
        }
    }

    pub fn is_over(&mut self) -> bool {
        self.step();
        match &self.doing {
            Doing::Thread(thread) => thread.is_finished(),
            Doing::Task(_) => false,
            Doing::Over(_) => true,
        }
    }

    /// Is it still waiting for another? Sure for tasks; a thread may be on its way.
    pub fn waits(&mut self) -> bool {
        !self.is_over() && !self.has_begun()
    }

    /// Says how the loader is to end, now or when it runs.
    pub fn tell(&mut self, end: End<V>) {
        self.end.take().expect("told once").send(end);
    }

    /// Waits for the end of the call. A task moves only if it is woken.
    pub fn answer(mut self) -> Answer<V> {
        loop {
            self.step();
            match self.doing {
                Doing::Thread(thread) => return thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Doing::Over(answer) => return answer,
                Doing::Task(_) => thread::yield_now(),
            }
        }
    }

    pub fn end(mut self, end: End<V>) -> Answer<V> {
        if matches!(end, End::Cancel) && self.way.on == On::Task {
            return Answer::Cancelled;
        }
        self.tell(end);
        self.answer()
    }
}
