//! Loads: `cargo bench --bench load`.

use std::hint::black_box;

use brindle::Cache;
use brindle::Leased;
use criterion::BatchSize;
use criterion::BenchmarkGroup;
use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;
use criterion::measurement::WallTime;

use self::workload::COLD_LOAD;
use self::workload::GET_WITH_WARM;
use self::workload::Mix;
use self::workload::REPLACE;
use self::workload::STAMPEDE;
use self::workload::Scenario;
use self::workload::Value;

mod workload;

const BATCH: usize = 1 << 14;
const STAMPEDES: usize = 1 << 4;
/// No key of the workload.
const ELSEWHERE: u64 = u64::MAX;

/// Of keys that are there: a loader that never runs should cost nothing.
fn warm(c: &mut Criterion) {
    let cache = filled(&GET_WITH_WARM);
    let mut keys = GET_WITH_WARM.keys();
    let batch = GET_WITH_WARM.batch(&mut keys, BATCH);

    let mut group = group(c, "load, warm", BATCH);
    for (name, mix) in [("get", Mix::Get), ("get_with", Mix::GetWith), ("get_with_async", Mix::GetWithAsync)] {
        group.bench_function(name, |b| b.iter(|| black_box(workload::play(&cache, mix, &batch))));
    }
}

/// Of keys that are all new, into a full cache.
fn cold(c: &mut Criterion) {
    let mut group = group(c, "load, cold", BATCH);
    for (name, mix) in [("get, insert", Mix::ReadThrough), ("get_with", Mix::GetWith), ("get_with_async", Mix::GetWithAsync)] {
        let cache = filled(&COLD_LOAD);
        let mut keys = COLD_LOAD.keys();
        workload::play(&cache, mix, &COLD_LOAD.batch(&mut keys, COLD_LOAD.warm));
        group.bench_function(name, |b| {
            b.iter_batched(
                || COLD_LOAD.batch(&mut keys, BATCH),
                |batch| workload::play(&cache, mix, &batch),
                BatchSize::LargeInput,
            );
        });
    }
}

/// A load of a key that is there, beside a plain write of it.
fn refresh(c: &mut Criterion) {
    let cache = filled(&REPLACE);
    let mut keys = REPLACE.keys();
    let batch = REPLACE.batch(&mut keys, BATCH);

    let mut group = group(c, "load, refresh", BATCH);
    group.bench_function("insert", |b| b.iter(|| workload::play(&cache, REPLACE.mix, &batch)));
    group.bench_function("refresh", |b| {
        b.iter(|| {
            for &key in &batch {
                assert!(cache.refresh(&key, || u64::of(key)).belongs_to(key));
            }
        });
    });
}

/// Writes while nothing is loaded, and while another key of their stripe is.
fn fence(c: &mut Criterion) {
    let cache: Cache<u64, u64> = Cache::builder().max_capacity(REPLACE.capacity).stripes(1).build().expect("a stripe");
    workload::fill(&cache, REPLACE.filled);
    let mut keys = REPLACE.keys();
    let batch = REPLACE.batch(&mut keys, BATCH);

    let mut group = group(c, "load, insert beside", BATCH);
    group.bench_function("no flight", |b| b.iter(|| workload::play(&cache, REPLACE.mix, &batch)));
    let Leased::Lease(lease) = cache.get_or_lease(&ELSEWHERE, None) else { panic!("it is nowhere") };
    group.bench_function("a flight", |b| b.iter(|| workload::play(&cache, REPLACE.mix, &batch)));
    assert!(lease.is_current(), "the writes were of other keys");
}

/// From the first to ask for a key until the last has it.
fn stampede(c: &mut Criterion) {
    let cache = filled(&STAMPEDE);
    let mut keys = STAMPEDE.keys();
    let threads = STAMPEDE.threads.expect("a number of threads");

    let mut group = group(c, "load", STAMPEDES);
    group.bench_function(format!("stampede/{threads} threads"), |b| {
        b.iter_custom(|times| {
            let mut once = || workload::race(&cache, STAMPEDE.mix, &STAMPEDE.batches(&mut keys, threads, STAMPEDES));
            (0..times).map(|_| black_box(once()).0).sum()
        });
    });
}

fn filled(scenario: &Scenario) -> Cache<u64, u64> {
    let cache = Cache::new(scenario.capacity);
    workload::fill(&cache, scenario.filled);
    cache
}

fn group<'a>(c: &'a mut Criterion, name: &str, batch: usize) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(batch as u64));
    group.sample_size(30);
    group
}

criterion_group!(benches, warm, cold, refresh, fence, stampede);
criterion_main!(benches);
