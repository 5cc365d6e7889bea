//! The weight in the cache is at most its capacity when a write returns. A stripe makes room for what comes into it; what it cannot
//! or should not make, the others do, one lock at a time.

use crate::config::MOST_WEIGHT;
use crate::config::expected_entries;
use crate::policy::Arm;
use crate::sync::Broken;
use crate::sync::Ordering;
use crate::sync::is_broken;
use crate::table::Locked;

use super::Core;

impl<K, V> Core<K, V> {
    pub(crate) fn arm(&self) -> Arm {
        Arm::unpack(self.line.arm.load(Ordering::Relaxed))
    }

    /// Evicts in a stripe that something came into, until the whole cache fits.
    ///
    /// A stripe that holds far less than its share is spared: it has grown up late, and the others have what is its.
    pub(super) fn make_room(&self, locked: &mut Locked<'_, K, V>, now: u64) {
        self.make_room_if(locked.stripe_weight() > locked.weight_before(), locked, now);
    }

    /// The same of a stripe of which it is known whether it has grown.
    #[inline(always)]
    pub(super) fn make_room_if(&self, grown: bool, locked: &mut Locked<'_, K, V>, now: u64) {
        if grown && !self.fits(locked) {
            self.evict_here(locked, now);
        }
    }

    /// Called when the cache does not fit.
    fn evict_here(&self, locked: &mut Locked<'_, K, V>, now: u64) {
        // Half a stripe's share: the stripes are a power of two.
        let enough = self.capacity() >> (self.table.stripes().len().ilog2() + 1);
        while locked.can_evict() && locked.stripe_weight() > enough {
            if !locked.evict(self.arm(), now) || self.fits(locked) {
                return;
            }
        }
    }

    /// Does the cache fit its capacity with what this stripe has changed so far?
    #[inline(always)]
    pub(super) fn fits(&self, locked: &Locked<'_, K, V>) -> bool {
        let elsewhere = self.line.weight.load(Ordering::Relaxed).saturating_sub(locked.weight_before());
        elsewhere + locked.stripe_weight() <= self.capacity()
    }

    /// Enters a stripe's change in the cache's weight. Only a change is written: replacing and evicting like for like shares no line
    /// between writers of different stripes.
    #[inline(always)]
    pub(super) fn account(&self, before: u64, after: u64) {
        if is_broken(Broken::AddedWeight) {
            let weight = self.line.weight.load(Ordering::Relaxed).wrapping_add(after.wrapping_sub(before));
            return self.line.weight.store(weight, Ordering::Relaxed);
        }
        if before != after {
            // Relaxed: a sum; the locks order what it counts. It wraps like any difference.
            self.line.weight.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    #[inline(always)]
    pub(super) fn is_within_capacity(&self) -> bool {
        self.line.weight.load(Ordering::Relaxed) <= self.capacity()
    }

    /// Evicts where it costs least until the cache fits. Something came into stripe `newest` last.
    #[cold]
    pub(super) fn settle(&self, newest: usize) {
        while !self.is_within_capacity() && !is_broken(Broken::OthersMakeRoom) {
            // Where the first has nothing to evict, the next may.
            if !self.stripes_by_loss(newest).into_iter().any(|number| self.evict_from(number)) {
                return;
            }
        }
    }

    /// The stripes in the order in which they should give something up: those that hold most, or, where weights differ, those whose
    /// next victim is worth least. So a heavy entry that is alone in its stripe has to be worth what it displaces in the others. Of equal
    /// ones the newest is the last, or what comes into it would never stay, and the one after it the first, so that none is always spared.
    fn stripes_by_loss(&self, newest: usize) -> Vec<usize> {
        let stripes = self.table.stripes().len();
        let loss = |number| {
            let stripe = self.table.stripe_number(number);
            if self.settings.weigher.is_none() {
                return -(stripe.weight() as f64);
            }
            stripe.lock().least_worth().unwrap_or(f64::INFINITY)
        };
        let turns = (1..=stripes).map(|step| (newest + step) % stripes);
        let mut losses: Vec<(f64, usize)> = turns.map(|number| (loss(number), number)).collect();
        losses.sort_by(|one, other| one.0.total_cmp(&other.0));
        losses.into_iter().map(|(_, number)| number).collect()
    }

    /// Evicts from one stripe: a few entries where all weigh the same, else one; false if it has none that may go.
    fn evict_from(&self, number: usize) -> bool {
        let at_once = if self.settings.weigher.is_none() { 64 } else { 1 };
        self.transition_in(number, |locked, now| {
            (0..at_once).take_while(|_| !self.fits(locked) && locked.evict(self.arm(), now)).count() > 0
        })
    }

    /// Changes the capacity; evicts at once what no longer fits.
    pub(crate) fn set_capacity(&self, capacity: u64) {
        let capacity = capacity.min(MOST_WEIGHT);
        // SeqCst: a writer that misses the new capacity has entered its weight where `settle` sees it.
        self.line.capacity.store(capacity, Ordering::SeqCst);
        let expected = expected_entries(capacity, self.table.stripes().len(), self.settings.weigher.is_some());
        self.table.stripes().iter().for_each(|stripe| stripe.lock().expect(expected));
        self.resize_steering();
        self.settle(0);
    }
}
