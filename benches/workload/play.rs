//! The timed loops. Every value that comes back is checked.

use std::future::Future;
use std::iter::Sum;
use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::{Target, Value, shuffled, stampede};

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
    /// `get_with`, with a loader that takes no time.
    GetWith,
    /// The same in a task.
    GetWithAsync,
    /// All threads ask for one key at once, with a loader that takes its time: [`stampede()`].
    Stampede,
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

    /// Counts a read that loads what it misses: whether the value was the key's own, and whether it was there.
    #[inline(always)]
    fn answered(&mut self, own: bool, hit: bool) {
        self.looked(Some(own));
        self.hits -= u64::from(!hit);
    }

    /// Reads with a loader, and counts.
    #[inline(always)]
    pub(super) fn load<V: Value>(&mut self, target: &impl Target<V>, key: u64, load: impl FnOnce(u64) -> V) {
        let mut hit = true;
        let value = target.get_with(&key, || {
            hit = false;
            load(key)
        });
        self.answered(value.belongs_to(key), hit);
    }

    /// The same in a task, which is polled once: nobody else loads.
    #[inline(always)]
    fn load_async<V: Value>(&mut self, target: &impl Target<V>, key: u64, context: &mut Context<'_>) {
        let mut hit = true;
        let load = async {
            hit = false;
            V::of(key)
        };
        let Poll::Ready(value) = pin!(target.get_with_async(&key, load)).poll(context) else {
            panic!("a load that waits for nothing was not ready")
        };
        self.answered(value.belongs_to(key), hit);
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |sum, tally| Self { reads: sum.reads + tally.reads, hits: sum.hits + tally.hits })
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
        Mix::GetWith => {
            for &key in keys {
                tally.load(target, key, V::of);
            }
        }
        Mix::GetWithAsync => {
            let mut context = Context::from_waker(Waker::noop());
            for &key in keys {
                tally.load_async(target, key, &mut context);
            }
        }
        Mix::Stampede => {
            for &key in keys {
                tally.load(target, key, stampede::slow);
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
        [keys, ..] if mix == Mix::Stampede => return stampede::stampede(target, keys, batches.len()),
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
    let tally = laps.iter().map(|lap| lap.2).sum();
    (last - first, tally)
}
