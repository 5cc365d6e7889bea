//! `try_get_many_with` when it goes wrong: errors, panics, cancelled tasks, fences, hanging loads, batches that overlap. Nobody hangs, nothing is left.

mod common;
mod hand;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::hash::Hasher;
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use brindle::Cache;
use brindle::Leased;
use brindle::LoadError;

use common::Rng;
use common::together;
use common::watched;
use hand::Broken;
use hand::Crowd;
use hand::Face;
use hand::GETS;
use hand::Leader;
use hand::Numbers;
use hand::OVERTAKINGS;
use hand::Said;
use hand::Task;
use hand::batch::Answer;
use hand::batch::BOTH;
use hand::batch::Batch;
use hand::batch::built;
use hand::batch::lease;
use hand::batch::no_load;
use hand::batch::plain;
use hand::batch::sorted;
use hand::batch::tens;
use hand::batch::values;
use hand::seconds;
use hand::survives;

#[test]
fn who_waits_for_what_a_batch_does_not_bring_takes_over() {
    watched(|| {
        for is_async in BOTH {
            // As from a batch that panics: then for all of its keys.
            for brings in [Some(Ok(tens(&[1, 3]))), None] {
                let cache = plain();
                let mut batch = Batch::start(is_async, &cache, &[1, 2, 3]);
                let crowd = Crowd::gather(&cache, 2, &GETS, Ok(99));
                let others = Crowd::gather(&cache, 1, &GETS, Ok(98));
                let panics = brings.is_none();
                batch.bring(brings);
                let answer = survives(|| batch.answer());
                let theirs = if panics {
                    assert!(answer.is_none(), "the panic reaches the caller of the batch");
                    98
                } else {
                    assert_eq!(values(answer.unwrap()), [Some(10), None, Some(30)]);
                    10
                };
                crowd.all_get(Said::Value(99));
                others.all_get(Said::Value(theirs));
                let stats = cache.stats();
                assert_eq!((cache.get(&2), cache.get(&1), stats.flights), (Some(99), Some(theirs), 0));
                assert_eq!(stats.takeovers, 1 + u64::from(panics), "one of each crowd took over");
            }
        }
    });
}

#[test]
fn an_error_is_shared_by_all_who_wait_for_any_of_the_keys() {
    watched(|| {
        const TOLD: [Face; 6] =
            [Face::TryGetWith, Face::Load, Face::Many, Face::TryGetWithAsync, Face::LoadAsync, Face::ManyAsync];
        for is_async in BOTH {
            let cache = plain();
            let mut batch = Batch::start(is_async, &cache, &[1, 2, 3]);
            let crowds = [1, 2, 3].map(|key| Crowd::gather(&cache, key, &TOLD, Ok(99)));
            let alone = Crowd::gather(&cache, 3, &[Face::GetWith, Face::GetWithAsync], Ok(98));
            batch.bring(Some(Err(Broken(7))));
            assert_eq!(batch.answer(), Err(LoadError::Failed(Broken(7))));
            crowds.into_iter().for_each(|crowd| crowd.all_get(Said::Failed(7)));
            alone.all_get(Said::Value(98));
            assert_eq!([1, 2, 3].map(|key| cache.get(&key)), [None, None, Some(98)], "nothing of it is stored");
            assert_eq!(cache.stats().flights, 0);
            let mut next = Batch::start(is_async, &cache, &[1, 2, 3]);
            next.asks(&[&[1, 2]]);
            next.bring(Some(Ok(tens(&[1, 2]))));
            assert_eq!(values(next.answer()), [Some(10), Some(20), Some(98)]);
        }
    });
}

#[test]
fn a_batch_takes_over_from_a_single_load_that_ends_without_a_value() {
    watched(|| {
        for is_async in BOTH {
            let cache = plain();
            let single = lease(&cache, 2);
            let mut batch = Batch::start(is_async, &cache, &[1, 2]);
            batch.asks(&[&[1]]);
            batch.bring(Some(Ok(tens(&[1]))));
            batch.waits(&cache, 0);
            drop(single);
            batch.asks(&[&[1], &[2]]);
            let crowd = Crowd::gather(&cache, 2, &GETS, Ok(99));
            batch.bring(Some(Ok(tens(&[2]))));
            assert_eq!(values(batch.answer()), [Some(10), Some(20)]);
            crowd.all_get(Said::Value(20));
            assert_eq!((cache.stats().takeovers, cache.stats().flights), (1, 0));
            // Its error is the batch's too.
            let single = lease(&cache, 5);
            let waits = cache.stats().waits;
            let mut batch = Batch::start(is_async, &cache, &[4, 5]);
            batch.asks(&[&[4]]);
            batch.bring(Some(Ok(tens(&[4]))));
            batch.waits(&cache, waits);
            single.fail(Broken(7));
            assert_eq!(batch.answer(), Err(LoadError::Failed(Broken(7))));
            assert_eq!((cache.get(&4), cache.stats().flights), (Some(40), 0), "what it had is kept");
        }
    });
}

#[test]
fn a_batch_that_waits_for_two_keys_takes_either_over_at_once() {
    watched(|| {
        for dropped in [2, 4] {
            let cache = plain();
            let leases = BTreeMap::from([(2, lease(&cache, 2)), (4, lease(&cache, 4))]);
            let mut batch = Batch::start(true, &cache, &[2, 4]);
            let mut single = Task::new({
                let cache = cache.clone();
                async move { cache.try_get_with_async(&dropped, async { Ok::<_, Broken>(dropped * 10) }).await }
            });
            assert_eq!(single.poll(), None);
            let mut leases = leases;
            drop(leases.remove(&dropped));
            // The other load hangs: that is no reason for this key to hang as well.
            batch.still_runs();
            let alone = single.poll();
            assert!(
                alone == Some(Ok(dropped * 10)) || batch.asked() == [[dropped]],
                "nobody loads key {dropped}: its load was given up, the batch waits for the other key"
            );
            if alone.is_none() {
                batch.bring(Some(Ok(tens(&[dropped]))));
                batch.still_runs();
                assert_eq!(single.finish(), Ok(dropped * 10));
            }
            leases.into_iter().for_each(|(key, lease)| assert!(lease.fill(key * 10).is_ok()));
            assert_eq!(values(batch.answer()), [Some(20), Some(40)]);
            assert_eq!(cache.stats().flights, 0);
        }
    });
}

#[test]
fn a_batch_that_is_busy_loading_is_in_nobodys_way() {
    watched(|| {
        for is_async in BOTH {
            let cache = plain();
            let single = lease(&cache, 2);
            let mut batch = Batch::start(is_async, &cache, &[1, 2]);
            batch.asks(&[&[1]]);
            let crowd = Crowd::gather(&cache, 2, &GETS, Ok(99));
            // The batch came first, but its loader takes its time over the other key.
            drop(single);
            crowd.all_get(Said::Value(99));
            batch.bring(Some(Ok(tens(&[1]))));
            assert_eq!(values(batch.answer()), [Some(10), Some(99)]);
            assert_eq!(cache.stats().flights, 0);
        }
    });
}

#[test]
fn a_batch_that_asks_twice_for_a_key_takes_it_over_once() {
    watched(|| {
        for is_async in BOTH {
            let cache = plain();
            let single = lease(&cache, 2);
            let mut batch = Batch::start(is_async, &cache, &[2, 1, 2, 2]);
            batch.asks(&[&[1]]);
            batch.bring(Some(Ok(tens(&[1]))));
            batch.waits(&cache, 0);
            drop(single);
            // It is handed to the batch, which must not wait for itself.
            batch.asks(&[&[1], &[2]]);
            batch.bring(Some(Ok(tens(&[2]))));
            assert_eq!(values(batch.answer()), [20, 10, 20, 20].map(Some));
            assert_eq!((cache.stats().takeovers, cache.stats().flights), (1, 0));
        }
    });
}

thread_local! {
    /// What the next hashing of a key does first: it runs under no lock.
    static HOOK: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// A key that lets a test come in between.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Hooked(u64);

impl Hash for Hooked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if self.0 == 4
            && let Some(hook) = HOOK.with_borrow_mut(Option::take)
        {
            hook();
        }
        state.write_u64(self.0);
    }
}

/// A batch of two keys that runs its loads at once.
fn crossing(cache: &Cache<Hooked, u64>, keys: [u64; 2]) -> Task<Answer> {
    let cache = cache.clone();
    Task::new(async move {
        let bring =
            |keys: Vec<Hooked>| async move { Ok(keys.into_iter().map(|key| (key.clone(), key.0 * 10)).collect::<Vec<_>>()) };
        cache.try_get_many_with_async(&keys.map(Hooked), bring).await
    })
}

#[test]
fn batches_that_are_handed_keys_crosswise_do_not_wait_for_each_other() {
    watched(|| {
        let cache: Cache<Hooked, u64> = Cache::builder().max_capacity(100).build().unwrap();
        let lease = |key| match cache.get_or_lease(&Hooked(key), None) {
            Leased::Lease(lease) => lease,
            _ => panic!("nobody else loads it"),
        };
        let leases = [lease(2), lease(4)];
        // The first batch is first in line for key 2 and, since the second comes in between, second for key 4.
        let (mut first, second) = (crossing(&cache, [2, 4]), Rc::new(RefCell::new(crossing(&cache, [4, 2]))));
        let comes = Rc::clone(&second);
        HOOK.set(Some(Box::new(move || assert!(comes.borrow_mut().poll().is_none()))));
        assert!(first.poll().is_none());
        assert_eq!(cache.stats().waits, 4, "both wait for both");
        drop(leases);
        // One key is the first batch's to load now, the other the second's.
        let (mut one, mut other) = (None, None);
        for _ in 0..10 {
            one = one.or_else(|| first.poll());
            other = other.or_else(|| second.borrow_mut().poll());
        }
        let (one, other) = (one.expect("the first batch has an end"), other.expect("the second batch has an end"));
        assert_eq!((values(one), values(other)), (vec![Some(20), Some(40)], vec![Some(40), Some(20)]));
        assert_eq!(cache.stats().flights, 0);
    });
}

#[test]
fn a_fence_of_one_key_in_the_middle_of_a_batch_keeps_out_that_key_alone() {
    watched(|| {
        for is_async in BOTH {
            for by in &OVERTAKINGS {
                let cache = plain();
                let mut batch = Batch::start(is_async, &cache, &[1, 2, 3]);
                let waiting = Crowd::gather(&cache, 2, &GETS, Ok(99));
                (by.act)(&cache, 2);
                let later = by.leaves.is_none().then(|| Leader::start(Face::TryGetWithAsync, &cache, 2));
                batch.bring(Some(Ok(tens(&[1, 2, 3]))));
                let second = by.leaves.unwrap_or(20);
                assert_eq!(values(batch.answer()), [Some(10), Some(second), Some(30)], "{}", by.name);
                // Those who waited before get what the batch got.
                waiting.all_get(Said::Value(second));
                assert_eq!(cache.get(&2), by.leaves, "{}", by.name);
                let all = matches!(by.name, "clear" | "retain");
                let kept = if all { [None, None] } else { [Some(10), Some(30)] };
                assert_eq!([1, 3].map(|key| cache.get(&key)), kept, "{}", by.name);
                if let Some(later) = later {
                    assert_eq!(later.end(Ok(30)), Said::Value(30), "{}", by.name);
                    assert_eq!(cache.get(&2), Some(30), "{}", by.name);
                }
                assert_eq!((cache.stats().fenced, cache.stats().flights), (if all { 3 } else { 1 }, 0), "{}", by.name);
            }
        }
    });
}

#[test]
fn a_batch_that_hangs_is_taken_over_key_by_key() {
    watched(|| {
        for is_async in BOTH {
            let (cache, hand) = built(|builder| builder.load_timeout(seconds(1)));
            let mut batch = Batch::start(is_async, &cache, &[1, 2, 3]);
            hand.advance(seconds(1));
            let next = Leader::start(Face::TryGetWith, &cache, 2);
            batch.bring(Some(Ok(tens(&[1, 2, 3]))));
            values(batch.answer());
            assert_eq!([1, 2, 3].map(|key| cache.get(&key)), [None; 3], "too late to be stored");
            assert_eq!(next.end(Ok(22)), Said::Value(22));
            assert_eq!((cache.get(&2), cache.stats().flights), (Some(22), 0));
        }
    });
}

#[test]
fn a_batch_that_is_cancelled_leaves_nothing_at_whatever_point() {
    watched(|| {
        // Before its first poll.
        let cache = plain();
        let here = cache.clone();
        drop(Task::new(async move { here.try_get_many_with_async(&[1, 2], |keys| async move { no_load(keys) }).await }));
        assert_eq!((cache.stats().flights, cache.stats().loads), (0, 0));
        // While it loads: each key goes to those who wait for it.
        let batch = Batch::start(true, &cache, &[1, 2, 3]);
        let crowds = [1, 2].map(|key| (key, Crowd::gather(&cache, key, &GETS, Ok(90 + key))));
        drop(batch);
        crowds.into_iter().for_each(|(key, crowd)| crowd.all_get(Said::Value(90 + key)));
        assert_eq!((cache.get(&3), cache.stats().flights, cache.stats().takeovers), (None, 0, 2));
        // While it waits for the load of another, before its own load has ended and after.
        for loaded in BOTH {
            let cache = plain();
            let single = lease(&cache, 2);
            let mut batch = Batch::start(true, &cache, &[1, 2, 3]);
            if loaded {
                batch.bring(Some(Ok(tens(&[1, 3]))));
                batch.still_runs();
            }
            let crowd = Crowd::gather(&cache, 2, &GETS, Ok(99));
            drop(batch);
            assert_eq!((cache.get(&1).is_some(), cache.stats().flights), (loaded, 1));
            assert!(single.fill(22).is_ok());
            crowd.all_get(Said::Value(22));
            assert_eq!(cache.stats().flights, 0);
        }
        // When a key was handed to it, before it is polled again and after: the next in line takes over.
        for polled in BOTH {
            let cache = plain();
            let single = lease(&cache, 2);
            let mut batch = Batch::start(true, &cache, &[2]);
            let crowd = Crowd::gather(&cache, 2, &GETS, Ok(99));
            drop(single);
            if polled {
                batch.asks(&[&[2]]);
            }
            drop(batch);
            crowd.all_get(Said::Value(99));
            assert_eq!((cache.get(&2), cache.stats().flights), (Some(99), 0));
        }
    });
}

#[test]
fn a_batch_inside_a_load_of_its_own_keys_is_refused_and_not_hung() {
    watched(|| {
        let cache = plain();
        let outer = cache.try_get_with(&1, || {
            let inner = cache.try_get_many_with(&[2, 1, 3], |keys| Ok::<_, Broken>(tens(&keys)));
            assert_eq!(inner, Err(LoadError::Reentrant));
            let others = cache.try_get_many_with(&[2, 3], |keys| {
                assert_eq!(cache.try_get_with(&2, || Ok::<_, Broken>(0)), Err(LoadError::Reentrant));
                assert_eq!(cache.get_with(&4, || 40), 40);
                Ok::<_, Broken>(tens(&keys))
            });
            others.map(|values| values.into_iter().flatten().sum())
        });
        assert_eq!(outer, Ok(50), "and other keys are loaded as anywhere");
        assert_eq!(cache.stats().flights, 0);
    });
}

/// Each way in which the load of a batch may end.
const ENDS: [&str; 4] = ["brings all", "brings nothing", "fails", "is cancelled"];

#[test]
fn overlapping_batches_in_every_order_come_to_an_end() {
    watched(|| {
        let orders: [[u64; 3]; 6] = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]];
        for (first, second) in orders.iter().flat_map(|first| orders.iter().map(move |second| (first, second))) {
            for (shift, end) in [0, 1, 2].into_iter().flat_map(|shift| ENDS.map(|end| (shift, end))) {
                for swapped in BOTH {
                    let cache = plain();
                    let mut batches =
                        vec![Batch::start(true, &cache, first), Batch::start(true, &cache, &second.map(|key| key + shift))];
                    assert_eq!(batches[0].asked(), [sorted(first.to_vec())]);
                    assert_eq!(batches[1].asked(), if shift == 0 { vec![] } else { vec![sorted((4..4 + shift).collect())] });
                    if swapped {
                        batches.reverse();
                    }
                    run_out(&cache, batches, end);
                    assert_eq!(cache.stats().flights, 0, "{first:?} and {second:?} + {shift}, {end}");
                }
            }
        }
    });
}

/// The first batch ends so, then whatever the others ask for is brought, until all are over.
fn run_out(cache: &Numbers, mut batches: Vec<Batch>, end: &str) {
    let mut first = batches.remove(0);
    match end {
        "brings all" => first.bring(Some(Ok(tens(&[1, 2, 3, 4, 5])))),
        "brings nothing" => first.bring(Some(Ok(Vec::new()))),
        "fails" => first.bring(Some(Err(Broken(7)))),
        _ => {}
    }
    if end == "is cancelled" {
        drop(first);
    } else {
        batches.insert(0, first);
    }
    for _ in 0..20 {
        batches.retain_mut(|batch| {
            let over = batch.is_over().is_some();
            if !over {
                batch.bring(Some(Ok(tens(&[1, 2, 3, 4, 5]))));
            }
            !over
        });
    }
    assert!(batches.is_empty(), "{} batches wait for each other: {:?}", batches.len(), cache.stats());
}

#[test]
fn batches_of_many_threads_load_each_key_once_and_never_wait_for_each_other_for_ever() {
    watched(|| {
        for round in 0..30 {
            let cache = plain();
            let loads: Vec<AtomicUsize> = (0..20).map(|_| AtomicUsize::new(0)).collect();
            let load = |keys: Vec<u64>| {
                keys.iter().for_each(|&key| _ = loads[key as usize].fetch_add(1, SeqCst));
                thread::yield_now();
                Ok::<_, Broken>(tens(&keys))
            };
            together(4, |thread| {
                let mut rng = Rng::new(round * 4 + thread as u64 + 1);
                for _ in 0..20 {
                    let mut keys: Vec<u64> = (0..20).collect();
                    rng.shuffle(&mut keys);
                    keys.truncate(1 + rng.below(8) as usize);
                    let expected: Vec<_> = keys.iter().map(|key| Some(key * 10)).collect();
                    let got = match rng.below(3) {
                        0 => hand::block_on(cache.try_get_many_with_async(&keys, |keys| async { load(keys) })),
                        1 => keys
                            .iter()
                            .map(|key| cache.try_get_with(key, || load(vec![*key]).map(|_| key * 10)).map(Some))
                            .collect(),
                        _ => cache.try_get_many_with(&keys, load),
                    };
                    assert_eq!(values(got), expected);
                }
            });
            assert!(loads.iter().all(|loads| loads.load(SeqCst) <= 1), "{loads:?}");
            assert_eq!(cache.stats().flights, 0);
        }
    });
}
