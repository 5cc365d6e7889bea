//! `try_get_many_with` and its async twin: one loader call for all that is missing, one flight a key with every other load, partial results.

mod common;
mod hand;

use brindle::Cache;
use brindle::Loaded;

use common::watched;
use hand::Broken;
use hand::Crowd;
use hand::Face;
use hand::GETS;
use hand::Leader;
use hand::RELOADS;
use hand::Said;
use hand::Task;
use hand::all_at_once;
use hand::batch::BOTH;
use hand::batch::Batch;
use hand::batch::built;
use hand::batch::lease;
use hand::batch::no_load;
use hand::batch::plain;
use hand::batch::tens;
use hand::batch::until_there;
use hand::batch::values;
use hand::seconds;

#[test]
fn the_loader_is_called_once_with_exactly_the_missing_keys() {
    watched(|| {
        for is_async in BOTH {
            let cache = plain();
            cache.insert(2, 22);
            cache.insert(4, 44);
            let mut batch = Batch::start(is_async, &cache, &[5, 2, 1, 4, 1, 5, 3]);
            batch.asks(&[&[1, 3, 5]]);
            batch.bring(Some(Ok(tens(&[5, 1, 3]))));
            let expected = [50, 22, 10, 44, 10, 50, 30].map(Some);
            assert_eq!(values(batch.answer()), expected, "in the order of the request");
            assert_eq!((1..6).map(|key| cache.get(&key).unwrap()).collect::<Vec<_>>(), [10, 22, 30, 44, 50]);
            let again = cache.try_get_many_with(&[5, 2, 1, 4, 1, 5, 3], no_load);
            assert_eq!(values(again), expected);
            assert_eq!(cache.stats().flights, 0);
        }
    });
}

#[test]
fn nothing_is_loaded_where_nothing_is_missing() {
    watched(|| {
        let cache = plain();
        assert_eq!(values(cache.try_get_many_with(&[0; 0], no_load)), []);
        let none = Task::new({
            let cache = cache.clone();
            async move { cache.try_get_many_with_async(&[0; 0], |keys| async move { no_load(keys) }).await }
        });
        assert_eq!(values(none.finish()), []);
        (0..100).for_each(|key| _ = cache.insert(key, key));
        let keys: Vec<u64> = (0..100).rev().collect();
        let all: Vec<_> = keys.iter().copied().map(Some).collect();
        assert_eq!(values(cache.try_get_many_with(&keys, no_load)), all);
        let here = cache.clone();
        let task = Task::new(async move { here.try_get_many_with_async(&keys, |keys| async move { no_load(keys) }).await });
        assert_eq!(values(task.finish()), all);
        let stats = cache.stats();
        assert_eq!((stats.loads, stats.waits, stats.flights), (0, 0, 0));
    });
}

#[test]
fn what_the_loader_does_not_bring_is_none_and_what_it_was_not_asked_for_is_ignored() {
    watched(|| {
        for is_async in BOTH {
            let cache = plain();
            cache.insert(7, 77);
            let elsewhere = lease(&cache, 8);
            let mut batch = Batch::start(is_async, &cache, &[1, 2, 7, 2]);
            batch.bring(Some(Ok(vec![(1, 10), (7, 1), (8, 1), (9, 1)])));
            assert_eq!(values(batch.answer()), [Some(10), None, Some(77), None]);
            assert_eq!([1, 2, 7, 8, 9].map(|key| cache.get(&key)), [Some(10), None, Some(77), None, None]);
            assert!(elsewhere.is_current(), "the load of another caller is none of its business");
            assert!(elsewhere.fill(88).is_ok());
            let mut again = Batch::start(is_async, &cache, &[1, 2, 7]);
            again.asks(&[&[2]]);
            again.bring(Some(Ok(Vec::new())));
            assert_eq!(values(again.answer()), [Some(10), None, Some(77)]);
            // The same key twice: one of them.
            let mut twice = Batch::start(is_async, &cache, &[5]);
            twice.bring(Some(Ok(vec![(5, 50), (5, 51)])));
            let there = values(twice.answer())[0];
            assert!([Some(50), Some(51)].contains(&there) && cache.get(&5) == there, "{there:?}");
            assert_eq!(cache.stats().flights, 0);
        }
    });
}

#[test]
fn what_is_brought_may_have_a_source_and_a_time_to_live() {
    watched(|| {
        let (cache, hand) = built(|builder| builder);
        cache.invalidate_at(&2, 7);
        let bring =
            |keys: Vec<u64>| Ok::<_, Broken>(keys.into_iter().map(|key| (key, Loaded::new(key * 10).at(6).with_ttl(seconds(5)))));
        let got = cache.try_get_many_with(&[1, 2], bring).unwrap();
        assert_eq!(got, [Some(10), Some(20)], "its own caller gets what it brought");
        assert_eq!(cache.get_entry(&1).map(|entry| entry.version.source()), Some(6));
        assert_eq!((cache.get(&2), cache.stats().loads_older), (None, 1), "older than what is known of the key");
        hand.advance(seconds(5));
        assert_eq!(cache.get(&1), None);
    });
}

#[test]
fn keys_may_be_borrowed() {
    watched(|| {
        let cache: Cache<String, usize> = Cache::new(100);
        cache.insert("bb".to_string(), 2);
        let load = |keys: Vec<String>| Ok::<_, Broken>(keys.into_iter().map(|key| (key.clone(), key.len())).collect::<Vec<_>>());
        let got = cache.try_get_many_with(["a", "bb", "ccc", "a"], load).unwrap();
        assert_eq!(got, [1, 2, 3, 1].map(Some));
        assert_eq!(cache.get("ccc"), Some(3));
    });
}

#[test]
fn a_batch_joins_the_loads_of_single_keys() {
    watched(|| {
        for (is_async, face) in BOTH.into_iter().flat_map(|batch| GETS.into_iter().chain(RELOADS).map(move |face| (batch, face)))
        {
            let cache = plain();
            let single = Leader::start(face, &cache, 2);
            let mut batch = Batch::start(is_async, &cache, &[1, 2, 3]);
            batch.asks(&[&[1, 3]]);
            batch.bring(Some(Ok(tens(&[1, 3]))));
            if is_async {
                batch.still_runs();
            }
            // What it has is there for others, though it waits for more.
            assert_eq!((until_there(&cache, 1), until_there(&cache, 3)), (10, 30), "{face:?}");
            assert_eq!(single.end(Ok(22)), Said::Value(22));
            assert_eq!(values(batch.answer()), [Some(10), Some(22), Some(30)], "{face:?}");
            assert_eq!((cache.get(&2), cache.stats().flights), (Some(22), 0));
        }
    });
}

#[test]
fn single_keys_join_the_load_of_a_batch() {
    watched(|| {
        for is_async in BOTH {
            let cache = plain();
            let mut batch = Batch::start(is_async, &cache, &[1, 2, 3]);
            let crowds: Vec<_> = [1, 2, 3].into_iter().map(|key| (key, Crowd::gather(&cache, key, &GETS, Ok(99)))).collect();
            let refreshing = Crowd::gather(&cache, 2, &RELOADS, Ok(99));
            batch.bring(Some(Ok(tens(&[1, 2, 3]))));
            assert_eq!(values(batch.answer()), [10, 20, 30].map(Some));
            crowds.into_iter().for_each(|(key, crowd)| crowd.all_get(Said::Value(key * 10)));
            refreshing.all_get(Said::Value(20));
            assert_eq!(cache.stats().flights, 0);
        }
    });
}

#[test]
fn a_batch_takes_stale_values_at_once_and_loads_the_rest() {
    watched(|| {
        for is_async in BOTH {
            let (cache, hand) = built(|builder| builder.time_to_live(seconds(10)).serve_stale(seconds(10)));
            (1..4).for_each(|key| _ = cache.insert(key, key));
            hand.advance(seconds(10));
            let reloading = Leader::start(Face::TryGetWithAsync, &cache, 2);
            let mut batch = Batch::start(is_async, &cache, &[1, 2, 3, 4]);
            batch.asks(&[&[1, 3, 4]]);
            all_at_once(&cache, 1, Said::Value(1), "while the batch reloads");
            batch.bring(Some(Ok(tens(&[1, 3, 4]))));
            assert_eq!(values(batch.answer()), [10, 2, 30, 40].map(Some));
            assert_eq!(reloading.end(Ok(20)), Said::Value(20));
            assert_eq!(cache.stats().flights, 0);
        }
    });
}
