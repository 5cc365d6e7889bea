//! Reads that fill the cache when they miss: `cargo bench --bench read_through`.

use std::hint::black_box;

use brindle::Cache;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use self::workload::READ_THROUGH;

mod workload;

const BATCH: usize = 1 << 14;

fn read_through(c: &mut Criterion) {
    let cache = Cache::<u64, u64>::new(READ_THROUGH.capacity);
    let mut keys = READ_THROUGH.keys();
    let warm = READ_THROUGH.batch(&mut keys, READ_THROUGH.warm);
    workload::play(&cache, READ_THROUGH.mix, &warm);

    let mut group = c.benchmark_group("read-through");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.sample_size(30);
    group.bench_function(READ_THROUGH.name, |b| {
        // New keys for every pass: a trace that repeats would have another hit ratio.
        b.iter_batched(
            || READ_THROUGH.batch(&mut keys, BATCH),
            |batch| workload::play(&cache, READ_THROUGH.mix, &batch),
            BatchSize::LargeInput,
        );
    });
}

/// Threads that play a batch each; the throughput is that of one of them.
fn threads(c: &mut Criterion) {
    let cache = Cache::<u64, u64>::new(READ_THROUGH.capacity);
    let mut keys = READ_THROUGH.keys();
    workload::play(&cache, READ_THROUGH.mix, &READ_THROUGH.batch(&mut keys, READ_THROUGH.warm));

    let mut group = c.benchmark_group("read-through");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.sample_size(30);
    for threads in [2, 4] {
        group.bench_function(format!("{}/{threads} threads", READ_THROUGH.name), |b| {
            b.iter_custom(|times| {
                let mut once = || workload::race(&cache, READ_THROUGH.mix, &READ_THROUGH.batches(&mut keys, threads, BATCH));
                (0..times).map(|_| black_box(once()).0).sum()
            });
        });
    }
}

criterion_group!(benches, read_through, threads);
criterion_main!(benches);
