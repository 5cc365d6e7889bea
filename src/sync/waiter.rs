//! Who waits for a load: a thread that is parked, or a task that is to be polled again.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::task::Context;
use std::task::Wake;
use std::task::Waker;
use std::time::Duration;

use super::platform;

#[derive(Clone, Debug)]
pub(crate) enum Waiter {
    Thread(platform::Thread),
    Task(Sleeper),
}

/// The waker of a task. What the executor's code panics with when it is called or dropped is kept: it must not keep others asleep, nor take with it
/// what the owner has just been given.
#[derive(Clone, Debug)]
pub(crate) struct Sleeper(Option<Waker>);

impl Waiter {
    pub(crate) fn this_thread() -> Self {
        Waiter::Thread(platform::current())
    }

    pub(crate) fn task(context: &Context<'_>) -> Self {
        Waiter::Task(Sleeper::of(context))
    }

    /// Lets the waiter look again.
    pub(crate) fn wake(self) {
        match self {
            Waiter::Thread(thread) => thread.unpark(),
            Waiter::Task(mut sleeper) => quietly(|| sleeper.0.take().into_iter().for_each(Waker::wake)),
        }
    }
}

impl Sleeper {
    pub(crate) fn of(context: &Context<'_>) -> Self {
        Sleeper(Some(context.waker().clone()))
    }
}

/// As a waker for others' code, which may be worse prepared for panics.
impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        quietly(|| self.0.iter().for_each(Waker::wake_by_ref));
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        quietly(|| drop(self.0.take()));
    }
}

fn quietly(executors_code: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(executors_code)) {
        std::mem::forget(panic);
    }
}

/// Sleeps until this thread is woken as a [`Waiter`], at most for `limit`; now and then less, for no reason.
pub(crate) fn park(limit: Option<Duration>) {
    match limit {
        Some(limit) => platform::park_timeout(limit),
        None => platform::park(),
    }
}
