//! What is a mix, and what is not.
//!
//! A transaction promises: after any of a commit's new values has been seen, none of the values that it replaced or invalidated can be
//! read. So a value counts as a mix if, before the read of it began, somebody had read a value that the writer set with a later commit
//! of the same order; in a snapshot, whose values are of one moment, also if a value beside it was set with a later commit.
//!
//! What a load brings is ahead of the cache between the commit in the database and the one in the cache. That is no mix: the cache's
//! commit has not come. Nor is an old value whose read began before the new one was seen.

use std::time::Instant;

use crate::common::error::Error;
use crate::common::ledger::Ledger;
use crate::fragment::Fragment;
use crate::run::Outcome;

pub(crate) struct Judge {
    /// For each order the newest version of which a value that was set with its commit has been read.
    seen: Ledger,
    /// For each order the version that is committed, in the database and in the cache.
    committed: Ledger,
}

impl Judge {
    /// From the versions in the database, by order.
    pub(crate) fn new(versions: &[u64]) -> Self {
        Self { seen: Ledger::new(versions), committed: Ledger::new(versions) }
    }

    pub(crate) fn committed(&self, order: u64, version: u64) {
        self.committed.raise(order, version);
    }

    /// The version that a read of `order` which begins now must at least return.
    pub(crate) fn least(&self, order: u64) -> u64 {
        self.seen.least(order)
    }

    /// Values of `order` that were read at one moment, when nothing older than `least` was allowed any more.
    pub(crate) fn judge(&self, order: u64, least: u64, found: &[Fragment], outcome: &mut Outcome) {
        let now = Instant::now();
        let set = found.iter().filter(|fragment| fragment.set).map(|fragment| fragment.version).max();
        if let Some(version) = set {
            self.seen.raise(order, version);
        }
        let least = least.max(set.unwrap_or(0));
        for fragment in found {
            outcome.reads += 1;
            if fragment.version < least {
                outcome.mixes += 1;
                outcome.longest_stay = outcome.longest_stay.max(self.seen.stale_for(order, fragment.version, now));
            }
        }
    }

    /// The number of commits, if the writers and the database agree on it.
    pub(crate) fn commits(&self, contender: &str, versions: &[u64]) -> Result<u64, Error> {
        self.committed.check(contender, versions)
    }
}
