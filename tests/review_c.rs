//! Review: further suspicions.
mod common;
use brindle::*;
use common::executor::Task;
use common::executor::oneshot;
use std::future::Future;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::Context;
use std::task::RawWaker;
use std::task::RawWakerVTable;
use std::task::Waker;
use std::thread;
use std::time::Duration;

const SECS: fn(u64) -> Duration = Duration::from_secs;

fn soon<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = channel();
    thread::spawn(move || tell.send(what()));
    told.recv_timeout(SECS(5)).expect("hangs (or panicked)")
}

// 11: an edge of a leader that has lost its lease.
#[test]
fn who_waits_for_a_successor_is_not_reentrant() {
    let (clock, hand) = Clock::mock();
    let cache: Cache<u64, u64> = Cache::builder().max_capacity(100).clock(clock).load_timeout(SECS(10)).build().unwrap();
    let (go_one, gate_one) = oneshot::<()>();
    let inner = cache.clone();
    let mut old = Task::new(cache.get_with_async(&1, async move {
        gate_one.await;
        inner.get_with_async(&2, pending()).await
    }));
    old.pends();
    hand.advance(SECS(5));
    let (go_two, gate_two) = oneshot::<()>();
    let inner = cache.clone();
    let mut two = Task::new(cache.get_with_async(&2, async move {
        gate_two.await;
        match inner.try_get_with_async(&1, async { Ok::<_, String>(77) }).await {
            Ok(value) => value,
            Err(error) => panic!("{error:?}"),
        }
    }));
    two.pends();
    go_one.send(());
    old.pends(); // 1 waits for 2
    hand.advance(SECS(6));
    let (go_new, gate_new) = oneshot::<u64>();
    let mut new = Task::new(cache.get_with_async(&1, gate_new)); // takes 1 over
    new.pends();
    assert_eq!(cache.stats().takeovers, 1);
    go_two.send(());
    two.pends(); // waits for the successor
    go_new.send(10);
    assert_eq!(new.ends(), 10);
    assert_eq!(two.ends(), 10);
}

// 12: with the last handle failed flights go too, even if a guard keeps the table.
#[test]
fn remembered_failures_go_with_the_last_handle() {
    let cache: Cache<u64, u64> = Cache::builder().stripes(1).max_capacity(100).negative_ttl(SECS(1000)).build().unwrap();
    cache.insert(2, 2);
    let guard = cache.get_ref(&2).unwrap();
    let error = Arc::new("down");
    let weak = Arc::downgrade(&error);
    let _ = cache.try_get_with(&1, || Err::<u64, _>(error));
    assert!(weak.upgrade().is_some());
    drop(cache);
    assert!(weak.upgrade().is_none(), "the error lives on with the guard");
    drop(guard);
}

// thread teardown
struct AtEnd(Cache<u64, u64>, std::sync::mpsc::Sender<u64>);
impl Drop for AtEnd {
    fn drop(&mut self) {
        let _ = self.1.send(self.0.get_with(&1, || 2));
        let _ = self.1.send(self.0.get_with(&3, || self.0.get_with(&4, || 5)));
        let again = self.0.try_get_with(&6, || self.0.try_get_with(&6, || Ok::<_, String>(7)).map_err(|error| error.to_string()));
        let _ = self.1.send(u64::from(again.is_err()));
    }
}
thread_local! { static AT_END: std::cell::RefCell<Option<AtEnd>> = const { std::cell::RefCell::new(None) }; }
#[test]
fn calls_in_a_thread_that_is_torn_down() {
    let cache: Cache<u64, u64> = Cache::new(100);
    let Leased::Lease(lease) = cache.get_or_lease(&1, None) else { panic!() };
    let (tell, told) = channel();
    let inner = cache.clone();
    let ending = thread::spawn(move || {
        AT_END.with_borrow_mut(|end| *end = Some(AtEnd(inner.clone(), tell)));
        inner.get_with(&9, || 9);
    });
    while cache.stats().waits == 0 {
        thread::yield_now();
    }
    lease.fill(1).unwrap();
    let got: Vec<u64> = (0..3).map(|_| told.recv_timeout(SECS(5)).expect("hangs")).collect();
    assert_eq!(got, [1, 5, 1]);
    ending.join().unwrap();
}

// wakers whose drop or wake panic
static PANICS: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
const TABLE: RawWakerVTable = RawWakerVTable::new(
    |_| RawWaker::new(std::ptr::null(), &TABLE),
    |_| panic!("wake"),
    |_| {},
    |_| {
        if PANICS.swap(false, std::sync::atomic::Ordering::SeqCst) {
            panic!("drop of a waker");
        }
    },
);
#[test]
fn a_waker_that_panics_when_dropped_harms_nobody() {
    let cache: Cache<u64, u64> = Cache::new(100);
    let Leased::Lease(lease) = cache.get_or_lease(&1, None) else { panic!() };
    // SAFETY: no data.
    let waker = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) };
    let mut context = Context::from_waker(&waker);
    {
        let mut first = Box::pin(cache.get_with_async(&1, async { 1 }));
        assert!(first.as_mut().poll(&mut context).is_pending());
        let mut second = Task::new(cache.get_with_async(&1, async { 2 }));
        second.pends();
        drop(lease); // called: first (its wake panics)
        PANICS.store(true, std::sync::atomic::Ordering::SeqCst);
        let _ = catch_unwind(AssertUnwindSafe(|| drop(first)));
        PANICS.store(false, std::sync::atomic::Ordering::SeqCst);
        assert!(second.is_woken());
        assert_eq!(second.ends(), 2);
    }
    let _ = pin!(async {});
}

// capacity zero, one stripe
#[test]
fn capacity_zero() {
    soon(|| {
        let cache: Cache<u64, u64> = Cache::builder().stripes(1).max_capacity(0).build().unwrap();
        let (go, gate) = oneshot::<u64>();
        let mut leader = Task::new(cache.get_with_async(&1, gate));
        leader.pends();
        let mut waiter = Task::new(cache.get_with_async(&1, pending()));
        waiter.pends();
        go.send(3);
        assert_eq!((leader.ends(), waiter.ends()), (3, 3));
        assert_eq!(cache.stats().flights, 0);
        assert_eq!(cache.len(), 0);
        assert_eq!(cache.get_with(&1, || 4), 4);
        let many =
            cache.try_get_many_with(&[1, 2, 1], |keys| Ok::<_, ()>(keys.into_iter().map(|key| (key, key)).collect::<Vec<_>>()));
        assert_eq!(many, Ok(vec![Some(1), Some(2), Some(1)]));
    });
}

// A value that is fenced by its own load's loader: nested load of the same key after an invalidation.
#[test]
fn a_loader_that_invalidates_and_loads_its_own_key() {
    soon(|| {
        let cache: Cache<u64, u64> = Cache::new(100);
        let got = cache.get_with(&1, || {
            cache.invalidate(&1);
            cache.get_with(&1, || 2) + 10
        });
        assert_eq!((got, cache.get(&1), cache.stats().flights), (2, Some(2), 0));
    });
}

// A stale value served to one who is inside.
#[test]
fn removal_if_of_stale() {
    let (clock, hand) = Clock::mock();
    let cache: Cache<u64, u64> =
        Cache::builder().max_capacity(100).clock(clock).time_to_live(SECS(10)).serve_stale(SECS(60)).fail_safe().build().unwrap();
    let ops: [(&str, fn(&Cache<u64, u64>)); 9] = [
        ("remove", |cache| drop(cache.remove(&1))),
        ("remove_if", |cache| drop(cache.remove_if(&1, |_, _| true))),
        ("invalidate", |cache| drop(cache.invalidate(&1))),
        ("invalidate_at", |cache| drop(cache.invalidate_at(&1, 0))),
        ("retain", |cache| cache.retain(|_, _| false)),
        ("clear", |cache| cache.clear()),
        ("compute", |cache| drop(cache.entry(1).and_compute_with(|_| Op::Remove))),
        ("insert, expired", |cache| drop(cache.insert_with_ttl(1, 9, Duration::ZERO))),
        ("set_capacity", |cache| {
            cache.set_capacity(0);
            cache.set_capacity(100);
        }),
    ];
    for (name, op) in ops {
        cache.insert(1, 1);
        hand.advance(SECS(11));
        assert_eq!(cache.try_get_with(&1, || Err("down")), Ok(1), "{name}");
        op(&cache);
        assert_eq!(cache.try_get_with(&1, || Err("down")), Err(LoadError::Failed("down")), "{name}");
    }
}

// The loader's future is dropped, then somebody else leads: at no time two loaders at once.
#[test]
fn the_loader_future_goes_before_the_lease_is_handed_on() {
    struct Tell(Arc<std::sync::Mutex<Vec<&'static str>>>, &'static str);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.lock().unwrap().push(self.1);
        }
    }
    struct Wakes(Arc<std::sync::Mutex<Vec<&'static str>>>);
    impl std::task::Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.lock().unwrap().push("handed on");
        }
    }
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    let cache: Cache<u64, u64> = Cache::new(10);
    let tell = Tell(log.clone(), "loader dropped");
    let mut leader = Task::new(cache.get_with_async(&1, async move {
        let _tell = tell;
        pending().await
    }));
    leader.pends();
    let waker = Waker::from(Arc::new(Wakes(log.clone())));
    let mut waiter = Box::pin(cache.get_with_async(&1, async { 1 }));
    assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(leader);
    println!("{:?}", log.lock().unwrap());
    assert_eq!(*log.lock().unwrap(), ["loader dropped", "handed on"]);
}
