//! What a review of write-behind found, each as the smallest test that showed it.

#![cfg(feature = "write-behind")]

mod common;
mod model;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::hash::Hash;
use std::hash::Hasher;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use brindle::AsyncSink;
use brindle::Cache;
use brindle::Clock;
use brindle::Leased;
use brindle::Pending;
use brindle::SinkError;
use brindle::WhyUnwritten;
use brindle::WriteBehind;

use common::executor::Task;
use common::executor::block_on;
use common::watched;
use model::Broken;
use model::Fault;
use model::Model;
use model::builder;
use model::listed;

/// A sink whose future flushes when it is dropped.
#[derive(Default)]
struct Sly {
    own: OnceLock<WriteBehind<u64, u64, ahash::RandomState, Sly>>,
    refused: Mutex<Vec<bool>>,
    panics: AtomicBool,
}

struct Leaving<'a> {
    sink: &'a Sly,
    begun: bool,
}

impl AsyncSink<u64, u64> for Sly {
    type Error = Broken;

    fn write(&self, _: &[Pending<u64, u64>]) -> impl Future<Output = Result<(), Broken>> + Send {
        Leaving { sink: self, begun: false }
    }
}

impl Future for Leaving<'_> {
    type Output = Result<(), Broken>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if std::mem::replace(&mut self.begun, true) {
            return Poll::Ready(Ok(()));
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let flushed = block_on(self.sink.own.get().unwrap().flush_async());
        self.sink.refused.lock().unwrap().push(matches!(flushed, Err(SinkError::Reentrant)));
        assert!(!self.sink.panics.load(SeqCst), "on the way out");
    }
}

fn sly() -> WriteBehind<u64, u64, ahash::RandomState, Sly> {
    let behind = WriteBehind::builder(Cache::new(10), Sly::default()).retries(0).build();
    assert!(behind.sink().own.set(behind.clone()).is_ok());
    behind.try_insert(1, 1).unwrap();
    behind
}

#[test]
fn the_end_of_the_sinks_future_is_inside_the_sink() {
    watched(|| {
        let behind = sly();
        block_on(behind.flush_async()).unwrap();
        assert!(behind.is_empty());
        assert_eq!(*behind.sink().refused.lock().unwrap(), [true]);
    });
}

#[test]
fn so_is_its_end_before_its_time() {
    watched(|| {
        let behind = sly();
        let mut flush = Task::new(behind.flush_async());
        flush.pends();
        drop(flush);
        assert_eq!(*behind.sink().refused.lock().unwrap(), [true]);
        assert_eq!(behind.len(), 1);
        block_on(behind.flush_async()).unwrap();
        assert!(behind.is_empty());
    });
}

#[test]
fn a_panic_in_the_drop_of_the_sinks_future_is_an_error_of_the_sink() {
    watched(|| {
        let behind = sly();
        behind.sink().panics.store(true, SeqCst);
        let error = block_on(behind.flush_async()).unwrap_err();
        assert!(matches!(error, SinkError::Panicked(Some(message)) if message == "on the way out"));
        assert_eq!(behind.len(), 1);
        // Before its time there is nobody to tell but who drops it.
        let mut flush = Task::new(behind.flush_async());
        flush.pends();
        catch_unwind(AssertUnwindSafe(|| drop(flush))).unwrap_err();
        behind.sink().panics.store(false, SeqCst);
        block_on(behind.flush_async()).unwrap();
        assert!(behind.is_empty());
    });
}

#[test]
fn an_older_source_does_not_cover_what_is_pending_though_the_cache_has_forgotten_it() {
    for fails in [false, true] {
        let (clock, time) = Clock::mock();
        let cache = Cache::builder().max_capacity(100).versioned_by(|_: &u64, value: &u64| *value).clock(clock).build().unwrap();
        let behind =
            builder(&cache, Model::planned(move |call| if fails && call == 1 { Fault::Error } else { Fault::Nothing })).build();
        behind.insert(1, 10).unwrap();
        // The entry goes while the sink is down, and so does its tombstone.
        cache.invalidate(&1);
        time.advance(Duration::from_secs(3_600));
        assert_eq!(behind.flush().is_err(), fails);
        let older = behind.try_insert(1, 5);
        if fails {
            assert!(matches!(older.unwrap_err().why, WhyUnwritten::Superseded(version) if version.source() == 10));
            assert_eq!(listed(&behind), [(1, 10)]);
            behind.insert(1, 11).unwrap();
            behind.flush().unwrap();
            assert_eq!(behind.sink().stored()[&1], 11);
        } else {
            // As the cache says, when nothing is pending.
            older.unwrap();
        }
    }
}

thread_local! {
    /// How often this thread may yet compare keys.
    static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
}

#[derive(Clone, Debug)]
struct Fickle(u64);

impl Hash for Fickle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Eq for Fickle {}

impl PartialEq for Fickle {
    fn eq(&self, other: &Self) -> bool {
        let left = LEFT.get();
        assert!(left > 0, "no more comparisons");
        LEFT.set(left - 1);
        self.0 == other.0
    }
}

#[test]
fn nothing_older_stays_though_keys_are_not_compared_to_their_end() {
    let sink = |_: &[Pending<Fickle, u64>]| Ok::<(), Broken>(());
    for leased in [false, true] {
        let mut comparisons = 0;
        loop {
            let cache: Cache<Fickle, u64> = Cache::new(100);
            let behind = WriteBehind::builder(cache.clone(), sink).build();
            behind.insert(Fickle(1), 10).unwrap();
            cache.invalidate(&Fickle(1));
            // What the source has until the flush.
            let lease = match cache.get_or_lease(&Fickle(1), None) {
                Leased::Lease(lease) => lease,
                _ => unreachable!(),
            };
            let lease = if leased { Some(lease) } else { lease.fill(9).map(|_| None).unwrap() };
            LEFT.set(comparisons);
            let flushed = catch_unwind(AssertUnwindSafe(|| behind.flush()));
            LEFT.set(usize::MAX);
            assert!(behind.is_empty());
            assert!(lease.is_none_or(|lease| lease.fill(9).is_err()));
            assert_eq!(cache.get(&Fickle(1)), None, "leased: {leased}, after {comparisons} comparisons");
            if flushed.is_ok() {
                break;
            }
            comparisons += 1;
        }
        assert!(comparisons > 0);
    }
}

#[test]
fn a_lighter_value_makes_room_for_those_who_wait() {
    let cache = Cache::builder().max_capacity(10).weigher(|_: &u64, value: &u64| *value).build().unwrap();
    let behind = builder(&cache, Model::default()).batch(1).build();
    behind.try_insert(0, 1).unwrap();
    behind.try_insert(1, 9).unwrap();
    // The sink stalls.
    let mut flush = Task::new(behind.flush_async());
    flush.pends();
    let mut insert = Task::new(behind.insert_async(2, 5));
    insert.pends();
    behind.try_insert(1, 2).unwrap();
    assert!(insert.is_woken());
    insert.ends().unwrap();
    assert_eq!(listed(&behind), [(0, 1), (1, 2), (2, 5)]);
}

#[test]
fn of_several_over_one_cache_each_counts_its_own() {
    let cache: Cache<u64, u64> = Cache::new(10);
    let both = [builder(&cache, Model::default()).build(), builder(&cache, Model::default()).build()];
    for key in 0..20 {
        both[key as usize % 2].try_insert(key, key).unwrap();
    }
    // As the docs say.
    assert_eq!(cache.weight(), 20);
    both[0].flush().unwrap();
    assert_eq!(cache.weight(), 10);
    // The same key through both.
    both[1].insert(1, 101).unwrap();
    both[0].insert(1, 100).unwrap();
    both.iter().for_each(|behind| behind.flush().unwrap());
    cache.set_capacity(0);
    assert_eq!((cache.len(), cache.weight()), (0, 0));
}

#[test]
fn wherever_a_comparison_panics_nothing_acknowledged_is_lost_and_nothing_is_held_for_ever() {
    for fails in [false, true] {
        let mut comparisons = 0;
        loop {
            let cache: Cache<Fickle, u64> = Cache::builder().max_capacity(4).stripes(1).build().unwrap();
            let stored = Mutex::new(BTreeMap::new());
            let calls = AtomicUsize::new(0);
            let behind = WriteBehind::builder(cache.clone(), |batch: &[Pending<Fickle, u64>]| {
                if fails && calls.fetch_add(1, SeqCst) == 0 {
                    return Err(Broken(1));
                }
                stored.lock().unwrap().extend(batch.iter().map(|item| (item.key().0, *item.value())));
                Ok(())
            })
            .capacity(3)
            .batch(2)
            .retries(0)
            .build();
            let mut acknowledged = BTreeMap::new();
            LEFT.set(comparisons);
            let mut panics = 0;
            for (key, value) in [(1, 1), (2, 2), (1, 3), (3, 4), (4, 5), (2, 6), (1, 7)] {
                match catch_unwind(AssertUnwindSafe(|| behind.insert(Fickle(key), value))) {
                    Ok(Ok(_)) => drop(acknowledged.insert(key, value)),
                    Ok(Err(_)) => {}
                    Err(_) => {
                        panics += 1;
                        LEFT.set(usize::MAX);
                    }
                }
            }
            let flushed = catch_unwind(AssertUnwindSafe(|| behind.flush()));
            panics += usize::from(flushed.is_err());
            LEFT.set(usize::MAX);
            behind.flush().or_else(|_| behind.flush()).unwrap();
            assert!(behind.is_empty());
            assert_eq!(*stored.lock().unwrap(), acknowledged, "after {comparisons} comparisons");
            cache.set_capacity(0);
            assert_eq!((cache.len(), cache.weight()), (0, 0), "after {comparisons} comparisons");
            if panics == 0 {
                break;
            }
            comparisons += 1;
        }
        assert!(comparisons > 0);
    }
}
