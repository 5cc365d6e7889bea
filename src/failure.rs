//! The error of a load as those get it who waited for it. Plain data.

use std::any::Any;
use std::any::type_name;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The error of a load that somebody else made, of a type other than the caller's own. See
/// [`LoadError::Elsewhere`](crate::LoadError::Elsewhere).
///
/// ```
/// use brindle::{Cache, LoadError, Leased};
/// # use std::thread;
/// let cache: Cache<u32, u32> = Cache::new(10);
/// let Leased::Lease(lease) = cache.get_or_lease(&1, None) else { unreachable!() };
/// let waiter = { let cache = cache.clone(); thread::spawn(move || cache.try_get_with(&1, || Err::<u32, i32>(-1))) };
/// while cache.stats().waits == 0 { thread::yield_now(); }
/// lease.fail("the disk is gone");
/// let Err(LoadError::Elsewhere(failure)) = waiter.join().unwrap() else { panic!() };
/// assert_eq!(failure.downcast_ref::<&str>(), Some(&"the disk is gone"));
/// ```
#[derive(Clone)]
pub struct Failure {
    type_name: &'static str,
    error: Option<Arc<dyn Any + Send + Sync>>,
}

impl Failure {
    pub(crate) fn of<E: Send + Sync + 'static>(error: E) -> Self {
        Failure { type_name: type_name::<E>(), error: Some(Arc::new(error)) }
    }

    /// An error that stays with its maker.
    pub(crate) fn unshared<E>() -> Self {
        Failure { type_name: type_name::<E>(), error: None }
    }

    /// The error, if it is a `T` and was shared.
    #[must_use]
    pub fn downcast_ref<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.error.as_ref()?.downcast_ref()
    }

    /// The name of the error's type, as the compiler gives it: for people.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.type_name
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure").field("type_name", &self.type_name).finish_non_exhaustive()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the load that this call waited for failed with a `{}`: use one error type for all loads of a key to get it",
            self.type_name
        )
    }
}

impl Error for Failure {}
