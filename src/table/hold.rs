//! Entries that may not go yet, with the stripe's lock held: the policy does not know them and they have no deadlines, until they are
//! released.

use crate::event::Cause;
use crate::sync::Ordering;

use super::index::ordinal;
use super::locked::Locked;
use super::locked::Resident;
use super::node::CLAIMED;
use super::node::HASH_MASK;
use super::node::HELD;
use super::node::RETIRED;
use super::node::TIMED;
use super::node::UNEVICTABLE;
use super::pin::Pinned;

impl<'a, K, V> Locked<'a, K, V> {
    /// A held entry of this stripe may go like any other from here on; where entries have deadlines it gets this one for time to idle.
    /// False if it is not in the table any more.
    pub(crate) fn release(&mut self, pinned: &Pinned<K, V>, idle: Option<u64>) -> bool {
        let slot = pinned.slot();
        let node = self.node(slot);
        if node.has(RETIRED) {
            return false;
        }
        if !node.has(HELD) {
            return true;
        }
        node.unset(HELD);
        let weight = self.weight(slot);
        if weight > 0 {
            node.unset(UNEVICTABLE);
            self.state.policy.admit(slot, ordinal(node.hash()), weight);
        }
        if let Some(idle) = idle {
            // SAFETY: the entry is in the table, and the lock is held.
            let deadlines = unsafe { self.stripe.slab.deadlines(slot) };
            // Relaxed, before the flag: a reader without the lock that sees the flag and not yet this takes the entry for one that is
            // not idle. Its other deadlines are there since it was published.
            deadlines.idle.store(idle, Ordering::Relaxed);
            node.set(TIMED);
            self.state.quiet = false;
            let end = self.end(slot);
            self.state.wheel.schedule(slot, end);
        }
        true
    }

    /// The source version that the writer of an entry knew it to have, if any.
    pub(crate) fn claim_of(&self, pinned: &Pinned<K, V>) -> Option<u64> {
        self.node(pinned.slot()).has(CLAIMED).then(|| pinned.version().source())
    }

    /// Takes out all that has this hash and is outdated by a write of the source: for a key that could not be compared.
    pub(crate) fn take_out_outdated(&mut self, hash: u64, claim: Option<u64>, now: u64) {
        let find = |locked: &Self| -> Option<Resident<'a, K, V>> {
            let is = |slot| locked.node(slot).hash() == hash & HASH_MASK && locked.resident(slot).is_outdated(claim);
            locked.index().find(hash, is).map(|spot| locked.resident(spot.slot))
        };
        while let Some(resident) = find(self) {
            self.take_out(resident, Cause::Invalidated, now);
        }
    }
}

impl<K, V> Resident<'_, K, V> {
    /// May the source have had it before it had what was just written there, at this version? Where that says nothing of its version, it
    /// may, whatever it was.
    pub(crate) fn is_outdated(&self, claim: Option<u64>) -> bool {
        !self.is_held() && claim.is_none_or(|source| self.reached() <= source)
    }
}
