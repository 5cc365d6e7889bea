//! Interleaved rounds: in each, every contender runs the same operations, and another one begins.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::args::Args;
use crate::contenders::Contender;
use crate::contenders::Subject;
use crate::effort::Effort;
use crate::own_time;
use crate::pin;
use crate::progress::Progress;
use crate::record::Record;
use crate::record::Table;
use crate::spread::Spread;
use crate::workload;
use crate::workload::Key;
use crate::workload::Keys;
use crate::workload::Mix;
use crate::workload::Scenario;
use crate::workload::Tally;

pub struct Entrant<K> {
    pub contender: &'static Contender,
    pub subject: Box<dyn Subject<K>>,
}

/// What one contender did, round by round.
#[derive(Default)]
struct Laps {
    nanos: Vec<f64>,
    by_hand: Vec<f64>,
    tally: Tally,
}

/// All that take the scenario, ready to run.
pub fn entrants<K>(args: &Args, scenario: &Scenario, enter: impl Fn(&Contender) -> Box<dyn Subject<K>>) -> Vec<Entrant<K>> {
    let takers = args.contenders.iter().filter(|contender| contender.takes(scenario));
    takers.map(|&contender| Entrant { contender, subject: enter(contender) }).collect()
}

/// Fills caches that fill as they run.
pub fn warm_up<K: Key>(scenario: &Scenario, keys: &mut Keys, entrants: &[Entrant<K>]) {
    let batch = scenario.batch(keys, scenario.warm);
    for entrant in entrants {
        entrant.subject.play(scenario.mix, &batch);
    }
}

/// Goes on with the keys where the run before has left them: those that are to be new to a contender stay so.
pub fn run<K: Key>(
    scenario: &Scenario,
    keys: &mut Keys,
    entrants: &[Entrant<K>],
    threads: usize,
    effort: Effort,
    progress: &mut Progress,
) -> Vec<Record> {
    let batch = effort.operations(scenario, threads);
    let mut laps: Vec<Laps> = entrants.iter().map(|_| Laps::default()).collect();
    for round in 0..effort.rounds {
        let mut batches = || scenario.batches(keys, threads, batch);
        let warm = if scenario.mix == Mix::Stampede { Vec::new() } else { batches() };
        let timed = batches();
        let by_hand = scenario.by_hand.map(|mix| (mix, batches(), batches()));
        for turn in 0..entrants.len() {
            let who = (round + turn) % entrants.len();
            let Entrant { contender, subject } = &entrants[who];
            progress.at(contender.name);
            let (time, tally) = race(&**subject, scenario.mix, &warm, &timed, effort.own_time);
            laps[who].nanos.push(time.as_nanos() as f64 / batch as f64);
            laps[who].tally = laps[who].tally + tally;
            if let Some((mix, warm, timed)) = &by_hand {
                let (time, _) = race(&**subject, *mix, warm, timed, effort.own_time);
                laps[who].by_hand.push(time.as_nanos() as f64 / batch as f64);
            }
        }
    }

    let reference = entrants.iter().position(|entrant| entrant.contender.reference).expect("some reference takes every row");
    let each = entrants.iter().zip(&laps);
    each.flat_map(|(entrant, own)| records(scenario, threads, entrant.contender, own, &laps[reference])).collect()
}

/// Plays each timed batch on a thread of its own, pinned to a core; after the same thread has played its part of `warm`, untimed, since whoever
/// ran before has swept the processor's caches. The time is that on the wall, or the own time of the thread that took most.
fn race<K: Key>(subject: &dyn Subject<K>, mix: Mix, warm: &[Vec<K>], timed: &[Vec<K>], own: bool) -> (Duration, Tally) {
    let make_ready = |nth: usize| {
        pin::pin(nth);
        if let Some(keys) = warm.get(nth) {
            subject.play(mix, keys);
        }
    };
    let most = AtomicU64::new(0);
    let play = |keys: &[K]| {
        let now = || own.then(own_time::now).flatten();
        let start = now();
        let tally = subject.play(mix, keys);
        if let Some((start, end)) = start.zip(now()) {
            most.fetch_max((end - start).as_nanos() as u64, Relaxed);
        }
        tally
    };
    let (time, tally) = match timed {
        // What matters there is who waits for whom.
        [keys, ..] if mix == Mix::Stampede => {
            return workload::stampede(keys, timed.len(), &make_ready, &|keys| subject.play(mix, keys));
        }
        _ => workload::race_on(timed, &make_ready, &play),
    };
    (if own { Duration::from_nanos(most.into_inner()) } else { time }, tally)
}

pub fn on(threads: usize) -> String {
    format!("{threads} thread{}", if threads == 1 { "" } else { "s" })
}

fn records(scenario: &Scenario, threads: usize, contender: &'static Contender, own: &Laps, reference: &Laps) -> Vec<Record> {
    let row = format!("{}, {}", scenario.name, on(threads));
    let record = |table, figures| Record { table, row: row.clone(), contender: contender.name, figures };
    let percent = |part, whole| 100.0 * part as f64 / whole as f64;

    let ratio = Spread::of(reference.nanos.iter().zip(&own.nanos).map(|(other, own)| other / own));
    let nanos = Spread::of(own.nanos.iter().copied());
    let mut figures = [ratio.figures(["ratio", "ratio_q1", "ratio_q3"]), nanos.figures(["ns", "ns_q1", "ns_q3"])].concat();
    figures.push(("threads", threads as f64));
    let mut records = vec![record(Table::Speed, figures)];

    if !own.by_hand.is_empty() {
        let times = Spread::of(own.nanos.iter().zip(&own.by_hand).map(|(own, by_hand)| own / by_hand));
        let by_hand = Spread::of(own.by_hand.iter().copied());
        let mut figures = times.figures(["times", "times_q1", "times_q3"]).to_vec();
        figures.push(("ns", by_hand.median));
        records.push(record(Table::ByHand, figures));
    }
    let Tally { reads, hits, writes, accepted } = own.tally;
    match scenario.mix {
        // All of them ask for each key.
        Mix::Stampede => {
            records.push(record(Table::Loads, vec![("loads", (reads - hits) as f64 * threads as f64 / reads as f64)]))
        }
        _ if reads > 0 => records.push(record(Table::HitRatio, vec![("hit_percent", percent(hits, reads))])),
        _ => {}
    }
    if writes > 0 {
        records.push(record(Table::Accepted, vec![("accepted_percent", percent(accepted, writes))]));
    }
    records
}
