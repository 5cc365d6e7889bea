//! What takes entries out on purpose: removal, invalidation, `retain`, `clear`.

use std::sync::Arc;

use equivalent::Equivalent;

use crate::event::Cause;
use crate::rule::version::Version;
use crate::sync::Broken;
use crate::sync::is_broken;

use super::Core;

impl<K, V> Core<K, V> {
    /// Removes the entry of `key`, fences its flight, and tells whether there was an entry.
    pub(crate) fn invalidate<Q>(&self, hash: u64, key: &Q) -> bool
    where
        Q: Equivalent<K> + ?Sized,
    {
        let removed = self.transition(hash, |locked, now| {
            if !is_broken(Broken::OneRemoval) {
                locked.fence(hash, key);
            }
            let resident = locked.find(hash, key, now);
            resident.map(|resident| locked.take_out(resident, Cause::Invalidated, now)).is_some()
        });
        if is_broken(Broken::OneRemoval) {
            self.fence(hash, key);
        }
        removed
    }

    /// No load of `key` that is under way may be stored, and what has expired is not served any more. Is there an entry?
    pub(super) fn fence<Q>(&self, hash: u64, key: &Q) -> bool
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.transition(hash, |locked, now| {
            locked.fence(hash, key);
            locked.find(hash, key, now).is_some()
        })
    }

    /// Removes the entry of `key`, fences its flight, and clones its value. The value lives until it is cloned, held as by a reader.
    pub(crate) fn remove<Q>(&self, hash: u64, key: &Q) -> Option<V>
    where
        Q: Equivalent<K> + ?Sized,
        V: Clone,
    {
        let reading = self.table.readers.enter();
        let pair = self.transition(hash, |locked, now| {
            locked.fence(hash, key);
            let resident = locked.find(hash, key, now)?;
            let pair = locked.hold(resident, &reading);
            locked.take_out(resident, Cause::Invalidated, now);
            Some(pair)
        })?;
        Some(pair.1.clone())
    }

    /// Removes the entry of `key` if it still has this version, and fences its flight.
    pub(super) fn remove_version<Q>(&self, hash: u64, key: &Q, version: Version) -> bool
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.transition(hash, |locked, now| {
            let judged = |there| there == version || is_broken(Broken::JudgedVersion);
            let resident = locked.find(hash, key, now).filter(|resident| judged(resident.version));
            if resident.is_some() {
                locked.fence(hash, key);
            }
            resident.map(|resident| locked.take_out(resident, Cause::Invalidated, now)).is_some()
        })
    }

    /// Ends every state of `key` below `source`; false if one at or above it is there, which stays.
    pub(crate) fn invalidate_at<Q>(&self, hash: u64, key: &Q, source: u64) -> bool
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.keep_time();
        self.transition(hash, |locked, now| locked.invalidate_at(hash, key, source, now))
    }

    /// Takes every entry out, stripe after stripe.
    pub(crate) fn clear(&self) {
        for number in 0..self.table.stripes().len() {
            self.transition_in(number, |locked, now| locked.clear(now));
        }
    }
}

impl<K: Eq, V> Core<K, V> {
    /// Removes the entry of `key` if `wanted` says so of it. The closure runs outside the lock, again if the entry changes meanwhile.
    /// What a load is about to bring it cannot be asked of, so that is fenced whatever it says.
    pub(crate) fn remove_if<Q>(self: &Arc<Self>, hash: u64, key: &Q, mut wanted: impl FnMut(&K, &V) -> bool) -> Option<V>
    where
        Q: Equivalent<K> + ?Sized,
        V: Clone,
    {
        self.fence(hash, key);
        loop {
            let Some(guard) = self.glance(hash, key).map(|found| self.guard(hash, &found)) else {
                // What has expired since the first look may not be served as stale either.
                if self.fence(hash, key) {
                    continue;
                }
                return None;
            };
            if !wanted(guard.key(), guard.value()) {
                return None;
            }
            if self.remove_version(hash, key, guard.version()) {
                return Some(guard.value().clone());
            }
        }
    }

    /// Removes every entry of which `keep` says no, and fences every flight, of whose values it cannot be asked.
    pub(crate) fn retain(self: &Arc<Self>, hash: impl Fn(&K) -> u64, mut keep: impl FnMut(&K, &V) -> bool) {
        for number in 0..self.table.stripes().len() {
            self.transition_in(number, |locked, _| locked.fence_all());
        }
        for mut guard in super::Iter::with_stale(Arc::clone(self)) {
            let hash = hash(guard.key());
            // A value that comes while its predecessor is judged is judged as well.
            while !keep(guard.key(), guard.value()) && !self.remove_version(hash, guard.key(), guard.version()) {
                match self.glance(hash, guard.key()).map(|found| self.guard(hash, &found)) {
                    Some(newer) if newer.version() > guard.version() => guard = newer,
                    _ => break,
                }
            }
        }
    }
}
