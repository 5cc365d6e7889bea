//! How much of each row is run.

use std::thread;

use crate::workload::HIT_5M;
use crate::workload::Scenario;

#[derive(Clone, Copy)]
pub struct Effort {
    pub rounds: usize,
    /// Operations of each thread in a round, while there are cores for all threads.
    pub batch: usize,
    pub threads: &'static [usize],
    /// Of caches that are weighed, and of those that are built and dropped.
    pub capacities: &'static [u64],
    /// One part in so many of the operations that a scenario is warmed up with.
    pub warm_part: usize,
    /// With the row that needs gigabytes.
    pub large: bool,
    /// Rounds are timed by the [processor time](crate::own_time) of their threads.
    pub own_time: bool,
}

impl Effort {
    /// Less than a minute, for all rows.
    pub const QUICK: Self =
        Self { rounds: 3, batch: 1 << 12, threads: &[1, 2], capacities: &[20_000], warm_part: 4, large: false, own_time: false };
    /// About ten minutes.
    pub const DEFAULT: Self = Self {
        rounds: 15,
        batch: 1 << 15,
        threads: &[1, 2],
        capacities: &[100_000],
        warm_part: 1,
        large: false,
        own_time: false,
    };
    /// Less than forty minutes.
    pub const FULL: Self =
        Self { batch: 1 << 16, threads: &[1, 2, 4, 8], capacities: &[100_000, 1_000_000], large: true, ..Self::DEFAULT };

    /// Operations of each of so many threads in a round. More threads than cores do no more together than as many as there are cores.
    pub fn operations(&self, scenario: &Scenario, threads: usize) -> usize {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        (self.batch / scenario.cost / threads.div_ceil(cores)).max(1)
    }

    /// The scenario with as much warming up as there is time for. A cache that starts full stays so.
    pub fn scaled(&self, scenario: &Scenario) -> Scenario {
        Scenario { warm: scenario.warm / self.warm_part, ..*scenario }
    }

    /// Whether the scenario is run without being named.
    pub fn includes(&self, scenario: &Scenario) -> bool {
        self.large || scenario.name != HIT_5M.name
    }
}
