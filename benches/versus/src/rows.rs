//! The rows of the comparison, and how much of each is run.

use std::slice;

use crate::args::Args;
use crate::record::Record;
use crate::rounds;
use crate::workload::{self, Scenario};
use crate::{latency, memory};

/// How long a run takes.
#[derive(Clone, Copy)]
pub struct Effort {
    pub rounds: usize,
    /// Operations of each thread in a round.
    pub batch: usize,
    pub capacities: &'static [u64],
    pub large: bool,
}

impl Effort {
    pub const QUICK: Self = Self { rounds: 5, batch: 1 << 15, capacities: &[100_000], large: false };
    pub const DEFAULT: Self = Self { rounds: 21, batch: 1 << 17, capacities: &[100_000, 1_000_000], large: false };
    pub const FULL: Self = Self { rounds: 41, batch: 1 << 19, large: true, ..Self::DEFAULT };
}

const ROWS: &[Scenario] = &[
    workload::HIT_10K,
    workload::HIT_100K,
    workload::HIT_5M,
    workload::HOT,
    workload::ARC_GET,
    workload::ARC_WITH,
    workload::MIX_75_25,
    workload::MIX_50_50,
    workload::REPLACE,
    workload::CHURN,
    workload::EVICT,
    workload::READ_THROUGH,
    workload::GET_WITH_WARM,
    workload::GET_WITH_WARM_ASYNC,
    workload::COLD_LOAD,
    workload::STAMPEDE,
];

pub fn run(args: &Args) -> Vec<Record> {
    let mut records = Vec::new();
    for scenario in ROWS.iter().filter(|scenario| wanted(args, scenario)) {
        let entrants: Vec<_> = args
            .contenders
            .iter()
            .filter(|contender| contender.takes(scenario))
            .map(|&contender| (contender, contender.enter(scenario)))
            .collect();
        let mut keys = scenario.keys();
        let threads = scenario.threads.as_ref().map_or(args.threads.as_slice(), slice::from_ref);
        for &threads in threads {
            eprintln!("{} on {}, {} rounds", scenario.name, rounds::on(threads), args.effort.rounds);
            records.extend(rounds::run(scenario, &mut keys, &entrants, threads, args.effort));
        }
    }
    if args.wants("latency") {
        records.extend(latency::run(args));
    }
    if args.wants("memory") {
        records.extend(memory::run(args));
    }
    records
}

fn wanted(args: &Args, scenario: &Scenario) -> bool {
    let large = scenario.name == workload::HIT_5M.name;
    let named = args.rows.iter().any(|row| row == scenario.name);
    args.wants(scenario.name) && (!large || args.effort.large || named)
}
