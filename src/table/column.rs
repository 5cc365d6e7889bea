//! What only some entries have, in columns beside the nodes of a chunk: each is made when the first entry needs it.

use crate::sync::AtomicU64;
use crate::sync::OnceLock;
use crate::sync::Ordering;
use crate::time::deadline::NEVER;

/// When an entry ends, in nanoseconds of the cache's clock.
pub(crate) struct Deadlines {
    /// Time to live, or what `Expiry` said; reads may move it, but never beyond `last`.
    pub(crate) due: AtomicU64,
    /// Time to live alone, fixed when the value was written.
    pub(crate) last: AtomicU64,
    /// Time to idle: moved by reads, coarsely.
    pub(crate) idle: AtomicU64,
}

impl Deadlines {
    /// When the entry expires as things are. Relaxed, as all of these: a deadline orders nothing else.
    pub(crate) fn soonest(&self) -> u64 {
        self.due.load(Ordering::Relaxed).min(self.idle.load(Ordering::Relaxed))
    }

    pub(super) fn never() -> Self {
        Deadlines { due: AtomicU64::new(NEVER), last: AtomicU64::new(NEVER), idle: AtomicU64::new(NEVER) }
    }
}

/// When an entry wants to be loaded again, and how long its load took, in nanoseconds.
pub(super) struct RefreshCell {
    pub(super) at: AtomicU64,
    pub(super) took: AtomicU64,
}

impl RefreshCell {
    pub(super) fn never() -> Self {
        RefreshCell { at: AtomicU64::new(NEVER), took: AtomicU64::new(0) }
    }
}

/// Values that only some entries have, one a node, allocated at the first use.
pub(super) struct Column<T>(OnceLock<Box<[T]>>);

impl<T> Column<T> {
    pub(super) fn new() -> Self {
        Column(OnceLock::new())
    }

    pub(super) fn get(&self, at: usize) -> Option<&T> {
        self.0.get().map(|values| &values[at])
    }

    pub(super) fn ensure(&self, at: usize, length: usize, vacant: fn() -> T) -> &T {
        &self.0.get_or_init(|| (0..length).map(|_| vacant()).collect())[at]
    }

    pub(super) fn memory(&self) -> usize {
        self.0.get().map_or(0, |values| size_of_val(&**values))
    }
}
