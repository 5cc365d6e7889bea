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
    /// Percent of the operations that write, for [`Mix::ReadWrite`].
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
    const fn fresh(name: &'static str, mix: Mix) -> Self {
        Self { capacity: MEDIUM, warm: 2 * MEDIUM as usize, ..Self::resident(name, mix, Draw::Fresh(MEDIUM), MEDIUM) }
    }

    pub fn keys(&self) -> Keys {
        Keys::new(self.draw)
    }

    pub fn batch<K: Key>(&self, keys: &mut Keys, len: usize) -> Vec<K> {
        let mut batch = keys.batch(len);
        for key in &mut batch {
            if self.writes > 0 && keys.below(100) < self.writes {
                *key |= WRITE;
            }
        }
        batch.into_iter().map(K::of).collect()
    }

    /// A batch for each of some threads. In a stampede all want the same keys.
    pub fn batches<K: Key>(&self, keys: &mut Keys, threads: usize, len: usize) -> Vec<Vec<K>> {
        if self.mix == Mix::Stampede {
            return vec![self.batch(keys, len); threads];
        }
        (0..threads).map(|_| self.batch(keys, len)).collect()
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
pub const MIX_75_25: Scenario =
    Scenario { writes: 25, ..Scenario::resident("mix-75-25", Mix::ReadWrite, Draw::Uniform(MEDIUM), MEDIUM) };
pub const MIX_50_50: Scenario =
    Scenario { writes: 50, ..Scenario::resident("mix-50-50", Mix::ReadWrite, Draw::Uniform(MEDIUM), MEDIUM) };
pub const REPLACE: Scenario = Scenario::resident("replace", Mix::Insert, Draw::Uniform(MEDIUM), MEDIUM);
pub const CHURN: Scenario = Scenario::resident("churn", Mix::Churn, Draw::Uniform(MEDIUM), MEDIUM);
pub const EVICT: Scenario = Scenario::fresh("evict", Mix::Insert);
pub const READ_THROUGH: Scenario = Scenario {
    capacity: MEDIUM,
    filled: 0,
    warm: 10 * MEDIUM as usize,
    ..Scenario::resident("read-through", Mix::ReadThrough, Draw::Zipf { n: 10 * MEDIUM, s: 0.99 }, MEDIUM)
};
pub const GET_WITH_WARM: Scenario =
    Scenario { by_hand: Some(Mix::Get), ..Scenario::resident("get-with-warm", Mix::GetWith, Draw::Uniform(SMALL), SMALL) };
pub const GET_WITH_WARM_ASYNC: Scenario = Scenario { name: "get-with-warm-async", mix: Mix::GetWithAsync, ..GET_WITH_WARM };
pub const COLD_LOAD: Scenario = Scenario { by_hand: Some(Mix::ReadThrough), ..Scenario::fresh("cold-load", Mix::GetWith) };
pub const STAMPEDE: Scenario = Scenario { threads: Some(8), cost: 1024, warm: 0, ..Scenario::fresh("stampede", Mix::Stampede) };
