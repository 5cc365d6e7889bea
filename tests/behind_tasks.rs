//! Write-behind for tasks: hand-polled, so that every await point of a driver can be its last.

#![cfg(feature = "write-behind")]

mod common;
mod model;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use brindle::AsyncSink;
use brindle::Cache;
use brindle::Pending;
use brindle::Sink;
use brindle::SinkError;
use brindle::WhyUnwritten;
use brindle::WriteBehind;

use common::Census;
use common::Counted;
use common::executor::Boxed;
use common::executor::Task;
use common::executor::block_on;
use common::executor::run_woken;
use common::executor::step;
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

fn failing_once(nth: usize, fault: Fault) -> Model {
    Model::planned(move |call| if call == nth { fault } else { Fault::Nothing })
}

#[test]
fn a_task_inserts_flushes_and_closes() {
    block_on(async {
        let behind = behind(2, Model::default());
        for key in 0..10 {
            behind.insert_async(key, key).await.unwrap();
            assert!(behind.len() <= 2);
        }
        behind.flush_async().await.unwrap();
        assert!(behind.is_empty());
        behind.insert_async(1, 11).await.unwrap();
        behind.close_async().await.unwrap();
        assert_eq!(behind.sink().stored()[&1], 11);
        let refused = behind.insert_async(1, 12).await.unwrap_err();
        assert!(matches!(refused.why, WhyUnwritten::Closed));
        behind.run_async().await.unwrap();
    });
}

/// As `script` of the threads: what was acknowledged, and whether anything failed.
async fn script(behind: &Behind) -> (BTreeMap<u64, u64>, bool) {
    let (mut acknowledged, mut failed) = (BTreeMap::new(), false);
    for turn in 0..40 {
        let (key, value) = (turn * 7 % 11, turn);
        while let Err(refused) = behind.insert_async(key, value).await {
            assert!(matches!(refused.why, WhyUnwritten::Sink(_)), "{refused:?}");
            failed = true;
        }
        acknowledged.insert(key, value);
        let known: BTreeMap<u64, u64> = behind.sink().stored().into_iter().chain(listed(behind)).collect();
        assert_eq!(known, acknowledged, "something was lost");
        if turn % 13 == 12 {
            failed |= behind.flush_async().await.is_err();
        }
    }
    while behind.close_async().await.is_err() {
        failed = true;
    }
    (acknowledged, failed)
}

#[test]
fn whatever_call_of_the_sink_fails_nothing_is_lost() {
    watched(|| {
        for fault in FAULTS {
            for nth in 1.. {
                let behind = builder(&Cache::new(1_000), failing_once(nth, fault)).capacity(4).batch(3).build();
                let (acknowledged, failed) = block_on(script(&behind));
                assert_eq!(behind.sink().stored(), acknowledged, "{fault:?} at call {nth}");
                if !failed {
                    assert!(nth > 10, "the fault never fired");
                    break;
                }
            }
        }
    });
}

#[test]
fn a_driver_may_be_dropped_at_every_poll() {
    let mut ended = false;
    for polls in 0.. {
        let behind = builder(&Cache::new(100), failing_once(2, Fault::Half)).batch(2).retries(1).build();
        (0..6).for_each(|key| drop(behind.try_insert(key, key)));
        let mut driver = Task::new(behind.flush_async());
        for _ in 0..polls {
            if driver.poll().is_ready() {
                ended = true;
                break;
            }
        }
        drop(driver);
        behind.try_insert(0, 10).unwrap();
        let acknowledged: BTreeMap<u64, u64> = (0..6).map(|key| (key, if key == 0 { 10 } else { key })).collect();
        let known: BTreeMap<u64, u64> = behind.sink().stored().into_iter().chain(listed(&behind)).collect();
        assert_eq!(known, acknowledged, "after {polls} polls");
        block_on(behind.close_async()).unwrap();
        assert_eq!(behind.sink().stored(), acknowledged, "after {polls} polls");
        if ended {
            assert!(polls > 5);
            break;
        }
    }
}

#[test]
fn who_waits_takes_over_from_a_driver_that_is_dropped() {
    for polls in 1..3 {
        let behind = behind(10, Model::default());
        behind.try_insert(1, 1).unwrap();
        let mut driver = Task::new(behind.flush_async());
        (0..polls).for_each(|_| driver.pends());
        let mut waiting = [Task::new(behind.flush_async()), Task::new(behind.flush_async()), Task::new(behind.flush_async())];
        waiting.iter_mut().for_each(Task::pends);
        drop(driver);
        assert!(waiting.iter().all(Task::is_woken));
        let ended = run_woken(&mut waiting, |_, flushed| flushed.unwrap());
        assert_eq!(ended, 3);
        assert_eq!(behind.sink().calls(), 2);
    }
}

#[test]
fn an_insert_that_is_cancelled_while_it_waits_has_done_nothing() {
    let census = Census::default();
    for polls in 0.. {
        let cache: Cache<u64, Counted> = Cache::new(100);
        let behind = builder(&cache, Model::default()).capacity(1).build();
        behind.try_insert(1, census.value(1)).unwrap();
        let mut insert = Task::new(behind.insert_async(2, census.value(2)));
        let done = (0..polls).any(|_| insert.poll().is_ready());
        drop(insert);
        let there = cache.contains_key(&2);
        assert_eq!(there, done);
        assert_eq!(listed(&behind).contains(&(2, 2)), done);
        block_on(behind.close_async()).unwrap();
        assert_eq!(behind.sink().stored().contains_key(&2), done);
        drop((behind, cache));
        assert_eq!(census.alive(), 0);
        if done {
            assert!(polls > 1);
            break;
        }
    }
}

#[test]
fn a_flush_waits_for_what_came_before_it_alone() {
    let behind = builder(&Cache::new(100), Model::default()).batch(1).build();
    behind.try_insert(1, 1).unwrap();
    behind.try_insert(2, 2).unwrap();
    let mut first = Task::new(behind.flush_async());
    first.pends();
    behind.try_insert(1, 11).unwrap();
    behind.try_insert(3, 3).unwrap();
    // A newer value of a key that was there keeps its place.
    behind.try_insert(2, 22).unwrap();
    while first.poll().is_pending() {}
    assert_eq!(listed(&behind), [(1, 11), (3, 3)]);
    assert_eq!(behind.sink().batches(), [[(1, 1)], [(2, 22)]]);
}

#[test]
fn closing_waits_for_what_the_sink_is_at() {
    let behind = behind(10, Model::default());
    behind.try_insert(1, 1).unwrap();
    let mut driver = Task::new(behind.flush_async());
    driver.pends();
    let mut closing = Task::new(behind.close_async());
    closing.pends();
    drop(driver);
    assert!(closing.is_woken());
    while closing.poll().is_pending() {}
    assert_eq!(behind.sink().stored(), BTreeMap::from([(1, 1)]));
}

#[test]
fn a_failure_is_shared_by_those_who_came_before_the_turn() {
    let behind = behind(10, Model::planned(|_| Fault::Error));
    behind.try_insert(1, 1).unwrap();
    let mut first = Task::new(behind.flush_async());
    first.pends();
    let mut others = [Task::new(behind.flush_async()), Task::new(behind.flush_async()), Task::new(behind.flush_async())];
    others.iter_mut().for_each(Task::pends);
    while first.poll().is_pending() {}
    // They came while it was under way: what it failed with may be old. One of them tries again, for all.
    let mut errors = Vec::new();
    run_woken(&mut others, |_, flushed| errors.push(flushed.unwrap_err()));
    assert_eq!(behind.sink().calls(), 2);
    let failed: Vec<_> = errors
        .iter()
        .map(|error| if let SinkError::Failed(error) = error { Arc::clone(error) } else { unreachable!() })
        .collect();
    assert_eq!(failed.len(), 3);
    assert!(failed.iter().all(|error| Arc::ptr_eq(error, &failed[0])));
}

#[test]
fn writers_without_room_share_one_driver_and_its_failure() {
    let behind = behind(1, Model::planned(|call| if call == 1 { Fault::Error } else { Fault::Nothing }));
    behind.try_insert(0, 0).unwrap();
    let mut writers: Vec<_> = (1..5).map(|key| Task::new(behind.insert_async(key, key))).collect();
    writers.iter_mut().for_each(Task::pends);
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    run_woken(&mut writers, |number, inserted| match inserted {
        Ok(_) => acknowledged.push(number as u64 + 1),
        Err(unwritten) => {
            assert!(matches!(unwritten.why, WhyUnwritten::Sink(_)));
            refused += 1;
        }
    });
    assert_eq!(acknowledged.len() + refused, 4);
    assert!(refused > 0);
    block_on(behind.close_async()).unwrap();
    let stored: Vec<u64> = behind.sink().stored().into_keys().collect();
    acknowledged.push(0);
    acknowledged.sort_unstable();
    assert_eq!(stored, acknowledged);
}

#[test]
fn a_runner_writes_what_comes_and_ends_when_it_is_closed() {
    let behind = builder(&Cache::new(100), Model::default()).batch(3).build();
    let mut runner = Task::new(behind.run_async());
    runner.pends();
    for key in 0..3 {
        behind.try_insert(key, key).unwrap();
        assert!(runner.is_woken());
        while runner.is_woken() {
            runner.pends();
        }
        assert!(behind.is_empty());
    }
    let mut closing = Task::new(behind.close_async());
    closing.ends().unwrap();
    assert!(runner.is_woken());
    runner.ends().unwrap();
    // One that lingers sleeps until the batch is full.
    let behind = builder(&Cache::new(100), Model::default()).batch(3).linger(Duration::MAX).build();
    let mut runner = Task::new(behind.run_async());
    runner.pends();
    behind.try_insert(0, 0).unwrap();
    runner.pends();
    behind.try_insert(1, 1).unwrap();
    assert!(!runner.is_woken());
    behind.try_insert(2, 2).unwrap();
    while runner.is_woken() {
        runner.pends();
    }
    assert_eq!(behind.sink().batches(), [[(0, 0), (1, 1), (2, 2)]]);
    behind.try_insert(3, 3).unwrap();
    runner.pends();
    let mut tasks = [Task::new(behind.close_async())];
    tasks[0].pends();
    while runner.poll().is_pending() {
        tasks.iter_mut().filter(|task| !task.is_over()).for_each(|task| drop(task.poll()));
    }
    assert_eq!(behind.sink().stored().len(), 4);
}

/// A sink that fails when its future is made, or once it is polled.
struct Panics(bool);

impl AsyncSink<u64, u64> for Panics {
    type Error = Broken;

    #[allow(clippy::manual_async_fn, reason = "it panics before there is a future")]
    fn write(&self, _: &[Pending<u64, u64>]) -> impl Future<Output = Result<(), Broken>> + Send {
        assert!(!self.0, "at once");
        async {
            step().await;
            panic!("later")
        }
    }
}

#[test]
fn a_panic_of_the_sinks_future_is_an_error_wherever_it_comes() {
    for (at_once, expected) in [(true, "at once"), (false, "later")] {
        let behind = WriteBehind::builder(Cache::new(10), Panics(at_once)).retries(0).build();
        behind.try_insert(1, 1).unwrap();
        let error = block_on(behind.flush_async()).unwrap_err();
        assert!(matches!(&error, SinkError::Panicked(Some(message)) if message == expected), "{error:?}");
        assert_eq!(behind.len(), 1);
    }
}

/// For threads and for tasks, with errors of two kinds.
struct Both;

impl Sink<u64, u64> for Both {
    type Error = &'static str;

    fn write(&self, _: &[Pending<u64, u64>]) -> Result<(), &'static str> {
        Err("a thread's")
    }
}

impl AsyncSink<u64, u64> for Both {
    type Error = u32;

    async fn write(&self, _: &[Pending<u64, u64>]) -> Result<(), u32> {
        step().await;
        Err(7)
    }
}

#[test]
fn threads_and_tasks_wait_for_each_other() {
    watched(|| {
        let behind = WriteBehind::builder(Cache::new(10), Both).retries(0).build();
        behind.try_insert(1, 1).unwrap();
        let mut driver = Task::new(behind.flush_async());
        driver.pends();
        let waiting = thread::spawn({
            let behind = behind.clone();
            move || behind.flush()
        });
        let error = driver.ends().unwrap_err();
        assert!(matches!(error, SinkError::Failed(error) if *error == 7));
        // It made its own try: the other's error is none of its kind.
        let error = waiting.join().unwrap().unwrap_err();
        assert!(matches!(error, SinkError::Failed(error) if *error == "a thread's"));
        assert_eq!(behind.len(), 1);
    });
}

/// A sink that makes calls of its own.
#[derive(Default)]
struct Loop(OnceLock<Box<dyn Fn() -> Boxed<'static, ()> + Send + Sync>>);

impl AsyncSink<u64, u64> for Loop {
    type Error = Broken;

    async fn write(&self, _: &[Pending<u64, u64>]) -> Result<(), Broken> {
        step().await;
        self.0.get().unwrap()().await;
        Ok(())
    }
}

#[test]
fn a_sink_that_would_wait_for_itself_is_refused() {
    let behind = WriteBehind::builder(Cache::new(10), Loop::default()).capacity(1).build();
    let own = behind.clone();
    let calls = move || -> Boxed<'static, ()> {
        let behind = own.clone();
        Box::pin(async move {
            step().await;
            assert!(matches!(behind.flush_async().await, Err(SinkError::Reentrant)));
            let refused = behind.insert_async(9, 9).await.unwrap_err();
            assert!(matches!(refused.why, WhyUnwritten::Sink(SinkError::Reentrant)));
        })
    };
    assert!(behind.sink().0.set(Box::new(calls)).is_ok());
    behind.try_insert(1, 1).unwrap();
    block_on(behind.flush_async()).unwrap();
    assert!(behind.is_empty());
}

#[test]
fn pauses_grow_and_are_slept_by_threads_and_tasks() {
    let pause = Duration::from_millis(2);
    for asleep in [false, true] {
        let behind = builder(&Cache::new(10), Model::planned(|_| Fault::Error)).retries(3).backoff(pause, 2 * pause).build();
        behind.try_insert(1, 1).unwrap();
        let start = std::time::Instant::now();
        let failed = if asleep { block_on(behind.flush_async()) } else { behind.flush() };
        failed.unwrap_err();
        assert_eq!(behind.sink().calls(), 4);
        assert!(start.elapsed() >= 5 * pause, "{:?}", start.elapsed());
    }
}

#[test]
fn futures_are_sent_to_other_threads() {
    fn check<T: Send>(_: &T) {}
    let behind = behind(10, Model::default());
    check(&behind.insert_async(1, 1));
    check(&behind.flush_async());
    check(&behind.close_async());
    check(&behind.run_async());
}

#[cfg(feature = "tokio")]
#[test]
fn in_tokio_pauses_are_its_own() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let hour = Duration::from_secs(3_600);
        let model = Model::planned(|call| if call < 3 { Fault::Error } else { Fault::Nothing });
        let behind = builder(&Cache::new(10), model).retries(3).backoff(hour, hour).linger(hour).build();
        let start = tokio::time::Instant::now();
        let run = async {
            behind.run_async().await.unwrap();
        };
        let close = async {
            behind.insert_async(1, 1).await.unwrap();
            tokio::time::sleep(5 * hour).await;
            assert!(behind.is_empty());
            behind.close_async().await.unwrap();
        };
        let mut run = std::pin::pin!(run);
        let mut close = std::pin::pin!(close);
        let mut ended = (false, false);
        std::future::poll_fn(|context| {
            ended.0 = ended.0 || run.as_mut().poll(context).is_ready();
            ended.1 = ended.1 || close.as_mut().poll(context).is_ready();
            ended.0 = ended.0 || run.as_mut().poll(context).is_ready();
            if ended == (true, true) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        assert!(start.elapsed() >= 5 * hour);
    });
}
