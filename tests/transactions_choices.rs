//! Promise 8, what is asked for beside a value: sources, times, weights and groups hold for what a transaction writes, whether the cache asks for
//! them or the transaction does.

mod common;

use std::time::Duration;

use brindle::Builder;
use brindle::Cache;
use brindle::Clock;
use brindle::Transaction;

use common::watched;

type Change<'a> = Transaction<'a, u64, u64, ahash::RandomState>;

type Choose = fn(Builder<u64, u64>) -> Builder<u64, u64>;

const SECOND: Duration = Duration::from_secs(1);

/// The source of key 1.
fn source(cache: &Cache<u64, u64>) -> Option<u64> {
    cache.get_entry(&1).map(|entry| entry.version.source())
}

#[test]
fn times_to_live_begin_and_end() {
    watched(|| {
        let (clock, time) = Clock::mock();
        let builder = Cache::<u64, u64>::builder().stripes(4).clock(clock).time_to_live(Duration::from_secs(100));
        let cache = builder.build().unwrap();
        let expiring = cache.transaction(|t| {
            (0..10).for_each(|key| t.insert_with_ttl(key, key, Duration::from_secs(key)));
            t.insert(10, 10);
            t.insert_with_ttl(11, 11, Duration::ZERO);
            t.insert(11, 12);
        });
        expiring.unwrap();
        for second in 0..100 {
            (0..10).for_each(|key| assert_eq!(cache.get(&key).is_some(), key > second, "key {key} after {second}"));
            assert_eq!((cache.get(&10), cache.get(&11)), (Some(10), Some(12)));
            time.advance(SECOND);
        }
        assert_eq!((cache.get(&10), cache.get(&11)), (None, None));
    });
}

/// What a change asks for beside its value is not forgotten where the shortest way would do without it.
#[test]
fn what_a_transaction_asks_for_holds_where_nobody_asked_for_anything() {
    watched(|| {
        let commit = |change: fn(&mut Change<'_>)| {
            let (clock, hand) = Clock::mock();
            let cache: Cache<u64, u64> = Cache::builder().stripes(1).clock(clock).build().unwrap();
            // After a plain write a stripe knows that there is nothing to see to.
            cache.insert(0, 0);
            // Longer than any tombstone lives: one that was buried at no time would be gone.
            hand.advance(Duration::from_secs(1 << 30));
            cache.transaction(change).unwrap();
            (cache, hand)
        };
        let (cache, _) = commit(|t| t.insert_at(1, 10, 5));
        assert_eq!(source(&cache), Some(5));
        let (cache, _) = commit(|t| t.invalidate_at(&1, 5));
        assert!(cache.insert_at(1, 10, 4).is_err());
        let (cache, hand) = commit(|t| t.insert_with_ttl(1, 10, SECOND));
        hand.advance(SECOND);
        assert_eq!(cache.get(&1), None);
        let (cache, _) = commit(|t| t.insert_in_groups(1, 10, ["group"]));
        assert_eq!(cache.invalidate_group("group"), 1);
        let (cache, _) = commit(|t| {
            t.insert_at(1, 10, 5);
            t.invalidate(&1);
        });
        assert!(cache.insert_at(1, 10, 5).is_err(), "the source has said that it was");
    });
}

/// The same of what the cache asks of every value.
#[test]
fn what_a_cache_asks_for_holds_for_its_transactions() {
    watched(|| {
        let commit = |choose: Choose| {
            let (clock, hand) = Clock::mock();
            let cache = choose(Cache::builder().stripes(1).clock(clock)).build().unwrap();
            // With no entry in it a stripe has as little to see to as one of a cache that asks for nothing.
            cache.invalidate(&0);
            cache.transaction(|t| t.insert(1, 10)).unwrap();
            (cache, hand)
        };
        let (cache, _) = commit(|builder| builder.versioned_by(|_, value| *value));
        assert_eq!(source(&cache), Some(10));
        let (cache, _) = commit(|builder| builder.weigher(|_, value| *value));
        assert_eq!(cache.weight(), 10);
        let (cache, _) = commit(|builder| builder.group_by(|_, value| [*value]));
        assert_eq!(cache.invalidate_group(&10_u64), 1);
        let timed: [Choose; 2] = [|builder| builder.time_to_live(SECOND), |builder| builder.time_to_idle(SECOND)];
        for choose in timed {
            let (cache, hand) = commit(choose);
            hand.advance(SECOND);
            assert_eq!(cache.get(&1), None);
        }
    });
}
