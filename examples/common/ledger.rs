//! What every read is judged against: the version of its row that it must at least return.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use super::error::Error;

/// One entry a row. Whoever knows that no read which begins from now on may return less than some version raises the entry to it. A
/// reader looks up the least version before its read begins; if it then gets an older one, that is the cache's fault.
pub(crate) struct Ledger {
    rows: Vec<Entry>,
}

struct Entry {
    /// The version at the start.
    first: u64,
    least: AtomicU64,
    /// When `least` came to `first + 1`, `first + 2`, and so on.
    raised: Mutex<Vec<Instant>>,
}

impl Ledger {
    /// A ledger that starts from the versions in the database, by row.
    pub(crate) fn new(versions: &[u64]) -> Self {
        let entry = |&first: &u64| Entry { first, least: AtomicU64::new(first), raised: Mutex::new(Vec::new()) };
        Self { rows: versions.iter().map(entry).collect() }
    }

    /// From now on no read of row `key` may return less than `version`. May come in any order.
    pub(crate) fn raise(&self, key: u64, version: u64) {
        let Some(entry) = self.entry(key) else { return };
        if entry.least.load(Ordering::Acquire) >= version {
            return;
        }
        let steps = usize::try_from(version.saturating_sub(entry.first)).unwrap_or(usize::MAX);
        let mut raised = entry.raised.lock().unwrap_or_else(PoisonError::into_inner);
        if raised.len() < steps {
            raised.resize(steps, Instant::now());
        }
        entry.least.fetch_max(version, Ordering::Release);
    }

    /// The version that a read of `key` which begins now must at least return.
    pub(crate) fn least(&self, key: u64) -> u64 {
        self.entry(key).map_or(0, |entry| entry.least.load(Ordering::Acquire))
    }

    /// For how long, at `at`, `version` has been too old.
    pub(crate) fn stale_for(&self, key: u64, version: u64, at: Instant) -> Duration {
        let Some(entry) = self.entry(key) else {
            return Duration::ZERO;
        };
        let next = usize::try_from(version.saturating_sub(entry.first)).unwrap_or(usize::MAX);
        let raised = entry.raised.lock().unwrap_or_else(PoisonError::into_inner);
        raised.get(next).map_or(Duration::ZERO, |&since| at.saturating_duration_since(since))
    }

    /// Compares every row with the version the database holds; returns how many commits there were.
    pub(crate) fn check(&self, contender: &str, database: &[u64]) -> Result<u64, Error> {
        let mut commits = 0;
        for key in 0..self.rows.len().max(database.len()) {
            let ledger = self.least(key as u64);
            let held = database.get(key).copied().unwrap_or(0);
            if ledger != held {
                return Err(Error::Failed(format!(
                    "after {contender}, the ledger says that row {key} is at version {ledger} but the database says {held}; \
                     the counts above cannot be trusted"
                )));
            }
            commits += ledger - self.rows.get(key).map_or(0, |entry| entry.first);
        }
        Ok(commits)
    }

    fn entry(&self, key: u64) -> Option<&Entry> {
        usize::try_from(key).ok().and_then(|index| self.rows.get(index))
    }
}
