//! The workloads by name.

use super::{Draw, Keys, Mix};

#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub mix: Mix,
    pub draw: Draw,
    /// Percent of the operations that write, for [`Mix::ReadWrite`].
    pub writes: u64,
    pub capacity: u64,
    /// The keys `0..filled` are put in at first.
    pub filled: u64,
    /// Operations played after that, before anything is timed.
    pub warm: usize,
}

impl Scenario {
    /// Keys that are all resident, with room for twice as many so that nobody evicts.
    const fn resident(name: &'static str, mix: Mix, draw: Draw, n: u64) -> Self {
        Self { name, mix, draw, writes: 0, capacity: 2 * n, filled: n, warm: 0 }
    }

    pub fn keys(&self) -> Keys {
        Keys::new(self.draw)
    }

    pub fn batch(&self, keys: &mut Keys, len: usize) -> Vec<u64> {
        let mut batch = keys.batch(len);
        for key in &mut batch {
            if self.writes > 0 && keys.below(100) < self.writes {
                *key |= Mix::WRITE;
            }
        }
        batch
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
pub const ARC_GET: Scenario = Scenario::resident("arc-get", Mix::Get, HOT_KEYS, MEDIUM);
pub const ARC_WITH: Scenario = Scenario::resident("arc-with", Mix::With, HOT_KEYS, MEDIUM);
pub const MIX_75_25: Scenario =
    Scenario { writes: 25, ..Scenario::resident("mix-75-25", Mix::ReadWrite, Draw::Uniform(MEDIUM), MEDIUM) };
pub const MIX_50_50: Scenario =
    Scenario { writes: 50, ..Scenario::resident("mix-50-50", Mix::ReadWrite, Draw::Uniform(MEDIUM), MEDIUM) };
pub const REPLACE: Scenario = Scenario::resident("replace", Mix::Insert, Draw::Uniform(MEDIUM), MEDIUM);
pub const CHURN: Scenario = Scenario::resident("churn", Mix::Churn, Draw::Uniform(MEDIUM), MEDIUM);
pub const EVICT: Scenario = Scenario {
    name: "evict",
    mix: Mix::Insert,
    draw: Draw::Fresh(MEDIUM),
    writes: 0,
    capacity: MEDIUM,
    filled: MEDIUM,
    warm: 2 * MEDIUM as usize,
};
pub const READ_THROUGH: Scenario = Scenario {
    name: "read-through",
    mix: Mix::ReadThrough,
    draw: Draw::Zipf { n: 10 * MEDIUM, s: 0.99 },
    writes: 0,
    capacity: MEDIUM,
    filled: 0,
    warm: 10 * MEDIUM as usize,
};
