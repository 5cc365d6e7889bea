//! With the feature `tokio` the timers of waiting tasks are the runtime's: here its time is paused, and moves only when all tasks wait. A runtime
//! without timers is no reason to fail.

#![cfg(feature = "tokio")]

mod common;

use std::future::pending;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::Leased;
use brindle::TimeSource;
use tokio::runtime::Builder;
use tokio::time::Instant;

use common::watched;

const HOUR: Duration = Duration::from_secs(3_600);

struct RuntimeTime(Instant);

impl TimeSource for RuntimeTime {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[test]
fn a_task_takes_over_when_the_runtimes_time_says_so() {
    watched(|| {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let start = Instant::now();
            let clock = Clock::from_source(RuntimeTime(start));
            let cache: Cache<u64, u64> = Cache::builder().load_timeout(HOUR).clock(clock).build().expect("sound choices");
            let Leased::Lease(hung) = cache.get_or_lease_async(&1).await else { panic!("nobody else loads") };
            assert_eq!(cache.get_with_async(&1, async { 7 }).await, 7);
            assert!(start.elapsed() >= HOUR && start.elapsed() < 2 * HOUR, "{:?}", start.elapsed());
            assert!(!hung.is_current());
        });
    });
}

#[test]
fn a_call_for_many_keys_takes_over_too() {
    watched(|| {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let clock = Clock::from_source(RuntimeTime(Instant::now()));
            let cache: Cache<u64, u64> = Cache::builder().load_timeout(HOUR).clock(clock).build().expect("sound choices");
            let mut hung = Box::pin(cache.get_with_async(&1, pending()));
            assert!(tokio::time::timeout(Duration::from_secs(1), &mut hung).await.is_err());
            let load =
                |keys: Vec<u64>| async move { Ok::<_, ()>(keys.into_iter().map(|key| (key, key * 10)).collect::<Vec<_>>()) };
            assert_eq!(cache.try_get_many_with_async(&[1, 2], load).await, Ok(vec![Some(10), Some(20)]));
        });
    });
}

#[test]
fn in_a_runtime_without_time_a_task_takes_over_all_the_same() {
    watched(|| {
        // Nobody can pause a time that is not there: this one waits in earnest.
        let timeout = Duration::from_millis(200);
        let cache: Cache<u64, u64> = Cache::builder().max_capacity(10).load_timeout(timeout).build().expect("sound choices");
        let Leased::Lease(hung) = cache.get_or_lease(&1, None) else { panic!("nobody else loads") };
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        assert_eq!(runtime.block_on(cache.get_with_async(&1, async { 2 })), 2);
        assert!(!hung.is_current());
    });
}
