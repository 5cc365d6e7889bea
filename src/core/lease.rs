//! The right to fill a key: fill it, fail, or drop it, and a waiter takes over.

use std::fmt;
use std::sync::Arc;

use crate::error::Unfilled;
use crate::failure::Failure;
use crate::flight::Token;
use crate::lineage::Frame;
use crate::loaded::Loaded;
use crate::rule::version::Version;
use crate::sync::Broken;
use crate::sync::Ordering;
use crate::sync::is_broken;
use crate::table::Flight;

use super::Core;
use super::publish::Unstored;

/// The right to fill one key, from [`get_or_lease`](crate::Cache::get_or_lease). Nobody else loads the key while it lives: they wait
/// for it.
///
/// It ends by [`fill`](Self::fill), [`fail`](Self::fail), or by being dropped: then the next in line takes over. Any write or invalidation of
/// the key fences it: what it brings is not stored then. So does its age, where the cache has a
/// [`load_timeout`](crate::Builder::load_timeout), and then others load the key without waiting for it any longer. One that is leaked
/// in a cache without a `load_timeout` keeps those who load the key waiting until somebody writes it; once the key was invalidated, those
/// who come later do not wait for it, and those who wait already go on waiting.
///
/// It may be sent to another thread. While you hold it, a load of the same key waits for you: do not make one yourself.
///
/// ```
/// use brindle::Leased;
/// let cache = brindle::Cache::new(100);
/// match cache.get_or_lease("k", None) {
///     Leased::Value(value) => println!("{value}"),
///     Leased::Lease(lease) => { lease.fill(1).unwrap(); }
///     _ => unreachable!("nobody else loads"),
/// }
/// assert_eq!(cache.get("k"), Some(1));
/// # let _: brindle::Cache<String, i32> = cache;
/// ```
#[must_use = "whoever wants the key waits for it"]
pub struct Lease<K, V> {
    core: Arc<Core<K, V>>,
    hash: u64,
    /// `None` when the lease has ended.
    flight: Option<Arc<Flight<K, V>>>,
    token: Token,
    /// When the loader was started; 0 where nobody wants to know how long it takes.
    begun: u64,
}

/// A lease has its flight until it ends, and then nobody asks.
const OPEN: &str = "the lease has not ended";

impl<K, V> Lease<K, V> {
    pub(super) fn new(core: &Arc<Core<K, V>>, hash: u64, flight: Arc<Flight<K, V>>, token: Token) -> Self {
        core.tally.loads.fetch_add(1, Ordering::Relaxed);
        Lease { core: Arc::clone(core), hash, flight: Some(flight), token, begun: 0 }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn token(&self) -> Token {
        self.token
    }

    pub(super) fn flight(&self) -> &Arc<Flight<K, V>> {
        self.flight.as_ref().expect(OPEN)
    }

    /// Whoever ends it answers for those who wait.
    pub(super) fn end(&mut self) -> (Arc<Flight<K, V>>, Token) {
        (self.flight.take().expect(OPEN), self.token)
    }

    /// Ends it where nobody waits and the table has let go of it, and gives the key.
    pub(super) fn end_alone(&mut self) -> K {
        let (flight, _) = self.end();
        Arc::into_inner(flight).expect("nobody else knows it").into_subject()
    }

    /// The loader is about to be started.
    pub(crate) fn begin(mut self) -> Self {
        if self.core.times_loads() {
            self.begun = self.core.settings.clock.now();
        }
        self
    }

    /// How long the loader took that is done now, in nanoseconds; 0 where nobody wants to know.
    fn took(&self) -> u64 {
        if !self.core.times_loads() {
            return 0;
        }
        let took = self.core.settings.clock.now().saturating_sub(self.begun);
        #[cfg(feature = "load-times")]
        self.core.load_times.record(took);
        took
    }

    /// While the frame lives, this thread runs the loader.
    pub(crate) fn enter(&self) -> Frame {
        Frame::enter(self.token)
    }

    /// The key that it is for.
    #[must_use]
    pub fn key(&self) -> &K {
        &self.flight().subject
    }

    /// Would a value be stored? Not if the key was written or invalidated since the lease was given, nor if it is overdue. Takes the
    /// stripe's lock for a moment.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let time = self.core.lease_time();
        let locked = self.core.table.stripe_number(self.core.table.stripe_of(self.hash)).lock();
        locked.is_open(self.hash, self.flight()) && self.flight().is_led_by(self.token, time.now)
    }

    /// The load has failed: all who wait get this error, as far as theirs is of the same type, and nothing is stored. With a
    /// [`negative_ttl`](crate::Builder::negative_ttl) those who come soon get it too.
    pub fn fail<E: Send + Sync + 'static>(self, error: E) {
        self.fail_with(Failure::of(error));
    }

    pub(crate) fn fail_with(mut self, failure: Failure) {
        self.took();
        // Before the lease is ended, as the clock is the user's.
        let backoff = self.core.backoff();
        let (flight, token) = self.end();
        self.core.fail(self.hash, flight, token, failure, backoff);
    }
}

impl<K: Eq + Clone, V: Clone> Lease<K, V> {
    /// Stores the value, unless the lease has been fenced or is overdue, and gives it to all who wait. One stripe's lock, held for the
    /// transition; the key is cloned if somebody waits.
    ///
    /// ```
    /// use brindle::{Leased, WhyUnfilled};
    /// let cache = brindle::Cache::new(100);
    /// let Leased::Lease(lease) = cache.get_or_lease(&1, None) else { unreachable!() };
    /// cache.insert(1, "newer");
    /// let unfilled = lease.fill("what the source said before").unwrap_err();
    /// assert_eq!(unfilled.why, WhyUnfilled::Fenced);
    /// assert_eq!(cache.get(&1), Some("newer"));
    /// ```
    ///
    /// # Errors
    /// [`Unfilled`] with the value and the reason. Those who waited before a fence have got it, or the newer value that is there.
    ///
    /// # Panics
    /// As [`Cache::insert`](crate::Cache::insert).
    pub fn fill(self, value: V) -> Result<Version, Unfilled<V>> {
        self.fill_loaded(Loaded::new(value))
    }

    /// As [`fill`](Self::fill), with what the source says of the value.
    ///
    /// # Errors
    /// As `fill`; also if the value's source version is older than what is known of the key.
    ///
    /// # Panics
    /// As [`Cache::insert`](crate::Cache::insert).
    pub fn fill_loaded(self, loaded: Loaded<V>) -> Result<Version, Unfilled<V>> {
        self.publish(loaded).map_err(|unstored| {
            let Unstored { value, why, .. } = *unstored;
            Unfilled { value, why }
        })
    }

    pub(crate) fn publish(self, loaded: Loaded<V>) -> Result<Version, Box<Unstored<K, V>>> {
        let (core, took) = (Arc::clone(&self.core), self.took());
        core.publish(self, loaded, took)
    }
}

impl<K, V> Drop for Lease<K, V> {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take().filter(|_| !is_broken(Broken::DroppedLease)) {
            self.core.hand_over(self.hash, flight, self.token);
        }
    }
}

impl<K, V> fmt::Debug for Lease<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("token", &self.token).finish_non_exhaustive()
    }
}
