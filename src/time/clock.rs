//! What time it is. The only code that reads a clock; touches nothing of the cache.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use crate::sync::AtomicU64;
use crate::sync::Broken;
use crate::sync::Ordering::Relaxed;
use crate::sync::is_broken;
use crate::time::deadline::NEVER;
use crate::time::deadline::nanos;

/// The latest moment a clock shows. One short of [`NEVER`], so that what never falls due never does.
const LAST: u64 = NEVER - 1;

/// The time by which a cache expires its entries.
///
/// The default is the computer's monotonic clock. [`Clock::mock`] gives one that stands still until a test moves
/// it, [`Clock::from_source`] one that reads whatever you have (a simulator, a coarse ticker).
///
/// Whatever is behind it, a clock never goes backwards: when its source does, it stands still until the source has
/// caught up. It counts nanoseconds and stops after 584 years.
///
/// Clones show the same time. Cloning takes no lock and never blocks.
///
/// ```
/// use brindle::Clock;
///
/// let real = Clock::default();
/// let (mocked, hand) = Clock::mock();
/// # let _ = (real, mocked, hand);
/// ```
#[derive(Clone)]
pub struct Clock {
    source: Source,
}

#[derive(Clone)]
enum Source {
    /// `Instant` is monotonic by contract, so this needs no clamp and shares nothing between threads.
    Real(Instant),
    Custom(Arc<Clamped<dyn TimeSource>>),
}

/// A source of unknown manners, with the latest time it has shown.
struct Clamped<T: ?Sized> {
    latest: AtomicU64,
    source: T,
}

/// Where a custom [`Clock`] gets its time from.
///
/// ```
/// use brindle::{Clock, TimeSource};
/// use std::time::Duration;
///
/// struct Frozen;
///
/// impl TimeSource for Frozen {
///     fn now(&self) -> Duration {
///         Duration::from_secs(1)
///     }
/// }
///
/// let clock = Clock::from_source(Frozen);
/// # let _ = clock;
/// ```
pub trait TimeSource: Send + Sync {
    /// The time since some fixed start of the source's own choosing.
    ///
    /// The cache calls this often and outside its locks: it should be quick. It may go backwards (the [`Clock`]
    /// then stands still). If it panics, the cache call that asked panics and the cache stays whole.
    fn now(&self) -> Duration;
}

impl Clock {
    /// A clock that stands at zero until it is moved by the [`MockClock`] that comes with it.
    ///
    /// Costs one allocation for each of the two; neither blocks nor panics.
    ///
    /// ```
    /// use brindle::Clock;
    /// use std::time::Duration;
    ///
    /// let (clock, mock) = Clock::mock();
    /// mock.advance(Duration::from_secs(60));
    /// # let _ = clock;
    /// ```
    #[must_use]
    pub fn mock() -> (Self, MockClock) {
        let mock = MockClock { nanos: Arc::new(AtomicU64::new(0)) };
        (Self::from_source(mock.clone()), mock)
    }

    /// A clock that shows what `source` says, except that it never goes backwards.
    ///
    /// Costs one allocation, and one atomic update shared by all threads whenever the time has moved. Neither blocks
    /// nor panics.
    ///
    /// See [`TimeSource`] for an example.
    #[must_use]
    pub fn from_source(source: impl TimeSource + 'static) -> Self {
        let latest = AtomicU64::new(0);
        Self { source: Source::Custom(Arc::new(Clamped { latest, source })) }
    }

    /// Nanoseconds since the clock's start, below [`NEVER`]; never less than any call that returned earlier, on any
    /// thread. May run user code (a [`TimeSource`]), so it is called before a stripe is locked.
    pub(crate) fn now(&self) -> u64 {
        match &self.source {
            Source::Real(start) => nanos(start.elapsed()).min(LAST),
            Source::Custom(clamped) => clamped.now(),
        }
    }
}

impl Clock {
    /// Does reading it run the user's code?
    #[inline(always)]
    pub(crate) fn is_users(&self) -> bool {
        matches!(self.source, Source::Custom(_))
    }
}

impl<T: TimeSource + ?Sized> Clamped<T> {
    fn now(&self) -> u64 {
        let shown = nanos(self.source.now()).min(LAST);
        // Relaxed is enough: updates of one atomic have one order, and nothing else is published through it.
        let latest = self.latest.load(Relaxed);
        if shown <= latest {
            return latest;
        }
        if is_broken(Broken::ClockLatest) {
            self.latest.store(shown, Relaxed);
            return shown;
        }
        self.latest.fetch_max(shown, Relaxed).max(shown)
    }
}

impl Default for Clock {
    /// The computer's monotonic clock, started now.
    fn default() -> Self {
        Self { source: Source::Real(Instant::now()) }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.source {
            Source::Real(_) => "Clock(monotonic)",
            Source::Custom(_) => "Clock(custom)",
        })
    }
}

/// The hand of a [`Clock::mock`]: moves its time. Clones move the same clock.
///
/// ```
/// use brindle::{Clock, TimeSource};
/// use std::time::Duration;
///
/// let (_clock, mock) = Clock::mock();
/// mock.advance(Duration::from_secs(2));
/// assert_eq!(mock.now(), Duration::from_secs(2));
/// ```
#[derive(Clone, Debug)]
pub struct MockClock {
    nanos: Arc<AtomicU64>,
}

impl MockClock {
    /// Moves the time forward by `step`. It stops at the end of time (584 years) instead of wrapping.
    ///
    /// One atomic update; neither blocks nor panics.
    pub fn advance(&self, step: Duration) {
        let step = nanos(step);
        let later = |now: u64| Some(now.saturating_add(step));
        // Cannot fail: there is always a later time, if only the last one.
        let _ = self.nanos.fetch_update(Relaxed, Relaxed, later);
    }

    /// Sets the time since the clock's start, also to an earlier one: the [`Clock`] then stands still until the
    /// time it has already shown is reached again.
    ///
    /// One atomic store; neither blocks nor panics.
    pub fn set(&self, since_start: Duration) {
        self.nanos.store(nanos(since_start), Relaxed);
    }
}

impl TimeSource for MockClock {
    /// The time as it was set, which may be earlier than what the [`Clock`] shows.
    fn now(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn assert_never_goes_back(clock: &Clock) {
        let mut before = clock.now();
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(before <= now);
            before = now;
        }
    }

    #[test]
    fn the_real_clock_moves_forward() {
        let clock = Clock::default();
        assert_never_goes_back(&clock);
        let before = clock.now();
        thread::sleep(Duration::from_millis(2));
        assert!(clock.now() - before >= 2_000_000);
    }

    #[test]
    fn clones_show_the_same_time() {
        let (clock, mock) = Clock::mock();
        let other = clock.clone();
        mock.clone().advance(Duration::from_nanos(5));
        assert_eq!((clock.now(), other.now()), (5, 5));
    }

    #[test]
    fn a_clock_whose_source_goes_back_stands_still() {
        let (clock, mock) = Clock::mock();
        mock.set(Duration::from_nanos(10));
        assert_eq!(clock.now(), 10);
        mock.set(Duration::from_nanos(3));
        assert_eq!(clock.now(), 10);
        mock.set(Duration::from_nanos(11));
        assert_eq!(clock.now(), 11);
    }

    #[test]
    fn the_end_of_time_is_before_never() {
        let (clock, mock) = Clock::mock();
        mock.set(Duration::MAX);
        assert_eq!(clock.now(), LAST);
        mock.advance(Duration::MAX);
        assert_eq!(clock.now(), LAST);
    }

    #[test]
    fn threads_agree_on_a_source_that_jumps_about() {
        struct Jumpy(AtomicU64);
        impl TimeSource for Jumpy {
            fn now(&self) -> Duration {
                let count = self.0.fetch_add(1, Relaxed);
                Duration::from_nanos(count.wrapping_mul(0x9E37_79B9) % 100_000)
            }
        }
        let clock = Clock::from_source(Jumpy(AtomicU64::new(0)));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_never_goes_back(&clock));
            }
        });
    }

    #[test]
    fn debug_names_the_kind() {
        assert_eq!(format!("{:?}", Clock::default()), "Clock(monotonic)");
        assert_eq!(format!("{:?}", Clock::mock().0), "Clock(custom)");
    }
}
