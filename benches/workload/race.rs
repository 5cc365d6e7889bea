//! Threads that play at once.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use super::Key;
use super::Mix;
use super::Tally;
use super::Target;
use super::Value;
use super::play;
use super::stampede;

/// Plays each batch on a thread of its own, a single one on this. The time runs from the first to start until the last to end.
pub fn race<K: Key, V: Value>(target: &impl Target<K, V>, mix: Mix, batches: &[Vec<K>]) -> (Duration, Tally) {
    let run = |keys: &[K]| play(target, mix, keys);
    match batches {
        [keys, ..] if mix == Mix::Stampede => stampede(keys, batches.len(), &|_| {}, &run),
        [alone] => {
            let (start, end, tally) = lap(alone, &run);
            (end - start, tally)
        }
        _ => race_on(batches, &|_| {}, &run),
    }
}

/// The same, always on threads of their own, each of which makes itself ready: it is told which of them it is.
pub fn race_on<K: Key>(
    batches: &[Vec<K>],
    make_ready: &(dyn Fn(usize) + Sync),
    run: &(dyn Fn(&[K]) -> Tally + Sync),
) -> (Duration, Tally) {
    let start = Barrier::new(batches.len());
    let runner = |nth: usize| {
        make_ready(nth);
        start.wait();
        lap(&batches[nth], run)
    };
    let runner = &runner;
    let laps: Vec<_> = thread::scope(|scope| {
        let runners: Vec<_> = (0..batches.len()).map(|nth| scope.spawn(move || runner(nth))).collect();
        runners.into_iter().map(|runner| runner.join().expect("a failed check")).collect()
    });

    let first = laps.iter().map(|lap| lap.0).min().expect("at least one batch");
    let last = laps.iter().map(|lap| lap.1).max().expect("at least one batch");
    (last - first, laps.iter().map(|lap| lap.2).sum())
}

fn lap<K>(keys: &[K], run: &(dyn Fn(&[K]) -> Tally + Sync)) -> (Instant, Instant, Tally) {
    let start = Instant::now();
    let tally = run(keys);
    (start, Instant::now(), tally)
}
