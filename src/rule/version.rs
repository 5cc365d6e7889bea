//! The position of an entry's state among all states its key ever had.

use std::fmt;

/// The totally ordered position of an entry's state: first by `source`, then by `revision`.
///
/// `source` is what the source of truth says of the value (row version, log sequence number, commit timestamp); it is 0 where nobody
/// said. `revision` is drawn by the cache at every write from a counter that never goes back for that key, not across removal,
/// eviction or [`clear`](crate::Cache::clear). So no two states of a key ever have the same version, and a
/// [`compare_and_swap`](crate::Cache::compare_and_swap) cannot mistake a later state for the one that it read.
///
/// A write that says nothing of its source keeps the highest source that is known of the key, so versions of a key only rise, as long as
/// it is known: under [`Ordering::PerKey`](crate::Ordering::PerKey) an absent key's source is forgotten with its tombstone.
///
/// ```
/// let cache = brindle::Cache::new(100);
/// let first = cache.insert("k", 1);
/// let second = cache.insert("k", 2);
/// assert!(first < second);
/// assert_eq!(second.source(), 0);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version {
    source: u64,
    revision: u64,
}

impl Version {
    pub(crate) const fn new(source: u64, revision: u64) -> Self {
        Version { source, revision }
    }

    /// What the source of truth says: higher is newer, 0 if it said nothing.
    #[must_use]
    pub const fn source(self) -> u64 {
        self.source
    }

    /// The cache's own count, never used twice for one key.
    #[must_use]
    pub const fn revision(self) -> u64 {
        self.revision
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.source, self.revision)
    }
}

/// Where a write takes its source version from.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Claim {
    /// Nobody said: the key's highest known source stays.
    #[default]
    Unversioned,
    /// The source of truth said so.
    At(u64),
    /// Nobody said of this state, but the source said of an earlier one that is written, or declared dead, with it: the key's highest
    /// known source stays, and is this at least.
    Atop(u64),
}
