//! How long an entry of its own kind lives: the trait that users implement.

use std::time::Duration;

/// Decides, entry by entry, how long a value may be served. Give one to
/// [`Builder::expire_after`](crate::Builder::expire_after).
///
/// Every method returns the time from now after which the entry expires, `None` meaning never. Zero expires it at once. The methods
/// run on the thread that writes or reads, under no lock; `after_create` and `after_update` may run again for one write when another
/// write comes in between, so they should depend on nothing but their arguments. They may call the cache. What they panic with
/// reaches the caller, and the cache stays as it was.
///
/// ```
/// use std::time::Duration;
/// use brindle::{Cache, Clock, Expiry};
///
/// struct Token { text: String, seconds: u64 }
///
/// struct AsLongAsTheTokenSays;
///
/// impl Expiry<u32, Token> for AsLongAsTheTokenSays {
///     fn after_create(&self, _user: &u32, token: &Token) -> Option<Duration> {
///         Some(Duration::from_secs(token.seconds))
///     }
/// }
///
/// let (clock, time) = Clock::mock();
/// let cache = Cache::builder().max_capacity(100).expire_after(AsLongAsTheTokenSays).clock(clock).build()?;
/// cache.insert(7, Token { text: "x".into(), seconds: 30 });
/// time.advance(Duration::from_secs(29));
/// assert_eq!(cache.with(&7, |token| token.text.len()), Some(1));
/// time.advance(Duration::from_secs(1));
/// assert!(!cache.contains_key(&7));
/// # Ok::<(), brindle::BuildError>(())
/// ```
pub trait Expiry<K, V>: Send + Sync {
    /// The key had no entry.
    fn after_create(&self, key: &K, value: &V) -> Option<Duration>;

    /// The value took the place of another, which had `remaining` to live. As for a new entry unless said otherwise.
    fn after_update(&self, key: &K, value: &V, remaining: Option<Duration>) -> Option<Duration> {
        let _ = remaining;
        self.after_create(key, value)
    }

    /// The value was read. It keeps what it has, `remaining`, unless said otherwise. A cache-wide time to live goes on from the write,
    /// whatever this says. An answer that brings the deadline forward takes the stripe's lock for a moment, the one read that does.
    fn after_read(&self, key: &K, value: &V, remaining: Option<Duration>) -> Option<Duration> {
        let _ = (key, value);
        remaining
    }
}
