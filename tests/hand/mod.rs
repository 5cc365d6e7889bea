//! Loads that a test holds in its hand: tasks polled step by step, loaders that end when the test says so, every face of a load under one name.
#![allow(dead_code, unreachable_pub, unused_imports)]

pub mod batch;
pub mod overtaking;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::Sender;
use std::sync::mpsc::channel;
use std::task::Poll;
use std::task::Waker;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use brindle::Cache;
use brindle::Leased;
use brindle::LoadError;
use brindle::Loaded;

use crate::common::executor;
use crate::common::executor::Boxed;
pub use crate::common::executor::block_on;
pub use overtaking::OVERTAKINGS;

pub type Numbers = Cache<u64, u64>;

pub const NANO: Duration = Duration::from_nanos(1);

pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What went wrong at the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken(pub u32);

/// The payload of a panic that a test wanted.
pub struct Planned;

/// Panics without a word.
pub fn planned() -> ! {
    resume_unwind(Box::new(Planned))
}

/// The answer, or `None` if there was a planned panic; any other panic goes on.
pub fn survives<R>(call: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(answer) => Some(answer),
        Err(panic) if panic.is::<Planned>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// A task that runs when the test polls it, and is cancelled when the test drops it.
pub struct Task<T>(executor::Task<Boxed<'static, T>>);

impl<T> Task<T> {
    pub fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Task(executor::Task::new(Box::pin(future)))
    }

    /// One step; the result if that was the last.
    pub fn poll(&mut self) -> Option<T> {
        match self.0.poll() {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    /// The result of a task that has nothing left to wait for.
    #[track_caller]
    pub fn finish(mut self) -> T {
        self.0.ends()
    }
}

/// What a loader of a task waits for.
pub struct Door<T>(Arc<Mutex<(Option<T>, Option<Waker>)>>);

impl<T> Clone for Door<T> {
    fn clone(&self) -> Self {
        Door(Arc::clone(&self.0))
    }
}

impl<T> Default for Door<T> {
    fn default() -> Self {
        Door(Arc::new(Mutex::new((None, None))))
    }
}

impl<T> Door<T> {
    pub fn give(&self, thing: T) {
        let mut inside = self.0.lock().unwrap();
        inside.0 = Some(thing);
        if let Some(waker) = inside.1.take() {
            drop(inside);
            waker.wake();
        }
    }

    pub async fn take(self) -> T {
        std::future::poll_fn(|context| {
            let mut inside = self.0.lock().unwrap();
            match inside.0.take() {
                Some(thing) => Poll::Ready(thing),
                None => {
                    inside.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// The ways to ask for a value that may have to be loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Face {
    GetWith,
    TryGetWith,
    TryGetWithLocal,
    Load,
    GetOrLease,
    Many,
    GetWithAsync,
    TryGetWithAsync,
    LoadAsync,
    GetOrLeaseAsync,
    ManyAsync,
    Refresh,
    TryRefresh,
    Reload,
    RefreshAsync,
    TryRefreshAsync,
    ReloadAsync,
}

use Face::*;

/// Those that are content with a value that is there.
pub const GETS: [Face; 11] = [
    GetWith,
    TryGetWith,
    TryGetWithLocal,
    Load,
    GetOrLease,
    Many,
    GetWithAsync,
    TryGetWithAsync,
    LoadAsync,
    GetOrLeaseAsync,
    ManyAsync,
];

/// Those that load even so.
pub const RELOADS: [Face; 6] = [Refresh, TryRefresh, Reload, RefreshAsync, TryRefreshAsync, ReloadAsync];

impl Face {
    pub fn is_async(self) -> bool {
        let tasks = [GetWithAsync, TryGetWithAsync, LoadAsync, GetOrLeaseAsync, ManyAsync];
        tasks.contains(&self) || [RefreshAsync, TryRefreshAsync, ReloadAsync].contains(&self)
    }

    /// Hands its caller the right to load instead of calling a loader.
    pub fn leases(self) -> bool {
        matches!(self, GetOrLease | GetOrLeaseAsync)
    }

    /// Its loader may fail, and its caller is told.
    pub fn may_fail(self) -> bool {
        !self.leases() && !matches!(self, GetWith | GetWithAsync | Refresh | RefreshAsync)
    }

    pub fn is_many(self) -> bool {
        matches!(self, Many | ManyAsync)
    }
}

/// The faces of `faces` that are `like` it.
pub fn those(faces: &[Face], like: impl Fn(Face) -> bool) -> Vec<Face> {
    faces.iter().copied().filter(|&face| like(face)).collect()
}

/// What a face answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said {
    Value(u64),
    Failed(u32),
    Elsewhere,
    Reentrant,
    TimedOut,
    Nothing,
}

fn said(answer: Result<u64, LoadError<Broken>>) -> Said {
    match answer {
        Ok(value) => Said::Value(value),
        Err(LoadError::Failed(Broken(number))) => Said::Failed(number),
        Err(LoadError::Elsewhere(_)) => Said::Elsewhere,
        Err(LoadError::Reentrant) => Said::Reentrant,
        Err(_) => Said::Nothing,
    }
}

fn said_one(answer: Result<Vec<Option<u64>>, LoadError<Broken>>) -> Said {
    match answer.map(|values| <[_; 1]>::try_from(values).expect("one answer to one key")) {
        Ok([None]) => Said::Nothing,
        Ok([Some(value)]) => Said::Value(value),
        Err(error) => said(Err(error)),
    }
}

/// The value, or the lease that is filled or failed with what `load` brings.
fn leased(leased: Leased<u64, u64>, load: impl FnOnce() -> Result<u64, Broken>) -> Said {
    match leased {
        Leased::Value(value) => Said::Value(value),
        Leased::Lease(lease) => match load() {
            Ok(value) => {
                // Refused: the answer is the same.
                let _ = lease.fill(value);
                Said::Value(value)
            }
            Err(error) => {
                lease.fail(error);
                Said::Failed(error.0)
            }
        },
        Leased::TimedOut => Said::TimedOut,
        Leased::Reentrant => Said::Reentrant,
        _ => Said::Nothing,
    }
}

const SURE: &str = "this face's loader does not fail";

/// Asks on this thread, and waits if need be.
pub fn ask(face: Face, cache: &Numbers, key: u64, load: impl FnOnce() -> Result<u64, Broken>) -> Said {
    match face {
        GetWith => Said::Value(cache.get_with(&key, || load().expect(SURE))),
        TryGetWith => said(cache.try_get_with(&key, load)),
        TryGetWithLocal => said(cache.try_get_with_local(&key, load)),
        Load => said(cache.load(&key, || load().map(Loaded::new))),
        GetOrLease => leased(cache.get_or_lease(&key, None), load),
        Many => {
            let mut load = Some(load);
            said_one(cache.try_get_many_with([&key], |keys| {
                let value = load.take().expect("called once for one key")()?;
                Ok(keys.into_iter().map(|key| (key, value)).collect::<Vec<_>>())
            }))
        }
        Refresh => Said::Value(cache.refresh(&key, || load().expect(SURE))),
        TryRefresh => said(cache.try_refresh(&key, load)),
        Reload => said(cache.reload(&key, || load().map(Loaded::new))),
        _ => block_on(ask_async(face, cache.clone(), key, async move { load() })),
    }
}

/// Asks as a task.
pub async fn ask_async<F>(face: Face, cache: Numbers, key: u64, load: F) -> Said
where
    F: Future<Output = Result<u64, Broken>>,
{
    match face {
        GetWithAsync => Said::Value(cache.get_with_async(&key, async { load.await.expect(SURE) }).await),
        TryGetWithAsync => said(cache.try_get_with_async(&key, load).await),
        LoadAsync => said(cache.load_async(&key, async { load.await.map(Loaded::new) }).await),
        GetOrLeaseAsync => match cache.get_or_lease_async(&key).await {
            Leased::Lease(lease) => {
                let brought = load.await;
                leased(Leased::Lease(lease), || brought)
            }
            other => leased(other, || unreachable!()),
        },
        ManyAsync => {
            let mut load = Some(load);
            let one = |keys: Vec<u64>| {
                let load = load.take().expect("called once for one key");
                async move {
                    let value = load.await?;
                    Ok(keys.into_iter().map(|key| (key, value)).collect::<Vec<_>>())
                }
            };
            said_one(cache.try_get_many_with_async([&key], one).await)
        }
        RefreshAsync => Said::Value(cache.refresh_async(&key, async { load.await.expect(SURE) }).await),
        TryRefreshAsync => said(cache.try_refresh_async(&key, load).await),
        ReloadAsync => said(cache.reload_async(&key, async { load.await.map(Loaded::new) }).await),
        _ => panic!("{face:?} is no face of a task"),
    }
}

/// A call whose answer is there at once: fails where it waits or loads, while somebody else's load of the key is in flight.
#[track_caller]
pub fn at_once(face: Face, cache: &Numbers, key: u64) -> Said {
    let no_load = move || -> Result<u64, Broken> { panic!("{face:?} loads") };
    if face.is_async() {
        let answer = Task::new(ask_async(face, cache.clone(), key, async move { no_load() })).poll();
        return answer.unwrap_or_else(|| panic!("{face:?} waits"));
    }
    let (waits, here) = (cache.stats().waits, cache.clone());
    let asking = thread::spawn(move || ask(face, &here, key, no_load));
    while !asking.is_finished() {
        // A thread that waits for ever is left where it is.
        assert_eq!(cache.stats().waits, waits, "{face:?} waits");
        thread::yield_now();
    }
    joined(asking)
}

/// Every face that is content with what is there has this answer at once.
#[track_caller]
pub fn all_at_once(cache: &Numbers, key: u64, expected: Said, context: impl std::fmt::Display) {
    for face in GETS {
        assert_eq!(at_once(face, cache, key), expected, "{face:?}, {context}");
    }
}

fn joined<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// A load in flight, until the test ends it.
pub enum Leader {
    Thread(JoinHandle<Said>, Sender<Option<Result<u64, Broken>>>),
    Task(Task<Said>, Door<Option<Result<u64, Broken>>>),
}

impl Leader {
    /// Returns when the loader runs.
    #[track_caller]
    pub fn start(face: Face, cache: &Numbers, key: u64) -> Self {
        let cache = cache.clone();
        if face.is_async() {
            let (begun, door) = (Door::default(), Door::<Option<Result<u64, Broken>>>::default());
            let (begins, inside) = (begun.clone(), door.clone());
            let load = async move {
                begins.give(());
                inside.take().await.unwrap_or_else(|| planned())
            };
            let mut task = Task::new(ask_async(face, cache, key, load));
            assert_eq!(task.poll(), None, "{face:?} does not load");
            Task::new(begun.take()).finish();
            return Leader::Task(task, door);
        }
        let (begins, begun) = channel();
        let (give, take) = channel::<Option<Result<u64, Broken>>>();
        let load = move || {
            begins.send(()).unwrap();
            take.recv().unwrap().unwrap_or_else(|| planned())
        };
        let thread = thread::spawn(move || ask(face, &cache, key, load));
        begun.recv().unwrap_or_else(|_| panic!("{face:?} does not load"));
        Leader::Thread(thread, give)
    }

    /// What its caller gets when the loader brings `what`.
    #[track_caller]
    pub fn end(self, what: Result<u64, Broken>) -> Said {
        match self {
            Leader::Thread(thread, give) => {
                give.send(Some(what)).unwrap();
                joined(thread)
            }
            Leader::Task(task, door) => {
                door.give(Some(what));
                task.finish()
            }
        }
    }

    /// The loader panics, and its caller is unwound.
    #[track_caller]
    pub fn panic(self) {
        let answer = match self {
            Leader::Thread(thread, give) => {
                give.send(None).unwrap();
                survives(|| joined(thread))
            }
            Leader::Task(task, door) => {
                door.give(None);
                survives(|| task.finish())
            }
        };
        assert_eq!(answer, None, "the panic reaches the leader");
    }

    /// The task is dropped; a thread cannot be.
    pub fn cancel(self) {
        match self {
            Leader::Thread(..) => panic!("a thread cannot be cancelled"),
            Leader::Task(task, _) => drop(task),
        }
    }
}

/// Callers who wait for a load in flight.
pub struct Crowd {
    tasks: Vec<(Face, Task<Said>)>,
    threads: Vec<(Face, JoinHandle<Said>)>,
}

impl Crowd {
    /// One caller of each of the faces: returns when all wait, fails where one does not. One that takes over brings `own`.
    #[track_caller]
    pub fn gather(cache: &Numbers, key: u64, faces: &[Face], own: Result<u64, Broken>) -> Self {
        let mut crowd = Crowd { tasks: Vec::new(), threads: Vec::new() };
        for &face in faces {
            let (before, here) = (cache.stats().waits, cache.clone());
            if face.is_async() {
                let mut task = Task::new(ask_async(face, here, key, async move { own }));
                assert_eq!(task.poll(), None, "{face:?} does not wait");
                crowd.tasks.push((face, task));
            } else {
                let thread = thread::spawn(move || ask(face, &here, key, || own));
                while cache.stats().waits == before {
                    assert!(!thread.is_finished(), "{face:?} does not wait, gets {:?}", thread.join());
                    thread::yield_now();
                }
                crowd.threads.push((face, thread));
            }
        }
        crowd
    }

    /// Fails if anybody has an answer already.
    #[track_caller]
    pub fn still_waits(&mut self) {
        for (face, task) in &mut self.tasks {
            assert_eq!(task.poll(), None, "{face:?} does not wait any more");
        }
        for (face, thread) in &self.threads {
            assert!(!thread.is_finished(), "{face:?} does not wait any more");
        }
    }

    /// What they all got, in the end. Tasks are polled until each has its answer, since one may take over after another.
    pub fn answers(self) -> Vec<(Face, Said)> {
        let Crowd { mut tasks, threads } = self;
        let mut answers = Vec::new();
        while !tasks.is_empty() {
            tasks.retain_mut(|(face, task)| match task.poll() {
                Some(answer) => {
                    answers.push((*face, answer));
                    false
                }
                None => true,
            });
            thread::yield_now();
        }
        answers.extend(threads.into_iter().map(|(face, thread)| (face, joined(thread))));
        answers
    }

    #[track_caller]
    pub fn all_get(self, expected: Said) {
        for (face, answer) in self.answers() {
            assert_eq!(answer, expected, "{face:?}");
        }
    }
}
