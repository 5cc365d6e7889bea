//! What must be true to the last unit while nobody does anything.

use std::collections::HashSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use brindle::Cache;
use brindle::Stats;

use crate::background::Background;
use crate::epoch::Shared;
use crate::row;
use crate::row::Row;

/// What a cache may take for itself: so much in any case, and for each key, each tombstone and each notice.
const MEMORY: u64 = 2 << 20;
const MEMORY_A_KEY: u64 = 1024;
const MEMORY_A_TOMBSTONE: u64 = 128;
const MEMORY_A_NOTICE: u64 = 256;

/// Lets everybody pause, and looks.
pub(crate) fn look(shared: &Shared, cache: &Cache<u64, Row>, background: Option<&Background>) {
    let _closed = shared.gate.write().unwrap_or_else(PoisonError::into_inner);
    while background.is_some_and(|background| !background.is_idle()) {
        thread::yield_now();
    }
    cache.reclaim();
    let stats = cache.stats();
    for (what, seen, least, most) in numbers(shared, cache, &stats) {
        if seen < least || seen > most {
            shared.truth.blame(|| {
                format!("in a quiet moment: {what}\n  seen      {seen}\n  expected  {least} to {most}\n  stats     {stats:?}")
            });
        }
    }
    walk(shared, cache, &stats);
}

/// What it is, what it is now, the least and the most that it may be.
fn numbers(shared: &Shared, cache: &Cache<u64, Row>, stats: &Stats) -> Vec<(&'static str, u64, u64, u64)> {
    // A lost lease keeps what those who waited for it were given instead.
    let (len, guards, leases) = (stats.len as u64, shared.guards.load(SeqCst), shared.leases.load(SeqCst));
    let left = stats.replaced + stats.invalidated + stats.evicted + stats.expired + stats.cleared;
    let told = if shared.plan.listener { left } else { 0 };
    let memory = MEMORY + shared.plan.keys * MEMORY_A_KEY + shared.plan.tombstones as u64 * MEMORY_A_TOMBSTONE;
    // While the thread that tells the listener is not let run, all that leaves waits for it, and the room that it takes is kept.
    let memory = memory + told * MEMORY_A_NOTICE;
    let panics = shared.heard.panics();
    // What is pending stays, where the capacity is lowered below it too, and where it is removed from the cache.
    let (pending, pending_weight) = shared.pending();
    vec![
        ("the weight", stats.weight, 0, cache.capacity().max(pending_weight)),
        ("values that came: those that left and those that are there", stats.inserts, left + len, left + len),
        ("what the listener heard of: all that left", shared.heard.count(), told, told),
        ("panics of the listener, as the cache counts them", stats.listener_panics, panics, panics),
        ("values alive: those in the cache, and those that are held", row::alive(), len, len + guards + pending + leases),
        ("loads under way: the leases that were lost", stats.flights as u64, 0, leases),
        ("`memory_used`", cache.memory_used() as u64, 1, memory),
        ("tombstones", stats.tombstones as u64, 0, tombstones(shared)),
    ]
}

/// The budget is split among the stripes, each of which rounds up.
fn tombstones(shared: &Shared) -> u64 {
    const MOST_STRIPES: usize = 64;
    (shared.plan.tombstones + MOST_STRIPES) as u64
}

/// Each key once, each value whole, and no more than are counted.
fn walk(shared: &Shared, cache: &Cache<u64, Row>, stats: &Stats) {
    let (mut seen, mut weight) = (HashSet::new(), 0);
    for entry in cache {
        let key = *entry.key();
        if let Some(fault) = entry.fault(key) {
            shared.truth.blame(|| format!("in a quiet moment a walk showed {fault} for key {key}: {entry:?}"));
        }
        if !seen.insert(key) {
            shared.truth.blame(|| format!("in a quiet moment a walk showed key {key} twice"));
        }
        weight += if shared.plan.weigher { entry.weight() } else { 1 };
    }
    if seen.len() > stats.len || weight > stats.weight {
        shared.truth.blame(|| {
            let found = seen.len();
            format!(
                "in a quiet moment a walk showed {found} entries that weigh {weight}; {} that weigh {} are counted",
                stats.len, stats.weight
            )
        });
    }
}
