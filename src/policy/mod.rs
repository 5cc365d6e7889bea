//! Eviction: orders the entries of a stripe and names the next victim.
//!
//! A [`Policy`] serves one stripe, under that stripe's lock; one [`Steering`] serves the whole cache.
//! Both know entries only as slot numbers, hashes, weights and use counters. They never see keys,
//! values, locks or clocks, and nothing here depends on another room.
//!
//! What happens to an entry:
//!
//! - A hit adds one to its use counter, up to [`MAX_USES`]; nobody else hears of it.
//! - It enters the window, a FIFO ring, and there comes to the front. What then becomes of it is the arm's rule: used entries get another
//!   turn or go to main; unused ones leave, or fight main's next victim for its place by frequency.
//! - In main it is on a clock: at the front it loses one use and goes to the back, or has none and is the next victim.
//! - If it leaves from the window, a fingerprint stays as its ghost. A key that comes back while it has a ghost is counted in the
//!   frequency sketch, as are the uses of entries that are looked at; a key that nobody remembers is not.
//!
//! | file | what it keeps | from |
//! | --- | --- | --- |
//! | `queues` | window and main | |
//! | `ghosts` | who left of late, and how long ago | S3-FIFO (SOSP 2023) |
//! | `sketch` | how often keys are used | TinyLFU (ToS 2017), conservative update (SIGCOMM 2002) |
//! | `stripe` | the steps above; with weights, frequency over weight | W-TinyLFU, S3-FIFO, CLOCK, GDSF (1998) |
//! | `arm` | the window's share and the rule at its front | |
//! | `miniatures` | small caches that replay a sample, one an arm | Waldspurger et al. (ATC 2017) |
//! | `steering` | which arm the cache runs: the one whose miniature does best | |

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
