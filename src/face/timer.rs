//! Sleep for tasks: tokio's inside its runtime, where the feature is on, else that of a crate that needs none.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

pub(super) enum Timer {
    Small(futures_timer::Delay),
    #[cfg(feature = "tokio")]
    Tokio(Pin<Box<tokio::time::Sleep>>),
}

impl Timer {
    pub(super) fn new(duration: Duration) -> Self {
        #[cfg(feature = "tokio")]
        if tokio::runtime::Handle::try_current().is_ok() {
            return Timer::Tokio(Box::pin(tokio::time::sleep(duration)));
        }
        Timer::Small(futures_timer::Delay::new(duration))
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Timer::Small(delay) => Pin::new(delay).poll(context),
            #[cfg(feature = "tokio")]
            Timer::Tokio(sleep) => sleep.as_mut().poll(context),
        }
    }
}
