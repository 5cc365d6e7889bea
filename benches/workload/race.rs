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
    match batches {
        [alone] if mix != Mix::Stampede => {
            let (start, end, tally) = lap(target, mix, alone);
            (end - start, tally)
        }
        _ => race_on(target, mix, batches, |_| {}),
    }
}

/// The same, always on threads of their own, each of which makes itself ready: it is told which of them it is.
pub fn race_on<K: Key, V: Value>(
    target: &impl Target<K, V>,
    mix: Mix,
    batches: &[Vec<K>],
    make_ready: impl Fn(usize) + Sync,
) -> (Duration, Tally) {
    if let [keys, ..] = batches
        && mix == Mix::Stampede
    {
        return stampede::stampede(target, keys, batches.len(), make_ready);
    }

    let start = Barrier::new(batches.len());
    let run = |(nth, keys): (usize, &[K])| {
        make_ready(nth);
        start.wait();
        lap(target, mix, keys)
    };
    let run = &run;
    let laps: Vec<_> = thread::scope(|scope| {
        let runners: Vec<_> = batches.iter().enumerate().map(|(nth, keys)| scope.spawn(move || run((nth, keys)))).collect();
        runners.into_iter().map(|runner| runner.join().expect("a failed check")).collect()
    });

    let first = laps.iter().map(|lap| lap.0).min().expect("at least one batch");
    let last = laps.iter().map(|lap| lap.1).max().expect("at least one batch");
    (last - first, laps.iter().map(|lap| lap.2).sum())
}

fn lap<K: Key, V: Value>(target: &impl Target<K, V>, mix: Mix, keys: &[K]) -> (Instant, Instant, Tally) {
    let start = Instant::now();
    let tally = play(target, mix, keys);
    (start, Instant::now(), tally)
}
