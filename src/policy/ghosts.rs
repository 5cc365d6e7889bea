//! Remembers keys that left, as fingerprints of two bytes in small first-in-first-out buckets.

/// Fingerprints in a bucket: one half of a cache line.
const WAYS: usize = 16;

type Bucket = [u16; WAYS];

#[derive(Default)]
pub(super) struct Ghosts {
    buckets: Vec<Bucket>,
}

impl Ghosts {
    /// Room for about `entries` ghosts. What is known stays known when the room is doubled.
    #[inline]
    pub(super) fn grow(&mut self, entries: usize) {
        if entries * 2 > self.buckets.len() * WAYS || self.buckets.is_empty() {
            self.outgrow(entries);
        }
    }

    #[cold]
    fn outgrow(&mut self, entries: usize) {
        let wanted = (entries * 2).div_ceil(WAYS).max(1);
        if self.buckets.is_empty() {
            self.buckets = vec![[0; WAYS]; wanted];
        }
        // A few entries too many cost less than twice the memory.
        while self.buckets.len() * 5 / 4 < wanted {
            // Bucket i of n covers the same hashes as buckets 2i and 2i + 1 of 2n.
            self.buckets = self.buckets.iter().flat_map(|&bucket| [bucket; 2]).collect();
        }
    }

    pub(super) fn push(&mut self, hash: u32) {
        if let Some(bucket) = self.bucket(hash) {
            bucket.copy_within(0..WAYS - 1, 1);
            bucket[0] = fingerprint(hash);
        }
    }

    /// Whether the key was remembered, and if so how many left after it, in shares of the bucket; it no longer is.
    pub(super) fn take(&mut self, hash: u32) -> Option<usize> {
        let bucket = self.bucket(hash)?;
        let sought = fingerprint(hash);
        // All ways at once: most keys are found in none.
        if !bucket.iter().fold(false, |found, &way| found | (way == sought)) {
            return None;
        }
        let at = bucket.iter().position(|&way| way == sought)?;
        bucket.copy_within(at + 1.., at);
        bucket[WAYS - 1] = 0;
        Some(at)
    }

    pub(super) fn clear(&mut self) {
        self.buckets.fill([0; WAYS]);
    }

    pub(super) fn memory(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }

    fn bucket(&mut self, hash: u32) -> Option<&mut Bucket> {
        let index = (u64::from(hash) * self.buckets.len() as u64) >> 32;
        self.buckets.get_mut(index as usize)
    }
}

/// Never 0, which marks an empty way.
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
        assert!(!ghosts.take(9), "no room yet");
        ghosts.grow(16);
        ghosts.push(0x8765_4321);
        ghosts.grow(64);
        assert!(ghosts.take(0x8765_4321));
        assert!(!ghosts.take(0x8765_4321));
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let mut ghosts = Ghosts::default();
        ghosts.grow(WAYS);
        for hash in 1..=WAYS as u32 + 1 {
            ghosts.push(hash);
        }
        assert!(!ghosts.take(1));
        assert!(ghosts.take(2));
    }
}
