//! Many keys at one moment: a double collect over versions (Afek and others, "Atomic Snapshots of Shared Memory", 1993). A version is
//! never used twice, so an entry that is found twice with the same one was there all the time between, and all of them were there at
//! the moment between the two looks.

use std::sync::Arc;

use equivalent::Equivalent;

use crate::entry::EntryRef;
use crate::rule::version::Version;
use crate::sync::Broken;
use crate::sync::is_broken;
use crate::table::Serving;

use super::Core;
use super::read::BATCH;

/// Looks without a lock before the locks are taken.
const TRIES: usize = 3;

impl<K, V: Clone> Core<K, V> {
    /// The values of these keys, with their hashes, at one moment.
    pub(crate) fn snapshot<Q>(self: &Arc<Self>, keys: &[(u64, &Q)]) -> Vec<Option<V>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        // Collected whole: everybody is read, and counted, once.
        let mut first: Vec<Option<(V, Version)>> = Vec::with_capacity(keys.len());
        for batch in keys.chunks(BATCH) {
            if self.table.is_beyond_caches() {
                self.prefetch(batch);
            }
            let read = |&(hash, key): &(u64, &Q)| self.read(hash, key, |found| (found.pair().1.clone(), found.version()));
            first.extend(batch.iter().map(read));
        }
        // Absence has no version.
        let mut seen: Option<Vec<(V, Version)>> = first.into_iter().collect();
        for _ in 1..TRIES {
            match seen {
                None => break,
                Some(seen) if self.is_still(keys, &seen) => return seen.into_iter().map(|(value, _)| Some(value)).collect(),
                Some(_) => {}
            }
            let look = |&(hash, key): &(u64, &Q)| self.glance(hash, key).map(|found| (found.pair().1.clone(), found.version()));
            seen = keys.iter().map(look).collect();
        }
        if is_broken(Broken::LockedTogether) {
            return keys.chunks(1).flat_map(|key| self.snapshot_locked(key)).collect();
        }
        self.snapshot_locked(keys)
    }

    fn is_still<Q>(&self, keys: &[(u64, &Q)], seen: &[(V, Version)]) -> bool
    where
        Q: Equivalent<K> + ?Sized,
    {
        let same = |(&(hash, key), (_, version)): (&(u64, &Q), &(V, Version))| {
            self.glance(hash, key).is_some_and(|found| found.version() == *version)
        };
        is_broken(Broken::SecondLook) || keys.iter().zip(seen).all(same)
    }

    fn snapshot_locked<Q>(self: &Arc<Self>, keys: &[(u64, &Q)]) -> Vec<Option<V>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let mut numbers: Vec<usize> = keys.iter().map(|&(hash, _)| self.table.stripe_of(hash)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        // Out here, so that whatever panics in the effects of the transition finds them with an owner who gives them back.
        let mut guards: Vec<Option<EntryRef<K, V>>> = Vec::with_capacity(keys.len());
        self.transition_over(&numbers, |stripes, now| {
            for &(hash, key) in keys {
                let number = self.table.stripe_of(hash);
                let locked = &mut stripes[numbers.partition_point(|&other| other < number)].locked;
                let guard = match locked.find_serving(hash, key, now) {
                    Some(Serving::Live(resident)) => Some(EntryRef::new(self.table.keep(number, locked.pin(resident)))),
                    // What is stale is for loads.
                    Some(Serving::Stale(_)) | None => None,
                };
                guards.push(guard);
            }
        });
        guards.iter().map(|guard| guard.as_ref().map(|guard| guard.value().clone())).collect()
    }
}
