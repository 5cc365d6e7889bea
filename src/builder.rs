//! The choices of a cache: gathered, checked, then built. No behaviour of its own.

use std::fmt;
use std::hash::BuildHasher;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use crate::cache::Cache;
use crate::config::StripeConfig;
use crate::config::WhileWriting;
use crate::config::expected_entries;
use crate::core::Background;
use crate::core::Core;
use crate::core::Grouping;
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
use crate::time::deadline;

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
    choices: Choices<K, V>,
    hasher: S,
}

/// What is chosen, but for the hasher, which is a type of its own.
struct Choices<K, V> {
    name: Option<String>,
    capacity: u64,
    weigher: Option<Measure<K, V>>,
    versioned_by: Option<Measure<K, V>>,
    time_to_live: Option<Duration>,
    time_to_idle: Option<Duration>,
    expiry: Option<Box<dyn Expiry<K, V>>>,
    listener: Option<Listener<K, V>>,
    clock: Clock,
    grouping: Grouping<K, V>,
    while_writing: WhileWriting,
    load_timeout: Option<Duration>,
    negative_ttl: Option<Duration>,
    stale_for: Option<Duration>,
    fail_safe: bool,
    refresh_after: Option<Duration>,
    early_refresh: Option<f64>,
    background: Option<Background<K, V>>,
    stripes: Option<usize>,
    ordering: Ordering,
    equal: EqualSource,
    when_forgotten: WhenForgotten,
    tombstones: usize,
    tombstone_ttl: Duration,
}

impl<K, V> Builder<K, V> {
    pub(crate) fn new() -> Self {
        let choices = Choices {
            name: None,
            capacity: u64::MAX,
            weigher: None,
            versioned_by: None,
            time_to_live: None,
            time_to_idle: None,
            expiry: None,
            listener: None,
            clock: Clock::default(),
            grouping: Grouping::new(),
            while_writing: WhileWriting::default(),
            load_timeout: None,
            negative_ttl: None,
            stale_for: None,
            fail_safe: false,
            refresh_after: None,
            early_refresh: None,
            background: None,
            stripes: None,
            ordering: Ordering::default(),
            equal: EqualSource::default(),
            when_forgotten: WhenForgotten::default(),
            tombstones: TOMBSTONES,
            tombstone_ttl: TOMBSTONE_TTL,
        };
        Builder { choices, hasher: ahash::RandomState::new() }
    }
}

impl<K, V, S> Builder<K, V, S> {
    /// What the cache may weigh in all: entries, unless a [`weigher`](Self::weigher) says otherwise. Zero keeps nothing (but what weighs
    /// nothing). Default: no bound. Values above 2^56 count as 2^56.
    pub fn max_capacity(mut self, capacity: u64) -> Self {
        self.choices.capacity = capacity;
        self
    }

    /// What an entry weighs, asked of each value that is written, on the writing thread, under no lock (once, but again where the key
    /// changes meanwhile and [`Expiry`](crate::Expiry) wants to know). An entry of weight zero is never evicted; one heavier
    /// than the capacity does not stay (see [`Cache::insert`]). What it panics with reaches the writer, and nothing has changed.
    /// Default: every entry weighs 1.
    pub fn weigher(mut self, weigher: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        self.choices.weigher = Some(Box::new(weigher));
        self
    }

    /// How long a value is served after it was written. Zero: not at all. Default: as long as there is room.
    pub fn time_to_live(mut self, ttl: Duration) -> Self {
        self.choices.time_to_live = Some(ttl);
        self
    }

    /// How long a value is served after it was last written or read. A read moves the deadline when it is late by a 256th of this time
    /// or more, so an entry may expire that much early. Default: as long as there is room.
    pub fn time_to_idle(mut self, tti: Duration) -> Self {
        self.choices.time_to_idle = Some(tti);
        self
    }

    /// A time to live for each entry, decided by the entry. Where [`time_to_live`](Self::time_to_live) is set too, the earlier deadline
    /// counts. Default: none.
    pub fn expire_after(mut self, expiry: impl Expiry<K, V> + 'static) -> Self {
        self.choices.expiry = Some(Box::new(expiry));
        self
    }

    /// Who hears of every value that leaves: exactly once, with its cause, in version order for each key, under no lock. It runs on a
    /// thread whose call took something out, or on one that is telling others of that stripe already; so it may call the cache, and
    /// should be quick: notices wait while it runs, each with its value, and the cache keeps the room that they took for later entries. A
    /// panic of it is counted in [`Stats`](crate::Stats) and goes no further. Values that are left when the cache is dropped are not told
    /// of. Default: nobody.
    pub fn removal_listener(mut self, listener: impl Fn(Removed<K, V>) + Send + Sync + 'static) -> Self {
        self.choices.listener = Some(Box::new(listener));
        self
    }

    /// A name, for people: see [`Cache::name`]. Default: none.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.choices.name = Some(name.into());
        self
    }

    /// How many parts with a lock of their own the table has; rounded up to a power of two. More let more writers in at once; each
    /// evicts for itself, and best with 256 entries or more. Default: four for each core, fewer for a small cache.
    pub fn stripes(mut self, stripes: usize) -> Self {
        self.choices.stripes = Some(stripes);
        self
    }

    /// How keys are hashed. A hasher that spreads badly costs speed, never correctness. Default: `ahash`, seeded at random.
    pub fn hasher<T: BuildHasher>(self, hasher: T) -> Builder<K, V, T> {
        Builder { choices: self.choices, hasher }
    }

    /// Where ordinary writes find their source version: in the value. An ordinary write is then what
    /// [`insert_at`](Cache::insert_at) is; one that is not newer is refused, counted, and answered with the version that is known.
    /// Runs under no lock. Default: ordinary writes have none.
    pub fn versioned_by(mut self, source: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        self.choices.versioned_by = Some(Box::new(source));
        self
    }

    /// How source versions of different keys relate. Default: [`Ordering::PerKey`].
    pub fn ordering(mut self, ordering: Ordering) -> Self {
        self.choices.ordering = ordering;
        self
    }

    /// Whether a write of the source version that is there already replaces it. Default: [`EqualSource::Refuse`].
    pub fn equal_source(mut self, equal: EqualSource) -> Self {
        self.choices.equal = equal;
        self
    }

    /// What becomes of source-versioned writes to absent keys while a tombstone is missing. Default: [`WhenForgotten::Refuse`].
    pub fn when_forgotten(mut self, choice: WhenForgotten) -> Self {
        self.choices.when_forgotten = choice;
        self
    }

    /// How many tombstones the whole cache may keep; each takes some 50 bytes, and only source-versioned entries leave one. Zero keeps
    /// none, and is as careful as that must be. Default: 65,536.
    pub fn tombstone_capacity(mut self, tombstones: usize) -> Self {
        self.choices.tombstones = tombstones;
        self
    }

    /// How long a tombstone is kept: the longest lag of a late write that is sure to be refused under [`Ordering::PerKey`]. Default: a
    /// minute.
    pub fn tombstone_ttl(mut self, ttl: Duration) -> Self {
        self.choices.tombstone_ttl = ttl;
        self
    }

    /// The groups that a value belongs to, so that [`invalidate_group`](Cache::invalidate_group) can end all of one at once: the rows of a
    /// table, the pages of a user. Asked of each value that is written, loaded ones too, on the writing thread, under no lock (once, but again where
    /// the key changes meanwhile and [`Expiry`](crate::Expiry) wants to know); what it panics
    /// with reaches the writer, and nothing has changed. Groups of equal 64-bit hash are one. An entry in one or
    /// two groups takes some 80 bytes more, and 20 for each beyond, as long as it stays. Default: none.
    ///
    /// ```
    /// let cache = brindle::Cache::builder().group_by(|_id: &u32, (user, _page): &(u32, &str)| [*user]).build()?;
    /// cache.insert(1, (7, "inbox"));
    /// cache.insert(2, (7, "profile"));
    /// cache.insert(3, (8, "inbox"));
    /// assert_eq!(cache.invalidate_group(&7_u32), 2);
    /// assert_eq!(cache.len(), 1);
    /// # Ok::<(), brindle::BuildError>(())
    /// ```
    pub fn group_by<G, I>(mut self, groups: impl Fn(&K, &V) -> I + Send + Sync + 'static) -> Self
    where
        G: Hash,
        I: IntoIterator<Item = G>,
    {
        self.choices.grouping = self.choices.grouping.by(groups);
        self
    }

    /// What readers get of a key while it is written [through the cache](Cache::write_through). Default: [`WhileWriting::ServeOld`].
    pub fn while_writing(mut self, readers: WhileWriting) -> Self {
        self.choices.while_writing = readers;
        self
    }

    /// What time it is. Default: the system's monotonic time. Nobody asks it in a cache in which nothing depends on time.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.choices.clock = clock;
        self
    }

    /// How long a load may take. When it takes longer, what it brings is not stored, and a waiter, or the next caller, loads in its stead: so
    /// a loader that hangs, or a [`Lease`](crate::Lease) that was leaked, does not hold its key for ever. Choose it longer than any load that is well;
    /// one that always takes longer never fills the cache. Measured by the cache's [clock](Self::clock). Tasks that wait are woken by
    /// tokio's timers (with the feature `tokio`, inside its runtime), else by those of a small crate that starts one thread when the first of them
    /// waits (and keeps some 70 bytes for each that ever waited at one time). It holds for writes [through the cache](Cache::write_through)
    /// as well: one that takes longer leaves its key absent, and the next in line writes. Zero: no load is in time. Default: as long as it takes.
    pub fn load_timeout(mut self, timeout: Duration) -> Self {
        self.choices.load_timeout = Some(timeout);
        self
    }

    /// For how long a failed load is the answer to those who come later: they get its error, and nobody loads. It keeps a storm of calls
    /// from a source that is down. A write, removal or invalidation of the key ends it, and calls that cannot fail load all the same.
    /// Remembered are at most 1,024 errors a stripe. Default: the next call loads again.
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.choices.negative_ttl = Some(ttl);
        self
    }

    /// For how long after it has expired a value may still be served by the calls that load, while one of them loads it again: that one
    /// waits for its loader (or, with a [`spawner`](Self::spawner), for nobody), the others get the stale value at once. If the load fails, they
    /// go on to. A value that was overwritten, removed or invalidated is never served: it is wrong, not stale. Reads that do not load
    /// ([`get`](Cache::get) and the like) do not see stale values. They weigh what they weigh. Default: not at all.
    ///
    /// ```
    /// use std::time::Duration;
    /// let (clock, time) = brindle::Clock::mock();
    /// let cache = brindle::Cache::builder()
    ///     .time_to_live(Duration::from_secs(60))
    ///     .serve_stale(Duration::from_secs(30))
    ///     .fail_safe()
    ///     .clock(clock)
    ///     .build()?;
    /// cache.insert(1, "a minute old");
    /// time.advance(Duration::from_secs(61));
    /// assert_eq!(cache.get(&1), None);
    /// assert_eq!(cache.try_get_with(&1, || Err("source is down")), Ok("a minute old"));
    /// # Ok::<(), brindle::BuildError>(())
    /// ```
    pub fn serve_stale(mut self, after_expiry: Duration) -> Self {
        self.choices.stale_for = Some(after_expiry);
        self
    }

    /// A load that fails is answered with the stale value instead of the error, as long as [`serve_stale`](Self::serve_stale) allows.
    /// Default: whoever loads gets the error.
    pub fn fail_safe(mut self) -> Self {
        self.choices.fail_safe = true;
        self
    }

    /// How old a value becomes before one of the calls that load it loads it again, though it may be served still: that one waits for its
    /// loader (or, with a [`spawner`](Self::spawner), for nobody), the others get the present value at once. If the load fails, the present value
    /// is the answer. The moment lies up to a tenth of this time earlier, by chance, so that values written at once are not loaded at
    /// once. Default: never.
    pub fn refresh_after(mut self, age: Duration) -> Self {
        self.choices.refresh_after = Some(age);
        self
    }

    /// Loads a value again before its time is up ([`refresh_after`](Self::refresh_after), or its expiry), by chance: the more likely the nearer
    /// that is, the longer its load took, and the more often it is read. So of many callers of a hot key one loads it in time, and none
    /// finds it expired. `beta` scales how early: 1 is the published optimum, more is earlier. (Vattani, Chierichetti and Lowenstein, "Optimal
    /// Probabilistic Cache Stampede Prevention", 2015.) Values that were not loaded have no load time, and are not loaded early.
    /// Default: never early.
    pub fn early_refresh(mut self, beta: f64) -> Self {
        self.choices.early_refresh = Some(beta);
        self
    }

    pub(crate) fn background(mut self, background: Background<K, V>) -> Self {
        self.choices.background = Some(background);
        self
    }

    /// Builds the cache. Allocates little: memory comes with the entries.
    ///
    /// # Errors
    /// [`BuildError`] for zero stripes and for more than 65,536, for [`fail_safe`](Self::fail_safe) without
    /// [`serve_stale`](Self::serve_stale), and for an [`early_refresh`](Self::early_refresh) that is negative or no number.
    pub fn build(self) -> Result<Cache<K, V, S>, BuildError>
    where
        K: Hash + Eq,
        S: BuildHasher,
    {
        let stripes = self.stripe_count()?;
        self.check_freshness()?;
        let weighted = self.choices.weigher.is_some();
        let config = StripeConfig {
            ordering: self.choices.ordering,
            equal: self.choices.equal,
            when_forgotten: self.choices.when_forgotten,
            tombstones: self.choices.tombstones.div_ceil(stripes),
            tombstone_ttl: self.choices.tombstone_ttl,
            told: self.choices.listener.is_some(),
            weighted,
            stale_for: self.choices.stale_for.map_or(0, deadline::nanos),
            refreshing: self.choices.refresh_after.is_some() || self.choices.early_refresh.is_some(),
            expected: expected_entries(self.choices.capacity, stripes, weighted),
        };
        let settings = Settings {
            name: self.choices.name,
            capacity: self.choices.capacity,
            weigher: self.choices.weigher,
            versioned_by: self.choices.versioned_by,
            time_to_live: self.choices.time_to_live,
            time_to_idle: self.choices.time_to_idle,
            expiry: self.choices.expiry,
            listener: self.choices.listener,
            clock: self.choices.clock,
            grouping: self.choices.grouping,
            while_writing: self.choices.while_writing,
            load_timeout: self.choices.load_timeout,
            negative_ttl: self.choices.negative_ttl,
            stale_for: self.choices.stale_for,
            fail_safe: self.choices.fail_safe,
            refresh_after: self.choices.refresh_after,
            early_refresh: self.choices.early_refresh,
            background: self.choices.background,
        };
        let seed = self.hasher.hash_one(stripes);
        Ok(Cache::from_core(Arc::new(Core::new(settings, stripes, &config, seed)), self.hasher))
    }

    fn stripe_count(&self) -> Result<usize, BuildError> {
        match self.choices.stripes {
            Some(0) => Err(BuildError::NoStripes),
            Some(stripes) if stripes > MOST_STRIPES => Err(BuildError::TooManyStripes(MOST_STRIPES)),
            Some(stripes) => Ok(stripes.next_power_of_two()),
            None => Ok(self.default_stripes()),
        }
    }

    fn check_freshness(&self) -> Result<(), BuildError> {
        if self.choices.fail_safe && self.choices.stale_for.is_none() {
            return Err(BuildError::NothingStale);
        }
        match self.choices.early_refresh {
            Some(beta) if !(beta.is_finite() && beta >= 0.0) => Err(BuildError::EarlyRefresh),
            _ => Ok(()),
        }
    }

    fn default_stripes(&self) -> usize {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let wanted = (cores * STRIPES_PER_CORE).next_power_of_two().min(MOST_STRIPES);
        let enough = (self.choices.capacity / ENTRIES_PER_STRIPE).clamp(1, wanted as u64);
        1 << enough.ilog2()
    }
}

impl<K, V, S> fmt::Debug for Builder<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.choices.name)
            .field("max_capacity", &self.choices.capacity)
            .field("stripes", &self.choices.stripes)
            .finish_non_exhaustive()
    }
}
