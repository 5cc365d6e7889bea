//! The rows of the comparison.

use std::slice;

use crate::args::Args;
use crate::contenders::Contender;
use crate::contenders::Subject;
use crate::idle;
use crate::latency;
use crate::lifetime;
use crate::memory;
use crate::progress::Progress;
use crate::record::Record;
use crate::rounds;
use crate::workload;
use crate::workload::Entry;
use crate::workload::Key;
use crate::workload::Scenario;

const SCENARIOS: &[Scenario] = &[
    workload::HIT_10K,
    workload::HIT_100K,
    workload::HIT_5M,
    workload::HIT_TEXT,
    workload::HIT_1K,
    workload::HOT,
    workload::ARC_GET,
    workload::ARC_WITH,
    workload::MIX_75_25,
    workload::MIX_50_50,
    workload::REPLACE,
    workload::CHURN,
    workload::EVICT,
    workload::EVICT_TEXT,
    workload::EVICT_1K,
    workload::READ_THROUGH,
    workload::READ_THROUGH_TEXT,
    workload::READ_THROUGH_1K,
    workload::GET_WITH_WARM,
    workload::GET_WITH_WARM_ASYNC,
    workload::COLD_LOAD,
    workload::STAMPEDE,
    workload::INSERT_AT,
    workload::SWAP,
    workload::INVALIDATE,
];

/// What is not measured in rounds of a scenario.
const OTHERS: &[Other] = &[
    Other { name: "latency", rows: |args| args.threads.len(), run: latency::run },
    Other { name: "memory", rows: |args| args.effort.capacities.len(), run: memory::run },
    Other { name: "lifetime", rows: |args| args.effort.capacities.len(), run: lifetime::run },
    Other { name: "idle", rows: |_| 1, run: idle::run },
];

struct Other {
    name: &'static str,
    rows: fn(&Args) -> usize,
    run: fn(&Args, &mut Progress) -> Vec<Record>,
}

pub fn names() -> impl Iterator<Item = &'static str> {
    SCENARIOS.iter().map(|scenario| scenario.name).chain(OTHERS.iter().map(|other| other.name))
}

pub fn run(args: &Args) -> Vec<Record> {
    let scenarios: Vec<_> = SCENARIOS.iter().filter(|scenario| wanted(args, scenario)).collect();
    let others: Vec<_> = OTHERS.iter().filter(|other| args.wants(other.name)).collect();
    let rows: usize = scenarios.iter().map(|scenario| threads(args, scenario).len()).sum();
    let mut progress = Progress::of(rows + others.iter().map(|other| (other.rows)(args)).sum::<usize>());

    let mut records = Vec::new();
    for scenario in scenarios {
        records.extend(match scenario.entry {
            Entry::Text => run_scenario(args, scenario, &mut progress, Contender::enter_text),
            _ => run_scenario(args, scenario, &mut progress, Contender::enter),
        });
    }
    for other in others {
        records.extend((other.run)(args, &mut progress));
    }
    progress.end();
    records
}

fn run_scenario<K: Key>(
    args: &Args,
    scenario: &Scenario,
    progress: &mut Progress,
    enter: fn(&Contender, &Scenario) -> Box<dyn Subject<K>>,
) -> Vec<Record> {
    let scenario = &args.effort.scaled(scenario);
    progress.prepare(scenario.name);
    let entrants = rounds::entrants(args, scenario, |contender| enter(contender, scenario));
    let mut keys = scenario.keys();
    rounds::warm_up(scenario, &mut keys, &entrants);

    let mut records = Vec::new();
    for &threads in threads(args, scenario) {
        progress.begin(&format!("{}, {}", scenario.name, rounds::on(threads)));
        records.extend(rounds::run(scenario, &mut keys, &entrants, threads, args.effort, progress));
    }
    records
}

fn threads<'a>(args: &'a Args, scenario: &'a Scenario) -> &'a [usize] {
    scenario.threads.as_ref().map_or(&args.threads, slice::from_ref)
}

fn wanted(args: &Args, scenario: &Scenario) -> bool {
    args.wants(scenario.name) && (args.effort.includes(scenario) || args.rows.iter().any(|row| row == scenario.name))
}
