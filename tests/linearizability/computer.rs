//! Histories of real threads. `HISTORIES` and `SEED` for more and for others.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use crate::checker::Verdict;
use crate::common::watched;
use crate::runs::calls;
use crate::runs::judge;
use crate::runs::number;
use crate::runs::record;
use crate::setups::setups;

/// Histories under one watch: a hang fails.
const WATCHED: u64 = 500;

/// How many of these took too long to decide.
fn judge_all(seeds: Range<u64>) -> u64 {
    let (setups, mut undecided) = (setups(), 0);
    for seed in seeds {
        let setup = &setups[seed as usize % setups.len()];
        match judge(setup, &record(setup, &calls(setup, seed))) {
            Ok(verdict) => undecided += u64::from(verdict == Verdict::Undecided),
            Err(why) => panic!("seed {seed}, {why}"),
        }
    }
    undecided
}

#[test]
fn histories_of_threads_are_linearizable() {
    let (histories, first) = (number("HISTORIES", 8000), number("SEED", 1));
    let (begun, undecided) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    for from in (first..first + histories).step_by(WATCHED as usize) {
        let (seeds, undecided) = (from..(from + WATCHED).min(first + histories), Arc::clone(&undecided));
        watched(move || _ = undecided.fetch_add(judge_all(seeds), SeqCst));
    }
    let undecided = undecided.load(SeqCst);
    println!("{histories} histories from seed {first} on in {:.1?}, {undecided} of them undecided", begun.elapsed());
    assert!(undecided <= histories / 1000, "{undecided} of {histories} histories are undecided");
}
