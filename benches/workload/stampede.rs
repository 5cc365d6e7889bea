//! Many threads ask for one key that is not there.

use std::hint::spin_loop;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use super::Key;
use super::Tally;
use super::Target;
use super::Value;

/// How long the loader is busy.
const LOAD: Duration = Duration::from_micros(50);

/// Loads as from a source that takes its time.
pub fn slow<V: Value>(token: u64) -> V {
    let end = Instant::now() + LOAD;
    while Instant::now() < end {
        spin_loop();
    }
    V::of(token)
}

/// `threads` threads ask for each key at once, and for the next when all have this one. The time is the sum, over the keys, of what passes
/// between the first to ask and the last to have it.
pub fn stampede<K: Key, V: Value>(
    target: &impl Target<K, V>,
    keys: &[K],
    threads: usize,
    make_ready: impl Fn(usize) + Sync,
) -> (Duration, Tally) {
    let gate = Barrier::new(threads);
    let run = |nth| {
        make_ready(nth);
        run(target, keys, &gate)
    };
    let run = &run;
    let runners: Vec<_> = thread::scope(|scope| {
        let runners: Vec<_> = (0..threads).map(|nth| scope.spawn(move || run(nth))).collect();
        runners.into_iter().map(|runner| runner.join().expect("a failed check")).collect()
    });

    let time = (0..keys.len()).map(|key| {
        let laps = || runners.iter().map(|(laps, _)| laps[key]);
        let first = laps().map(|(start, _)| start).min().expect("at least one thread");
        let last = laps().map(|(_, end)| end).max().expect("at least one thread");
        last - first
    });
    (time.sum(), runners.iter().map(|(_, tally)| *tally).sum())
}

/// One of the threads: when it asked for each key, and when it had it.
fn run<K: Key, V: Value>(target: &impl Target<K, V>, keys: &[K], gate: &Barrier) -> (Vec<(Instant, Instant)>, Tally) {
    let mut tally = Tally::default();
    let lap = |key: &K| {
        gate.wait();
        let start = Instant::now();
        tally.load(target, key, slow);
        (start, Instant::now())
    };
    (keys.iter().map(lap).collect(), tally)
}
