//! Look-ups: no lock, no allocation, and no store to shared memory once an entry's counter is saturated.

use std::sync::Arc;

use equivalent::Equivalent;
use smallvec::SmallVec;

use crate::entry::EntryRef;
use crate::expiry::Expiry;
use crate::policy::MAX_USES;
use crate::policy::Sampler;
use crate::sync::Broken;
use crate::sync::Ordering;
use crate::sync::is_broken;
use crate::table::Found;
use crate::table::Reading;
use crate::table::TIMED;
use crate::table::ordinal;
use crate::time::deadline;

use super::Core;

/// Bytes of a value that is moved about without a thought.
const SMALL: usize = 64;
/// Look-ups that wait for memory together.
pub(super) const BATCH: usize = 16;
/// Time to idle is moved when it would move by this share of itself: coarse enough that most hits store nothing.
const COARSE: u64 = 256;

impl<K, V> Core<K, V> {
    /// Hands the live entry of `key` to `take`. Counts the read and lets the policy know of it.
    ///
    /// What nearly every hit needs is straight code; all else starts again out of line.
    #[inline(always)]
    pub(crate) fn read<'a, Q, R>(&'a self, hash: u64, key: &Q, take: impl FnOnce(Found<'a, K, V>) -> R) -> Option<R>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let table = &*self.table;
        let Some(reading) = table.readers.enter_fast() else { return self.read_anew(hash, key, take) };
        match table.find_fast(hash, key, reading) {
            Ok(found) if found.node().used_plainly(MAX_USES) => {
                found.reading().count(true);
                Some(take(found))
            }
            Ok(found) => self.read_found(hash, key, found, take),
            Err(reading) => self.read_on(hash, key, reading, take),
        }
    }

    /// The live value of `key`, cloned.
    #[inline(always)]
    pub(crate) fn read_value<Q>(&self, hash: u64, key: &Q) -> Option<V>
    where
        Q: Equivalent<K> + ?Sized,
        V: Clone,
    {
        if size_of::<V>() <= SMALL {
            return self.read(hash, key, |found| found.pair().1.clone());
        }
        // Cloned where it is wanted: on its way out of `read` it would be copied once more.
        self.read(hash, key, |found| found).map(|found| found.pair().1.clone())
    }

    /// The values of several keys, cloned, each read as any other. Where the table is larger than the processor's caches, their memory is
    /// asked for a batch at a time.
    pub(crate) fn read_many<'q, Q>(&self, mut keys: impl Iterator<Item = (u64, &'q Q)>) -> Vec<Option<V>>
    where
        Q: Equivalent<K> + ?Sized + 'q,
        V: Clone,
    {
        let mut values = Vec::with_capacity(keys.size_hint().0);
        let mut read = |(hash, key)| values.push(self.read_value(hash, key));
        if !self.table.is_beyond_caches() {
            keys.for_each(read);
            return values;
        }
        let mut batch: SmallVec<[(u64, &'q Q); BATCH]> = SmallVec::new();
        loop {
            batch.extend(keys.by_ref().take(BATCH));
            if batch.is_empty() {
                return values;
            }
            self.prefetch(&batch);
            batch.drain(..).for_each(&mut read);
        }
    }

    /// Asks for the memory of a batch of look-ups.
    pub(super) fn prefetch<Q: ?Sized>(&self, batch: &[(u64, &Q)]) {
        self.table.prefetch(batch.iter().map(|&(hash, _)| hash));
    }

    /// A read by a thread that has used another cache since, or is inside of a read already.
    #[cold]
    #[inline(never)]
    fn read_anew<'a, Q, R>(&'a self, hash: u64, key: &Q, take: impl FnOnce(Found<'a, K, V>) -> R) -> Option<R>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.read_on(hash, key, self.table.readers.enter(), take)
    }

    /// A read that did not find the entry where nearly all are.
    #[inline(never)]
    fn read_on<'a, Q, R>(&'a self, hash: u64, key: &Q, reading: Reading<'a>, take: impl FnOnce(Found<'a, K, V>) -> R) -> Option<R>
    where
        Q: Equivalent<K> + ?Sized,
    {
        match self.table.find(hash, key, reading) {
            Ok(found) => self.read_found(hash, key, found, take),
            Err(reading) => {
                reading.count(false);
                None
            }
        }
    }

    /// A read of an entry that may have expired, and whose key may be in the sample.
    #[inline(never)]
    fn read_found<'a, Q, R>(
        &'a self,
        hash: u64,
        key: &Q,
        found: Found<'a, K, V>,
        take: impl FnOnce(Found<'a, K, V>) -> R,
    ) -> Option<R>
    where
        Q: Equivalent<K> + ?Sized,
    {
        if found.node().has(TIMED) && !is_broken(Broken::Deadline) && !self.read_timed(hash, key, &found) {
            found.reading().count(false);
            return None;
        }
        found.reading().count(true);
        found.node().used(MAX_USES);
        if self.samples(hash) {
            self.sample(hash, &found);
        }
        Some(take(found))
    }

    /// The live entry of `key`, and nobody learns of it.
    #[inline]
    pub(crate) fn glance<Q>(&self, hash: u64, key: &Q) -> Option<Found<'_, K, V>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let readers = &self.table.readers;
        let reading = match readers.enter_fast() {
            Some(reading) => match self.table.find_fast(hash, key, reading) {
                Ok(found) if !found.node().has(TIMED) => return Some(found),
                Ok(found) => found.into_reading(),
                Err(reading) => reading,
            },
            None => readers.enter(),
        };
        self.glance_on(hash, key, reading)
    }

    #[inline(never)]
    fn glance_on<'a, Q>(&'a self, hash: u64, key: &Q, reading: Reading<'a>) -> Option<Found<'a, K, V>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let found = self.table.find(hash, key, reading).ok()?;
        (!found.node().has(TIMED) || self.is_live(&found)).then_some(found)
    }

    /// A guard of what was found.
    pub(crate) fn guard(&self, hash: u64, found: &Found<'_, K, V>) -> EntryRef<K, V> {
        EntryRef::new(self.table.keep(self.table.stripe_of(hash), found.pin()))
    }

    /// Is the key one of those whose accesses the steering sees?
    #[inline(always)]
    pub(super) fn samples(&self, hash: u64) -> bool {
        // Relaxed: which keys are sampled orders nothing.
        Sampler::unpack(self.sampler.load(Ordering::Relaxed)).takes(ordinal(hash))
    }

    fn sample(&self, hash: u64, found: &Found<'_, K, V>) {
        let weight = if self.settings.weigher.is_some() { found.weight() } else { 1 };
        found.reading().sample(u64::from(ordinal(hash)) | weight.min(u64::from(u32::MAX)) << 32);
    }

    pub(super) fn stale_for(&self) -> u64 {
        self.settings.stale_for.map_or(0, deadline::nanos)
    }

    fn is_live(&self, found: &Found<'_, K, V>) -> bool {
        !deadline::is_due(found.deadline(), self.settings.clock.now()) || is_broken(Broken::Deadline)
    }

    /// A read of an entry with deadlines: moves them, or finds the entry expired and has it dropped.
    fn read_timed<Q>(&self, hash: u64, key: &Q, found: &Found<'_, K, V>) -> bool
    where
        Q: Equivalent<K> + ?Sized,
    {
        let now = self.settings.clock.now();
        let deadlines = found.deadlines();
        let soonest = deadlines.soonest();
        if deadline::is_due(soonest, now) {
            // What loads may still serve stays for them.
            if deadline::is_due(soonest.saturating_add(self.stale_for()), now) {
                self.drop_expired(hash, key);
            }
            return false;
        }
        if let Some(tti) = self.settings.time_to_idle {
            let moved = deadline::after(now, tti);
            if moved.saturating_sub(deadlines.idle.load(Ordering::Relaxed)) >= deadline::nanos(tti) / COARSE {
                deadlines.idle.store(moved, Ordering::Relaxed);
            }
        }
        if let Some(expiry) = &self.settings.expiry {
            let due = deadlines.due.load(Ordering::Relaxed);
            let moved = ask_again(&**expiry, found.pair(), due, now).min(deadlines.last.load(Ordering::Relaxed));
            if moved != due {
                deadlines.due.store(moved, Ordering::Relaxed);
            }
            if moved < due {
                // Rare enough for the lock: whoever drops what has expired must come earlier now.
                self.transition(hash, |locked, _| locked.reschedule(hash, key));
            }
        }
        true
    }

    /// Ordinary traffic drops what has expired; a reader does not wait for the lock, the next one will get it.
    #[cold]
    fn drop_expired<Q>(&self, hash: u64, key: &Q)
    where
        Q: Equivalent<K> + ?Sized,
    {
        let number = self.table.stripe_of(hash);
        // Finding it is enough: an expired entry is taken out on the way.
        self.try_transition_in(number, |locked, now| locked.find(hash, key, now).is_some());
    }
}

impl<K, V> Core<K, V> {
    /// The guard of a live entry, read as any other.
    pub(crate) fn read_guard<Q>(self: &Arc<Self>, hash: u64, key: &Q) -> Option<EntryRef<K, V>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.read(hash, key, |found| self.guard(hash, &found))
    }
}

/// What `Expiry` says of a value that was read, as a deadline.
fn ask_again<K, V>(expiry: &dyn Expiry<K, V>, (key, value): &(K, V), due: u64, now: u64) -> u64 {
    let remaining = deadline::remaining(due, now);
    let said = expiry.after_read(key, value, remaining);
    if said == remaining { due } else { said.map_or(deadline::NEVER, |ttl| deadline::after(now, ttl)) }
}
