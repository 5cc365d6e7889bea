//! An entry's memory: sixteen bytes of header, key and value. Once published a node is immutable but for its atomics; replacing a
//! value is a new node. Who may read the pair, and when it may be taken out, is said at each `unsafe fn`.

use std::mem::MaybeUninit;

use crate::rule::version::Version;
use crate::sync::AtomicU8;
use crate::sync::AtomicU16;
use crate::sync::AtomicU32;
use crate::sync::AtomicU64;
use crate::sync::Broken;
use crate::sync::Ordering;
use crate::sync::UnsafeCell;
use crate::sync::is_broken;

/// The hash bits that a node keeps: enough to find its bucket and tag again, to name its key to policy and tombstones.
pub(crate) const HASH_BITS: u32 = 48;
pub(crate) const HASH_MASK: u64 = (1 << HASH_BITS) - 1;

/// The pair is initialised and not yet dropped.
pub(super) const OCCUPIED: u8 = 1;
/// No longer in the table: the slot waits for its readers.
pub(super) const RETIRED: u8 = 1 << 1;
/// Reclamation passed the node by because of its pins: the last pin gives the slot back.
pub(super) const PARKED: u8 = 1 << 2;
/// In the table, and may neither be evicted nor expire nor be loaded again until it is released. Shares its bit with [`PARKED`],
/// which only retired nodes have: retiring takes it away.
pub(super) const HELD: u8 = 1 << 2;
/// Weighs nothing or is held, so it is never evicted and the policy does not know it.
pub(crate) const UNEVICTABLE: u8 = 1 << 3;
/// Has deadlines.
pub(crate) const TIMED: u8 = 1 << 4;
/// Has a source version.
pub(crate) const SOURCED: u8 = 1 << 5;
/// The write itself brought the source version; otherwise the entry has it from what was there before.
pub(crate) const CLAIMED: u8 = 1 << 7;
/// Was written while its key's history had been forgotten: its source may lie below what the key once had or, where it has it from a
/// floor, be another key's.
pub(crate) const UNSURE: u8 = 1 << 6;

/// In the byte of the use counter: a hit has more to see to than to count, as the entry is `TIMED`, or may become so when it is no more
/// held, or its key is watched. So a hit learns
/// from one byte all that it must.
const ATTENDED: u8 = 1 << 7;

/// All zeros is a vacant node: `Chunk::new` relies on it.
pub(crate) struct Node<K, V> {
    revision: AtomicU64,
    hash_low: AtomicU32,
    hash_high: AtomicU16,
    /// Hits since the policy last looked, and [`ATTENDED`].
    uses: AtomicU8,
    flags: AtomicU8,
    pair: UnsafeCell<MaybeUninit<(K, V)>>,
}

// SAFETY: the pair is written and taken by one thread at a time (`fill`, `empty`, `drop_pair`), and shared by reference between them.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Node<K, V> {}
// SAFETY: a node owns its pair.
unsafe impl<K: Send, V: Send> Send for Node<K, V> {}

impl<K, V> Node<K, V> {
    /// What all zeros are, where atomics are the bytes that they stand for.
    pub(super) fn vacant() -> Self {
        Node {
            revision: AtomicU64::new(0),
            hash_low: AtomicU32::new(0),
            hash_high: AtomicU16::new(0),
            uses: AtomicU8::new(0),
            flags: AtomicU8::new(0),
            pair: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// What readers announce to keep the node.
    #[inline(always)]
    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Makes a vacant node an entry, not yet published. Relaxed stores: the bucket's release publishes them.
    ///
    /// # Safety
    /// The slot was handed out by the slab and nobody else has it.
    #[inline(always)]
    pub(super) unsafe fn fill(&self, hash: u64, revision: u64, flags: u8, watched: bool, pair: (K, V)) {
        // SAFETY: the caller has the slot to itself.
        self.pair.with_mut(|own| unsafe { (*own).write(pair) });
        self.revision.store(revision, Ordering::Relaxed);
        self.hash_low.store(hash as u32, Ordering::Relaxed);
        self.hash_high.store((hash >> 32) as u16, Ordering::Relaxed);
        self.uses.store(if watched || flags & (TIMED | HELD) != 0 { ATTENDED } else { 0 }, Ordering::Relaxed);
        self.flags.store(flags | OCCUPIED, Ordering::Relaxed);
    }

    /// # Safety
    /// The pair is initialised and stays so for `'_`: the caller is protected by a hazard word, a pin or the stripe's lock, and
    /// found the node in the table.
    #[inline(always)]
    pub(super) unsafe fn pair(&self) -> &(K, V) {
        // SAFETY: passed on to the caller.
        self.pair.with(|own| unsafe { (*own).assume_init_ref() })
    }

    /// Drops the pair in place; a panic of its `Drop` passes through, and the node counts as vacant all the same.
    ///
    /// # Safety
    /// The node is occupied, out of the table, and no reader, pin or notice has it any more.
    pub(super) unsafe fn drop_pair(&self) {
        // Relaxed: whoever still looks at the flags asks again under the lock.
        self.flags.store(0, Ordering::Relaxed);
        // SAFETY: the caller has the last claim to the pair.
        self.pair.with_mut(|own| unsafe { (*own).assume_init_drop() });
    }

    #[inline(always)]
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    /// The lowest [`HASH_BITS`] bits of the key's hash.
    pub(crate) fn hash(&self) -> u64 {
        u64::from(self.hash_high.load(Ordering::Relaxed)) << 32 | u64::from(self.hash_low.load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    pub(super) fn flags(&self, mask: u8) -> u8 {
        self.flags.load(Ordering::Relaxed) & mask
    }

    /// Has the entry its source from before, when what was before had been forgotten? Then it may be another key's.
    pub(super) fn is_unsure(&self) -> bool {
        self.flags(UNSURE | CLAIMED) == UNSURE && !is_broken(Broken::Borrowed)
    }

    /// The source that an entry of this version is known to have reached.
    #[inline(always)]
    pub(super) fn reached(&self, version: Version) -> u64 {
        if self.is_unsure() { 0 } else { version.source() }
    }

    /// Has the entry neither deadlines nor a source version, and does it weigh 1?
    #[inline(always)]
    pub(super) fn is_plain(&self) -> bool {
        self.flags.load(Ordering::Relaxed) == OCCUPIED
    }

    /// The same, but that it may have a source version, said by its own write.
    #[inline(always)]
    pub(super) fn is_plain_or_sourced(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & !(SOURCED | CLAIMED) == OCCUPIED
    }

    /// As [`has`](Self::has), in the total order in which pins and retirement watch each other.
    pub(super) fn has_for_sure(&self, flag: u8) -> bool {
        self.flags.load(Ordering::SeqCst) & flag != 0
    }

    /// Under the stripe's lock. Release: a barrier follows before pins are looked at, see `Stripe::unpin`.
    pub(super) fn set(&self, flag: u8) {
        self.flags.store(self.flags.load(Ordering::Relaxed) | flag, Ordering::Release);
    }

    /// Under the stripe's lock, as [`set`](Self::set): out of the table, and held no more.
    #[inline(always)]
    pub(super) fn retire(&self) {
        self.flags.store(self.flags.load(Ordering::Relaxed) & !HELD | RETIRED, Ordering::Release);
    }

    /// Under the stripe's lock, which is all that orders it.
    pub(super) fn unset(&self, flag: u8) {
        self.flags.store(self.flags.load(Ordering::Relaxed) & !flag, Ordering::Release);
    }

    /// Hits since the policy last looked. Relaxed: a lost hit costs nothing but its count.
    #[inline(always)]
    pub(crate) fn uses(&self) -> u8 {
        self.uses.load(Ordering::Relaxed) & !ATTENDED
    }

    #[inline(always)]
    pub(crate) fn set_uses(&self, uses: u8) {
        let attended = self.uses.load(Ordering::Relaxed) & ATTENDED;
        self.uses.store(attended | uses, Ordering::Relaxed);
    }

    /// Makes hits of the entry see to more than their count, from now on. A reader that counts at this moment may undo it.
    pub(super) fn attend(&self) {
        self.uses.store(self.uses.load(Ordering::Relaxed) | ATTENDED, Ordering::Relaxed);
    }

    /// A hit that has nothing to see to but its count, which is stored unless it is saturated at `most`. Otherwise false: see [`used`](Self::used).
    #[inline(always)]
    pub(crate) fn used_plainly(&self, most: u8) -> bool {
        let uses = self.uses.load(Ordering::Relaxed);
        if uses < most {
            self.uses.store(uses + 1, Ordering::Relaxed);
        }
        uses <= most
    }

    /// A hit: no store once the counter is saturated.
    pub(crate) fn used(&self, most: u8) {
        let uses = self.uses();
        if uses < most {
            self.set_uses(uses + 1);
        }
    }
}
