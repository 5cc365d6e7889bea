//! What every read is judged against: the versions whose commit and invalidation are both finished.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::error::Error;

/// One entry a row. A writer acknowledges a version after it committed it and told the cache; a reader looks up the
/// acknowledged version before its read begins. A read that then returns less is stale, by any reading of the word.
pub(crate) struct Ledger {
    rows: Vec<Entry>,
}

struct Entry {
    /// The version at the start.
    first: u64,
    /// The newest version that is committed and invalidated.
    acknowledged: AtomicU64,
    /// When `acknowledged` first reached `first + 1`, `first + 2`, and so on.
    reached: Mutex<Vec<Instant>>,
}

impl Ledger {
    /// A ledger that starts from the versions in the database, by row.
    pub(crate) fn new(versions: &[u64]) -> Self {
        let entry = |&first: &u64| Entry { first, acknowledged: AtomicU64::new(first), reached: Mutex::new(Vec::new()) };
        Self { rows: versions.iter().map(entry).collect() }
    }

    /// `version` of row `key` is committed and the cache has been told. Writers of one row may get here in any order.
    pub(crate) fn acknowledge(&self, key: u64, version: u64) {
        let Some(entry) = self.entry(key) else { return };
        let steps = usize::try_from(version.saturating_sub(entry.first)).unwrap_or(usize::MAX);
        let mut reached = entry.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if reached.len() < steps {
            reached.resize(steps, Instant::now());
        }
        entry.acknowledged.fetch_max(version, Ordering::Release);
    }

    /// The version that a read of `key` which begins now must at least return.
    pub(crate) fn acknowledged(&self, key: u64) -> u64 {
        self.entry(key).map_or(0, |entry| entry.acknowledged.load(Ordering::Acquire))
    }

    /// How long before `at` the first version newer than `version` was acknowledged.
    pub(crate) fn stale_for(&self, key: u64, version: u64, at: Instant) -> Duration {
        let Some(entry) = self.entry(key) else {
            return Duration::ZERO;
        };
        let next = usize::try_from(version.saturating_sub(entry.first)).unwrap_or(usize::MAX);
        let reached = entry.reached.lock().unwrap_or_else(PoisonError::into_inner);
        reached.get(next).map_or(Duration::ZERO, |&since| at.saturating_duration_since(since))
    }

    /// Compares every row with the version the database holds; returns how many commits there were.
    pub(crate) fn check(&self, contender: &'static str, database: &[u64]) -> Result<u64, Error> {
        let mut commits = 0;
        for key in 0..self.rows.len().max(database.len()) {
            let ledger = self.rows.get(key).map_or(0, |entry| entry.acknowledged.load(Ordering::Acquire));
            let held = database.get(key).copied().unwrap_or(0);
            if ledger != held {
                return Err(Error::Ledger { contender, key: key as u64, ledger, database: held });
            }
            commits += ledger - self.rows.get(key).map_or(0, |entry| entry.first);
        }
        Ok(commits)
    }

    fn entry(&self, key: u64) -> Option<&Entry> {
        usize::try_from(key).ok().and_then(|index| self.rows.get(index))
    }
}
