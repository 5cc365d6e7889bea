//! Who is compared. A new contender is a file here, a line in [`ALL`], and a line in `Cargo.toml`.

use std::sync::Arc;
use std::time::Duration;

use crate::latency;
use crate::workload::{self, Mix, Scenario, Tally, Target, Value};

mod bare;
mod brindle;
mod moka;
mod moka_future;
mod papaya;
mod quick_cache;
mod scc;

/// What ratios are taken to.
const REFERENCE: &str = "quick_cache";

pub const ALL: &[Contender] = &[
    Contender::of::<brindle::Brindle>(),
    Contender::of::<quick_cache::QuickCache>(),
    Contender::of::<moka::Moka>(),
    Contender::of::<moka_future::MokaFuture>(),
    Contender::of::<papaya::Papaya>(),
    Contender::of::<scc::Scc>(),
    Contender::of::<bare::Bare>(),
];

/// What an adapter implements, next to [`Target`] for `Self::Of<V>`.
trait Family: 'static {
    const NAME: &'static str;
    const KIND: Kind = Kind::Cache;
    /// [`Target::get_with`] works.
    const LOADS: bool = false;
    /// [`Target::get_with_async`] works.
    const LOADS_ASYNC: bool = false;

    type Of<V: Value>: Target<V>;

    /// As a user would build it, but with ahash.
    fn new<V: Value>(capacity: u64) -> Self::Of<V>;

    /// With the keys `0..n` in it.
    fn filled<V: Value>(capacity: u64, n: u64) -> Self::Of<V> {
        let target = Self::new(capacity);
        workload::fill(&target, n);
        target
    }

    /// Does what the contender puts off. Called before its memory is counted, never in a timed run.
    fn settle<V: Value>(_target: &Self::Of<V>) {}
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cache,
    /// For tasks alone.
    Tasks,
    /// Never evicts.
    Map,
    /// Never evicts, and is only read: the limit.
    Limit,
}

pub struct Contender {
    pub name: &'static str,
    kind: Kind,
    loads: bool,
    loads_async: bool,
    plain: fn(&Scenario) -> Box<dyn Subject>,
    shared: fn(&Scenario) -> Box<dyn Subject>,
}

impl Contender {
    const fn of<F: Family>() -> Self {
        Self {
            name: F::NAME,
            kind: F::KIND,
            loads: F::LOADS,
            loads_async: F::LOADS_ASYNC,
            plain: subject::<F, u64>,
            shared: subject::<F, Arc<u64>>,
        }
    }

    pub fn is_reference(&self) -> bool {
        self.name == REFERENCE
    }

    pub fn is_cache(&self) -> bool {
        self.kind == Kind::Cache
    }

    pub fn takes(&self, scenario: &Scenario) -> bool {
        match scenario.mix {
            Mix::GetWith | Mix::Stampede => return self.loads,
            Mix::GetWithAsync => return self.loads_async,
            _ => {}
        }
        match self.kind {
            Kind::Cache => true,
            Kind::Tasks => false,
            Kind::Map => scenario.filled < scenario.capacity && scenario.mix != Mix::ReadThrough,
            Kind::Limit => matches!(scenario.mix, Mix::Get | Mix::With),
        }
    }

    /// Built and filled as the scenario wants it, with `u64` values.
    pub fn plain(&self, scenario: &Scenario) -> Box<dyn Subject> {
        (self.plain)(scenario)
    }

    /// The same with `Arc` values.
    pub fn shared(&self, scenario: &Scenario) -> Box<dyn Subject> {
        (self.shared)(scenario)
    }
}

/// A contender ready to run, whatever its type. The loops behind these calls are compiled for each type.
pub trait Subject {
    fn play(&self, mix: Mix, keys: &[u64]);
    fn race(&self, mix: Mix, batches: &[Vec<u64>]) -> (Duration, Tally);
    fn latencies(&self, batches: &[Vec<u64>]) -> Vec<u32>;
    fn settle(&self);
    fn entries(&self) -> usize;
}

struct Ready<F: Family, V: Value>(F::Of<V>);

fn subject<F: Family, V: Value>(scenario: &Scenario) -> Box<dyn Subject> {
    Box::new(Ready::<F, V>(F::filled(scenario.capacity, scenario.filled)))
}

impl<F: Family, V: Value> Subject for Ready<F, V> {
    fn play(&self, mix: Mix, keys: &[u64]) {
        workload::play(&self.0, mix, keys);
    }

    fn race(&self, mix: Mix, batches: &[Vec<u64>]) -> (Duration, Tally) {
        workload::race(&self.0, mix, batches)
    }

    fn latencies(&self, batches: &[Vec<u64>]) -> Vec<u32> {
        latency::read_through(&self.0, batches)
    }

    fn settle(&self) {
        F::settle(&self.0);
    }

    fn entries(&self) -> usize {
        self.0.entries()
    }
}
