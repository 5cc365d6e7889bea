//! Reads that hit: `cargo bench --bench hit`.

use std::hint::black_box;
use std::sync::Arc;

use brindle::Cache;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use self::workload::{ARC_GET, ARC_WITH, HIT_5M, HIT_10K, HIT_100K, HOT, Scenario, Value};

mod workload;

const BATCH: usize = 1 << 16;

fn hit(c: &mut Criterion) {
    for scenario in [HIT_10K, HIT_5M] {
        bench::<u64>(c, scenario, 1);
    }
    for threads in [1, 2, 4] {
        bench::<u64>(c, HIT_100K, threads);
        bench::<u64>(c, HOT, threads);
        bench::<Arc<u64>>(c, ARC_GET, threads);
        bench::<Arc<u64>>(c, ARC_WITH, threads);
    }
}

/// `threads` threads play a batch each; the throughput is that of one of them, so it stays level when threads do not
/// hinder each other.
fn bench<V: Value>(c: &mut Criterion, scenario: Scenario, threads: usize) {
    let cache = Cache::<u64, V>::new(scenario.capacity);
    workload::fill(&cache, scenario.filled);
    let mut keys = scenario.keys();
    let batches = scenario.batches(&mut keys, threads, BATCH);

    let mut group = c.benchmark_group("hit");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.sample_size(30);
    group.bench_function(format!("{}/{threads} threads", scenario.name), |b| {
        b.iter_custom(|times| (0..times).map(|_| black_box(workload::race(&cache, scenario.mix, &batches)).0).sum());
    });
}

criterion_group!(benches, hit);
criterion_main!(benches);
