//! Making room in a stripe, with its lock held: the policy names who goes.

use crate::event::Cause;
use crate::policy::Arm;
use crate::policy::Entries;
use crate::sync::Broken;
use crate::sync::is_broken;
use crate::sync::prefetch;

use super::index::ordinal;
use super::locked::Locked;
use super::node::Node;
use super::slab::Slab;

/// Bytes of a stripe's nodes that are no more than the nearer of the processor's caches have for it.
const NEAR: usize = 1 << 17;

impl<'a, K, V> Locked<'a, K, V> {
    /// May this stripe make room: has it more than the entry that just came?
    pub(crate) fn can_evict(&self) -> bool {
        self.state.policy.len() > 1
    }

    /// Evicts the entry that is least worth keeping; false when nothing here may be evicted.
    pub(crate) fn evict(&mut self, arm: Arm, now: u64) -> bool {
        let entries = self.entries();
        let Some(slot) = self.state.policy.evict(arm, &entries) else { return false };
        let node = self.node(slot);
        let spot = self.spot_of(slot, node);
        self.index().unlink(node.hash(), spot);
        self.forget(self.resident_of(spot, node), Cause::Evicted, now);
        if is_broken(Broken::EvictedRevision) {
            self.state.revision = 0;
        }
        self.look_ahead();
        true
    }

    /// Asks for the memory of the next to go: its node, then, an eviction later, its bucket.
    #[inline(always)]
    fn look_ahead(&self) {
        if self.stripe.entries() * size_of::<Node<K, V>>() < NEAR {
            return;
        }
        if let Some(slot) = self.state.policy.upcoming(2) {
            prefetch(self.node(slot));
        }
        if let Some(slot) = self.state.policy.upcoming(0) {
            let index = self.index();
            prefetch(index.bucket(index.home(ordinal(self.node(slot).hash()))));
        }
    }

    /// What the entry that would be evicted next is worth for each unit of its weight. `None` when nothing here may be evicted.
    pub(crate) fn least_worth(&self) -> Option<f64> {
        self.state.policy.least_worth(&self.entries())
    }

    fn entries(&self) -> Slots<'a, K, V> {
        Slots { slab: &self.stripe.slab, weighted: self.state.config.weighted }
    }
}

/// What the policy may see of the stripe's entries.
struct Slots<'a, K, V> {
    slab: &'a Slab<K, V>,
    weighted: bool,
}

impl<K, V> Slots<'_, K, V> {
    #[inline(always)]
    fn node(&self, slot: u32) -> &Node<K, V> {
        // SAFETY: the policy has only slots that are in the table, and is asked under the lock.
        unsafe { self.slab.node(slot) }
    }
}

impl<K, V> Entries for Slots<'_, K, V> {
    fn uses(&self, slot: u32) -> u8 {
        self.node(slot).uses()
    }

    fn set_uses(&self, slot: u32, uses: u8) {
        self.node(slot).set_uses(uses);
    }

    fn hash(&self, slot: u32) -> u32 {
        ordinal(self.node(slot).hash())
    }

    #[inline(always)]
    fn weight(&self, slot: u32) -> u64 {
        // SAFETY: as in `node`.
        if self.weighted { unsafe { self.slab.weight(slot) } } else { 1 }
    }
}
