//! How much memory the process has: what it has asked for, counted to the byte, and what the system has given it.

use std::alloc::GlobalAlloc;
use std::alloc::Layout;
use std::alloc::System;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

/// The system's allocator, which is told of every allocation.
pub(crate) struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

/// Bytes that are allocated now.
pub(crate) fn allocated() -> usize {
    ALLOCATED.load(Ordering::Relaxed)
}

// SAFETY: every call is the system allocator's own; the count beside it touches no memory of the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

const PAGE: usize = 4096;

/// Bytes of the process that are in memory, where the system tells.
pub(crate) fn resident() -> Option<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    pages.split_whitespace().nth(1)?.parse::<usize>().ok().map(|pages| pages * PAGE)
}

pub(crate) fn mebibytes(bytes: usize) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Epochs that are let go by before memory is judged: thread pools, arenas and the like are made in them.
const EARLY: usize = 5;
/// What may be allocated beyond what the early epochs left: next to nothing.
const ALLOCATED_MORE: usize = 256 << 10;
/// What may be resident beyond the most after an early epoch. Allocators give memory back when they like, and configurations differ.
const RESIDENT_MORE: usize = 32 << 20;

/// What was left after each epoch.
#[derive(Default)]
pub(crate) struct Memory {
    epochs: usize,
    early: Usage,
    pub(crate) last: Usage,
    pub(crate) most: Usage,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) allocated: usize,
    pub(crate) resident: usize,
}

impl Usage {
    fn now() -> Self {
        Self { allocated: allocated(), resident: resident().unwrap_or(0) }
    }

    fn max(self, other: Self) -> Self {
        Self { allocated: self.allocated.max(other.allocated), resident: self.resident.max(other.resident) }
    }
}

impl Memory {
    /// An epoch is over, and its cache gone. Tells what has grown, if anything has.
    pub(crate) fn after_epoch(&mut self) -> Result<(), String> {
        self.last = Usage::now();
        self.most = self.most.max(self.last);
        self.epochs += 1;
        if self.epochs <= EARLY {
            self.early = self.most;
            return Ok(());
        }
        let (last, early) = (self.last, self.early);
        within("bytes allocated", last.allocated, early.allocated, ALLOCATED_MORE)?;
        within("bytes resident", last.resident, early.resident, RESIDENT_MORE)
    }
}

fn within(what: &str, now: usize, early: usize, more: usize) -> Result<(), String> {
    if now <= early + more {
        return Ok(());
    }
    Err(format!(
        "memory grows: {now} {what} after the epoch, at most {early} after each of the first {EARLY}, and {more} more are allowed"
    ))
}
