//! Whoever waits is woken: threads and tasks, by whatever ends the load.

use std::pin::pin;
use std::task::Context;
use std::task::Poll;

use loom::thread;

use crate::core::Lease;
use crate::error::LoadError;

use super::tasks::block_on;
use super::tasks::pends;
use super::tasks::waker;
use super::trial::Numbers;
use super::trial::beside;
use super::trial::cache;
use super::trial::explore;
use super::trial::lease;
use super::trial::spawn;

/// Somebody holds the lease of key 1 and ends it by `end`, while a thread and a task come for the value.
fn wait_for(end: fn(&Numbers, Lease<u64, u64>)) {
    explore(move || {
        let cache = cache(4);
        let lease = lease(&cache);
        let by_thread = beside(&cache, |cache| cache.get_with(&1, || 7));
        let by_task = beside(&cache, |cache| block_on(cache.get_with_async(&1, async { 7 })));
        end(&cache, lease);
        assert_eq!((by_thread.join().unwrap(), by_task.join().unwrap()), (7, 7));
        assert_eq!(cache.stats().flights, 0);
    });
}

#[test]
fn two_wait_for_a_value() {
    wait_for(|_, lease| {
        lease.fill(7).unwrap();
    });
}

#[test]
fn two_wait_for_a_load_that_a_write_fences() {
    wait_for(|cache, lease| {
        cache.insert(1, 7);
        assert!(lease.fill(5).is_err());
    });
}

#[test]
fn one_waits_for_an_error() {
    explore(|| {
        let cache = cache(4);
        let lease = lease(&cache);
        let waiter = beside(&cache, |cache| cache.try_get_with(&1, || Ok::<u64, u64>(7)));
        lease.fail(5_u64);
        assert!(matches!(waiter.join().unwrap(), Ok(7) | Err(LoadError::Failed(5))));
        assert_eq!(cache.stats().flights, 0);
    });
}

#[test]
fn a_task_moves_to_another_thread_while_it_waits() {
    explore(|| {
        let cache = cache(4);
        let lease = lease(&cache);
        let mut load = pin!(cache.get_with_async(&1, async { 5 }));
        // Whoever polled it first is not there to be woken any more.
        pends(load.as_mut());
        let leader = spawn(move || lease.fill(7).is_ok());
        let waker = waker();
        let value = loop {
            match load.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(value) => break value,
                Poll::Pending => thread::park(),
            }
        };
        assert_eq!(value, 7);
        assert!(leader.join().unwrap());
    });
}
