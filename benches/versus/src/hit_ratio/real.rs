//! A trace replayed against a cache that can be had.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;

use super::served::Served;
use super::trace::Trace;
use crate::contenders::Contender;
use crate::contenders::Replay;

/// What it serves; nothing if the trace has sizes and the cache cannot weigh.
pub fn replay(contender: &Contender, trace: &Trace, capacity: u64, threads: usize) -> Option<Served> {
    let entries = trace.entries(capacity);
    let cache = if trace.is_sized() { contender.weighing(capacity, entries)? } else { contender.replayed(capacity) };
    let client = Client { cache: &*cache, trace, patience: contender.lags.then(|| (entries / OVERRUN / threads as u64).max(1)) };
    let turns = AtomicUsize::new(0);
    Some(match threads {
        1 => client.serve(0..trace.requests.len()),
        _ => thread::scope(|scope| {
            let start = || client.serve(drawn(&turns, trace.requests.len()));
            let runners: Vec<_> = (0..threads).map(|_| scope.spawn(start)).collect();
            runners.into_iter().map(|runner| runner.join().expect("a failed check")).sum()
        }),
    })
}

/// What part of its capacity a cache that lags may hold too much.
const OVERRUN: u64 = 100;

struct Client<'a> {
    cache: &'a dyn Replay,
    trace: &'a Trace,
    /// The misses after which the cache is waited for, if it must be: it would answer from what it ought not to hold.
    patience: Option<u64>,
}

impl Client<'_> {
    fn serve(&self, turns: impl Iterator<Item = usize>) -> Served {
        let weights = self.trace.weights();
        let mut served = Served::default();
        for turn in turns {
            let key = self.trace.requests[turn];
            let weight = weights.of(key);
            let hit = self.cache.access(self.trace.keys[key as usize], weight as u32);
            served.count(weight, hit);
            if !hit && self.patience.is_some_and(|misses| (served.requests - served.hits).is_multiple_of(misses)) {
                self.cache.settle();
            }
        }
        served
    }
}

/// Whoever is free takes the next request, so that the trace keeps its order however the threads are scheduled.
fn drawn(turns: &AtomicUsize, requests: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || Some(turns.fetch_add(1, Ordering::Relaxed)).filter(|&turn| turn < requests))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contenders::ALL;

    fn contender(name: &str) -> &'static Contender {
        ALL.iter().find(|contender| contender.name == name).expect("a contender's name")
    }

    #[test]
    fn each_request_is_made_once_whoever_makes_it() {
        let trace = Trace::sized("t", (0..10_000).map(|n| (n % 100, 1 + n % 7)));
        for threads in [1, 4] {
            let served = replay(contender("brindle"), &trace, 10_000, threads).expect("it weighs");
            assert_eq!(served.requests, 10_000);
            // A key is missed once, or by all threads at one time.
            assert!((10_000 - 100 * threads as u64..=9_900).contains(&served.hits), "{served:?}");
        }
    }

    #[test]
    fn one_that_evicts_later_has_no_more_than_its_capacity() {
        // It would hold the whole loop for as long as its thread sleeps.
        let trace = Trace::new("t", (0..200).cycle().take(4_000));
        let served = replay(contender("stretto"), &trace, 20, 1).expect("it takes all that have no sizes");
        assert!(served.hits < 800, "{served:?}");
    }
}
