//! What the tests of bad input share: a watchdog, planned panics, random numbers, values that keep count of themselves.

#![allow(dead_code, reason = "every test binary uses its own part of it")]

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::common::patience::patient;

/// Ten times what the slowest test takes on an idle machine, and more: on one that is five times as slow and busy besides only a hang gets there.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs a test on a thread of its own and fails when it does not come to an end.
pub(crate) fn watched(test: impl FnOnce() + Send + 'static) {
    watched_for(PATIENCE, test);
}

/// As [`watched`], for tests that are known to take longer.
pub(crate) fn watched_for(patience: Duration, test: impl FnOnce() + Send + 'static) {
    let (done, finished) = channel();
    let patience = patient(patience);
    let name = thread::current().name().unwrap_or("watched").to_string();
    let worker = thread::Builder::new().name(name).spawn(move || {
        test();
        let _ = done.send(());
    });
    let worker = worker.expect("a thread");
    match finished.recv_timeout(patience) {
        // The thread is left where it hangs.
        Err(RecvTimeoutError::Timeout) => panic!("the test hangs: not done after {patience:?}"),
        Ok(()) | Err(RecvTimeoutError::Disconnected) => worker.join().unwrap_or_else(|panic| resume_unwind(panic)),
    }
}

/// The payload of a panic that a test wanted.
pub(crate) struct Planned;

/// Panics without a word on the standard error output.
pub(crate) fn planned() -> ! {
    resume_unwind(Box::new(Planned))
}

/// Panics as planned, unless this thread is unwinding already: a second panic would end the process.
pub(crate) fn planned_in_drop() {
    if !thread::panicking() {
        planned();
    }
}

/// The answer, or `None` if there was a planned panic; any other panic goes on.
pub(crate) fn survives<R>(call: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(answer) => Some(answer),
        Err(panic) if panic.is::<Planned>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// SplitMix64: enough for tests, and the seed says it all.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Knows of every [`Counted`] value how often it was dropped.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Vec<u32>>>);

impl Ledger {
    pub(crate) fn value(&self, number: u64) -> Counted {
        let mut drops = self.0.lock().expect("never poisoned");
        drops.push(0);
        Counted { number, serial: drops.len() - 1, ledger: self.clone() }
    }

    /// Values made so far.
    pub(crate) fn made(&self) -> usize {
        self.0.lock().expect("never poisoned").len()
    }

    /// Values not dropped yet.
    pub(crate) fn alive(&self) -> usize {
        self.0.lock().expect("never poisoned").iter().filter(|&&drops| drops == 0).count()
    }

    /// Fails unless every value was dropped exactly once.
    #[track_caller]
    pub(crate) fn all_dropped_once(&self) {
        let drops = self.0.lock().expect("never poisoned");
        let wrong: Vec<_> = drops.iter().enumerate().filter(|&(_, &drops)| drops != 1).take(10).collect();
        assert!(wrong.is_empty(), "of {} values these were dropped so often: {wrong:?}", drops.len());
    }
}

/// A value whose drop is counted; clones count as values of their own.
pub(crate) struct Counted {
    pub(crate) number: u64,
    serial: usize,
    ledger: Ledger,
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.ledger.value(self.number)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.ledger.0.lock().expect("never poisoned")[self.serial] += 1;
    }
}
