//! The rows of the comparison, and how much of each is run.

use std::slice;

use crate::args::Args;
use crate::contenders::Contender;
use crate::record::Record;
use crate::rounds::{self, Entrant};
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

/// A contender as the row wants it: with plain or with shared values.
type Enter = fn(&Contender, &Scenario) -> Entrant;

const PLAIN: Enter = |contender, scenario| contender.plain(scenario);
const SHARED: Enter = |contender, scenario| contender.shared(scenario);

const ROWS: &[(Scenario, Enter)] = &[
    (workload::HIT_10K, PLAIN),
    (workload::HIT_100K, PLAIN),
    (workload::HIT_5M, PLAIN),
    (workload::HOT, PLAIN),
    (workload::ARC_GET, SHARED),
    (workload::ARC_WITH, SHARED),
    (workload::MIX_75_25, PLAIN),
    (workload::MIX_50_50, PLAIN),
    (workload::REPLACE, PLAIN),
    (workload::CHURN, PLAIN),
    (workload::EVICT, PLAIN),
    (workload::READ_THROUGH, PLAIN),
    (workload::GET_WITH_WARM, PLAIN),
    (workload::GET_WITH_WARM_ASYNC, PLAIN),
    (workload::COLD_LOAD, PLAIN),
    (workload::STAMPEDE, PLAIN),
];

pub fn run(args: &Args) -> Vec<Record> {
    let mut records = Vec::new();
    for (scenario, enter) in ROWS.iter().filter(|(scenario, _)| wanted(args, scenario)) {
        let entrants: Vec<_> = args
            .contenders
            .iter()
            .filter(|contender| contender.takes(scenario))
            .map(|&contender| (contender, enter(contender, scenario)))
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
