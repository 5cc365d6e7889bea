//! How long loads take, for those who want to know: the feature `load-times`.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::sync::Mutex;

use super::Core;

/// Digits of a time that are kept.
const DIGITS: u8 = 2;

/// How long the loads of a cache took, to about one part in a hundred, from [`Cache::load_times`](crate::Cache::load_times).
///
/// ```
/// let cache = brindle::Cache::new(100);
/// cache.get_with(&1, || 1);
/// let times = cache.load_times();
/// assert_eq!(times.count(), 1);
/// assert!(times.quantile(0.99) >= times.quantile(0.5));
/// ```
#[derive(Clone)]
pub struct LoadTimes {
    nanos: Histogram<u64>,
}

impl LoadTimes {
    /// How many loads have ended, with a value or an error.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.nanos.len()
    }

    /// The time that they took on average; zero if there was none.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.nanos.mean() as u64)
    }

    /// The time within which this share of them (0 to 1) had ended; zero if there was none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.nanos.value_at_quantile(share))
    }

    /// The longest.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.nanos.max())
    }
}

impl fmt::Debug for LoadTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = [0.5, 0.9, 0.99].map(|share| self.quantile(share));
        f.debug_struct("LoadTimes")
            .field("count", &self.count())
            .field("p50, p90, p99", &times)
            .field("max", &self.max())
            .finish()
    }
}

/// The one histogram of a cache. Its lock is a leaf: nothing is done under it but counting.
pub(super) struct Recorder(Mutex<Histogram<u64>>);

impl Recorder {
    pub(super) fn new() -> Self {
        Recorder(Mutex::new(Histogram::new(DIGITS).expect("two digits are within bounds")))
    }

    pub(super) fn record(&self, nanos: u64) {
        self.0.lock().saturating_record(nanos);
    }
}

impl<K, V> Core<K, V> {
    pub(crate) fn load_times(&self) -> LoadTimes {
        LoadTimes { nanos: self.load_times.0.lock().clone() }
    }
}
