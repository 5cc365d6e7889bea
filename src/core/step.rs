//! The frame of every transition: lock, sweep what time has ended, step, enter the change in the cache's weight, unlock, effects. Of one
//! stripe, as nearly always, or of several at once.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use smallvec::SmallVec;

use crate::flight::next_number;
use crate::sync::Broken;
use crate::sync::Ordering;
use crate::sync::is_broken;
use crate::table::Locked;
use crate::unwind::keep_first;
use crate::unwind::resume;

use super::Core;

/// A stripe inside a transition. However it is left, by a panic in a key's `Eq` too, the cache's weight follows the stripe's.
pub(super) struct Inside<'a, K, V> {
    core: &'a Core<K, V>,
    pub(super) locked: Locked<'a, K, V>,
    /// It weighs more than before, as far as that is [entered](Self::enter).
    grown: bool,
}

impl<K, V> Inside<'_, K, V> {
    /// Enters the stripe's change so far in the cache's weight.
    #[inline(always)]
    fn enter(&mut self) {
        let (before, after) = (self.locked.weight_before(), self.locked.stripe_weight());
        self.core.account(before, after);
        self.locked.start_anew();
        self.grown = after > before;
    }
}

impl<K, V> Drop for Inside<'_, K, V> {
    #[inline(always)]
    fn drop(&mut self) {
        self.core.account(self.locked.weight_before(), self.locked.stripe_weight());
    }
}

impl<K, V> Core<K, V> {
    /// One transition of the stripe of `hash`.
    pub(super) fn transition<'a, R>(&'a self, hash: u64, step: impl FnOnce(&mut Locked<'a, K, V>, u64) -> R) -> R {
        self.transition_in(self.table.stripe_of(hash), step)
    }

    /// One transition of stripe `number`.
    #[inline(always)]
    pub(super) fn transition_in<'a, R>(&'a self, number: usize, step: impl FnOnce(&mut Locked<'a, K, V>, u64) -> R) -> R {
        self.transition_at(number, self.now(), step)
    }

    /// One transition of stripe `number` at a time that was asked for just now, if time matters.
    #[inline(always)]
    pub(crate) fn transition_at<'a, R>(
        &'a self,
        number: usize,
        now: Option<u64>,
        step: impl FnOnce(&mut Locked<'a, K, V>, u64) -> R,
    ) -> R {
        let locked = self.table.stripe_number(number).lock();
        if now.is_none() && self.now_matters() {
            // Something here depends on time since just now. The clock may be the user's, so it is not asked under the lock.
            drop(locked);
            return self.transition_late(number, step);
        }
        self.run(number, locked, now.unwrap_or(0), step)
    }

    #[cold]
    fn transition_late<'a, R>(&'a self, number: usize, step: impl FnOnce(&mut Locked<'a, K, V>, u64) -> R) -> R {
        let now = self.settings.clock.now();
        self.run(number, self.table.stripe_number(number).lock(), now, step)
    }

    /// One transition of stripe `number`, if nobody has its lock.
    pub(super) fn try_transition_in<'a, R>(
        &'a self,
        number: usize,
        step: impl FnOnce(&mut Locked<'a, K, V>, u64) -> R,
    ) -> Option<R> {
        let now = self.now()?;
        let locked = self.table.stripe_number(number).try_lock()?;
        Some(self.run(number, locked, now, step))
    }

    /// One transition of several stripes at once: nobody sees one of them between its beginning and its end, lock-free reads apart. Their
    /// numbers rise: so those who lock several cannot wait for each other in a circle.
    #[inline(always)]
    pub(super) fn transition_over<'a, R>(&'a self, numbers: &[usize], step: impl FnOnce(&mut [Inside<'a, K, V>], u64) -> R) -> R {
        debug_assert!(numbers.is_sorted_by(|one, other| one < other));
        let mut now = self.now();
        let mut all: SmallVec<[_; 4]> = SmallVec::new();
        self.lock_all(numbers, &mut all);
        if now.is_none() && self.now_matters() {
            // As in `transition_in`.
            all.clear();
            now = Some(self.settings.clock.now());
            self.lock_all(numbers, &mut all);
        }
        let now = now.unwrap_or(0);
        all.iter_mut().for_each(|inside| inside.locked.sweep(now));
        let result = step(&mut all, now);
        // All changes are entered before room is made: what has left one stripe is room for what came into another.
        all.iter_mut().for_each(Inside::enter);
        // All is done: from here on each goes its own way. Their effects wait until the last lock is gone.
        let mut left: SmallVec<[_; 2]> = SmallVec::new();
        for (&number, mut inside) in numbers.iter().zip(all.drain(..)) {
            self.make_room_if(inside.grown, &mut inside.locked, now);
            let effects = inside.locked.effects(now);
            if inside.grown || !effects.is_empty() {
                left.push((number, effects, inside.grown));
            }
        }
        let mut panic = None;
        for (number, effects, grown) in left {
            keep_first(&mut panic, catch_unwind(AssertUnwindSafe(|| self.after(number, effects, grown))));
        }
        resume(panic.map_or(Ok(()), Err));
        result
    }

    #[inline(always)]
    fn lock_all<'a>(&'a self, numbers: &[usize], all: &mut SmallVec<[Inside<'a, K, V>; 4]>) {
        let inside = |number| Inside { core: self, locked: self.table.stripe_number(number).lock(), grown: false };
        if is_broken(Broken::LockOrder) && next_number().is_multiple_of(2) {
            all.extend(numbers.iter().rev().copied().map(inside));
            return all.reverse();
        }
        for &number in numbers {
            all.push(inside(number));
        }
    }

    pub(super) fn now_matters(&self) -> bool {
        self.timed.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn run<'a, R>(
        &'a self,
        number: usize,
        locked: Locked<'a, K, V>,
        now: u64,
        step: impl FnOnce(&mut Locked<'a, K, V>, u64) -> R,
    ) -> R {
        let mut inside = Inside { core: self, locked, grown: false };
        inside.locked.sweep(now);
        let result = step(&mut inside.locked, now);
        let effects = inside.locked.effects(now);
        let grown = inside.locked.stripe_weight() > inside.locked.weight_before();
        drop(inside);
        self.after(number, effects, grown);
        result
    }
}
