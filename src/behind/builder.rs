//! The choices of a [`WriteBehind`].

use std::fmt;
use std::time::Duration;

use backon::BackoffBuilder;
use backon::ExponentialBuilder;

use crate::cache::Cache;

use super::WriteBehind;

/// Longer times count as so long: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The choices of a [`WriteBehind`], from [`WriteBehind::builder`]. What is not chosen has the default that its method names.
#[must_use = "a builder does nothing until `build`"]
pub struct WriteBehindBuilder<K, V, S, W> {
    cache: Cache<K, V, S>,
    sink: W,
    choices: Choices,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Choices {
    pub(super) capacity: usize,
    pub(super) batch: usize,
    pub(super) linger: Duration,
    first: Duration,
    most: Duration,
    retries: usize,
}

impl Choices {
    /// How long to wait before each retry.
    pub(super) fn delays(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        let delays = ExponentialBuilder::new().with_min_delay(self.first.min(self.most));
        delays.with_max_delay(self.most).with_max_times(self.retries).build()
    }
}

impl<K, V, S, W> WriteBehindBuilder<K, V, S, W> {
    pub(super) fn new(cache: Cache<K, V, S>, sink: W) -> Self {
        let choices = Choices {
            capacity: 1024,
            batch: 128,
            linger: Duration::ZERO,
            first: Duration::from_millis(100),
            most: Duration::from_secs(10),
            retries: 4,
        };
        WriteBehindBuilder { cache, sink, choices }
    }

    /// How many keys may be pending. When so many are, [`insert`](WriteBehind::insert) of another one waits for the sink. Zero counts as one.
    /// Default: 1,024.
    pub fn capacity(mut self, keys: usize) -> Self {
        self.choices.capacity = keys.max(1);
        self
    }

    /// How many values the sink gets at once at most. Zero counts as one. Default: 128.
    pub fn batch(mut self, values: usize) -> Self {
        self.choices.batch = values.max(1);
        self
    }

    /// How long [`run`](WriteBehind::run) waits for a batch to fill before it writes a smaller one: values of one key that come meanwhile
    /// are written once. Flushes, closing and writers that need room do not wait for it. Times above a year count as a year. Default: zero, it writes what
    /// there is.
    pub fn linger(mut self, time: Duration) -> Self {
        self.choices.linger = time.min(LONGEST);
        self
    }

    /// How long to wait before a batch that failed is written again: `first`, then twice as long each time, at most `most`. Times above a year
    /// count as a year. Default: 100 milliseconds, at most 10 seconds.
    pub fn backoff(mut self, first: Duration, most: Duration) -> Self {
        self.choices.first = first.min(LONGEST);
        self.choices.most = most.min(LONGEST);
        self
    }

    /// How often a batch that failed is written again before the call that drives the sink, and those that wait for it, get the
    /// error. Default: 4.
    pub fn retries(mut self, retries: usize) -> Self {
        self.choices.retries = retries;
        self
    }

    /// Builds it. Allocates next to nothing, and starts no thread: see [`WriteBehind::run`].
    #[must_use = "values are written through it"]
    pub fn build(self) -> WriteBehind<K, V, S, W> {
        WriteBehind::new(self.cache, self.sink, self.choices)
    }
}

impl<K, V, S, W> fmt::Debug for WriteBehindBuilder<K, V, S, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBehindBuilder").field("choices", &self.choices).finish_non_exhaustive()
    }
}
