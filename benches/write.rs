//! Writes: `cargo bench --bench write`.

use brindle::Cache;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use self::workload::{CHURN, EVICT, MIX_50_50, MIX_75_25, REPLACE, Value};

mod workload;

const BATCH: usize = 1 << 14;

/// Into an empty cache that has room for all.
fn insert(c: &mut Criterion) {
    let keys = workload::shuffled(BATCH as u64);
    let mut group = c.benchmark_group("write");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.sample_size(30);
    group.bench_function("insert", |b| {
        b.iter_batched_ref(
            || Cache::<u64, u64>::new(2 * BATCH as u64),
            |cache| workload::play(cache, workload::Mix::Insert, &keys),
            BatchSize::LargeInput,
        );
    });
}

fn mixes(c: &mut Criterion) {
    for scenario in [REPLACE, EVICT, CHURN, MIX_75_25, MIX_50_50] {
        let cache = Cache::<u64, u64>::new(scenario.capacity);
        let mut keys = scenario.keys();
        workload::fill(&cache, scenario.filled);
        workload::play(&cache, scenario.mix, &scenario.batch(&mut keys, scenario.warm));

        let mut group = c.benchmark_group("write");
        group.throughput(Throughput::Elements(BATCH as u64));
        group.sample_size(30);
        group.bench_function(scenario.name, |b| {
            b.iter_batched(
                || scenario.batch(&mut keys, BATCH),
                |batch| workload::play(&cache, scenario.mix, &batch),
                BatchSize::LargeInput,
            );
        });
    }
}

/// A chain of swaps a key: each expects the version that the last one returned.
fn compare_and_swap(c: &mut Criterion) {
    let cache = Cache::<u64, u64>::new(REPLACE.capacity);
    let mut versions: Vec<_> = (0..REPLACE.filled).map(|key| cache.insert(key, u64::of(key))).collect();
    let mut keys = REPLACE.keys();

    let mut group = c.benchmark_group("write");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.sample_size(30);
    group.bench_function("compare-and-swap", |b| {
        b.iter_batched(
            || keys.batch(BATCH),
            |batch| {
                for key in batch {
                    let version = &mut versions[key as usize];
                    *version = cache.compare_and_swap(key, *version, u64::of(key)).expect("nobody else writes");
                }
            },
            BatchSize::LargeInput,
        );
    });
    assert_eq!(cache.len(), REPLACE.filled as usize);
}

criterion_group!(benches, insert, mixes, compare_and_swap);
criterion_main!(benches);
