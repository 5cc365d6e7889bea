//! Write-behind: what the sink gets is the newest value of each key, in the order in which the keys came, and again if it has failed; what it
//! has not got yet is in the cache.

mod model;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arbitrary::Arbitrary;
use brindle::{Cache, Clock, MockClock, Pending, Sink, SinkError, WhyUnwritten, WriteBehind};

use self::model::Model;
use crate::Hasher;
use crate::input::{Script, Time, Weight};
use crate::tracked::{Ledger, Tracked};

pub type Input = Script<Setup, Call>;

#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Setup {
    keys: u8,
    batch: u8,
    retries: u8,
    room: u8,
    time_to_live: Option<Time>,
    time_to_idle: Option<Time>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Call {
    Insert(Name, Weight),
    TryInsert(Name, Weight),
    Flush,
    Close,
    /// How one of the next batches ends, and what is inserted meanwhile.
    Sink(End, Option<(Name, Weight)>),
    Get(Name),
    Load(Name, Weight),
    /// Not through the write-behind: a key that is none of its.
    Other(u8, Weight),
    Advance(Time),
    Reclaim,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Well,
    Fails,
    Panics,
}

/// A key that is written behind: one of eight.
#[derive(Clone, Copy, Debug)]
pub struct Name(u8);

impl<'a> Arbitrary<'a> for Name {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self(u8::arbitrary(u)? % 8))
    }
}

#[derive(Debug)]
struct Broken;

/// How a batch ends, and what is inserted meanwhile.
type Ending = (End, Option<(Name, Weight)>);

/// The source of truth and what becomes of its next batches.
struct Source {
    model: Arc<Mutex<Model>>,
    ends: Mutex<VecDeque<Ending>>,
}

type Behind = WriteBehind<u8, Tracked, Hasher, Source>;

thread_local! {
    /// For what is inserted while the sink writes.
    static TRIAL: RefCell<Option<Trial>> = const { RefCell::new(None) };
}

impl Sink<u8, Tracked> for Source {
    type Error = Broken;

    fn write(&self, batch: &[Pending<u8, Tracked>]) -> Result<(), Broken> {
        let came = batch.iter().map(|item| (*item.key(), item.value().id(), item.version()));
        self.model.lock().unwrap().take(came);
        let (end, meanwhile) = self.ends.lock().unwrap().pop_front().unwrap_or((End::Well, None));
        if let Some((Name(key), Weight(weight))) = meanwhile {
            let trial = TRIAL.with_borrow(|trial| trial.clone().expect("it runs"));
            trial.try_insert(key, weight);
            assert!(matches!(trial.behind.flush(), Err(SinkError::Reentrant)), "it would wait for itself");
        }
        let mut model = self.model.lock().unwrap();
        model.ended(end == End::Well);
        drop(model);
        match end {
            End::Well => Ok(()),
            End::Fails => Err(Broken),
            End::Panics => resume_unwind(Box::new("as planned")),
        }
    }
}

#[derive(Clone)]
struct Trial {
    setup: Setup,
    behind: Behind,
    model: Arc<Mutex<Model>>,
    ledger: Arc<Ledger>,
    hand: MockClock,
}

pub fn run(Script { setup, calls }: Input) {
    let trial = Trial::new(setup);
    TRIAL.set(Some(trial.clone()));
    for call in calls {
        trial.step(call);
        trial.check();
    }
    TRIAL.take();
    trial.finish();
}

impl Trial {
    fn new(setup: Setup) -> Self {
        let (clock, hand) = Clock::mock();
        let room = 4 + u64::from(setup.room % 32);
        let mut builder = Cache::builder().hasher(Hasher::default()).clock(clock).max_capacity(room).stripes(2);
        builder = builder.weigher(|_, value: &Tracked| value.weight);
        if let Some(Time(time)) = setup.time_to_live {
            builder = builder.time_to_live(time);
        }
        if let Some(Time(time)) = setup.time_to_idle {
            builder = builder.time_to_idle(time);
        }
        let cache = builder.build().expect("these settings are sound");
        let (keys, batch) = (1 + usize::from(setup.keys % 8), 1 + usize::from(setup.batch % 4));
        let model = Arc::new(Mutex::new(Model::new(keys, batch, room)));
        let source = Source { model: Arc::clone(&model), ends: Mutex::default() };
        let behind = WriteBehind::builder(cache, source)
            .capacity(keys)
            .batch(batch)
            .retries(usize::from(setup.retries % 3))
            .backoff(Duration::ZERO, Duration::ZERO)
            .build();
        Self { setup, behind, model, ledger: Arc::default(), hand }
    }

    /// Nobody may have it when the sink is driven.
    fn model(&self) -> std::sync::MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }

    fn step(&self, call: Call) {
        let cache = self.behind.cache();
        match call {
            Call::Insert(Name(key), Weight(weight)) => self.insert(key, weight),
            Call::TryInsert(Name(key), Weight(weight)) => self.try_insert(key, weight),
            Call::Flush => {
                let mark = self.model().mark();
                let flushed = self.behind.flush();
                self.check_driven(&flushed, mark);
            }
            Call::Close => {
                self.model().closed = true;
                let closed = self.behind.close();
                self.check_driven(&closed, u64::MAX);
            }
            Call::Sink(end, meanwhile) => self.behind.sink().ends.lock().unwrap().push_back((end, meanwhile)),
            Call::Get(Name(key)) => {
                let found = cache.get(&key).map(|value| value.id());
                self.model().saw(key, found);
            }
            Call::Load(Name(key), Weight(weight)) => {
                let pending = self.model().newest(key);
                let got = cache.get_with(&key, || {
                    assert_eq!(pending, None, "a value of key {key} is pending, and it was loaded");
                    self.ledger.value(weight)
                });
                assert!(pending.is_none_or(|id| id == got.id()), "a load replaced what is pending");
            }
            Call::Other(key, Weight(weight)) => _ = cache.insert(key | 0x80, self.ledger.value(weight)),
            Call::Advance(Time(time)) => self.hand.advance(time),
            Call::Reclaim => cache.reclaim(),
        }
    }

    fn insert(&self, key: u8, weight: u64) {
        let value = self.ledger.value(weight);
        let id = value.id();
        self.model().failures = 0;
        match self.behind.insert(key, value) {
            Ok(version) => self.model().inserted(key, id, weight, version),
            Err(unwritten) => {
                assert_eq!((unwritten.key, unwritten.value.id()), (key, id));
                match unwritten.why {
                    WhyUnwritten::Closed => assert!(self.model().closed, "closed by nobody"),
                    WhyUnwritten::TooHeavy { .. } => assert!(weight > self.behind.cache().capacity(), "not too heavy"),
                    WhyUnwritten::Sink(_) => self.check_failed(),
                    why => panic!("not written: {why:?}"),
                }
            }
        }
    }

    fn try_insert(&self, key: u8, weight: u64) {
        let value = self.ledger.value(weight);
        let id = value.id();
        let takes = self.model().takes(key, weight);
        match self.behind.try_insert(key, value) {
            Ok(version) => {
                assert!(takes, "there was no room, and key {key} was taken");
                self.model().inserted(key, id, weight, version);
            }
            Err(unwritten) => {
                assert_eq!((unwritten.key, unwritten.value.id()), (key, id));
                assert!(!takes, "there was room, and key {key} was not taken: {:?}", unwritten.why);
            }
        }
    }

    /// Is everything written that came before the mark?
    fn check_driven(&self, result: &Result<(), SinkError<Broken>>, mark: u64) {
        match result {
            Ok(()) => assert!(self.model().is_written_before(mark), "flushed, and not all of it is written"),
            Err(_) => self.check_failed(),
        }
    }

    /// A call that drives the sink gives up after so many tries and no earlier.
    fn check_failed(&self) {
        let tries = 1 + usize::from(self.setup.retries % 3);
        assert!(self.model().failures >= tries, "given up after {} tries of {tries}", self.model().failures);
    }

    fn check(&self) {
        let cache = self.behind.cache();
        assert!(cache.weight() <= cache.capacity(), "heavier than its capacity");
        let listed: Vec<_> = self.behind.pending().iter().map(|item| (*item.key(), item.value().id())).collect();
        let pending = self.model().pending();
        assert_eq!(listed, pending, "another list of what is pending");
        assert_eq!(self.behind.len(), pending.len());
        for (key, id) in pending {
            assert_eq!(cache.peek(&key).map(|value| value.id()), Some(id), "pending, and not in the cache");
        }
    }

    /// In the end the source has the newest of all, and nothing is left.
    fn finish(self) {
        self.behind.sink().ends.lock().unwrap().clear();
        assert!(self.behind.close().is_ok(), "nothing stands in the way");
        self.model().check_written();
        let Self { behind, model, ledger, .. } = self;
        drop(behind);
        drop(model);
        assert_eq!(ledger.alive(), [], "values were leaked");
    }
}
