//! Who waits for a load: a thread that is parked, or a task that is to be polled again.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::task::Waker;
use std::time::Duration;

use super::platform;

#[derive(Clone, Debug)]
pub(crate) enum Waiter {
    Thread(platform::Thread),
    Task(Waker),
}

impl Waiter {
    pub(crate) fn this_thread() -> Self {
        Waiter::Thread(platform::current())
    }

    /// Lets the waiter look again. An executor whose waker panics must not keep the others asleep.
    pub(crate) fn wake(self) {
        match self {
            Waiter::Thread(thread) => thread.unpark(),
            Waiter::Task(waker) => {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                    std::mem::forget(panic);
                }
            }
        }
    }
}

/// Sleeps until this thread is woken as a [`Waiter`], at most for `limit`; now and then less, for no reason.
pub(crate) fn park(limit: Option<Duration>) {
    match limit {
        Some(limit) => platform::park_timeout(limit),
        None => platform::park(),
    }
}
