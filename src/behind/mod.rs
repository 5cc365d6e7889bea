//! Writes that the cache has at once and the source of truth later, in batches. The `desk` knows what is pending and whose turn it is to
//! drive the sink; the two faces, `blocking` and `tasks`, drive and wait in their own way. In the cache a pending entry is held
//! (`core::hold`).

mod backlog;
mod blocking;
mod builder;
mod desk;
mod error;
mod inside;
mod sink;
mod tasks;

use std::fmt;
use std::hash::BuildHasher;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::panic::RefUnwindSafe;
use std::panic::UnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::Cache;
use crate::core::Unheld;
use crate::core::Why;
use crate::rule::version::Version;
use crate::unwind::Panic;
use crate::unwind::keep_first;
use crate::unwind::resume;

use self::builder::Choices;
pub use self::builder::WriteBehindBuilder;
use self::desk::After;
use self::desk::Desk;
use self::desk::Goal;
use self::desk::Refusal;
use self::desk::Turn;
pub use self::error::SinkError;
pub use self::error::Unwritten;
pub use self::error::WhyUnwritten;
pub use self::sink::AsyncSink;
pub use self::sink::Pending;
pub use self::sink::Sink;

/// **What was written and not yet flushed is lost when the process dies**: a value is in the cache when [`insert`](Self::insert) returns, and
/// reaches the source of truth, by way of a [`Sink`] or an [`AsyncSink`], later. A handle: cloning it is cheap, and all clones are one.
///
/// There is no thread behind it. The sink is driven, one batch at a time, by whoever calls [`flush`](Self::flush) or [`close`](Self::close), by an
/// `insert` that finds no room, and by [`run`](Self::run), a loop for a thread of yours; each has its `_async` counterpart for tasks.
///
/// - Of each key only the newest value is written; the versions of one key that reach the sink only rise.
/// - A value that was acknowledged (the insert returned `Ok`) is [pending](Self::pending) until the sink has written it. A batch
///   that fails is written again, after a [growing pause](WriteBehindBuilder::backoff); so is one whose sink panicked, or whose driver's future was dropped. So
///   each value is written at least once, and while the sink hangs nothing is lost, but everybody who needs it waits.
/// - While a value is pending, its entry is neither evicted nor does it expire, and no load replaces it: reads find it. Its time to live counts from
///   the write all the same, its time to idle from when it was written to the sink.
/// - What is pending is bounded: by a [number of keys](WriteBehindBuilder::capacity), and by the capacity of the cache, in which it
///   counts. Where the cache's capacity is lowered below the weight of what is pending, the cache is over its capacity until that is written.
///   Of several over one cache each counts its own alone: together they may hold more than it has room for.
///
/// Write the keys of a write-behind through it alone. A value that is replaced, removed or invalidated in the cache by other ways while it is pending is
/// still written; until then a load brings what the source has, which is older. What came into its place by then leaves the cache when it is
/// written, unless its source version is newer than the one that the written value [has itself](crate::Builder::versioned_by). There is no
/// removal: write a value that says so, an `Option` for example.
///
/// Close it before you drop the last handle. What is pending then is not written any more; it stays in the cache as any other entry.
///
/// ```
/// use brindle::{Cache, Pending, WriteBehind};
/// use std::sync::Mutex;
///
/// let rows = Mutex::new(Vec::new());
/// let cache: Cache<u64, &'static str> = Cache::new(100);
/// let behind = WriteBehind::builder(cache.clone(), |batch: &[Pending<u64, &'static str>]| {
///     rows.lock().unwrap().extend(batch.iter().map(|item| (*item.key(), *item.value())));
///     Ok::<_, std::convert::Infallible>(())
/// })
/// .build();
///
/// behind.insert(1, "one")?;
/// behind.insert(1, "uno")?;
/// assert_eq!(cache.get(&1), Some("uno"));
/// assert_eq!(behind.len(), 1);
/// behind.close()?;
/// assert_eq!(*rows.lock().unwrap(), [(1, "uno")]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WriteBehind<K, V, S, W> {
    inner: Arc<Inner<K, V, S, W>>,
}

struct Inner<K, V, S, W> {
    cache: Cache<K, V, S>,
    sink: W,
    choices: Choices,
    desk: Desk<K, V>,
}

impl<K, V, S, W> Drop for Inner<K, V, S, W> {
    /// Nobody can write what is left: it must not stay for ever.
    fn drop(&mut self) {
        let release = |(hash, entry)| catch_unwind(AssertUnwindSafe(|| self.cache.core().release(hash, &entry)));
        let mut panic = None;
        self.desk.drain().into_iter().for_each(|left| keep_first(&mut panic, release(left)));
        resume(panic.map_or(Ok(()), Err));
    }
}

impl<K, V, S, W> Clone for WriteBehind<K, V, S, W> {
    fn clone(&self) -> Self {
        WriteBehind { inner: Arc::clone(&self.inner) }
    }
}

// A panic of the user's code leaves it whole, as it does the cache.
impl<K, V, S: RefUnwindSafe, W: RefUnwindSafe> UnwindSafe for WriteBehind<K, V, S, W> {}
impl<K, V, S: RefUnwindSafe, W: RefUnwindSafe> RefUnwindSafe for WriteBehind<K, V, S, W> {}

impl<K, V, S, W> WriteBehind<K, V, S, W> {
    /// Starts to choose. `sink` is a [`Sink`], an [`AsyncSink`], or both.
    ///
    /// ```
    /// use brindle::{Cache, Pending, WriteBehind};
    /// use std::time::Duration;
    /// let cache: Cache<u64, u64> = Cache::new(100);
    /// let sink = |_: &[Pending<u64, u64>]| Ok::<_, std::io::Error>(());
    /// let behind = WriteBehind::builder(cache, sink)
    ///     .capacity(50)
    ///     .backoff(Duration::from_millis(10), Duration::from_secs(1))
    ///     .build();
    /// # assert!(behind.is_empty());
    /// ```
    pub fn builder(cache: Cache<K, V, S>, sink: W) -> WriteBehindBuilder<K, V, S, W> {
        WriteBehindBuilder::new(cache, sink)
    }

    fn new(cache: Cache<K, V, S>, sink: W, choices: Choices) -> Self {
        WriteBehind { inner: Arc::new(Inner { cache, sink, choices, desk: Desk::new(choices.capacity) }) }
    }

    /// The cache that is written to.
    #[must_use]
    pub fn cache(&self) -> &Cache<K, V, S> {
        &self.inner.cache
    }

    /// The sink that writes.
    #[must_use]
    pub fn sink(&self) -> &W {
        &self.inner.sink
    }

    /// What was acknowledged and is not yet written, what the sink is at included: the newest value of each key, in the order in which they
    /// are to be written. Holds up writers for as long as it takes to list them.
    ///
    /// ```
    /// # use brindle::{Cache, Pending, WriteBehind};
    /// # let sink = |_: &[Pending<u64, &str>]| Ok::<_, std::io::Error>(());
    /// let behind = WriteBehind::builder(Cache::new(100), sink).build();
    /// behind.insert(1, "one").unwrap();
    /// let pending = behind.pending();
    /// assert_eq!((pending[0].key(), pending[0].value()), (&1, &"one"));
    /// ```
    #[must_use]
    pub fn pending(&self) -> Vec<Pending<K, V>> {
        self.inner.desk.pending()
    }

    /// How many keys are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.desk.len()
    }

    /// Is everything written?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Was it closed?
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.desk.is_closed()
    }
}

impl<K: Hash + Eq, V, S: BuildHasher, W> WriteBehind<K, V, S, W> {
    /// As [`insert`](Self::insert), but never waits and never drives the sink. For sinks of both kinds.
    ///
    /// ```
    /// # use brindle::{Cache, Pending, WriteBehind, WhyUnwritten};
    /// # let sink = |_: &[Pending<u64, &str>]| Ok::<_, std::io::Error>(());
    /// let behind = WriteBehind::builder(Cache::new(100), sink).capacity(1).build();
    /// behind.try_insert(1, "one").unwrap();
    /// behind.try_insert(1, "uno").unwrap();
    /// let refused = behind.try_insert(2, "two").unwrap_err();
    /// assert!(matches!(refused.why, WhyUnwritten::Full));
    /// assert_eq!(refused.value, "two");
    /// ```
    ///
    /// # Errors
    /// [`Unwritten`] with the pair: there is no room, and otherwise as `insert`.
    ///
    /// # Panics
    /// As [`Cache::insert`].
    pub fn try_insert(&self, key: K, value: V) -> Result<Version, Unwritten<K, V>> {
        let hash = self.inner.cache.hash(&key);
        self.put(hash, (key, value)).map_err(|(refusal, pair)| Unwritten::new(pair, refusal.why()))
    }

    /// Tries until the key is in the state for which the terms were worked out. A refused pair comes back.
    fn put(&self, hash: u64, mut pair: (K, V)) -> Result<Version, (Refusal, (K, V))> {
        let Inner { cache, desk, .. } = &*self.inner;
        loop {
            let terms = cache.core().terms_held(hash, &pair.0, &pair.1);
            let mut after = After::nothing();
            let put = cache.core().put_held(&terms, pair, |key| desk.gate(&terms, key, cache.capacity(), &mut after));
            let (unheld, back) = match put {
                Ok(version) => return Ok(version),
                Err(refused) => refused,
            };
            pair = back;
            let refusal = match unheld {
                Unheld::Shut(refusal) => refusal,
                Unheld::Refused(Why::Superseded(version)) => Refusal::Superseded(version),
                Unheld::Refused(Why::TooHeavy(weight)) => Refusal::TooHeavy { weight, capacity: cache.capacity() },
                Unheld::Refused(Why::Conflict(_)) | Unheld::Changed => continue,
            };
            return Err((refusal, pair));
        }
    }

    /// What has to come before a pair that found no room is tried again.
    fn room<'a>(&self, hash: u64, key: &'a K, weight: u64) -> Goal<'a, K> {
        Goal::Room { hash, key, weight, most_weight: self.inner.cache.capacity() }
    }
}

impl<K: Eq, V, S, W> WriteBehind<K, V, S, W> {
    /// What one try to write the turn's batch has come to: nothing more to do, a pause before the next try, or the error of the last.
    fn settle<E: Send + Sync + 'static>(
        &self,
        turn: &mut Turn<'_, K, V>,
        attempt: Result<Result<(), E>, Panic>,
        pauses: &mut impl Iterator<Item = Duration>,
    ) -> Result<Option<Duration>, SinkError<E>> {
        // Values are dropped and listeners told before the turn is over: who calls from there must not wait for it.
        let _inside = self.inner.desk.enter();
        let Err(error) = SinkError::of(attempt) else {
            self.written(turn);
            return Ok(None);
        };
        turn.give_back();
        match pauses.next() {
            Some(pause) => Ok(Some(pause)),
            None => {
                turn.fail(error.share());
                Err(error)
            }
        }
    }

    /// The sink has the turn's batch. What user code panics with goes on when all is done.
    fn written(&self, turn: &mut Turn<'_, K, V>) {
        let mut panic = None;
        for (hash, entry) in turn.entries() {
            let told = catch_unwind(AssertUnwindSafe(|| self.inner.cache.core().written(hash, entry)));
            keep_first(&mut panic, told);
        }
        keep_first(&mut panic, catch_unwind(AssertUnwindSafe(|| turn.landed())));
        resume(panic.map_or(Ok(()), Err));
    }
}

impl<K, V, S, W> fmt::Debug for WriteBehind<K, V, S, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBehind")
            .field("cache", self.cache())
            .field("pending", &self.len())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
