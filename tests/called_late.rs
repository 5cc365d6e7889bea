//! Promise 7: a waiter who is called to take a load over, and comes late. Others may have come before, since what he was to take over is overdue:
//! he is not forgotten, and nobody loads beside him.

mod common;

use std::future::pending;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::MockClock;

use common::executor::Task;
use common::watched;

const TIMEOUT: Duration = Duration::from_secs(10);
const TOO_LONG: Duration = Duration::from_secs(11);

/// With one stripe, so that any write passes by any flight.
fn timed() -> (Cache<u64, u64>, MockClock) {
    let (clock, hand) = Clock::mock();
    (Cache::builder().stripes(1).max_capacity(100).clock(clock).load_timeout(TIMEOUT).build().unwrap(), hand)
}

/// Whose load never ends.
fn hung(cache: &Cache<u64, u64>) -> Task<impl Future<Output = u64>> {
    let mut task = Task::new(cache.get_with_async(&1, pending()));
    task.pends();
    task
}

fn waits(cache: &Cache<u64, u64>, brings: u64) -> Task<impl Future<Output = u64>> {
    let mut task = Task::new(cache.get_with_async(&1, async move { brings }));
    task.pends();
    task
}

#[test]
fn who_comes_after_a_newcomer_has_loaded_gets_the_value() {
    watched(|| {
        let (cache, hand) = timed();
        let first = hung(&cache);
        let mut called = waits(&cache, 2);
        hand.advance(TOO_LONG);
        drop(first);
        assert!(called.is_woken());
        assert_eq!(cache.get_with(&1, || 3), 3);
        assert_eq!((called.ends(), cache.get(&1), cache.stats().flights), (3, Some(3), 0));
    });
}

#[test]
fn who_comes_after_a_newcomer_has_given_up_loads() {
    watched(|| {
        let (cache, hand) = timed();
        let first = hung(&cache);
        let mut called = waits(&cache, 2);
        hand.advance(TOO_LONG);
        drop(first);
        assert!(called.is_woken());
        drop(hung(&cache));
        assert_eq!((called.ends(), cache.get(&1), cache.stats().flights), (2, Some(2), 0));
    });
}

#[test]
fn who_comes_after_another_waiter_gets_what_that_one_loaded() {
    watched(|| {
        let (cache, hand) = timed();
        let first = hung(&cache);
        let mut called = waits(&cache, 2);
        let mut other = waits(&cache, 3);
        hand.advance(TOO_LONG);
        drop(first);
        assert_eq!((other.ends(), called.ends()), (3, 3));
        assert_eq!((cache.get(&1), cache.stats().flights), (Some(3), 0));
    });
}

#[test]
fn a_flight_whose_next_leader_is_called_is_not_swept() {
    watched(|| {
        let (cache, hand) = timed();
        let first = hung(&cache);
        let mut called = waits(&cache, 2);
        hand.advance(TOO_LONG);
        drop(first);
        // Writes sweep what is overdue.
        cache.insert(9, 9);
        assert_eq!((called.ends(), cache.get(&1)), (2, Some(2)));
        assert_eq!((cache.stats().fenced, cache.stats().flights), (0, 0));
    });
}
