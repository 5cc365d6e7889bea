//! A global allocator that books what is in use, each test on an account of its own if it opens one, so that tests may run side by side. A test
//! binary that wants it says `#[global_allocator] static COUNTING: Counting = Counting;`.
#![allow(dead_code, unreachable_pub)]

use std::alloc::GlobalAlloc;
use std::alloc::Layout;
use std::alloc::System;
use std::cell::Cell;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

/// What the bytes of a thread are booked on.
#[derive(Clone, Copy)]
pub struct Account(usize);

/// That of all threads that have no other: of the whole process, where none is opened.
pub const COMMON: Account = Account(0);

/// Bytes in use on each account.
static ACCOUNTS: [AtomicI64; 64] = [const { AtomicI64::new(0) }; 64];
static NEXT: AtomicUsize = AtomicUsize::new(1);

thread_local! {
    static ACCOUNT: Cell<Account> = const { Cell::new(COMMON) };
}

pub struct Counting;

fn book(bytes: i64) {
    let _ = ACCOUNT.try_with(|account| ACCOUNTS[account.get().0].fetch_add(bytes, SeqCst));
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
    ACCOUNTS[account().0].load(SeqCst)
}

/// This thread's account.
pub fn account() -> Account {
    ACCOUNT.get()
}

/// An account that no other thread has.
pub fn open() -> Account {
    Account(NEXT.fetch_add(1, SeqCst))
}

/// Books what this thread does in `work` on that account.
pub fn on<R>(account: Account, work: impl FnOnce() -> R) -> R {
    let before = ACCOUNT.replace(account);
    let result = work();
    ACCOUNT.set(before);
    result
}
