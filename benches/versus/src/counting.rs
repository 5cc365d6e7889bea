//! An allocator that can count what is in use.

use std::alloc::GlobalAlloc;
use std::alloc::Layout;
use std::alloc::System;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

pub struct Counting;

/// Off until asked for, so that timed runs pay one load and no shared write.
static ON: AtomicBool = AtomicBool::new(false);
static BYTES: AtomicUsize = AtomicUsize::new(0);
static BLOCKS: AtomicUsize = AtomicUsize::new(0);

/// What is in use.
#[derive(Clone, Copy)]
pub struct Live {
    pub bytes: usize,
    pub blocks: usize,
}

/// From now on every allocation counts. What was allocated before must not be freed after.
pub fn start() {
    ON.store(true, Relaxed);
}

pub fn live() -> Live {
    Live { bytes: BYTES.load(Relaxed), blocks: BLOCKS.load(Relaxed) }
}

fn taken(bytes: usize) {
    if ON.load(Relaxed) {
        BYTES.fetch_add(bytes, Relaxed);
        BLOCKS.fetch_add(1, Relaxed);
    }
}

fn given_back(bytes: usize) {
    if ON.load(Relaxed) {
        BYTES.fetch_sub(bytes, Relaxed);
        BLOCKS.fetch_sub(1, Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        given_back(layout.size());
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        taken(size);
        given_back(layout.size());
        unsafe { System.realloc(block, layout, size) }
    }
}
