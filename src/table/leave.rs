//! How an entry leaves its stripe, with the lock held: out of index and policy, counted, remembered, told of, retired.

use crate::event::Cause;
use crate::rule::tombstone::Dead;
use crate::rule::version::Version;
use crate::sync::Broken;
use crate::sync::is_broken;

use super::locked::Locked;
use super::locked::Resident;
use super::node::CLAIMED;
use super::node::Node;
use super::node::SOURCED;
use super::node::TIMED;
use super::node::UNEVICTABLE;

impl<'a, K, V> Locked<'a, K, V> {
    /// Takes an entry out of the table for `cause`.
    #[inline]
    pub(crate) fn take_out(&mut self, resident: Resident<'a, K, V>, cause: Cause, now: u64) {
        self.index().unlink(resident.node.hash(), resident.spot);
        self.leave(resident, cause, now);
    }

    /// The rest of taking out, for an entry that is out of the index.
    #[inline]
    pub(super) fn leave(&mut self, resident: Resident<'a, K, V>, cause: Cause, now: u64) {
        let slot = resident.spot.slot;
        if !resident.node.has(UNEVICTABLE) {
            let weight = self.weight(slot);
            self.state.policy.remove(slot, weight);
        }
        self.forget(resident, cause, now);
    }

    /// What becomes of every entry that is out of the index and the policy: it is counted, remembered, told of and retired.
    #[inline(always)]
    pub(super) fn forget(&mut self, resident: Resident<'a, K, V>, cause: Cause, now: u64) {
        if self.state.quiet && resident.node.is_plain() {
            self.resize(-1, (0, 1));
            resident.node.retire();
            self.give_up(resident.spot.slot, cause);
        } else {
            self.forget_special(resident, cause, now);
        }
    }

    /// Where there is more to forget than the entry itself.
    #[inline(never)]
    fn forget_special(&mut self, resident: Resident<'a, K, V>, cause: Cause, now: u64) {
        let Resident { spot, node, version } = resident;
        if node.has(TIMED) {
            self.state.wheel.cancel(spot.slot);
        }
        self.leave_groups(spot.slot);
        self.remember(node, version, cause, now);
        self.resize(-1, (0, self.weight(spot.slot)));
        self.retire(spot.slot, node, cause);
    }

    /// A tombstone for a key whose source version is known.
    pub(super) fn remember(&mut self, node: &Node<K, V>, version: Version, cause: Cause, now: u64) {
        if let Some(dead) = dead_of(node, version, cause).filter(|_| !is_broken(Broken::Tombstone)) {
            self.state.quiet = false;
            self.state.graves.bury(node.hash(), dead, now);
        }
    }

    /// One node leaves for `cause`: counted, told of, and its slot back when no reader is at it.
    #[inline(always)]
    pub(super) fn retire(&mut self, slot: u32, node: &Node<K, V>, cause: Cause) {
        if self.state.config.told {
            self.notice(slot, node, cause);
        }
        node.retire();
        self.give_up(slot, cause);
    }

    /// The rest of retiring, for a node that is marked as retired, of whom nobody is told.
    #[inline(always)]
    pub(super) fn give_up(&mut self, slot: u32, cause: Cause) {
        self.state.counts.left(cause);
        self.state.retired.push(slot);
    }

    /// The notice is a pin: the value lives until the listener has heard of it.
    #[cold]
    fn notice(&mut self, slot: u32, node: &Node<K, V>, cause: Cause) {
        // SAFETY: the lock is held, and the slot not yet given up.
        unsafe { self.stripe.pin(slot, node) };
        self.state.notices.push((slot, cause));
    }
}

/// How far a key is dead whose entry leaves, if its source version is known.
pub(super) fn dead_of<K, V>(node: &Node<K, V>, version: Version, cause: Cause) -> Option<Dead> {
    if !node.has(SOURCED) {
        return None;
    }
    if node.is_unsure() {
        return Some(Dead::over(version).floor());
    }
    Some(match cause {
        // The source's newest word may well be this version still: it may come back. What replaced it without a word from the
        // source may not.
        Cause::Evicted | Cause::Expired if node.has(CLAIMED) => Dead::below(version),
        _ if node.has(CLAIMED) => Dead::up_to(version),
        _ => Dead::over(version),
    })
}
