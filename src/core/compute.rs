//! Read, decide, write: atomic against every other write of the key, by compare-and-swap.

use std::sync::Arc;

use crate::entry::EntryRef;
use crate::rule::swap::Condition;
use crate::rule::swap::Expected;
use crate::rule::version::Version;

use super::Core;
use super::Failure;
use super::How;
use super::write::Why;

/// What a closure given to [`and_compute_with`](crate::EntryOf::and_compute_with) wants done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Op<V> {
    /// Write this value.
    Put(V),
    /// Remove the entry, if there is one.
    Remove,
    /// Leave everything as it is.
    Keep,
}

/// What [`and_compute_with`](crate::EntryOf::and_compute_with) did.
#[derive(Debug)]
#[non_exhaustive]
pub enum Computed<K, V> {
    /// The key was absent and has a value now, of this version.
    Inserted(Version),
    /// The value was replaced: the new version, and the entry as it was.
    Replaced(Version, EntryRef<K, V>),
    /// The entry was removed; this is what it was.
    Removed(EntryRef<K, V>),
    /// Nothing has changed: this is what is there, if anything.
    Kept(Option<EntryRef<K, V>>),
    /// The value's source version (see [`versioned_by`](crate::Builder::versioned_by)) is not newer than what is known of the key,
    /// which is this version. Nothing has changed; the value is given back.
    Superseded(V, Version),
}

impl<K: Eq, V> Core<K, V> {
    /// Asks `decide` what to do with the entry of `key` until nobody else wrote in between.
    pub(crate) fn compute(
        self: &Arc<Self>,
        hash: u64,
        mut key: K,
        mut decide: impl FnMut(Option<&EntryRef<K, V>>) -> Op<V>,
    ) -> Computed<K, V> {
        loop {
            let current = self.read_guard(hash, &key);
            let value = match (decide(current.as_ref()), current) {
                (Op::Put(value), current) => match self.compute_put(hash, key, value, current) {
                    Ok(done) => return done,
                    Err(unchanged) => {
                        key = unchanged;
                        continue;
                    }
                },
                (Op::Remove, Some(current)) => current,
                (Op::Remove, None) => {
                    // What a load is about to bring is to be removed too, and what one has just brought decided anew.
                    if self.fence(hash, &key) {
                        continue;
                    }
                    drop(key);
                    return Computed::Kept(None);
                }
                (Op::Keep, current) => {
                    // Before the answer is made: were the key's `Drop` to panic after that, the guard in it would leak.
                    drop(key);
                    return Computed::Kept(current);
                }
            };
            if self.remove_version(hash, &key, value.version()) {
                drop(key);
                return Computed::Removed(value);
            }
        }
    }

    /// Gives the key back if another write came first.
    fn compute_put(self: &Arc<Self>, hash: u64, key: K, value: V, current: Option<EntryRef<K, V>>) -> Result<Computed<K, V>, K> {
        let condition = Condition::If(Expected::from(current.as_ref().map(EntryRef::version)));
        match self.write(hash, key, value, How { condition, ..How::PLAIN }) {
            Ok(version) => Ok(match current {
                Some(old) => Computed::Replaced(version, old),
                None => Computed::Inserted(version),
            }),
            Err(Failure { key, value, why }) => match why {
                Why::Superseded(version) => {
                    drop(key);
                    Ok(Computed::Superseded(value, version))
                }
                Why::Conflict(_) | Why::TooHeavy(_) => {
                    drop(value);
                    Err(key)
                }
            },
        }
    }
}
