//! Leases that end without a value: whoever waits takes over, nobody is forgotten, and what the former holder still does is void. A
//! leader that panics is not played, as loom poisons the locks that unwinding takes: he drops his lease.

use std::pin::pin;
use std::time::Duration;

use loom::thread::JoinHandle;

use crate::time::Clock;
use crate::time::MockClock;

use super::tasks::pends;
use super::trial::BUILT;
use super::trial::Numbers;
use super::trial::beside;
use super::trial::cache;
use super::trial::explore;
use super::trial::lease;
use super::trial::small;
use super::trial::spawn;

const SHORT: Duration = Duration::from_nanos(10);

/// What those who wait load when it is their turn.
const LOADED: u64 = 7;

fn load(cache: &Numbers) -> JoinHandle<u64> {
    beside(cache, |cache| cache.get_with(&1, || LOADED))
}

/// One who waited has taken over, and no load is left.
fn check_taken_over(cache: &Numbers, waiters: impl IntoIterator<Item = JoinHandle<u64>>) {
    waiters.into_iter().for_each(|waiter| assert_eq!(waiter.join().unwrap(), LOADED));
    assert_eq!((cache.get(&1), cache.stats().flights), (Some(LOADED), 0));
}

/// A cache whose leases are soon overdue.
fn impatient() -> (Numbers, MockClock) {
    let (clock, hand) = Clock::mock();
    (small(4).load_timeout(SHORT).clock(clock).build().expect(BUILT), hand)
}

#[test]
fn a_lease_is_dropped_while_somebody_sits_down() {
    explore(|| {
        let cache = cache(4);
        let lease = lease(&cache);
        let waiter = load(&cache);
        drop(lease);
        check_taken_over(&cache, [waiter]);
    });
}

#[test]
fn a_lease_is_dropped_elsewhere_while_two_wait() {
    explore(|| {
        let cache = cache(4);
        let lease = lease(&cache);
        let waiters = [load(&cache), load(&cache)];
        spawn(move || drop(lease)).join().unwrap();
        check_taken_over(&cache, waiters);
    });
}

#[test]
fn a_lease_passes_on_twice() {
    explore(|| {
        let cache = cache(4);
        let lease = lease(&cache);
        let gives_up = beside(&cache, |cache| drop(cache.get_or_lease(&1, None)));
        let loads = load(&cache);
        drop(lease);
        gives_up.join().unwrap();
        check_taken_over(&cache, [loads]);
    });
}

/// A task that waits is dropped just as the lease is handed to it: another waits behind it.
#[test]
fn a_task_is_dropped_as_it_is_called() {
    explore(|| {
        let cache = cache(4);
        let lease = lease(&cache);
        let last = {
            let mut first = pin!(cache.get_with_async(&1, async { 5 }));
            pends(first.as_mut());
            let last = load(&cache);
            let leader = spawn(move || drop(lease));
            leader.join().unwrap();
            last
        };
        check_taken_over(&cache, [last]);
    });
}

#[test]
fn a_task_is_dropped_beside_the_end_of_the_lease() {
    explore(|| {
        let cache = cache(4);
        let lease = lease(&cache);
        let last = load(&cache);
        let leader = {
            let mut first = pin!(cache.get_with_async(&1, async { 5 }));
            pends(first.as_mut());
            spawn(move || drop(lease))
        };
        leader.join().unwrap();
        check_taken_over(&cache, [last]);
    });
}

#[test]
fn an_overdue_lease_check_taken_over_while_its_holder_commits() {
    explore(|| {
        let (cache, hand) = impatient();
        let lease = lease(&cache);
        let late = spawn(move || lease.fill(1).is_ok());
        hand.advance(SHORT);
        let taken = cache.get_with(&1, || LOADED);
        let stored = late.join().unwrap();
        assert_eq!((taken, cache.get(&1)), if stored { (1, Some(1)) } else { (LOADED, Some(LOADED)) });
    });
}

/// The former holder comes while the new one loads.
#[test]
fn a_former_holder_commits_while_the_new_one_loads() {
    explore(|| {
        let (cache, hand) = impatient();
        let former = lease(&cache);
        hand.advance(SHORT);
        let new = lease(&cache);
        let late = spawn(move || former.fill(1));
        assert!(new.fill(LOADED).is_ok());
        assert!(late.join().unwrap().is_err());
        assert_eq!(cache.get(&1), Some(LOADED));
    });
}

/// What was fenced nobody takes over: they start anew.
#[test]
fn a_lease_is_fenced_and_dropped_while_somebody_waits() {
    explore(|| {
        let cache = cache(4);
        let lease = lease(&cache);
        let waiter = load(&cache);
        cache.invalidate(&1);
        drop(lease);
        check_taken_over(&cache, [waiter]);
    });
}
