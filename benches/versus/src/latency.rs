//! How long single reads and writes take while the cache is being filled and evicts.

use std::thread;
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::args::Args;
use crate::contenders::Subject;
use crate::pin;
use crate::progress::Progress;
use crate::record::Record;
use crate::record::Table;
use crate::rounds;
use crate::rounds::Entrant;
use crate::workload::Key;
use crate::workload::READ_THROUGH;
use crate::workload::Target;
use crate::workload::Value;

/// Name, and how many percent are no slower.
const PERCENTILES: [(&str, f64); 5] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("p99.99", 99.99)];
/// A call that takes longer counts as this long.
const LONGEST: u64 = 10_000_000_000;
const DIGITS: u8 = 3;
/// So many times the operations of other rows: what happens once in ten thousand calls must happen often enough.
const MORE: usize = 4;

/// Nanoseconds, of each call, the clock's own included.
pub struct Latencies {
    /// `get`.
    reads: Histogram<u64>,
    /// The `insert` after a miss.
    writes: Histogram<u64>,
}

impl Latencies {
    fn new() -> Self {
        let empty = || Histogram::new_with_bounds(1, LONGEST, DIGITS).expect("bounds in order");
        Self { reads: empty(), writes: empty() }
    }

    fn add(&mut self, more: &Self) {
        self.reads.add(&more.reads).expect("the same bounds");
        self.writes.add(&more.writes).expect("the same bounds");
    }
}

pub fn run(args: &Args, progress: &mut Progress) -> Vec<Record> {
    let scenario = &args.effort.scaled(&READ_THROUGH);
    let entrants = rounds::entrants(args, scenario, |contender| contender.enter(scenario));
    let mut keys = scenario.keys();
    rounds::warm_up(scenario, &mut keys, &entrants);

    let mut records = Vec::new();
    for &threads in &args.threads {
        progress.begin(&format!("latency, {}", rounds::on(threads)));
        let mut all: Vec<_> = entrants.iter().map(|_| Latencies::new()).collect();
        for round in 0..args.effort.rounds {
            let batches = scenario.batches(&mut keys, threads, MORE * args.effort.operations(scenario, threads));
            for turn in 0..entrants.len() {
                let who = (round + turn) % entrants.len();
                progress.at(entrants[who].contender.name);
                all[who].add(&race(&*entrants[who].subject, &batches));
            }
        }
        let each = || entrants.iter().zip(&all);
        let row = |kind| format!("{kind}, {}", rounds::on(threads));
        records.extend(each().map(|(entrant, all)| record(row("reads"), entrant, &all.reads)));
        records.extend(each().map(|(entrant, all)| record(row("writes"), entrant, &all.writes)));
    }
    records
}

fn record(row: String, entrant: &Entrant<u64>, nanos: &Histogram<u64>) -> Record {
    let figures = PERCENTILES.map(|(name, percent)| (name, nanos.value_at_percentile(percent) as f64));
    Record { table: Table::Latency, row, contender: entrant.contender.name, figures: figures.to_vec() }
}

/// All threads at once, each on its own core.
fn race(subject: &dyn Subject, batches: &[Vec<u64>]) -> Latencies {
    let run = |(nth, keys): (usize, &Vec<u64>)| {
        pin::pin(nth);
        subject.time(keys)
    };
    let run = &run;
    let mut all = Latencies::new();
    thread::scope(|scope| {
        let runners: Vec<_> = batches.iter().enumerate().map(|batch| scope.spawn(move || run(batch))).collect();
        runners.into_iter().for_each(|runner| all.add(&runner.join().expect("a failed check")));
    });
    all
}

/// `get`, and `insert` after a miss, with a watch on each.
pub fn read_through<K: Key, V: Value>(target: &impl Target<K, V>, keys: &[K]) -> Latencies {
    let mut latencies = Latencies::new();
    for key in keys {
        let (own, nanos) = timed(|| target.get(key).map(|value| value.belongs_to(key.token())));
        latencies.reads.saturating_record(nanos);
        assert_ne!(own, Some(false), "another key's value");
        if own.is_none() {
            let (key, value) = (key.clone(), V::of(key.token()));
            let ((), nanos) = timed(|| target.insert(key, value));
            latencies.writes.saturating_record(nanos);
        }
    }
    latencies
}

fn timed<R>(call: impl FnOnce() -> R) -> (R, u64) {
    let start = Instant::now();
    let result = call();
    (result, start.elapsed().as_nanos() as u64)
}
