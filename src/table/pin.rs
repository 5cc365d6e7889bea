//! A counted hold on an entry, for guards and notices: it may be kept and sent, and keeps nothing but its own pair.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::rule::version::Version;
use crate::sync::AtomicU32;
use crate::sync::Ordering;
use crate::unwind::resume;

use super::node::Node;
use super::node::RETIRED;
use super::stripe::Stripe;
use super::stripes::Table;

/// More holds on one entry than memory has room for guards: they were leaked, and the count must not wrap.
const TOO_MANY: u32 = u32::MAX / 2;

/// The bare hold. Whoever has it sees to it that the stripe outlives it, and gives it back once.
pub(crate) struct Pin<K, V> {
    pub(super) node: *const Node<K, V>,
    pub(super) pins: *const AtomicU32,
    pub(super) slot: u32,
    version: Version,
    _pair: PhantomData<(K, V)>,
}

impl<K, V> Stripe<K, V> {
    /// Counts a new hold.
    ///
    /// # Safety
    /// The caller holds the node: by a reading, by another pin, or by the lock with the node in the table or about to be retired.
    pub(super) unsafe fn pin(&self, slot: u32, node: &Node<K, V>) -> Pin<K, V> {
        // SAFETY: passed on.
        let pin = unsafe { self.counted_pin(slot, node) };
        pin.count_one_more();
        pin
    }

    /// The hold that was counted before.
    ///
    /// # Safety
    /// As for `pin`, and a hold was counted that nobody else gives back.
    pub(super) unsafe fn counted_pin(&self, slot: u32, node: &Node<K, V>) -> Pin<K, V> {
        // SAFETY: passed on.
        let (pins, version) = unsafe { (self.slab.pins(slot), self.version_of(slot, node)) };
        Pin { node, pins, slot, version, _pair: PhantomData }
    }
}

impl<K, V> Pin<K, V> {
    fn count_one_more(&self) {
        // SAFETY: columns live as long as their stripe, which whoever has the pin keeps.
        let before = unsafe { &*self.pins }.fetch_add(1, Ordering::SeqCst);
        if before > TOO_MANY {
            std::process::abort();
        }
    }
}

/// A hold with all that it needs to be kept: the guard of the public face.
pub(crate) struct Pinned<K, V> {
    table: Arc<Table<K, V>>,
    stripe: u32,
    pin: Pin<K, V>,
}

// SAFETY: a shared reference to the pair, and an `Arc` of the table that may drop it: as `Arc<(K, V)>`.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Pinned<K, V> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Pinned<K, V> {}

impl<K, V> Pinned<K, V> {
    /// Takes over the hold of `pin`, which is of the table's stripe number `stripe`.
    pub(super) fn new(table: Arc<Table<K, V>>, stripe: usize, pin: Pin<K, V>) -> Self {
        Pinned { table, stripe: stripe as u32, pin }
    }

    pub(crate) fn pair(&self) -> &(K, V) {
        // SAFETY: the pin keeps the node occupied and the table keeps its memory.
        unsafe { (*self.pin.node).pair() }
    }

    pub(crate) fn version(&self) -> Version {
        self.pin.version
    }

    #[cfg(feature = "write-behind")]
    pub(super) fn slot(&self) -> u32 {
        self.pin.slot
    }

    /// Is the entry in the cache still, as far as this thread can know?
    pub(crate) fn is_current(&self) -> bool {
        // SAFETY: as in `pair`.
        !unsafe { &*self.pin.node }.has_for_sure(RETIRED)
    }
}

impl<K, V> Clone for Pinned<K, V> {
    fn clone(&self) -> Self {
        self.pin.count_one_more();
        let Pin { node, pins, slot, version, .. } = self.pin;
        let pin = Pin { node, pins, slot, version, _pair: PhantomData };
        Pinned { table: Arc::clone(&self.table), stripe: self.stripe, pin }
    }
}

impl<K, V> Drop for Pinned<K, V> {
    fn drop(&mut self) {
        // SAFETY: of this stripe, and given back here alone.
        resume(unsafe { self.table.stripe_number(self.stripe as usize).unpin(&self.pin) });
    }
}
