//! The platform as it is: the atomics of the standard library, the locks of parking_lot.

pub(crate) use std::sync::OnceLock;
pub(crate) use std::sync::atomic::AtomicBool;
pub(crate) use std::sync::atomic::AtomicPtr;
pub(crate) use std::sync::atomic::AtomicU8;
pub(crate) use std::sync::atomic::AtomicU16;
pub(crate) use std::sync::atomic::AtomicU32;
pub(crate) use std::sync::atomic::AtomicU64;
pub(crate) use std::sync::atomic::AtomicUsize;
pub(crate) use std::sync::atomic::fence;
pub(super) use std::thread::Thread;
pub(super) use std::thread::current;
pub(super) use std::thread::park;
pub(super) use std::thread::park_timeout;
#[cfg(feature = "write-behind")]
pub(crate) use std::thread::sleep;
pub(crate) use std::thread_local;

pub(crate) use futures_timer::Delay;
pub(crate) use parking_lot::Mutex;
pub(crate) use parking_lot::MutexGuard;

pub(crate) use super::cell::UnsafeCell;

/// Do schedules come from a model checker, so that everything should be small? And are its atomics more than the bytes that they stand for?
pub(crate) const IS_MODELLED: bool = false;

/// One value for the whole process, as a `static` is; for the models, one for each schedule.
macro_rules! global {
    (static $name:ident: $type:ty = $value:expr;) => {
        static $name: $type = $value;
    };
}

pub(crate) use global;
