//! Remembers keys that left the window, as fingerprints of two bytes in small first-in-first-out buckets.

/// Fingerprints in a bucket: one half of a cache line.
const WAYS: usize = 16;
/// Entries of the cache for which there is one bucket: there are two ghosts an entry.
const SPAN: usize = WAYS / 2;

type Bucket = [u16; WAYS];

/// How long ago a key left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Age {
    /// About as many others have left since as there are entries, or fewer.
    Young,
    /// Up to twice as many.
    Old,
}

#[derive(Default)]
pub(super) struct Ghosts {
    buckets: Vec<Bucket>,
}

impl Ghosts {
    /// Room for the ghosts of a cache of `entries`. What is known stays known when the room is doubled.
    #[inline]
    pub(super) fn grow(&mut self, entries: usize) {
        if entries > self.buckets.len() * SPAN {
            self.outgrow(entries);
        }
    }

    #[cold]
    fn outgrow(&mut self, entries: usize) {
        let wanted = entries.div_ceil(SPAN);
        if self.buckets.is_empty() {
            self.buckets = vec![[0; WAYS]; wanted];
        }
        // A few entries too many cost less than twice the memory.
        while self.buckets.len() * 5 / 4 < wanted {
            // Bucket i of n covers the same hashes as buckets 2i and 2i + 1 of 2n.
            self.buckets = self.buckets.iter().flat_map(|&bucket| [bucket; 2]).collect();
        }
    }

    #[inline]
    pub(super) fn push(&mut self, hash: u32) {
        if let Some(bucket) = self.bucket(hash) {
            bucket.copy_within(0..WAYS - 1, 1);
            bucket[0] = fingerprint(hash);
        }
    }

    /// How long ago the key left, if it is remembered; it no longer is.
    #[inline]
    pub(super) fn take(&mut self, hash: u32) -> Option<Age> {
        let bucket = self.bucket(hash)?;
        let sought = fingerprint(hash);
        // All ways at once: most keys are found in none.
        if bucket.iter().fold(0, |found, &way| found | u16::from(way == sought)) == 0 {
            return None;
        }
        take_from(bucket, sought)
    }

    pub(super) fn clear(&mut self) {
        self.buckets.fill([0; WAYS]);
    }

    pub(super) fn memory(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }

    #[inline]
    fn bucket(&mut self, hash: u32) -> Option<&mut Bucket> {
        let index = (u64::from(hash) * self.buckets.len() as u64) >> 32;
        self.buckets.get_mut(index as usize)
    }
}

#[inline(never)]
fn take_from(bucket: &mut Bucket, sought: u16) -> Option<Age> {
    let at = bucket.iter().position(|&way| way == sought)?;
    bucket.copy_within(at + 1.., at);
    bucket[WAYS - 1] = 0;
    Some(if at < WAYS / 2 { Age::Young } else { Age::Old })
}

/// Never 0, which marks an empty way.
#[inline]
fn fingerprint(hash: u32) -> u16 {
    (hash as u16).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_once_and_across_growth() {
        let mut ghosts = Ghosts::default();
        ghosts.push(9);
        assert_eq!(ghosts.take(9), None, "no room yet");
        ghosts.grow(16);
        ghosts.push(0x8765_4321);
        ghosts.grow(64);
        assert_eq!(ghosts.take(0x8765_4321), Some(Age::Young));
        assert_eq!(ghosts.take(0x8765_4321), None);
    }

    #[test]
    fn ghosts_grow_old_and_are_forgotten() {
        let mut ghosts = Ghosts::default();
        ghosts.grow(SPAN);
        for hash in 1..=WAYS as u32 + 1 {
            ghosts.push(hash);
        }
        assert_eq!(ghosts.take(1), None);
        assert_eq!(ghosts.take(2), Some(Age::Old));
        assert_eq!(ghosts.take(WAYS as u32), Some(Age::Young));
    }
}
