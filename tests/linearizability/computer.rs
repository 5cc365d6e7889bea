//! Histories of real threads. `HISTORIES` and `SEED` for more and for others.

use std::env;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use crate::common::watched;
use crate::runs::Tally;
use crate::runs::calls;
use crate::runs::number;
use crate::runs::record;
use crate::setups::setups;

/// Histories under one watch: a hang fails.
const WATCHED: u64 = 100;
/// Who does not say how many gets no more than there is time for: where others have the processor, each pause in a history lasts as long.
const ENOUGH: Duration = Duration::from_secs(120);

fn judge_all(seeds: Range<u64>, tally: &Mutex<Tally>) {
    let setups = setups();
    for seed in seeds {
        let setup = &setups[seed as usize % setups.len()];
        let history = record(setup, &calls(setup, seed));
        let judged = tally.lock().unwrap().judge(setup, &history);
        judged.unwrap_or_else(|why| panic!("seed {seed}, {why}"));
    }
}

#[test]
fn histories_of_threads_are_linearizable() {
    let (histories, first) = (number("HISTORIES", 6000), number("SEED", 1));
    let (begun, tally) = (Instant::now(), Arc::new(Mutex::new(Tally::default())));
    let in_time = |_: &u64| env::var_os("HISTORIES").is_some() || begun.elapsed() < ENOUGH;
    for from in (first..first + histories).step_by(WATCHED as usize).take_while(in_time) {
        let (seeds, tally) = (from..(from + WATCHED).min(first + histories), Arc::clone(&tally));
        watched(move || judge_all(seeds, &tally));
    }
    println!("from seed {first} on in {:.1?}:", begun.elapsed());
    tally.lock().unwrap().close();
}
