//! Many threads ask for one key that is not there.

use std::hint::spin_loop;
use std::slice;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use super::Key;
use super::Tally;
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
/// between the first to ask and the last to have it. `ask` is given one key at a time.
pub fn stampede<K: Key>(
    keys: &[K],
    threads: usize,
    make_ready: &(dyn Fn(usize) + Sync),
    ask: &(dyn Fn(&[K]) -> Tally + Sync),
) -> (Duration, Tally) {
    let gate = Barrier::new(threads);
    let runner = |nth| {
        make_ready(nth);
        run(keys, &gate, ask)
    };
    let runner = &runner;
    let runners: Vec<_> = thread::scope(|scope| {
        let runners: Vec<_> = (0..threads).map(|nth| scope.spawn(move || runner(nth))).collect();
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
fn run<K>(keys: &[K], gate: &Barrier, ask: &(dyn Fn(&[K]) -> Tally + Sync)) -> (Vec<(Instant, Instant)>, Tally) {
    let mut tally = Tally::default();
    let lap = |key| {
        gate.wait();
        let start = Instant::now();
        tally = tally + ask(slice::from_ref(key));
        (start, Instant::now())
    };
    (keys.iter().map(lap).collect(), tally)
}
