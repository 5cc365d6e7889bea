//! Write-throughs that a test holds in its hand: on a thread or as a task, whose write to the source ends when and how the test says.
#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part of it")]

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::task::Poll;
use std::thread;
use std::thread::JoinHandle;

use brindle::Builder;
use brindle::Cache;
use brindle::EntryRef;
use brindle::Loaded;
use brindle::Version;
use brindle::WhileWriting;
use brindle::WriteError;

use crate::common::executor::Boxed;
use crate::common::executor::Sender;
use crate::common::executor::Task;
use crate::common::executor::oneshot;
use crate::faces::On;
use crate::faces::Planned;
use crate::faces::planned;

pub type Numbers = Cache<u64, u64>;

pub const KEY: u64 = 7;
/// What is there before the write.
pub const FIRST: u64 = 1;
/// What a load brings.
pub const LOADED: u64 = 2;
/// What the write brings.
pub const WRITTEN: u64 = 3;
/// What others write meanwhile.
pub const THEIRS: u64 = 4;

pub const ON: [On; 2] = [On::Thread, On::Task];
pub const MEANWHILE: [WhileWriting; 2] = [WhileWriting::ServeOld, WhileWriting::Miss];

pub fn builder(meanwhile: WhileWriting) -> Builder<u64, u64> {
    Cache::builder().max_capacity(1_000).stripes(1).while_writing(meanwhile)
}

/// With the key in it, or not.
pub fn prepare(meanwhile: WhileWriting, there: bool) -> Numbers {
    let cache = builder(meanwhile).build().unwrap();
    there.then(|| cache.insert(KEY, FIRST));
    cache
}

/// What reads find while the write runs.
pub fn served(meanwhile: WhileWriting, there: bool) -> Option<u64> {
    (there && meanwhile == WhileWriting::ServeOld).then_some(FIRST)
}

/// How a write to the source ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finish {
    Value(Loaded<u64>),
    Fail,
    Panic,
    /// The future is dropped. For tasks alone.
    Cancel,
}

/// It goes well, and the source gives no version.
pub const fn well(value: u64) -> Finish {
    Finish::Value(Loaded { value, source: None, ttl: None })
}

/// The same, and the source does.
pub const fn well_at(value: u64, source: u64) -> Finish {
    Finish::Value(Loaded { value, source: Some(source), ttl: None })
}

/// The ends to which nothing is written.
pub fn failures(on: On) -> Vec<Finish> {
    match on {
        On::Thread => vec![Finish::Fail, Finish::Panic],
        On::Task => vec![Finish::Fail, Finish::Panic, Finish::Cancel],
    }
}

/// Neither `Clone` nor anything else.
#[derive(Debug)]
pub struct Refused;

/// What a call came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrote {
    Stored(Version),
    /// The source has it, and the cache has not.
    NotStored,
    Failed,
    Panicked,
    Cancelled,
    Reentrant,
}

pub fn wrote<E>(result: Result<Option<Version>, WriteError<E>>) -> Wrote {
    match result {
        Ok(Some(version)) => Wrote::Stored(version),
        Ok(None) => Wrote::NotStored,
        Err(WriteError::Failed(_)) => Wrote::Failed,
        Err(WriteError::Reentrant) => Wrote::Reentrant,
        Err(_) => panic!("an error that nobody knows"),
    }
}

/// A planned panic is an answer, any other goes on.
pub fn caught<T>(call: impl FnOnce() -> T, panicked: T) -> T {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(answer) => answer,
        Err(panic) if panic.is::<Planned>() => panicked,
        Err(panic) => resume_unwind(panic),
    }
}

fn come_to(finish: Finish) -> Result<Loaded<u64>, Refused> {
    match finish {
        Finish::Value(loaded) => Ok(loaded),
        Finish::Fail => Err(Refused),
        Finish::Panic => planned(),
        Finish::Cancel => panic!("a thread cannot be cancelled"),
    }
}

/// A whole write-through that does not wait for the test.
pub fn through(cache: &Numbers, on: On, key: u64, finish: Finish) -> Wrote {
    Writing::call(cache, on, key).end(finish)
}

/// The entry as the write was told of it.
pub type Current = Option<(u64, Version)>;

fn current(entry: Option<EntryRef<u64, u64>>) -> Current {
    entry.map(|entry| (*entry, entry.version()))
}

enum Doing {
    /// And where the system tells its state.
    Thread(JoinHandle<Wrote>, PathBuf),
    Task(Task<Boxed<'static, Wrote>>),
    Over(Wrote),
}

/// A write-through that was called.
pub struct Writing {
    pub on: On,
    doing: Doing,
    told: Arc<Mutex<Option<Current>>>,
    end: Option<Sender<Finish>>,
}

fn poll(task: &mut Task<Boxed<'static, Wrote>>) -> Option<Wrote> {
    let polled = caught(|| task.poll(), Poll::Ready(Wrote::Panicked));
    if let Poll::Ready(answer) = polled { Some(answer) } else { None }
}

impl Writing {
    /// Makes the call; what comes of it is for others to find out.
    pub fn call(cache: &Numbers, on: On, key: u64) -> Self {
        let (end, finish) = oneshot();
        let told: Arc<Mutex<Option<Current>>> = Arc::default();
        let (telling, cache) = (Arc::clone(&told), cache.clone());
        let begin = move |entry| {
            let before = telling.lock().unwrap().replace(current(entry));
            assert!(before.is_none(), "the write was called twice");
        };
        let doing = match on {
            On::Thread => {
                let (tell, place) = channel();
                let thread = thread::spawn(move || {
                    let write = |entry| {
                        begin(entry);
                        come_to(finish.wait())
                    };
                    tell.send(std::fs::read_link("/proc/thread-self").unwrap_or_default()).unwrap();
                    caught(|| wrote(cache.write_through(key, write)), Wrote::Panicked)
                });
                Doing::Thread(thread, PathBuf::from("/proc").join(place.recv().unwrap()).join("stat"))
            }
            On::Task => {
                let write = move |entry| {
                    begin(entry);
                    async move { come_to(finish.await) }
                };
                let mut task: Task<Boxed<'static, Wrote>> =
                    Task::new(Box::pin(async move { wrote(cache.write_through_async(key, write).await) }));
                poll(&mut task).map_or(Doing::Task(task), Doing::Over)
            }
        };
        Writing { on, doing, told, end: Some(end) }
    }

    /// A call whose turn comes at once.
    #[track_caller]
    pub fn open(cache: &Numbers, on: On, key: u64) -> Self {
        let mut writing = Self::call(cache, on, key);
        writing.begins();
        writing
    }

    /// A call that must wait for its turn. A thread has lined up when it sleeps.
    #[track_caller]
    pub fn queue(cache: &Numbers, on: On, key: u64) -> Self {
        let mut writing = Self::call(cache, on, key);
        while !writing.sleeps() {
            assert!(!writing.has_begun(), "it has begun, though it is not its turn");
            thread::yield_now();
        }
        assert!(writing.waits(), "it has begun, though it is not its turn");
        writing
    }

    /// Does it not run at present? Where nobody can tell, it is taken to have come as far as it can.
    fn sleeps(&self) -> bool {
        let Doing::Thread(_, place) = &self.doing else { return true };
        match std::fs::read_to_string(place) {
            // After the thread's name, which is in parentheses: its state.
            Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S')),
            Err(_) => {
                (0..10_000).for_each(|_| thread::yield_now());
                true
            }
        }
    }

    pub fn has_begun(&self) -> bool {
        self.told.lock().unwrap().is_some()
    }

    /// Waits until the write to the source runs.
    #[track_caller]
    pub fn begins(&mut self) {
        while !self.has_begun() {
            self.step();
            assert!(!self.is_over() || self.has_begun(), "it came to its end without its turn");
            thread::yield_now();
        }
    }

    /// What the write was told of the entry.
    #[track_caller]
    pub fn current(&self) -> Current {
        self.told.lock().unwrap().expect("the write has begun")
    }

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
            Doing::Thread(thread, _) => thread.is_finished(),
            Doing::Task(_) => false,
            Doing::Over(_) => true,
        }
    }

    /// Is it not its turn yet?
    pub fn waits(&mut self) -> bool {
        !self.is_over() && !self.has_begun()
    }

    /// Was the task woken since it was polled last?
    pub fn is_woken(&self) -> bool {
        matches!(&self.doing, Doing::Task(task) if task.is_woken())
    }

    /// Says how the write is to end, now or when it runs.
    pub fn tell(&mut self, finish: Finish) {
        self.end.take().expect("told once").send(finish);
    }

    /// Waits for the end of the call. A task moves only if it is woken.
    pub fn answer(mut self) -> Wrote {
        loop {
            self.step();
            match self.doing {
                Doing::Thread(thread, _) => return thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Doing::Over(answer) => return answer,
                Doing::Task(_) => thread::yield_now(),
            }
        }
    }

    pub fn end(mut self, finish: Finish) -> Wrote {
        if finish == Finish::Cancel {
            assert_eq!(self.on, On::Task);
            return Wrote::Cancelled;
        }
        self.tell(finish);
        self.answer()
    }

    /// The future is never polled or dropped again.
    pub fn leak(self) {
        std::mem::forget(self);
    }
}

/// The answer of a write-through to what became of its write.
#[track_caller]
pub fn judge(answer: Wrote, finish: Finish, case: &str) {
    let right = match finish {
        Finish::Value(_) => matches!(answer, Wrote::Stored(_)),
        Finish::Fail => answer == Wrote::Failed,
        Finish::Panic => answer == Wrote::Panicked,
        Finish::Cancel => answer == Wrote::Cancelled,
    };
    assert!(right, "{answer:?} after {finish:?}: {case}");
}

/// What is resident after a write that nobody came between.
pub fn leaves(finish: Finish) -> Option<u64> {
    if let Finish::Value(loaded) = finish { Some(loaded.value) } else { None }
}

/// All that reads agrees on it.
#[track_caller]
pub fn reads(cache: &Numbers, value: Option<u64>, case: &str) {
    assert_eq!(cache.get(&KEY), value, "get: {case}");
    assert_eq!(cache.peek(&KEY), value, "peek: {case}");
    assert_eq!(cache.with(&KEY, |value| *value), value, "with: {case}");
    assert_eq!(cache.get_ref(&KEY).map(|entry| *entry), value, "get_ref: {case}");
    assert_eq!(cache.get_entry(&KEY).map(|entry| entry.value), value, "get_entry: {case}");
    assert_eq!(cache.contains_key(&KEY), value.is_some(), "contains_key: {case}");
    assert_eq!(cache.iter().find(|entry| *entry.key() == KEY).map(|entry| *entry), value, "iter: {case}");
    assert_eq!(cache.get_many(&[KEY]), [value], "get_many: {case}");
    assert_eq!(cache.get_many_snapshot(&[KEY]), [value], "get_many_snapshot: {case}");
}

/// A future in a box, for tables.
pub fn boxed<T>(future: impl Future<Output = T> + Send + 'static) -> Boxed<'static, T> {
    Box::pin(future)
}
