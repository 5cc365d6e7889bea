//! The paths that are counted. Each makes its cache ready and then does its operation so many times, in a steady state. What it makes is
//! left to the end of the process, so that it is not counted how it ends.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use ahash::RandomState;
use brindle::Cache;

pub(crate) struct Path {
    pub(crate) name: &'static str,
    /// Does the operation so many times.
    pub(crate) play: fn(u64),
}

pub(crate) const PATHS: [Path; 15] = [
    Path { name: "get", play: get },
    Path { name: "get, absent", play: get_absent },
    Path { name: "get, String keys", play: get_string },
    Path { name: "with", play: with },
    Path { name: "get_with, hit", play: get_with },
    Path { name: "get_with_async, hit", play: get_with_async },
    Path { name: "get_with, load", play: load },
    Path { name: "insert, new", play: insert },
    Path { name: "insert, replace", play: replace },
    Path { name: "insert, evict", play: evict },
    Path { name: "insert_at", play: insert_at },
    Path { name: "compare_and_swap", play: compare_and_swap },
    Path { name: "remove", play: remove },
    Path { name: "invalidate", play: invalidate },
    Path { name: "transaction, two keys", play: transaction },
];

/// Entries of a cache in which keys come up again and again.
const ENTRIES: u64 = 1 << 12;
/// Keys below this are as many as any path needs once.
const ONCE: u64 = 1 << 16;

/// Does the operation with each of so many keys, as a function of its own, so that nothing of it is moved out of the loop.
fn each<R>(keys: impl Iterator<Item = u64>, mut operation: impl FnMut(u64) -> R) {
    #[inline(never)]
    fn apart<R>(key: u64, operation: &mut impl FnMut(u64) -> R) -> R {
        operation(key)
    }
    for key in keys {
        black_box(apart(key, &mut operation));
    }
}

/// The keys of the entries, one after the other, round and round.
fn present(times: u64) -> impl Iterator<Item = u64> {
    (0..times).map(|at| at % ENTRIES)
}

/// Keys that come once, in caches that are filled with those below [`ONCE`].
fn fresh(times: u64) -> impl Iterator<Item = u64> {
    ONCE..ONCE + times
}

/// Empty. Its hasher and its stripes are the same everywhere.
fn cache<K: std::hash::Hash + Eq>(capacity: u64) -> &'static Cache<K, u64, RandomState> {
    let builder = Cache::builder().max_capacity(capacity).stripes(4).hasher(RandomState::with_seeds(1, 2, 3, 4));
    Box::leak(Box::new(builder.build().expect("choices that go together")))
}

/// With the keys below `entries` in it.
fn filled(capacity: u64, entries: u64) -> &'static Cache<u64, u64, RandomState> {
    let cache = cache(capacity);
    (0..entries).for_each(|key| _ = cache.insert(key, key));
    cache
}

fn get(times: u64) {
    let cache = filled(2 * ENTRIES, ENTRIES);
    each(present(times), |key| cache.get(&key));
}

fn get_absent(times: u64) {
    let cache = filled(2 * ENTRIES, ENTRIES);
    each(fresh(times), |key| cache.get(&key));
}

fn get_string(times: u64) {
    let keys: Vec<String> = (0..ENTRIES).map(|key| format!("key {key:8}")).collect();
    let cache = cache(2 * ENTRIES);
    keys.iter().for_each(|key| _ = cache.insert(key.clone(), 1));
    each(present(times), |key| cache.get(keys[key as usize].as_str()));
}

fn with(times: u64) {
    let cache = filled(2 * ENTRIES, ENTRIES);
    each(present(times), |key| cache.with(&key, |value| *value));
}

fn get_with(times: u64) {
    let cache = filled(2 * ENTRIES, ENTRIES);
    each(present(times), |key| cache.get_with(&key, || unreachable!("it is there")));
}

fn get_with_async(times: u64) {
    let cache = filled(2 * ENTRIES, ENTRIES);
    let mut context = Context::from_waker(Waker::noop());
    each(present(times), |key| {
        let task = pin!(cache.get_with_async(&key, async { unreachable!("it is there") }));
        let Poll::Ready(value) = task.poll(&mut context) else { panic!("a hit waits") };
        value
    });
}

/// Into a full cache: each load evicts.
fn load(times: u64) {
    let cache = filled(ENTRIES, ENTRIES);
    each(fresh(times), |key| cache.get_with(&key, || key));
}

/// Where there was room for as much before, so that nothing has to grow.
fn insert(times: u64) {
    let cache = filled(2 * ONCE, ONCE);
    (0..ONCE).for_each(|key| _ = cache.invalidate(&key));
    each(fresh(times), |key| cache.insert(key, key));
}

fn replace(times: u64) {
    let cache = filled(2 * ENTRIES, ENTRIES);
    each(present(times), |key| cache.insert(key, key));
}

fn evict(times: u64) {
    let cache = filled(ENTRIES, ENTRIES);
    each(fresh(times), |key| cache.insert(key, key));
}

fn insert_at(times: u64) {
    let cache = filled(2 * ENTRIES, ENTRIES);
    let mut source = 0;
    each(present(times), |key| {
        source += 1;
        cache.insert_at(key, key, source).expect("it is newer")
    });
}

fn compare_and_swap(times: u64) {
    let cache = cache(2 * ENTRIES);
    let mut versions: Vec<_> = (0..ENTRIES).map(|key| cache.insert(key, key)).collect();
    each(present(times), |key| {
        let version = &mut versions[key as usize];
        *version = cache.compare_and_swap(key, *version, key).expect("nobody else writes");
    });
}

fn remove(times: u64) {
    let cache = filled(2 * ONCE, ONCE);
    each(0..times, |key| cache.remove(&key).expect("it is there"));
}

fn invalidate(times: u64) {
    let cache = filled(2 * ONCE, ONCE);
    each(0..times, |key| assert!(cache.invalidate(&key)));
}

fn transaction(times: u64) {
    let cache = filled(2 * ENTRIES, ENTRIES);
    each(present(times), |key| {
        let committed = cache.transaction(|t| {
            t.insert(key, key);
            t.insert(key ^ 1, key);
        });
        committed.expect("it expects nothing");
    });
}
