//! The plain write in a quiet stripe, which nearly every write is: straight code. It does what `put` does where nothing can refuse the
//! write, nobody is told of it and nothing is kept beside the entry.

use equivalent::Equivalent;

use crate::event::Cause;
use crate::event::Plain;
use crate::rule::version::Version;
use crate::sync::Broken;
use crate::sync::is_broken;

use super::index::Spot;
use super::locked::Locked;
use super::locked::Resident;
use super::node::CLAIMED;
use super::node::HASH_MASK;
use super::node::Node;
use super::node::SOURCED;
use super::put::Fresh;

/// Where a plain write goes: the plain entry that is there, or a new place.
pub(crate) struct Look<'a, K, V> {
    old: Option<(Spot, &'a Node<K, V>)>,
    /// What is there is out of sight already: see `transact`.
    hidden: bool,
}

impl<K, V> Clone for Look<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Look<'_, K, V> {}

impl<K, V> Look<'_, K, V> {
    /// The version of what is there.
    pub(crate) fn version(&self) -> Option<Version> {
        self.old.map(|(_, node)| Version::new(0, node.revision()))
    }

    pub(crate) fn is_absent(self) -> bool {
        self.old.is_none()
    }
}

/// What a plain write did.
pub(crate) struct Written {
    pub(crate) version: Version,
    /// As in [`Put`].
    pub(crate) fresh: bool,
}

impl<'a, K: Eq, V> Locked<'a, K, V> {
    /// Looks where a plain write of `key` would go. `None` if the stripe is not quiet, or if what is there is not plain.
    #[inline(always)]
    pub(crate) fn look_fast<Q>(&self, hash: u64, key: &Q, capacity: u64) -> Option<Look<'a, K, V>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        if !self.state.quiet || capacity == 0 {
            return None;
        }
        let old = self.find_node(hash, key);
        old.is_none_or(|(_, node)| node.is_plain()).then_some(Look { old, hidden: false })
    }

    /// Looks where a write at a source version would go. `None` also if what is there is as new.
    #[inline(always)]
    pub(crate) fn look_fast_at(&self, hash: u64, key: &K, source: u64, capacity: u64) -> Option<Look<'a, K, V>> {
        if !self.state.quiet || capacity == 0 {
            return None;
        }
        let old = self.find_node(hash, key);
        // SAFETY: in the table, and the lock is held.
        let is_older = |(spot, node): (Spot, &Node<K, V>)| unsafe { self.stripe.version_of(spot.slot, node) }.source() < source;
        old.is_none_or(|old| old.1.is_plain_or_sourced() && is_older(old)).then_some(Look { old, hidden: false })
    }

    /// A plain write in a quiet stripe, where the same lock's holder looked.
    #[inline(always)]
    pub(crate) fn write_fast(&mut self, look: Look<'a, K, V>, hash: u64, pair: (K, V)) -> Written {
        self.write_fast_at(look, hash, pair, None)
    }

    /// The same, perhaps at a source version.
    #[inline(always)]
    pub(crate) fn write_fast_at(&mut self, look: Look<'a, K, V>, hash: u64, pair: (K, V), source: Option<u64>) -> Written {
        let slot = self.take_slot();
        let node = self.node(slot);
        self.state.revision += u64::from(!is_broken(Broken::Revision));
        self.state.counts.inserts += 1;
        let version = Version::new(source.unwrap_or(0), self.state.revision);
        let flags = if source.is_some() { SOURCED | CLAIMED } else { 0 };
        let hash = look.old.map_or(hash & HASH_MASK, |(_, node)| node.hash());
        // SAFETY: just taken from the slab, and the lock is held; nobody else has the slot until it is linked.
        unsafe {
            if let Some(source) = source {
                self.stripe.slab.set_source(slot, source);
            }
            node.fill(hash, version.revision(), flags, self.is_watched(hash), pair);
        }
        match look.old {
            Some((spot, old)) => {
                node.set_uses(old.uses());
                self.show(spot, old, look.hidden, slot);
                self.state.policy.replace(spot.slot, slot, 1, 1);
                self.give_up(spot.slot, Cause::Replaced);
            }
            None => self.link(Fresh { slot, node, version }, &Plain { hash, leased: false }),
        }
        Written { version, fresh: look.old.is_none() }
    }

    /// Takes what is there out of sight.
    #[inline(always)]
    pub(crate) fn hide_fast(&mut self, look: &mut Look<'a, K, V>) {
        look.old = look.old.filter(|&(spot, node)| self.hide_node(spot, node));
        look.hidden = true;
    }

    /// Ends what is out of sight.
    pub(crate) fn leave_fast(&mut self, look: Look<'a, K, V>, cause: Cause, now: u64) {
        if let Some((spot, node)) = look.old {
            self.leave(Resident { spot, node, version: Version::new(0, node.revision()) }, cause, now);
        }
    }
}
