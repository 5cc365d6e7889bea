//! Write-behind among threads and tasks, against the model: nothing acknowledged is lost or reordered, whatever fails, and no read goes back.

#![cfg(feature = "write-behind")]

mod common;
mod model;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use brindle::Cache;
use brindle::Version;
use brindle::WhyUnwritten;

use common::Census;
use common::Counted;
use common::Rng;
use common::dither;
use common::executor::Task;
use common::executor::block_on;
use common::together;
use common::watched;
use model::Fault;
use model::Model;
use model::builder;

const THREADS: usize = 4;

/// Fails one call in `odds`, in any way.
fn flaky(seed: u64, odds: u64) -> Model {
    let mut rng = Rng::new(seed);
    Model::planned(move |_| {
        dither();
        match rng.below(odds) {
            0 => [Fault::Error, Fault::Panic, Fault::Half][rng.below(3) as usize],
            _ => Fault::Nothing,
        }
    })
}

/// Writers of the same keys, in every way, and others that flush, cancel and evict. What the sink has in the end is for each key the acknowledged
/// value of the highest version.
fn storm(seed: u64) {
    let cache: Cache<u64, u64> = Cache::builder().max_capacity(24).stripes(2).build().unwrap();
    let behind = builder(&cache, flaky(seed, 4)).capacity(6).batch(3).retries((seed % 2) as usize).build();
    let acknowledged = together(THREADS, |number| {
        let mut rng = Rng::new(seed * 31 + number as u64);
        let mut own: BTreeMap<u64, (Version, u64)> = BTreeMap::new();
        for turn in 0..400 {
            let (key, value) = (rng.below(12), number as u64 * 1_000_000 + turn);
            let written = match rng.below(8) {
                0 => {
                    let _ = behind.flush();
                    continue;
                }
                1 => {
                    // Cancelled anywhere, before its first poll too.
                    let mut flush = Task::new(behind.flush_async());
                    let _ = (0..rng.below(5)).any(|_| flush.poll().is_ready());
                    continue;
                }
                2 => {
                    cache.insert(100 + rng.below(50), value);
                    assert!(behind.pending().len() <= 6);
                    continue;
                }
                3 => {
                    let mut insert = Task::new(behind.insert_async(key, value));
                    let polls = rng.below(6);
                    match (0..polls).find_map(|_| if let std::task::Poll::Ready(end) = insert.poll() { Some(end) } else { None })
                    {
                        Some(Ok(version)) => Ok(version),
                        _ => continue,
                    }
                }
                4 => behind.try_insert(key, value).map_err(|refused| assert!(matches!(refused.why, WhyUnwritten::Full))),
                5 => block_on(behind.insert_async(key, value)).map_err(drop),
                _ => behind.insert(key, value).map_err(drop),
            };
            if let Ok(version) = written {
                let before = own.insert(key, (version, value));
                assert!(before.is_none_or(|(before, _)| before < version));
            }
        }
        own
    });
    while behind.close().is_err() {}
    let mut newest: BTreeMap<u64, (Version, u64)> = BTreeMap::new();
    for (key, written) in acknowledged.into_iter().flatten() {
        let known = newest.entry(key).or_insert(written);
        *known = (*known).max(written);
    }
    let newest: BTreeMap<u64, u64> = newest.into_iter().map(|(key, (_, value))| (key, value)).collect();
    assert_eq!(behind.sink().stored(), newest, "seed {seed}");
    assert!(cache.weight() <= 24);
    cache.set_capacity(0);
    assert!(cache.is_empty(), "something is still held");
}

#[test]
fn nothing_acknowledged_is_lost_or_reordered() {
    watched(|| (0..30).for_each(storm));
}

/// Readers load from the source what the cache has lost; the source has what was written, or the cache still has it.
#[test]
fn no_read_goes_back_behind_what_was_acknowledged_or_read() {
    const KEYS: u64 = 16;
    watched(|| {
        for seed in 0..6 {
            let cache: Cache<u64, u64> = Cache::builder().max_capacity(6).stripes(2).build().unwrap();
            let behind = builder(&cache, flaky(seed, 5)).capacity(5).batch(2).build();
            let seen: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
            let writing = AtomicUsize::new(2);
            together(THREADS, |number| {
                let mut rng = Rng::new(seed * 17 + number as u64);
                if number < 2 {
                    for value in 1..800 {
                        // A key has one writer, whose values rise.
                        let key = rng.below(KEYS / 2) * 2 + number as u64;
                        if behind.insert(key, value).is_ok() {
                            seen[key as usize].fetch_max(value, SeqCst);
                        }
                    }
                    writing.fetch_sub(1, SeqCst);
                    return;
                }
                while writing.load(SeqCst) > 0 {
                    let key = rng.below(KEYS);
                    let floor = seen[key as usize].load(SeqCst);
                    let source = || {
                        dither();
                        behind.sink().stored().get(&key).copied().unwrap_or(0)
                    };
                    let value = match rng.below(4) {
                        0 => cache.refresh(&key, source),
                        1 => cache.get(&key).unwrap_or(floor),
                        _ => cache.get_with(&key, source),
                    };
                    assert!(value >= floor, "key {key} went back from {floor} to {value}");
                    seen[key as usize].fetch_max(value, SeqCst);
                }
            });
            while behind.close().is_err() {}
        }
    });
}

/// Runners, of threads and of tasks, that fail and come back while others write and close.
#[test]
fn runners_come_and_go() {
    watched(|| {
        for seed in 0..10 {
            let behind =
                builder(&Cache::new(1_000), flaky(seed, 3)).capacity(10).batch(4).linger(Duration::from_micros(seed * 50));
            let behind = behind.build();
            let closed = AtomicBool::new(false);
            together(THREADS, |number| match number {
                0 => while behind.run().is_err() {},
                1 => {
                    // Cancelled again and again.
                    while !closed.load(SeqCst) {
                        let mut run = Task::new(behind.run_async());
                        let _ = (0..20).any(|_| run.poll().is_ready());
                    }
                }
                2 => {
                    for value in 0..1_000 {
                        while behind.insert(value % 30, value).is_err() {}
                    }
                    while behind.close().is_err() {}
                    closed.store(true, SeqCst);
                }
                _ => {
                    while !closed.load(SeqCst) {
                        let pending = behind.pending();
                        assert!(pending.len() <= 10);
                        drop(pending);
                        let _ = behind.flush();
                    }
                }
            });
            assert_eq!(behind.sink().stored(), (0..30).map(|key| (key, key + if key < 10 { 990 } else { 960 })).collect());
        }
    });
}

#[test]
fn no_value_outlives_its_use() {
    watched(|| {
        let census = Census::default();
        {
            let cache: Cache<u64, Counted> = Cache::builder().max_capacity(8).stripes(2).build().unwrap();
            let behind = builder(&cache, flaky(1, 3)).capacity(6).batch(3).build();
            together(THREADS, |number| {
                let mut rng = Rng::new(number as u64);
                for turn in 0..500 {
                    let value = census.value(number as u64 * 1_000 + turn);
                    match rng.below(5) {
                        0 => {
                            cache.insert(rng.below(20), value);
                        }
                        1 => drop(behind.pending()),
                        2 => {
                            cache.invalidate(&rng.below(20));
                        }
                        3 => {
                            let mut insert = Task::new(behind.insert_async(rng.below(20), value));
                            let _ = (0..rng.below(4)).any(|_| insert.poll().is_ready());
                        }
                        _ => drop(behind.insert(rng.below(20), value)),
                    }
                }
            });
            while behind.flush().is_err() {}
            cache.reclaim();
            assert!(census.alive() <= 8, "{} live", census.alive());
            drop(behind.try_insert(1, census.value(1)));
        }
        assert_eq!(census.alive(), 0);
    });
}
