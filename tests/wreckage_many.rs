//! Promise 7 for calls of many keys: each key has its own flight, and what becomes of one keeps nobody from another.

mod common;
mod harness;

use std::future::pending;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;

use brindle::Cache;
use brindle::LoadError;
use brindle::Stats;

use common::executor::Boxed;
use common::executor::Task;
use common::executor::oneshot;
use common::executor::run_woken;
use common::executor::step;
use harness::planned;
use harness::survives;
use harness::watched;

fn until<K, V>(cache: &Cache<K, V>, reached: impl Fn(&Stats) -> bool) {
    while !reached(&cache.stats()) {
        thread::yield_now();
    }
}

fn new() -> Cache<u64, u64> {
    Cache::builder().max_capacity(100).stripes(1).build().unwrap()
}

/// What the calls of these tests load: ten times the key.
fn tens(keys: Vec<u64>) -> Vec<(u64, u64)> {
    keys.into_iter().map(|key| (key, key * 10)).collect()
}

type Loading<'a> = Task<Boxed<'a, Vec<u64>>>;

/// A call for many keys that loads at once what it gets to load.
fn many<'a>(cache: &'a Cache<u64, u64>, keys: &'a [u64]) -> Loading<'a> {
    Task::new(Box::pin(async move {
        let values = cache.try_get_many_with_async(keys, |keys| async { Ok::<_, u8>(tens(keys)) }).await;
        values.unwrap().into_iter().map(Option::unwrap).collect()
    }))
}

fn one(cache: &Cache<u64, u64>, key: u64) -> Loading<'_> {
    Task::new(Box::pin(async move { vec![cache.get_with_async(&key, async { key * 10 }).await] }))
}

#[test]
fn a_call_that_waits_for_one_key_takes_over_another() {
    watched(|| {
        for keys in [[1, 2], [2, 1]] {
            let cache = new();
            let mut first = Task::new(cache.get_with_async(&1, pending()));
            let (send, loaded) = oneshot();
            let mut second = Task::new(cache.get_with_async(&2, loaded));
            first.pends();
            second.pends();
            let mut tasks = [many(&cache, &keys), one(&cache, 1)];
            tasks.iter_mut().for_each(Task::pends);
            drop(first);
            // The second key's load takes as long as it likes. Who waits for the first alone gets it.
            run_woken(&mut tasks, |_, _| ());
            assert_eq!(cache.get(&1), Some(10), "{keys:?}: nobody takes over");
            assert!(tasks[1].is_over(), "{keys:?}");
            send.send(20);
            assert_eq!(second.ends(), 20);
            run_woken(&mut tasks, |number, values| {
                let expected: Vec<_> = if number == 0 { keys.iter().map(|key| key * 10).collect() } else { vec![10] };
                assert_eq!(values, expected);
            });
            assert!(tasks.iter().all(Task::is_over));
            assert_eq!(cache.stats().flights, 0);
        }
    });
}

#[test]
fn a_thread_that_waits_for_one_key_takes_over_another() {
    watched(|| {
        for keys in [[1, 2], [2, 1]] {
            let cache = new();
            let mut first = Task::new(cache.get_with_async(&1, pending()));
            let (send, loaded) = oneshot();
            let mut second = Task::new(cache.get_with_async(&2, loaded));
            first.pends();
            second.pends();
            thread::scope(|scope| {
                // Whatever comes, the second load ends with the scope, or the thread would wait for ever.
                let send = send;
                let cache = &cache;
                let thread = scope.spawn(move || cache.try_get_many_with(&keys, |keys| Ok::<_, u8>(tens(keys))));
                until(cache, |stats| stats.waits == 2);
                let single = scope.spawn(|| cache.get_with(&1, || 10));
                until(cache, |stats| stats.waits == 3);
                drop(first);
                assert_eq!(single.join().unwrap(), 10, "{keys:?}");
                send.send(20);
                assert_eq!(second.ends(), 20);
                let values = thread.join().unwrap().unwrap();
                assert_eq!(values, keys.map(|key| Some(key * 10)));
            });
            assert_eq!(cache.stats().flights, 0);
        }
    });
}

#[test]
fn no_ring_closes_through_a_lease_that_its_heir_does_not_come_for() {
    watched(|| {
        for keys in [[1, 2], [2, 1]] {
            let cache = new();
            let (go, told) = oneshot::<()>();
            let mut first = Task::new(cache.get_with_async(&1, pending()));
            // The load of the second key needs the first.
            let mut second = Task::new(cache.get_with_async(&2, async {
                told.await;
                cache.get_with_async(&1, async { 10 }).await + 10
            }));
            first.pends();
            second.pends();
            let mut both = [many(&cache, &keys)];
            both[0].pends();
            drop(first);
            go.send(());
            let mut value = None;
            while value.is_none() {
                // Who was woken runs; if nobody was, this is the ring.
                let woken = second.is_woken() || both[0].is_woken();
                assert!(woken, "{keys:?}: all wait for each other");
                run_woken(&mut both, |_, values| assert_eq!(values, keys.map(|key| key * 10)));
                if second.is_woken() {
                    run_woken(std::slice::from_mut(&mut second), |_, loaded| value = Some(loaded));
                }
            }
            assert_eq!(value, Some(20));
            run_woken(&mut both, |_, values| assert_eq!(values, keys.map(|key| key * 10)));
            assert!(both[0].is_over());
            assert_eq!(cache.stats().flights, 0);
        }
    });
}

#[test]
fn a_call_that_loads_one_key_keeps_nobody_from_another() {
    watched(|| {
        for keys in [[1, 2], [2, 1]] {
            let cache = new();
            let mut first = Task::new(cache.get_with_async(&1, pending()));
            first.pends();
            let (send, told) = oneshot::<()>();
            let mut told = Some(told);
            // It loads the second key, for as long as it likes, and waits for the first.
            let mut both = Task::new(cache.try_get_many_with_async(&keys, |keys| {
                let told = told.take();
                async {
                    if let Some(told) = told {
                        told.await;
                    }
                    Ok::<_, u8>(tens(keys))
                }
            }));
            both.pends();
            let mut single = [one(&cache, 1)];
            single[0].pends();
            drop(first);
            while both.is_woken() {
                both.pends();
            }
            assert_eq!(run_woken(&mut single, |_, values| assert_eq!(values, [10])), 1, "{keys:?}: nobody takes over");
            send.send(());
            assert_eq!(both.ends().unwrap(), keys.map(|key| Some(key * 10)));
            assert_eq!(cache.stats().flights, 0);
        }
    });
}

#[test]
fn a_loader_of_many_keys_may_need_one_that_its_call_waits_for() {
    watched(|| {
        for keys in [[1, 2], [2, 1]] {
            let cache = new();
            let mut first = Task::new(cache.get_with_async(&1, pending()));
            first.pends();
            // The first key's load goes while the second's is under way, which then needs it.
            let mut first = Some(first);
            let values = cache.try_get_many_with(&keys, |keys| {
                if keys.contains(&2) {
                    drop(first.take());
                    assert!(matches!(cache.try_get_with(&1, || Ok::<_, u8>(10)), Ok(10) | Err(LoadError::Reentrant)));
                }
                Ok::<_, u8>(tens(keys))
            });
            assert_eq!(values.unwrap(), keys.map(|key| Some(key * 10)));
            assert_eq!(cache.stats().flights, 0);
        }
    });
}

/// How a call for many keys breaks off.
#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    Error,
    Panic,
    Cancelled,
    /// It brings nothing at all.
    Nothing,
    /// It brings one of the keys, and panics after that.
    Half,
}

const KEYS: [u64; 5] = [1, 2, 3, 4, 5];

/// What it brings, one after the other.
fn bring(end: End, keys: Vec<u64>) -> Result<impl Iterator<Item = (u64, u64)>, &'static str> {
    let pairs = match end {
        End::Error => return Err("down"),
        End::Panic => planned(),
        End::Half => tens(keys),
        _ => Vec::new(),
    };
    Ok(pairs.into_iter().map(|(key, value)| if key == 1 { (key, value) } else { planned() }))
}

#[test]
fn every_key_of_a_call_that_breaks_off_has_its_own_heir() {
    watched(|| {
        for end in [End::Error, End::Panic, End::Cancelled, End::Nothing, End::Half] {
            let cache = new();
            let asked = Arc::new(Mutex::new(Vec::new()));
            let (inside, asking) = (cache.clone(), Arc::clone(&asked));
            let mut leading = Some(Task::new(async move {
                let loader = |keys: Vec<u64>| {
                    asking.lock().unwrap().push(keys.clone());
                    async move {
                        step().await;
                        bring(end, keys)
                    }
                };
                inside.try_get_many_with_async(&KEYS, loader).await
            }));
            leading.as_mut().unwrap().pends();
            let mut waiting: Vec<_> = KEYS.iter().chain(&KEYS).map(|&key| one(&cache, key)).collect();
            waiting.iter_mut().for_each(Task::pends);
            assert_eq!((*asked.lock().unwrap()).as_slice(), [KEYS.to_vec()], "one call for all that are missing");
            let ended = if end == End::Cancelled { None } else { survives(|| leading.as_mut().unwrap().ends()) };
            match end {
                End::Error => assert!(matches!(ended, Some(Err(LoadError::Failed("down"))))),
                End::Nothing => assert_eq!(ended.unwrap(), Ok(vec![None; 5])),
                _ => assert!(ended.is_none(), "{end:?}"),
            }
            leading = None;
            assert!(leading.is_none());
            let ended = run_woken(&mut waiting, |number, values| assert_eq!(values, [KEYS[number % 5] * 10]));
            assert_eq!(ended, 10, "{end:?}: somebody was forgotten");
            let stats = cache.stats();
            // What was brought before the panic may stay, or go with the call.
            let again = stats.loads - 5;
            assert!(again == 5 || end == End::Half && again == 4, "{end:?}: {again} loads after the first");
            assert_eq!((stats.flights, stats.len), (0, 5), "{end:?}");
        }
    });
}

#[test]
fn two_calls_for_the_same_keys_in_other_orders_share_their_loads() {
    watched(|| {
        let cache = new();
        let (here, news) = channel();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let call = |keys: [u64; 5]| {
            let (cache, here, calls) = (cache.clone(), here.clone(), Arc::clone(&calls));
            move || {
                let loader = |keys: Vec<u64>| {
                    calls.lock().unwrap().push(keys.clone());
                    here.send(()).unwrap();
                    // Nobody ends before every key is somebody's to load.
                    until(&cache, |stats| stats.loads == 5);
                    Ok::<_, u8>(tens(keys))
                };
                cache.try_get_many_with(&keys, loader).unwrap()
            }
        };
        let (one, other) = (call([1, 2, 3, 4, 5]), call([5, 4, 3, 2, 1]));
        thread::scope(|scope| {
            let one = scope.spawn(one);
            let other = scope.spawn(other);
            news.recv().unwrap();
            assert_eq!(one.join().unwrap(), [10, 20, 30, 40, 50].map(Some));
            assert_eq!(other.join().unwrap(), [50, 40, 30, 20, 10].map(Some));
        });
        let mut loaded: Vec<_> = calls.lock().unwrap().iter().flatten().copied().collect();
        loaded.sort_unstable();
        assert_eq!(loaded, KEYS, "a key was loaded twice");
        assert_eq!((cache.stats().loads, cache.stats().flights), (5, 0));
    });
}

#[test]
fn a_ring_through_any_key_of_a_call_is_told_so() {
    watched(|| {
        for back_to in KEYS {
            let cache = new();
            let (go, told) = oneshot::<()>();
            // The load of 9 needs one of the keys, and the load of the keys needs 9.
            let mut nine = Task::new(cache.try_get_with_async(&9, async {
                told.await;
                cache.try_get_with_async(&back_to, async { Ok::<_, u8>(0) }).await.map_err(|error| error == LoadError::Reentrant)
            }));
            nine.pends();
            let loader = |keys: Vec<u64>| async {
                let _ = cache.try_get_with_async(&9, async { Ok::<_, u8>(0) }).await;
                Ok::<_, u8>(tens(keys))
            };
            let mut all = Task::new(cache.try_get_many_with_async(&KEYS, loader));
            all.pends();
            go.send(());
            assert_eq!(nine.ends(), Err(LoadError::Failed(true)), "back to {back_to}");
            assert_eq!(all.ends().unwrap(), KEYS.map(|key| Some(key * 10)));
            // One of the keys inside the call itself.
            cache.clear();
            let mut inside = None;
            let values = cache.try_get_many_with(&KEYS, |keys| {
                inside = Some(cache.try_get_with(&back_to, || Ok::<_, u8>(0)));
                let many = cache.try_get_many_with(&[8, back_to], |keys| Ok::<_, u8>(tens(keys)));
                assert_eq!(many, Err(LoadError::Reentrant));
                Ok::<_, u8>(tens(keys))
            });
            assert_eq!((inside, values.unwrap().len()), (Some(Err(LoadError::Reentrant)), 5));
            assert_eq!((cache.get(&8), cache.stats().flights), (None, 0));
        }
    });
}
