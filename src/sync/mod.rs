//! What every other room takes from the platform: atomics, locks, the number of the calling thread and the two halves of an
//! asymmetric barrier. Nothing of the cache is known here; a model checker is put in by changing this room alone.

mod barrier;
mod prefetch;
mod shown;
mod thread;
mod waiter;

pub(crate) use std::sync::OnceLock;
pub(crate) use std::sync::atomic::AtomicBool;
pub(crate) use std::sync::atomic::AtomicPtr;
pub(crate) use std::sync::atomic::AtomicU8;
pub(crate) use std::sync::atomic::AtomicU16;
pub(crate) use std::sync::atomic::AtomicU32;
pub(crate) use std::sync::atomic::AtomicU64;
pub(crate) use std::sync::atomic::AtomicUsize;
pub(crate) use std::sync::atomic::Ordering;
pub(crate) use std::sync::atomic::fence;

pub(crate) use parking_lot::Mutex;
pub(crate) use parking_lot::MutexGuard;

pub(crate) use self::barrier::heavy_barrier;
pub(crate) use self::barrier::light_asymmetric_barrier;
pub(crate) use self::barrier::light_barrier;
pub(crate) use self::prefetch::prefetch;
pub(crate) use self::shown::shown;
#[cfg(test)]
pub(crate) use self::shown::whenever_shown;
pub(crate) use self::thread::Place;
pub(crate) use self::thread::Recent;
pub(crate) use self::waiter::Sleeper;
pub(crate) use self::waiter::Waiter;
pub(crate) use self::waiter::park;
