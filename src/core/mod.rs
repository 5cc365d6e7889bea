//! Every operation of the cache as steps that never wait: make ready outside the lock (this is where user code runs), lock, one
//! transition, unlock, effects. `read` takes no lock at all; `room` keeps the weight below the capacity; `effects` is what happens after;
//! `load` gives whoever needs a value a `lease` to bring it, or a `seat` among those who wait for it; `writing` gives turns to write a key
//! through the cache. `transaction`, `group` and `snapshot` are about many keys.

mod compute;
mod effects;
mod fresh;
mod group;
#[cfg(feature = "write-behind")]
mod hold;
mod iter;
mod lease;
mod load;
#[cfg(feature = "load-times")]
mod load_times;
mod publish;
mod read;
mod remove;
mod room;
mod seat;
mod snapshot;
mod stats;
mod step;
mod tally;
mod transaction;
mod write;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use crate::config::MOST_WEIGHT;
use crate::config::StripeConfig;
use crate::config::WhileWriting;
use crate::entry::Removed;
use crate::expiry::Expiry;
use crate::policy::Arm;
use crate::policy::Steering;
use crate::sync::AtomicBool;
use crate::sync::AtomicU32;
use crate::sync::AtomicU64;
use crate::sync::Mutex;
use crate::sync::Ordering;
use crate::table::Table;
use crate::time::Clock;

pub use self::compute::Computed;
pub use self::compute::Op;
pub(crate) use self::fresh::Hit;
pub(crate) use self::group::Grouping;
#[cfg(feature = "write-behind")]
pub(crate) use self::hold::Unheld;
pub use self::iter::Iter;
pub use self::lease::Lease;
pub(crate) use self::load::Step;
pub(crate) use self::load::Wish;
#[cfg(feature = "load-times")]
pub use self::load_times::LoadTimes;
pub(crate) use self::seat::Came;
pub(crate) use self::seat::Seat;
pub use self::stats::Stats;
use self::tally::Tally;
pub(crate) use self::transaction::Change;
pub(crate) use self::write::Failure;
pub(crate) use self::write::How;
pub(crate) use self::write::Why;
pub(crate) use self::writing::Place;
pub(crate) use self::writing::Turn;
pub(crate) use self::writing::Writing;

/// What of a pair decides its weight or its source version.
pub(crate) type Measure<K, V> = Box<dyn Fn(&K, &V) -> u64 + Send + Sync>;
pub(crate) type Background<K, V> = Box<dyn Fn(Lease<K, V>) + Send + Sync>;
pub(crate) type Listener<K, V> = Box<dyn Fn(Removed<K, V>) + Send + Sync>;

/// The user's callbacks and the choices that no stripe needs.
pub(crate) struct Settings<K, V> {
    pub(crate) name: Option<String>,
    pub(crate) capacity: u64,
    pub(crate) weigher: Option<Measure<K, V>>,
    pub(crate) versioned_by: Option<Measure<K, V>>,
    pub(crate) time_to_live: Option<Duration>,
    pub(crate) time_to_idle: Option<Duration>,
    pub(crate) expiry: Option<Box<dyn Expiry<K, V>>>,
    pub(crate) listener: Option<Listener<K, V>>,
    pub(crate) clock: Clock,
    pub(crate) grouping: Grouping<K, V>,
    pub(crate) while_writing: WhileWriting,
    pub(crate) load_timeout: Option<Duration>,
    pub(crate) negative_ttl: Option<Duration>,
    /// For how long loads may serve what has expired.
    pub(crate) stale_for: Option<Duration>,
    pub(crate) fail_safe: bool,
    pub(crate) refresh_after: Option<Duration>,
    /// The factor of XFetch.
    pub(crate) early_refresh: Option<f64>,
    /// Loads without the caller.
    pub(crate) background: Option<Background<K, V>>,
}

/// The one core under every face. Shared by all handles of a cache.
pub(crate) struct Core<K, V> {
    pub(crate) table: Arc<Table<K, V>>,
    pub(crate) settings: Settings<K, V>,
    /// Which hits are sampled for the steering.
    sampler: AtomicU32,
    /// Whether a write that asks for nothing gets nothing: neither weight, nor time, nor source, nor group.
    plain: bool,
    /// Whether entries want to be loaded again before they end.
    refreshing: bool,
    /// Whether anything in the cache depends on time. Once it does, it stays so.
    timed: AtomicBool,
    line: Contended,
    listener_panics: AtomicU64,
    tally: Tally,
    #[cfg(feature = "load-times")]
    load_times: load_times::Recorder,
}

/// What writers change, on cache lines that hits do not read.
#[repr(align(128))]
struct Contended {
    /// Weight of everything resident.
    weight: AtomicU64,
    capacity: AtomicU64,
    /// The arm that every stripe evicts by.
    arm: AtomicU32,
    steering: Mutex<Steering>,
}

impl<K, V> Core<K, V> {
    pub(crate) fn new(settings: Settings<K, V>, stripes: usize, config: &StripeConfig, seed: u64) -> Self {
        let capacity = settings.capacity.min(MOST_WEIGHT);
        let steering = Steering::new(capacity, config.weighted, seed);
        let timed = settings.time_to_live.is_some() || settings.time_to_idle.is_some() || settings.expiry.is_some();
        let timed = timed || config.refreshing;
        let core = Core {
            table: Arc::new(Table::new(stripes, config, seed)),
            sampler: AtomicU32::new(steering.sampler().pack()),
            plain: !timed && settings.weigher.is_none() && settings.versioned_by.is_none() && settings.grouping.is_explicit(),
            refreshing: config.refreshing,
            timed: AtomicBool::new(timed || settings.versioned_by.is_some()),
            line: Contended {
                weight: AtomicU64::new(0),
                capacity: AtomicU64::new(capacity),
                arm: AtomicU32::new(Arm::START.pack()),
                steering: Mutex::new(steering),
            },
            listener_panics: AtomicU64::new(0),
            tally: Tally::default(),
            #[cfg(feature = "load-times")]
            load_times: load_times::Recorder::new(),
            settings,
        };
        core.watch_sampled();
        core
    }

    pub(crate) fn capacity(&self) -> u64 {
        // Relaxed: a setting, which orders nothing.
        self.line.capacity.load(Ordering::Relaxed)
    }

    /// The time, if anything depends on it.
    #[inline(always)]
    fn now(&self) -> Option<u64> {
        self.timed.load(Ordering::Relaxed).then(|| self.settings.clock.now())
    }

    /// From here on something depends on time: a deadline or a tombstone.
    pub(crate) fn keep_time(&self) {
        if !self.timed.load(Ordering::Relaxed) {
            // Relaxed: whoever must know learns it under the lock of a stripe in which it matters.
            self.timed.store(true, Ordering::Relaxed);
        }
    }
}

impl<K, V> Drop for Core<K, V> {
    /// With the last handle the values go, even if guards of some keep the table: a guard keeps nothing but its own.
    fn drop(&mut self) {
        if Arc::strong_count(&self.table) > 1 {
            self.table.close();
        }
    }
}
