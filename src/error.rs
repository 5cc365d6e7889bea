//! Every error of the public face. Each says what to change, and gives back what the caller handed in.

use std::error::Error;
use std::fmt;

use crate::entry::EntryRef;
use crate::failure::Failure;
use crate::rule::version::Version;

/// A choice in the [`Builder`](crate::Builder) that no cache can be built with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// Zero stripes were asked for.
    NoStripes,
    /// More stripes were asked for than there can be; the field is that greatest number.
    TooManyStripes(usize),
    /// A fail-safe was asked for, but no time for which stale values may be served.
    NothingStale,
    /// The factor of the early refresh is negative or no number.
    EarlyRefresh,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::NoStripes => f.write_str("a cache needs a stripe: ask for one or more, or leave `stripes` out"),
            BuildError::NothingStale => {
                f.write_str("nothing stale may be served: say for how long with `serve_stale`, or leave `fail_safe` out")
            }
            BuildError::EarlyRefresh => f.write_str("an early refresh needs a factor of zero or more: 1 is a good one"),
            BuildError::TooManyStripes(most) => write!(f, "too many stripes: ask for {most} or fewer, or leave `stripes` out"),
        }
    }
}

impl Error for BuildError {}

/// A write whose source version is not newer than what the cache knows of the key, or older than it can still judge.
///
/// Nothing has changed. A writer that refilled the cache can let it be: what is there, or was there, is newer.
#[non_exhaustive]
pub struct Superseded<K, V> {
    /// The key, given back.
    pub key: K,
    /// The value, given back.
    pub value: V,
    /// The version that stands in the way: of the entry or, if the key is absent, of its removal, or of the highest removal that the
    /// stripe has forgotten; both parts zero where only that something was forgotten is known.
    pub current: Version,
}

/// A conditional write that found another state than it expected.
///
/// Nothing has changed. Read `current`, and try again from there if the write still makes sense.
#[non_exhaustive]
pub struct Conflict<K, V> {
    /// The key, given back.
    pub key: K,
    /// The value, given back.
    pub value: V,
    /// The entry that is there; `None` if the key is absent.
    pub current: Option<EntryRef<K, V>>,
}

/// A value that weighs more than the whole cache may. Nothing has changed.
///
/// Make the value lighter or the cache larger.
#[non_exhaustive]
pub struct TooHeavy<K, V> {
    /// The key, given back.
    pub key: K,
    /// The value, given back.
    pub value: V,
    /// What the weigher said of it.
    pub weight: u64,
    /// What the cache may weigh.
    pub capacity: u64,
}

/// A transaction that changed nothing, because one of its keys is not in the state that it needs. (Where that is a source version which
/// came late, what it shows to be old of its key is not served any more, as after a refused [`insert_at`](crate::Cache::insert_at).)
///
/// Read again, and start over from what is there, if the transaction still makes sense.
///
/// ```
/// use brindle::WhyAborted;
/// let cache = brindle::Cache::new(100);
/// let version = cache.insert("k", 1);
/// let aborted = cache.transaction(|t| {
///     t.expect_version(&"other", version);
///     t.insert("k", 2);
/// }).unwrap_err();
/// assert_eq!((aborted.key, aborted.why), ("other", WhyAborted::Conflict { current: None }));
/// assert_eq!(aborted.others, [("k", 2)]);
/// ```
#[non_exhaustive]
pub struct Aborted<K, V> {
    /// The key.
    pub key: K,
    /// What stands in the way.
    pub why: WhyAborted,
    /// The value that was to be written for the key, if there was one, given back.
    pub value: Option<V>,
    /// The other keys and values that were to be written, given back.
    pub others: Vec<(K, V)>,
}

/// What a [transaction](crate::Cache::transaction) found of a key, and could not go on with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WhyAborted {
    /// The key is not in the expected state: this is the version that it has, if it has an entry.
    Conflict {
        /// The entry's version; `None` if the key is absent.
        current: Option<Version>,
    },
    /// A source version is not newer than what is known of the key.
    Superseded {
        /// As in [`Superseded::current`].
        current: Version,
    },
}

/// A [`try_transaction`](crate::Cache::try_transaction) that changed nothing.
#[non_exhaustive]
pub enum TransactionError<K, V, E> {
    /// One of its keys is not in the state that it needs.
    Aborted(Aborted<K, V>),
    /// Its body gave up, with this error.
    Failed(E),
}

/// A load that brought no value.
///
/// ```
/// use brindle::LoadError;
/// let cache: brindle::Cache<u32, u32> = brindle::Cache::new(100);
/// let error = cache.try_get_with(&1, || Err("no such row")).unwrap_err();
/// assert_eq!(error, LoadError::Failed("no such row"));
/// assert_eq!(cache.try_get_with(&1, || Ok::<_, String>(1)), Ok(1));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader failed: the caller's own, or the one that it waited for, whose error is then cloned for all who did.
    Failed(E),
    /// The loader that the call waited for failed with an error of another type.
    Elsewhere(Failure),
    /// The call is part of the load that it would wait for: a loader asked for its own key, directly or through the loaders of other
    /// keys.
    Reentrant,
}

impl<E: PartialEq> PartialEq for LoadError<E> {
    /// Errors of other types are never equal.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (LoadError::Failed(one), LoadError::Failed(two)) => one == two,
            (LoadError::Reentrant, LoadError::Reentrant) => true,
            _ => false,
        }
    }
}

impl<E: fmt::Display> fmt::Display for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Failed(error) => error.fmt(f),
            LoadError::Elsewhere(failure) => failure.fmt(f),
            LoadError::Reentrant => {
                f.write_str("a loader waits for its own result: let it not ask the cache for the key that it loads")
            }
        }
    }
}

impl<E: fmt::Display> fmt::Display for WriteError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Failed(error) => error.fmt(f),
            WriteError::Reentrant => f.write_str("a write waits for its own end: let it not write its own key through the cache"),
        }
    }
}

impl<E: Error + 'static> Error for WriteError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // As in `LoadError`.
            WriteError::Failed(error) => error.source(),
            WriteError::Reentrant => None,
        }
    }
}

impl<E: Error + 'static> Error for LoadError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // Its text is the error's own, so what comes next is the error's source.
            LoadError::Failed(error) => error.source(),
            LoadError::Elsewhere(_) | LoadError::Reentrant => None,
        }
    }
}

/// A [write through the cache](crate::Cache::write_through) that did not take place, or of which nobody knows whether it did.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WriteError<E> {
    /// The write of the source failed, with this error. The key is absent.
    Failed(E),
    /// The call is part of the write that it would wait for: a write of the source writes its own key through the cache, directly or
    /// through those of other keys or loaders. Nothing has changed.
    Reentrant,
}

/// A value that a [`Lease`](crate::Lease) could not store.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unfilled<V> {
    /// The value, given back.
    pub value: V,
    /// Why.
    pub why: WhyUnfilled,
}

/// Why a [`Lease`](crate::Lease) could not store a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WhyUnfilled {
    /// The key was written, removed or invalidated since the lease was given.
    Fenced,
    /// The lease was older than the [`load_timeout`](crate::Builder::load_timeout).
    TimedOut,
    /// The value's source version is older than what is known of the key, which is this version.
    Older(Version),
}

impl fmt::Display for WhyUnfilled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WhyUnfilled::Fenced => {
                f.write_str("the key was written or invalidated since the lease was given: read the cache again")
            }
            WhyUnfilled::TimedOut => f.write_str("the load took longer than `load_timeout`: raise it, or load faster"),
            WhyUnfilled::Older(version) => {
                write!(f, "a newer state of the key is known (version {version}): read the source again")
            }
        }
    }
}

impl<V> fmt::Display for Unfilled<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl<V> fmt::Debug for Unfilled<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unfilled").field("why", &self.why).finish_non_exhaustive()
    }
}

impl<V> Error for Unfilled<V> {}

impl<K, V> fmt::Display for Superseded<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a newer state of the key is known (version {}): read the source again, or drop the write", self.current)
    }
}

impl<K, V> fmt::Display for Conflict<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.current {
            Some(entry) => write!(f, "the entry has version {}: start again from the current entry", entry.version()),
            None => f.write_str("the key has no entry: expect `Expected::Absent` to create it"),
        }
    }
}

impl fmt::Display for WhyAborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WhyAborted::Conflict { current: Some(version) } => {
                write!(f, "a key of the transaction has version {version}: start again from the current entries")
            }
            WhyAborted::Conflict { current: None } => {
                f.write_str("a key of the transaction has no entry: start again from the current entries")
            }
            WhyAborted::Superseded { current } => {
                write!(f, "a newer state of a key of the transaction is known (version {current}): read the source again")
            }
        }
    }
}

impl<K, V> fmt::Display for Aborted<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl<K, V, E: fmt::Display> fmt::Display for TransactionError<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransactionError::Aborted(aborted) => aborted.fmt(f),
            TransactionError::Failed(error) => error.fmt(f),
        }
    }
}

impl<K, V> fmt::Display for TooHeavy<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the value weighs {} and the whole cache may weigh {}: make it lighter or raise the capacity",
            self.weight, self.capacity
        )
    }
}

// By hand, so that no error needs `Debug` of the user's types.
impl<K, V> fmt::Debug for Superseded<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Superseded").field("current", &self.current).finish_non_exhaustive()
    }
}

impl<K, V> fmt::Debug for Conflict<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.current.as_ref().map(EntryRef::version);
        f.debug_struct("Conflict").field("current", &current).finish_non_exhaustive()
    }
}

impl<K, V> fmt::Debug for TooHeavy<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { weight, capacity, .. } = self;
        f.debug_struct("TooHeavy").field("weight", weight).field("capacity", capacity).finish_non_exhaustive()
    }
}

impl<K, V> fmt::Debug for Aborted<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aborted").field("why", &self.why).finish_non_exhaustive()
    }
}

impl<K, V, E: fmt::Debug> fmt::Debug for TransactionError<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransactionError::Aborted(aborted) => f.debug_tuple("Aborted").field(aborted).finish(),
            TransactionError::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl<K, V, E: Error + 'static> Error for TransactionError<K, V, E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // As in `LoadError`.
            TransactionError::Failed(error) => error.source(),
            TransactionError::Aborted(_) => None,
        }
    }
}

impl<K, V> Error for Aborted<K, V> {}
impl<K, V> Error for Superseded<K, V> {}
impl<K, V> Error for Conflict<K, V> {}
impl<K, V> Error for TooHeavy<K, V> {}
