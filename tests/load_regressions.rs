//! Loads that went wrong once: results that are kept out though something is resident, loads that lost their lease, time that stands still or is
//! up, stale values, what is left of leaked leases and of failures, futures that another thread cannot have.

mod common;

use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::Context;
use std::task::Wake;
use std::task::Waker;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::Expiry;
use brindle::Failure;
use brindle::Lease;
use brindle::Leased;
use brindle::LoadError;
use brindle::Loaded;
use brindle::MockClock;
use brindle::Op;
use brindle::Unfilled;

use common::executor::Task;
use common::executor::oneshot;
use common::watched;

type Numbers = Cache<u64, u64>;

const TIMEOUT: Duration = seconds(10);
const TOO_LONG: Duration = seconds(11);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn timed(timeout: Duration) -> (Numbers, MockClock) {
    let (clock, hand) = Clock::mock();
    (Cache::builder().stripes(1).max_capacity(100).clock(clock).load_timeout(timeout).build().unwrap(), hand)
}

#[track_caller]
fn leased(cache: &Numbers, key: u64) -> Lease<u64, u64> {
    let Leased::Lease(lease) = cache.get_or_lease(&key, None) else { panic!("no lease") };
    lease
}

#[test]
fn a_refresh_that_is_fenced_gives_what_it_loaded_and_not_what_is_resident() {
    watched(|| {
        let cache: Numbers = Cache::new(100);
        cache.insert(1, 10);
        let got = cache.refresh(&1, || {
            // Fences, and leaves the entry where it is.
            cache.retain(|_, _| true);
            20
        });
        assert_eq!((got, cache.get(&1)), (20, Some(10)));
    });
}

#[test]
fn those_who_wait_for_a_refresh_that_is_fenced_get_what_it_loaded() {
    watched(|| {
        let cache: Numbers = Cache::new(100);
        cache.insert(1, 10);
        let (go, gate) = oneshot();
        let mut leader = Task::new(cache.refresh_async(&1, gate));
        leader.pends();
        let mut waiter = Task::new(cache.refresh_async(&1, async { 30 }));
        waiter.pends();
        cache.remove_if(&1, |_, _| false);
        go.send(20);
        assert_eq!((leader.ends(), waiter.ends()), (20, 20));
    });
}

#[test]
fn a_refresh_that_is_late_gives_what_it_loaded_and_not_what_is_resident() {
    watched(|| {
        let (cache, hand) = timed(TIMEOUT);
        cache.insert(1, 10);
        let got = cache.refresh(&1, || {
            hand.advance(TOO_LONG);
            20
        });
        assert_eq!(got, 20);
    });
}

#[test]
fn a_loader_may_invalidate_its_own_key_and_load_it() {
    watched(|| {
        let cache: Numbers = Cache::new(100);
        let got = cache.get_with(&1, || {
            cache.invalidate(&1);
            cache.get_with(&1, || 2) + 10
        });
        // The outer load is fenced, and something newer is there.
        assert_eq!((got, cache.get(&1), cache.stats().flights), (2, Some(2), 0));
    });
}

#[test]
fn who_waits_for_the_successor_of_a_load_that_waits_for_him_is_in_no_ring() {
    watched(|| {
        let (cache, hand) = timed(TIMEOUT);
        let (go_one, one_goes) = oneshot::<()>();
        let inner = cache.clone();
        let mut old = Task::new(cache.get_with_async(&1, async move {
            one_goes.await;
            inner.get_with_async(&2, pending()).await
        }));
        old.pends();
        hand.advance(seconds(5));
        let (go_two, two_goes) = oneshot::<()>();
        let inner = cache.clone();
        let mut two = Task::new(cache.get_with_async(&2, async move {
            two_goes.await;
            inner.try_get_with_async(&1, async { Ok::<_, ()>(77) }).await.expect("nobody waits for himself")
        }));
        two.pends();
        go_one.send(());
        old.pends();
        hand.advance(seconds(6));
        let (go_new, gate) = oneshot();
        let mut new = Task::new(cache.get_with_async(&1, gate));
        new.pends();
        assert_eq!(cache.stats().takeovers, 1);
        go_two.send(());
        // The old load of 1 waits for 2, but it is the new one that 2 waits for.
        two.pends();
        go_new.send(10);
        assert_eq!((new.ends(), two.ends()), (10, 10));
    });
}

/// Writes down what happens, and when.
type Log = Arc<Mutex<Vec<&'static str>>>;

struct ToldOnDrop(Log);

impl Drop for ToldOnDrop {
    fn drop(&mut self) {
        self.0.lock().unwrap().push("the loader is dropped");
    }
}

struct ToldOnWake(Log);

impl Wake for ToldOnWake {
    fn wake(self: Arc<Self>) {
        self.0.lock().unwrap().push("the next is called");
    }
}

#[test]
fn a_cancelled_loader_is_gone_before_the_next_is_called() {
    watched(|| {
        let log = Log::default();
        let cache: Numbers = Cache::new(10);
        let told = ToldOnDrop(Arc::clone(&log));
        let mut leader = Task::new(cache.get_with_async(&1, async move {
            let _told = told;
            pending().await
        }));
        leader.pends();
        let waker = Waker::from(Arc::new(ToldOnWake(Arc::clone(&log))));
        let mut waiter = Box::pin(cache.get_with_async(&1, async { 1 }));
        assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(leader);
        assert_eq!(*log.lock().unwrap(), ["the loader is dropped", "the next is called"]);
    });
}

#[test]
fn what_is_overdue_is_swept_by_later_writes() {
    watched(|| {
        const LEAKED: u64 = 10_000;
        let (cache, hand) = timed(TIMEOUT);
        (0..LEAKED).for_each(|key| std::mem::forget(leased(&cache, key)));
        hand.advance(TOO_LONG);
        (0..LEAKED).for_each(|other| _ = cache.insert(LEAKED + other, 1));
        assert_eq!(cache.stats().flights, 0);
    });
}

#[test]
fn a_failure_in_no_time_at_the_beginning_of_time_leaves_no_flight() {
    watched(|| {
        let (cache, _hand) = timed(Duration::ZERO);
        for key in 0..10 {
            assert!(cache.try_get_with(&key, || Err("down")).is_err());
        }
        assert_eq!(cache.stats().flights, 0);
    });
}

#[test]
fn failures_are_forgotten_with_the_last_handle_though_a_guard_is_held() {
    watched(|| {
        let cache: Numbers = Cache::builder().stripes(1).max_capacity(100).negative_ttl(seconds(1_000)).build().unwrap();
        cache.insert(2, 2);
        let guard = cache.get_ref(&2).unwrap();
        let error = Arc::new("down");
        let remembered = Arc::downgrade(&error);
        assert!(cache.try_get_with(&1, || Err(error)).is_err());
        assert!(remembered.upgrade().is_some());
        drop(cache);
        assert!(remembered.upgrade().is_none(), "the error lives on with the guard");
        assert_eq!(*guard, 2);
    });
}

struct EndsWhenRead;

impl Expiry<u64, u64> for EndsWhenRead {
    fn after_create(&self, _: &u64, _: &u64) -> Option<Duration> {
        Some(seconds(10))
    }

    fn after_read(&self, _: &u64, _: &u64, _: Option<Duration>) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

#[test]
fn what_a_read_ends_may_be_served_as_stale() {
    watched(|| {
        let (clock, _hand) = Clock::mock();
        let builder = Cache::builder().max_capacity(100).clock(clock).expire_after(EndsWhenRead);
        let cache: Numbers = builder.serve_stale(seconds(60)).fail_safe().build().unwrap();
        cache.insert(1, 1);
        assert_eq!(cache.get(&1), Some(1));
        assert_eq!(cache.try_get_with(&1, || Err("down")), Ok(1));
    });
}

/// A way to end what is stale, and its name.
type Kill = (&'static str, fn(&Numbers));

const KILLS: [Kill; 9] = [
    ("remove", |cache| _ = cache.remove(&1)),
    ("remove_if", |cache| _ = cache.remove_if(&1, |_, _| true)),
    ("invalidate", |cache| _ = cache.invalidate(&1)),
    ("invalidate_at", |cache| _ = cache.invalidate_at(&1, 0)),
    ("retain", |cache| cache.retain(|_, _| false)),
    ("clear", |cache| cache.clear()),
    ("compute Remove", |cache| _ = cache.entry(1).and_compute_with(|_| Op::Remove)),
    ("insert of no time", |cache| _ = cache.insert_with_ttl(1, 9, Duration::ZERO)),
    ("set_capacity", |cache| [0, 100].into_iter().for_each(|capacity| cache.set_capacity(capacity))),
];

#[test]
fn a_stale_value_that_was_ended_is_not_served_for_a_failure() {
    watched(|| {
        let (clock, hand) = Clock::mock();
        let builder = Cache::builder().max_capacity(100).clock(clock).time_to_live(seconds(10));
        let cache: Numbers = builder.serve_stale(seconds(60)).fail_safe().build().unwrap();
        for (name, kill) in KILLS {
            cache.insert(1, 1);
            hand.advance(seconds(11));
            assert_eq!(cache.try_get_with(&1, || Err("down")), Ok(1), "{name}");
            kill(&cache);
            assert_eq!(cache.try_get_with(&1, || Err("down")), Err(LoadError::Failed("down")), "{name}");
        }
    });
}

#[test]
fn a_load_that_lags_behind_a_tombstone_lets_no_late_write_in() {
    watched(|| {
        for tombstones in [100, 0] {
            let cache: Numbers = Cache::builder().stripes(1).max_capacity(100).tombstone_capacity(tombstones).build().unwrap();
            cache.invalidate_at(&1, 8);
            assert!(cache.insert_at(1, 60, 6).is_err());
            _ = cache.load(&1, || Ok::<_, ()>(Loaded::new(50).at(5)));
            assert!(cache.insert_at(1, 60, 6).is_err(), "{tombstones} tombstones: {:?}", cache.get(&1));
        }
    });
}

#[test]
fn where_nothing_has_room_loads_give_their_values_and_share_them() {
    watched(|| {
        let cache: Numbers = Cache::builder().stripes(1).max_capacity(0).build().unwrap();
        let (go, gate) = oneshot();
        let mut leader = Task::new(cache.get_with_async(&1, gate));
        leader.pends();
        let mut waiter = Task::new(cache.get_with_async(&1, pending()));
        waiter.pends();
        go.send(3);
        assert_eq!((leader.ends(), waiter.ends()), (3, 3));
        assert_eq!((cache.stats().flights, cache.len()), (0, 0));
        assert_eq!(cache.get_with(&1, || 4), 4);
    });
}

/// Only the compiler is asked.
fn may_move<T>(future: impl Future<Output = T> + Send) {
    drop(future);
}

fn may_be_spawned<T>(future: impl Future<Output = T> + Send + 'static) {
    drop(future);
}

fn may_be_shared<T: Send + Sync + 'static>() {}

#[test]
fn a_call_moves_among_threads_where_its_loader_does() {
    watched(|| {
        let cache: Cache<String, Vec<u8>> = Cache::new(10);
        may_move(cache.get_with_async("k", async { vec![] }));
        may_move(cache.try_get_with_async("k", async { Ok::<_, String>(vec![]) }));
        may_move(cache.load_async("k", async { Ok::<_, String>(Loaded::new(vec![])) }));
        may_move(cache.refresh_async("k", async { vec![] }));
        may_move(cache.try_refresh_async("k", async { Ok::<_, String>(vec![]) }));
        may_move(cache.reload_async("k", async { Ok::<_, String>(Loaded::new(vec![])) }));
        may_move(cache.get_or_lease_async("k"));
        let keys = [String::from("k")];
        may_move(
            cache.try_get_many_with_async(&keys, |_| async { Ok::<_, String>([(String::from("k"), Loaded::new(vec![1]))]) }),
        );
        let handle = cache.clone();
        may_be_spawned(async move { handle.get_with_async("k", async { vec![] }).await });
        let handle = cache.clone();
        let load = |_| async { Ok::<_, String>(Vec::<(String, Vec<u8>)>::new()) };
        may_be_spawned(async move { handle.try_get_many_with_async(["k"], load).await });
        // A loader that may not move is a loader all the same.
        let local = Rc::new(1);
        drop(cache.get_with_async("k", async { vec![*local] }));
    });
}

#[test]
fn values_that_are_only_known_by_what_they_do_may_move_too() {
    watched(|| {
        type Act = Arc<dyn Fn() -> u8 + Send + Sync>;
        let cache: Cache<Arc<str>, Act> = Cache::new(10);
        let key: Arc<str> = "k".into();
        may_move(cache.get_with_async(&key, async { Arc::new(|| 1_u8) as Act }));
    });
}

#[test]
fn leases_and_errors_may_be_shared_among_threads() {
    watched(|| {
        may_be_shared::<Lease<String, Vec<u8>>>();
        may_be_shared::<Leased<String, Vec<u8>>>();
        may_be_shared::<Failure>();
        may_be_shared::<LoadError<String>>();
        may_be_shared::<Unfilled<Vec<u8>>>();
    });
}
