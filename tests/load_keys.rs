//! Promise 6: a flight is one key's, in whatever form, whatever the hashes, and whether or not its value can stay.

mod common;
#[path = "common/faces.rs"]
mod faces;

use std::future::pending;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use brindle::Cache;
use brindle::Stats;

use common::Flat;
use common::Rng;
use common::executor::Task;
use common::executor::oneshot;
use common::executor::run_woken;
use common::together;
use common::watched;
use faces::async_faces;
use faces::faces;

fn until<K, V>(cache: &Cache<K, V>, reached: impl Fn(&Stats) -> bool) {
    while !reached(&cache.stats()) {
        thread::yield_now();
    }
}

/// A loader that must not run.
async fn never() -> u64 {
    panic!("a second load")
}

#[test]
fn different_keys_load_side_by_side() {
    watched(|| {
        for face in faces::<u64, u64>() {
            let cache = Cache::builder().max_capacity(100).stripes(1).build().unwrap();
            let values = together(20, |number| {
                let waiting = cache.clone();
                let load = move || {
                    // No load ends before all have begun.
                    until(&waiting, |stats| stats.loads == 20);
                    Ok(number as u64 * 10)
                };
                face.call(&cache, &(number as u64), load)
            });
            assert!(values.iter().zip(0..).all(|(value, number)| *value == Ok(number * 10)), "{}: {values:?}", face.name);
            assert_eq!((cache.stats().waits, cache.stats().flights, cache.len()), (0, 0, 20), "{}", face.name);
        }
    });
}

#[test]
fn every_form_of_a_key_finds_the_same_flight() {
    watched(|| {
        let cache: Cache<String, u64> = Cache::new(100);
        let other = cache.clone();
        let (send, loaded) = oneshot();
        let mut leader = Task::new(cache.get_with_async("key", loaded));
        leader.pends();
        // Another form, another handle; and a loader that must stay on its thread.
        let owned = String::from("key");
        let mut waiter = Task::new(other.get_with_async(&owned, async {
            let here = Rc::new(never());
            pending::<()>().await;
            Rc::into_inner(here).unwrap().await
        }));
        waiter.pends();
        send.send(3);
        assert_eq!((leader.ends(), waiter.ends(), cache.get("key")), (3, 3, Some(3)));
        assert_eq!((cache.stats().loads, cache.stats().flights), (1, 0));
    });
}

#[test]
fn keys_that_collide_have_flights_of_their_own() {
    watched(|| {
        let cache = Cache::builder().max_capacity(1_000).stripes(1).hasher(Flat).build().unwrap();
        let keys: Vec<u64> = (0..60).collect();
        let (sends, mut leaders): (Vec<_>, Vec<_>) = keys
            .iter()
            .map(|key| {
                let (send, loaded) = oneshot();
                (Some(send), Some(Task::new(cache.get_with_async(key, loaded))))
            })
            .unzip();
        let mut sends = sends;
        leaders.iter_mut().flatten().for_each(Task::pends);
        let mut waiters: Vec<_> =
            keys.iter().map(|key| Task::new(cache.get_with_async(key, async move { 1_000 + key }))).collect();
        waiters.iter_mut().for_each(Task::pends);
        assert_eq!((cache.stats().flights, cache.stats().waits), (60, 60));
        let mut order = keys.clone();
        Rng::new(5).shuffle(&mut order);
        for (ended, key) in order.into_iter().enumerate() {
            let at = key as usize;
            // Every third load is cancelled, and its waiter takes over.
            let expected = if ended % 3 == 0 { 1_000 + key } else { key };
            if ended % 3 == 0 {
                leaders[at] = None;
            } else {
                sends[at].take().unwrap().send(key);
                assert_eq!(leaders[at].as_mut().unwrap().ends(), key);
            }
            assert_eq!((waiters[at].ends(), cache.get(&key)), (expected, Some(expected)));
            assert_eq!((cache.stats().flights, cache.len()), (59 - ended, ended + 1));
        }
    });
}

#[test]
fn a_value_that_cannot_stay_is_shared_all_the_same() {
    watched(|| {
        let caches: [(&str, Cache<u64, u64>); 3] = [
            ("no room", Cache::new(0)),
            ("too heavy", Cache::builder().max_capacity(10).weigher(|_, _| 11).build().unwrap()),
            ("no time", Cache::builder().max_capacity(10).time_to_live(Duration::ZERO).build().unwrap()),
        ];
        for (why, cache) in caches {
            for round in 1..=3 {
                for face in async_faces() {
                    let loads = cache.stats().loads;
                    let (send, loaded) = oneshot();
                    let mut tasks = vec![Task::new(face.start(&cache, &7, async { Ok(loaded.await) }))];
                    tasks.extend(
                        async_faces().iter().map(|face| Task::new(face.start(&cache, &7, async { panic!("a second load") }))),
                    );
                    tasks.iter_mut().for_each(Task::pends);
                    send.send(round);
                    let ended = run_woken(&mut tasks, |_, value| assert_eq!(value, Ok(round), "{why}, {}", face.name));
                    assert_eq!((ended, cache.stats().loads - loads), (tasks.len(), 1), "{why}, {}", face.name);
                    assert_eq!((cache.get(&7), cache.stats().flights), (None, 0), "{why}, {}", face.name);
                }
            }
        }
    });
}
