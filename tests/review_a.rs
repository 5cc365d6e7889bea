//! Review: suspected defects of the loads.
mod common;
use brindle::*;
use common::executor::Task;
use common::*;
use std::cell::Cell;
use std::future::pending;
use std::hash::Hash;
use std::hash::Hasher;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::task::Poll;
use std::thread;
use std::time::Duration;

const SECS: fn(u64) -> Duration = Duration::from_secs;

/// Runs for at most 5 seconds.
fn soon<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = channel();
    thread::spawn(move || tell.send(what()));
    told.recv_timeout(SECS(5)).expect("hangs (or panicked)")
}

// 1: a batch's loader asks for a key for which the batch holds a seat.
#[test]
fn batch_loader_asks_for_a_key_the_batch_is_in_line_for() {
    soon(|| {
        let cache: Cache<u64, u64> = Cache::new(100);
        let Leased::Lease(lease) = cache.get_or_lease(&2, None) else { panic!() };
        let mut lease = Some(lease);
        let got = cache.try_get_many_with(&[1, 2], |keys| {
            drop(lease.take());
            let two = cache.get_with(&2, || 20);
            Ok::<_, String>(keys.into_iter().map(|key| (key, key + two)).collect::<Vec<_>>())
        });
        println!("{got:?}");
    });
}

// 1b: the lease handed to a batch lies idle while the batch runs an unrelated loader.
#[test]
fn batch_holds_a_handed_lease_while_it_loads_others() {
    let cache: Cache<u64, u64> = Cache::new(100);
    let Leased::Lease(lease) = cache.get_or_lease(&2, None) else { panic!() };
    let mut batch = Task::new(cache.try_get_many_with_async(&[1, 2], |_| pending::<Result<Vec<(u64, u64)>, String>>()));
    batch.pends();
    let mut single = Task::new(cache.get_with_async(&2, async { 20 }));
    single.pends();
    drop(lease);
    assert!(single.is_woken() || batch.is_woken(), "nobody was woken");
    let _ = batch.poll();
    assert!(matches!(single.poll(), Poll::Ready(20)), "nobody loads 2 while the batch loads 1");
}

// 2: refresh that is fenced by something that leaves the entry in place.
#[test]
fn fenced_refresh_gives_what_it_loaded_not_the_old_value() {
    let cache: Cache<u64, &str> = Cache::new(100);
    cache.insert(1, "old");
    let got = cache.refresh(&1, || {
        cache.retain(|_, _| true);
        "new"
    });
    assert_eq!(got, "new");
}
#[test]
fn fenced_refresh_gives_waiters_what_was_loaded() {
    let cache: Cache<u64, &str> = Cache::new(100);
    cache.insert(1, "old");
    let (go, wait) = common::executor::oneshot();
    let mut leader = Task::new(cache.refresh_async(&1, wait));
    leader.pends();
    let mut waiter = Task::new(cache.refresh_async(&1, async { "waiter's" }));
    waiter.pends();
    cache.remove_if(&1, |_, _| false);
    go.send("new");
    assert_eq!((leader.ends(), waiter.ends()), ("new", "new"));
}
#[test]
fn late_refresh_gives_what_it_loaded_not_the_old_value() {
    let (clock, hand) = Clock::mock();
    let cache: Cache<u64, &str> = Cache::builder().max_capacity(100).clock(clock).load_timeout(SECS(10)).build().unwrap();
    cache.insert(1, "old");
    let got = cache.refresh(&1, || {
        hand.advance(SECS(11));
        "new"
    });
    assert_eq!(got, "new");
}

// 3: lazily loaded batch.
#[test]
fn a_lazy_loader_that_asks_for_its_own_key_is_told() {
    soon(|| {
        let cache: Cache<u64, u64> = Cache::new(100);
        let inner = cache.clone();
        let got = cache.try_get_many_with(&[1], |keys| {
            let inner = inner.clone();
            Ok::<_, String>(keys.into_iter().map(move |key| (key, inner.try_get_with(&key, || Ok::<_, String>(1)).unwrap_or(99))))
        });
        assert_eq!(got.unwrap(), [Some(99)]);
    });
}

// 4: user's Drop under the lock when Eq panics.
thread_local! { static EQ: Cell<Option<fn()>> = const { Cell::new(None) }; }
#[derive(Clone, Debug)]
struct Key(u64);
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}
impl Eq for Key {}
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        if let Some(hook) = EQ.take() {
            hook();
        }
        self.0 == other.0
    }
}
#[derive(Clone)]
struct Calls(Option<Cache<Key, Calls>>);
impl Drop for Calls {
    fn drop(&mut self) {
        if let Some(cache) = self.0.take() {
            cache.invalidate(&Key(9));
        }
    }
}
#[test]
fn a_value_is_dropped_under_no_lock_when_eq_panics() {
    soon(|| {
        let cache: Cache<Key, Calls> = Cache::builder().stripes(1).max_capacity(100).build().unwrap();
        let Leased::Lease(_lease) = cache.get_or_lease(&Key(1), None) else { panic!() };
        EQ.set(Some(|| panic!("eq")));
        let value = Calls(Some(cache.clone()));
        let caught = catch_unwind(AssertUnwindSafe(|| cache.insert(Key(1), value)));
        assert!(caught.is_err());
    });
}

// 5: eq panics between the end of the lease and the landing.
#[test]
fn eq_panics_in_publish_and_waiters_are_freed() {
    soon(|| {
        let cache: Cache<Key, u64, _> = Cache::builder().stripes(1).max_capacity(100).hasher(Flat).build().unwrap();
        // another flight of the same hash
        let Leased::Lease(_other) = cache.get_or_lease(&Key(2), None) else { panic!() };
        let Leased::Lease(lease) = cache.get_or_lease(&Key(1), None) else { panic!() };
        let one = Key(1);
        let mut waiter = Task::new(cache.get_with_async(&one, async { 7 }));
        waiter.pends();
        EQ.set(Some(|| panic!("eq")));
        let caught = catch_unwind(AssertUnwindSafe(|| lease.fill(5)));
        let hooked = EQ.take().is_none();
        println!("panicked {} hooked {hooked}", caught.is_err());
        assert!(waiter.is_woken(), "the waiter is not woken");
        waiter.ends();
    });
}

// 6: the clock panics in fail.
struct Bad(Arc<AtomicBool>);
impl TimeSource for Bad {
    fn now(&self) -> Duration {
        assert!(!self.0.load(SeqCst), "clock");
        SECS(1)
    }
}
#[test]
fn a_clock_that_panics_in_fail_wedges_nothing() {
    let bad = Arc::new(AtomicBool::new(false));
    let cache: Cache<u64, u64> =
        Cache::builder().max_capacity(100).clock(Clock::from_source(Bad(bad.clone()))).negative_ttl(SECS(10)).build().unwrap();
    let Leased::Lease(lease) = cache.get_or_lease(&1, None) else { panic!() };
    let mut waiter = Task::new(cache.get_with_async(&1, async { 7 }));
    waiter.pends();
    bad.store(true, SeqCst);
    assert!(catch_unwind(AssertUnwindSafe(|| lease.fail("down"))).is_err());
    bad.store(false, SeqCst);
    assert!(waiter.is_woken(), "the waiter is not woken");
    assert_eq!(waiter.ends(), 7);
}

// 7: takeover by deadline between check and landing: the Eq hook stands for "another thread runs now".
type Hook = Mutex<Option<Box<dyn FnOnce() + Send>>>;
static HOOK: Hook = Mutex::new(None);
#[test]
fn takeover_between_check_and_landing_leaves_waiters() {
    soon(|| {
        let (clock, hand) = Clock::mock();
        let cache: Cache<Key, u64> =
            Cache::builder().stripes(1).max_capacity(100).clock(clock).load_timeout(SECS(10)).build().unwrap();
        cache.insert(Key(1), 0);
        let key = Key(1);
        let (go, wait) = common::executor::oneshot();
        let mut leader = Task::new(cache.refresh_async(&key, wait));
        leader.pends();
        let (cache2, cache3) = (cache.clone(), cache.clone());
        let key2 = Key(1);
        let waiter = Arc::new(Mutex::new(Task::new(async move { cache2.refresh_async(&key2, pending()).await })));
        waiter.lock().unwrap().pends();
        let mut third = Task::new(cache3.refresh_async(&key, async { 3 }));
        third.pends();
        let polled = waiter.clone();
        *HOOK.lock().unwrap() = Some(Box::new(move || {
            hand.advance(SECS(11));
            assert!(polled.lock().unwrap().poll().is_pending(), "leads now");
        }));
        EQ.set(Some(|| (HOOK.lock().unwrap().take().unwrap())()));
        go.send(1);
        println!("leader {:?}", leader.ends());
        println!("resident {:?} stats {:?}", cache.get(&key), cache.stats());
        assert!(third.is_woken(), "the load has been stored, and who waits for it is not told");
        assert_eq!(third.ends(), 1);
    });
}

// 8: leaked lease, invalidate, insert.
#[test]
fn a_write_frees_those_who_wait_for_a_leaked_lease_after_an_invalidation() {
    let cache: Cache<u64, u64> = Cache::new(100);
    let Leased::Lease(lease) = cache.get_or_lease(&1, None) else { panic!() };
    let mut waiter = Task::new(cache.get_with_async(&1, async { 7 }));
    waiter.pends();
    std::mem::forget(lease);
    cache.invalidate(&1);
    cache.insert(1, 5);
    assert!(waiter.is_woken(), "waits for ever");
}

// 9: leaked leases with a timeout stay in the table.
#[test]
fn overdue_flights_are_swept() {
    let (clock, hand) = Clock::mock();
    let cache: Cache<u64, u64> =
        Cache::builder().stripes(1).max_capacity(100).clock(clock).load_timeout(SECS(10)).build().unwrap();
    for key in 0..10_000 {
        let Leased::Lease(lease) = cache.get_or_lease(&key, None) else { panic!() };
        std::mem::forget(lease);
    }
    hand.advance(SECS(100));
    for round in 0..10_000 {
        cache.insert(1_000_000 + round, 1);
    }
    assert_eq!(cache.stats().flights, 0);
}

// 10: failed with a timeout of zero at time zero.
#[test]
fn zero_timeout_at_zero_leaves_no_flight() {
    let (clock, _hand) = Clock::mock();
    let cache: Cache<u64, u64> =
        Cache::builder().stripes(1).max_capacity(100).clock(clock).load_timeout(SECS(0)).build().unwrap();
    for key in 0..10 {
        let _ = cache.try_get_with(&key, || Err::<u64, _>("down"));
    }
    assert_eq!(cache.stats().flights, 0);
}

// 11: after_read that ends an entry takes it out though it may be served as stale.
struct Once;
impl Expiry<u64, u64> for Once {
    fn after_create(&self, _: &u64, _: &u64) -> Option<Duration> {
        Some(SECS(10))
    }
    fn after_read(&self, _: &u64, _: &u64, _: Option<Duration>) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}
#[test]
fn what_a_read_ends_may_be_served_as_stale() {
    let (clock, _hand) = Clock::mock();
    let cache: Cache<u64, u64> =
        Cache::builder().max_capacity(100).clock(clock).expire_after(Once).serve_stale(SECS(60)).fail_safe().build().unwrap();
    cache.insert(1, 1);
    assert_eq!(cache.get(&1), Some(1));
    assert_eq!(cache.try_get_with(&1, || Err("down")), Ok(1));
}

// 12: a forgotten tombstone, a lagging load, a late write.
#[test]
fn a_lagging_load_lets_no_late_write_in() {
    for tombstones in [100, 0] {
        let cache: Cache<u64, &str> =
            Cache::builder().stripes(1).max_capacity(100).tombstone_capacity(tombstones).build().unwrap();
        cache.invalidate_at(&1, 8);
        assert!(cache.insert_at(1, "six", 6).is_err());
        let _ = cache.load(&1, || Ok::<_, String>(Loaded::new("five").at(5)));
        assert!(cache.insert_at(1, "six", 6).is_err(), "tombstones {tombstones}: {:?}", cache.get(&1));
    }
}
