//! A global allocator that puts what a thread allocates [`inside`] into one stretch of memory, which can be [sealed](seal): from then on whoever
//! writes there is killed. A test binary that wants it says `#[global_allocator] static ARENA: Arena = Arena;`.
#![allow(dead_code, unreachable_pub)]

use std::alloc::GlobalAlloc;
use std::alloc::Layout;
use std::alloc::System;
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

/// Room enough for any test; pages that nobody touches cost nothing.
const SIZE: usize = 1 << 28;

static START: OnceLock<usize> = OnceLock::new();
/// Bytes given away. None is ever taken back.
static USED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

pub struct Arena;

// SAFETY: no two pieces of the arena overlap, each lies in it and is aligned as asked for; the rest is the system's allocator.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if INSIDE.try_with(Cell::get).unwrap_or(false) {
            return piece(layout);
        }
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if !holds(at) {
            // SAFETY: not from the arena, so from the system.
            unsafe { System.dealloc(at, layout) }
        }
    }
}

fn piece(layout: Layout) -> *mut u8 {
    let start = *START.get().expect("mapped before the first thread is inside");
    // One thread after the other is inside: no two come here at once.
    let at = (start + USED.load(SeqCst)).next_multiple_of(layout.align());
    let used = at + layout.size() - start;
    if used > SIZE {
        return null_mut();
    }
    USED.store(used, SeqCst);
    at as *mut u8
}

/// Does the arena hold this address?
pub fn holds<T: ?Sized>(at: *const T) -> bool {
    START.get().is_some_and(|start| (*start..*start + SIZE).contains(&at.addr()))
}

/// Runs `work`, and puts all that this thread allocates meanwhile into the arena.
pub fn inside<R>(work: impl FnOnce() -> R) -> R {
    START.get_or_init(map);
    INSIDE.set(true);
    let result = work();
    INSIDE.set(false);
    result
}

fn map() -> usize {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
    // SAFETY: a new mapping, wherever there is room for it.
    let start = unsafe { libc::mmap(null_mut(), SIZE, access, kind, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED, "no room for the arena");
    start.addr()
}

/// Nobody may write to the arena while this lives.
#[must_use]
pub struct Sealed(());

pub fn seal() -> Sealed {
    allow(libc::PROT_READ);
    Sealed(())
}

impl Drop for Sealed {
    fn drop(&mut self) {
        allow(libc::PROT_READ | libc::PROT_WRITE);
    }
}

fn allow(access: libc::c_int) {
    let start = *START.get().expect("something is inside");
    // SAFETY: the arena is mapped for good, and may be read whatever the access.
    let done = unsafe { libc::mprotect(start as *mut libc::c_void, SIZE, access) };
    assert_eq!(done, 0, "the arena keeps its access");
}
