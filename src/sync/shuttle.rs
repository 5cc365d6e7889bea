//! The platform as shuttle plays it: schedules drawn at random, sequentially consistent.

pub(crate) use shuttle::sync::atomic::AtomicBool;
pub(crate) use shuttle::sync::atomic::AtomicPtr;
pub(crate) use shuttle::sync::atomic::AtomicU8;
pub(crate) use shuttle::sync::atomic::AtomicU16;
pub(crate) use shuttle::sync::atomic::AtomicU32;
pub(crate) use shuttle::sync::atomic::AtomicU64;
pub(crate) use shuttle::sync::atomic::AtomicUsize;
pub(crate) use shuttle::sync::atomic::fence;
pub(super) use shuttle::thread::Thread;
pub(super) use shuttle::thread::current;
pub(super) use shuttle::thread::park;
pub(super) use shuttle::thread::park_timeout;
#[cfg(feature = "write-behind")]
pub(crate) use shuttle::thread::sleep;
pub(crate) use shuttle::thread_local;

pub(super) use shuttle::sync as locks;

pub(crate) use super::cell::UnsafeCell;
pub(crate) use super::modelled::Delay;
pub(crate) use super::modelled::Mutex;
pub(crate) use super::modelled::MutexGuard;
pub(crate) use super::modelled::OnceLock;

/// As in `native.rs`.
pub(crate) const IS_MODELLED: bool = true;

macro_rules! global {
    (static $name:ident: $type:ty = $value:expr;) => {
        shuttle::lazy_static! {
            static ref $name: $type = $value;
        }
    };
}

pub(crate) use global;
