//! What the benches of single calls share. All figures are for one call.
#![allow(dead_code, unreachable_pub, reason = "each bench includes all of this and uses its part")]

use brindle::Cache;
use criterion::BenchmarkGroup;
use criterion::Criterion;
use criterion::Throughput;
use criterion::measurement::WallTime;

use crate::workload::Draw;
use crate::workload::Keys;

pub const ENTRIES: u64 = 100_000;
/// Calls timed at once.
pub const BATCH: usize = 1 << 14;

pub fn group<'a>(c: &'a mut Criterion, name: &str, calls: usize) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(calls as u64));
    group.sample_size(30);
    group
}

/// [`ENTRIES`] entries, in a cache of this capacity.
pub fn filled(capacity: u64) -> Cache<u64, u64> {
    let cache = Cache::new(capacity);
    (0..ENTRIES).for_each(|key| _ = cache.insert(key, key));
    cache
}

/// Keys of [`filled`], in no order.
pub fn present() -> Vec<u64> {
    Keys::new(Draw::Uniform(ENTRIES)).batch(BATCH)
}

/// Keys that never come twice, beyond those of [`filled`].
pub fn fresh() -> impl FnMut() -> Vec<u64> {
    let mut keys = Keys::new(Draw::Fresh(ENTRIES));
    move || keys.batch(BATCH)
}
