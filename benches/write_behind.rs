//! Writes that reach their source later: `cargo bench --bench write_behind --features write-behind`.

use std::convert::Infallible;
use std::hint::black_box;

use brindle::Cache;
use brindle::Pending;
use brindle::WriteBehind;
use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;

use self::workload::HIT_100K;
use self::workload::REPLACE;
use self::workload::Value;

mod workload;

const BATCH: usize = 1 << 14;

/// In a cache that nothing is behind, in one where nothing is pending, and through it, to a sink that takes no time.
fn write_behind(c: &mut Criterion) {
    let plain = Cache::<u64, u64>::new(REPLACE.capacity);
    let cache = Cache::<u64, u64>::new(REPLACE.capacity);
    let sink = |batch: &[Pending<u64, u64>]| {
        black_box(batch);
        Ok::<_, Infallible>(())
    };
    let behind = WriteBehind::builder(cache.clone(), sink).build();
    let batch = REPLACE.batch(&mut REPLACE.keys(), BATCH);

    let mut group = c.benchmark_group("write-behind");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.sample_size(30);
    for (name, cache) in [("nothing behind", &plain), ("nothing pending", &cache)] {
        workload::fill(cache, REPLACE.filled);
        group.bench_function(format!("insert/{name}"), |b| b.iter(|| workload::play(cache, REPLACE.mix, &batch)));
        group.bench_function(format!("get/{name}"), |b| b.iter(|| black_box(workload::play(cache, HIT_100K.mix, &batch))));
    }
    group.bench_function("insert/through it", |b| {
        b.iter(|| {
            for &key in &batch {
                behind.insert(key, u64::of(key)).expect("the sink takes all");
            }
        });
    });
    behind.close().expect("the sink takes all");
}

criterion_group!(benches, write_behind);
criterion_main!(benches);
