//! What is done to a whole cache: `cargo bench --bench whole`. The throughput is that of its entries.

use std::hint::black_box;

use brindle::Cache;
use criterion::BatchSize;
use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;

use self::common::ENTRIES;
use self::common::filled;
use self::common::group;

mod common;
mod workload;

fn walk(c: &mut Criterion) {
    let cache = filled(2 * ENTRIES);
    let mut group = group(c, "whole, walk", ENTRIES as usize);
    group.bench_function("iter", |b| b.iter(|| cache.iter().map(|entry| *entry).fold(0, u64::wrapping_add)));
    group.bench_function("retain, all", |b| b.iter(|| cache.retain(|_, _| true)));
}

/// Of full caches.
fn end(c: &mut Criterion) {
    let mut group = group(c, "whole, end", ENTRIES as usize);
    let full = || filled(ENTRIES);
    group.bench_function("clear", |b| b.iter_batched_ref(full, |cache| cache.clear(), BatchSize::PerIteration));
    group.bench_function("retain, none", |b| {
        b.iter_batched_ref(full, |cache| cache.retain(|_, _| false), BatchSize::PerIteration);
    });
    group.bench_function("set_capacity, of half", |b| {
        b.iter_batched_ref(full, |cache| cache.set_capacity(ENTRIES / 2), BatchSize::PerIteration);
    });
    group.bench_function("drop", |b| b.iter_batched(full, drop, BatchSize::PerIteration));
}

fn build(c: &mut Criterion) {
    let mut filled_ones = group(c, "whole, build", ENTRIES as usize);
    filled_ones.bench_function("build, fill", |b| b.iter_with_large_drop(|| filled(2 * ENTRIES)));
    filled_ones.bench_function("build, fill, drop", |b| b.iter(|| drop(filled(2 * ENTRIES))));
    filled_ones.finish();

    let mut empty_ones = group(c, "whole, build one that is empty", 1);
    empty_ones.bench_function("build, drop", |b| b.iter(|| drop(black_box(Cache::<u64, u64>::new(2 * ENTRIES)))));
}

criterion_group!(benches, walk, end, build);
criterion_main!(benches);
