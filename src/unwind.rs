//! Panics of the user's code that have to wait until other work is done.

use std::any::Any;
use std::mem;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::panic::resume_unwind;

/// What was thrown.
pub(crate) type Panic = Box<dyn Any + Send>;

/// Keeps the first of several panics, to go on with it when all is done.
pub(crate) fn keep_first(first: &mut Option<Panic>, result: Result<(), Panic>) {
    if let Err(panic) = result {
        match first {
            None => *first = Some(panic),
            Some(_) => discard(panic),
        }
    }
}

/// Drops what was thrown. It may throw in its turn, and there is work left to do: what it throws then is left alone.
pub(crate) fn discard(panic: Panic) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(again);
    }
}

/// Goes on with a panic that had to wait, unless one is under way already.
pub(crate) fn resume(result: Result<(), Panic>) {
    if let Err(panic) = result {
        if std::thread::panicking() {
            discard(panic);
        } else {
            resume_unwind(panic);
        }
    }
}
