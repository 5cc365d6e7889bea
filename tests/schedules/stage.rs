//! What scenes are made of: small caches in which everything meets, threads that play at once, a source of truth, and what must hold when
//! all is over.

use std::future::Future;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::task::Poll;
use std::thread::panicking;

use brindle::Builder;
use brindle::Cache;
use brindle::Clock;
use brindle::Lease;
use brindle::Leased;
use shuttle::rand::Rng;
use shuttle::rand::thread_rng;
use shuttle::sync::atomic::AtomicU64;
use shuttle::sync::atomic::Ordering::SeqCst;
use shuttle::thread;

use super::common::Itself;

pub(crate) type Small<V = u64> = Cache<u64, V, Itself>;

/// Two keys of one bucket, and one of another stripe.
pub(crate) const KEY: u64 = 1;
pub(crate) const NEAR: u64 = 2;
pub(crate) const FAR: u64 = 1 << 48 | 3;

/// One whose hash ends in zeros, as the tags of free places do.
pub(crate) const ZERO: u64 = 1 << 8;

/// A cache of two stripes, whose time stands still.
pub(crate) fn small<V>(capacity: u64) -> Builder<u64, V, Itself> {
    Cache::builder().max_capacity(capacity).stripes(2).clock(Clock::mock().0).hasher(Itself)
}

/// The plainest of them.
pub(crate) fn plain(capacity: u64) -> Small {
    small(capacity).build().expect("it can be built")
}

/// The same, with one value for keys of two stripes.
pub(crate) fn pair(value: u64) -> Small {
    let cache = plain(4);
    [KEY, FAR].iter().for_each(|&key| _ = cache.insert(key, value));
    cache
}

/// The lease of a key that nobody loads.
pub(crate) fn lease<V: Clone>(cache: &Small<V>, key: u64) -> Lease<u64, V> {
    match cache.get_or_lease(&key, None) {
        Leased::Lease(lease) => lease,
        _ => unreachable!("nobody else loads"),
    }
}

/// Two threads.
pub(crate) fn both<A: Send, B: Send>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B + Send) -> (A, B) {
    thread::scope(|scope| {
        let (one, other) = (scope.spawn(one), scope.spawn(other));
        (joined(one), joined(other))
    })
}

/// Three threads.
pub(crate) fn three<A: Send, B: Send, C: Send>(
    one: impl FnOnce() -> A + Send,
    two: impl FnOnce() -> B + Send,
    three: impl FnOnce() -> C + Send,
) -> (A, B, C) {
    thread::scope(|scope| {
        let (one, two, three) = (scope.spawn(one), scope.spawn(two), scope.spawn(three));
        (joined(one), joined(two), joined(three))
    })
}

/// So many threads that do the same, each with its number.
pub(crate) fn each<T: Send>(threads: u64, work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..threads).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().map(joined).collect()
    })
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// One of these, as the schedule will have it.
pub(crate) fn one_of<T>(choices: &[T]) -> &T {
    &choices[thread_rng().gen_range(0..choices.len())]
}

/// What caches are filled from. Its state is a number that only rises.
pub(crate) struct Source(AtomicU64);

impl Source {
    pub(crate) fn new(state: u64) -> Self {
        Source(AtomicU64::new(state))
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(SeqCst)
    }

    /// Slow: others may do something before the caller has what was read.
    pub(crate) fn read_slowly(&self) -> u64 {
        let state = self.read();
        thread::yield_now();
        state
    }

    pub(crate) fn write(&self, state: u64) {
        self.0.store(state, SeqCst);
    }

    /// A new state.
    pub(crate) fn advance(&self) -> u64 {
        self.0.fetch_add(1, SeqCst) + 1
    }
}

/// How many are in it at once, and were in all: of loaders, of sinks. Only one may be in it at a time.
pub(crate) struct Room {
    inside: AtomicU64,
    entered: AtomicU64,
    crowded: AtomicBool,
}

impl Room {
    pub(crate) fn new() -> Self {
        Room { inside: AtomicU64::new(0), entered: AtomicU64::new(0), crowded: false.into() }
    }

    pub(crate) fn enter(&self) -> Inside<'_> {
        if self.inside.fetch_add(1, SeqCst) > 0 {
            self.crowded.store(true, SeqCst);
        }
        self.entered.fetch_add(1, SeqCst);
        Inside(self)
    }

    /// Does something inside.
    pub(crate) fn alone<T>(&self, work: impl FnOnce() -> T) -> T {
        let _inside = self.enter();
        work()
    }

    /// How many have entered.
    pub(crate) fn entered(&self) -> u64 {
        self.entered.load(SeqCst)
    }
}

impl Drop for Room {
    /// Not when it happens: there, in the middle of the cache's work, a panic may be caught.
    fn drop(&mut self) {
        assert!(panicking() || !*self.crowded.get_mut(), "two were in it at once");
    }
}

/// Until it leaves.
pub(crate) struct Inside<'a>(&'a Room);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, SeqCst);
    }
}

/// A panic that no hook hears of, and nobody but the caller.
pub(crate) fn falter<T>() -> T {
    resume_unwind(Box::new("faltered"))
}

/// Did it falter?
pub(crate) fn falters<T>(work: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(work)).is_err()
}

/// Polls a future so many times at most, each after a wake, then drops it.
pub(crate) async fn patiently<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut left) = (pin!(future), polls);
    poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// What must hold of a cache that nobody uses: no load is left over, the sums are right, and it is not too full.
pub(crate) fn check_idle<V>(cache: &Small<V>) {
    let stats = cache.stats();
    assert_eq!(stats.flights, 0, "a load was left over");
    assert_eq!(stats.len, cache.len());
    assert_eq!(cache.iter().count(), cache.len(), "the table and the count differ");
    assert!(cache.weight() <= cache.capacity(), "too full: {} of {}", cache.weight(), cache.capacity());
}
