//! Who loads a key at present, and whether something may have fenced him: of loads that nothing can have fenced there is one at a time.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

/// Of every key: the operations that fence its loads, and the loads.
pub(crate) struct Traffic {
    keys: Vec<Lane>,
    /// Operations that fence loads of any key.
    everywhere: Passing,
    loads: AtomicU64,
    /// Loads end when they are overdue, so that two at a time are in order.
    end_by_time: bool,
}

struct Lane {
    fences: Passing,
    loads: Mutex<Vec<Begun>>,
}

/// Operations, counted when they begin and when they end.
#[derive(Default)]
struct Passing {
    begun: AtomicU64,
    ended: AtomicU64,
}

struct Begun {
    number: u64,
    since: Since,
}

/// How many fencing operations had ended when a call began that may load.
#[derive(Clone, Copy)]
pub(crate) struct Since(Option<u64>);

impl Since {
    /// Of a load of which it is not known when its call began.
    pub(crate) const UNKNOWN: Since = Since(None);
}

/// An operation that fences. It ends with this.
pub(crate) struct Span<'a>(&'a Passing);

impl Drop for Span<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, SeqCst);
    }
}

/// A loader at work.
pub(crate) struct Loading<'a> {
    traffic: &'a Traffic,
    key: u64,
    number: u64,
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        let mut loads = self.traffic.lane(self.key).loads.lock().unwrap_or_else(PoisonError::into_inner);
        loads.retain(|begun| begun.number != self.number);
    }
}

impl Traffic {
    pub(crate) fn new(keys: u64, end_by_time: bool) -> Self {
        let lane = || Lane { fences: Passing::default(), loads: Mutex::default() };
        let keys = (0..keys).map(|_| lane()).collect();
        Self { keys, everywhere: Passing::default(), loads: AtomicU64::new(0), end_by_time }
    }

    fn lane(&self, key: u64) -> &Lane {
        &self.keys[key as usize]
    }

    pub(crate) fn fencing(&self, key: u64) -> Span<'_> {
        begin(&self.lane(key).fences)
    }

    pub(crate) fn fencing_everywhere(&self) -> Span<'_> {
        begin(&self.everywhere)
    }

    /// Take it before the call that may load.
    pub(crate) fn since(&self, key: u64) -> Since {
        Since(Some(self.lane(key).fences.ended.load(SeqCst) + self.everywhere.ended.load(SeqCst)))
    }

    /// A loader starts. Says so if another one runs that nothing can have fenced.
    pub(crate) fn load(&self, key: u64, since: Since) -> (Loading<'_>, bool) {
        let lane = self.lane(key);
        let number = self.loads.fetch_add(1, SeqCst);
        let mut loads = lane.loads.lock().unwrap_or_else(PoisonError::into_inner);
        // Whatever has begun by now and had not ended when a call began may have fenced its load: this one's, before it starts, as well.
        let begun = Some(lane.fences.begun.load(SeqCst) + self.everywhere.begun.load(SeqCst));
        let unfenced = |since: Since| since.0 == begun && !self.end_by_time;
        let second = unfenced(since) && loads.iter().any(|other| unfenced(other.since));
        loads.push(Begun { number, since });
        (Loading { traffic: self, key, number }, second)
    }

    /// Loaders that were started.
    pub(crate) fn loads(&self) -> u64 {
        self.loads.load(SeqCst)
    }
}

fn begin(passing: &Passing) -> Span<'_> {
    passing.begun.fetch_add(1, SeqCst);
    Span(passing)
}
