//! Plain settings, chosen in the builder and fixed for a cache's life. Data alone: no behaviour, no locks.

use std::time::Duration;

use crate::rule::tombstone::EqualSource;
use crate::rule::tombstone::Ordering;
use crate::rule::tombstone::WhenForgotten;

/// The greatest capacity: so far below the range of `u64` that the weights in a cache can never overflow their sum.
pub(crate) const MOST_WEIGHT: u64 = 1 << 56;

/// What readers get of a key while it is written [through the cache](crate::Cache::write_through).
///
/// ```
/// use brindle::WhileWriting;
///
/// assert_eq!(WhileWriting::default(), WhileWriting::ServeOld);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WhileWriting {
    /// The value that is there, until the source has acknowledged the new one, has failed, or somebody else writes. Whoever hangs, or was
    /// leaked, leaves it there until the next one's turn.
    #[default]
    ServeOld,
    /// Nothing: they miss, and may load.
    Miss,
}

/// What a stripe must know of the builder's choices.
#[derive(Clone, Debug)]
pub(crate) struct StripeConfig {
    pub(crate) ordering: Ordering,
    pub(crate) equal: EqualSource,
    pub(crate) when_forgotten: WhenForgotten,
    /// Tombstones this stripe may hold.
    pub(crate) tombstones: usize,
    pub(crate) tombstone_ttl: Duration,
    /// A listener wants to hear of what leaves.
    pub(crate) told: bool,
    pub(crate) weighted: bool,
    /// For how long an expired entry may still be served by loads, in nanoseconds.
    pub(crate) stale_for: u64,
    /// Entries want to be loaded again at some moment.
    pub(crate) refreshing: bool,
    /// Entries expected when the cache is full, where the builder can know.
    pub(crate) expected: Option<usize>,
}

/// Entries that a stripe will hold when the cache is full: its share, and what chance adds to it. `None` where nobody can know, or
/// where they are so many that memory for them had better come with them.
pub(crate) fn expected_entries(capacity: u64, stripes: usize, weighted: bool) -> Option<usize> {
    const MOST: u64 = 1 << 24;
    let share = capacity.div_ceil(stripes as u64);
    let spread = if stripes > 1 { share.isqrt() } else { 0 };
    (!weighted && share <= MOST).then_some((share + spread) as usize)
}
