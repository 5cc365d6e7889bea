//! The workloads by name.

use super::Draw;
use super::Key;
use super::Keys;
use super::Mix;
use super::WRITE;

/// The types of keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `u64` to `u64`.
    Numbers,
    /// `u64` to `Arc<u64>`.
    Shared,
    /// `u64` to [`Kibibyte`](super::Kibibyte).
    Large,
    /// `String` to `u64`.
    Text,
}

#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub mix: Mix,
    pub entry: Entry,
    pub draw: Draw,
    /// Percent of the operations that write or invalidate, for [`Mix::ReadWrite`] and [`Mix::Invalidate`].
    pub writes: u64,
    /// What the same is without the call under measurement, if that is to be seen beside it.
    pub by_hand: Option<Mix>,
    /// So many threads take part, if not as many as are asked for.
    pub threads: Option<usize>,
    /// An operation takes about as long as this many of the others.
    pub cost: usize,
    pub capacity: u64,
    /// The keys `0..filled` are put in at first.
    pub filled: u64,
    /// Operations played after that, before anything is timed.
    pub warm: usize,
}

impl Scenario {
    /// Keys that are all resident, with room for twice as many so that nobody evicts.
    const fn resident(name: &'static str, mix: Mix, draw: Draw, n: u64) -> Self {
        Self {
            name,
            mix,
            entry: Entry::Numbers,
            draw,
            writes: 0,
            by_hand: None,
            threads: None,
            cost: 1,
            capacity: 2 * n,
            filled: n,
            warm: 0,
        }
    }

    /// Keys that are all new, in a full cache.
    const fn fresh(name: &'static str, mix: Mix, capacity: u64) -> Self {
        Self { capacity, warm: 2 * capacity as usize, ..Self::resident(name, mix, Draw::Fresh(capacity), capacity) }
    }

    /// Ten times as many keys as there is room for.
    const fn read_through(name: &'static str, capacity: u64) -> Self {
        let draw = Draw::Zipf { n: 10 * capacity, s: 0.99 };
        Self { capacity, filled: 0, warm: 10 * capacity as usize, ..Self::resident(name, Mix::ReadThrough, draw, capacity) }
    }

    pub fn keys(&self) -> Keys {
        Keys::new(self.draw)
    }

    pub fn batch<K: Key>(&self, keys: &mut Keys, len: usize) -> Vec<K> {
        Self::marked(self.writes, keys, len)
    }

    /// A batch for each of some threads. In a stampede all want the same keys; where keys are invalidated, the first does nothing else, if
    /// there is another that reads.
    pub fn batches<K: Key>(&self, keys: &mut Keys, threads: usize, len: usize) -> Vec<Vec<K>> {
        let percent = |nth| match self.mix {
            Mix::Invalidate if threads > 1 => 100 * u64::from(nth == 0),
            _ => self.writes,
        };
        match self.mix {
            Mix::Stampede => vec![self.batch(keys, len); threads],
            _ => (0..threads).map(|nth| Self::marked(percent(nth), keys, len)).collect(),
        }
    }

    fn marked<K: Key>(percent: u64, keys: &mut Keys, len: usize) -> Vec<K> {
        let mut batch = keys.batch(len);
        for key in &mut batch {
            if percent > 0 && keys.below(100) < percent {
                *key |= WRITE;
            }
        }
        batch.into_iter().map(K::of).collect()
    }
}

const SMALL: u64 = 10_000;
const MEDIUM: u64 = 100_000;
const LARGE: u64 = 5_000_000;
const HOT_KEYS: Draw = Draw::Zipf { n: MEDIUM, s: 1.2 };

pub const HIT_10K: Scenario = Scenario::resident("hit-10k", Mix::Get, Draw::Uniform(SMALL), SMALL);
pub const HIT_100K: Scenario = Scenario::resident("hit-100k", Mix::Get, Draw::Uniform(MEDIUM), MEDIUM);
pub const HIT_5M: Scenario = Scenario::resident("hit-5m", Mix::Get, Draw::Uniform(LARGE), LARGE);
pub const HOT: Scenario = Scenario::resident("hot", Mix::Get, HOT_KEYS, MEDIUM);
pub const ARC_GET: Scenario = Scenario { entry: Entry::Shared, ..Scenario::resident("arc-get", Mix::Get, HOT_KEYS, MEDIUM) };
pub const ARC_WITH: Scenario = Scenario { name: "arc-with", mix: Mix::With, ..ARC_GET };
pub const HIT_TEXT: Scenario = Scenario { name: "hit-text", entry: Entry::Text, ..HIT_100K };
pub const HIT_1K: Scenario = Scenario { name: "hit-1k", entry: Entry::Large, ..HIT_10K };
pub const MIX_75_25: Scenario =
    Scenario { writes: 25, ..Scenario::resident("mix-75-25", Mix::ReadWrite, Draw::Uniform(MEDIUM), MEDIUM) };
pub const MIX_50_50: Scenario = Scenario { name: "mix-50-50", writes: 50, ..MIX_75_25 };
pub const REPLACE: Scenario = Scenario::resident("replace", Mix::Insert, Draw::Uniform(MEDIUM), MEDIUM);
pub const CHURN: Scenario = Scenario::resident("churn", Mix::Churn, Draw::Uniform(MEDIUM), MEDIUM);
pub const EVICT: Scenario = Scenario::fresh("evict", Mix::Insert, MEDIUM);
pub const EVICT_TEXT: Scenario = Scenario { name: "evict-text", entry: Entry::Text, ..EVICT };
pub const EVICT_1K: Scenario = Scenario { entry: Entry::Large, ..Scenario::fresh("evict-1k", Mix::Insert, SMALL) };
pub const READ_THROUGH: Scenario = Scenario::read_through("read-through", MEDIUM);
pub const READ_THROUGH_TEXT: Scenario = Scenario { name: "read-through-text", entry: Entry::Text, ..READ_THROUGH };
pub const READ_THROUGH_1K: Scenario = Scenario { entry: Entry::Large, ..Scenario::read_through("read-through-1k", SMALL) };
pub const GET_WITH_WARM: Scenario =
    Scenario { by_hand: Some(Mix::Get), ..Scenario::resident("get-with-warm", Mix::GetWith, Draw::Uniform(SMALL), SMALL) };
pub const GET_WITH_WARM_ASYNC: Scenario = Scenario { name: "get-with-warm-async", mix: Mix::GetWithAsync, ..GET_WITH_WARM };
pub const COLD_LOAD: Scenario =
    Scenario { by_hand: Some(Mix::ReadThrough), ..Scenario::fresh("cold-load", Mix::GetWith, MEDIUM) };
pub const STAMPEDE: Scenario =
    Scenario { threads: Some(8), cost: 1024, warm: 0, ..Scenario::fresh("stampede", Mix::Stampede, MEDIUM) };
pub const INSERT_AT: Scenario = Scenario::resident("insert-at", Mix::InsertAt, Draw::Uniform(MEDIUM), MEDIUM);
pub const SWAP: Scenario = Scenario::resident("compare-and-swap", Mix::Swap, Draw::Uniform(MEDIUM), MEDIUM);
pub const INVALIDATE: Scenario =
    Scenario { writes: 10, ..Scenario::resident("invalidate", Mix::Invalidate, Draw::Zipf { n: MEDIUM, s: 0.99 }, MEDIUM) };
