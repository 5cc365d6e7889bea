//! Sleep for tasks, until they are woken or a time is up. The timers are tokio's inside its runtime, where the feature is on, else those
//! of a crate that needs none.

use std::future::Future;
#[cfg(feature = "tokio")]
use std::panic::catch_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;

#[cfg(feature = "tokio")]
use crate::sync::AtomicBool;
use crate::sync::Delay;
#[cfg(feature = "tokio")]
use crate::sync::Ordering;
use crate::sync::Sleeper;
use crate::sync::Waiter;
#[cfg(feature = "tokio")]
use crate::sync::global;

pub(crate) enum Timer {
    Small(Delay),
    #[cfg(feature = "tokio")]
    Tokio(Pin<Box<tokio::time::Sleep>>),
}

impl Timer {
    pub(crate) fn new(duration: Duration) -> Self {
        #[cfg(feature = "tokio")]
        if let Some(sleep) = tokio_sleep(duration) {
            return Timer::Tokio(sleep);
        }
        Timer::Small(Delay::new(duration))
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Timer::Small(delay) => {
                // All timers of the process are served by one thread, which a waker that panics would end.
                let sleeper = Waker::from(Arc::new(Sleeper::of(context)));
                Pin::new(delay).poll(&mut Context::from_waker(&sleeper))
            }
            #[cfg(feature = "tokio")]
            Timer::Tokio(sleep) => sleep.as_mut().poll(context),
        }
    }
}

/// `None` outside of tokio, and once a runtime was met that was built without timers: that cannot be asked, it panics.
#[cfg(feature = "tokio")]
fn tokio_sleep(duration: Duration) -> Option<Pin<Box<tokio::time::Sleep>>> {
    global! {
        static WITHOUT_TIME: AtomicBool = AtomicBool::new(false);
    }
    tokio::runtime::Handle::try_current().ok()?;
    if WITHOUT_TIME.load(Ordering::Relaxed) {
        return None;
    }
    let sleep = catch_unwind(|| Box::pin(tokio::time::sleep(duration)));
    // Relaxed: a hint, which orders nothing.
    sleep.map_err(|_| WITHOUT_TIME.store(true, Ordering::Relaxed)).ok()
}

/// Polls what `look` looks for: it finds something, or says how long to sleep at most before it is asked again.
pub(super) fn poll_until<T>(
    timer: &mut Option<Timer>,
    context: &mut Context<'_>,
    mut look: impl FnMut(&Waiter) -> Result<T, Option<Duration>>,
) -> Poll<T> {
    loop {
        let limit = match look(&Waiter::task(context)) {
            Ok(found) => return Poll::Ready(found),
            Err(None) => return Poll::Pending,
            Err(Some(limit)) => limit,
        };
        if timer.get_or_insert_with(|| Timer::new(limit)).poll(context).is_pending() {
            return Poll::Pending;
        }
        // The time may be longer by now, or the cache's clock slower: look again.
        *timer = None;
    }
}
