//! One cache line of the table: twelve one-byte tags that are compared at once, twelve slot numbers, and a count of the entries
//! that passed by because the line was full (as in F14, Bronson and Shi, 2019). Plain atomics: written under the stripe's lock, read
//! by anyone. It knows neither keys nor nodes.

use std::array::from_fn;

use crate::sync::AtomicU32;
use crate::sync::AtomicU64;
use crate::sync::Broken;
use crate::sync::Ordering;
use crate::sync::ordered;
use crate::sync::shown;

/// Entries a bucket can hold.
pub(super) const WIDTH: usize = 12;
/// A slot number that names no slot.
pub(super) const NIL: u32 = u32::MAX;
/// An overflow count that stays: what passed by can no longer be counted exactly.
const MANY: u8 = u8::MAX;
const OVERFLOW_SHIFT: u32 = 32;
const OCCUPIABLE: u32 = (1 << WIDTH) - 1;

#[repr(C, align(64))]
pub(super) struct Bucket {
    /// Tags 0..8, then tags 8..12 with the overflow count in the byte above them. A tag of zero marks a free place.
    tags: [AtomicU64; 2],
    slots: [AtomicU32; WIDTH],
}

/// The tags of a bucket at one moment (of each half).
#[derive(Clone, Copy)]
pub(super) struct Tags {
    low: u64,
    high: u64,
}

impl Bucket {
    pub(super) fn new() -> Self {
        Bucket { tags: from_fn(|_| AtomicU64::new(0)), slots: from_fn(|_| AtomicU32::new(NIL)) }
    }

    #[inline(always)]
    pub(super) fn tags(&self) -> Tags {
        // Acquire: pairs with the release in `set_byte`, so a slot that is read after a tag is no older than the tag.
        Tags { low: self.tags[0].load(Ordering::Acquire), high: self.tags[1].load(Ordering::Acquire) }
    }

    #[inline(always)]
    pub(super) fn slot(&self, at: usize) -> u32 {
        // Acquire: pairs with the releases of `occupy` and `swap`, so the node is initialised.
        self.slots[at].load(Ordering::Acquire)
    }

    /// Fills a free place. Under the stripe's lock.
    ///
    /// The slot is the last to come and the first to go, so it alone decides for all readers whether the entry is there: also for those
    /// on the short way, who take a free place for one with a tag of zero.
    #[inline(always)]
    pub(super) fn occupy(&self, at: usize, tag: u8, slot: u32) {
        self.set_byte(at, tag);
        shown();
        self.slots[at].store(slot, ordered(Broken::BucketOrder, Ordering::Release));
        shown();
    }

    /// Puts another slot in the place of the one there. Under the stripe's lock.
    #[inline(always)]
    pub(super) fn swap(&self, at: usize, slot: u32) {
        self.slots[at].store(slot, ordered(Broken::BucketOrder, Ordering::Release));
        shown();
    }

    /// Empties a place. Under the stripe's lock.
    #[inline(always)]
    pub(super) fn vacate(&self, at: usize) {
        self.slots[at].store(NIL, Ordering::Release);
        shown();
        self.set_byte(at, 0);
        shown();
    }

    /// Empties the whole line and forgets what passed by. Under the stripe's lock.
    pub(super) fn wipe(&self) {
        for slot in &self.slots {
            slot.store(NIL, Ordering::Release);
            shown();
        }
        self.tags.iter().for_each(|tags| tags.store(0, Ordering::Release));
        shown();
    }

    /// One more entry passed by. Under the stripe's lock.
    pub(super) fn pass(&self) {
        let passed = self.tags().passed();
        if passed != MANY {
            self.set_byte(WIDTH, passed + 1);
        }
    }

    /// One entry that had passed by is gone. Under the stripe's lock.
    pub(super) fn unpass(&self) {
        let passed = self.tags().passed();
        if passed != MANY {
            self.set_byte(WIDTH, passed - 1);
        }
    }

    #[inline(always)]
    fn set_byte(&self, at: usize, byte: u8) {
        let (half, shift) = (at / 8, at % 8 * 8);
        // Relaxed load: only lock holders write. Release: pairs with the acquire in `tags`.
        let word = self.tags[half].load(Ordering::Relaxed);
        self.tags[half].store(word & !(0xff << shift) | u64::from(byte) << shift, Ordering::Release);
    }
}

impl Tags {
    /// A bit for each place whose tag is `tag`.
    #[inline(always)]
    pub(super) fn matching(self, tag: u8) -> u32 {
        equal_bytes(self.low, self.high, tag) & OCCUPIABLE
    }

    /// A bit for each place that is free.
    #[inline(always)]
    pub(super) fn free(self) -> u32 {
        self.matching(0)
    }

    /// How many entries passed by, [`MANY`] meaning that or more.
    #[inline(always)]
    pub(super) fn passed(self) -> u8 {
        (self.high >> OVERFLOW_SHIFT) as u8
    }
}

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[inline(always)]
fn equal_bytes(low: u64, high: u64, byte: u8) -> u32 {
    use std::arch::x86_64::*;
    // SAFETY: SSE2 is enabled at compile time, and none of these touches memory.
    unsafe {
        let bytes = _mm_set_epi64x(high as i64, low as i64);
        _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte as i8))) as u32
    }
}

#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
#[inline(always)]
fn equal_bytes(low: u64, high: u64, byte: u8) -> u32 {
    portable::equal_bytes(low, high, byte)
}

#[cfg(any(test, not(all(target_arch = "x86_64", target_feature = "sse2"))))]
mod portable {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const LOW_BITS: u64 = 0x7f7f_7f7f_7f7f_7f7f;

    pub(super) fn equal_bytes(low: u64, high: u64, byte: u8) -> u32 {
        equal_in_word(low, byte) | equal_in_word(high, byte) << 8
    }

    /// Exact, as free places are told by it too: no carry passes from one byte to the next.
    fn equal_in_word(word: u64, byte: u8) -> u32 {
        let differences = word ^ (ONES * u64::from(byte));
        let zero_bytes = !(((differences & LOW_BITS) + LOW_BITS) | differences | LOW_BITS);
        // One bit a byte, gathered in the top byte.
        ((zero_bytes >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_where_they_are_put() {
        let bucket = Bucket::new();
        for at in 0..WIDTH {
            assert_eq!(bucket.tags().free().count_ones() as usize, WIDTH - at);
            bucket.occupy(at, 7, at as u32);
            assert_eq!((bucket.tags().matching(7) >> at & 1, bucket.slot(at)), (1, at as u32));
        }
        bucket.pass();
        assert_eq!(bucket.tags().matching(7), OCCUPIABLE);
        bucket.vacate(9);
        assert_eq!(bucket.tags().free(), 1 << 9);
        assert_eq!((bucket.tags().passed(), bucket.slot(9)), (1, NIL));
        bucket.unpass();
        assert_eq!(bucket.tags().passed(), 0);
    }

    #[test]
    fn a_full_overflow_count_stays() {
        let bucket = Bucket::new();
        (0..300).for_each(|_| bucket.pass());
        (0..300).for_each(|_| bucket.unpass());
        assert_eq!(bucket.tags().passed(), MANY);
        bucket.wipe();
        assert_eq!(bucket.tags().passed(), 0);
    }

    #[test]
    fn both_ways_to_compare_agree() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..20_000 {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let low = state & 0x8181_8181_0303_ffff;
            let high = state.rotate_left(23) & 0x0100_ff80_7f01_0302;
            let byte = [0, 1, 0x80, 0xff, state as u8][round % 5];
            assert_eq!(equal_bytes(low, high, byte), portable::equal_bytes(low, high, byte));
        }
    }
}
