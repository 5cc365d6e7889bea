//! Writes through the cache, for threads and for tasks: stand in line, write the source, then the cache.

use std::future::Future;
use std::future::poll_fn;
use std::hash::BuildHasher;
use std::hash::Hash;
use std::pin::Pin;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;

use crate::cache::Cache;
use crate::core::Place;
use crate::core::Turn;
use crate::core::Writing;
use crate::entry::EntryRef;
use crate::error::WriteError;
use crate::loaded::Loaded;
use crate::rule::version::Version;
use crate::sync::Waiter;
use crate::sync::park;

use super::timer;

impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq + Clone,
    S: BuildHasher,
{
    /// Writes the source of truth, then the cache: `write` gets the entry that is there, writes the source, and says what it has now, best
    /// with its version. What the source has not acknowledged, the cache does not show; and no load that overlaps the write is stored,
    /// so none brings back what the source had before.
    ///
    /// Such writes of one key go one at a time, in the order in which they came, threads and tasks together; those of different keys
    /// at once. Reads, loads and other writes never wait for them. Until `write` returns readers get the old value, or none
    /// ([`while_writing`](crate::Builder::while_writing)); loads run, and what they bring goes to their callers alone. Then the value is
    /// stored, and the next one's turn comes. Takes the stripe's lock three times, for a short time each. In a
    /// cache without a [`load_timeout`](crate::Builder::load_timeout), a call whose future is leaked while it writes keeps those who come
    /// later waiting for ever, and the key from being filled by loads.
    ///
    /// If somebody else writes, removes or invalidates the key meanwhile, nobody knows which came first: then the answer is `None`, and
    /// the key is absent, but for an entry whose source version is at least as new. So it is if the value's source version is older
    /// than what is known of the key.
    ///
    /// ```
    /// use brindle::Loaded;
    /// # let mut row = (String::from("old"), 1);
    /// let cache = brindle::Cache::new(100);
    /// let version = cache.write_through(1, |_current| {
    ///     row = (String::from("new"), row.1 + 1); // The source, which may fail.
    ///     Ok::<_, std::io::Error>(Loaded::new(row.0.clone()).at(row.1))
    /// })?;
    /// assert_eq!(version.map(|version| version.source()), Some(2));
    /// assert_eq!(cache.get(&1).as_deref(), Some("new"));
    /// # Ok::<(), brindle::WriteError<std::io::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`WriteError::Failed`] with the error of `write`: the key is absent then, as nobody knows what the source has;
    /// [`WriteError::Reentrant`] if the call would wait for itself.
    ///
    /// # Panics
    /// With what `write` panics with, and then the key is absent; and as [`insert`](Self::insert).
    pub fn write_through<E>(
        &self,
        key: K,
        write: impl FnOnce(Option<EntryRef<K, V>>) -> Result<Loaded<V>, E>,
    ) -> Result<Option<Version>, WriteError<E>> {
        let hash = self.hash(&key);
        let writing = match self.core().stand_in_line(hash, key) {
            Turn::Now(writing) => writing,
            Turn::Wait(place) => wait(place),
            Turn::Reentrant => return Err(WriteError::Reentrant),
        };
        let frame = writing.enter();
        let written = write(writing.begin());
        drop(frame);
        settle(writing, written)
    }

    /// [`write_through`](Self::write_through) for tasks of any runtime. If the returned future is dropped while it waits for its turn, nothing has
    /// happened; if it is dropped while `write` runs, the key is absent.
    ///
    /// ```
    /// # use std::task::{Context, Poll, Waker}; use std::pin::pin;
    /// # fn block_on<T>(future: impl Future<Output = T>) -> T {
    /// #     match pin!(future).poll(&mut Context::from_waker(Waker::noop())) { Poll::Ready(value) => value, Poll::Pending => panic!() }
    /// # }
    /// # use brindle::Loaded;
    /// # async fn update(_name: &str) -> Result<u64, String> { Ok(7) }
    /// let cache = brindle::Cache::new(100);
    /// let write = cache.write_through_async(1, |_current| async {
    ///     let row_version = update("new").await?;
    ///     Ok::<_, String>(Loaded::new("new".to_string()).at(row_version))
    /// });
    /// assert!(block_on(write).unwrap().is_some());
    /// assert_eq!(cache.get(&1).as_deref(), Some("new"));
    /// ```
    ///
    /// # Errors
    /// As `write_through`.
    ///
    /// # Panics
    /// As `write_through`.
    pub async fn write_through_async<E, F>(
        &self,
        key: K,
        write: impl FnOnce(Option<EntryRef<K, V>>) -> F,
    ) -> Result<Option<Version>, WriteError<E>>
    where
        F: Future<Output = Result<Loaded<V>, E>>,
    {
        let hash = self.hash(&key);
        let writing = match self.core().stand_in_line(hash, key) {
            Turn::Now(writing) => writing,
            Turn::Wait(place) => wait_as_task(place).await,
            Turn::Reentrant => return Err(WriteError::Reentrant),
        };
        let writes = {
            let _frame = writing.enter();
            write(writing.begin())
        };
        let mut writes = pin!(writes);
        let written = poll_fn(|context| poll_inside(&writing, writes.as_mut(), context)).await;
        settle(writing, written)
    }
}

/// The turn ends by hand where the source refused: if a local's end panicked on the way out, the error would be lost with the return value
/// (rust-lang/rust#47949).
fn settle<K: Eq + Clone, V, E>(writing: Writing<K, V>, written: Result<Loaded<V>, E>) -> Result<Option<Version>, WriteError<E>> {
    match written {
        Ok(loaded) => Ok(writing.finish(loaded)),
        Err(error) => {
            drop(writing);
            Err(WriteError::Failed(error))
        }
    }
}

fn wait<K: Eq, V>(mut place: Place<K, V>) -> Writing<K, V> {
    loop {
        match place.look(Waiter::this_thread()) {
            Ok(writing) => return writing,
            Err(limit) => park(limit),
        }
    }
}

async fn wait_as_task<K: Eq, V>(mut place: Place<K, V>) -> Writing<K, V> {
    let mut timer = None;
    poll_fn(move |context| timer::poll_until(&mut timer, context, |waiter| place.look(waiter.clone()))).await
}

/// Polls a write of the source. What it calls knows which write it is part of.
fn poll_inside<K: Eq, V, F: Future>(writing: &Writing<K, V>, writes: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
    let _frame = writing.enter();
    writes.poll(context)
}
