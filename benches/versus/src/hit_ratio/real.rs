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
    let cache = if trace.is_sized() {
        contender.weighing(capacity, trace.entries(capacity))?
    } else {
        contender.replayed(capacity)
    };
    let turns = AtomicUsize::new(0);
    Some(match threads {
        1 => serve(&*cache, trace, 0..trace.requests.len()),
        _ => thread::scope(|scope| {
            let start = || serve(&*cache, trace, drawn(&turns, trace.requests.len()));
            let runners: Vec<_> = (0..threads).map(|_| scope.spawn(start)).collect();
            runners.into_iter().map(|runner| runner.join().expect("a failed check")).sum()
        }),
    })
}

/// Whoever is free takes the next request, so that the trace keeps its order however the threads are scheduled.
fn drawn(turns: &AtomicUsize, requests: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || Some(turns.fetch_add(1, Ordering::Relaxed)).filter(|&turn| turn < requests))
}

fn serve(cache: &dyn Replay, trace: &Trace, turns: impl Iterator<Item = usize>) -> Served {
    let weights = trace.weights();
    let mut served = Served::default();
    for turn in turns {
        let key = trace.requests[turn];
        let weight = weights.of(key);
        served.count(weight, cache.access(trace.keys[key as usize], weight as u32));
    }
    served
}
