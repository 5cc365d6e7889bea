//! Who is compared. A new contender is a file here, a line in [`ALL`], and a line in `Cargo.toml`.

use std::sync::Arc;

use self::family::Family;
use self::family::Kind;
use self::family::Weigh;
pub use self::replay::Replay;
use self::subject::Build;
pub use self::subject::Subject;
use crate::workload::Entry;
use crate::workload::Kibibyte;
use crate::workload::Mix;
use crate::workload::Scenario;

mod bare;
mod brindle;
mod dashmap;
mod family;
mod foyer;
mod gate;
mod mini_moka;
mod moka;
mod moka_future;
mod papaya;
mod quick_cache;
mod replay;
mod scc;
mod stretto;
mod subject;
mod tiny_ufo;

pub const ALL: &[Contender] = &[
    Contender::of::<brindle::Brindle>(),
    Contender::of::<quick_cache::QuickCache>(),
    Contender::of::<moka::Moka>(),
    Contender::of_numbers::<moka_future::MokaFuture>(),
    Contender::of::<mini_moka::MiniMoka>(),
    Contender::of::<foyer::Foyer>(),
    Contender::of::<tiny_ufo::TinyUfoFamily>(),
    Contender::of::<stretto::Stretto>(),
    Contender::of::<scc::Scc>(),
    Contender::of_numbers::<gate::Gate<quick_cache::QuickCache>>(),
    Contender::of_numbers::<gate::Gate<moka::Moka>>(),
    Contender::of::<dashmap::Dashmap>(),
    Contender::of::<papaya::Papaya>(),
    Contender::of::<bare::Bare>(),
];

/// These differ from another contender in what they keep, not in how they are built: traces alone tell them apart.
pub const ONLY_REPLAYED: &[Contender] = &[Contender::of_numbers::<foyer::FoyerLfu>()];

pub struct Contender {
    pub name: &'static str,
    /// It may keep more entries than it is told to.
    pub more_room: bool,
    /// It keeps all that it is given until a thread of its own gets round to choosing.
    pub lags: bool,
    /// What the others' ratios are taken to, in the rows that it takes.
    pub reference: bool,
    kind: Kind,
    loads: bool,
    loads_async: bool,
    versions: bool,
    builders: Builders,
    replayed: fn(u64) -> Box<dyn Replay>,
    weighing: fn(u64, u64) -> Option<Box<dyn Replay>>,
}

/// One for each type of entries.
struct Builders {
    numbers: Build<u64>,
    others: Option<Others>,
}

#[derive(Clone, Copy)]
struct Others {
    shared: Build<u64>,
    large: Build<u64>,
    text: Build<String>,
}

impl Contender {
    const fn of<F: Family>() -> Self {
        let others = Others {
            shared: subject::simple::<F, u64, Arc<u64>>,
            large: subject::simple::<F, u64, Kibibyte>,
            text: subject::simple::<F, String, u64>,
        };
        Self { builders: Builders { others: Some(others), ..Self::of_numbers::<F>().builders }, ..Self::of_numbers::<F>() }
    }

    /// Of `u64` to `u64` alone.
    const fn of_numbers<F: Family>() -> Self {
        Self {
            name: F::NAME,
            more_room: F::MORE_ROOM,
            lags: F::LAGS,
            reference: F::REFERENCE,
            kind: F::KIND,
            loads: F::LOADS,
            loads_async: F::LOADS_ASYNC,
            versions: F::VERSIONS,
            builders: Builders { numbers: subject::numbers::<F>, others: None },
            replayed: replay::plain::<F>,
            weighing: replay::weighing::<F>,
        }
    }

    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|contender| contender.name == name)
    }

    /// A cache for threads, without anything around it.
    pub fn is_cache(&self) -> bool {
        self.kind == Kind::Cache
    }

    /// Bounded: what never evicts is no rival, only a measure.
    pub fn is_rival(&self) -> bool {
        !matches!(self.kind, Kind::Map | Kind::Limit)
    }

    pub fn takes(&self, scenario: &Scenario) -> bool {
        let evicts = scenario.filled >= scenario.capacity || scenario.mix == Mix::ReadThrough;
        match (self.kind, scenario.mix) {
            (Kind::Map, _) if evicts => false,
            (Kind::Limit, Mix::Get | Mix::With) => true,
            (Kind::Limit, _) => false,
            (_, Mix::GetWith | Mix::Invalidate | Mix::Stampede) => self.loads,
            (_, Mix::GetWithAsync) => self.loads_async,
            (_, Mix::InsertAt | Mix::Swap) => self.versions,
            (kind, _) => !matches!(kind, Kind::Tasks | Kind::Gate),
        }
    }

    /// Built and filled as the scenario wants it.
    pub fn enter(&self, scenario: &Scenario) -> Box<dyn Subject> {
        let build = match scenario.entry {
            Entry::Numbers => self.builders.numbers,
            Entry::Shared => self.others().shared,
            Entry::Large => self.others().large,
            Entry::Text => unreachable!("its keys are no numbers"),
        };
        build(scenario)
    }

    /// The same with keys that are text.
    pub fn enter_text(&self, scenario: &Scenario) -> Box<dyn Subject<String>> {
        (self.others().text)(scenario)
    }

    fn others(&self) -> Others {
        self.builders.others.expect("it takes only rows of numbers")
    }

    /// A cache of so many entries.
    pub fn replayed(&self, capacity: u64) -> Box<dyn Replay> {
        (self.replayed)(capacity)
    }

    /// A cache of so much weight, in which about so many entries are expected; none if it cannot weigh.
    pub fn weighing(&self, capacity: u64, entries: u64) -> Option<Box<dyn Replay>> {
        (self.weighing)(capacity, entries)
    }
}
