//! How a model is played, and how it is seen that it would notice what is broken.

use std::cell::Cell;
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
use loom::thread;
use loom::thread::JoinHandle;

use crate::builder::Builder;
use crate::cache::Cache;
use crate::core::Lease;
use crate::face::Leased;
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
///
/// Loom tries two accesses in the other order where it has seen them follow each other. It forgets a thread's read when another thread
/// reads the same, and if that goes on to write, the order of these two is not tried. So each scene is played from two ends: first those
/// who spawn go on, then those who are spawned begin.
pub(super) fn explore(scene: impl Fn() + Send + Sync + 'static) {
    let scene = Arc::new(scene);
    let check = || SPAWNED_BEGIN.iter().map(|&begin| check_from(begin, Arc::clone(&scene))).sum::<usize>();
    let schedules = match Broken::ALL.iter().find(|mechanism| var(WITHOUT) == Ok(format!("{mechanism:?}"))) {
        Some(&mechanism) => without(mechanism, check),
        None => check(),
    };
    println!("{schedules} schedules of {}", current().name().unwrap_or_default());
}

/// How many schedules there were.
fn check_from(begin: bool, scene: Arc<impl Fn() + Send + Sync + 'static>) -> usize {
    let mut builder = model::Builder::new();
    builder.max_branches = BRANCHES;
    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS));
    let schedules = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&schedules);
    DO_SPAWNED_BEGIN.set(begin);
    builder.check(move || {
        counting.fetch_add(1, Ordering::Relaxed);
        scene();
    });
    schedules.load(Ordering::Relaxed)
}

/// A thread of the scene.
pub(super) fn spawn<T: 'static>(run: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    let spawned = thread::spawn(run);
    if DO_SPAWNED_BEGIN.get() {
        thread::yield_now();
    }
    spawned
}

/// A thread of the scene with a handle of the cache.
pub(super) fn beside<V: 'static, T: 'static>(
    cache: &Cache<u64, V, Itself>,
    run: impl FnOnce(&Cache<u64, V, Itself>) -> T + 'static,
) -> JoinHandle<T> {
    let cache = cache.clone();
    spawn(move || run(&cache))
}

const SPAWNED_BEGIN: [bool; 2] = [false, true];

std::thread_local! {
    // Of the thread of the operating system, on which the whole model is played.
    static DO_SPAWNED_BEGIN: Cell<bool> = const { Cell::new(false) };
}

/// Plays the model `scene` without `mechanism`: what it said if it failed. In a process of its own: what is left of a model that failed
/// cannot always be cleaned up.
pub(super) fn failure_without(mechanism: Broken, scene: &str) -> Result<String, &'static str> {
    let mut command = Command::new(current_exe().expect("this test"));
    command.args([&format!("models::{scene}"), "--exact", "--nocapture"]).env(WITHOUT, format!("{mechanism:?}"));
    command.env("RUST_BACKTRACE", "0");
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

/// The lease of key 1, which nobody has.
pub(super) fn lease(cache: &Numbers) -> Lease<u64, u64> {
    match cache.get_or_lease(&1, None) {
        Leased::Lease(lease) => lease,
        other => unreachable!("nobody else loads: {other:?}"),
    }
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
