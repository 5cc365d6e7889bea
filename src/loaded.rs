//! What a loader brings. Plain data.

use std::time::Duration;

/// A value with what its source says of it, for the loads that ask for more than a value: [`load`](crate::Cache::load),
/// [`reload`](crate::Cache::reload), [`Lease::fill_loaded`](crate::Lease::fill_loaded).
///
/// ```
/// use std::time::Duration;
/// use brindle::Loaded;
/// let cache = brindle::Cache::new(100);
/// let row = Loaded::new("row").at(7).with_ttl(Duration::from_secs(60));
/// let value = cache.load(&1, || Ok::<_, String>(row))?;
/// assert_eq!((value, cache.get_entry(&1).unwrap().version.source()), ("row", 7));
/// # Ok::<(), brindle::LoadError<String>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loaded<V> {
    /// The value.
    pub value: V,
    /// The version that the source of truth gives it, if it does. A value whose source is older than what is known of the key is not
    /// stored.
    pub source: Option<u64>,
    /// How long it may be served, instead of the cache's time to live.
    pub ttl: Option<Duration>,
}

impl<V> Loaded<V> {
    /// A value of which nothing else is known.
    pub fn new(value: V) -> Self {
        Loaded { value, source: None, ttl: None }
    }

    /// With the source's version of it.
    #[must_use]
    pub fn at(self, source: u64) -> Self {
        Loaded { source: Some(source), ..self }
    }

    /// With a time to live of its own.
    #[must_use]
    pub fn with_ttl(self, ttl: Duration) -> Self {
        Loaded { ttl: Some(ttl), ..self }
    }
}

impl<V> From<V> for Loaded<V> {
    fn from(value: V) -> Self {
        Loaded::new(value)
    }
}
