//! A global allocator that books what each test has in use on an account of its own, so that tests may run side by side. A test binary that wants
//! it says `#[global_allocator] static COUNTING: Counting = Counting;`.
#![allow(dead_code, unreachable_pub)]

use std::alloc::GlobalAlloc;
use std::alloc::Layout;
use std::alloc::System;
use std::cell::Cell;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use crate::common::watched;

/// Bytes in use on each account. Account 0 is nobody's.
static ACCOUNTS: [AtomicI64; 64] = [const { AtomicI64::new(0) }; 64];
static NEXT: AtomicUsize = AtomicUsize::new(1);

thread_local! {
    static ACCOUNT: Cell<usize> = const { Cell::new(0) };
}

pub struct Counting;

fn book(bytes: i64) {
    let _ = ACCOUNT.try_with(|account| ACCOUNTS[account.get()].fetch_add(bytes, SeqCst));
}

// SAFETY: passes every call on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        book(layout.size() as i64);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        book(-(layout.size() as i64));
        // SAFETY: passed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        book(size as i64 - layout.size() as i64);
        // SAFETY: passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Bytes that this thread's account has in use.
pub fn in_use() -> i64 {
    ACCOUNTS[ACCOUNT.get()].load(SeqCst)
}

/// Runs `test`, watched, on a thread with an account of its own.
pub fn counted(test: impl FnOnce() + Send + 'static) {
    watched(move || {
        ACCOUNT.set(NEXT.fetch_add(1, SeqCst));
        test();
        ACCOUNT.set(0);
    });
}
