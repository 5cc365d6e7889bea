//! Loads and writes in bad company that went wrong once: `Eq`, clocks and wakers that panic or do something else meanwhile, drops that call the cache, threads
//! that are being torn down. Whoever waits is freed all the same, and nothing of the user's runs under a lock.

mod common;
mod harness;

use std::cell::Cell;
use std::cell::RefCell;
use std::future::pending;
use std::hash::Hash;
use std::hash::Hasher;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::Sender;
use std::sync::mpsc::channel;
use std::task::Context;
use std::task::RawWaker;
use std::task::RawWakerVTable;
use std::task::Waker;
use std::thread;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::Leased;
use brindle::Loaded;
use brindle::TimeSource;

use common::Flat;
use common::Itself;
use common::executor::Boxed;
use common::executor::Task;
use common::executor::oneshot;
use common::watched;
use harness::planned;
use harness::survives;

thread_local! {
    /// What the next comparison of keys does first.
    static ON_EQ: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
}

fn on_eq(hook: impl FnOnce() + 'static) {
    ON_EQ.set(Some(Box::new(hook)));
}

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
        if let Some(hook) = ON_EQ.take() {
            hook();
        }
        self.0 == other.0
    }
}

/// Calls the cache when it is dropped: a hang, if that is under the lock.
#[derive(Clone)]
struct CallsOnDrop(Option<Cache<Key, CallsOnDrop>>);

impl Drop for CallsOnDrop {
    fn drop(&mut self) {
        if let Some(cache) = self.0.take() {
            cache.invalidate(&Key(9));
        }
    }
}

#[test]
fn a_value_that_could_not_be_written_since_eq_panics_is_dropped_under_no_lock() {
    watched(|| {
        let cache: Cache<Key, CallsOnDrop> = Cache::builder().stripes(1).max_capacity(100).build().unwrap();
        let Leased::Lease(_lease) = cache.get_or_lease(&Key(1), None) else { panic!("nobody else loads") };
        let value = CallsOnDrop(Some(cache.clone()));
        on_eq(|| planned());
        assert!(survives(|| cache.insert(Key(1), value)).is_none());
    });
}

#[test]
fn those_who_wait_are_freed_where_eq_panics_while_the_value_lands() {
    watched(|| {
        let cache: Cache<Key, u64, _> = Cache::builder().stripes(1).max_capacity(100).hasher(Flat).build().unwrap();
        // An entry and a flight of the same hash, for the landing to compare with.
        cache.insert(Key(3), 3);
        let Leased::Lease(_other) = cache.get_or_lease(&Key(2), None) else { panic!("nobody else loads") };
        let Leased::Lease(lease) = cache.get_or_lease(&Key(1), None) else { panic!("nobody else loads") };
        let one = Key(1);
        let mut waiter = Task::new(cache.get_with_async(&one, async { 7 }));
        waiter.pends();
        on_eq(|| planned());
        _ = survives(|| lease.fill(5));
        assert!(ON_EQ.take().is_none(), "nothing was compared");
        assert!(waiter.is_woken(), "the waiter is forgotten");
        waiter.ends();
    });
}

#[test]
fn a_takeover_in_the_moment_of_the_landing_leaves_nobody_waiting() {
    watched(|| {
        let (clock, hand) = Clock::mock();
        let builder = Cache::builder().stripes(1).max_capacity(100).clock(clock);
        let cache: Cache<Key, u64> = builder.load_timeout(Duration::from_secs(10)).build().unwrap();
        let key = Key(1);
        cache.insert(key.clone(), 0);
        let (go, gate) = oneshot();
        let mut leader = Task::new(cache.refresh_async(&key, gate));
        leader.pends();
        let (handle, same) = (cache.clone(), key.clone());
        let successor = Rc::new(RefCell::new(Task::new(async move { handle.refresh_async(&same, pending()).await })));
        successor.borrow_mut().pends();
        let mut third = Task::new(cache.refresh_async(&key, async { 3 }));
        third.pends();
        // A comparison before the landing stands for the moment in which another thread runs.
        let takes_over = Rc::clone(&successor);
        on_eq(move || {
            hand.advance(Duration::from_secs(11));
            takes_over.borrow_mut().pends();
        });
        go.send(1);
        let brought = leader.ends();
        assert!(ON_EQ.take().is_none(), "nothing was compared");
        assert_eq!((brought, cache.get(&key)), (1, Some(1)));
        assert!(third.is_woken(), "the load has been stored, and who waits for it is not told");
        assert_eq!(third.ends(), 1);
    });
}

struct BrokenClock(Arc<AtomicBool>);

impl TimeSource for BrokenClock {
    fn now(&self) -> Duration {
        if self.0.load(SeqCst) {
            planned();
        }
        Duration::from_secs(1)
    }
}

#[test]
fn a_clock_that_panics_when_a_load_fails_keeps_nobody_waiting() {
    watched(|| {
        let broken = Arc::new(AtomicBool::new(false));
        let clock = Clock::from_source(BrokenClock(Arc::clone(&broken)));
        let builder = Cache::builder().max_capacity(100).clock(clock).negative_ttl(Duration::from_secs(10));
        let cache: Cache<u64, u64> = builder.build().unwrap();
        let Leased::Lease(lease) = cache.get_or_lease(&1, None) else { panic!("nobody else loads") };
        let mut waiter = Task::new(cache.get_with_async(&1, async { 7 }));
        waiter.pends();
        broken.store(true, SeqCst);
        assert!(survives(|| lease.fail("down")).is_none());
        broken.store(false, SeqCst);
        assert!(waiter.is_woken(), "the waiter is forgotten");
        assert_eq!(waiter.ends(), 7);
    });
}

/// A cache whose clock may be broken, and a write through it of key 1 that goes on until it is cancelled.
fn written_by_a_broken_clock() -> (Cache<u64, u64>, Arc<AtomicBool>, Task<Boxed<'static, ()>>) {
    let broken = Arc::new(AtomicBool::new(false));
    let clock = Clock::from_source(BrokenClock(Arc::clone(&broken)));
    let builder = Cache::builder().stripes(1).max_capacity(100).clock(clock).load_timeout(Duration::from_secs(10));
    let cache: Cache<u64, u64> = builder.build().unwrap();
    let mut writing = writes(&cache, pending());
    writing.pends();
    (cache, broken, writing)
}

fn writes(cache: &Cache<u64, u64>, source: impl Future<Output = u64> + Send + 'static) -> Task<Boxed<'static, ()>> {
    let cache = cache.clone();
    let write = |_| async { Ok::<_, ()>(Loaded::new(source.await)) };
    Task::new(Box::pin(async move { _ = cache.write_through_async(1, write).await }))
}

#[test]
fn a_clock_that_panics_when_a_write_is_cancelled_changes_nobodys_turn() {
    watched(|| {
        let (cache, broken, writing) = written_by_a_broken_clock();
        let [mut first, mut second] = [1, 2].map(|value| writes(&cache, async move { value }));
        first.pends();
        second.pends();
        broken.store(true, SeqCst);
        assert!(survives(|| drop(writing)).is_none());
        broken.store(false, SeqCst);
        second.pends();
        assert!(first.is_woken(), "it is the turn of the first");
        first.ends();
        assert_eq!(cache.get(&1), Some(1));
        second.ends();
        assert_eq!(cache.get(&1), Some(2));
    });
}

/// Looks into every stripe of the cache when it is asked by a thread that says so: a hang, if that is under the lock.
struct LooksInside;

thread_local! {
    static LOOKS_INTO: RefCell<Option<Cache<Key, u64, Itself>>> = const { RefCell::new(None) };
}

impl TimeSource for LooksInside {
    fn now(&self) -> Duration {
        LOOKS_INTO.with_borrow(|cache| cache.as_ref().map(Cache::stats));
        Duration::from_secs(1)
    }
}

/// A full cache of two stripes in which nothing depends on time yet.
fn looked_into() -> Cache<Key, u64, Itself> {
    let builder = Cache::builder().stripes(2).max_capacity(4).hasher(Itself);
    let cache = builder.clock(Clock::from_source(LooksInside)).build().unwrap();
    for key in 0..4 {
        cache.insert(Key(key), key);
    }
    cache
}

/// A key of the other stripe than the small ones.
const ELSEWHERE: Key = Key(1 << 48);

#[test]
fn a_plain_write_that_evicts_asks_the_clock_under_no_lock() {
    watched(|| {
        let cache = looked_into();
        LOOKS_INTO.set(Some(cache.clone()));
        // From here on time matters, though not to the stripe that is written.
        cache.invalidate_at(&ELSEWHERE, 1);
        for key in 10..30 {
            cache.insert(Key(key), key);
        }
        assert!(cache.stats().evicted > 0);
    });
}

#[test]
fn nor_does_one_while_which_time_begins_to_matter() {
    watched(|| {
        let cache = looked_into();
        LOOKS_INTO.set(Some(cache.clone()));
        let other = cache.clone();
        // Keys are compared under the lock, and meanwhile others go on elsewhere.
        on_eq(move || _ = thread::spawn(move || other.invalidate_at(&ELSEWHERE, 1)).join().unwrap());
        // All that an entry's place says of its key is equal here.
        cache.insert(Key(3 + (1 << 8)), 0);
        assert!(ON_EQ.take().is_none(), "nothing was compared");
        assert_eq!((cache.stats().evicted, cache.stats().tombstones), (1, 1));
    });
}

/// A key that looks into its cache when it is dropped: a hang, if that is under the lock.
#[derive(Clone)]
struct LooksOnDrop(u64, Option<Cache<LooksOnDrop, u64>>);

impl Drop for LooksOnDrop {
    fn drop(&mut self) {
        self.1.take().map(|cache| cache.stats());
    }
}

impl Hash for LooksOnDrop {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

impl Eq for LooksOnDrop {}

impl PartialEq for LooksOnDrop {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

#[test]
fn the_key_of_a_failure_that_is_forgotten_is_dropped_under_no_lock() {
    watched(|| {
        let (clock, hand) = Clock::mock();
        let builder = Cache::builder().stripes(1).max_capacity(100).clock(clock).negative_ttl(Duration::from_secs(10));
        let cache: Cache<LooksOnDrop, u64> = builder.build().unwrap();
        let key = LooksOnDrop(1, Some(cache.clone()));
        assert!(cache.try_get_with(&key, || Err::<u64, _>("down")).is_err());
        hand.advance(Duration::from_secs(11));
        cache.insert(LooksOnDrop(2, None), 2);
        // By a key that does not hold the cache in which it stays.
        assert!(cache.try_get_with(&LooksOnDrop(1, None), || Ok::<_, ()>(1)).is_ok(), "the failure is forgotten");
    });
}

/// The next waker that is dropped panics.
static DROP_PANICS: AtomicBool = AtomicBool::new(false);

/// A waker that panics when it is to wake, and when it is dropped if the test says so.
const SPITEFUL: RawWakerVTable = RawWakerVTable::new(
    |_| RawWaker::new(ptr::null(), &SPITEFUL),
    |_| planned(),
    |_| {},
    |_| {
        if DROP_PANICS.swap(false, SeqCst) {
            planned();
        }
    },
);

#[test]
fn a_waker_that_panics_when_it_is_dropped_keeps_the_next_from_nothing() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::new(100);
        let Leased::Lease(lease) = cache.get_or_lease(&1, None) else { panic!("nobody else loads") };
        // SAFETY: it has no data.
        let waker = unsafe { Waker::from_raw(RawWaker::new(ptr::null(), &SPITEFUL)) };
        let mut first = Box::pin(cache.get_with_async(&1, async { 1 }));
        assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let mut second = Task::new(cache.get_with_async(&1, async { 2 }));
        second.pends();
        // The first is called, as well as he can be.
        drop(lease);
        DROP_PANICS.store(true, SeqCst);
        _ = survives(|| drop(first));
        DROP_PANICS.store(false, SeqCst);
        assert!(second.is_woken());
        assert_eq!(second.ends(), 2);
    });
}

/// Loads when its thread has ended, and tells what came of it.
struct LoadsAtTheEnd(Cache<u64, u64>, Sender<u64>);

impl Drop for LoadsAtTheEnd {
    fn drop(&mut self) {
        let LoadsAtTheEnd(cache, tell) = self;
        _ = tell.send(cache.get_with(&1, || 2));
        _ = tell.send(cache.get_with(&3, || cache.get_with(&4, || 5)));
        let again = cache.try_get_with(&6, || cache.try_get_with(&6, || Ok::<_, ()>(7)).map_err(|_| ()));
        _ = tell.send(u64::from(again.is_err()));
    }
}

thread_local! {
    static AT_THE_END: RefCell<Option<LoadsAtTheEnd>> = const { RefCell::new(None) };
}

#[test]
fn calls_from_a_thread_that_is_torn_down_wait_load_and_are_told_of_rings() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::new(100);
        let Leased::Lease(lease) = cache.get_or_lease(&1, None) else { panic!("nobody else loads") };
        let (tell, told) = channel();
        let inner = cache.clone();
        let ending = thread::spawn(move || {
            AT_THE_END.set(Some(LoadsAtTheEnd(inner.clone(), tell)));
            // What the crate keeps for a thread is made after it, and gone before it.
            inner.get_with(&9, || 9);
        });
        while cache.stats().waits == 0 {
            thread::yield_now();
        }
        lease.fill(1).unwrap();
        // The last is: refused.
        assert_eq!(told.iter().take(3).collect::<Vec<_>>(), [1, 5, 1]);
        ending.join().unwrap();
    });
}
