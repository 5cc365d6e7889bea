//! Histories of real threads.

use std::env;
use std::sync::Mutex;
use std::time::Instant;

use crate::checker::Verdict;
use crate::checker::check;
use crate::common::Rng;
use crate::history::History;
use crate::plans::Call;
use crate::plans::Setup;
use crate::plans::plan;
use crate::player::Player;
use crate::recorder::Log;
use crate::recorder::Recorder;
use crate::recorder::merge;
use crate::setups::setups;
use crate::shrink::report;
use crate::threads::dither;
use crate::threads::together;

/// Calls of one history.
pub const CALLS: usize = 48;

/// Makes the calls of a plan, a thread for each part of it.
pub fn record(setup: &Setup, calls: &[Vec<Call>]) -> History {
    let (cache, clock) = setup.build();
    let recorder = Recorder::default();
    let logs = Mutex::new(Vec::new());
    together(setup.threads, |thread| {
        let player = Player::new(&cache, &clock, setup, Log::new(&recorder, thread));
        for call in &calls[thread] {
            dither();
            player.play(call);
        }
        logs.lock().unwrap().push(player.log.into_history());
    });
    merge(logs.into_inner().unwrap())
}

/// The history of a seed, judged: `Err` says why it is none of a cache.
pub fn judge(setup: &Setup, seed: u64) -> Result<Verdict, String> {
    let calls = plan(setup, &mut Rng::new(seed), CALLS);
    let history = record(setup, &calls);
    check(&history, &setup.rules).map_err(|rejected| {
        let what = report(&history, &setup.rules, &rejected);
        format!("{}, seed {seed}: not linearizable\n{what}", setup.name)
    })
}

pub fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn histories_of_threads_are_linearizable() {
    let (histories, seed) = (number("HISTORIES", 3000), number("SEED", 1));
    let (setups, begun) = (setups(), Instant::now());
    let mut undecided = 0;
    for number in 0..histories {
        let setup = &setups[number as usize % setups.len()];
        match judge(setup, seed + number) {
            Ok(verdict) => undecided += u64::from(verdict == Verdict::Undecided),
            Err(why) => panic!("{why}"),
        }
    }
    println!("{histories} histories from seed {seed} in {:.1?}, {undecided} of them undecided", begun.elapsed());
    assert!(undecided <= histories / 1000, "{undecided} of {histories} histories are undecided");
}
