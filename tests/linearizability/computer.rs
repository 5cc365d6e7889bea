//! Histories of real threads. `HISTORIES` and `SEED` for more and for others.

use std::time::Instant;

use crate::checker::Verdict;
use crate::runs::calls;
use crate::runs::judge;
use crate::runs::number;
use crate::runs::record;
use crate::setups::setups;

#[test]
fn histories_of_threads_are_linearizable() {
    let (histories, first) = (number("HISTORIES", 8000), number("SEED", 1));
    let (setups, begun, mut undecided) = (setups(), Instant::now(), 0);
    for seed in first..first + histories {
        let setup = &setups[seed as usize % setups.len()];
        match judge(setup, &record(setup, &calls(setup, seed))) {
            Ok(verdict) => undecided += u64::from(verdict == Verdict::Undecided),
            Err(why) => panic!("seed {seed}, {why}"),
        }
    }
    println!("{histories} histories from seed {first} on in {:.1?}, {undecided} of them undecided", begun.elapsed());
    assert!(undecided <= histories / 1000, "{undecided} of {histories} histories are undecided");
}
