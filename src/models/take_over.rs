//! Leases that end without a value: whoever waits takes over, nobody is forgotten, and what the former holder still does is void. A
//! leader that panics is not played, as loom poisons the locks that unwinding takes: he drops his lease.

use std::pin::pin;
use std::task::Context;
use std::task::Waker;
use std::time::Duration;

use loom::thread::JoinHandle;

use crate::core::Lease;
use crate::face::Leased;
use crate::time::Clock;

use super::trial::BUILT;
use super::trial::Numbers;
use super::trial::cache;
use super::trial::explore;
use super::trial::small;
use super::trial::spawn;

const SHORT: Duration = Duration::from_nanos(10);

fn lease(cache: &Numbers) -> Lease<u64, u64> {
    match cache.get_or_lease(&1, None) {
        Leased::Lease(lease) => lease,
        other => unreachable!("nobody else loads: {other:?}"),
    }
}

fn load(cache: &Numbers, value: u64) -> JoinHandle<u64> {
    let cache = cache.clone();
    spawn(move || cache.get_with(&1, || value))
}

#[test]
fn a_lease_is_dropped_while_somebody_sits_down() {
    explore(|| {
        let cache = cache(4);
        let lease = lease(&cache);
        let waiter = load(&cache, 7);
        drop(lease);
        assert_eq!(waiter.join().unwrap(), 7);
        assert_eq!((cache.get(&1), cache.stats().flights), (Some(7), 0));
    });
}

#[test]
fn a_lease_is_dropped_elsewhere_while_two_wait() {
    explore(|| {
        let cache = cache(4);
        let lease = lease(&cache);
        let waiters = [load(&cache, 7), load(&cache, 7)];
        spawn(move || drop(lease)).join().unwrap();
        waiters.into_iter().for_each(|waiter| assert_eq!(waiter.join().unwrap(), 7));
        assert_eq!((cache.get(&1), cache.stats().flights), (Some(7), 0));
    });
}

#[test]
fn a_lease_passes_on_twice() {
    explore(|| {
        let cache = cache(4);
        let lease = lease(&cache);
        let gives_up = {
            let cache = cache.clone();
            spawn(move || drop(cache.get_or_lease(&1, None)))
        };
        let loads = load(&cache, 7);
        drop(lease);
        gives_up.join().unwrap();
        assert_eq!(loads.join().unwrap(), 7);
        assert_eq!((cache.get(&1), cache.stats().flights), (Some(7), 0));
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
            assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            let last = load(&cache, 7);
            let leader = spawn(move || drop(lease));
            leader.join().unwrap();
            last
        };
        assert_eq!(last.join().unwrap(), 7);
        assert_eq!((cache.get(&1), cache.stats().flights), (Some(7), 0));
    });
}

#[test]
fn a_task_is_dropped_beside_the_end_of_the_lease() {
    explore(|| {
        let cache = cache(4);
        let lease = lease(&cache);
        let last = load(&cache, 7);
        let leader = {
            let mut first = pin!(cache.get_with_async(&1, async { 5 }));
            assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            spawn(move || drop(lease))
        };
        leader.join().unwrap();
        assert_eq!(last.join().unwrap(), 7);
        assert_eq!((cache.get(&1), cache.stats().flights), (Some(7), 0));
    });
}

#[test]
fn an_overdue_lease_is_taken_over_while_its_holder_commits() {
    explore(|| {
        let (clock, hand) = Clock::mock();
        let cache = small(4).load_timeout(SHORT).clock(clock).build().expect(BUILT);
        let lease = lease(&cache);
        let late = spawn(move || lease.fill(1).is_ok());
        hand.advance(SHORT);
        let taken = cache.get_with(&1, || 7);
        let stored = late.join().unwrap();
        assert_eq!((taken, cache.get(&1)), if stored { (1, Some(1)) } else { (7, Some(7)) });
    });
}

/// The former holder comes while the new one loads.
#[test]
fn a_former_holder_commits_while_the_new_one_loads() {
    explore(|| {
        let (clock, hand) = Clock::mock();
        let cache = small(4).load_timeout(SHORT).clock(clock).build().expect(BUILT);
        let former = lease(&cache);
        hand.advance(SHORT);
        let new = lease(&cache);
        let late = spawn(move || former.fill(1));
        assert!(new.fill(7).is_ok());
        assert!(late.join().unwrap().is_err());
        assert_eq!(cache.get(&1), Some(7));
    });
}

/// What was fenced nobody takes over: they start anew.
#[test]
fn a_lease_is_fenced_and_dropped_while_somebody_waits() {
    explore(|| {
        let cache = cache(4);
        let lease = lease(&cache);
        let waiter = load(&cache, 7);
        cache.invalidate(&1);
        drop(lease);
        assert_eq!(waiter.join().unwrap(), 7);
        assert_eq!((cache.get(&1), cache.stats().flights), (Some(7), 0));
    });
}
