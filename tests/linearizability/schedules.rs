//! Histories of schedules that shuttle draws: the same seed gives the same history. `HISTORIES` and `SEED` for more and for others.
//!
//! `RUSTFLAGS="--cfg brindle_shuttle" cargo test --release --test linearizability`

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Instant;

use shuttle::Config;
use shuttle::FailurePersistence;
use shuttle::Runner;
use shuttle::scheduler::PctScheduler;
use shuttle::scheduler::RandomScheduler;
use shuttle::scheduler::Scheduler;

use crate::history::History;
use crate::plans::Setup;
use crate::runs::Tally;
use crate::runs::calls;
use crate::runs::number;
use crate::runs::record;
use crate::setups::setups;

/// Schedules of one plan.
pub const SCHEDULES: usize = 8;
/// Changes of priority in a schedule of the second kind, and one.
const DEPTH: usize = 4;
/// Bytes of a thread's stack.
const STACK: usize = 1 << 18;

/// The histories of a seed: one plan, several schedules.
pub fn histories(setup: &Setup, seed: u64) -> Vec<History> {
    if seed.is_multiple_of(2) {
        explore(setup, seed, RandomScheduler::new_from_seed(seed, SCHEDULES))
    } else {
        explore(setup, seed, PctScheduler::new_from_seed(seed, DEPTH, SCHEDULES))
    }
}

fn explore(setup: &Setup, seed: u64, scheduler: impl Scheduler + 'static) -> Vec<History> {
    let mut config = Config::default();
    (config.stack_size, config.failure_persistence) = (STACK, FailurePersistence::None);
    config.silence_warnings = true;
    let found = Arc::new(Mutex::new(Vec::new()));
    let (setup, calls, written) = (setup.clone(), calls(setup, seed), Arc::clone(&found));
    Runner::new(scheduler, config).run(move || {
        let history = record(&setup, &calls);
        written.lock().unwrap().push(history);
    });
    std::mem::take(&mut *found.lock().unwrap())
}

/// Which setup a seed gets: each gets both kinds of schedules.
pub fn setup_of(setups: &[Setup], seed: u64) -> &Setup {
    &setups[(seed / 2) as usize % setups.len()]
}

#[test]
fn histories_of_schedules_are_linearizable() {
    let (wanted, first) = (number("HISTORIES", 20_000), number("SEED", 1));
    let (setups, begun, mut tally) = (setups(), Instant::now(), Tally::default());
    for seed in first..first + wanted.div_ceil(SCHEDULES as u64) {
        let setup = setup_of(&setups, seed);
        for history in histories(setup, seed) {
            tally.judge(setup, &history).unwrap_or_else(|why| panic!("HISTORIES=1 SEED={seed}, {why}"));
        }
    }
    println!("from seed {first} on in {:.1?}:", begun.elapsed());
    tally.close();
}
