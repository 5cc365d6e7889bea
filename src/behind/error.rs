//! What can go wrong on the way to the sink.

use std::any::Any;
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::rule::version::Version;
use crate::unwind::Panic;
use crate::unwind::discard;

/// Why the sink has not written what it should, after all retries. Nothing is lost: what was acknowledged is pending still.
///
/// Mend the sink, and call again.
#[derive(Debug)]
#[non_exhaustive]
pub enum SinkError<E> {
    /// The error of its last try, shared by all calls that waited for it.
    Failed(Arc<E>),
    /// It panicked at its last try, with this message if it was text.
    Panicked(Option<String>),
    /// The call was made by the sink itself, or by user code that runs before the sink's turn is over, and would wait for itself. Make it from another
    /// thread or task, and do not wait for that either.
    Reentrant,
}

impl<E> SinkError<E> {
    /// What one try has come to.
    pub(super) fn of(attempt: Result<Result<(), E>, Panic>) -> Result<(), Self> {
        match attempt {
            Ok(result) => result.map_err(|error| SinkError::Failed(Arc::new(error))),
            Err(panic) => Err(SinkError::Panicked(message(panic))),
        }
    }
}

impl<E: Send + Sync + 'static> SinkError<E> {
    /// For those who wait.
    pub(super) fn share(&self) -> Trouble {
        match self {
            SinkError::Failed(error) => Trouble::Failed(Arc::clone(error) as Arc<dyn Any + Send + Sync>),
            SinkError::Panicked(message) => Trouble::Panicked(message.clone()),
            SinkError::Reentrant => Trouble::Reentrant,
        }
    }

    /// What another call shares, if its sink has the same errors.
    pub(super) fn shared(trouble: Trouble) -> Option<Self> {
        Some(match trouble {
            Trouble::Failed(error) => SinkError::Failed(error.downcast().ok()?),
            Trouble::Panicked(message) => SinkError::Panicked(message),
            Trouble::Reentrant => SinkError::Reentrant,
        })
    }
}

/// A [`SinkError`] without its type, as a sink for threads and one for tasks may have different ones.
#[derive(Clone)]
pub(super) enum Trouble {
    Failed(Arc<dyn Any + Send + Sync>),
    Panicked(Option<String>),
    Reentrant,
}

fn message(panic: Panic) -> Option<String> {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    discard(panic);
    text
}

impl<E> Clone for SinkError<E> {
    fn clone(&self) -> Self {
        match self {
            SinkError::Failed(error) => SinkError::Failed(Arc::clone(error)),
            SinkError::Panicked(message) => SinkError::Panicked(message.clone()),
            SinkError::Reentrant => SinkError::Reentrant,
        }
    }
}

impl<E: fmt::Display> fmt::Display for SinkError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SinkError::Failed(error) => error.fmt(f),
            SinkError::Panicked(Some(message)) => write!(f, "the sink panicked: mend it and call again ({message})"),
            SinkError::Panicked(None) => f.write_str("the sink panicked: mend it and call again"),
            SinkError::Reentrant => {
                f.write_str("the call would wait for the sink that it was made from: let the sink not write to its own queue")
            }
        }
    }
}

impl<E: Error + 'static> Error for SinkError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // Its text is the error's own, so what comes next is the error's source.
            SinkError::Failed(error) => error.source(),
            SinkError::Panicked(_) | SinkError::Reentrant => None,
        }
    }
}

/// A pair that a [`WriteBehind`](crate::WriteBehind) did not take. Nothing has changed, in the cache neither.
#[non_exhaustive]
pub struct Unwritten<K, V, E = Infallible> {
    /// The key, given back.
    pub key: K,
    /// The value, given back.
    pub value: V,
    /// Why.
    pub why: WhyUnwritten<E>,
}

impl<K, V, E> Unwritten<K, V, E> {
    pub(super) fn new((key, value): (K, V), why: WhyUnwritten<E>) -> Self {
        Unwritten { key, value, why }
    }
}

/// Why a [`WriteBehind`](crate::WriteBehind) did not take a pair.
#[derive(Debug)]
#[non_exhaustive]
pub enum WhyUnwritten<E = Infallible> {
    /// There is no room, and the call does not wait.
    Full,
    /// It was closed.
    Closed,
    /// The value weighs more than the whole cache may.
    TooHeavy {
        /// What the weigher said of it.
        weight: u64,
        /// What the cache may weigh.
        capacity: u64,
    },
    /// The value's source version (see [`versioned_by`](crate::Builder::versioned_by)) is not newer than what the cache knows of the key, which is
    /// this version.
    Superseded(Version),
    /// There was no room, and the sink that should have made it failed.
    Sink(SinkError<E>),
}

impl<E: fmt::Display> fmt::Display for WhyUnwritten<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WhyUnwritten::Full => f.write_str("too much is pending: flush, or wait for room with `insert`"),
            WhyUnwritten::Closed => f.write_str("closed: write before `close`, or build another `WriteBehind`"),
            WhyUnwritten::TooHeavy { weight, capacity } => {
                write!(
                    f,
                    "the value weighs {weight} and the whole cache may weigh {capacity}: make it lighter or raise the capacity"
                )
            }
            WhyUnwritten::Superseded(version) => {
                write!(f, "a newer state of the key is known (version {version}): read the source again, or drop the write")
            }
            WhyUnwritten::Sink(error) => write!(f, "no room, and the sink makes none: {error}"),
        }
    }
}

impl<K, V, E: fmt::Display> fmt::Display for Unwritten<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

// By hand, so that it needs no `Debug` of the user's keys and values.
impl<K, V, E: fmt::Debug> fmt::Debug for Unwritten<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unwritten").field("why", &self.why).finish_non_exhaustive()
    }
}

impl<K, V, E: Error + 'static> Error for Unwritten<K, V, E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.why {
            WhyUnwritten::Sink(error) => error.source(),
            _ => None,
        }
    }
}
