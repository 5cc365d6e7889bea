//! From a seed to a judged history.

use std::env;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

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
use crate::shrink::report;
use crate::threads::dither;
use crate::threads::together;

/// Calls of one history.
const CALLS: usize = 48;

pub fn calls(setup: &Setup, seed: u64) -> Vec<Vec<Call>> {
    plan(setup, &mut Rng::new(seed), CALLS)
}

/// Makes the calls of a plan, a thread for each part of it.
pub fn record(setup: &Setup, calls: &[Vec<Call>]) -> History {
    let logs = Arc::new(Mutex::new(Vec::new()));
    let (written, setup, calls, recorder) = (Arc::clone(&logs), setup.clone(), calls.to_vec(), Recorder::default());
    let (cache, clock) = setup.build();
    together(setup.threads, move |thread| {
        let player = Player::new(&cache, &clock, &setup, Log::new(&recorder, thread));
        for call in &calls[thread] {
            dither();
            player.play(call);
        }
        written.lock().unwrap().push(player.log.into_history());
    });
    let logs = std::mem::take(&mut *logs.lock().unwrap_or_else(PoisonError::into_inner));
    merge(logs)
}

/// `Err` says why it is none of a cache.
pub fn judge(setup: &Setup, history: &History) -> Result<Verdict, String> {
    check(history, &setup.rules).map_err(|rejected| {
        let what = report(history, &setup.rules, &rejected);
        format!("{}: not linearizable\n{what}", setup.name)
    })
}

/// A number from the environment.
pub fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
