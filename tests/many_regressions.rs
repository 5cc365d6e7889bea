//! Calls for many keys that went wrong once: leases that are handed to a batch while it loads, loaders that ask for keys of their own batch, a
//! cache without room.

mod common;

use std::future::pending;

use brindle::Cache;
use brindle::Leased;

use common::executor::Task;
use common::watched;

#[test]
fn a_loader_may_ask_for_a_key_that_is_handed_to_its_batch_meanwhile() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::new(100);
        let Leased::Lease(lease) = cache.get_or_lease(&2, None) else { panic!("nobody else loads") };
        let mut lease = Some(lease);
        let got = cache.try_get_many_with(&[1, 2], |keys| {
            // The batch waits for this key, and is next.
            drop(lease.take());
            let two = cache.get_with(&2, || 20);
            Ok::<_, ()>(keys.into_iter().map(|key| (key, key + two)).collect::<Vec<_>>())
        });
        assert_eq!(got, Ok(vec![Some(21), Some(20)]));
        assert_eq!((cache.get(&2), cache.stats().flights), (Some(20), 0));
    });
}

#[test]
fn a_key_that_is_handed_to_a_batch_does_not_lie_idle_while_the_batch_loads_others() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::new(100);
        let Leased::Lease(lease) = cache.get_or_lease(&2, None) else { panic!("nobody else loads") };
        let mut batch = Task::new(cache.try_get_many_with_async(&[1, 2], |_| pending::<Result<Vec<(u64, u64)>, ()>>()));
        batch.pends();
        let mut single = Task::new(cache.get_with_async(&2, async { 20 }));
        single.pends();
        drop(lease);
        if batch.is_woken() {
            batch.pends();
        }
        assert!(single.is_woken(), "nobody loads the key");
        assert_eq!(single.ends(), 20);
    });
}

#[test]
fn a_lazy_loader_that_asks_for_its_own_key_is_told() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::new(100);
        let got = cache.try_get_many_with(&[1], |keys| {
            let inner = cache.clone();
            // Asked for when the batch takes the values, which is after the loader has returned.
            let ask = move |key| (key, inner.try_get_with(&key, || Ok::<_, ()>(1)).unwrap_or(99));
            Ok::<_, ()>(keys.into_iter().map(ask))
        });
        assert_eq!((got, cache.stats().flights), (Ok(vec![Some(99)]), 0));
    });
}

#[test]
fn what_has_no_room_is_given_all_the_same() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::builder().stripes(1).max_capacity(0).build().unwrap();
        let load = |keys: Vec<u64>| Ok::<_, ()>(keys.into_iter().map(|key| (key, key)).collect::<Vec<_>>());
        assert_eq!(cache.try_get_many_with(&[1, 2, 1], load), Ok(vec![Some(1), Some(2), Some(1)]));
        assert_eq!((cache.len(), cache.stats().flights), (0, 0));
    });
}
