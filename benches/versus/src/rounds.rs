//! Interleaved rounds: in each, every contender runs the same operations, and another one begins.

use crate::contenders::{Contender, Subject};
use crate::record::{Record, Table};
use crate::rows::Effort;
use crate::spread::Spread;
use crate::workload::{Keys, Scenario, Tally};

pub type Entrant = Box<dyn Subject>;

/// What one contender did, round by round.
#[derive(Default)]
struct Laps {
    nanos: Vec<f64>,
    tally: Tally,
}

pub fn run(scenario: &Scenario, entrants: &[(&'static Contender, Entrant)], threads: usize, effort: Effort) -> Vec<Record> {
    let mut keys = scenario.keys();
    warm_up(scenario, &mut keys, entrants, effort);

    let mut laps: Vec<Laps> = entrants.iter().map(|_| Laps::default()).collect();
    for round in 0..effort.rounds {
        let mut batches = || -> Vec<Vec<u64>> { (0..threads).map(|_| scenario.batch(&mut keys, effort.batch)).collect() };
        let (warm, timed) = (batches(), batches());
        for turn in 0..entrants.len() {
            let who = (round + turn) % entrants.len();
            // The contender before this one has swept the processor's caches.
            entrants[who].1.race(scenario.mix, &warm);
            let (time, tally) = entrants[who].1.race(scenario.mix, &timed);
            laps[who].nanos.push(time.as_nanos() as f64 / effort.batch as f64);
            laps[who].tally.reads += tally.reads;
            laps[who].tally.hits += tally.hits;
        }
    }

    let row = format!("{}, {}", scenario.name, on(threads));
    let reference = entrants.iter().position(|(contender, _)| contender.is_reference()).expect("the reference takes every row");
    entrants.iter().zip(&laps).flat_map(|((contender, _), own)| records(&row, contender, own, &laps[reference])).collect()
}

pub fn on(threads: usize) -> String {
    format!("{threads} thread{}", if threads == 1 { "" } else { "s" })
}

/// Fills caches that fill as they run, and lets each contender's code and memory settle.
fn warm_up(scenario: &Scenario, keys: &mut Keys, entrants: &[(&'static Contender, Entrant)], effort: Effort) {
    let batch = scenario.batch(keys, scenario.warm.max(effort.batch));
    for (_, entrant) in entrants {
        entrant.play(scenario.mix, &batch);
    }
}

fn records(row: &str, contender: &'static Contender, own: &Laps, reference: &Laps) -> Vec<Record> {
    let ratio = Spread::of(reference.nanos.iter().zip(&own.nanos).map(|(other, own)| other / own));
    let nanos = Spread::of(own.nanos.iter().copied());
    let record = |table, figures| Record { table, row: row.to_owned(), contender: contender.name, figures };

    let mut records = vec![record(
        Table::Speed,
        vec![
            ("ratio", ratio.median),
            ("ratio_q1", ratio.quarter),
            ("ratio_q3", ratio.three_quarters),
            ("ns", nanos.median),
            ("ns_q1", nanos.quarter),
            ("ns_q3", nanos.three_quarters),
        ],
    )];
    if own.tally.reads > 0 {
        let percent = 100.0 * own.tally.hits as f64 / own.tally.reads as f64;
        records.push(record(Table::HitRatio, vec![("hit_percent", percent)]));
    }
    records
}
