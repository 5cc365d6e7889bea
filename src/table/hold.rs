//! Entries that may not go yet, with the stripe's lock held: the policy does not know them and they have no deadlines, until they are
//! released.

use crate::sync::Ordering;

use super::index::ordinal;
use super::locked::Locked;
use super::node::HELD;
use super::node::RETIRED;
use super::node::TIMED;
use super::node::UNEVICTABLE;
use super::pin::Pinned;

impl<K, V> Locked<'_, K, V> {
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
}
