//! The timed loops. Every value that comes back is checked.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::{Target, Value, shuffled};

/// What is done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// `get`.
    Get,
    /// The value is looked at where it lies.
    With,
    /// `insert`.
    Insert,
    /// `get`, and `insert` after a miss.
    ReadThrough,
    /// `get`, or `insert` if the key carries [`Mix::WRITE`].
    ReadWrite,
    /// `remove`, then `insert`.
    Churn,
}

impl Mix {
    /// Marks a key as one to write.
    pub const WRITE: u64 = 1 << 63;
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub reads: u64,
    pub hits: u64,
}

impl Tally {
    #[inline(always)]
    fn read<V: Value>(&mut self, key: u64, value: Option<V>) -> bool {
        self.looked(value.map(|value| value.belongs_to(key)))
    }

    /// Counts a read: whether the value was the key's own, if there was one.
    #[inline(always)]
    fn looked(&mut self, own: Option<bool>) -> bool {
        assert_ne!(own, Some(false), "a read was answered with another key's value");
        self.reads += 1;
        self.hits += u64::from(own.is_some());
        own.is_some()
    }
}

/// Puts the keys `0..n` in.
pub fn fill<V: Value>(target: &impl Target<V>, n: u64) {
    for key in shuffled(n) {
        target.insert(key, V::of(key));
    }
}

pub fn play<V: Value>(target: &impl Target<V>, mix: Mix, keys: &[u64]) -> Tally {
    let mut tally = Tally::default();
    match mix {
        Mix::Get => {
            for &key in keys {
                tally.read(key, target.get(&key));
            }
        }
        Mix::With => {
            for &key in keys {
                tally.looked(target.with(&key, |value| value.belongs_to(key)));
            }
        }
        Mix::Insert => {
            for &key in keys {
                target.insert(key, V::of(key));
            }
        }
        Mix::ReadThrough => {
            for &key in keys {
                if !tally.read(key, target.get(&key)) {
                    target.insert(key, V::of(key));
                }
            }
        }
        Mix::ReadWrite => {
            for &mark in keys {
                let key = mark & !Mix::WRITE;
                if mark == key {
                    tally.read(key, target.get(&key));
                } else {
                    target.insert(key, V::of(key));
                }
            }
        }
        Mix::Churn => {
            for &key in keys {
                target.remove(&key);
                target.insert(key, V::of(key));
            }
        }
    }
    tally
}

/// Plays each batch on a thread of its own. The time runs from the first to start until the last to end.
pub fn race<V: Value>(target: &impl Target<V>, mix: Mix, batches: &[Vec<u64>]) -> (Duration, Tally) {
    let lap = |keys: &[u64]| {
        let start = Instant::now();
        let tally = play(target, mix, keys);
        (start, Instant::now(), tally)
    };
    let laps = match batches {
        [alone] => vec![lap(alone)],
        _ => {
            let ready = Barrier::new(batches.len());
            thread::scope(|scope| {
                let runners: Vec<_> = batches
                    .iter()
                    .map(|keys| {
                        scope.spawn(|| {
                            ready.wait();
                            lap(keys)
                        })
                    })
                    .collect();
                runners.into_iter().map(|runner| runner.join().expect("a failed check")).collect()
            })
        }
    };

    let first = laps.iter().map(|lap| lap.0).min().expect("at least one batch");
    let last = laps.iter().map(|lap| lap.1).max().expect("at least one batch");
    let tally =
        laps.iter().fold(Tally::default(), |sum, (_, _, lap)| Tally { reads: sum.reads + lap.reads, hits: sum.hits + lap.hits });
    (last - first, tally)
}
