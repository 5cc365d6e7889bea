//! A stripe's array of buckets: from hash to slot. An entry lies in its home bucket or, where that was full, in the next with room;
//! each bucket that it passed counts it. Written under the stripe's lock, read by anyone; a bigger array replaces a full one.

use super::bucket::Bucket;
use super::bucket::WIDTH;

/// Entries a bucket may hold on average before the array grows: three quarters of its places.
const LOAD: usize = 9;

pub(super) struct Index {
    buckets: Box<[Bucket]>,
}

/// Where an entry lies, for as long as the lock is held.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    bucket: usize,
    at: usize,
    pub(super) slot: u32,
}

/// The byte that is compared first; never zero, which marks free places.
#[inline(always)]
pub(super) fn tag(hash: u64) -> u8 {
    (hash as u8).max(1)
}

/// The bits that choose the home bucket: independent of those of the tag and the stripe.
#[inline(always)]
pub(crate) fn ordinal(hash: u64) -> u32 {
    (hash >> 16) as u32
}

/// The home bucket among `buckets`: multiplication instead of a remainder, so their number may be any; monotone, so that a scan can go
/// by ordinals. Below `buckets`, if there are any.
#[inline(always)]
pub(super) fn home(ordinal: u32, buckets: usize) -> usize {
    ((u64::from(ordinal) * buckets as u64) >> 32) as usize
}

/// The hash as a hash table of one stripe wants it: the stripe was chosen by some of its bits, which are all alike here, so both ends
/// are made to depend on all the others (multiplication by the golden ratio, as in Knuth's Fibonacci hashing).
pub(super) fn spread(hash: u64) -> u64 {
    hash.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32)
}

impl Index {
    pub(super) fn new(buckets: usize) -> Self {
        Index { buckets: (0..buckets.max(1)).map(|_| Bucket::new()).collect() }
    }

    /// Buckets that hold `entries` at the intended load.
    pub(super) fn buckets_for(entries: usize) -> usize {
        entries.div_ceil(LOAD).max(1)
    }

    pub(super) fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Entries it may hold before it is too full.
    pub(super) fn room(&self) -> usize {
        Self::room_of(self.buckets.len())
    }

    /// Entries that so many buckets may hold before they are too full.
    pub(super) fn room_of(buckets: usize) -> usize {
        buckets * LOAD
    }

    #[inline(always)]
    pub(super) fn bucket(&self, bucket: usize) -> &Bucket {
        &self.buckets[bucket]
    }

    #[inline(always)]
    pub(super) fn home(&self, ordinal: u32) -> usize {
        home(ordinal, self.buckets.len())
    }

    pub(super) fn as_ptr(&self) -> *const Bucket {
        self.buckets.as_ptr()
    }

    #[inline(always)]
    pub(super) fn next(&self, bucket: usize) -> usize {
        if bucket + 1 == self.buckets.len() { 0 } else { bucket + 1 }
    }

    /// The entry with this hash whose slot `is` accepts. Under the stripe's lock.
    #[inline(always)]
    pub(super) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<Spot> {
        self.find_map(hash, |slot| is(slot).then_some(())).map(|(spot, ())| spot)
    }

    /// The entry with this hash of whose slot `look` makes something, and what. Under the stripe's lock.
    #[inline(always)]
    pub(super) fn find_map<T>(&self, hash: u64, mut look: impl FnMut(u32) -> Option<T>) -> Option<(Spot, T)> {
        let mut bucket = self.home(ordinal(hash));
        for _ in 0..self.buckets.len() {
            let line = &self.buckets[bucket];
            let tags = line.tags();
            let mut matches = tags.matching(tag(hash));
            while matches != 0 {
                let at = matches.trailing_zeros() as usize;
                let slot = line.slot(at);
                if let Some(found) = look(slot) {
                    return Some((Spot { bucket, at, slot }, found));
                }
                matches &= matches - 1;
            }
            if tags.passed() == 0 {
                return None;
            }
            bucket = self.next(bucket);
        }
        None
    }

    /// Links an entry that is not there yet. Under the stripe's lock; the array must have a free place.
    #[inline]
    pub(super) fn link(&self, hash: u64, slot: u32) {
        let mut bucket = self.home(ordinal(hash));
        loop {
            let free = self.buckets[bucket].tags().free();
            if free != 0 {
                return self.buckets[bucket].occupy(free.trailing_zeros() as usize, tag(hash), slot);
            }
            self.buckets[bucket].pass();
            bucket = self.next(bucket);
        }
    }

    /// Puts another slot in an entry's place: one store, so that readers see the one or the other. Under the stripe's lock.
    #[inline(always)]
    pub(super) fn swap(&self, spot: Spot, slot: u32) {
        self.buckets[spot.bucket].swap(spot.at, slot);
    }

    /// Under the stripe's lock.
    #[inline]
    pub(super) fn unlink(&self, hash: u64, spot: Spot) {
        self.buckets[spot.bucket].vacate(spot.at);
        let mut passed = self.home(ordinal(hash));
        while passed != spot.bucket {
            self.buckets[passed].unpass();
            passed = self.next(passed);
        }
    }

    /// Every entry in bucket `bucket`. Under the stripe's lock.
    pub(super) fn spots(&self, bucket: usize) -> impl Iterator<Item = Spot> {
        let line = &self.buckets[bucket];
        let occupied = !line.tags().free();
        (0..WIDTH).filter(move |at| occupied >> at & 1 == 1).map(move |at| Spot { bucket, at, slot: line.slot(at) })
    }

    /// Empties every bucket. Under the stripe's lock.
    pub(super) fn wipe(&self) {
        self.buckets.iter().for_each(Bucket::wipe);
    }

    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.buckets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_while_linked_and_lost_when_unlinked() {
        let index = Index::new(8);
        let hash = |key: u64| key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for key in 0..70 {
            index.link(hash(key), key as u32);
        }
        for key in (0..70).rev() {
            let spot = index.find(hash(key), |slot| slot == key as u32).expect("linked");
            index.unlink(hash(key), spot);
            assert!(index.find(hash(key), |slot| slot == key as u32).is_none());
        }
        assert!((0..8).all(|bucket| index.bucket(bucket).tags().passed() == 0));
    }

    #[test]
    fn one_hash_for_all_fills_bucket_after_bucket() {
        let index = Index::new(4);
        (0..36).for_each(|slot| index.link(7 << 16 | 9, slot));
        assert!((0..36).all(|wanted| index.find(7 << 16 | 9, |slot| slot == wanted).is_some()));
    }
}
