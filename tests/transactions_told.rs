//! Promise 10 for transactions: the listener hears of every value that a commit takes out, once, with its cause, in version order for each key, when
//! all locks are gone and all of the commit can be seen; and of nothing that was never in the cache. It may use the cache.

mod common;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use brindle::Builder;
use brindle::Cache;
use brindle::Cause;
use brindle::Clock;
use brindle::Removed;
use brindle::Version;

use common::Census;
use common::Counted;
use common::Rng;
use common::together;
use common::watched;

type Told = Arc<Mutex<Vec<(u64, u64, Cause)>>>;

fn telling() -> (Builder<u64, u64>, Told) {
    let told = Told::default();
    let log = Arc::clone(&told);
    let listener = move |removed: Removed<u64, u64>| {
        log.lock().unwrap().push((*removed.key(), *removed.value(), removed.cause()));
    };
    (Cache::builder().removal_listener(listener), told)
}

fn take(told: &Told) -> Vec<(u64, u64, Cause)> {
    let mut told = std::mem::take(&mut *told.lock().unwrap());
    told.sort_by_key(|(key, value, _)| (*key, *value));
    told
}

#[test]
fn each_value_that_a_commit_takes_out_is_told_with_its_cause() {
    watched(|| {
        for stripes in [1, 8] {
            let (builder, told) = telling();
            let (clock, time) = Clock::mock();
            let builder = builder.max_capacity(1000).stripes(stripes).clock(clock).weigher(|_, value| value / 1000);
            let cache = builder.build().unwrap();
            (0..10).for_each(|key| _ = cache.insert(key, key));
            cache.insert_with_ttl(8, 80, Duration::from_secs(1));
            assert_eq!(take(&told), [(8, 8, Cause::Replaced)]);
            time.advance(Duration::from_secs(1));
            let committed = cache.transaction(|t| {
                t.insert(0, 10);
                t.insert_at(1, 11, 5);
                t.insert_with_ttl(2, 12, Duration::ZERO);
                t.compare_and_swap(3, cache.get_entry(&3).unwrap().version, 13);
                assert_eq!(t.remove(&4), Some(4));
                t.invalidate(&5);
                t.invalidate_at(&6, 9);
                t.insert(7, 2_000_000);
                t.insert(8, 18);
                t.read(&9);
                t.insert(20, 200);
                t.remove(&21);
                // Never in the cache.
                t.insert(0, 110);
                t.insert(20, 210);
                t.insert(22, 220);
                t.remove(&22);
                assert_eq!(take(&told), [], "nothing has left yet");
            });
            committed.unwrap();
            let right = [
                (0, 0, Cause::Replaced),
                (1, 1, Cause::Replaced),
                (2, 2, Cause::Replaced),
                (2, 12, Cause::Expired),
                (3, 3, Cause::Replaced),
                (4, 4, Cause::Invalidated),
                (5, 5, Cause::Invalidated),
                (6, 6, Cause::Invalidated),
                (7, 7, Cause::Replaced),
                (7, 2_000_000, Cause::Evicted),
                (8, 80, Cause::Expired),
            ];
            assert_eq!(take(&told), right, "{stripes} stripes");
            // What leaves later is what the transaction wrote last.
            cache.clear();
            let values: Vec<_> = take(&told).into_iter().map(|(key, value, _)| (key, value)).collect();
            assert_eq!(values, [(0, 110), (1, 11), (3, 13), (8, 18), (9, 9), (20, 210)]);
        }
    });
}

#[test]
fn an_abort_tells_nobody_anything() {
    watched(|| {
        let (builder, told) = telling();
        let cache = builder.build().unwrap();
        (0..5).for_each(|key| _ = cache.insert(key, key));
        let aborted = cache.transaction(|t| {
            (0..5).for_each(|key| t.insert(key, 10));
            t.remove(&0);
            t.compare_and_swap(1, None, 11);
        });
        assert!(aborted.is_err());
        let failed = cache.try_transaction(|t| {
            (0..5).for_each(|key| t.invalidate(&key));
            Err::<(), _>(1)
        });
        assert!(failed.is_err());
        assert_eq!(take(&told), []);
    });
}

/// The listener reads, writes and commits the same keys; at its first word all of the commit is to be seen.
#[test]
fn the_listener_comes_when_all_locks_are_gone_and_sees_all_of_it() {
    watched(|| {
        const KEYS: u64 = 20;
        for stripes in [1, 8] {
            let own: Arc<OnceLock<Cache<u64, u64>>> = Arc::default();
            let (weak, heard) = (Arc::downgrade(&own), Arc::new(AtomicUsize::new(0)));
            let counts = Arc::clone(&heard);
            let listener = move |removed: Removed<u64, u64>| {
                let Some(own) = weak.upgrade() else { return };
                let cache = own.get().unwrap();
                if *removed.value() != 1 {
                    return;
                }
                counts.fetch_add(1, SeqCst);
                let keys: Vec<u64> = (0..KEYS).collect();
                let seen = cache.get_many_snapshot(&keys);
                let right: Vec<_> = keys.iter().map(|key| (key % 3 > 0).then_some(2)).collect();
                assert_eq!(seen, right, "told before all of it is there");
                assert!(keys.iter().zip(&right).all(|(key, right)| cache.get(key) == *right));
                // Of the same keys, and to the same end.
                cache.transaction(|t| keys.iter().filter(|key| **key % 3 > 0).for_each(|key| t.insert(*key, 2))).unwrap();
                cache.insert(100, 3);
            };
            let cache = Cache::builder().stripes(stripes).removal_listener(listener).build().unwrap();
            own.set(cache.clone()).unwrap();
            (0..KEYS).for_each(|key| _ = cache.insert(key, 1));
            let committed = cache.transaction(|t| {
                (0..KEYS).for_each(|key| if key % 3 > 0 { t.insert(key, 2) } else { t.invalidate(&key) });
            });
            committed.unwrap();
            assert_eq!(heard.load(SeqCst) as u64, KEYS);
            assert_eq!(cache.stats().listener_panics, 0);
        }
    });
}

#[test]
fn a_listener_that_panics_harms_no_commit() {
    watched(|| {
        let census = Census::default();
        let builder =
            Cache::builder().stripes(4).removal_listener(|_: Removed<u64, Counted>| std::panic::resume_unwind(Box::new(1)));
        let cache = builder.build().unwrap();
        (0..20).for_each(|key| _ = cache.insert(key, census.value(1)));
        let committed = cache
            .transaction(|t| (0..20).for_each(|key| if key < 10 { t.insert(key, census.value(2)) } else { t.invalidate(&key) }));
        assert!(committed.is_ok());
        assert!((0..20).all(|key| cache.with(&key, Counted::id) == (key < 10).then_some(2)));
        assert_eq!(cache.stats().listener_panics, 20);
        cache.reclaim();
        assert_eq!(census.alive(), 10);
    });
}

/// Key, version, value and cause.
type Notice = (u64, Version, u64, Cause);

/// Threads commit overlapping keys, and do all else: then what was told and what is left are together just what was written, and per key in order.
#[test]
fn among_threads_each_value_is_told_once_and_in_order() {
    watched(|| {
        for (capacity, stripes) in [(10, 1), (20, 4), (1000, 4)] {
            let told: Arc<Mutex<Vec<Notice>>> = Arc::default();
            let log = Arc::clone(&told);
            let (clock, time) = Clock::mock();
            let listener = move |removed: Removed<u64, u64>| {
                common::dither();
                log.lock().unwrap().push((*removed.key(), removed.version(), *removed.value(), removed.cause()));
            };
            let builder = Cache::builder().max_capacity(capacity).stripes(stripes).removal_listener(listener).clock(clock);
            let cache: Cache<u64, u64> = builder.build().unwrap();
            let written = together(4, |thread| {
                let mut rng = Rng::new(thread as u64 + capacity);
                let mut written = Vec::new();
                for step in 0..1500 {
                    let id = step * 4 + thread as u64;
                    match rng.below(8) {
                        0 => _ = cache.invalidate(&rng.below(30)),
                        1 if rng.below(20) == 0 => cache.clear(),
                        2 => time.advance(Duration::from_millis(100)),
                        3 => written.extend(Some((rng.below(30), id)).inspect(|(key, id)| _ = cache.insert(*key, *id))),
                        _ => {
                            let mut writes = BTreeMap::new();
                            let committed = cache.transaction(|t| {
                                for _ in 0..6 {
                                    let key = rng.below(30);
                                    writes.insert(key, id);
                                    match rng.below(5) {
                                        0 => {
                                            t.remove(&key);
                                            writes.remove(&key);
                                        }
                                        1 => t.insert_with_ttl(key, id, Duration::from_millis(100 + rng.below(400))),
                                        _ => t.insert(key, id),
                                    }
                                }
                                t.read(&rng.below(30));
                            });
                            if committed.is_ok() {
                                written.extend(writes);
                            }
                        }
                    }
                }
                written
            });
            let written: BTreeSet<(u64, u64)> = written.into_iter().flatten().collect();
            cache.clear();
            let told = told.lock().unwrap();
            let mut last = BTreeMap::new();
            for (key, version, ..) in told.iter() {
                let before = last.insert(*key, *version);
                assert!(before < Some(*version), "key {key}: {version} told after {before:?}");
            }
            let mut heard: Vec<(u64, u64)> = told.iter().map(|(key, _, id, _)| (*key, *id)).collect();
            heard.sort_unstable();
            assert!(heard.iter().eq(written.iter()), "{} told of {} written", heard.len(), written.len());
            let stats = cache.stats();
            assert_eq!(stats.inserts, heard.len() as u64);
            let left = stats.replaced + stats.invalidated + stats.evicted + stats.expired + stats.cleared;
            assert_eq!(left, heard.len() as u64);
            for (cause, count) in [(Cause::Replaced, stats.replaced), (Cause::Invalidated, stats.invalidated)] {
                assert_eq!(told.iter().filter(|notice| notice.3 == cause).count() as u64, count, "{cause:?}");
            }
        }
    });
}
