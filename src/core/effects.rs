//! What happens after the unlock: values dropped, listeners told, the steering fed. No lock of a stripe is held in here but for the
//! short steps of the table itself.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use crate::entry::EntryRef;
use crate::entry::Removed;
use crate::policy::Steering;
use crate::sync::Ordering;
use crate::table::Effects;
use crate::table::ordinal;
use crate::unwind::discard;
use crate::unwind::resume;

use super::Core;

impl<K, V> Core<K, V> {
    /// Runs the effects of a transition of stripe `number`. A panic of a value's `Drop` goes on when all is done.
    #[inline(always)]
    pub(super) fn after(&self, number: usize, effects: Effects<K, V>, grown: bool) {
        let Effects { reclaim, tell, ended } = effects;
        // First those are freed who wait: whatever else there is to do may take its time.
        let let_go = if ended.is_empty() { Ok(()) } else { self.let_go(number, ended) };
        if grown && !self.is_within_capacity() {
            self.settle(number);
        }
        if tell {
            self.tell(number);
        }
        if reclaim {
            self.reclaim_stripe(number);
        }
        resume(let_go);
    }

    #[cold]
    pub(super) fn reclaim_stripe(&self, number: usize) {
        resume(self.table.reclaim(number));
    }

    /// Tells the listener what left stripe `number`. What it panics with is counted and goes no further: the notices after it, and the
    /// caller, have nothing to do with it.
    #[cold]
    fn tell(&self, number: usize) {
        let Some(listener) = &self.settings.listener else { return };
        self.table.tell(number, |pinned, cause| {
            let removed = Removed::new(EntryRef::new(pinned), cause);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| listener(removed))) {
                discard(panic);
                self.listener_panics.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    /// Drops everything that was retired and is not in use.
    pub(crate) fn reclaim(&self) {
        resume(self.table.reclaim_all());
    }

    /// An absent key was written: the access that the policy takes for a miss. If the key is in the sample, this is also the moment to
    /// collect the hits that the readers sampled, and perhaps to change course.
    #[inline]
    pub(super) fn missed(&self, hash: u64, weight: u64) {
        if self.samples(hash) {
            self.steer(ordinal(hash), weight);
        }
    }

    #[cold]
    fn steer(&self, ordinal: u32, weight: u64) {
        // Lossy on purpose: nobody waits for the steering.
        let Some(mut steering) = self.line.steering.try_lock() else { return };
        self.table.readers.collect(|sample| steering.record(sample as u32, sample >> 32));
        // As heavy as a reader's sample can say.
        steering.record(ordinal, weight.min(u64::from(u32::MAX)));
        if let Some(arm) = steering.decide() {
            self.line.arm.store(arm.pack(), Ordering::Relaxed);
        }
        self.follow_sampler(&steering);
    }

    /// Where weights differ, the steering finds out by itself how many keys it should see.
    fn follow_sampler(&self, steering: &Steering) {
        let sampler = steering.sampler().pack();
        if self.sampler.load(Ordering::Relaxed) != sampler {
            self.sampler.store(sampler, Ordering::Relaxed);
            self.watch_sampled();
        }
    }

    /// Tells the stripes of which keys the steering wants to see the hits.
    pub(super) fn watch_sampled(&self) {
        let sampler = self.sampler.load(Ordering::Relaxed);
        self.table.stripes().iter().for_each(|stripe| stripe.lock().watch(sampler));
    }

    /// The capacity has changed.
    pub(super) fn resize_steering(&self) {
        let mut steering = self.line.steering.lock();
        steering.resize(self.capacity(), self.entries() as u64);
        self.follow_sampler(&steering);
    }
}
