//! Review: a waiter who was called and whose turn was taken by a newcomer.
mod common;
use brindle::*;
use common::executor::Task;
use std::future::pending;
use std::time::Duration;

#[test]
fn who_is_called_too_late_is_not_forgotten() {
    for newcomer_ends in [true, false] {
        let (clock, hand) = Clock::mock();
        let cache: Cache<u64, u64> =
            Cache::builder().max_capacity(100).clock(clock).load_timeout(Duration::from_secs(10)).build().unwrap();
        let mut first = Task::new(cache.get_with_async(&1, pending()));
        first.pends();
        let mut waiter = Task::new(cache.get_with_async(&1, async { 2 }));
        waiter.pends();
        hand.advance(Duration::from_secs(11));
        drop(first); // the waiter is called, and woken
        assert!(waiter.is_woken());
        // Before he comes, somebody takes the overdue lease.
        if newcomer_ends {
            assert_eq!(cache.get_with(&1, || 3), 3);
        } else {
            let mut newcomer = Task::new(cache.get_with_async(&1, pending()));
            newcomer.pends();
            drop(newcomer);
        }
        match waiter.poll() {
            std::task::Poll::Ready(value) => println!("{newcomer_ends}: {value}"),
            std::task::Poll::Pending => panic!(
                "{newcomer_ends}: waits for nobody, until the timeout of a lease that is no more; {:?}",
                cache.stats().flights
            ),
        }
    }
}
#[test]
fn the_same_where_the_newcomer_has_gone() {
    let (clock, hand) = Clock::mock();
    let cache: Cache<u64, u64> =
        Cache::builder().max_capacity(100).clock(clock).load_timeout(Duration::from_secs(10)).build().unwrap();
    let mut first = Task::new(cache.get_with_async(&1, pending()));
    first.pends();
    let mut waiter = Task::new(cache.get_with_async(&1, async { 2 }));
    waiter.pends();
    hand.advance(Duration::from_secs(11));
    drop(first);
    let mut newcomer = Task::new(cache.get_with_async(&1, pending()));
    newcomer.pends();
    drop(newcomer);
    assert!(waiter.poll().is_ready());
}

/// The turn is taken by another waiter.
#[test]
fn the_same_where_the_other_waits_too() {
    let (clock, hand) = Clock::mock();
    let cache: Cache<u64, u64> =
        Cache::builder().max_capacity(100).clock(clock).load_timeout(Duration::from_secs(10)).build().unwrap();
    let mut first = Task::new(cache.get_with_async(&1, pending()));
    first.pends();
    let mut called = Task::new(cache.get_with_async(&1, async { 2 }));
    called.pends();
    let mut other = Task::new(cache.get_with_async(&1, async { 3 }));
    other.pends();
    hand.advance(Duration::from_secs(11));
    drop(first);
    assert_eq!(other.ends(), 3);
    assert!(called.poll().is_ready(), "forgotten");
}
/// One who was called is on his way: nobody else may start a load beside his.
#[test]
fn a_flight_whose_next_leader_is_called_is_not_swept() {
    let (clock, hand) = Clock::mock();
    let cache: Cache<u64, u64> =
        Cache::builder().stripes(1).max_capacity(100).clock(clock).load_timeout(Duration::from_secs(10)).build().unwrap();
    let mut first = Task::new(cache.get_with_async(&1, pending()));
    first.pends();
    let mut called = Task::new(cache.get_with_async(&1, async { 2 }));
    called.pends();
    hand.advance(Duration::from_secs(11));
    drop(first);
    cache.insert(9, 9); // any other write of the stripe
    assert_eq!(called.ends(), 2);
    assert_eq!(cache.get(&1), Some(2), "what he has loaded is not stored: {:?}", cache.stats());
}
