//! Every call that writes or takes out one key: `cargo bench --bench change`. Mixes of reads and writes: `write`.

use std::hash::Hash;
use std::hint::black_box;
use std::time::Duration;

use brindle::Cache;
use brindle::Computed;
use brindle::Op;
use criterion::BatchSize;
use criterion::BenchmarkGroup;
use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;
use criterion::measurement::WallTime;

use self::common::BATCH;
use self::common::ENTRIES;
use self::common::filled;
use self::common::fresh;
use self::common::group;
use self::common::present;

mod common;
mod workload;

const HOUR: Duration = Duration::from_secs(3600);

/// Of keys that are there.
fn replace(c: &mut Criterion) {
    let cache = filled(2 * ENTRIES);
    let keys = present();
    let mut group = group(c, "replace, by call", keys.len());
    let mut bench = |name: &str, write: &mut dyn FnMut(u64)| {
        group.bench_function(name, |b| b.iter(|| keys.iter().for_each(|&key| write(key))));
    };
    bench("insert", &mut |key| _ = cache.insert(key, key));
    bench("try_insert", &mut |key| assert!(cache.try_insert(key, key).is_ok()));
    bench("insert_if_absent, which is not", &mut |key| assert!(cache.insert_if_absent(key, key).is_err()));
    bench("get_entry, compare_and_swap", &mut |key| {
        let entry = cache.get_entry(&key).expect("it is there");
        assert!(cache.compare_and_swap(key, entry.version, entry.value).is_ok());
    });
    bench("and_compute_with", &mut |key| {
        let computed = cache.entry(key).and_compute_with(|entry| Op::Put(entry.map_or(0, |value| **value)));
        assert!(matches!(computed, Computed::Replaced(..)));
    });
    let mut source = 0;
    bench("insert_at", &mut |key| {
        source += 1;
        assert!(cache.insert_at(key, key, source).is_ok());
    });
    bench("insert_at, too old", &mut |key| assert!(cache.insert_at(key, key, 0).is_err()));
    // Last: a read of what it leaves behind looks at the clock.
    // Last: a read of what it leaves behind looks at the clock.
    bench("insert_with_ttl", &mut |key| _ = cache.insert_with_ttl(key, key, HOUR));
}

/// Into a full cache: each takes another's place.
fn evict(c: &mut Criterion) {
    let mut group = group(c, "evict, by key and value", BATCH);
    evicting(&mut group, "u64, u64", |key| key, |key| key);
    evicting(&mut group, "String, u64", |key| format!("a key of some length: {key:6}"), |key| key);
    evicting(&mut group, "u64, 1 KiB", |key| key, |key| [key; 128]);
}

fn evicting<K: Hash + Eq, V>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    key: impl Fn(u64) -> K,
    value: impl Fn(u64) -> V,
) {
    let pair = |number| (key(number), value(number));
    let cache = Cache::new(ENTRIES);
    (0..ENTRIES).map(pair).for_each(|(key, value)| _ = cache.insert(key, value));
    let mut fresh = fresh();
    group.bench_function(name, |b| {
        b.iter_batched(
            || fresh().into_iter().map(pair).collect::<Vec<_>>(),
            |pairs| pairs.into_iter().for_each(|(key, value)| _ = cache.insert(key, value)),
            BatchSize::PerIteration,
        );
    });
}

/// Of keys that are put back before the clock starts.
fn leave(c: &mut Criterion) {
    let cache = filled(2 * ENTRIES);
    let keys: Vec<u64> = (0..BATCH as u64).collect();
    let mut group = group(c, "leave, by call", keys.len());
    let mut bench = |name: &str, end: &mut dyn FnMut(u64)| {
        group.bench_function(name, |b| {
            b.iter_batched(
                || keys.iter().for_each(|&key| _ = cache.insert(key, key)),
                |()| keys.iter().for_each(|&key| end(key)),
                BatchSize::PerIteration,
            );
        });
    };
    bench("remove", &mut |key| _ = black_box(cache.remove(&key)));
    bench("remove_if", &mut |key| _ = black_box(cache.remove_if(&key, |_, value| *value == key)));
    bench("invalidate", &mut |key| _ = black_box(cache.invalidate(&key)));
    bench("invalidate_at", &mut |key| _ = black_box(cache.invalidate_at(&key, 1)));
}

/// Of keys that are not there.
fn absent(c: &mut Criterion) {
    let cache = filled(2 * ENTRIES);
    let keys = fresh()();
    let mut group = group(c, "absent, by call", keys.len());
    group.bench_function("remove", |b| b.iter(|| keys.iter().for_each(|key| assert!(cache.remove(key).is_none()))));
    group.bench_function("invalidate", |b| b.iter(|| keys.iter().for_each(|key| assert!(!cache.invalidate(key)))));
}

criterion_group!(benches, replace, evict, leave, absent);
criterion_main!(benches);
