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
    by_hand: Vec<f64>,
    tally: Tally,
}

/// Goes on with the keys where the run before has left them: those that are to be new to a contender stay so.
pub fn run(
    scenario: &Scenario,
    keys: &mut Keys,
    entrants: &[(&'static Contender, Entrant)],
    threads: usize,
    effort: Effort,
) -> Vec<Record> {
    warm_up(scenario, keys, entrants, effort);

    let batch = operations(scenario, effort);
    let mut laps: Vec<Laps> = entrants.iter().map(|_| Laps::default()).collect();
    for round in 0..effort.rounds {
        let mut batches = || scenario.batches(keys, threads, batch);
        let (warm, timed, by_hand) = (batches(), batches(), batches());
        for turn in 0..entrants.len() {
            let who = (round + turn) % entrants.len();
            // The contender before this one has swept the processor's caches.
            entrants[who].1.race(scenario.mix, &warm);
            let (time, tally) = entrants[who].1.race(scenario.mix, &timed);
            laps[who].nanos.push(time.as_nanos() as f64 / batch as f64);
            laps[who].tally.reads += tally.reads;
            laps[who].tally.hits += tally.hits;
            if let Some(mix) = scenario.by_hand {
                let (time, _) = entrants[who].1.race(mix, &by_hand);
                laps[who].by_hand.push(time.as_nanos() as f64 / batch as f64);
            }
        }
    }

    let row = format!("{}, {}", scenario.name, on(threads));
    let reference = entrants.iter().position(|(contender, _)| contender.is_reference()).expect("the reference takes every row");
    entrants
        .iter()
        .zip(&laps)
        .flat_map(|((contender, _), own)| records(&row, scenario, contender, own, &laps[reference]))
        .collect()
}

pub fn on(threads: usize) -> String {
    format!("{threads} thread{}", if threads == 1 { "" } else { "s" })
}

/// Operations of a thread in a round.
fn operations(scenario: &Scenario, effort: Effort) -> usize {
    (effort.batch / scenario.cost).max(1)
}

/// Fills caches that fill as they run, and lets each contender's code and memory settle.
fn warm_up(scenario: &Scenario, keys: &mut Keys, entrants: &[(&'static Contender, Entrant)], effort: Effort) {
    let batch = scenario.batch(keys, scenario.warm.max(operations(scenario, effort)));
    for (_, entrant) in entrants {
        entrant.play(scenario.mix, &batch);
    }
}

fn records(row: &str, scenario: &Scenario, contender: &'static Contender, own: &Laps, reference: &Laps) -> Vec<Record> {
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
    if !own.by_hand.is_empty() {
        let times = Spread::of(own.nanos.iter().zip(&own.by_hand).map(|(own, by_hand)| own / by_hand));
        let by_hand = Spread::of(own.by_hand.iter().copied());
        let figures = vec![
            ("times", times.median),
            ("times_q1", times.quarter),
            ("times_q3", times.three_quarters),
            ("ns", by_hand.median),
        ];
        records.push(record(Table::ByHand, figures));
    }
    let misses = 1.0 - own.tally.hits as f64 / own.tally.reads as f64;
    match scenario.threads {
        // All of them ask for each key.
        Some(threads) => records.push(record(Table::Loads, vec![("loads", misses * threads as f64)])),
        None if own.tally.reads > 0 => records.push(record(Table::HitRatio, vec![("hit_percent", 100.0 * (1.0 - misses))])),
        None => {}
    }
    records
}
