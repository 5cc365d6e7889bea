//! Many keys at once: one call of the loader for all that are missing, and a wait for those that others load.

use std::future::Future;
use std::future::poll_fn;
use std::hash::BuildHasher;
use std::hash::Hash;
use std::pin::Pin;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;

use equivalent::Equivalent;
use hashbrown::HashTable;

use crate::cache::Cache;
use crate::core::Came;
use crate::core::Lease;
use crate::core::Seat;
use crate::error::LoadError;
use crate::lineage::Frame;
use crate::loaded::Loaded;

use super::blocking;
use super::call::Call;
use super::call::FALLIBLE;
use super::call::Next;
use super::call::Sharing;
use super::future;

/// A key that this call loads, and the places in the answer that want it.
struct Led<K, V> {
    hash: u64,
    /// `None` once its value was delivered, or given up.
    lease: Option<Lease<K, V>>,
    places: Vec<usize>,
}

/// A call for many keys on its way.
struct Batch<'a, K, V, Q: ?Sized, S, E> {
    cache: &'a Cache<K, V, S>,
    keys: Vec<&'a Q>,
    answers: Vec<Option<V>>,
    led: Vec<Led<K, V>>,
    /// Places in `led`, by hash.
    by_hash: HashTable<usize>,
    /// Loads of others, and the places in the answer that want them.
    waiting: Vec<(Seat<K, V>, usize)>,
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
        let (led, waiting, by_hash) = (Vec::new(), Vec::new(), HashTable::new());
        let mut batch = Batch { cache, keys, answers, led, by_hash, waiting, sharing: Sharing::typed() };
        for place in 0..batch.keys.len() {
            if !batch.is_led(place) {
                let call = batch.call(place);
                let next = cache.hit(batch.keys[place]).map_or_else(|| call.start(), Next::Value);
                batch.take(place, next)?;
            }
        }
        Ok(batch)
    }

    fn call(&self, place: usize) -> Call<'a, K, V, Q> {
        self.cache.call(self.keys[place], FALLIBLE)
    }

    /// Is the key at `place` one that this call loads already? Then its value goes there too.
    fn is_led(&mut self, place: usize) -> bool {
        if self.led.is_empty() {
            return false;
        }
        let key = self.keys[place];
        let hash = self.cache.hash(key);
        let led = &mut self.led;
        let is = |&at: &usize| led[at].hash == hash && led[at].lease.as_ref().is_some_and(|lease| key.equivalent(lease.key()));
        let Some(&at) = self.by_hash.find(hash, is) else { return false };
        led[at].places.push(place);
        true
    }

    fn take(&mut self, place: usize, next: Next<K, V>) -> Result<(), LoadError<E>> {
        match next {
            Next::Value(value) => self.answers[place] = Some(value),
            Next::Failed(failure) => return Err(self.sharing.returned(failure)),
            Next::Reentrant => return Err(LoadError::Reentrant),
            Next::Wait(seat) => self.waiting.push((seat, place)),
            Next::Lead(lease) => {
                let (hash, at) = (self.cache.hash(self.keys[place]), self.led.len());
                self.led.push(Led { hash, lease: Some(lease), places: vec![place] });
                let led = &self.led;
                self.by_hash.insert_unique(hash, at, |&at| led[at].hash);
            }
        }
        Ok(())
    }

    /// The keys to be loaded.
    fn wanted(&self) -> Vec<K> {
        self.led.iter().filter_map(|led| led.lease.as_ref()).map(|lease| lease.key().clone()).collect()
    }

    /// While the frames live, this thread runs the loader.
    fn enter(&self) -> Vec<Frame> {
        self.led.iter().filter_map(|led| led.lease.as_ref()).map(Lease::enter).collect()
    }

    /// The loader is done with the keys that it was given. What it did not bring is given up: whoever waits for it loads it.
    fn deliver<M, R>(&mut self, result: Result<M, E>) -> Result<(), LoadError<E>>
    where
        M: IntoIterator<Item = (K, R)>,
        R: Into<Loaded<V>>,
    {
        match result {
            Ok(loaded) => loaded.into_iter().for_each(|(key, value)| self.deliver_one(&key, value.into())),
            Err(error) => return Err(self.fail(error)),
        }
        self.led.clear();
        self.by_hash.clear();
        Ok(())
    }

    fn deliver_one(&mut self, key: &K, loaded: Loaded<V>) {
        let hash = self.cache.hash(key);
        let led = &self.led;
        let is = |&at: &usize| led[at].lease.as_ref().is_some_and(|lease| lease.key() == key);
        let Some(&at) = self.by_hash.find(hash, is) else { return };
        let Some(lease) = self.led[at].lease.take() else { return };
        let call = self.call(self.led[at].places[0]);
        let Ok(value) = call.settle(lease, Ok(loaded), &self.sharing) else { return };
        for place in std::mem::take(&mut self.led[at].places) {
            self.answers[place] = Some(value.clone());
        }
    }

    /// All the keys have failed, for those too who wait for one of them.
    fn fail(&mut self, error: E) -> LoadError<E> {
        for lease in self.led.drain(..).filter_map(|led| led.lease) {
            lease.fail_with(self.sharing.shared(&error));
        }
        self.by_hash.clear();
        LoadError::Failed(error)
    }

    /// What a wait has brought.
    fn came(&mut self, came: Came<K, V>, place: usize) -> Result<(), LoadError<E>> {
        let next = self.call(place).came(came);
        self.take(place, next)
    }
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
        loop {
            if !batch.led.is_empty() {
                let wanted = batch.wanted();
                let frames = batch.enter();
                let result = load(wanted);
                drop(frames);
                batch.deliver(result)?;
            }
            let Some((seat, place)) = batch.waiting.pop() else { return Ok(batch.answers) };
            batch.came(blocking::wait(seat), place)?;
        }
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
        loop {
            if !batch.led.is_empty() {
                let loading = {
                    let (wanted, _frames) = (batch.wanted(), batch.enter());
                    load(wanted)
                };
                let mut loading = pin!(loading);
                let result = poll_fn(|context| poll_inside(|| batch.enter(), loading.as_mut(), context)).await;
                batch.deliver(result)?;
            }
            let Some((seat, place)) = batch.waiting.pop() else { return Ok(batch.answers) };
            batch.came(future::wait(seat).await, place)?;
        }
    }
}
