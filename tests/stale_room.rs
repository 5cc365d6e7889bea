//! What stale values cost and how they go: they stay while they may be served, weigh what they weigh, make room when it is needed, and are told
//! of once.

mod common;
mod hand;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use brindle::Cache;
use brindle::Cause;
use brindle::Clock;
use brindle::MockClock;
use brindle::Removed;

use common::watched;
use hand::Crowd;
use hand::Face;
use hand::Leader;
use hand::NANO;
use hand::Numbers;
use hand::Said;
use hand::ask;
use hand::at_once;
use hand::seconds;

const TTL: Duration = seconds(100);
const GRACE: Duration = seconds(10);
/// What has expired, and what a reload brings.
const OLD: u64 = 10;
const NEW: u64 = 11;

type End = (&'static str, fn(&Numbers));

type Told = Arc<Mutex<Vec<(u64, u64, Cause)>>>;

/// A small cache whose listener writes down what it hears: (key, value, cause).
fn telling(capacity: u64) -> (Numbers, MockClock, Told) {
    let ((clock, hand), told) = (Clock::mock(), Told::default());
    let hears = Arc::clone(&told);
    let builder = Cache::builder().max_capacity(capacity).stripes(2).clock(clock).time_to_live(TTL).serve_stale(GRACE);
    let builder = builder.weigher(|_, value: &u64| *value).removal_listener(move |removed: Removed<u64, u64>| {
        hears.lock().unwrap().push((*removed.key(), *removed.value(), removed.cause()));
    });
    (builder.build().unwrap(), hand, told)
}

#[test]
fn stale_values_stay_while_they_may_be_served_and_ordinary_traffic_drops_them_after() {
    watched(|| {
        let (cache, hand, told) = telling(1_000_000);
        (0..200).for_each(|key| _ = cache.insert(key, OLD));
        hand.advance(TTL);
        let traffic = || (1_000..1_400).for_each(|key| _ = (cache.insert(key, 1), cache.get(&key), cache.invalidate(&key)));
        traffic();
        hand.advance(GRACE - NANO);
        traffic();
        let late: Vec<_> = told.lock().unwrap().iter().copied().filter(|&(key, ..)| key < 200).collect();
        assert_eq!(late, [], "told of values that may still be served");
        for key in 0..200 {
            let leader = Leader::start(Face::TryGetWithAsync, &cache, key);
            assert_eq!(at_once(Face::GetWithAsync, &cache, key), Said::Value(OLD), "key {key}");
            leader.cancel();
        }
        hand.advance(NANO);
        traffic();
        let mut heard: Vec<_> = told.lock().unwrap().iter().copied().filter(|&(key, ..)| key < 200).collect();
        heard.sort_unstable_by_key(|&(key, ..)| key);
        assert_eq!(heard, (0..200).map(|key| (key, OLD, Cause::Expired)).collect::<Vec<_>>());
        assert_eq!((cache.len(), cache.weight(), cache.stats().expired), (0, 0, 200));
    });
}

/// Nobody has swept them yet, and reads have put their end off.
#[test]
fn of_many_values_that_end_at_once_none_is_served_too_long_or_stays() {
    watched(|| {
        // In whatever order they are swept, some of these come late.
        const SOME: [u64; 5] = [999, 500, 0, 250, 750];
        let (clock, hand) = Clock::mock();
        let builder = Cache::builder().max_capacity(10_000).stripes(1).clock(clock).time_to_idle(TTL).serve_stale(GRACE);
        let cache: Numbers = builder.build().unwrap();
        (0..1_000).for_each(|key| _ = cache.insert(key, OLD));
        hand.advance(TTL / 2);
        (0..1_000).for_each(|key| assert_eq!(cache.get(&key), Some(OLD)));
        hand.advance(TTL + GRACE - NANO);
        for key in SOME {
            let leader = Leader::start(Face::LoadAsync, &cache, key);
            assert_eq!(at_once(Face::GetWith, &cache, key), Said::Value(OLD), "key {key}");
            leader.cancel();
        }
        assert_eq!(cache.len(), 1_000);
        hand.advance(NANO);
        for key in SOME {
            let leader = Leader::start(Face::LoadAsync, &cache, key);
            let crowd = Crowd::gather(&cache, key, &[Face::GetWith, Face::GetWithAsync], Ok(99));
            leader.end(Ok(NEW));
            crowd.all_get(Said::Value(NEW));
        }
        (2_000..2_500).for_each(|key| _ = (cache.insert(key, NEW), cache.invalidate(&key)));
        assert_eq!(cache.len(), SOME.len(), "what has ended is dropped by ordinary traffic");
    });
}

#[test]
fn a_stale_value_that_is_reloaded_or_killed_is_told_of_once() {
    watched(|| {
        let ends: [End; 5] = [
            ("a reload", |cache| assert_eq!(Leader::start(Face::TryGetWith, cache, 1).end(Ok(NEW)), Said::Value(NEW))),
            ("insert", |cache| _ = cache.insert(1, NEW)),
            ("invalidate", |cache| _ = cache.invalidate(&1)),
            ("clear", Cache::clear),
            ("set_capacity", |cache| cache.set_capacity(0)),
        ];
        for (name, end) in ends {
            let (cache, hand, told) = telling(1_000);
            cache.insert(1, OLD);
            hand.advance(TTL);
            let leader = Leader::start(Face::TryGetWithAsync, &cache, 1);
            assert_eq!(at_once(Face::GetWith, &cache, 1), Said::Value(OLD));
            leader.cancel();
            end(&cache);
            cache.set_capacity(1_000);
            hand.advance(GRACE);
            (1_000..1_400).for_each(|key| _ = (cache.insert(key, 1), cache.invalidate(&key)));
            let heard = told.lock().unwrap().iter().filter(|&&(key, value, _)| (key, value) == (1, OLD)).count();
            assert_eq!(heard, 1, "notices after {name}");
        }
    });
}

#[test]
fn stale_entries_weigh_and_make_room() {
    watched(|| {
        let (cache, hand, told) = telling(500);
        (0..50).for_each(|key| _ = cache.insert(key, OLD));
        assert_eq!(cache.weight(), 500);
        hand.advance(TTL);
        for key in 100..400 {
            cache.insert(key, 1 + key % 20);
            assert!(cache.weight() <= 500, "weight {} after key {key}", cache.weight());
            ask(Face::Load, &cache, key % 50, || Ok(1 + key % 30));
            assert!(cache.weight() <= 500, "weight {} after a load", cache.weight());
        }
        cache.set_capacity(100);
        assert!(cache.weight() <= 100);
        hand.advance(TTL + GRACE);
        (1_000..1_400).for_each(|key| _ = (cache.insert(key, 1), cache.invalidate(&key)));
        assert_eq!((cache.len(), cache.weight()), (0, 0));
        let old = told.lock().unwrap().iter().filter(|&&(key, value, _)| key < 50 && value == OLD).count();
        // A reload may bring that value again.
        let again = (100..400).filter(|key| 1 + key % 30 == OLD).count();
        assert!((50..=50 + again).contains(&old), "{old} notices of 50 values");
        let stats = cache.stats();
        let left = stats.replaced + stats.invalidated + stats.evicted + stats.expired + stats.cleared;
        assert_eq!((stats.inserts, told.lock().unwrap().len() as u64), (left, left), "each value is told of once");
    });
}
