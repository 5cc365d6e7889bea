//! A batch in flight, which ends when the test says so.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::Sender;
use std::sync::mpsc::channel;
use std::thread;
use std::thread::JoinHandle;

use brindle::Builder;
use brindle::Cache;
use brindle::Clock;
use brindle::Lease;
use brindle::Leased;
use brindle::LoadError;
use brindle::MockClock;

use crate::hand::Broken;
use crate::hand::Door;
use crate::hand::Numbers;
use crate::hand::Task;
use crate::hand::planned;

pub type Answer = Result<Vec<Option<u64>>, LoadError<Broken>>;
/// What a loader brings: `None` panics.
pub type Brings = Option<Result<Vec<(u64, u64)>, Broken>>;

pub const BOTH: [bool; 2] = [false, true];

pub fn built(choose: impl FnOnce(Builder<u64, u64>) -> Builder<u64, u64>) -> (Numbers, MockClock) {
    let (clock, hand) = Clock::mock();
    (choose(Cache::builder().max_capacity(1_000).stripes(2).clock(clock)).build().unwrap(), hand)
}

pub fn plain() -> Numbers {
    built(|builder| builder).0
}

/// Ten times each key.
pub fn tens(keys: &[u64]) -> Vec<(u64, u64)> {
    keys.iter().map(|&key| (key, key * 10)).collect()
}

pub fn lease(cache: &Numbers, key: u64) -> Lease<u64, u64> {
    match cache.get_or_lease(&key, None) {
        Leased::Lease(lease) => lease,
        _ => panic!("key {key} is being loaded already"),
    }
}

/// A batch in flight, whose loader brings what the test says: for threads, or as a task.
pub struct Batch {
    runs: Runs,
    /// The keys of each loader call, sorted.
    asked: Arc<Mutex<Vec<Vec<u64>>>>,
}

enum Runs {
    Thread(JoinHandle<Answer>, Sender<Brings>),
    Task(Task<Answer>, Door<Brings>),
}

pub fn sorted(mut keys: Vec<u64>) -> Vec<u64> {
    keys.sort_unstable();
    keys
}

impl Batch {
    /// Begins, and returns when it calls its loader or waits.
    pub fn start(is_async: bool, cache: &Numbers, keys: &[u64]) -> Self {
        let (asked, cache, keys) = (Arc::<Mutex<Vec<Vec<u64>>>>::default(), cache.clone(), keys.to_vec());
        let log = Arc::clone(&asked);
        if is_async {
            let inside = Door::<Brings>::default();
            let give = inside.clone();
            let mut task = Task::new(async move {
                let load = |missing: Vec<u64>| {
                    log.lock().unwrap().push(sorted(missing));
                    let inside = inside.clone();
                    async move { inside.take().await.unwrap_or_else(|| planned()) }
                };
                cache.try_get_many_with_async(&keys, load).await
            });
            assert!(task.poll().is_none(), "the batch neither loads nor waits");
            return Batch { runs: Runs::Task(task, give), asked };
        }
        let (give, take) = channel::<Brings>();
        let waits = cache.stats().waits;
        let here = cache.clone();
        let thread = thread::spawn(move || {
            here.try_get_many_with(&keys, |missing| {
                log.lock().unwrap().push(sorted(missing));
                take.recv().expect("the test says what").unwrap_or_else(|| planned())
            })
        });
        let batch = Batch { runs: Runs::Thread(thread, give), asked };
        while batch.asked().is_empty() && cache.stats().waits == waits {
            thread::yield_now();
        }
        batch
    }

    pub fn asked(&self) -> Vec<Vec<u64>> {
        self.asked.lock().unwrap().clone()
    }

    /// Returns when the loader has been called with these keys, after the calls before; a task is polled for it.
    #[track_caller]
    pub fn asks(&mut self, calls: &[&[u64]]) {
        if let Runs::Task(task, _) = &mut self.runs {
            assert!(self.asked.lock().unwrap().len() >= calls.len() || task.poll().is_none(), "the batch is over");
        }
        while matches!(self.runs, Runs::Thread(..)) && self.asked().len() < calls.len() {
            thread::yield_now();
        }
        assert_eq!(self.asked(), calls);
    }

    /// The loader that runs brings this; the batch goes on to its end or to its next wait.
    pub fn bring(&mut self, what: Brings) {
        match &mut self.runs {
            Runs::Thread(_, give) => give.send(what).unwrap(),
            Runs::Task(_, door) => door.give(what),
        }
    }

    /// The answer, after which nothing is left to wait for.
    #[track_caller]
    pub fn answer(self) -> Answer {
        match self.runs {
            Runs::Thread(thread, _) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Runs::Task(task, _) => task.finish(),
        }
    }

    /// Goes on until it waits for the load of another: more have done so then than `before`.
    #[track_caller]
    pub fn waits(&mut self, cache: &Numbers, before: u64) {
        self.still_runs();
        while cache.stats().waits == before {
            thread::yield_now();
        }
    }

    /// One more step of a task that has no answer yet; a thread needs none.
    #[track_caller]
    pub fn still_runs(&mut self) {
        match &mut self.runs {
            Runs::Thread(thread, _) => assert!(!thread.is_finished(), "the batch has an answer"),
            Runs::Task(task, _) => assert!(task.poll().is_none(), "the batch has an answer"),
        }
    }

    pub fn is_over(&mut self) -> Option<Answer> {
        match &mut self.runs {
            Runs::Thread(..) => panic!("only tasks are polled"),
            Runs::Task(task, _) => task.poll(),
        }
    }
}

/// Waits until `key` can be read: a thread stores it by and by.
pub fn until_there(cache: &Numbers, key: u64) -> u64 {
    loop {
        match cache.peek(&key) {
            Some(value) => return value,
            None => thread::yield_now(),
        }
    }
}

#[track_caller]
pub fn values(answer: Answer) -> Vec<Option<u64>> {
    answer.expect("it did not fail")
}

pub fn no_load(keys: Vec<u64>) -> Result<Vec<(u64, u64)>, Broken> {
    panic!("loads {keys:?}")
}
