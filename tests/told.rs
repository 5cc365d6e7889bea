//! Promise 10: the listener hears of every value that leaves, exactly once, with its cause, in version order for each key, under no lock;
//! it may call the cache, and its panics harm nobody.

mod common;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use brindle::Builder;
use brindle::Cache;
use brindle::Cause;
use brindle::Clock;
use brindle::Op;
use brindle::Removed;
use brindle::Version;

use common::Census;
use common::Counted;
use common::Rng;
use common::together;
use common::watched;

type Told = Arc<Mutex<Vec<(u64, u64, Cause)>>>;

/// A builder whose listener writes down key, value and cause.
fn telling() -> (Builder<u64, u64>, Told) {
    let told = Told::default();
    let log = Arc::clone(&told);
    let listener = move |removed: Removed<u64, u64>| {
        assert_eq!(
            (*removed.entry.key(), *removed.entry, removed.entry.version()),
            (*removed.key(), *removed.value(), removed.version())
        );
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
fn every_cause_is_told() {
    watched(|| {
        let (builder, told) = telling();
        let (clock, time) = Clock::mock();
        let cache = builder.max_capacity(100).clock(clock).weigher(|_, value| value / 1000).stripes(2).build().unwrap();

        cache.insert(1, 10);
        assert_eq!(take(&told), []);
        cache.insert(1, 11);
        assert_eq!(take(&told), [(1, 10, Cause::Replaced)]);
        cache.insert_at(1, 12, 5).unwrap();
        cache.compare_and_swap(1, cache.get_entry(&1).unwrap().version, 13).unwrap();
        cache.entry(1).and_compute_with(|_| Op::Put(14));
        assert_eq!(take(&told), [(1, 11, Cause::Replaced), (1, 12, Cause::Replaced), (1, 13, Cause::Replaced)]);

        cache.remove(&1);
        assert_eq!(take(&told), [(1, 14, Cause::Invalidated)]);
        cache.insert(1, 15);
        cache.invalidate(&1);
        cache.insert(1, 16);
        cache.invalidate_at(&1, 9);
        cache.insert(1, 17);
        cache.remove_if(&1, |_, _| true);
        cache.insert(1, 18);
        cache.entry(1).and_compute_with(|_| Op::Remove);
        cache.insert(1, 19);
        cache.retain(|_, _| false);
        let invalidated: Vec<_> = (15..20).map(|value| (1, value, Cause::Invalidated)).collect();
        assert_eq!(take(&told), invalidated);

        cache.insert(2, 60_000);
        cache.insert(3, 60_000);
        let [(victim, 60_000, Cause::Evicted)] = take(&told)[..] else { panic!("one of the two") };
        cache.set_capacity(0);
        assert_eq!(take(&told), [(5 - victim, 60_000, Cause::Evicted)]);
        cache.set_capacity(100);

        cache.insert(4, 40);
        cache.insert(4, 1_000_000);
        assert_eq!(take(&told), [(4, 40, Cause::Replaced), (4, 1_000_000, Cause::Evicted)], "too heavy");
        assert!(cache.try_insert(4, 1_000_000).is_err());
        assert_eq!(take(&told), [], "never was in");

        cache.insert_with_ttl(5, 50, Duration::from_secs(1));
        cache.insert_with_ttl(6, 60, Duration::ZERO);
        assert_eq!(take(&told), [(6, 60, Cause::Expired)]);
        time.advance(Duration::from_secs(1));
        assert_eq!(cache.get(&5), None);
        assert_eq!(take(&told), [(5, 50, Cause::Expired)], "the read that finds it tells of it");
        cache.insert_with_ttl(5, 51, Duration::from_secs(1));
        time.advance(Duration::from_secs(1));
        cache.insert(5, 52);
        assert_eq!(take(&told), [(5, 51, Cause::Expired)], "not replaced: its time was up");

        cache.insert(7, 70);
        cache.clear();
        assert_eq!(take(&told), [(5, 52, Cause::Cleared), (7, 70, Cause::Cleared)]);
        cache.clear();
        cache.insert(8, 80);
        drop(cache);
        assert_eq!(take(&told), [], "what is left at the end is not told of");
    });
}

#[test]
fn refused_writes_are_not_told() {
    watched(|| {
        let (builder, told) = telling();
        let cache = builder.build().unwrap();
        cache.insert_at(1, 1, 5).unwrap();
        assert!(cache.insert_at(1, 2, 4).is_err());
        assert!(cache.insert_if_absent(1, 3).is_err());
        assert!(cache.compare_and_swap(1, None, 4).is_err());
        cache.entry(1).and_compute_with(|_| Op::Keep);
        assert!(!cache.invalidate_at(&1, 4) && !cache.invalidate(&2));
        cache.remove_if(&1, |_, _| false);
        cache.retain(|_, _| true);
        assert_eq!(take(&told), []);
    });
}

/// Key, version, value and cause.
type Notice = (u64, Version, u64, Cause);

/// Threads do everything at once; then what was told and what is left are together just what was written, and per key in order.
#[test]
fn each_value_is_told_once_and_in_order() {
    watched(|| {
        for (capacity, stripes) in [(10, 1), (20, 4), (1000, 2)] {
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
                for step in 0..2500 {
                    let (key, id) = (rng.below(40), step * 4 + thread as u64);
                    match rng.below(14) {
                        0 => _ = cache.invalidate(&key),
                        1 => _ = cache.remove(&key),
                        2 if rng.below(20) == 0 => cache.clear(),
                        3 if rng.below(20) == 0 => cache.retain(|key, _| key % 2 == 0),
                        4 => time.advance(Duration::from_millis(100)),
                        5 => written.push((key, cache.insert_with_ttl(key, id, Duration::from_millis(rng.below(500))), id)),
                        6 if rng.below(10) == 0 => {
                            cache.set_capacity(capacity / 2);
                            cache.set_capacity(capacity);
                        }
                        7 => written.extend(cache.insert_if_absent(key, id).ok().map(|version| (key, version, id))),
                        8 => _ = cache.get(&key),
                        _ => written.push((key, cache.insert(key, id), id)),
                    }
                }
                written
            });
            let written: BTreeSet<(u64, Version, u64)> = written.into_iter().flatten().collect();
            cache.clear();
            let told = told.lock().unwrap();
            let mut last = BTreeMap::new();
            for (key, version, ..) in told.iter() {
                let before = last.insert(*key, *version);
                assert!(before < Some(*version), "key {key}: {version} told after {before:?}");
            }
            let mut heard: Vec<(u64, Version, u64)> = told.iter().map(|(key, version, id, _)| (*key, *version, *id)).collect();
            heard.sort_unstable();
            assert!(
                heard.iter().eq(written.iter()),
                "each value that was written is told of once: {} of {}",
                heard.len(),
                written.len()
            );
            assert!(cache.stats().expired > 0 && (capacity == 1000 || cache.stats().evicted > 0));
        }
    });
}

#[test]
fn nothing_is_left_untold() {
    watched(|| {
        for stripes in [1, 4] {
            let told: Arc<Mutex<BTreeMap<Cause2, u64>>> = Arc::default();
            let log = Arc::clone(&told);
            let listener = move |removed: Removed<u64, u64>| {
                *log.lock().unwrap().entry(Cause2(removed.cause())).or_default() += 1;
            };
            let cache = Cache::builder().max_capacity(30).stripes(stripes).removal_listener(listener).build().unwrap();
            together(4, |thread| {
                let mut rng = Rng::new(thread as u64);
                for _ in 0..4000 {
                    match rng.below(5) {
                        0 => _ = cache.invalidate(&rng.below(60)),
                        1 if rng.below(100) == 0 => cache.clear(),
                        _ => _ = cache.insert(rng.below(60), 0),
                    }
                }
            });
            cache.clear();
            let (stats, told) = (cache.stats(), told.lock().unwrap());
            let of = |cause| told.get(&Cause2(cause)).copied().unwrap_or(0);
            assert_eq!(
                (of(Cause::Replaced), of(Cause::Invalidated), of(Cause::Evicted), of(Cause::Expired), of(Cause::Cleared)),
                (stats.replaced, stats.invalidated, stats.evicted, stats.expired, stats.cleared)
            );
            assert_eq!(told.values().sum::<u64>(), stats.inserts, "each value that came has left and was told of");
        }
    });
}

/// A cause with an order, for maps.
#[derive(PartialEq, Eq)]
struct Cause2(Cause);

impl PartialOrd for Cause2 {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cause2 {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0 as u8).cmp(&(other.0 as u8))
    }
}

#[test]
fn a_listener_may_call_the_cache() {
    watched(|| {
        for stripes in [1, 4] {
            let own: Arc<OnceLock<Cache<u64, u64>>> = Arc::default();
            // Weak, or the cache and its listener would keep each other.
            let (cache_of, heard) = (Arc::downgrade(&own), Arc::new(AtomicUsize::new(0)));
            let count = Arc::clone(&heard);
            let listener = move |removed: Removed<u64, u64>| {
                let own = cache_of.upgrade().unwrap();
                let cache = own.get().unwrap();
                let (key, value) = (*removed.key(), *removed.value());
                count.fetch_add(1, SeqCst);
                // Everything, on the same key, from under no lock.
                let _ = (cache.get(&key), cache.contains_key(&key), cache.len(), cache.stats().len, cache.memory_used());
                cache.iter().for_each(drop);
                if value < 3 {
                    cache.insert(key, value + 1);
                    cache.insert(key + 1000, value + 1);
                    cache.entry(key).and_compute_with(|_| Op::Put(value + 1));
                    cache.remove(&key);
                    cache.remove_if(&(key + 1), |_, _| true);
                    cache.retain(|key, _| key % 5 > 0);
                    cache.reclaim();
                    cache.set_capacity(20);
                }
            };
            let cache = Cache::builder().max_capacity(20).stripes(stripes).removal_listener(listener).build().unwrap();
            own.set(cache.clone()).unwrap();
            (0..60).for_each(|key| _ = cache.insert(key, 0));
            together(3, |thread| (0..40).for_each(|key| _ = cache.insert(key + thread as u64, 1)));
            cache.clear();
            let left = cache.len() as u64;
            assert_eq!(heard.load(SeqCst) as u64, cache.stats().inserts - left, "each value that left was told of, on the way");
            assert_eq!(cache.stats().listener_panics, 0);
        }
    });
}

#[test]
fn a_slow_listener_stops_nobody_and_loses_nothing() {
    watched(|| {
        let (here, news) = channel();
        let (go, wait) = channel::<()>();
        let doors = Mutex::new(Some((here, wait)));
        let told: Arc<Mutex<Vec<u64>>> = Arc::default();
        let log = Arc::clone(&told);
        let listener = move |removed: Removed<u64, u64>| {
            let first = doors.lock().unwrap().take();
            if let Some((here, wait)) = first {
                here.send(()).unwrap();
                wait.recv().unwrap();
            }
            log.lock().unwrap().push(*removed.value());
        };
        let cache = Cache::builder().max_capacity(10).stripes(1).removal_listener(listener).build().unwrap();
        cache.insert(1, 0);
        thread::scope(|scope| {
            let stuck = scope.spawn(|| cache.insert(1, 1));
            news.recv().unwrap();
            // The listener is busy with the value 0 on another thread. Writes of the same key, and of all others, go on.
            (2..300).for_each(|value| _ = cache.insert(1, value));
            assert_eq!((cache.get(&1), cache.remove(&1)), (Some(299), Some(299)));
            assert_eq!(*told.lock().unwrap(), [], "one at a time, or the order would be lost");
            go.send(()).unwrap();
            stuck.join().unwrap();
        });
        assert_eq!(*told.lock().unwrap(), (0..300).collect::<Vec<_>>(), "the thread that was telling told the rest, in order");
    });
}

#[test]
fn a_panic_of_the_listener_loses_no_later_notice() {
    watched(|| {
        let told: Arc<Mutex<Vec<u64>>> = Arc::default();
        let log = Arc::clone(&told);
        let listener = move |removed: Removed<u64, u64>| {
            log.lock().unwrap().push(*removed.value());
            assert!(!removed.value().is_multiple_of(3), "a panic of the listener, as it should be");
        };
        let cache = Cache::builder().max_capacity(100).stripes(1).removal_listener(listener).build().unwrap();
        (0..30).for_each(|key| _ = cache.insert(key, key));
        // Many in one call, and then one in each of many.
        cache.clear();
        let mut all = std::mem::take(&mut *told.lock().unwrap());
        all.sort_unstable();
        assert_eq!(all, (0..30).collect::<Vec<_>>());
        assert_eq!(cache.stats().listener_panics, 10);
        (0..30).for_each(|value| _ = cache.insert(1, value));
        assert_eq!(*told.lock().unwrap(), (0..29).collect::<Vec<_>>());
        assert_eq!((cache.stats().listener_panics, cache.get(&1)), (20, Some(29)));
    });
}

struct ThrowsAgain;

impl Drop for ThrowsAgain {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("again"));
    }
}

#[test]
fn what_the_listener_throws_may_throw_in_its_turn() {
    watched(|| {
        let listener = |_: Removed<u64, u64>| std::panic::resume_unwind(Box::new(ThrowsAgain));
        let cache = Cache::builder().max_capacity(100).removal_listener(listener).build().unwrap();
        (0..3).for_each(|value| _ = cache.insert(1, value));
        assert_eq!((cache.stats().listener_panics, cache.get(&1)), (2, Some(2)));
    });
}

#[test]
fn notices_that_are_kept_stay_readable() {
    watched(|| {
        let census = Census::default();
        let kept: Arc<Mutex<Vec<Removed<u64, Counted>>>> = Arc::default();
        let log = Arc::clone(&kept);
        let listener = move |removed: Removed<u64, Counted>| {
            if removed.value().id().is_multiple_of(10) {
                log.lock().unwrap().push(removed);
            }
        };
        let cache = Cache::builder().max_capacity(20).stripes(2).removal_listener(listener).build().unwrap();
        let mut versions = BTreeMap::new();
        for id in 0..3000 {
            versions.insert(id, cache.insert(id % 50, census.value(id)));
        }
        cache.clear();
        cache.reclaim();
        drop(cache);
        let kept = std::mem::take(&mut *kept.lock().unwrap());
        assert_eq!((kept.len(), census.alive()), (300, 300), "just those that the listener keeps");
        thread::spawn(move || {
            for removed in kept {
                let id = removed.value().id();
                assert_eq!((*removed.key(), removed.version()), (id % 50, versions[&id]));
                let again = removed.clone();
                drop(removed);
                assert_eq!(again.entry.id(), id);
            }
        })
        .join()
        .unwrap();
        assert_eq!(census.alive(), 0);
    });
}

#[test]
fn values_are_dropped_only_after_they_were_told_of() {
    watched(|| {
        let census = Census::default();
        let heard = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&heard);
        // `id` would notice a value that was dropped before.
        let listener =
            move |removed: Removed<u64, Counted>| _ = count.fetch_add((removed.value().id() < u64::MAX) as usize, SeqCst);
        let cache = Cache::builder().max_capacity(8).stripes(1).removal_listener(listener).build().unwrap();
        together(3, |thread| {
            for step in 0..3000 {
                cache.insert(step % 17, census.value(thread as u64));
                if step % 100 == 0 {
                    cache.reclaim();
                }
            }
        });
        cache.clear();
        cache.reclaim();
        assert_eq!((heard.load(SeqCst), census.alive()), (9000, 0));
    });
}
