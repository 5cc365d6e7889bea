//! Promise 9: tasks that wait for a load with a `load_timeout` have a timer set. When they go, it goes. Timers may be kept by another thread,
//! so this counts the bytes of the whole process, and is alone in it.
//!
//! The room in which the timer crate sorts its timers never shrinks: it keeps less than 100 bytes for each waiter of the time when there were
//! most, as `Builder::load_timeout` says. So much is allowed here, once: not again for those who come later.

#[path = "common/bytes.rs"]
mod bytes;
mod common;
mod harness;

use std::future::pending;
use std::thread;
use std::time::Duration;

use brindle::Cache;
use brindle::Leased;

use bytes::Counting;
use bytes::in_use;
use common::executor::Task;
use harness::watched_for;

#[global_allocator]
static COUNTING: Counting = Counting;

const WAITERS: usize = 100_000;
/// What the runtime, the test's own thread and a timer thread may keep for themselves.
const SOME: i64 = 64 * 1024;
/// What the timer crate may keep for each that ever waited at one time.
const PER_WAITER: i64 = 100;

#[test]
fn the_timers_of_waiters_that_give_up_go_with_them() {
    // Takes a few seconds where it does not hang.
    watched_for(Duration::from_secs(30), || {
        let cache: Cache<u64, u64> = Cache::builder().max_capacity(100).load_timeout(Duration::from_secs(3600)).build().unwrap();
        let Leased::Lease(lease) = cache.get_or_lease(&7, None) else { panic!("no lease") };
        let call = || {
            let mut task = Task::new(cache.get_with_async(&7, pending()));
            task.pends();
            task
        };
        drop(call());
        let open = in_use();
        let settles_at = |left: i64| {
            while in_use() > open + left {
                thread::yield_now();
            }
        };
        // One after another, and all at once. What is left for good is a hang here.
        (0..WAITERS).for_each(|_| drop(call()));
        settles_at(SOME);
        // More often than once: what is kept for waiters that were there at one time is used again.
        for _ in 0..3 {
            let waiting: Vec<_> = (0..WAITERS).map(|_| call()).collect();
            drop(waiting);
            settles_at(SOME + WAITERS as i64 * PER_WAITER);
        }
        assert_eq!((cache.stats().flights, lease.is_current()), (1, true));
    });
}
