//! The calls that may wait, for tasks of any runtime: the loader is a future, polled as part of the caller's, and whoever waits for
//! somebody else's is woken.

use std::future::Future;
use std::future::poll_fn;
use std::hash::BuildHasher;
use std::hash::Hash;
use std::pin::Pin;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;

use equivalent::Equivalent;

use crate::cache::Cache;
use crate::core::Came;
use crate::core::Lease;
use crate::core::Seat;
use crate::error::LoadError;
use crate::loaded::Loaded;

use super::call::Call;
use super::call::FALLIBLE;
use super::call::INFALLIBLE;
use super::call::Leased;
use super::call::Next;
use super::call::Sharing;
use super::call::afresh;
use super::call::infallible;
use super::timer;

/// Makes the call: at once if there is a value, else by loading, or by waiting for whoever does.
async fn run<K, V, Q, E>(
    call: Call<'_, K, V, Q>,
    sharing: Sharing<E>,
    load: impl Future<Output = Result<Loaded<V>, E>>,
) -> Result<V, LoadError<E>>
where
    K: Eq + Clone,
    V: Clone,
    Q: Equivalent<K> + ToOwned<Owned = K> + ?Sized,
{
    // Declared first, so that a loader that is dropped is gone when its lease passes on.
    let mut leading = None;
    let mut load = pin!(load);
    let mut next = call.start();
    loop {
        next = match next {
            Next::Value(value) => return Ok(value),
            Next::Failed(failure) => return Err(sharing.returned(failure)),
            Next::Reentrant => return Err(LoadError::Reentrant),
            Next::Wait(seat) => call.came(wait(seat).await),
            Next::Lead(lease) => {
                let lease = &*leading.insert(lease);
                let result = poll_fn(|context| poll_inside(lease, load.as_mut(), context)).await;
                let lease = leading.take().expect("it was put there");
                return call.settle(lease, result, &sharing);
            }
        }
    }
}

/// Polls a loader. What it calls knows which load it is part of.
pub(super) fn poll_inside<K, V, F: Future>(lease: &Lease<K, V>, load: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
    let _frame = lease.enter();
    load.poll(context)
}

async fn wait<K, V: Clone>(mut seat: Seat<K, V>) -> Came<K, V> {
    let mut timer = None;
    poll_fn(move |context| timer::poll_until(&mut timer, context, |waiter| seat.look(waiter.clone()))).await
}

impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
{
    /// [`get_with`](Self::get_with) for tasks: the value of `key`, cloned; if there is none, `load` is awaited for it.
    ///
    /// All that `get_with` says holds; threads and tasks share one flight for each key. Needs no particular runtime. On a hit `load` is
    /// dropped without being polled. If the returned future is dropped while it loads, one of those who wait polls its own loader; if
    /// it is dropped while it waits, nobody notices.
    ///
    /// ```
    /// # use std::pin::pin; use std::task::{Context, Poll, Waker}; use std::future::Future;
    /// # fn block_on<T>(future: impl Future<Output = T>) -> T {
    /// #     match pin!(future).poll(&mut Context::from_waker(Waker::noop())) { Poll::Ready(value) => value, Poll::Pending => panic!() }
    /// # }
    /// # block_on(async {
    /// let cache = brindle::Cache::new(100);
    /// assert_eq!(cache.get_with_async("k", async { 1 }).await, 1);
    /// assert_eq!(cache.get("k"), Some(1));
    /// # let _: brindle::Cache<String, i32> = cache;
    /// # });
    /// ```
    ///
    /// # Panics
    /// As [`get_with`](Self::get_with).
    pub async fn get_with_async<Q>(&self, key: &Q, load: impl Future<Output = V>) -> V
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(value) = self.hit(key) {
            return value;
        }
        let load = async { Ok(Loaded::new(load.await)) };
        infallible(run(self.call(key, INFALLIBLE), Sharing::typed(), load).await)
    }

    /// [`try_get_with`](Self::try_get_with) for tasks; see [`get_with_async`](Self::get_with_async).
    ///
    /// ```
    /// # use std::pin::pin; use std::task::{Context, Poll, Waker}; use std::future::Future;
    /// # fn block_on<T>(future: impl Future<Output = T>) -> T {
    /// #     match pin!(future).poll(&mut Context::from_waker(Waker::noop())) { Poll::Ready(value) => value, Poll::Pending => panic!() }
    /// # }
    /// # block_on(async {
    /// let cache: brindle::Cache<u32, u32> = brindle::Cache::new(100);
    /// assert!(cache.try_get_with_async(&1, async { Err("source is down") }).await.is_err());
    /// assert_eq!(cache.try_get_with_async(&1, async { Ok::<_, String>(1) }).await, Ok(1));
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`try_get_with`](Self::try_get_with).
    ///
    /// # Panics
    /// As [`try_get_with`](Self::try_get_with).
    pub async fn try_get_with_async<Q, E>(&self, key: &Q, load: impl Future<Output = Result<V, E>>) -> Result<V, LoadError<E>>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        E: Clone + Send + Sync + 'static,
    {
        if let Some(value) = self.hit(key) {
            return Ok(value);
        }
        run(self.call(key, FALLIBLE), Sharing::typed(), async { load.await.map(Loaded::new) }).await
    }

    /// [`load`](Self::load) for tasks; see [`get_with_async`](Self::get_with_async).
    ///
    /// # Errors
    /// As [`try_get_with`](Self::try_get_with).
    ///
    /// # Panics
    /// As [`try_get_with`](Self::try_get_with).
    pub async fn load_async<Q, E>(&self, key: &Q, load: impl Future<Output = Result<Loaded<V>, E>>) -> Result<V, LoadError<E>>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        E: Clone + Send + Sync + 'static,
    {
        if let Some(value) = self.hit(key) {
            return Ok(value);
        }
        run(self.call(key, FALLIBLE), Sharing::typed(), load).await
    }

    /// [`refresh`](Self::refresh) for tasks; see [`get_with_async`](Self::get_with_async).
    ///
    /// # Panics
    /// As [`get_with`](Self::get_with).
    pub async fn refresh_async<Q>(&self, key: &Q, load: impl Future<Output = V>) -> V
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let load = async { Ok(Loaded::new(load.await)) };
        infallible(run(self.call(key, afresh(INFALLIBLE)), Sharing::typed(), load).await)
    }

    /// [`try_refresh`](Self::try_refresh) for tasks; see [`get_with_async`](Self::get_with_async).
    ///
    /// # Errors
    /// As [`try_get_with`](Self::try_get_with).
    ///
    /// # Panics
    /// As [`try_get_with`](Self::try_get_with).
    pub async fn try_refresh_async<Q, E>(&self, key: &Q, load: impl Future<Output = Result<V, E>>) -> Result<V, LoadError<E>>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        E: Clone + Send + Sync + 'static,
    {
        self.reload_async(key, async { load.await.map(Loaded::new) }).await
    }

    /// [`reload`](Self::reload) for tasks; see [`get_with_async`](Self::get_with_async).
    ///
    /// # Errors
    /// As [`try_get_with`](Self::try_get_with).
    ///
    /// # Panics
    /// As [`try_get_with`](Self::try_get_with).
    pub async fn reload_async<Q, E>(&self, key: &Q, load: impl Future<Output = Result<Loaded<V>, E>>) -> Result<V, LoadError<E>>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        E: Clone + Send + Sync + 'static,
    {
        run(self.call(key, afresh(FALLIBLE)), Sharing::typed(), load).await
    }

    /// [`get_or_lease`](Self::get_or_lease) for tasks: drop the future, or put it under your runtime's timeout, to wait no longer.
    ///
    /// # Panics
    /// As [`insert`](Self::insert).
    pub async fn get_or_lease_async<Q>(&self, key: &Q) -> Leased<K, V>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(value) = self.hit(key) {
            return Leased::Value(value);
        }
        let call = self.call(key, INFALLIBLE);
        let mut next = call.start();
        loop {
            next = match next {
                Next::Value(value) => return Leased::Value(value),
                Next::Lead(lease) => return Leased::Lease(lease),
                Next::Reentrant => return Leased::Reentrant,
                Next::Failed(_) => call.ask(),
                Next::Wait(seat) => call.came(wait(seat).await),
            }
        }
    }
}
