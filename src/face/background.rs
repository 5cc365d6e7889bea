//! Loads without a caller: what is stale or due is loaded by a task of the user's own runtime.

use std::future::Future;
use std::future::poll_fn;
use std::pin::Pin;
use std::pin::pin;

use crate::builder::Builder;
use crate::core::Lease;
use crate::failure::Failure;
use crate::loaded::Loaded;

use super::future::poll_inside;

/// A load that a [`spawner`](crate::Builder::spawner) is to run: poll it to its end. Dropped before, it gives up, and the next caller loads.
pub type BackgroundLoad = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<K, V, S> Builder<K, V, S>
where
    K: Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Who loads again what is stale ([`serve_stale`](Self::serve_stale)) or due ([`refresh_after`](Self::refresh_after),
    /// [`early_refresh`](Self::early_refresh)): a task that `spawn` starts, with a value that `reload` brings. Every caller gets the present value at
    /// once then. Both run on the calling thread, under no lock, and should be quick; what they panic with reaches the caller. Of one
    /// key there is one such load at a time, and it is fenced as any other. If it fails, the value stays for as long as it may be served.
    ///
    /// A runtime's own function will do for `spawn`: `|load| { tokio::spawn(load); }`. So will a thread:
    ///
    /// ```
    /// # use std::future::Future; use std::task::{Context, Poll, Waker}; use std::pin::pin;
    /// # fn block_on<T>(future: impl Future<Output = T>) -> T {
    /// #     match pin!(future).poll(&mut Context::from_waker(Waker::noop())) { Poll::Ready(value) => value, Poll::Pending => panic!() }
    /// # }
    /// use std::time::Duration;
    /// use brindle::{Cache, Clock, Loaded};
    /// let (clock, time) = Clock::mock();
    /// let cache = Cache::builder()
    ///     .refresh_after(Duration::from_secs(60))
    ///     .spawner(|load| { std::thread::spawn(move || block_on(load)); }, |&key| async move { Ok::<_, String>(Loaded::new(key * 10)) })
    ///     .clock(clock)
    ///     .build()?;
    /// cache.insert(1, 1);
    /// time.advance(Duration::from_secs(60));
    /// assert_eq!(cache.get_with(&1, || unreachable!("it is loaded in the background")), 1);
    /// while cache.get(&1) != Some(10) { std::thread::yield_now(); }
    /// # Ok::<(), brindle::BuildError>(())
    /// ```
    pub fn spawner<F, E>(
        self,
        spawn: impl Fn(BackgroundLoad) + Send + Sync + 'static,
        reload: impl Fn(&K) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Loaded<V>, E>> + Send + 'static,
        E: Send + Sync + 'static,
    {
        self.background(Box::new(move |lease| {
            let load = reload(lease.key());
            spawn(Box::pin(run(lease, load)));
        }))
    }
}

async fn run<K, V, E>(lease: Lease<K, V>, load: impl Future<Output = Result<Loaded<V>, E>>)
where
    K: Eq + Clone,
    V: Clone,
    E: Send + Sync + 'static,
{
    let lease = lease.begin();
    let mut load = pin!(load);
    match poll_fn(|context| poll_inside(&lease, load.as_mut(), context)).await {
        // If it was not stored, something newer was.
        Ok(loaded) => drop(lease.publish(loaded)),
        Err(error) => lease.fail_with(Failure::of(error)),
    }
}
