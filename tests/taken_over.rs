//! Leases that were taken over: whoever was to have one and comes late for it says nothing of what the present holder's load has seen.

mod common;

use std::future::Future;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::Context;
use std::task::Poll;
use std::task::RawWaker;
use std::task::RawWakerVTable;
use std::task::Waker;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::Lease;
use brindle::Leased;
use brindle::WhyUnfilled;

use common::watched;

const SECOND: Duration = Duration::from_secs(1);

type Act = Box<dyn FnOnce() + Send>;

/// What is done as soon as a waker made of [`TELLING`] is dropped.
static AT_DROP: Mutex<Option<Act>> = Mutex::new(None);

/// A waker whose `Drop` is code of ours.
const TELLING: RawWakerVTable = RawWakerVTable::new(|_| RawWaker::new(ptr::null(), &TELLING), |_| {}, |_| {}, |_| at_drop());

fn at_drop() {
    let act = AT_DROP.lock().unwrap().take();
    if let Some(act) = act {
        act();
    }
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

fn lease(cache: &Cache<u64, u64>) -> Lease<u64, u64> {
    match cache.get_or_lease(&1, Some(Duration::ZERO)) {
        Leased::Lease(lease) => lease,
        other => panic!("{other:?}"),
    }
}

/// A waiter takes an overdue lease over and is held up, for so long that it is overdue again. The next one loads; then a group ends; then
/// the waiter comes to himself. That his load would begin now does not make the other one's any younger.
#[test]
fn whoever_comes_late_for_a_lease_does_not_make_the_present_load_younger() {
    watched(|| {
        let (clock, time) = Clock::mock();
        let cache: Cache<u64, u64> =
            Cache::builder().load_timeout(SECOND).group_by(|_, value: &u64| [*value]).clock(clock).build().unwrap();
        let overdue = lease(&cache);
        // SAFETY: its functions take no data.
        let telling = unsafe { Waker::from_raw(RawWaker::new(ptr::null(), &TELLING)) };
        let mut waiter = Box::pin({
            let cache = cache.clone();
            async move { cache.get_or_lease_async(&1).await }
        });
        assert!(poll(waiter.as_mut(), &telling).is_pending());

        let begun = Arc::new(Mutex::new(None));
        time.advance(SECOND);
        *AT_DROP.lock().unwrap() = Some(Box::new({
            let (cache, begun, time) = (cache.clone(), Arc::clone(&begun), time.clone());
            move || {
                time.advance(SECOND);
                *begun.lock().unwrap() = Some(lease(&cache));
                assert_eq!(cache.invalidate_group(&7_u64), 0);
            }
        }));
        let late = poll(waiter.as_mut(), Waker::noop());
        let present = begun.lock().unwrap().take().expect("the waiter's waker was dropped when it took over");
        assert_eq!(present.fill(7).unwrap_err().why, WhyUnfilled::Fenced);
        assert_eq!(cache.get(&1), None);
        drop((late, overdue));
    });
}
