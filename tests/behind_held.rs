//! Write-behind in the cache: what is pending is neither evicted nor expires nor is it replaced by a load, until it is written; then it is an
//! entry as any other.

#![cfg(feature = "write-behind")]

mod common;
mod model;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use brindle::Cache;
use brindle::Cause;
use brindle::Clock;
use brindle::Expiry;
use brindle::Leased;
use brindle::Loaded;
use brindle::Version;

use common::Rng;
use common::watched;
use model::Fault;
use model::Model;
use model::builder;
use model::listed;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_is_pending_is_not_evicted_and_what_is_written_is() {
    for stripes in [1, 4] {
        let cache: Cache<u64, u64> = Cache::builder().max_capacity(100).stripes(stripes).build().unwrap();
        let behind = builder(&cache, Model::default()).build();
        (0..60).for_each(|key| drop(behind.insert(key, key)));
        for key in 1_000..11_000 {
            cache.insert(key, key);
            assert!(cache.weight() <= 100);
        }
        assert!((0..60).all(|key| cache.get(&key) == Some(key)));
        behind.flush().unwrap();
        (0..60).for_each(|key| assert_eq!(cache.peek(&key), Some(key)));
        cache.set_capacity(30);
        assert_eq!(cache.weight(), 30);
        for key in 11_000..21_000 {
            cache.insert(key, key);
            cache.get(&key);
            assert!(cache.weight() <= 30);
        }
        assert!((0..60).all(|key| !cache.contains_key(&key)), "nobody reads them any more");
    }
}

#[test]
fn the_cache_is_never_over_its_capacity_for_what_is_pending() {
    for stripes in [1, 8] {
        let weigh = |_: &u64, value: &u64| value % 8;
        let cache: Cache<u64, u64> = Cache::builder().max_capacity(40).weigher(weigh).stripes(stripes).build().unwrap();
        let behind = builder(&cache, Model::planned(|call| if call % 4 == 0 { Fault::Error } else { Fault::Nothing }));
        let behind = behind.capacity(64).batch(3).build();
        let mut rng = Rng::new(7);
        let mut acknowledged = BTreeMap::new();
        for _ in 0..5_000 {
            let (key, value) = (rng.below(40), rng.next());
            match rng.below(4) {
                0 => {
                    cache.insert(100 + key, value);
                }
                1 => drop(behind.flush()),
                _ if behind.insert(key, value).is_ok() => {
                    acknowledged.insert(key, value);
                }
                _ => {}
            }
            assert!(cache.weight() <= 40, "{}", cache.weight());
            for (key, value) in listed(&behind) {
                assert_eq!(cache.peek(&key), Some(value));
            }
        }
        while behind.close().is_err() {}
        assert_eq!(behind.sink().stored(), acknowledged);
    }
}

#[test]
fn entries_of_no_weight_are_released_as_what_they_are() {
    let cache: Cache<u64, u64> = Cache::builder().max_capacity(2).weigher(|_, value| *value).build().unwrap();
    let behind = builder(&cache, Model::default()).build();
    behind.insert(1, 0).unwrap();
    behind.insert(2, 2).unwrap();
    behind.insert(3, 0).unwrap();
    cache.insert(1, 1);
    assert_eq!(cache.get(&1), None, "there is no room for it");
    behind.close().unwrap();
    cache.set_capacity(0);
    assert_eq!((cache.get(&3), cache.get(&2)), (Some(0), None));
}

#[test]
fn a_smaller_cache_keeps_what_is_pending_until_it_is_written() {
    let cache: Cache<u64, u64> = Cache::new(100);
    let behind = builder(&cache, Model::default()).build();
    (0..50).for_each(|key| drop(behind.insert(key, key)));
    (50..100).for_each(|key| {
        cache.insert(key, key);
    });
    cache.set_capacity(10);
    assert_eq!(cache.len(), 50);
    behind.flush().unwrap();
    assert_eq!(cache.weight(), 10, "what could not go has gone");
    cache.set_capacity(100);
    (0..50).for_each(|key| drop(behind.insert(key, key)));
    cache.set_capacity(10);
    behind.insert(200, 200).unwrap();
    assert!(behind.len() <= 10 && cache.weight() <= 10, "{} pending, weight {}", behind.len(), cache.weight());
    behind.flush().unwrap();
    assert_eq!(behind.sink().stored().len(), 51);
    assert_eq!(cache.weight(), 10);
    cache.set_capacity(0);
    assert!(cache.is_empty());
    behind.insert(1, 1).unwrap_err();
}

/// Values of even keys expire after ten seconds; reads of others make it twenty.
struct Parity;

impl Expiry<u64, u64> for Parity {
    fn after_create(&self, key: &u64, _: &u64) -> Option<Duration> {
        key.is_multiple_of(2).then_some(10 * SECOND)
    }
}

#[test]
fn what_is_pending_does_not_expire_and_its_time_runs_from_the_write() {
    for stripes in [1, 4] {
        let builders = [
            Cache::builder().time_to_live(10 * SECOND),
            Cache::builder().expire_after(Parity),
            Cache::builder().time_to_live(10 * SECOND).time_to_idle(30 * SECOND),
        ];
        for cache in builders {
            let (clock, time) = Clock::mock();
            let cache: Cache<u64, u64> = cache.max_capacity(100).stripes(stripes).clock(clock).build().unwrap();
            let behind = builder(&cache, Model::default()).build();
            // Leaves its deadlines in the slot that the next value gets.
            cache.insert_with_ttl(0, 0, SECOND);
            cache.invalidate(&0);
            cache.reclaim();
            behind.insert(0, 1).unwrap();
            time.advance(4 * SECOND);
            behind.flush().unwrap();
            time.advance(5 * SECOND);
            assert_eq!(cache.get(&0), Some(1));
            time.advance(SECOND);
            assert_eq!(cache.get(&0), None);
            behind.insert(0, 2).unwrap();
            time.advance(50 * SECOND);
            cache.insert(2, 2);
            assert_eq!((cache.get(&0), cache.peek(&0), cache.iter().count()), (Some(2), Some(2), 2));
            behind.flush().unwrap();
            assert_eq!(cache.get(&0), None, "its time has long been up");
            assert_eq!(cache.len(), 1);
        }
    }
}

#[test]
fn a_value_that_may_not_live_at_all_lives_until_it_is_written() {
    let (clock, time) = Clock::mock();
    let cache: Cache<u64, u64> = Cache::builder().max_capacity(100).time_to_live(Duration::ZERO).clock(clock).build().unwrap();
    let behind = builder(&cache, Model::default()).build();
    for value in 0..3 {
        behind.insert(1, value).unwrap();
        time.advance(SECOND);
        assert_eq!(cache.get(&1), Some(value));
    }
    behind.flush().unwrap();
    assert_eq!(cache.get(&1), None);
}

#[test]
fn what_was_written_and_expires_is_dropped_by_ordinary_traffic() {
    let (clock, time) = Clock::mock();
    let cache: Cache<u64, u64> = Cache::builder().max_capacity(100).stripes(1).time_to_live(SECOND).clock(clock).build().unwrap();
    let behind = builder(&cache, Model::default()).build();
    (0..50).for_each(|key| drop(behind.insert(key, key)));
    behind.flush().unwrap();
    time.advance(2 * SECOND);
    (100..120).for_each(|key| {
        cache.insert(key, key);
    });
    assert_eq!(cache.len(), 20);
}

#[test]
fn time_to_idle_runs_from_the_release() {
    let (clock, time) = Clock::mock();
    let cache: Cache<u64, u64> = Cache::builder().max_capacity(100).time_to_idle(10 * SECOND).clock(clock).build().unwrap();
    let behind = builder(&cache, Model::default()).build();
    behind.insert(1, 1).unwrap();
    time.advance(60 * SECOND);
    behind.flush().unwrap();
    time.advance(9 * SECOND);
    assert_eq!(cache.get(&1), Some(1));
    time.advance(9 * SECOND);
    assert_eq!(cache.get(&1), Some(1));
    time.advance(10 * SECOND);
    assert_eq!(cache.get(&1), None);
}

#[test]
fn no_load_begins_while_a_value_is_pending() {
    let (clock, time) = Clock::mock();
    let cache = Cache::builder().max_capacity(100).refresh_after(10 * SECOND).clock(clock).build().unwrap();
    let behind = builder(&cache, Model::default()).build();
    behind.insert(1, 7).unwrap();
    let older = || unreachable!("it would be older");
    assert_eq!(cache.refresh(&1, older), 7);
    assert_eq!(cache.get_with(&1, older), 7);
    time.advance(60 * SECOND);
    assert_eq!(cache.get_with(&1, older), 7);
    assert_eq!(cache.reload(&1, || Err::<Loaded<u64>, ()>(())).unwrap(), 7);
    assert!(matches!(cache.get_or_lease(&1, None), Leased::Value(7)));
    assert_eq!(cache.get(&1), Some(7));
    behind.flush().unwrap();
    // From here on the source has it.
    assert_eq!(cache.get_with(&1, || 8), 8);
    assert_eq!(cache.refresh(&1, || 9), 9);
}

#[test]
fn a_load_that_read_the_source_before_is_not_stored_after() {
    let cache: Cache<u64, u64> = Cache::new(100);
    let behind = builder(&cache, Model::default()).build();
    behind.insert(1, 7).unwrap();
    // While the value is pending its entry goes, and somebody loads what the source has.
    cache.invalidate(&1);
    let Leased::Lease(lease) = cache.get_or_lease(&1, None) else { unreachable!() };
    behind.flush().unwrap();
    lease.fill(6).unwrap_err();
    assert_eq!(cache.get(&1), None);
    // And the same with a load that is done by then.
    behind.insert(1, 8).unwrap();
    cache.invalidate(&1);
    assert_eq!(cache.get_with(&1, || 7), 7);
    behind.flush().unwrap();
    assert_eq!(cache.get_with(&1, || 8), 8);
}

/// What somebody else does to the cache, and its name.
type Other = (&'static str, fn(&Cache<u64, u64>));

#[test]
fn what_others_do_to_a_pending_key_does_not_keep_its_value_from_the_sink() {
    let others: [Other; 7] = [
        ("insert", |cache| {
            cache.insert(1, 0);
        }),
        ("remove", |cache| assert!(cache.remove(&1).is_some())),
        ("invalidate", |cache| {
            cache.invalidate(&1);
        }),
        ("clear", |cache| cache.clear()),
        ("retain", |cache| cache.retain(|_, _| false)),
        ("transaction", |cache| drop(cache.transaction(|t| t.insert(1, 0)))),
        ("invalidate_at", |cache| {
            cache.invalidate_at(&1, 9);
        }),
    ];
    for (name, other) in others {
        for stripes in [1, 4] {
            let cache: Cache<u64, u64> = Cache::builder().max_capacity(20).stripes(stripes).build().unwrap();
            let behind = builder(&cache, Model::default()).build();
            (0..10).for_each(|key| drop(behind.insert(key, 10 + key)));
            other(&cache);
            assert_eq!(listed(&behind).len(), 10, "{name}");
            (100..1_000).for_each(|key| {
                cache.insert(key, key);
            });
            assert!(cache.weight() <= 20);
            behind.flush().unwrap();
            assert_eq!(behind.sink().stored(), (0..10).map(|key| (key, 10 + key)).collect(), "{name}");
            assert_eq!(cache.get(&1), None, "{name}: what is there instead is not what the source has");
            (100..1_000).for_each(|key| {
                cache.insert(key, key);
            });
            assert_eq!(cache.weight(), 20, "{name}");
        }
    }
}

#[test]
fn a_newer_source_version_in_the_place_of_a_pending_value_stays() {
    let cache: Cache<u64, u64> = Cache::builder().versioned_by(|_, &value| value).build().unwrap();
    let behind = builder(&cache, Model::default()).build();
    behind.insert(1, 7).unwrap();
    cache.insert_at(1, 8, 8).unwrap();
    behind.flush().unwrap();
    assert_eq!(cache.get(&1), Some(8));
}

/// What came meanwhile may be from before the write: that it has another key's floor for a source proves nothing.
#[test]
fn a_value_of_unknown_source_in_the_place_of_a_pending_one_goes() {
    let cache: Cache<u64, u64> =
        Cache::builder().ordering(brindle::Ordering::Global).tombstone_capacity(0).stripes(1).build().unwrap();
    let behind = builder(&cache, Model::default()).build();
    behind.insert(1, 7).unwrap();
    assert!(cache.invalidate(&1));
    assert!(cache.invalidate_at(&2, 9));
    let old = cache.insert(1, 6);
    assert_eq!(old.source(), 9);
    behind.flush().unwrap();
    assert_eq!(cache.get(&1), None);
}

/// Key, value, version and cause.
type Told = (u64, u64, Version, Cause);

#[test]
fn the_listener_hears_of_everything_once_and_in_order() {
    watched(|| {
        let told: Arc<Mutex<Vec<Told>>> = Arc::default();
        let cache = Cache::builder().max_capacity(8).stripes(2).removal_listener({
            let told = Arc::clone(&told);
            move |removed: brindle::Removed<u64, u64>| {
                told.lock().unwrap().push((*removed.key(), *removed.value(), removed.version(), removed.cause()));
            }
        });
        let cache = cache.build().unwrap();
        let behind = builder(&cache, Model::default()).capacity(6).batch(2).build();
        for value in 0..500 {
            behind.insert(value % 13, value).unwrap();
        }
        behind.close().unwrap();
        let told = told.lock().unwrap();
        let mut heard: Vec<u64> = told.iter().map(|&(_, value, ..)| value).chain(cache.iter().map(|entry| *entry)).collect();
        heard.sort_unstable();
        assert_eq!(heard, (0..500).collect::<Vec<_>>());
        for key in 0..13 {
            let versions: Vec<_> = told.iter().filter(|removed| removed.0 == key).map(|removed| removed.2).collect();
            assert!(versions.is_sorted(), "{versions:?}");
        }
    });
}

#[test]
fn a_listener_that_flushes_is_no_hang() {
    watched(|| {
        let cell: Arc<std::sync::OnceLock<model::Behind>> = Arc::default();
        let cache = Cache::builder().max_capacity(4).stripes(1).removal_listener({
            let cell = Arc::clone(&cell);
            move |_: brindle::Removed<u64, u64>| {
                if let Some(behind) = cell.get() {
                    let _ = behind.flush();
                    let _ = behind.insert(99, 99);
                    let _ = behind.close();
                }
            }
        });
        let cache: Cache<u64, u64> = cache.build().unwrap();
        let behind = builder(&cache, Model::default()).capacity(1).build();
        behind.insert(1, 1).unwrap();
        cache.insert(1, 0);
        assert!(cell.set(behind.clone()).is_ok());
        (0..20).for_each(|key| drop(behind.insert(key, key)));
        (0..20).for_each(|key| {
            cache.insert(key, key);
        });
        behind.close().unwrap();
    });
}

#[test]
fn what_nobody_can_write_any_more_is_an_entry_as_any_other() {
    let (clock, time) = Clock::mock();
    let cache: Cache<u64, u64> = Cache::builder().max_capacity(10).time_to_live(10 * SECOND).clock(clock).build().unwrap();
    let behind = builder(&cache, Model::default()).build();
    (0..10).for_each(|key| drop(behind.insert(key, key)));
    drop(behind);
    assert_eq!(cache.get(&3), Some(3));
    (100..200).for_each(|key| {
        cache.insert(key, key);
    });
    assert!((0..10).filter(|key| cache.contains_key(key)).count() < 10);
    time.advance(10 * SECOND);
    assert!((0..10).all(|key| !cache.contains_key(&key)));
}

#[test]
fn a_cache_that_counts_on_floors_takes_pending_values_in_order() {
    let cache: Cache<u64, u64> = Cache::builder()
        .max_capacity(16)
        .ordering(brindle::Ordering::Global)
        .tombstone_capacity(0)
        .versioned_by(|_, value| *value)
        .build()
        .unwrap();
    let behind = builder(&cache, Model::default()).capacity(8).batch(3).build();
    let mut acknowledged = BTreeMap::new();
    let mut rng = Rng::new(3);
    for now in 1..2_000 {
        let (key, value) = (rng.below(30), now - rng.below(3).min(now - 1));
        if behind.insert(key, value).is_ok() {
            let before = acknowledged.insert(key, value);
            assert!(before.is_none_or(|before| before < value));
        }
        if rng.below(5) == 0 {
            cache.invalidate(&rng.below(30));
        }
    }
    behind.close().unwrap();
    assert_eq!(behind.sink().stored(), acknowledged);
}

/// The first read after its time looks at what the release gave it: nothing else has looked at the entry since.
#[test]
fn a_released_entry_that_has_expired_is_not_read() {
    let (clock, hand) = brindle::Clock::mock();
    // Large, as in small caches every hit is seen to for the policy's sake.
    let builder = brindle::Cache::builder().max_capacity(1 << 24).clock(clock);
    let cache: brindle::Cache<u64, u64> = builder.time_to_live(std::time::Duration::from_secs(10)).build().unwrap();
    let sink = |_: &[brindle::Pending<u64, u64>]| Ok::<_, std::convert::Infallible>(());
    let behind = brindle::WriteBehind::builder(cache.clone(), sink).build();
    behind.insert(1, 1).unwrap();
    behind.flush().unwrap();
    assert_eq!(cache.get(&1), Some(1));
    hand.advance(std::time::Duration::from_secs(11));
    assert_eq!(cache.get(&1), None);
}

/// What is done while the sink writes.
type Act = Box<dyn FnOnce() + Send>;

/// A value that is read between two writes of a key has a source version, and the second write none that anybody knew: still it is older.
#[test]
fn what_a_load_reads_between_two_writes_of_its_key_goes_with_the_second() {
    let source = Arc::new(Mutex::new((0, 5)));
    let cache: Cache<u64, u64> = Cache::new(100);
    let meanwhile: Arc<Mutex<Option<Act>>> = Arc::default();
    let sink = {
        let (source, meanwhile) = (Arc::clone(&source), Arc::clone(&meanwhile));
        move |batch: &[brindle::Pending<u64, u64>]| {
            for item in batch {
                let mut row = source.lock().unwrap();
                *row = (*item.value(), row.1 + 1);
            }
            let act = meanwhile.lock().unwrap().take();
            act.into_iter().for_each(|act| act());
            Ok::<_, std::convert::Infallible>(())
        }
    };
    let behind = brindle::WriteBehind::builder(cache.clone(), sink).build();
    behind.insert(1, 7).unwrap();
    *meanwhile.lock().unwrap() = Some(Box::new({
        let (behind, cache, source) = (behind.clone(), cache.clone(), Arc::clone(&source));
        move || {
            behind.try_insert(1, 8).unwrap();
            assert!(cache.invalidate(&1));
            let Leased::Lease(lease) = cache.get_or_lease(&1, None) else { panic!("it is not there") };
            let (value, version) = *source.lock().unwrap();
            lease.fill_loaded(Loaded::new(value).at(version)).unwrap();
        }
    }));
    behind.flush().unwrap();
    behind.flush().unwrap();
    assert_eq!(*source.lock().unwrap(), (8, 7));
    assert!(behind.is_empty());
    assert_ne!(cache.get(&1), Some(7), "the source has 8, and the cache was told so");
}
