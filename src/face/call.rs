//! One call that may load, as both faces make it: what to do next, and what a loader's result means for the caller and for the others.

use std::fmt;
use std::hash::BuildHasher;
use std::hash::Hash;
use std::sync::Arc;

use equivalent::Equivalent;

use crate::cache::Cache;
use crate::core::Came;
use crate::core::Core;
use crate::core::Hit;
use crate::core::Lease;
use crate::core::Seat;
use crate::core::Step;
use crate::core::Wish;
use crate::error::LoadError;
use crate::failure::Failure;
use crate::loaded::Loaded;

/// What [`get_or_lease`](crate::Cache::get_or_lease) gives.
#[non_exhaustive]
pub enum Leased<K, V> {
    /// The value, which was there or which somebody else has loaded meanwhile.
    Value(V),
    /// The right to fill the key.
    Lease(Lease<K, V>),
    /// Somebody else still loads, and the caller would wait no longer.
    TimedOut,
    /// The caller is part of the load that it would wait for (see [`LoadError::Reentrant`]).
    Reentrant,
}

impl<K, V: fmt::Debug> fmt::Debug for Leased<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Leased::Value(value) => f.debug_tuple("Value").field(value).finish(),
            Leased::Lease(lease) => f.debug_tuple("Lease").field(lease).finish(),
            Leased::TimedOut => f.write_str("TimedOut"),
            Leased::Reentrant => f.write_str("Reentrant"),
        }
    }
}

/// A value, or an error, whatever there is.
pub(super) const FALLIBLE: Wish = Wish { afresh: false, fallible: true, waits: true };
/// A value: errors of others are no answer.
pub(super) const INFALLIBLE: Wish = Wish { afresh: false, fallible: false, waits: true };
/// Another value for one that may be served still: whoever comes first loads it.
const DUE: Wish = Wish { afresh: true, fallible: true, waits: false };

/// The same of a call that loads even if there is a value.
pub(super) const fn afresh(wish: Wish) -> Wish {
    Wish { afresh: true, ..wish }
}

/// How an error gets from its maker to those who wait.
pub(super) struct Sharing<E> {
    out: fn(&E) -> Failure,
    back: fn(Failure) -> LoadError<E>,
}

impl<E: Clone + Send + Sync + 'static> Sharing<E> {
    /// Everybody whose error is of this type gets a clone.
    pub(super) fn typed() -> Self {
        Sharing {
            out: |error| Failure::of(error.clone()),
            back: |failure| match failure.downcast_ref::<E>().cloned() {
                Some(error) => {
                    drop(failure);
                    LoadError::Failed(error)
                }
                None => LoadError::Elsewhere(failure),
            },
        }
    }
}

impl<E> Sharing<E> {
    /// The own error, for those who wait.
    pub(super) fn shared(&self, error: &E) -> Failure {
        (self.out)(error)
    }

    /// The error of another's load.
    pub(super) fn returned(&self, failure: Failure) -> LoadError<E> {
        (self.back)(failure)
    }

    /// The error stays with its maker.
    pub(super) fn local() -> Self {
        Sharing { out: |_| Failure::unshared::<E>(), back: LoadError::Elsewhere }
    }
}

/// A call of `cache` for `key`.
impl<K, V, S: BuildHasher> Cache<K, V, S>
where
    K: Hash + Eq,
{
    /// The value of `key`, where that is all there is to a hit; a call goes on from there if there is none.
    #[inline(always)]
    pub(super) fn hit<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: Clone,
    {
        if self.core().is_refreshing() { None } else { self.get(key) }
    }

    pub(super) fn call<'a, Q: Hash + ?Sized>(&'a self, key: &'a Q, wish: Wish) -> Call<'a, K, V, Q> {
        Call { core: self.core(), hash: self.hash(key), key, wish }
    }
}

pub(super) struct Call<'a, K, V, Q: ?Sized> {
    pub(super) core: &'a Arc<Core<K, V>>,
    pub(super) hash: u64,
    pub(super) key: &'a Q,
    pub(super) wish: Wish,
}

/// What a call does next.
pub(super) enum Next<K, V> {
    Value(V),
    Failed(Failure),
    Reentrant,
    /// Run the loader.
    Lead(Lease<K, V>),
    /// Wait, then go on with what has [come](Call::came).
    Wait(Seat<K, V>),
}

impl<K, V, Q> Call<'_, K, V, Q>
where
    K: Eq + Clone,
    V: Clone,
    Q: Equivalent<K> + ToOwned<Owned = K> + ?Sized,
{
    /// The first step, of a call that has not looked yet whether there is a value, or has missed it.
    pub(super) fn start(&self) -> Next<K, V> {
        if self.core.is_refreshing() && !self.wish.afresh {
            match self.core.read_refreshing(self.hash, self.key) {
                Some(Hit::Fresh(value)) => return Next::Value(value),
                Some(Hit::Due(value)) => return self.renew(value),
                None => {}
            }
        }
        self.ask()
    }

    pub(super) fn ask(&self) -> Next<K, V> {
        match self.core.ask(self.hash, self.key, self.wish) {
            Step::Value(entry) => Next::Value(entry.value().clone()),
            Step::Failed(failure) => Next::Failed(failure),
            Step::Reentrant => Next::Reentrant,
            Step::Wait(seat) => Next::Wait(seat),
            Step::Busy => unreachable!("who asks for a value waits for it"),
            Step::Lead(lease, None) => Next::Lead(lease.begin()),
            Step::Lead(lease, Some(stale)) => match &self.core.settings.background {
                Some(background) => {
                    self.core.count_stale();
                    background(lease);
                    Next::Value(stale.value().clone())
                }
                None => {
                    drop(stale);
                    Next::Lead(lease.begin())
                }
            },
        }
    }

    /// There is a value, and it should be loaded again: by the caller, if nobody else is at it.
    fn renew(&self, value: V) -> Next<K, V> {
        let Step::Lead(lease, _) = self.core.ask(self.hash, self.key, DUE) else { return Next::Value(value) };
        match &self.core.settings.background {
            Some(background) => {
                background(lease);
                Next::Value(value)
            }
            None => {
                // Before the lease is on its way out, as in `came`.
                drop(value);
                Next::Lead(lease.begin())
            }
        }
    }

    /// The wait is over.
    pub(super) fn came(&self, came: Came<K, V>) -> Next<K, V> {
        match came {
            Came::Value(value) => Next::Value(value),
            Came::Lead(lease) => Next::Lead(lease.begin()),
            Came::Failed(failure) if self.wish.fallible => Next::Failed(failure),
            // Dropped first: if an error panicked in its `Drop` on the way out, the seat or the lease that is returned would be lost
            // (rust-lang/rust#47949), and others would wait for it for ever.
            came @ (Came::Failed(_) | Came::Nothing) => {
                drop(came);
                self.ask()
            }
        }
    }

    /// What there is for a call whose loader has failed.
    pub(super) fn fallback(&self) -> Option<V> {
        if self.wish.afresh || !self.core.falls_back() { None } else { self.core.fall_back(self.hash, self.key) }
    }

    /// The loader is done: its result goes to all who wait, and to the caller.
    pub(super) fn settle<E>(
        &self,
        lease: Lease<K, V>,
        result: Result<Loaded<V>, E>,
        sharing: &Sharing<E>,
    ) -> Result<V, LoadError<E>> {
        let loaded = match result {
            Ok(loaded) => loaded,
            Err(error) => {
                lease.fail_with(sharing.shared(&error));
                return self.fallback().ok_or(LoadError::Failed(error));
            }
        };
        // Before it is given up, so that a panic of `Clone` leaves the lease to the next.
        let own = loaded.value.clone();
        match lease.publish(loaded) {
            Ok(_) => Ok(own),
            // What is newer goes instead, to the caller as to those who wait.
            Err(unstored) => Ok(unstored.instead.map_or(own, |entry| entry.value().clone())),
        }
    }
}

/// The answer of a call that cannot fail.
pub(super) fn infallible<V>(answer: Result<V, LoadError<std::convert::Infallible>>) -> V {
    answer.unwrap_or_else(|error| match error {
        LoadError::Failed(never) => match never {},
        LoadError::Elsewhere(_) | LoadError::Reentrant => panic!("{}", LoadError::<String>::Reentrant),
    })
}
