//! Many keys at once: one call of the loader for all that are missing, and a wait for those that others load. The wait is for all of
//! them together: whatever comes first, a lease that is handed over too, is seen to before anything else is waited for. And while the
//! loader runs, the call stands in no line: nothing can be handed to it that it would not come for.

use std::future::Future;
use std::future::poll_fn;
use std::hash::BuildHasher;
use std::hash::Hash;
use std::pin::Pin;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use equivalent::Equivalent;
use hashbrown::HashTable;

use crate::cache::Cache;
use crate::core::Came;
use crate::core::Lease;
use crate::core::Seat;
use crate::error::LoadError;
use crate::lineage::Frame;
use crate::loaded::Loaded;
use crate::sync::Waiter;
use crate::sync::park;

use super::call::Call;
use super::call::FALLIBLE;
use super::call::Next;
use super::call::Sharing;
use super::timer;
use super::timer::Timer;

/// A key that is missing, and the places in the answer that want it.
struct Want<K, V> {
    hash: u64,
    places: Vec<usize>,
    way: Way<K, V>,
}

/// How it is had.
enum Way<K, V> {
    /// This call loads it.
    Lead(Lease<K, V>),
    /// Somebody else does, and it is waited for.
    Wait(Seat<K, V>),
    /// Somebody else does, and it is asked for again later.
    Later,
    /// It was had, or given up.
    Over,
}

impl<K, V> Want<K, V> {
    fn key(&self) -> Option<&K> {
        match &self.way {
            Way::Lead(lease) => Some(lease.key()),
            Way::Wait(seat) => Some(seat.key()),
            Way::Later | Way::Over => None,
        }
    }

    fn lease(&self) -> Option<&Lease<K, V>> {
        if let Way::Lead(lease) = &self.way { Some(lease) } else { None }
    }

    fn take_lease(&mut self) -> Option<Lease<K, V>> {
        match std::mem::replace(&mut self.way, Way::Over) {
            Way::Lead(lease) => Some(lease),
            other => {
                self.way = other;
                None
            }
        }
    }
}

/// A call for many keys on its way.
struct Batch<'a, K, V, Q: ?Sized, S, E> {
    cache: &'a Cache<K, V, S>,
    keys: Vec<&'a Q>,
    answers: Vec<Option<V>>,
    wants: Vec<Want<K, V>>,
    /// Places in `wants`, by hash.
    by_hash: HashTable<usize>,
    sharing: Sharing<E>,
}

impl<'a, K, V, Q, S, E> Batch<'a, K, V, Q, S, E>
where
    K: Hash + Eq + Clone,
    V: Clone,
    Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    S: BuildHasher,
    E: Clone + Send + Sync + 'static,
{
    fn start(cache: &'a Cache<K, V, S>, keys: impl IntoIterator<Item = &'a Q>) -> Result<Self, LoadError<E>> {
        let keys: Vec<&Q> = keys.into_iter().collect();
        let answers = vec![None; keys.len()];
        let mut batch = Batch { cache, keys, answers, wants: Vec::new(), by_hash: HashTable::new(), sharing: Sharing::typed() };
        for place in 0..batch.keys.len() {
            if !batch.joins(place) {
                let call = batch.call(place);
                let next = cache.hit(batch.keys[place]).map_or_else(|| call.start(), Next::Value);
                batch.begin(place, next)?;
            }
        }
        Ok(batch)
    }

    fn call(&self, place: usize) -> Call<'a, K, V, Q> {
        self.cache.call(self.keys[place], FALLIBLE)
    }

    /// Is the key at `place` wanted already? Then its value goes there too.
    fn joins(&mut self, place: usize) -> bool {
        if self.wants.is_empty() {
            return false;
        }
        let key = self.keys[place];
        let wants = &self.wants;
        let is = |&at: &usize| wants[at].key().is_some_and(|wanted| key.equivalent(wanted));
        let Some(&at) = self.by_hash.find(self.cache.hash(key), is) else { return false };
        self.wants[at].places.push(place);
        true
    }

    /// The first step for the key at `place`.
    fn begin(&mut self, place: usize, next: Next<K, V>) -> Result<(), LoadError<E>> {
        if let Next::Value(value) = next {
            self.answers[place] = Some(value);
            return Ok(());
        }
        let (hash, at) = (self.cache.hash(self.keys[place]), self.wants.len());
        self.wants.push(Want { hash, places: vec![place], way: Way::Over });
        let wants = &self.wants;
        self.by_hash.insert_unique(hash, at, |&at| wants[at].hash);
        self.go_on(at, next)
    }

    /// The next step for something that is wanted.
    fn go_on(&mut self, at: usize, next: Next<K, V>) -> Result<(), LoadError<E>> {
        match next {
            Next::Value(value) => self.answer(at, &value),
            Next::Failed(failure) => return Err(self.sharing.returned(failure)),
            Next::Reentrant => return Err(LoadError::Reentrant),
            Next::Wait(seat) => self.wants[at].way = Way::Wait(seat),
            Next::Lead(lease) => self.wants[at].way = Way::Lead(lease),
        }
        Ok(())
    }

    fn answer(&mut self, at: usize, value: &V) {
        for &place in &self.wants[at].places {
            self.answers[place] = Some(value.clone());
        }
    }

    /// The keys to be loaded.
    fn wanted(&self) -> Vec<K> {
        self.wants.iter().filter_map(Want::lease).map(|lease| lease.key().clone()).collect()
    }

    /// While the frames live, this thread runs the loader.
    fn enter(&self) -> Vec<Frame> {
        self.wants.iter().filter_map(Want::lease).map(Lease::enter).collect()
    }

    /// The loader is done with the keys that it was given.
    fn deliver(&mut self, result: Result<Vec<(K, Loaded<V>)>, E>) -> Result<(), LoadError<E>> {
        let error = match result {
            Ok(loaded) => {
                loaded.into_iter().for_each(|(key, value)| self.deliver_one(&key, value));
                None
            }
            Err(error) => Some(error),
        };
        let mut failed = false;
        for at in 0..self.wants.len() {
            if let Some(lease) = self.wants[at].take_lease() {
                failed |= !self.do_without(at, lease, error.as_ref());
            }
        }
        error.filter(|_| failed).map_or(Ok(()), |error| Err(LoadError::Failed(error)))
    }

    fn deliver_one(&mut self, key: &K, loaded: Loaded<V>) {
        let wants = &self.wants;
        let is = |&at: &usize| wants[at].lease().is_some_and(|lease| lease.key() == key);
        let Some(&at) = self.by_hash.find(self.cache.hash(key), is) else { return };
        let Some(lease) = self.wants[at].take_lease() else { return };
        let call = self.call(self.wants[at].places[0]);
        if let Ok(value) = call.settle(lease, Ok(loaded), &self.sharing) {
            self.answer(at, &value);
        }
    }

    /// The loader has failed, or has not brought the key: then whoever waits for it loads it. Is there something to fall back on?
    fn do_without(&mut self, at: usize, lease: Lease<K, V>, error: Option<&E>) -> bool {
        match error {
            Some(error) => lease.fail_with(self.sharing.shared(error)),
            None => drop(lease),
        }
        let fallback = self.call(self.wants[at].places[0]).fallback();
        fallback.map(|value| self.answer(at, &value)).is_some()
    }

    /// Before the loader runs: what others load is asked for again afterwards.
    fn leave_lines(&mut self) {
        for want in self.wants.iter_mut().filter(|want| matches!(want.way, Way::Wait(_))) {
            want.way = Way::Later;
        }
    }

    fn ask_again(&mut self) -> Result<(), LoadError<E>> {
        for at in 0..self.wants.len() {
            if matches!(self.wants[at].way, Way::Later) {
                self.wants[at].way = Way::Over;
                let next = self.call(self.wants[at].places[0]).start();
                self.go_on(at, next)?;
            }
        }
        Ok(())
    }

    fn is_leading(&self) -> bool {
        self.wants.iter().any(|want| want.lease().is_some())
    }

    /// Is nothing waited for any more?
    fn is_over(&self) -> bool {
        self.wants.iter().all(|want| matches!(want.way, Way::Over))
    }

    /// Sees to all that has come. If nothing has, tells how long to sleep at most; `waiter` will be woken when something comes.
    fn look(&mut self, waiter: &Waiter) -> Result<(), Asleep<E>> {
        let (mut came, mut limit) = (Vec::new(), None);
        for (at, want) in self.wants.iter_mut().enumerate() {
            if let Way::Wait(seat) = &mut want.way {
                match seat.look(waiter.clone()) {
                    Ok(what) => came.push((at, what)),
                    Err(most) => limit = limit.into_iter().chain(most).min(),
                }
            }
        }
        if came.is_empty() {
            return Err(Asleep::For(limit));
        }
        came.into_iter().try_for_each(|(at, came)| self.came(at, came)).map_err(Asleep::Over)
    }

    fn came(&mut self, at: usize, came: Came<K, V>) -> Result<(), LoadError<E>> {
        // The seat goes first: it has brought what it had.
        self.wants[at].way = Way::Over;
        let next = self.call(self.wants[at].places[0]).came(came);
        self.go_on(at, next)
    }
}

/// Why a look at all that is waited for brought nothing.
enum Asleep<E> {
    /// Nothing has come: sleep, at most so long.
    For(Option<Duration>),
    /// The call ends with an error.
    Over(LoadError<E>),
}

/// What a loader brings. It may be lazy: then this is part of the load.
fn collected<K, V, R: Into<Loaded<V>>>(loaded: impl IntoIterator<Item = (K, R)>) -> Vec<(K, Loaded<V>)> {
    loaded.into_iter().map(|(key, value)| (key, value.into())).collect()
}

/// Polls a loader of many keys. What it calls knows which loads it is part of.
fn poll_inside<F: Future>(enter: impl FnOnce() -> Vec<Frame>, load: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
    let _frames = enter();
    load.poll(context)
}

impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
{
    /// The values of many keys, in their order; the missing ones are loaded by one call of `load`, which gets them all. Keys that others load
    /// at this moment are waited for, after the own ones are loaded; only if such a load comes to nothing `load` is called again, for that
    /// key. Each key has its own flight, as in [`get_with`](Self::get_with).
    ///
    /// The loader may bring a part: the answer is `None` where it brought nothing, and others who wait for such a key load it
    /// themselves. What it brings of keys that it was not asked for is left aside.
    ///
    /// ```
    /// let cache = brindle::Cache::new(100);
    /// cache.insert(1, "one");
    /// let rows = cache.try_get_many_with(&[1, 2, 3], |missing| {
    ///     assert_eq!(missing, [2, 3]);
    ///     Ok::<_, String>([(2, "two")])
    /// });
    /// assert_eq!(rows.unwrap(), [Some("one"), Some("two"), None]);
    /// ```
    ///
    /// # Errors
    /// As [`try_get_with`](Self::try_get_with), the first that comes up. What was loaded stays in the cache.
    ///
    /// # Panics
    /// As [`try_get_with`](Self::try_get_with).
    pub fn try_get_many_with<'a, Q, M, R, E>(
        &'a self,
        keys: impl IntoIterator<Item = &'a Q>,
        mut load: impl FnMut(Vec<K>) -> Result<M, E>,
    ) -> Result<Vec<Option<V>>, LoadError<E>>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized + 'a,
        M: IntoIterator<Item = (K, R)>,
        R: Into<Loaded<V>>,
        E: Clone + Send + Sync + 'static,
    {
        let mut batch = Batch::start(self, keys)?;
        while !batch.is_over() {
            if batch.is_leading() {
                batch.leave_lines();
                let (wanted, frames) = (batch.wanted(), batch.enter());
                let result = load(wanted).map(collected);
                drop(frames);
                batch.deliver(result)?;
                batch.ask_again()?;
                continue;
            }
            match batch.look(&Waiter::this_thread()) {
                Ok(()) => {}
                Err(Asleep::For(limit)) => park(limit),
                Err(Asleep::Over(error)) => return Err(error),
            }
        }
        Ok(batch.answers)
    }

    /// [`try_get_many_with`](Self::try_get_many_with) for tasks; see [`get_with_async`](Self::get_with_async).
    ///
    /// # Errors
    /// As [`try_get_many_with`](Self::try_get_many_with).
    ///
    /// # Panics
    /// As [`try_get_with`](Self::try_get_with).
    pub async fn try_get_many_with_async<'a, Q, F, M, R, E>(
        &'a self,
        keys: impl IntoIterator<Item = &'a Q>,
        mut load: impl FnMut(Vec<K>) -> F,
    ) -> Result<Vec<Option<V>>, LoadError<E>>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized + 'a,
        F: Future<Output = Result<M, E>>,
        M: IntoIterator<Item = (K, R)>,
        R: Into<Loaded<V>>,
        E: Clone + Send + Sync + 'static,
    {
        let mut batch = Batch::start(self, keys)?;
        while !batch.is_over() {
            if batch.is_leading() {
                batch.leave_lines();
                let loading = {
                    let (wanted, _frames) = (batch.wanted(), batch.enter());
                    load(wanted)
                };
                let mut loading = pin!(async { loading.await.map(collected) });
                let result = poll_fn(|context| poll_inside(|| batch.enter(), loading.as_mut(), context)).await;
                batch.deliver(result)?;
                batch.ask_again()?;
                continue;
            }
            let mut timer = None;
            poll_fn(|context| poll_look(&mut batch, &mut timer, context)).await?;
        }
        Ok(batch.answers)
    }
}

fn poll_look<K, V, Q, S, E>(
    batch: &mut Batch<'_, K, V, Q, S, E>,
    timer: &mut Option<Timer>,
    context: &mut Context<'_>,
) -> Poll<Result<(), LoadError<E>>>
where
    K: Hash + Eq + Clone,
    V: Clone,
    Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    S: BuildHasher,
    E: Clone + Send + Sync + 'static,
{
    timer::poll_until(timer, context, |waiter| match batch.look(waiter) {
        Ok(()) => Ok(Ok(())),
        Err(Asleep::Over(error)) => Ok(Err(error)),
        Err(Asleep::For(limit)) => Err(limit),
    })
}
