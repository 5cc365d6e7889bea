//! How a model is played, and how it is seen that it would notice what is broken.

use std::env::current_exe;
use std::env::var;
use std::hash::BuildHasher;
use std::hash::Hasher;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use loom::model::Builder;

use crate::cache::Cache;
use crate::sync::Broken;
use crate::sync::without;
use crate::time::Clock;

/// Preemptions of a schedule, unless `LOOM_MAX_PREEMPTIONS` says otherwise.
const PREEMPTIONS: usize = 2;

/// Names the mechanism that is to be taken out in this process.
const WITHOUT: &str = "BRINDLE_WITHOUT";

/// Plays every schedule of `scene`.
pub(super) fn explore(scene: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS));
    let schedules = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&schedules);
    let check = move || {
        builder.check(move || {
            counting.fetch_add(1, Ordering::Relaxed);
            scene();
        });
    };
    match Broken::ALL.iter().find(|mechanism| var(WITHOUT) == Ok(format!("{mechanism:?}"))) {
        Some(&mechanism) => without(mechanism, check),
        None => check(),
    }
    println!("{} schedules", schedules.load(Ordering::Relaxed));
}

/// The model `scene` must fail when `mechanism` is taken out. In a process of its own: what is left of a model that failed cannot always
/// be cleaned up.
pub(super) fn misses(scene: &str, mechanism: Broken) {
    let mut command = Command::new(current_exe().expect("this test"));
    command.args([&format!("models::{scene}"), "--exact", "--nocapture"]).env(WITHOUT, format!("{mechanism:?}"));
    let output = command.output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("running 1 test"), "there is no model `{scene}`");
    assert!(!output.status.success(), "`{scene}` does not miss {mechanism:?}: {said}");
}

/// The small cache of most scenes: one stripe, a clock that stands still.
pub(super) fn cache(capacity: u64) -> Cache<u64, u64, Itself> {
    Cache::builder().max_capacity(capacity).stripes(1).clock(Clock::mock().0).hasher(Itself).build().expect("it can be built")
}

/// Hashes an integer to itself.
#[derive(Clone, Copy)]
pub(super) struct Itself;

pub(super) struct Number(u64);

impl BuildHasher for Itself {
    type Hasher = Number;

    fn build_hasher(&self) -> Number {
        Number(0)
    }
}

impl Hasher for Number {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, &byte| hash.rotate_left(8) ^ u64::from(byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
