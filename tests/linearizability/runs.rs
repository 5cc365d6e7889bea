//! From a seed to a judged history.

use std::env;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::checker::Verdict;
use crate::checker::check;
use crate::common::Rng;
use crate::contents::Contents;
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
/// Histories in which there is some of everything.
const ENOUGH: u64 = 2_000;

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

/// Histories judged so far.
#[derive(Default)]
pub struct Tally {
    histories: u64,
    undecided: u64,
    contents: Contents,
}

impl Tally {
    /// `Err` says why a history is none of a cache.
    pub fn judge(&mut self, setup: &Setup, history: &History) -> Result<(), String> {
        let verdict = check(history, &setup.rules).map_err(|rejected| {
            let what = report(history, &setup.rules, &rejected);
            format!("{}: not linearizable\n{what}", setup.name)
        })?;
        self.histories += 1;
        self.undecided += u64::from(verdict == Verdict::Undecided);
        self.contents.add(history);
        Ok(())
    }

    /// Says what there was, and sees that it was enough.
    pub fn close(&self) {
        let Tally { histories, undecided, contents } = self;
        println!("{histories} histories, {undecided} of them undecided, with so many of these:\n{contents}");
        assert!(*undecided <= histories / 1000, "{undecided} of {histories} histories are undecided");
        let rare = contents.rarer_than(histories / 1000);
        assert!(*histories < ENOUGH || rare.is_empty(), "there was too little of {rare:?}");
    }
}

/// A number from the environment.
pub fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
