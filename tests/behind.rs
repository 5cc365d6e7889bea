//! Write-behind for threads: what the sink gets, in which order, and that nothing that was acknowledged is lost, whatever the sink does.

#![cfg(feature = "write-behind")]

mod common;
mod model;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::panic::panic_any;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use brindle::Cache;
use brindle::Pending;
use brindle::Sink;
use brindle::SinkError;
use brindle::WhyUnwritten;
use brindle::WriteBehind;

use common::Census;
use common::watched;
use model::Behind;
use model::Broken;
use model::FAULTS;
use model::Fault;
use model::Model;
use model::builder;
use model::listed;

fn behind(capacity: usize, model: Model) -> Behind {
    builder(&Cache::new(1_000), model).capacity(capacity).build()
}

/// A sink that a test holds up: each call says that it has come, and waits for what it is to do.
struct Held {
    model: Model,
    come: Sender<usize>,
    go: Mutex<Receiver<()>>,
}

impl Held {
    fn new() -> (Self, Receiver<usize>, Sender<()>) {
        let (come, comes) = channel();
        let (goes, go) = channel();
        (Held { model: Model::default(), come, go: Mutex::new(go) }, comes, goes)
    }
}

impl Sink<u64, u64> for Held {
    type Error = Broken;

    fn write(&self, batch: &[Pending<u64, u64>]) -> Result<(), Broken> {
        self.come.send(batch.len()).unwrap();
        let _ = self.go.lock().unwrap().recv();
        Sink::write(&self.model, batch)
    }
}

fn held(capacity: usize) -> (WriteBehind<u64, u64, ahash::RandomState, Held>, Receiver<usize>, Sender<()>) {
    let (sink, comes, goes) = Held::new();
    let behind = WriteBehind::builder(Cache::new(1_000), sink).capacity(capacity).backoff(Duration::ZERO, Duration::ZERO);
    (behind.retries(0).build(), comes, goes)
}

#[test]
fn of_each_key_the_newest_value_is_written_in_the_order_of_the_keys() {
    let behind = behind(10, Model::default());
    for (key, value) in [(3, 1), (1, 2), (3, 3), (2, 4), (1, 5)] {
        behind.insert(key, value).unwrap();
        assert_eq!(behind.cache().get(&key), Some(value));
    }
    assert_eq!(listed(&behind), [(3, 3), (1, 5), (2, 4)]);
    assert_eq!(behind.sink().calls(), 0);
    behind.flush().unwrap();
    assert_eq!(behind.sink().batches(), [vec![(3, 3), (1, 5), (2, 4)]]);
    assert!(behind.is_empty() && behind.pending().is_empty());
    behind.flush().unwrap();
    assert_eq!(behind.sink().calls(), 1);
}

#[test]
fn batches_are_no_larger_than_they_may_be() {
    let behind = builder(&Cache::new(100), Model::default()).batch(4).build();
    (0..10).for_each(|key| drop(behind.insert(key, key)));
    behind.flush().unwrap();
    assert_eq!(behind.sink().batches().iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
    let behind = builder(&Cache::new(100), Model::default()).batch(0).capacity(0).build();
    behind.insert(1, 1).unwrap();
    behind.insert(2, 2).unwrap();
    behind.flush().unwrap();
    assert_eq!(behind.sink().batches(), [[(1, 1)], [(2, 2)]]);
}

#[test]
fn what_comes_while_its_key_is_being_written_is_written_next() {
    watched(|| {
        let (behind, comes, goes) = held(2);
        behind.insert(1, 10).unwrap();
        let flusher = thread::spawn({
            let behind = behind.clone();
            move || behind.flush()
        });
        comes.recv().unwrap();
        assert_eq!(behind.pending()[0].value(), &10);
        behind.insert(1, 11).unwrap();
        behind.insert(1, 12).unwrap();
        behind.insert(2, 20).unwrap();
        // A key that the sink is at takes no second place.
        assert!(matches!(behind.try_insert(3, 30).unwrap_err().why, WhyUnwritten::Full));
        let values: Vec<_> = behind.pending().iter().map(|item| *item.value()).collect();
        assert_eq!(values, [12, 20]);
        goes.send(()).unwrap();
        // It came before all that: it is done.
        flusher.join().unwrap().unwrap();
        assert_eq!(behind.len(), 2);
        goes.send(()).unwrap();
        behind.flush().unwrap();
        assert_eq!(behind.sink().model.batches(), [vec![(1, 10)], vec![(1, 12), (2, 20)]]);
    });
}

#[test]
fn a_newer_value_takes_the_place_of_one_that_failed() {
    let cell: Arc<OnceLock<Behind>> = Arc::default();
    let model = Model::planned({
        let cell = Arc::clone(&cell);
        move |call| {
            if call > 1 {
                return Fault::Nothing;
            }
            // While the sink is at it.
            cell.get().unwrap().try_insert(3, 30).unwrap();
            cell.get().unwrap().try_insert(1, 11).unwrap();
            Fault::Error
        }
    });
    let behind = behind(10, model);
    assert!(cell.set(behind.clone()).is_ok());
    behind.insert(1, 10).unwrap();
    behind.insert(2, 20).unwrap();
    behind.flush().unwrap_err();
    assert_eq!(listed(&behind), [(1, 11), (2, 20), (3, 30)]);
    behind.flush().unwrap();
    assert_eq!(behind.sink().batches()[1], [(1, 11), (2, 20), (3, 30)]);
}

#[test]
fn retries_are_counted_and_then_the_error_comes() {
    for retries in 0..4 {
        let behind = builder(&Cache::new(10), Model::planned(|_| Fault::Error)).retries(retries).build();
        behind.insert(1, 1).unwrap();
        let error = behind.flush().unwrap_err();
        assert_eq!(behind.sink().calls(), retries + 1);
        assert!(matches!(&error, SinkError::Failed(broken) if **broken == Broken(retries + 1)), "{error:?}");
        assert_eq!(error.to_string(), Broken(retries + 1).to_string());
        assert_eq!(listed(&behind), [(1, 1)]);
        behind.sink().plan(move |call| if call == 2 * retries + 2 { Fault::Nothing } else { Fault::Panic });
        behind.flush().unwrap();
        assert_eq!(behind.sink().calls(), 2 * retries + 2);
        assert_eq!(behind.sink().stored(), BTreeMap::from([(1, 1)]));
    }
}

/// How a sink panics, and what the error says of it.
type Message = (fn(), Option<&'static str>);

#[test]
fn a_panic_of_the_sink_is_an_error_with_its_message() {
    let messages: [Message; 3] =
        [(|| panic!("a literal"), Some("a literal")), (|| panic!("{}", "a string"), Some("a string")), (|| panic_any(7), None)];
    for (fails, expected) in messages {
        let sink = move |_: &[Pending<u64, u64>]| {
            fails();
            Ok::<_, Broken>(())
        };
        let behind = WriteBehind::builder(Cache::new(10), sink).retries(0).build();
        behind.insert(1, 1).unwrap();
        let error = behind.flush().unwrap_err();
        assert!(matches!(&error, SinkError::Panicked(message) if message.as_deref() == expected), "{error:?}");
        assert_eq!(behind.len(), 1);
        assert!(error.to_string().contains("the sink panicked"));
    }
}

/// Inserts, flushes and closes; calls that fail are made again. Gives what was acknowledged, and whether anything failed.
fn script(behind: &Behind) -> (BTreeMap<u64, u64>, bool) {
    let (mut acknowledged, mut failed) = (BTreeMap::new(), false);
    for turn in 0..40 {
        let (key, value) = (turn * 7 % 11, turn);
        while let Err(refused) = behind.insert(key, value) {
            assert!(matches!(refused.why, WhyUnwritten::Sink(_)), "{refused:?}");
            assert_eq!((refused.key, refused.value), (key, value));
            let before = acknowledged.get(&key).copied();
            assert!(behind.cache().get(&key) == before, "what was refused was written");
            failed = true;
        }
        acknowledged.insert(key, value);
        let known: BTreeMap<u64, u64> = behind.sink().stored().into_iter().chain(listed(behind)).collect();
        assert_eq!(known, acknowledged, "something was lost");
        if turn % 13 == 12 {
            failed |= behind.flush().is_err();
        }
    }
    while behind.close().is_err() {
        failed = true;
    }
    (acknowledged, failed)
}

#[test]
fn whatever_call_of_the_sink_fails_nothing_is_lost() {
    watched(|| {
        for fault in FAULTS {
            for nth in 1.. {
                let behind =
                    builder(&Cache::new(1_000), Model::planned(move |call| if call == nth { fault } else { Fault::Nothing }));
                let behind = behind.capacity(4).batch(3).build();
                let (acknowledged, failed) = script(&behind);
                assert_eq!(behind.sink().stored(), acknowledged, "{fault:?} at call {nth}");
                assert!(behind.is_empty());
                if !failed {
                    assert!(nth > 10, "the fault never fired");
                    break;
                }
            }
        }
    });
}

#[test]
fn a_full_queue_drives_the_sink_itself() {
    let behind = builder(&Cache::new(1_000), Model::default()).capacity(3).batch(2).build();
    for key in 0..100 {
        behind.insert(key, key).unwrap();
        assert!(behind.len() <= 3);
    }
    let written = behind.sink().stored().len();
    assert_eq!(written + behind.len(), 100);
}

#[test]
fn while_the_sink_stalls_nothing_is_lost_and_who_does_not_wait_goes_on() {
    watched(|| {
        let (behind, comes, goes) = held(2);
        behind.insert(1, 1).unwrap();
        behind.insert(2, 2).unwrap();
        let waiting = thread::spawn({
            let behind = behind.clone();
            move || behind.insert(3, 3)
        });
        comes.recv().unwrap();
        let refused = behind.try_insert(4, 4).unwrap_err();
        assert!(matches!(refused.why, WhyUnwritten::Full));
        assert_eq!((refused.key, refused.value), (4, 4));
        behind.try_insert(1, 5).unwrap();
        assert_eq!(behind.len(), 2);
        assert_eq!(behind.cache().get(&4), None);
        drop(goes);
        waiting.join().unwrap().unwrap();
        behind.close().unwrap();
        assert_eq!(behind.sink().model.stored(), BTreeMap::from([(1, 5), (2, 2), (3, 3)]));
    });
}

#[test]
fn what_is_closed_takes_nothing_and_is_drained() {
    let behind = behind(10, Model::planned(|call| if call == 1 { Fault::Error } else { Fault::Nothing }));
    behind.insert(1, 1).unwrap();
    behind.close().unwrap_err();
    assert!(behind.is_closed() && behind.len() == 1);
    let refused = behind.insert(1, 2).unwrap_err();
    assert_eq!(refused.value, 2);
    assert!(refused.to_string().starts_with("closed"));
    assert!(matches!(behind.try_insert(1, 2).unwrap_err().why, WhyUnwritten::Closed));
    assert_eq!(behind.cache().get(&1), Some(1));
    behind.close().unwrap();
    behind.close().unwrap();
    behind.run().unwrap();
    assert_eq!(behind.sink().stored(), BTreeMap::from([(1, 1)]));
}

#[test]
fn who_waits_for_room_hears_of_the_closing() {
    watched(|| {
        let (behind, comes, goes) = held(1);
        behind.insert(1, 1).unwrap();
        let first = thread::spawn({
            let behind = behind.clone();
            move || behind.flush()
        });
        comes.recv().unwrap();
        let second = thread::spawn({
            let behind = behind.clone();
            move || behind.insert(2, 2).unwrap_err()
        });
        let closer = thread::spawn({
            let behind = behind.clone();
            move || behind.close()
        });
        let refused = second.join().unwrap();
        assert!(matches!(refused.why, WhyUnwritten::Closed), "{refused:?}");
        drop(goes);
        first.join().unwrap().unwrap();
        closer.join().unwrap().unwrap();
        assert!(behind.is_empty());
    });
}

#[test]
fn runners_write_what_comes_until_it_is_closed() {
    watched(|| {
        let behind =
            builder(&Cache::new(1_000), Model::planned(|call| if call % 3 == 0 { Fault::Error } else { Fault::Nothing }));
        let behind = behind.capacity(8).batch(4).build();
        let runners: Vec<_> = (0..2)
            .map(|_| {
                let behind = behind.clone();
                thread::spawn(move || while behind.run().is_err() {})
            })
            .collect();
        for value in 0..500 {
            while behind.insert(value % 20, value).is_err() {}
        }
        while behind.close().is_err() {}
        runners.into_iter().for_each(|runner| runner.join().unwrap());
        assert_eq!(behind.sink().stored(), (0..20).map(|key| (key, 480 + key)).collect());
    });
}

#[test]
fn a_runner_lets_a_batch_fill_unless_somebody_is_in_a_hurry() {
    watched(|| {
        let (sink, comes, goes) = Held::new();
        drop(goes);
        let behind = WriteBehind::builder(Cache::new(100), sink).batch(3).linger(Duration::MAX).build();
        let runner = thread::spawn({
            let behind = behind.clone();
            move || behind.run()
        });
        (1..=3).for_each(|key| drop(behind.insert(key, key)));
        assert_eq!(comes.recv().unwrap(), 3);
        behind.insert(4, 4).unwrap();
        behind.flush().unwrap();
        assert_eq!(comes.recv().unwrap(), 1);
        behind.insert(5, 5).unwrap();
        behind.close().unwrap();
        runner.join().unwrap().unwrap();
        assert_eq!(behind.sink().model.stored().len(), 5);
    });
    watched(|| {
        let behind = builder(&Cache::new(100), Model::default()).batch(3).linger(Duration::from_millis(1)).build();
        let runner = thread::spawn({
            let behind = behind.clone();
            move || behind.run()
        });
        behind.insert(1, 1).unwrap();
        while !behind.is_empty() {
            thread::yield_now();
        }
        behind.close().unwrap();
        runner.join().unwrap().unwrap();
    });
}

#[test]
fn a_sink_that_would_wait_for_itself_is_refused() {
    watched(|| {
        let cell: Arc<OnceLock<Behind>> = Arc::default();
        let model = Model::planned({
            let cell = Arc::clone(&cell);
            move |_| {
                let behind = cell.get().unwrap();
                assert!(matches!(behind.flush(), Err(SinkError::Reentrant)));
                let refused = behind.insert(9, 9).unwrap_err();
                assert!(matches!(refused.why, WhyUnwritten::Sink(SinkError::Reentrant)), "{refused:?}");
                assert!(matches!(behind.run(), Err(SinkError::Reentrant)) || behind.len() > 1);
                // What needs not wait is welcome.
                behind.insert(1, 100).unwrap();
                Fault::Nothing
            }
        });
        let behind = behind(1, model);
        assert!(cell.set(behind.clone()).is_ok());
        behind.insert(1, 1).unwrap();
        behind.flush().unwrap();
        assert_eq!(listed(&behind), [(1, 100)]);
    });
}

#[test]
fn what_is_refused_is_given_back_and_said() {
    let cache: Cache<u64, String> =
        Cache::builder().max_capacity(10).weigher(|_, text: &String| text.len() as u64).build().unwrap();
    let behind = WriteBehind::builder(cache.clone(), |_: &[Pending<u64, String>]| Err::<(), _>(Broken(0)));
    let behind = behind.retries(0).build();
    let refused = behind.insert(1, "far too long".into()).unwrap_err();
    assert!(matches!(refused.why, WhyUnwritten::TooHeavy { weight: 12, capacity: 10 }));
    assert_eq!(refused.value, "far too long");
    assert!(refused.to_string().contains("12"));
    assert!(behind.is_empty() && cache.is_empty());
    behind.insert(1, "short".into()).unwrap();
    behind.insert(2, "short".into()).unwrap();
    // There is no room for its weight, and the sink makes none.
    let refused = behind.insert(3, "x".into()).unwrap_err();
    assert!(matches!(&refused.why, WhyUnwritten::Sink(SinkError::Failed(_))), "{refused:?}");
    assert_eq!(refused.to_string(), "no room, and the sink makes none: call 0 is broken");
    assert!(matches!(behind.try_insert(3, "x".into()).unwrap_err().why, WhyUnwritten::Full));
    // A lighter value of a key that is pending makes room.
    behind.insert(1, "no".into()).unwrap();
    behind.insert(3, "x".into()).unwrap();
    assert_eq!((cache.weight(), behind.len()), (8, 3));
    assert!(std::error::Error::source(&refused).is_none());
}

#[test]
fn a_write_that_is_no_news_is_not_queued() {
    let cache: Cache<u64, u64> = Cache::builder().max_capacity(100).versioned_by(|_, value| *value).build().unwrap();
    let behind = builder(&cache, Model::default()).build();
    behind.insert(1, 7).unwrap();
    let refused = behind.insert(1, 6).unwrap_err();
    assert!(matches!(refused.why, WhyUnwritten::Superseded(version) if version.source() == 7), "{refused:?}");
    cache.invalidate_at(&2, 5);
    behind.try_insert(2, 4).unwrap_err();
    behind.insert(1, 8).unwrap();
    assert_eq!(listed(&behind), [(1, 8)]);
    behind.close().unwrap();
    assert_eq!(behind.sink().batches(), [[(1, 8)]]);
}

/// Panics when it is dropped, if it is told to.
struct Bomb(u64);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(self.0 != 13 || thread::panicking(), "thirteen");
    }
}

impl model::Id for Bomb {
    fn id(&self) -> u64 {
        self.0
    }
}

#[test]
fn a_panic_after_the_write_leaves_the_value_pending() {
    let cache: Cache<u64, Bomb> = Cache::new(100);
    let behind = builder(&cache, Model::default()).build();
    behind.insert(1, Bomb(13)).unwrap();
    // Replaced here; its pin is the last to keep it.
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        behind.insert(1, Bomb(1)).unwrap();
        cache.reclaim();
    }));
    assert!(panicked.is_err());
    assert_eq!(listed(&behind), [(1, 1)]);
    // And one that goes while the driver has its turn.
    behind.insert(2, Bomb(13)).unwrap();
    cache.invalidate(&2);
    cache.reclaim();
    assert!(catch_unwind(AssertUnwindSafe(|| behind.flush())).is_err());
    behind.flush().unwrap();
    assert_eq!(behind.sink().stored(), BTreeMap::from([(1, 1), (2, 13)]));
}

#[test]
fn user_code_that_panics_before_the_write_changes_nothing() {
    let cache: Cache<u64, u64> =
        Cache::builder().max_capacity(100).weigher(|_, value| if *value == 13 { panic!("thirteen") } else { 1 }).build().unwrap();
    let behind = builder(&cache, Model::default()).capacity(2).build();
    for _ in 0..10 {
        assert!(catch_unwind(AssertUnwindSafe(|| behind.insert(1, 13))).is_err());
    }
    assert!(behind.is_empty() && cache.is_empty());
    behind.insert(1, 1).unwrap();
    behind.insert(2, 2).unwrap();
    behind.close().unwrap();
}

#[test]
fn nothing_is_kept_once_it_is_written() {
    let census = Census::default();
    {
        let cache: Cache<u64, common::Counted> = Cache::new(10);
        let behind = builder(&cache, Model::planned(|call| if call % 2 == 0 { Fault::Half } else { Fault::Nothing }));
        let behind = behind.capacity(5).batch(2).build();
        for id in 0..1_000 {
            let mut value = census.value(id);
            while let Err(refused) = behind.insert(id % 50, value) {
                value = refused.value;
            }
        }
        while behind.flush().is_err() {}
        cache.reclaim();
        assert!(census.alive() <= 10, "{} live", census.alive());
        behind.insert(1, census.value(1)).unwrap();
        drop(cache);
        let kept = behind.pending();
        drop(behind);
        assert_eq!(kept[0].value().id(), 1);
        assert_eq!(census.alive(), 1);
    }
    assert_eq!(census.alive(), 0);
}
