//! Numbers that differ, for the whole process. Not what a model is about: no schedule depends on who gets which.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

pub(crate) struct Sequence(AtomicU64);

impl Sequence {
    /// Begins with one.
    pub(crate) const fn new() -> Self {
        Sequence(AtomicU64::new(1))
    }

    /// The next number. Relaxed: numbers need only differ, and be greater than those that the caller knows of.
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}
