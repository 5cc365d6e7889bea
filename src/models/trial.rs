//! How a model is played, and how it is seen that it would notice what is broken.

use std::env::current_exe;
use std::env::var;
use std::hash::BuildHasher;
use std::hash::Hasher;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread::current;

use loom::model;

use crate::builder::Builder;
use crate::cache::Cache;
use crate::sync::Broken;
use crate::sync::without;
use crate::time::Clock;

/// Preemptions of a schedule, unless `LOOM_MAX_PREEMPTIONS` says otherwise.
const PREEMPTIONS: usize = 2;

/// Steps of a schedule at which threads may change, at most.
const BRANCHES: usize = 10_000;

/// Names the mechanism that is to be taken out in this process.
const WITHOUT: &str = "BRINDLE_WITHOUT";

/// Plays every schedule of `scene`.
pub(super) fn explore(scene: impl Fn() + Send + Sync + 'static) {
    let mut builder = model::Builder::new();
    builder.max_branches = BRANCHES;
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
    println!("{} schedules of {}", schedules.load(Ordering::Relaxed), current().name().unwrap_or_default());
}

/// Plays the model `scene` without `mechanism`: what it said if it failed. In a process of its own: what is left of a model that failed
/// cannot always be cleaned up.
pub(super) fn failure_without(mechanism: Broken, scene: &str) -> Result<String, &'static str> {
    let mut command = Command::new(current_exe().expect("this test"));
    command.args([&format!("models::{scene}"), "--exact", "--nocapture"]).env(WITHOUT, format!("{mechanism:?}"));
    let output = command.output().expect("it can be started");
    if !String::from_utf8_lossy(&output.stdout).contains("running 1 test") {
        return Err("is no model");
    }
    if output.status.success() {
        return Err("does not miss it");
    }
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The small cache of most scenes: one stripe, a clock that stands still. Its reads are all watched by the policy.
pub(super) fn cache(capacity: u64) -> Numbers {
    small(capacity).build().expect(BUILT)
}

/// What the small cache is built from.
pub(super) fn small<V>(capacity: u64) -> Builder<u64, V, Itself> {
    Cache::builder().max_capacity(capacity).stripes(1).clock(Clock::mock().0).hasher(Itself)
}

/// A cache of two stripes without a bound, whose reads nobody watches: they go the short way.
pub(super) fn roomy<V>() -> Cache<u64, V, Itself> {
    Cache::builder().stripes(2).clock(Clock::mock().0).hasher(Itself).build().expect(BUILT)
}

pub(super) type Numbers = Cache<u64, u64, Itself>;

pub(super) const BUILT: &str = "it can be built";

/// Keys that are not watched in a roomy cache, in one stripe or the other.
pub(super) const HERE: u64 = 1 << 16;
pub(super) const THERE: u64 = 1 << 48 | HERE;

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
