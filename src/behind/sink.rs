//! What the user brings: where the values go.

use std::fmt;
use std::future::Future;

use crate::entry::EntryRef;
use crate::rule::version::Version;

/// A value that was acknowledged and is not yet written. It keeps nothing alive but its key and value; cloning it clones neither.
pub struct Pending<K, V> {
    entry: EntryRef<K, V>,
}

impl<K, V> Pending<K, V> {
    pub(super) fn new(entry: EntryRef<K, V>) -> Self {
        Pending { entry }
    }

    pub(super) fn entry(&self) -> &EntryRef<K, V> {
        &self.entry
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &K {
        self.entry.key()
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &V {
        self.entry.value()
    }

    /// The version under which the cache has the value. Of one key it only rises from one batch to the next that has the key (or is the same,
    /// if a batch is written again): a sink that remembers it with the row can tell what it has already.
    #[must_use]
    pub fn version(&self) -> Version {
        self.entry.version()
    }
}

impl<K, V> Clone for Pending<K, V> {
    fn clone(&self) -> Self {
        Pending { entry: self.entry.clone() }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Pending<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pending = f.debug_struct("Pending");
        pending.field("key", self.key()).field("value", self.value()).field("version", &self.version()).finish()
    }
}

/// Where a [`WriteBehind`](crate::WriteBehind) writes to, for threads. Closures that take a batch are sinks.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
/// use brindle::{Pending, Sink};
///
/// struct Store(Mutex<HashMap<u64, String>>);
///
/// impl Sink<u64, String> for Store {
///     type Error = std::convert::Infallible;
///
///     fn write(&self, batch: &[Pending<u64, String>]) -> Result<(), Self::Error> {
///         let mut rows = self.0.lock().unwrap();
///         batch.iter().for_each(|item| { rows.insert(*item.key(), item.value().clone()); });
///         Ok(())
///     }
/// }
/// ```
pub trait Sink<K, V> {
    /// Why a batch was not written. All calls that wait for the sink get it.
    type Error: Send + Sync + 'static;

    /// Writes a batch: at most one value of each key, never none. One call at a time, on the thread of a caller of the [`WriteBehind`](crate::WriteBehind),
    /// under no lock. It must not wait for the same `WriteBehind`: what would is refused ([`SinkError::Reentrant`](crate::SinkError::Reentrant)).
    ///
    /// # Errors
    /// If not all of it is sure to be written; then all of it comes again. So what is written twice must do no harm. A panic counts as
    /// an error.
    fn write(&self, batch: &[Pending<K, V>]) -> Result<(), Self::Error>;
}

impl<K, V, E, F> Sink<K, V> for F
where
    F: Fn(&[Pending<K, V>]) -> Result<(), E>,
    E: Send + Sync + 'static,
{
    type Error = E;

    fn write(&self, batch: &[Pending<K, V>]) -> Result<(), E> {
        self(batch)
    }
}

/// Where a [`WriteBehind`](crate::WriteBehind) writes to, for tasks of any runtime. A type may be both, this and a [`Sink`].
///
/// ```
/// use brindle::{AsyncSink, Pending};
///
/// struct Store;
///
/// impl AsyncSink<u64, String> for Store {
///     type Error = std::io::Error;
///
///     async fn write(&self, batch: &[Pending<u64, String>]) -> Result<(), Self::Error> {
///         for item in batch {
///             send(*item.key(), item.value()).await?;
///         }
///         Ok(())
///     }
/// }
/// # async fn send(_: u64, _: &str) -> std::io::Result<()> { Ok(()) }
/// ```
pub trait AsyncSink<K, V> {
    /// Why a batch was not written. All calls that wait for the sink get it.
    type Error: Send + Sync + 'static;

    /// Writes a batch, as [`Sink::write`]. The future is polled as part of the caller's, and dropped with it: then the batch comes again.
    ///
    /// # Errors
    /// As [`Sink::write`].
    fn write(&self, batch: &[Pending<K, V>]) -> impl Future<Output = Result<(), Self::Error>> + Send;
}
