//! Eviction: orders the entries of a stripe and names the next victim.
//!
//! A [`Policy`] serves one stripe, under that stripe's lock; one [`Steering`] serves the whole cache.
//! Both know entries only as slot numbers, hashes, weights and use counters. They never see keys,
//! values, locks or clocks, and nothing here depends on another room.

mod arm;
mod ghosts;
mod miniatures;
mod queues;
mod sketch;
mod steering;
mod stripe;

pub(crate) use arm::Arm;
pub(crate) use steering::Sampler;
pub(crate) use steering::Steering;
pub(crate) use stripe::Policy;

/// Number of an entry in its stripe's slab.
pub(crate) type Slot = u32;

/// Where an entry's use counter saturates. One less than a power of two, see `miniatures`.
pub(crate) const MAX_USES: u8 = 3;

/// What the policy may ask of entries, by slot.
pub(crate) trait Entries {
    /// Hits since the policy last looked, at most [`MAX_USES`].
    fn uses(&self, slot: Slot) -> u8;
    fn set_uses(&self, slot: Slot, uses: u8);
    /// 32 well-mixed bits of the key's hash.
    fn hash(&self, slot: Slot) -> u32;
    /// Never 0, and at most 2^56, as all together; always 1 when the cache has no weigher.
    fn weight(&self, slot: Slot) -> u64;
}
