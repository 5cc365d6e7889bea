//! A sink that checks what it is given: one call at a time, no key twice in a batch, and of each key versions that only rise. It fails on
//! demand. What it has stored is compared with what was acknowledged.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::fmt;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use brindle::AsyncSink;
use brindle::Cache;
use brindle::Pending;
use brindle::Sink;
use brindle::Version;
use brindle::WriteBehind;
use brindle::WriteBehindBuilder;

use crate::common::Counted;
use crate::common::executor::step;

/// What a call of the sink does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    Nothing,
    Error,
    Panic,
    /// Stores half of the batch, then fails.
    Half,
}

pub const FAULTS: [Fault; 3] = [Fault::Error, Fault::Panic, Fault::Half];

#[derive(PartialEq, Eq, Debug)]
pub struct Broken(pub usize);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {} is broken", self.0)
    }
}

impl std::error::Error for Broken {}

pub trait Id: Send + Sync {
    fn id(&self) -> u64;
}

impl Id for u64 {
    fn id(&self) -> u64 {
        *self
    }
}

impl Id for Counted {
    fn id(&self) -> u64 {
        Counted::id(self)
    }
}

type Plan = Box<dyn FnMut(usize) -> Fault + Send>;

#[derive(Default)]
struct State {
    calls: usize,
    plan: Option<Plan>,
    /// Key and value of every call.
    batches: Vec<Vec<(u64, u64)>>,
    shown: BTreeMap<u64, (Version, u64)>,
    stored: BTreeMap<u64, u64>,
}

#[derive(Default)]
pub struct Model {
    state: Mutex<State>,
    busy: AtomicBool,
}

struct Busy<'a>(&'a AtomicBool);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}

impl Model {
    /// A sink whose calls, counted from 1, do what the plan says.
    pub fn planned(plan: impl FnMut(usize) -> Fault + Send + 'static) -> Self {
        let model = Model::default();
        model.plan(plan);
        model
    }

    pub fn plan(&self, plan: impl FnMut(usize) -> Fault + Send + 'static) {
        self.state().plan = Some(Box::new(plan));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn calls(&self) -> usize {
        self.state().calls
    }

    pub fn batches(&self) -> Vec<Vec<(u64, u64)>> {
        self.state().batches.clone()
    }

    /// Everything that the sink has, by key.
    pub fn stored(&self) -> BTreeMap<u64, u64> {
        self.state().stored.clone()
    }

    fn busy(&self) -> Busy<'_> {
        assert!(!self.busy.swap(true, SeqCst), "two calls of the sink at once");
        Busy(&self.busy)
    }

    fn begin<V: Id>(&self, batch: &[Pending<u64, V>]) -> (usize, Fault) {
        let mut state = self.state();
        state.calls += 1;
        let call = state.calls;
        assert!(!batch.is_empty(), "a call for nothing");
        let keys: HashSet<u64> = batch.iter().map(|item| *item.key()).collect();
        assert_eq!(keys.len(), batch.len(), "a key twice in one batch");
        for item in batch {
            let now = (item.version(), item.value().id());
            let before = state.shown.insert(*item.key(), now);
            if let Some((version, value)) = before {
                assert!(version <= now.0, "key {} went back from {version} to {}", item.key(), now.0);
                assert!(version < now.0 || value == now.1, "two values of one version");
            }
        }
        state.batches.push(batch.iter().map(|item| (*item.key(), item.value().id())).collect());
        let fault = state.plan.as_mut().map_or(Fault::Nothing, |plan| plan(call));
        (call, fault)
    }

    fn store<V: Id>(&self, batch: &[Pending<u64, V>]) {
        self.state().stored.extend(batch.iter().map(|item| (*item.key(), item.value().id())));
    }

    fn end<V: Id>(&self, batch: &[Pending<u64, V>], (call, fault): (usize, Fault)) -> Result<(), Broken> {
        match fault {
            Fault::Nothing => self.store(batch),
            Fault::Error => return Err(Broken(call)),
            Fault::Panic => panic!("call {call} panics"),
            Fault::Half => {
                self.store(&batch[..batch.len() / 2]);
                return Err(Broken(call));
            }
        }
        Ok(())
    }
}

impl<V: Id> Sink<u64, V> for Model {
    type Error = Broken;

    fn write(&self, batch: &[Pending<u64, V>]) -> Result<(), Broken> {
        let _busy = self.busy();
        let begun = self.begin(batch);
        self.end(batch, begun)
    }
}

impl<V: Id> AsyncSink<u64, V> for Model {
    type Error = Broken;

    async fn write(&self, batch: &[Pending<u64, V>]) -> Result<(), Broken> {
        let _busy = self.busy();
        let begun = self.begin(batch);
        step().await;
        let result = self.end(batch, begun);
        step().await;
        result
    }
}

pub type Behind<V = u64> = WriteBehind<u64, V, ahash::RandomState, Model>;

/// Retries at once, so that no test waits for a clock.
pub fn builder<V>(cache: &Cache<u64, V>, model: Model) -> WriteBehindBuilder<u64, V, ahash::RandomState, Model> {
    WriteBehind::builder(cache.clone(), model).backoff(Duration::ZERO, Duration::ZERO).retries(0)
}

pub fn listed<V: Id>(behind: &Behind<V>) -> Vec<(u64, u64)> {
    behind.pending().iter().map(|item| (*item.key(), item.value().id())).collect()
}
