//! The platform as loom plays it: every schedule within a bound, and every value that a weak load may yield.

use std::sync::atomic::Ordering;

pub(crate) use loom::cell::UnsafeCell;
pub(crate) use loom::sync::atomic::AtomicBool;
pub(crate) use loom::sync::atomic::AtomicPtr;
pub(crate) use loom::sync::atomic::AtomicU8;
pub(crate) use loom::sync::atomic::AtomicU16;
pub(crate) use loom::sync::atomic::AtomicU32;
pub(crate) use loom::sync::atomic::AtomicU64;
pub(crate) use loom::sync::atomic::AtomicUsize;
pub(super) use loom::thread::Thread;
pub(super) use loom::thread::current;
pub(super) use loom::thread::park;

pub(super) use loom::sync as locks;

pub(crate) use super::modelled::Delay;
pub(crate) use super::modelled::Mutex;
pub(crate) use super::modelled::MutexGuard;
pub(crate) use super::modelled::OnceLock;

/// As in `native.rs`.
pub(crate) const IS_MODELLED: bool = true;

macro_rules! global {
    (static $name:ident: $type:ty = $value:expr;) => {
        loom::lazy_static! {
            static ref $name: $type = $value;
        }
    };
}

pub(crate) use global;

/// As that of the standard library, whose initial values in constant blocks loom does not know.
macro_rules! locals {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = const { $value:expr };)+) => {
        loom::thread_local! {
            $($(#[$attribute])* static $name: $type = $value;)+
        }
    };
}

pub(crate) use locals as thread_local;

global! {
    static FENCES: AtomicUsize = AtomicUsize::new(0);
}

/// Loom tries accesses to one thing in other orders, and fences belong to none: so they touch this one first, which orders nothing.
pub(crate) fn fence(order: Ordering) {
    FENCES.fetch_add(1, Ordering::Relaxed);
    loom::sync::atomic::fence(order);
}

/// Time stands still in a model: whoever sleeps has to be woken.
pub(super) fn park_timeout(_limit: std::time::Duration) {
    park();
}

/// Time stands still: the others go on.
#[cfg(feature = "write-behind")]
pub(crate) fn sleep(_duration: std::time::Duration) {
    loom::thread::yield_now();
}
