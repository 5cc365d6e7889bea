//! The frame of every transition: lock, sweep what time has ended, step, enter the change in the cache's weight, unlock, effects.

use crate::table::Locked;

use super::Core;

/// A stripe inside a transition. However it is left, by a panic in a key's `Eq` too, the cache's weight follows the stripe's.
struct Inside<'a, K, V> {
    core: &'a Core<K, V>,
    locked: Locked<'a, K, V>,
}

impl<K, V> Drop for Inside<'_, K, V> {
    fn drop(&mut self) {
        let (more, less) = self.locked.change();
        self.core.account(more, less);
    }
}

impl<K, V> Core<K, V> {
    /// One transition of the stripe of `hash`, at this moment.
    pub(super) fn transition<'a, R>(&'a self, hash: u64, step: impl FnOnce(&mut Locked<'a, K, V>, u64) -> R) -> R {
        self.transition_in(self.table.stripe_of(hash), self.now(), step)
    }

    /// One transition of stripe `number`.
    pub(super) fn transition_in<'a, R>(&'a self, number: usize, now: u64, step: impl FnOnce(&mut Locked<'a, K, V>, u64) -> R) -> R {
        self.run(number, self.table.stripe_number(number).lock(), now, step)
    }

    /// One transition of stripe `number`, if nobody has its lock.
    pub(super) fn try_transition_in<'a, R>(
        &'a self,
        number: usize,
        now: u64,
        step: impl FnOnce(&mut Locked<'a, K, V>, u64) -> R,
    ) -> Option<R> {
        let locked = self.table.stripe_number(number).try_lock()?;
        Some(self.run(number, locked, now, step))
    }

    #[inline]
    fn run<'a, R>(
        &'a self,
        number: usize,
        locked: Locked<'a, K, V>,
        now: u64,
        step: impl FnOnce(&mut Locked<'a, K, V>, u64) -> R,
    ) -> R {
        let mut inside = Inside { core: self, locked };
        // Under the lock it is sure whether time matters to what is here.
        let now = if now == 0 { self.now() } else { now };
        inside.locked.sweep(now);
        let result = step(&mut inside.locked, now);
        let effects = inside.locked.effects();
        let (more, _) = inside.locked.change();
        drop(inside);
        if more > 0 {
            self.settle();
        }
        self.after(number, effects);
        result
    }
}
