//! Look-ups: no lock, no allocation, and no store to shared memory once an entry's counter is saturated.

use std::sync::Arc;

use equivalent::Equivalent;

use crate::entry::EntryRef;
use crate::policy::MAX_USES;
use crate::policy::Sampler;
use crate::sync::Ordering;
use crate::table::Found;
use crate::table::Reading;
use crate::table::TIMED;
use crate::time::deadline;

use super::Core;

/// Time to idle is moved when it would move by this share of itself: coarse enough that most hits store nothing.
const COARSE: u64 = 256;

impl<K, V> Core<K, V> {
    /// The live entry of `key`. Counts the read and lets the policy know of it.
    #[inline(always)]
    pub(crate) fn read<Q>(&self, hash: u64, key: &Q) -> Option<Found<'_, K, V>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let found = match self.table.find(hash, key) {
            Ok(found) if self.is_live_read(hash, key, &found) => found,
            Ok(dead) => return self.miss(dead.reading()),
            Err(reading) => return self.miss(&reading),
        };
        if self.settings.count_hits {
            found.reading().count_hit();
        }
        found.node().used(MAX_USES);
        let ordinal = (hash >> 16) as u32;
        // Relaxed: which keys are sampled orders nothing.
        if Sampler::unpack(self.sampler.load(Ordering::Relaxed)).takes(ordinal) {
            self.sample(ordinal, &found);
        }
        Some(found)
    }

    /// The live entry of `key`, and nobody learns of it.
    #[inline(always)]
    pub(crate) fn glance<Q>(&self, hash: u64, key: &Q) -> Option<Found<'_, K, V>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.table.find(hash, key).ok().filter(|found| !found.node().has(TIMED) || self.is_live(found))
    }

    /// A guard of what was found.
    pub(crate) fn guard(&self, hash: u64, found: &Found<'_, K, V>) -> EntryRef<K, V> {
        EntryRef::new(self.table.keep(self.table.stripe_of(hash), found.pin()))
    }

    #[cold]
    fn sample(&self, ordinal: u32, found: &Found<'_, K, V>) {
        let weight = if self.settings.weigher.is_some() { found.weight() } else { 1 };
        found.reading().sample(u64::from(ordinal) | weight.min(u64::from(u32::MAX)) << 32);
    }

    #[inline(always)]
    fn miss<T>(&self, reading: &Reading<'_>) -> Option<T> {
        if self.settings.count_hits {
            reading.count_miss();
        }
        None
    }

    #[inline(always)]
    fn is_live_read<Q>(&self, hash: u64, key: &Q, found: &Found<'_, K, V>) -> bool
    where
        Q: Equivalent<K> + ?Sized,
    {
        !found.node().has(TIMED) || self.read_timed(hash, key, found)
    }

    fn is_live(&self, found: &Found<'_, K, V>) -> bool {
        let (due, idle) = found.deadlines();
        !deadline::is_due(due.min(idle), self.settings.clock.now())
    }

    /// A read of an entry with deadlines: moves them, or finds the entry expired and has it dropped.
    #[inline(never)]
    fn read_timed<Q>(&self, hash: u64, key: &Q, found: &Found<'_, K, V>) -> bool
    where
        Q: Equivalent<K> + ?Sized,
    {
        let now = self.settings.clock.now();
        let (due, idle) = found.deadlines();
        if deadline::is_due(due.min(idle), now) {
            self.drop_expired(hash, key, now);
            return false;
        }
        let later = self.settings.time_to_idle.and_then(|tti| {
            let moved = deadline::after(now, tti);
            (moved.saturating_sub(idle) > deadline::nanos(tti) / COARSE).then_some(moved)
        });
        let said = self.settings.expiry.as_ref().and_then(|expiry| {
            let (key, value) = found.pair();
            let remaining = deadline::remaining(due, now);
            let said = expiry.after_read(key, value, remaining);
            (said != remaining).then(|| said.map_or(deadline::NEVER, |ttl| deadline::after(now, ttl)))
        });
        if later.is_some() || said.is_some() {
            found.set_deadlines(said, later);
        }
        true
    }

    /// Ordinary traffic drops what has expired; a reader does not wait for the lock, the next one will get it.
    #[cold]
    fn drop_expired<Q>(&self, hash: u64, key: &Q, now: u64)
    where
        Q: Equivalent<K> + ?Sized,
    {
        let number = self.table.stripe_of(hash);
        // Finding it is enough: an expired entry is taken out on the way.
        self.try_transition_in(number, now, |locked, now| locked.find(hash, key, now).is_some());
    }
}

impl<K, V> Core<K, V> {
    /// The guard of a live entry, read as any other.
    pub(crate) fn read_guard<Q>(self: &Arc<Self>, hash: u64, key: &Q) -> Option<EntryRef<K, V>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let found = self.read(hash, key)?;
        Some(self.guard(hash, &found))
    }
}
