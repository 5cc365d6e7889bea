//! The growth of a stripe's index, with its lock held.

use crate::sync::Broken;
use crate::sync::Ordering;
use crate::sync::is_broken;
use crate::sync::ordered;

use super::index::Index;
use super::locked::Locked;
use super::reclaim::Outgrown;

impl<K, V> Locked<'_, K, V> {
    /// Grows the index when it is full, in halves of the size that the capacity asks for, so that none of it is left over there.
    #[inline(always)]
    pub(super) fn make_room_in_index(&mut self) {
        if self.stripe.entries() >= self.index().room() {
            self.outgrow_index();
        }
    }

    #[cold]
    fn outgrow_index(&mut self) {
        let index = self.index();
        let wanted = Index::buckets_for(self.state.config.expected.unwrap_or(0).max(1));
        let steps = (0..usize::BITS).map(|halvings| wanted.div_ceil(1 << halvings)).take_while(|&size| size > index.len());
        let grown = steps.last().unwrap_or(index.len() + index.len().div_ceil(2));
        // The policy grows in the same steps, and ends at the same size.
        let room = Index::room_of(grown);
        let entries = self.state.config.expected.map_or(room, |expected| room.min(expected));
        self.state.policy.reserve(entries);
        self.grow_index(Index::new(grown));
    }

    fn grow_index(&mut self, grown: Index) {
        let index = self.index();
        for bucket in 0..index.len() {
            for spot in index.spots(bucket) {
                grown.link(self.node(spot.slot).hash(), spot.slot);
            }
        }
        let current = self.stripe.index.load(Ordering::Relaxed);
        if is_broken(Broken::WipedLast) {
            index.wipe();
        }
        if is_broken(Broken::CountAfterBuckets) {
            self.stripe.bucket_count.store(grown.len(), Ordering::Release);
        }
        // Release: pairs with the acquire of readers, who find every entry in the one array or the other. The buckets before their
        // number: see `Stripe`.
        self.stripe.buckets.store(grown.as_ptr().cast_mut(), Ordering::Release);
        self.stripe.bucket_count.store(grown.len(), Ordering::Release);
        let order = ordered(Broken::IndexOrder, Ordering::Release);
        self.stripe.index.store(Box::into_raw(Box::new(grown)), order);
        // Only now: a reader in the old array that announces a node and then finds it wiped looks again in the new one. So nothing
        // that leaves the new array can be taken for linked in the old.
        if !is_broken(Broken::OldArrayWiped) {
            index.wipe();
        }
        // SAFETY: boxed by the stripe or an earlier growth, and no longer reachable from it.
        self.state.outgrown.push(Outgrown::index(unsafe { Box::from_raw(current) }));
        self.state.grew = true;
    }
}
