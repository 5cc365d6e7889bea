//! Promise 8, what each call of a transaction means: nothing is seen before the commit and all of it after; own writes are read;
//! an abort changes nothing and gives everything back. (What one key's changes come to is in `transactions_sequences.rs`, conditions in
//! `transactions_conditions.rs`, what is asked for beside values in `transactions_choices.rs`.)

mod common;

use std::collections::BTreeMap;
use std::error::Error;
use std::hash::BuildHasher;
use std::thread;
use std::time::Duration;

use brindle::Aborted;
use brindle::Builder;
use brindle::Cache;
use brindle::TransactionError;
use brindle::Version;
use brindle::WhyAborted;

use common::Census;
use common::Flat;
use common::Itself;
use common::Rng;
use common::watched;

/// Keys that all have one hash.
fn caches() -> [Cache<u64, u64, Flat>; 2] {
    [1, 8].map(|stripes| Cache::builder().stripes(stripes).hasher(Flat).build().unwrap())
}

fn of_stripes(stripes: usize) -> Cache<u64, u64> {
    Cache::builder().stripes(stripes).build().unwrap()
}

fn version<S: BuildHasher>(cache: &Cache<u64, u64, S>, key: u64) -> Option<Version> {
    cache.get_entry(&key).map(|entry| entry.version)
}

/// What an aborted transaction would have written, in order.
fn given_back(aborted: Aborted<u64, u64>) -> Vec<(u64, u64)> {
    let mut all = aborted.others;
    all.extend(aborted.value.map(|value| (aborted.key, value)));
    all.sort_unstable();
    all
}

#[test]
fn nothing_is_seen_before_the_commit_and_all_of_it_after() {
    watched(|| {
        for stripes in [1, 2, 16] {
            let cache = of_stripes(stripes);
            (0..40).for_each(|key| _ = cache.insert(key, key));
            let before: Vec<_> = (0..60).map(|key| version(&cache, key)).collect();
            let answer = cache.transaction(|t| {
                (0..20).for_each(|key| t.invalidate(&key));
                (20..60).for_each(|key| t.insert(key, key + 1000));
                // Neither here nor on another thread.
                let read = || (0..60).map(|key| version(&cache, key)).collect::<Vec<_>>();
                assert_eq!(read(), before);
                assert_eq!(thread::scope(|scope| scope.spawn(read).join().unwrap()), before);
                assert_eq!(cache.len(), 40);
                "what the body says"
            });
            assert_eq!(answer.unwrap(), "what the body says");
            for key in 0..60 {
                assert_eq!(cache.get(&key), (key >= 20).then_some(key + 1000));
                assert!(key < 20 || version(&cache, key) > before[key as usize], "versions rise");
            }
            assert_eq!((cache.len(), cache.weight()), (40, 40));
            let stats = cache.stats();
            assert_eq!((stats.inserts, stats.replaced, stats.invalidated, stats.evicted), (80, 20, 20, 0), "{stripes} stripes");
        }
    });
}

#[test]
fn own_writes_are_read_and_the_cache_where_there_are_none() {
    watched(|| {
        for cache in caches() {
            (0..4).for_each(|key| _ = cache.insert_at(key, key, 5).unwrap());
            let committed = cache.transaction(|t| {
                assert_eq!((t.get(&0), t.read(&0), t.contains_key(&0)), (Some(0), Some(0), true));
                assert_eq!((t.get(&9), t.read(&9), t.contains_key(&9)), (None, None, false));
                t.insert(1, 11);
                assert_eq!((t.get(&1), t.read(&1), t.contains_key(&1)), (Some(11), Some(11), true));
                t.insert_with_ttl(1, 12, Duration::MAX);
                assert_eq!(t.get(&1), Some(12));
                assert_eq!(t.remove(&1), Some(12), "the own value");
                assert_eq!((t.get(&1), t.read(&1), t.contains_key(&1), t.remove(&1)), (None, None, false, None));
                t.insert_at(1, 13, 6);
                assert_eq!(t.get(&1), Some(13));
                t.invalidate(&1);
                assert_eq!((t.get(&1), t.contains_key(&1)), (None, false));
                assert_eq!(t.remove(&2), Some(2), "the cache's value");
                assert_eq!(t.get(&2), None);
                t.compare_and_swap(2, version(&cache, 2), 22);
                assert_eq!(t.get(&2), Some(22));
                t.invalidate_at(&3, 6);
                assert_eq!((t.get(&3), t.contains_key(&3)), (None, false), "what is there is older");
            });
            committed.unwrap();
            assert_eq!([0, 1, 2, 3, 9].map(|key| cache.get(&key)), [Some(0), None, Some(22), None, None]);
        }
    });
}

/// A change is about what is there when the transaction commits, not when it was noted.
#[test]
fn what_comes_meanwhile_is_replaced_and_removed_like_the_rest() {
    watched(|| {
        for cache in caches() {
            let committed = cache.transaction(|t| {
                t.insert(1, 10);
                assert_eq!(t.remove(&2), None);
                t.invalidate(&3);
                t.invalidate_at(&4, 5);
                t.invalidate_at(&5, 5);
                t.invalidate_at(&6, 5);
                (1..=3).for_each(|key| _ = cache.insert(key, 1));
                cache.insert_at(4, 1, 4).unwrap();
                cache.insert_at(5, 1, 5).unwrap();
                cache.insert(6, 1);
                assert_eq!([1, 2, 3, 4, 5].map(|key| t.get(&key)), [Some(10), None, None, None, Some(1)]);
            });
            committed.unwrap();
            let right = [Some(10), None, None, None, Some(1), None];
            assert_eq!([1, 2, 3, 4, 5, 6].map(|key| cache.get(&key)), right);
            assert_eq!(cache.len(), 2);
        }
    });
}

#[test]
fn reads_of_the_cache_are_counted_as_any_other() {
    watched(|| {
        let cache = of_stripes(2);
        cache.insert(1, 1);
        cache.transaction(|t| (t.get(&1), t.get(&2))).unwrap();
        assert_eq!((cache.stats().hits, cache.stats().misses), (1, 1));
    });
}

#[test]
fn an_abort_gives_everything_back() {
    watched(|| {
        for stripes in [1, 16] {
            let cache = of_stripes(stripes);
            (0..100).for_each(|key| _ = cache.insert_at(key, key, 9).unwrap());
            let before: Vec<_> = (0..200).map(|key| version(&cache, key)).collect();
            for wrong in [0, 50, 99] {
                for superseded in [false, true] {
                    let result = cache.transaction(|t| {
                        (0..200).for_each(|key| t.insert(key, 1));
                        (0..200).for_each(|key| t.insert(key, key + 1000));
                        (100..110).for_each(|key| t.invalidate(&key));
                        if superseded {
                            t.insert_at(wrong, wrong + 1000, 8);
                        } else {
                            t.compare_and_swap(wrong, None, wrong + 1000);
                        }
                    });
                    let aborted = result.unwrap_err();
                    assert_eq!((aborted.key, aborted.value), (wrong, Some(wrong + 1000)));
                    let current = before[wrong as usize];
                    match &aborted.why {
                        WhyAborted::Conflict { current: found } if !superseded => assert_eq!(*found, current),
                        WhyAborted::Superseded { current: found } if superseded => assert_eq!(Some(*found), current),
                        why => panic!("{why:?}"),
                    }
                    let written = (0..200).filter(|key| !(100..110).contains(key));
                    assert_eq!(given_back(aborted), written.map(|key| (key, key + 1000)).collect::<Vec<_>>());
                    assert_eq!((0..200).map(|key| version(&cache, key)).collect::<Vec<_>>(), before);
                }
            }
        }
    });
}

/// Neither keys nor values need `Clone` or `Debug` where none is asked for.
#[derive(PartialEq, Eq, Hash)]
struct Bare(u64);

#[test]
fn values_that_cannot_be_cloned_come_back_too() {
    watched(|| {
        let census = Census::default();
        let cache: Cache<Bare, common::Counted> = Cache::builder().build().unwrap();
        cache.insert(Bare(1), census.value(1));
        let result = cache.transaction(|t| {
            t.compare_and_swap(Bare(1), None, census.value(10));
            t.insert(Bare(2), census.value(19));
            t.insert(Bare(2), census.value(20));
        });
        let aborted = result.unwrap_err();
        assert_eq!((aborted.key.0, aborted.value.as_ref().map(|value| value.id())), (1, Some(10)));
        assert_eq!(aborted.others.iter().map(|(key, value)| (key.0, value.id())).collect::<Vec<_>>(), [(2, 20)]);
        assert_eq!(census.alive(), 3, "what was overwritten in the transaction is gone");
        fn is_error<E: Error>(error: &E) -> String {
            format!("{error} {error:?}")
        }
        assert!(is_error(&aborted).len() > 20, "says something");
        drop(aborted);
        assert_eq!(census.alive(), 1);
    });
}

#[test]
fn an_error_of_the_body_aborts() {
    watched(|| {
        let census = Census::default();
        let cache: Cache<u64, common::Counted> = Cache::builder().stripes(4).build().unwrap();
        cache.insert(1, census.value(1));
        let failed = cache.try_transaction(|t| {
            t.insert(1, census.value(2));
            t.insert(2, census.value(3));
            t.invalidate(&1);
            Err::<(), _>("no")
        });
        match failed {
            Err(TransactionError::Failed(error)) => assert_eq!(error, "no"),
            _ => panic!("it failed"),
        }
        assert_eq!((census.alive(), cache.len(), cache.stats().inserts), (1, 1, 1));
        let aborted = cache.try_transaction(|t| {
            t.compare_and_swap(1, None, census.value(4));
            Ok::<_, u8>(())
        });
        match aborted {
            Err(TransactionError::Aborted(aborted)) => assert_eq!(aborted.value.map(|value| value.id()), Some(4)),
            _ => panic!("it was aborted"),
        }
        let done = cache.try_transaction(|t| {
            t.insert(1, census.value(5));
            t.insert(2, census.value(6));
            Ok::<_, u8>(7)
        });
        assert_eq!(done.ok(), Some(7));
        assert_eq!((cache.with(&1, common::Counted::id), cache.with(&2, common::Counted::id)), (Some(5), Some(6)));
    });
}

#[test]
fn errors_are_errors() {
    watched(|| {
        let cache = of_stripes(1);
        cache.insert_at(1, 1, 5).unwrap();
        let superseded = cache.try_transaction(|t| {
            t.insert_at(1, 2, 4);
            Ok::<_, std::fmt::Error>(())
        });
        let failed = cache.try_transaction(|_| Err::<(), _>(std::fmt::Error));
        for error in [superseded.unwrap_err(), failed.unwrap_err()] {
            let error: Box<dyn Error> = Box::new(error);
            assert!(!error.to_string().is_empty() && !format!("{error:?}").is_empty());
        }
    });
}

#[test]
fn where_values_have_versions_an_insert_must_be_news() {
    watched(|| {
        let builder: Builder<u64, u64> = Cache::builder().versioned_by(|_, value| value / 10);
        let cache = builder.stripes(4).build().unwrap();
        cache.insert(1, 50);
        let aborted = cache.transaction(|t| {
            t.insert(1, 49);
            t.insert(2, 10);
        });
        let aborted = aborted.unwrap_err();
        assert_eq!(aborted.why, WhyAborted::Superseded { current: version(&cache, 1).unwrap() });
        assert_eq!(given_back(aborted), [(1, 49), (2, 10)]);
        assert_eq!((cache.get(&1), cache.get(&2)), (Some(50), None));
        cache
            .transaction(|t| {
                t.insert(1, 60);
                t.insert(2, 10);
            })
            .unwrap();
        assert_eq!(cache.get_entry(&1).map(|entry| (entry.value, entry.version.source())), Some((60, 6)));
        assert_eq!(version(&cache, 2).map(Version::source), Some(1));
    });
}

#[test]
fn the_body_holds_no_lock() {
    watched(|| {
        for cache in caches() {
            cache.insert(1, 1);
            let outer = cache.transaction(|outer| {
                outer.insert(1, 10);
                outer.insert(2, 20);
                let inner = cache.transaction(|inner| {
                    assert_eq!(inner.get(&1), Some(1), "nobody sees the writes of another transaction");
                    inner.insert(1, 11);
                    inner.insert(3, 31);
                });
                inner.unwrap();
                assert_eq!((outer.get(&1), outer.get(&3), cache.get(&1)), (Some(10), Some(31), Some(11)));
                assert_eq!(cache.get_with(&4, || 4), 4);
                cache.retain(|key, _| *key != 4);
                cache.reclaim();
                // Another thread gets at the same keys.
                thread::scope(|scope| scope.spawn(|| _ = cache.insert(2, 21)).join().unwrap());
            });
            outer.unwrap();
            assert_eq!([1, 2, 3, 4].map(|key| cache.get(&key)), [Some(10), Some(20), Some(31), None]);
        }
    });
}

#[test]
fn transactions_of_nothing_of_conditions_alone_and_of_thousands() {
    watched(|| {
        let cache: Cache<u64, u64, Itself> = Cache::builder().hasher(Itself).stripes(16).build().unwrap();
        assert_eq!(cache.transaction(|_| 1).unwrap(), 1);
        let version = cache.insert(1, 1);
        cache.transaction(|t| t.expect_version(&1, version)).unwrap();
        assert!(cache.transaction(|t| t.expect_version(&1, None)).is_err());
        assert_eq!(cache.stats().inserts, 1);
        cache.transaction(|t| (0..5000).for_each(|key: u64| t.insert(key << 40 | key, key))).unwrap();
        assert_eq!(cache.len(), 5001);
        cache.transaction(|t| (0..5000).for_each(|key: u64| t.invalidate(&(key << 40 | key)))).unwrap();
        assert_eq!((cache.len(), cache.get(&1)), (1, Some(1)));
    });
}

fn change_often<S: BuildHasher>(cache: &Cache<u64, u64, S>, keys: u64, rng: &mut Rng) {
    let mut model: BTreeMap<u64, u64> = (0..keys / 2).map(|key| (key, key)).collect();
    model.iter().for_each(|(key, value)| _ = cache.insert(*key, *value));
    let changed = cache.transaction(|t| {
        for step in 0..keys * 4 {
            let key = rng.below(keys);
            assert_eq!(t.get(&key), model.get(&key).copied(), "step {step} of {keys} keys");
            if rng.below(3) == 0 {
                assert_eq!(t.remove(&key), model.remove(&key));
            } else {
                t.insert(key, 1000 + step);
                model.insert(key, 1000 + step);
            }
        }
    });
    changed.unwrap();
    assert!((0..keys).all(|key| cache.get(&key) == model.get(&key).copied()), "{keys} keys");
    assert_eq!(cache.len(), model.len());
}

/// Few changes and many, of few keys and many, in any order: what is read and what is left is what the last change of each key says.
#[test]
fn own_changes_are_found_again_however_many_there_are() {
    watched(|| {
        let mut rng = Rng::new(5);
        for keys in (1..20).chain([100]) {
            caches().iter().for_each(|cache| change_often(cache, keys, &mut rng));
        }
        for keys in (1..20).chain([100, 3000]) {
            change_often(&of_stripes(8), keys, &mut rng);
        }
    });
}

#[test]
fn what_a_transaction_has_declared_dead_it_does_not_read() {
    watched(|| {
        let cache = of_stripes(1);
        cache.insert_at(1, 10, 5).unwrap();
        for (below, seen) in [(5, Some(10)), (6, None)] {
            cache
                .transaction(|t| {
                    t.invalidate_at(&1, below);
                    assert_eq!((t.get(&1), t.contains_key(&1)), (seen, seen.is_some()), "below {below}");
                    assert_eq!(t.read(&1), seen, "below {below}");
                })
                .unwrap();
        }
    });
}
