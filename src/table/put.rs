//! The one transition that brings a value in. Everything that can refuse it has come before, in `admit`: from here on nothing fails.

use crate::event::Cause;
use crate::event::Special;
use crate::event::Terms;
use crate::rule::version::Version;
use crate::sync::Broken;
use crate::sync::Ordering;
use crate::sync::is_broken;
use crate::time::deadline;

use super::admit::Permit;
use super::index::Spot;
use super::index::ordinal;
use super::locked::Locked;
use super::locked::Resident;
use super::node::HASH_MASK;
use super::node::Node;
use super::node::SOURCED;
use super::node::TIMED;
use super::node::UNEVICTABLE;
use super::pin::Pin;
use super::reclaim::Outgrown;
use super::slab::Slab;

/// What a write did.
pub(crate) struct Put<'a, K, V> {
    pub(crate) version: Version,
    /// The key had no entry before, so the write stands for a miss.
    pub(crate) fresh: bool,
    slot: u32,
    node: &'a Node<K, V>,
}

/// A filled node that nobody sees yet.
pub(super) struct Fresh<'a, K, V> {
    pub(super) slot: u32,
    pub(super) node: &'a Node<K, V>,
    pub(super) version: Version,
}

impl<K, V> Locked<'_, K, V> {
    /// Keeps what was just written for a guard, be it resident or gone again.
    pub(crate) fn pin_put(&self, put: &Put<'_, K, V>) -> Pin<K, V> {
        // SAFETY: filled under this lock; retired at most, and nothing retired is dropped before the lock is gone.
        unsafe { self.stripe.pin(put.slot, put.node) }
    }
}

impl<'a, K: Eq, V> Locked<'a, K, V> {
    /// Writes, and frees those who wait for the key. Cannot fail any more, nor panic.
    #[inline(always)]
    pub(crate) fn write(&mut self, terms: &impl Terms, permit: Permit<'a, K, V>, pair: (K, V), now: u64) -> Put<'a, K, V> {
        self.state.revision += u64::from(!is_broken(Broken::Revision));
        self.state.counts.inserts += 1;
        let version = Version::new(permit.source, self.state.revision);
        let fresh = self.fill(terms, &permit, version, pair);
        let put = Put { version, fresh: permit.current.is_none(), slot: fresh.slot, node: fresh.node };
        match (permit.stillborn, permit.current) {
            (None, Some(old)) => self.replace(old, permit.hidden, fresh, terms),
            (None, None) => self.link(fresh, terms),
            (Some(cause), old) => self.stillborn(old, permit.hidden, fresh, cause, now),
        }
        if let Some(flight) = permit.flight {
            self.divert(flight, &put);
        }
        put
    }

    /// Makes a node that nobody sees yet.
    #[inline(always)]
    fn fill(&mut self, terms: &impl Terms, permit: &Permit<'a, K, V>, version: Version, pair: (K, V)) -> Fresh<'a, K, V> {
        let flags = permit.flags;
        // The hash by which the entry is found stays, even if the `Eq` of two keys and their hashes are at odds.
        let hash = permit.current.map_or(terms.hash() & HASH_MASK, |old| old.node.hash());
        let slab: &'a Slab<K, V> = &self.stripe.slab;
        let slot = self.take_slot();
        // SAFETY: just taken from the slab, and the lock is held; nobody else has the slot until it is linked.
        unsafe {
            if flags & SOURCED != 0 {
                slab.set_source(slot, version.source());
            }
            if !self.state.quiet && self.state.config.weighted {
                slab.set_weight(slot, terms.weight());
            }
            if let Some(special) = terms.special() {
                self.fill_times(slot, flags, special);
            }
            let node = slab.node(slot);
            node.fill(hash, version.revision(), flags, self.is_watched(hash), pair);
            Fresh { slot, node, version }
        }
    }

    /// # Safety
    /// As for [`Slab::deadlines`], before the entry is published.
    unsafe fn fill_times(&self, slot: u32, flags: u8, special: &Special) {
        let slab = &self.stripe.slab;
        if flags & TIMED != 0 || special.held && special.timed {
            // SAFETY: passed on.
            let deadlines = unsafe { slab.deadlines(slot) };
            deadlines.due.store(special.due, Ordering::Relaxed);
            deadlines.last.store(special.last, Ordering::Relaxed);
            deadlines.idle.store(special.idle, Ordering::Relaxed);
        }
        if self.state.config.refreshing {
            // SAFETY: passed on.
            let refresh = unsafe { slab.refresh(slot) };
            refresh.at.store(special.refresh.at, Ordering::Relaxed);
            refresh.took.store(special.refresh.took, Ordering::Relaxed);
        }
    }

    #[inline(always)]
    pub(super) fn take_slot(&mut self) -> u32 {
        let (slot, outgrown) = self.stripe.slab.take(&mut self.state.slots);
        if let Some(directory) = outgrown {
            self.state.grew = true;
            self.state.outgrown.push(Outgrown::directory(directory));
        }
        slot.expect("a stripe holds fewer than 2^32 entries")
    }

    /// The key was absent: the node becomes its entry.
    pub(super) fn link(&mut self, fresh: Fresh<'a, K, V>, terms: &impl Terms) {
        let Fresh { slot, node, .. } = fresh;
        self.make_room_in_index();
        self.index().link(terms.hash(), slot);
        if terms.is_evictable() {
            self.state.policy.admit(slot, ordinal(terms.hash()), terms.weight());
        }
        self.schedule(slot, node, terms);
        self.join_groups(slot, terms.groups());
        self.resize(1, (terms.weight(), 0));
    }

    /// A slot takes the place in the index of an entry, which may be out of sight.
    #[inline(always)]
    pub(super) fn show(&self, old: Spot, node: &Node<K, V>, hidden: bool, slot: u32) {
        if hidden {
            // There is room: the entry that went out of sight had a place.
            self.index().link(node.hash(), slot);
        } else {
            // Before the new value is seen, so that no walk over the entries yields this one after it.
            if is_broken(Broken::RetiredFirst) {
                self.index().swap(old, slot);
            }
            node.retire();
            self.index().swap(old, slot);
        }
    }

    /// The node takes the place of the key's entry, in the table and in the policy.
    #[inline(always)]
    fn replace(&mut self, old: Resident<'a, K, V>, hidden: bool, fresh: Fresh<'a, K, V>, terms: &impl Terms) {
        let Fresh { slot, node, .. } = fresh;
        let (old_slot, old_weight, weight) = (old.spot.slot, self.weight(old.spot.slot), terms.weight());
        node.set_uses(old.node.uses());
        self.show(old.spot, old.node, hidden, slot);
        match (!old.node.has(UNEVICTABLE), terms.is_evictable()) {
            (true, true) => self.state.policy.replace(old_slot, slot, old_weight, weight),
            (true, false) => self.state.policy.remove(old_slot, old_weight),
            (false, true) => self.state.policy.admit(slot, ordinal(terms.hash()), weight),
            (false, false) => {}
        }
        if old.node.has(TIMED) {
            let end = self.end_after(deadline_of(terms));
            self.state.quiet = false;
            self.state.wheel.replace(old_slot, slot, end);
        } else {
            self.schedule(slot, node, terms);
        }
        self.follow_in_groups(old_slot, slot, terms.groups());
        self.resize(0, (weight, old_weight));
        self.retire(old_slot, old.node, Cause::Replaced);
    }

    /// The write takes effect, but its value cannot stay: whatever was there goes, and the value after it.
    #[cold]
    fn stillborn(&mut self, old: Option<Resident<'a, K, V>>, hidden: bool, fresh: Fresh<'a, K, V>, cause: Cause, now: u64) {
        match old {
            Some(old) if hidden => self.leave(old, Cause::Replaced, now),
            Some(old) => self.take_out(old, Cause::Replaced, now),
            None => {}
        }
        self.remember(fresh.node, fresh.version, cause, now);
        self.retire(fresh.slot, fresh.node, cause);
    }

    #[inline(always)]
    fn schedule(&mut self, slot: u32, node: &Node<K, V>, terms: &impl Terms) {
        if node.has(TIMED) {
            let end = self.end_after(deadline_of(terms));
            self.state.quiet = false;
            self.state.wheel.schedule(slot, end);
        }
    }
}

/// When it expires as things are. What is held does not.
#[inline(always)]
pub(super) fn deadline_of(terms: &impl Terms) -> u64 {
    terms.special().filter(|special| !special.held).map_or(deadline::NEVER, |special| special.due.min(special.idle))
}
