//! The choices of a cache: gathered, checked, then built. No behaviour of its own.

use std::fmt;
use std::hash::BuildHasher;
use std::hash::Hash;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use crate::cache::Cache;
use crate::config::StripeConfig;
use crate::config::expected_entries;
use crate::core::Core;
use crate::core::Listener;
use crate::core::Measure;
use crate::core::Settings;
use crate::entry::Removed;
use crate::error::BuildError;
use crate::expiry::Expiry;
use crate::rule::tombstone::EqualSource;
use crate::rule::tombstone::Ordering;
use crate::rule::tombstone::WhenForgotten;
use crate::table::MOST_STRIPES;
use crate::time::Clock;

/// A stripe evicts for itself, and needs so many entries to do it well.
const ENTRIES_PER_STRIPE: u64 = 256;
/// Stripes for each core, so that writers seldom meet.
const STRIPES_PER_CORE: usize = 4;
/// Tombstones of the whole cache, unless the builder says otherwise.
const TOMBSTONES: usize = 65_536;
/// How long a write may lag, unless the builder says otherwise.
const TOMBSTONE_TTL: Duration = Duration::from_secs(60);

/// The choices of a [`Cache`], from [`Cache::builder`]. What is not chosen has the default that its method names.
///
/// ```
/// use std::time::Duration;
/// use brindle::Cache;
///
/// let cache: Cache<u64, String> = Cache::builder()
///     .max_capacity(1_000_000)
///     .weigher(|_key, value: &String| value.len() as u64)
///     .time_to_live(Duration::from_secs(600))
///     .build()?;
/// cache.insert(1, "one".into());
/// assert_eq!(cache.weight(), 3);
/// # Ok::<(), brindle::BuildError>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct Builder<K, V, S = ahash::RandomState> {
    name: Option<String>,
    capacity: u64,
    weigher: Option<Measure<K, V>>,
    versioned_by: Option<Measure<K, V>>,
    time_to_live: Option<Duration>,
    time_to_idle: Option<Duration>,
    expiry: Option<Box<dyn Expiry<K, V>>>,
    listener: Option<Listener<K, V>>,
    clock: Clock,
    load_timeout: Option<Duration>,
    negative_ttl: Option<Duration>,
    stripes: Option<usize>,
    ordering: Ordering,
    equal: EqualSource,
    when_forgotten: WhenForgotten,
    tombstones: usize,
    tombstone_ttl: Duration,
    hasher: S,
    _pair: PhantomData<fn(K, V)>,
}

impl<K, V> Builder<K, V> {
    pub(crate) fn new() -> Self {
        Builder {
            name: None,
            capacity: u64::MAX,
            weigher: None,
            versioned_by: None,
            time_to_live: None,
            time_to_idle: None,
            expiry: None,
            listener: None,
            clock: Clock::default(),
            load_timeout: None,
            negative_ttl: None,
            stripes: None,
            ordering: Ordering::default(),
            equal: EqualSource::default(),
            when_forgotten: WhenForgotten::default(),
            tombstones: TOMBSTONES,
            tombstone_ttl: TOMBSTONE_TTL,
            hasher: ahash::RandomState::new(),
            _pair: PhantomData,
        }
    }
}

impl<K, V, S> Builder<K, V, S> {
    /// What the cache may weigh in all: entries, unless a [`weigher`](Self::weigher) says otherwise. Zero keeps nothing (but what weighs
    /// nothing). Default: no bound. Values above 2^56 count as 2^56.
    pub fn max_capacity(mut self, capacity: u64) -> Self {
        self.capacity = capacity;
        self
    }

    /// What an entry weighs, asked once for each write, on the writing thread, under no lock. An entry of weight zero is never evicted; one heavier
    /// than the capacity does not stay (see [`Cache::insert`]). What it panics with reaches the writer, and nothing has changed.
    /// Default: every entry weighs 1.
    pub fn weigher(mut self, weigher: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        self.weigher = Some(Box::new(weigher));
        self
    }

    /// How long a value is served after it was written. Zero: not at all. Default: as long as there is room.
    pub fn time_to_live(mut self, ttl: Duration) -> Self {
        self.time_to_live = Some(ttl);
        self
    }

    /// How long a value is served after it was last written or read. A read moves the deadline when it is late by a 256th of this time
    /// or more, so an entry may expire that much early. Default: as long as there is room.
    pub fn time_to_idle(mut self, tti: Duration) -> Self {
        self.time_to_idle = Some(tti);
        self
    }

    /// A time to live for each entry, decided by the entry. Where [`time_to_live`](Self::time_to_live) is set too, the earlier deadline
    /// counts. Default: none.
    pub fn expire_after(mut self, expiry: impl Expiry<K, V> + 'static) -> Self {
        self.expiry = Some(Box::new(expiry));
        self
    }

    /// Who hears of every value that leaves: exactly once, with its cause, in version order for each key, under no lock. It runs on a
    /// thread whose call took something out, or on one that is telling others of that stripe already; so it may call the cache, and
    /// should be quick: notices wait while it runs. A panic of it is counted in [`Stats`](crate::Stats) and goes no further. Values
    /// that are left when the cache is dropped are not told of. Default: nobody.
    pub fn removal_listener(mut self, listener: impl Fn(Removed<K, V>) + Send + Sync + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// A name, for people: see [`Cache::name`]. Default: none.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How many parts with a lock of their own the table has; rounded up to a power of two. More let more writers in at once; each
    /// evicts for itself, and best with 256 entries or more. Default: four for each core, fewer for a small cache.
    pub fn stripes(mut self, stripes: usize) -> Self {
        self.stripes = Some(stripes);
        self
    }

    /// How keys are hashed. A hasher that spreads badly costs speed, never correctness. Default: `ahash`, seeded at random.
    pub fn hasher<T: BuildHasher>(self, hasher: T) -> Builder<K, V, T> {
        let Builder { name, capacity, weigher, versioned_by, time_to_live, time_to_idle, expiry, listener, clock, .. } = self;
        let Builder {
            load_timeout,
            negative_ttl,
            stripes,
            ordering,
            equal,
            when_forgotten,
            tombstones,
            tombstone_ttl,
            _pair,
            ..
        } = self;
        Builder {
            name,
            capacity,
            weigher,
            versioned_by,
            time_to_live,
            time_to_idle,
            expiry,
            listener,
            clock,
            load_timeout,
            negative_ttl,
            stripes,
            ordering,
            equal,
            when_forgotten,
            tombstones,
            tombstone_ttl,
            hasher,
            _pair,
        }
    }

    /// Where ordinary writes find their source version: in the value. An ordinary write is then what
    /// [`insert_at`](Cache::insert_at) is; one that is not newer is refused, counted, and answered with the version that is known.
    /// Runs under no lock. Default: ordinary writes have none.
    pub fn versioned_by(mut self, source: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        self.versioned_by = Some(Box::new(source));
        self
    }

    /// How source versions of different keys relate. Default: [`Ordering::PerKey`].
    pub fn ordering(mut self, ordering: Ordering) -> Self {
        self.ordering = ordering;
        self
    }

    /// Whether a write of the source version that is there already replaces it. Default: [`EqualSource::Refuse`].
    pub fn equal_source(mut self, equal: EqualSource) -> Self {
        self.equal = equal;
        self
    }

    /// What becomes of source-versioned writes to absent keys while a tombstone is missing. Default: [`WhenForgotten::Refuse`].
    pub fn when_forgotten(mut self, choice: WhenForgotten) -> Self {
        self.when_forgotten = choice;
        self
    }

    /// How many tombstones the whole cache may keep; each takes some 50 bytes, and only source-versioned entries leave one. Zero keeps
    /// none, and is as careful as that must be. Default: 65,536.
    pub fn tombstone_capacity(mut self, tombstones: usize) -> Self {
        self.tombstones = tombstones;
        self
    }

    /// How long a tombstone is kept: the longest lag of a late write that is sure to be refused under [`Ordering::PerKey`]. Default: a
    /// minute.
    pub fn tombstone_ttl(mut self, ttl: Duration) -> Self {
        self.tombstone_ttl = ttl;
        self
    }

    /// What time it is. Default: the system's monotonic time. Nobody asks it in a cache in which nothing depends on time.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How long a load may take. When it takes longer, what it brings is not stored, and a waiter, or the next caller, loads in its stead: so
    /// a loader that hangs, or a [`Lease`](crate::Lease) that was leaked, does not hold its key for ever. Choose it longer than any load that is well;
    /// one that always takes longer never fills the cache. Measured by the cache's [clock](Self::clock). Tasks that wait are woken by
    /// tokio's timers (with the feature `tokio`, inside its runtime), else by those of a small crate that starts one thread when the first of them
    /// waits. Zero: no load is in time. Default: as long as it takes.
    pub fn load_timeout(mut self, timeout: Duration) -> Self {
        self.load_timeout = Some(timeout);
        self
    }

    /// For how long a failed load is the answer to those who come later: they get its error, and nobody loads. It keeps a storm of calls
    /// from a source that is down. A write, removal or invalidation of the key ends it, and calls that cannot fail load all the same.
    /// Remembered are at most 1,024 errors a stripe. Default: the next call loads again.
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = Some(ttl);
        self
    }

    /// Builds the cache. Allocates little: memory comes with the entries.
    ///
    /// # Errors
    /// [`BuildError`] for zero stripes, and for more than 65,536.
    pub fn build(self) -> Result<Cache<K, V, S>, BuildError>
    where
        K: Hash + Eq,
        S: BuildHasher,
    {
        let stripes = self.stripe_count()?;
        let weighted = self.weigher.is_some();
        let config = StripeConfig {
            ordering: self.ordering,
            equal: self.equal,
            when_forgotten: self.when_forgotten,
            tombstones: self.tombstones.div_ceil(stripes),
            tombstone_ttl: self.tombstone_ttl,
            told: self.listener.is_some(),
            weighted,
            expected: expected_entries(self.capacity, stripes, weighted),
        };
        let settings = Settings {
            name: self.name,
            capacity: self.capacity,
            weigher: self.weigher,
            versioned_by: self.versioned_by,
            time_to_live: self.time_to_live,
            time_to_idle: self.time_to_idle,
            expiry: self.expiry,
            listener: self.listener,
            clock: self.clock,
            load_timeout: self.load_timeout,
            negative_ttl: self.negative_ttl,
        };
        let seed = self.hasher.hash_one(stripes);
        Ok(Cache::from_core(Arc::new(Core::new(settings, stripes, &config, seed)), self.hasher))
    }

    fn stripe_count(&self) -> Result<usize, BuildError> {
        match self.stripes {
            Some(0) => Err(BuildError::NoStripes),
            Some(stripes) if stripes > MOST_STRIPES => Err(BuildError::TooManyStripes(MOST_STRIPES)),
            Some(stripes) => Ok(stripes.next_power_of_two()),
            None => Ok(self.default_stripes()),
        }
    }

    fn default_stripes(&self) -> usize {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let wanted = (cores * STRIPES_PER_CORE).next_power_of_two().min(MOST_STRIPES);
        let enough = (self.capacity / ENTRIES_PER_STRIPE).clamp(1, wanted as u64);
        1 << enough.ilog2()
    }
}

impl<K, V, S> fmt::Debug for Builder<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("max_capacity", &self.capacity)
            .field("stripes", &self.stripes)
            .finish_non_exhaustive()
    }
}
