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

impl<E: Error + 'static> Error for LoadError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // Its text is the error's own, so what comes next is the error's source.
            LoadError::Failed(error) => error.source(),
            LoadError::Elsewhere(_) | LoadError::Reentrant => None,
        }
    }
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

impl<K, V> Error for Superseded<K, V> {}
impl<K, V> Error for Conflict<K, V> {}
impl<K, V> Error for TooHeavy<K, V> {}
