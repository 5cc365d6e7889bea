//! Many keys at once, and beside each call what the same keys cost one by one: `cargo bench --bench many`. All figures are for one key.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;
use std::time::Instant;

use brindle::Cache;
use brindle::Loaded;
use criterion::BenchmarkGroup;
use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;
use criterion::measurement::WallTime;

use self::workload::HIT_100K;
use self::workload::REPLACE;
use self::workload::Scenario;
use self::workload::Value;

mod workload;

const BATCH: usize = 1 << 14;
/// Keys at once.
const MANY: [usize; 3] = [2, 8, 64];
const MEMBERS: [u64; 2] = [10, 1_000];
/// Groups in a cache with all the keys of a scenario.
const GROUPS: u64 = 1_000;
/// The keys of members start here, where no workload has any.
const ELSEWHERE: u64 = 1 << 40;

/// Writes of keys that are there.
fn transaction(c: &mut Criterion) {
    let (cache, batch) = filled(&REPLACE);
    for many in MANY {
        let mut group = group(c, &format!("many, write {many}"));
        group.bench_function("insert", |b| {
            b.iter(|| each(&batch, many, |&key| _ = cache.insert(key, u64::of(key))));
        });
        group.bench_function("transaction", |b| {
            b.iter(|| {
                for keys in batch.chunks(many) {
                    let written = cache.transaction(|t| keys.iter().for_each(|&key| t.insert(key, u64::of(key))));
                    written.expect("it expects nothing");
                }
            });
        });
        group.bench_function("get, insert", |b| {
            b.iter(|| each(&batch, many, |&key| _ = cache.insert(key, cache.get(&key).expect("it is there"))));
        });
        group.bench_function("transaction, with expectations", |b| {
            b.iter(|| {
                for keys in batch.chunks(many) {
                    let swapped = cache.transaction(|t| {
                        for &key in keys {
                            let value = t.read(&key).expect("it is there");
                            t.insert(key, value);
                        }
                    });
                    swapped.expect("nobody else writes");
                }
            });
        });
    }
}

/// Reads of keys that are there, and of as many of which the last is not.
fn read(c: &mut Criterion) {
    let (cache, batch) = filled(&HIT_100K);
    let mut with_absent = batch.clone();
    for many in MANY {
        with_absent.copy_from_slice(&batch);
        with_absent.iter_mut().skip(many - 1).step_by(many).for_each(|key| *key += ELSEWHERE);

        let mut group = group(c, &format!("many, read {many}"));
        group.bench_function("get", |b| b.iter(|| each(&batch, many, |key| _ = black_box(cache.get(key)))));
        group.bench_function("get, collected", |b| {
            b.iter(|| {
                for keys in batch.chunks(many) {
                    black_box(keys.iter().map(|key| cache.get(key)).collect::<Vec<_>>());
                }
            });
        });
        group.bench_function("get_many", |b| {
            b.iter(|| batch.chunks(many).for_each(|keys| _ = black_box(cache.get_many(keys))));
        });
        group.bench_function("get_many_snapshot", |b| {
            b.iter(|| batch.chunks(many).for_each(|keys| _ = black_box(cache.get_many_snapshot(keys))));
        });
        group.bench_function("get_many, one absent", |b| {
            b.iter(|| with_absent.chunks(many).for_each(|keys| _ = black_box(cache.get_many(keys))));
        });
        group.bench_function("get_many_snapshot, one absent", |b| {
            b.iter(|| with_absent.chunks(many).for_each(|keys| _ = black_box(cache.get_many_snapshot(keys))));
        });
    }
}

/// What it costs a write, and a read, that the key is in a group: beside a cache that knows of none, and one in which none is named.
fn in_groups(c: &mut Criterion) {
    let room = || Cache::<u64, u64>::builder().max_capacity(REPLACE.capacity);
    let built = "choices that go together";
    let plain = room().build().expect(built);
    let in_none = room().group_by(|_: &u64, _: &u64| None::<u64>).build().expect(built);
    let in_one = room().group_by(|key: &u64, _: &u64| [key % GROUPS]).build().expect(built);
    let batch = REPLACE.batch(&mut REPLACE.keys(), BATCH);

    let mut group = group(c, "many, in groups");
    for (name, cache) in [("no groups", &plain), ("group_by, of none", &in_none), ("group_by, of one", &in_one)] {
        workload::fill(cache, REPLACE.filled);
        group.bench_function(format!("insert/{name}"), |b| b.iter(|| workload::play(cache, REPLACE.mix, &batch)));
        group.bench_function(format!("get/{name}"), |b| b.iter(|| black_box(workload::play(cache, HIT_100K.mix, &batch))));
    }
}

/// The end of a group, in a cache with others in it.
fn invalidate_group(c: &mut Criterion) {
    for members in MEMBERS {
        let groups = BATCH as u64 / members;
        let (cache, _) = filled(&REPLACE);
        let mut group = c.benchmark_group(format!("many, invalidate {members}"));
        group.throughput(Throughput::Elements(groups * members));
        group.sample_size(30);
        group.bench_function("invalidate", |b| {
            b.iter_custom(|times| {
                ends(&cache, times, groups, members, |of| {
                    for key in keys_of(of, members) {
                        assert!(cache.invalidate(&key));
                    }
                })
            });
        });
        group.bench_function("invalidate_group", |b| {
            b.iter_custom(|times| {
                ends(&cache, times, groups, members, |of| assert_eq!(cache.invalidate_group(&of), members as usize))
            });
        });
    }
}

/// How long it takes to end all of so many groups, so many times; not to fill them.
fn ends(cache: &Cache<u64, u64>, times: u64, groups: u64, members: u64, mut end: impl FnMut(u64)) -> Duration {
    let mut once = || {
        for of in 0..groups {
            for key in keys_of(of, members) {
                cache.insert_in_groups(key, u64::of(key), [of]);
            }
        }
        let start = Instant::now();
        (0..groups).for_each(&mut end);
        start.elapsed()
    };
    (0..times).map(|_| once()).sum()
}

fn keys_of(group: u64, members: u64) -> std::ops::Range<u64> {
    let first = ELSEWHERE + group * members;
    first..first + members
}

/// A source that takes no time.
fn write_through(c: &mut Criterion) {
    let (cache, batch) = filled(&REPLACE);
    let mut group = group(c, "many, write-through");
    group.bench_function("insert", |b| b.iter(|| workload::play(&cache, REPLACE.mix, &batch)));
    group.bench_function("write_through", |b| {
        b.iter(|| {
            for &key in &batch {
                let written = cache.write_through(key, |_| Ok::<_, Infallible>(Loaded::new(u64::of(key))));
                assert!(written.is_ok_and(|version| version.is_some()), "nobody else writes");
            }
        });
    });
}

fn filled(scenario: &Scenario) -> (Cache<u64, u64>, Vec<u64>) {
    let cache = Cache::new(scenario.capacity);
    workload::fill(&cache, scenario.filled);
    (cache, scenario.batch(&mut scenario.keys(), BATCH))
}

/// The keys one by one, in the same loops as where they are taken many at once.
fn each(batch: &[u64], many: usize, mut work: impl FnMut(&u64)) {
    for keys in batch.chunks(many) {
        keys.iter().for_each(&mut work);
    }
}

fn group<'a>(c: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(BATCH as u64));
    group.sample_size(30);
    group
}

criterion_group!(benches, transaction, read, in_groups, invalidate_group, write_through);
criterion_main!(benches);
