//! Every call that reads: `cargo bench --bench read`. Hits on more threads, and on more and fewer entries: `hit`.

use std::convert::Infallible;
use std::future::Future;
use std::hash::Hash;
use std::hint::black_box;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use brindle::Cache;
use brindle::Leased;
use criterion::Bencher;
use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;

use self::common::ENTRIES;
use self::common::filled;
use self::common::fresh;
use self::common::group;
use self::common::present;

mod common;
mod workload;

/// What a value of 1 KiB is made of.
type Kibibyte = [u64; 128];

fn hits(c: &mut Criterion) {
    let cache = filled(2 * ENTRIES);
    let keys = present();
    let mut group = group(c, "hit, by call", keys.len());
    group.bench_function("get", |b| each(b, &keys, |key| cache.get(key)));
    group.bench_function("with", |b| each(b, &keys, |key| cache.with(key, |value| *value)));
    group.bench_function("get_ref", |b| each(b, &keys, |key| cache.get_ref(key).map(|entry| *entry)));
    group.bench_function("get_entry", |b| each(b, &keys, |key| cache.get_entry(key)));
    group.bench_function("peek", |b| each(b, &keys, |key| cache.peek(key)));
    group.bench_function("contains_key", |b| each(b, &keys, |key| cache.contains_key(key)));
}

/// The calls that would load.
fn loading_hits(c: &mut Criterion) {
    let cache = filled(2 * ENTRIES);
    let keys = present();
    let mut group = group(c, "hit, by loading call", keys.len());
    group.bench_function("get_with", |b| each(b, &keys, |key| cache.get_with(key, unwanted)));
    group.bench_function("try_get_with", |b| each(b, &keys, |key| cache.try_get_with(key, unwanted::<Result<_, Infallible>>)));
    group.bench_function("get_with_async", |b| each(b, &keys, |key| at_once(cache.get_with_async(key, async { unwanted() }))));
    group.bench_function("try_get_with_async", |b| {
        each(b, &keys, |key| at_once(cache.try_get_with_async(key, async { unwanted::<Result<_, Infallible>>() })));
    });
    group.bench_function("get_or_lease", |b| {
        each(b, &keys, |key| match cache.get_or_lease(key, None) {
            Leased::Value(value) => value,
            _ => unwanted(),
        });
    });
}

fn keys_and_values(c: &mut Criterion) {
    let keys = present();
    let names: Vec<String> = keys.iter().map(name).collect();
    let mut group = group(c, "hit, by key and value", keys.len());

    let cache = holding(|key| key, |key| key);
    group.bench_function("u64, u64", |b| each(b, &keys, |key| cache.get(key)));
    let cache = holding(|key| name(&key), |key| key);
    group.bench_function("String, u64", |b| each(b, &names, |key| cache.get(key.as_str())));
    let cache = holding(|key| key, |key| name(&key));
    group.bench_function("u64, String", |b| each(b, &keys, |key| cache.get(key)));
    let cache = holding(|key| key, |key| -> Kibibyte { [key; 128] });
    group.bench_function("u64, 1 KiB", |b| each(b, &keys, |key| cache.get(key)));
    group.bench_function("u64, 1 KiB, with", |b| each(b, &keys, |key| cache.with(key, |value| value[0])));
}

fn misses(c: &mut Criterion) {
    let cache = filled(2 * ENTRIES);
    let keys = fresh()();
    let mut group = group(c, "miss, by call", keys.len());
    group.bench_function("get", |b| each(b, &keys, |key| cache.get(key)));
    group.bench_function("get_ref", |b| each(b, &keys, |key| cache.get_ref(key).is_some()));
    group.bench_function("peek", |b| each(b, &keys, |key| cache.peek(key)));
    group.bench_function("contains_key", |b| each(b, &keys, |key| cache.contains_key(key)));
}

fn each<K, R>(b: &mut Bencher<'_>, keys: &[K], read: impl Fn(&K) -> R) {
    b.iter(|| {
        for key in keys {
            black_box(read(key));
        }
    });
}

fn holding<K: Hash + Eq, V>(key: impl Fn(u64) -> K, value: impl Fn(u64) -> V) -> Cache<K, V> {
    let cache = Cache::new(2 * ENTRIES);
    (0..ENTRIES).for_each(|number| _ = cache.insert(key(number), value(number)));
    cache
}

fn name(key: &u64) -> String {
    format!("a key of some length: {key:6}")
}

fn unwanted<T>() -> T {
    unreachable!("what is loaded is there")
}

fn at_once<T>(task: impl Future<Output = T>) -> T {
    let Poll::Ready(result) = pin!(task).poll(&mut Context::from_waker(Waker::noop())) else { panic!("a hit waits") };
    result
}

criterion_group!(benches, hits, loading_hits, keys_and_values, misses);
criterion_main!(benches);
