//! What every other room takes from the platform: atomics, locks, parking, the number of the calling thread and the two halves of an
//! asymmetric barrier. Nothing of the cache is known here.
//!
//! This is the one place where a model checker is put in: with `--cfg brindle_loom` or `--cfg brindle_shuttle` the same code runs on the
//! atomics, locks and threads of that checker, one schedule after another. Other rooms know of the models by two constants alone:
//! `IS_MODELLED`, which makes small what they work on, and `is_broken`, by which a mechanism can be taken out.

#[cfg_attr(brindle_loom, path = "loom.rs")]
#[cfg_attr(brindle_shuttle, path = "shuttle.rs")]
#[cfg_attr(not(any(brindle_loom, brindle_shuttle)), path = "native.rs")]
mod platform;

#[cfg_attr(any(brindle_loom, brindle_shuttle), path = "modelled_barrier.rs")]
mod barrier;
mod broken;
#[cfg(not(brindle_loom))]
mod cell;
#[cfg(any(brindle_loom, brindle_shuttle))]
mod modelled;
mod prefetch;
mod sequence;
mod shown;
mod thread;
mod waiter;

pub(crate) use std::sync::atomic::Ordering;

pub(crate) use self::platform::AtomicBool;
pub(crate) use self::platform::AtomicPtr;
pub(crate) use self::platform::AtomicU8;
pub(crate) use self::platform::AtomicU16;
pub(crate) use self::platform::AtomicU32;
pub(crate) use self::platform::AtomicU64;
pub(crate) use self::platform::AtomicUsize;
pub(crate) use self::platform::Delay;
pub(crate) use self::platform::IS_MODELLED;
pub(crate) use self::platform::Mutex;
pub(crate) use self::platform::MutexGuard;
pub(crate) use self::platform::OnceLock;
pub(crate) use self::platform::UnsafeCell;
pub(crate) use self::platform::fence;
pub(crate) use self::platform::global;
#[cfg(feature = "write-behind")]
pub(crate) use self::platform::sleep;
pub(crate) use self::platform::thread_local;

pub(crate) use self::barrier::heavy_barrier;
pub(crate) use self::barrier::light_asymmetric_barrier;
pub(crate) use self::barrier::light_barrier;
#[allow(unreachable_pub, reason = "the models' tests reach it, by the door in `lib.rs`")]
pub use self::broken::Broken;
pub(crate) use self::broken::is_broken;
pub(crate) use self::broken::ordered;
#[cfg(any(brindle_loom, brindle_shuttle))]
pub use self::broken::without;
pub(crate) use self::prefetch::prefetch;
pub(crate) use self::sequence::Sequence;
pub(crate) use self::shown::shown;
#[cfg(test)]
pub(crate) use self::shown::whenever_shown;
pub(crate) use self::thread::Place;
pub(crate) use self::thread::Recent;
pub(crate) use self::waiter::Sleeper;
pub(crate) use self::waiter::Waiter;
pub(crate) use self::waiter::park;
