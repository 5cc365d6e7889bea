//! The calls that may wait, for threads: they run their loader on the spot and park while somebody else loads.

use std::hash::BuildHasher;
use std::hash::Hash;
use std::time::Duration;
use std::time::Instant;

use equivalent::Equivalent;

use crate::cache::Cache;
use crate::core::Came;
use crate::core::Seat;
use crate::error::LoadError;
use crate::loaded::Loaded;
use crate::sync::Waiter;
use crate::sync::park;

use super::call::Call;
use super::call::FALLIBLE;
use super::call::INFALLIBLE;
use super::call::Leased;
use super::call::Next;
use super::call::Sharing;
use super::call::afresh;
use super::call::infallible;

/// Makes the call: at once if there is a value, else by loading, or by waiting for whoever does.
fn run<K, V, Q, E>(
    call: &Call<'_, K, V, Q>,
    sharing: &Sharing<E>,
    load: impl FnOnce() -> Result<Loaded<V>, E>,
) -> Result<V, LoadError<E>>
where
    K: Eq + Clone,
    V: Clone,
    Q: Equivalent<K> + ToOwned<Owned = K> + ?Sized,
{
    let mut next = call.start();
    loop {
        next = match next {
            Next::Value(value) => return Ok(value),
            Next::Failed(failure) => return Err(sharing.returned(failure)),
            Next::Reentrant => return Err(LoadError::Reentrant),
            Next::Wait(seat) => call.came(wait(seat)),
            Next::Lead(lease) => {
                let frame = lease.enter();
                let result = load();
                drop(frame);
                return call.settle(lease, result, sharing);
            }
        }
    }
}

fn wait<K, V: Clone>(mut seat: Seat<K, V>) -> Came<K, V> {
    loop {
        match seat.look(Waiter::this_thread()) {
            Ok(came) => return came,
            Err(limit) => park(limit),
        }
    }
}

/// As `wait`, but not beyond a moment.
fn wait_until<K, V: Clone>(mut seat: Seat<K, V>, end: Option<Instant>) -> Option<Came<K, V>> {
    loop {
        match (seat.look(Waiter::this_thread()), end.map(|end| end.saturating_duration_since(Instant::now()))) {
            (Ok(came), _) => return Some(came),
            (Err(_), Some(Duration::ZERO)) => return None,
            (Err(limit), left) => park(limit.into_iter().chain(left).min()),
        }
    }
}

impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
{
    /// The value of `key`, cloned; if there is none, `load` is run for it.
    ///
    /// Of all calls that miss the key at one time, through whatever method, one runs its loader, and the others get its value. What is
    /// written, removed or invalidated while the loader runs is not undone by it: the loader's value is then not stored. It goes to
    /// those who had been waiting already, unless something newer is there for them. If the loader panics, the panic reaches the
    /// caller, and one of those who wait runs its own.
    ///
    /// A hit costs what [`get`](Self::get) costs. Otherwise the stripe's lock is taken twice, once before and once after the loader, and
    /// the flight is one allocation; those who wait sleep. The loader runs under no lock: it may call the cache.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// assert_eq!(cache.get_with("k", || 1), 1);
    /// assert_eq!(cache.get_with("k", || unreachable!("it is there")), 1);
    /// # let _: brindle::Cache<String, i32> = cache;
    /// ```
    ///
    /// # Panics
    /// If the loader, directly or through loaders of other keys, makes this call for the key that it loads (the calls that may fail give
    /// [`LoadError::Reentrant`] then); and as [`insert`](Self::insert).
    #[inline]
    pub fn get_with<Q>(&self, key: &Q, load: impl FnOnce() -> V) -> V
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(value) = self.hit(key) {
            return value;
        }
        self.miss_with(key, load)
    }

    /// The rest of `get_with`, out of line, so that a hit stays small.
    #[cold]
    #[inline(never)]
    fn miss_with<Q>(&self, key: &Q, load: impl FnOnce() -> V) -> V
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        infallible(run(&self.call(key, INFALLIBLE), &Sharing::typed(), || Ok(Loaded::new(load()))))
    }

    /// As [`get_with`](Self::get_with), with a loader that may fail. All who wait for it get its error, cloned; nothing is stored, and
    /// the next call loads again (but see [`negative_ttl`](crate::Builder::negative_ttl)).
    ///
    /// Errors that cannot be cloned (`io::Error`, `anyhow::Error`) can be shared in an `Arc`: `.map_err(Arc::new)`; errors that borrow
    /// are for [`try_get_with_local`](Self::try_get_with_local).
    ///
    /// ```
    /// use brindle::LoadError;
    /// let cache = brindle::Cache::new(100);
    /// assert_eq!(cache.try_get_with(&1, || Err::<i32, _>("source is down")), Err(LoadError::Failed("source is down")));
    /// assert_eq!(cache.try_get_with(&1, || Ok::<_, &str>(1)), Ok(1));
    /// ```
    ///
    /// # Errors
    /// [`LoadError::Failed`] with the loader's error, this call's own or that of the one that it waited for;
    /// [`LoadError::Elsewhere`] if that was of another type; [`LoadError::Reentrant`] if the call would wait for itself.
    ///
    /// # Panics
    /// With what the loader panics with, and as [`insert`](Self::insert).
    #[inline]
    pub fn try_get_with<Q, E>(&self, key: &Q, load: impl FnOnce() -> Result<V, E>) -> Result<V, LoadError<E>>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        E: Clone + Send + Sync + 'static,
    {
        if let Some(value) = self.hit(key) {
            return Ok(value);
        }
        run(&self.call(key, FALLIBLE), &Sharing::typed(), || load().map(Loaded::new))
    }

    /// As [`try_get_with`](Self::try_get_with) for errors of any kind, those that borrow too. The error goes to the caller whose loader
    /// made it; the others, who waited for it, only learn that there was one.
    ///
    /// ```
    /// use brindle::LoadError;
    /// let cache: brindle::Cache<u32, u32> = brindle::Cache::new(100);
    /// let text = String::from("12a");
    /// let parse = || text.parse().map_err(|_| text.as_str());
    /// assert_eq!(cache.try_get_with_local(&1, parse), Err(LoadError::Failed("12a")));
    /// ```
    ///
    /// # Errors
    /// [`LoadError::Failed`] with the own loader's error; [`LoadError::Elsewhere`] if the call waited for another's;
    /// [`LoadError::Reentrant`] if it would wait for itself.
    ///
    /// # Panics
    /// As [`try_get_with`](Self::try_get_with).
    pub fn try_get_with_local<Q, E>(&self, key: &Q, load: impl FnOnce() -> Result<V, E>) -> Result<V, LoadError<E>>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(value) = self.hit(key) {
            return Ok(value);
        }
        run(&self.call(key, FALLIBLE), &Sharing::local(), || load().map(Loaded::new))
    }

    /// As [`try_get_with`](Self::try_get_with) for loaders that know the source's version of what they bring, or how long it lives. A value whose
    /// source is older than what is known of the key is returned but not stored.
    ///
    /// ```
    /// use brindle::Loaded;
    /// let cache = brindle::Cache::new(100);
    /// cache.load(&1, || Ok::<_, String>(Loaded::new("row").at(7)))?;
    /// assert!(cache.insert_at(1, "late", 6).is_err());
    /// # Ok::<(), brindle::LoadError<String>>(())
    /// ```
    ///
    /// # Errors
    /// As [`try_get_with`](Self::try_get_with).
    ///
    /// # Panics
    /// As [`try_get_with`](Self::try_get_with).
    pub fn load<Q, E>(&self, key: &Q, load: impl FnOnce() -> Result<Loaded<V>, E>) -> Result<V, LoadError<E>>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        E: Clone + Send + Sync + 'static,
    {
        if let Some(value) = self.hit(key) {
            return Ok(value);
        }
        run(&self.call(key, FALLIBLE), &Sharing::typed(), load)
    }

    /// Loads the value of `key` even if there is one; readers get the old one meanwhile. A load of the key that is under way already is
    /// waited for instead.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert(1, "old");
    /// assert_eq!(cache.refresh(&1, || "new"), "new");
    /// assert_eq!(cache.get(&1), Some("new"));
    /// ```
    ///
    /// # Panics
    /// As [`get_with`](Self::get_with).
    pub fn refresh<Q>(&self, key: &Q, load: impl FnOnce() -> V) -> V
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        infallible(run(&self.call(key, afresh(INFALLIBLE)), &Sharing::typed(), || Ok(Loaded::new(load()))))
    }

    /// As [`refresh`](Self::refresh), with a loader that may fail: then the old value stays.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert(1, "old");
    /// assert!(cache.try_refresh(&1, || Err("source is down")).is_err());
    /// assert_eq!(cache.get(&1), Some("old"));
    /// ```
    ///
    /// # Errors
    /// As [`try_get_with`](Self::try_get_with).
    ///
    /// # Panics
    /// As [`try_get_with`](Self::try_get_with).
    pub fn try_refresh<Q, E>(&self, key: &Q, load: impl FnOnce() -> Result<V, E>) -> Result<V, LoadError<E>>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        E: Clone + Send + Sync + 'static,
    {
        self.reload(key, || load().map(Loaded::new))
    }

    /// As [`try_refresh`](Self::try_refresh) for loaders that know the source's version of what they bring, or how long it lives.
    ///
    /// ```
    /// use brindle::Loaded;
    /// let cache = brindle::Cache::new(100);
    /// cache.insert_at(1, "new", 7).unwrap();
    /// // A replica that lags behind brings an older state: what is there stays, and is the answer.
    /// assert_eq!(cache.reload(&1, || Ok::<_, String>(Loaded::new("old").at(6))), Ok("new"));
    /// ```
    ///
    /// # Errors
    /// As [`try_get_with`](Self::try_get_with).
    ///
    /// # Panics
    /// As [`try_get_with`](Self::try_get_with).
    pub fn reload<Q, E>(&self, key: &Q, load: impl FnOnce() -> Result<Loaded<V>, E>) -> Result<V, LoadError<E>>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        E: Clone + Send + Sync + 'static,
    {
        run(&self.call(key, afresh(FALLIBLE)), &Sharing::typed(), load)
    }

    /// The value of `key`, or the right to fill it by hand; if somebody else loads it, waits for that, for as long as `patience` says
    /// (`None`: as long as it takes). Errors of others are no answer here: the caller gets the next lease.
    ///
    /// ```
    /// use brindle::Leased;
    /// use std::time::Duration;
    /// let cache = brindle::Cache::new(100);
    /// let Leased::Lease(lease) = cache.get_or_lease(&1, None) else { unreachable!("nobody else loads") };
    /// assert!(matches!(cache.get_or_lease(&1, Some(Duration::from_millis(1))), Leased::TimedOut));
    /// lease.fill("one").unwrap();
    /// assert!(matches!(cache.get_or_lease(&1, None), Leased::Value("one")));
    /// ```
    ///
    /// # Panics
    /// As [`insert`](Self::insert).
    pub fn get_or_lease<Q>(&self, key: &Q, patience: Option<Duration>) -> Leased<K, V>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(value) = self.hit(key) {
            return Leased::Value(value);
        }
        // A moment that the computer's clock cannot express never comes.
        let end = patience.and_then(|patience| Instant::now().checked_add(patience));
        let call = self.call(key, INFALLIBLE);
        let mut next = call.start();
        loop {
            next = match next {
                Next::Value(value) => return Leased::Value(value),
                Next::Lead(lease) => return Leased::Lease(lease),
                Next::Reentrant => return Leased::Reentrant,
                Next::Failed(_) => call.ask(),
                Next::Wait(seat) => match wait_until(seat, end) {
                    Some(came) => call.came(came),
                    None => return Leased::TimedOut,
                },
            }
        }
    }
}
