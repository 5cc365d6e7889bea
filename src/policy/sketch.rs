//! Estimates how often a key was used of late: a count-min sketch of 4-bit counters that are halved
//! now and then (Einziger, Friedman and Manes, "TinyLFU", ToS 2017), one cache line a key.

/// Four rows of two words; a word holds 16 counters.
type Block = [u64; 8];

const ROWS: usize = 4;
const MAX: u64 = 15;
/// The counts of an entry's share of the sketch at which all are halved.
const PERIOD: usize = 10;
/// Fewer entries would be forgotten before they come back.
const MIN_ENTRIES: usize = 128;
/// Entries that share a block.
const SPAN: usize = 16;

#[derive(Default)]
pub(super) struct Sketch {
    blocks: Vec<Block>,
    /// Additions since the counters were last halved.
    added: usize,
    entries: usize,
}

impl Sketch {
    /// Room for about `entries` keys. Estimates stay what they are when the room is doubled.
    #[inline]
    pub(super) fn grow(&mut self, entries: usize) {
        if entries > self.entries {
            self.outgrow(entries.max(MIN_ENTRIES));
        }
    }

    #[cold]
    fn outgrow(&mut self, entries: usize) {
        let wanted = entries.div_ceil(SPAN).max(1);
        self.entries = entries;
        if self.blocks.is_empty() {
            self.blocks = vec![[0; 8]; wanted];
        }
        // A few entries too many cost less than twice the memory.
        while self.blocks.len() * 5 / 4 < wanted {
            // Block i of n covers the same hashes as blocks 2i and 2i + 1 of 2n.
            self.blocks = self.blocks.iter().flat_map(|&block| [block; 2]).collect();
        }
    }

    pub(super) fn add(&mut self, hash: u32, uses: u8) {
        let index = self.index(hash);
        let Some(block) = self.blocks.get_mut(index) else { return };
        let mut changed = 0;
        for (word, shift) in places(hash) {
            let room = MAX - (block[word] >> shift & MAX);
            let step = room.min(u64::from(uses));
            block[word] += step << shift;
            changed |= step;
        }
        if changed > 0 {
            self.added += usize::from(uses);
            if self.added >= PERIOD * self.entries {
                self.halve();
            }
        }
    }

    pub(super) fn estimate(&self, hash: u32) -> u8 {
        let Some(block) = self.blocks.get(self.index(hash)) else { return 0 };
        let least = places(hash).into_iter().map(|(word, shift)| block[word] >> shift & MAX).min();
        least.unwrap_or(0) as u8
    }

    pub(super) fn clear(&mut self) {
        self.blocks.fill([0; 8]);
        self.added = 0;
    }

    pub(super) fn memory(&self) -> usize {
        self.blocks.capacity() * size_of::<Block>()
    }

    fn index(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.blocks.len() as u64) >> 32) as usize
    }

    fn halve(&mut self) {
        for word in self.blocks.iter_mut().flatten() {
            *word = *word >> 1 & 0x7777_7777_7777_7777;
        }
        self.added /= 2;
    }
}

/// Word and shift of a key's counter in each row.
fn places(hash: u32) -> [(usize, u32); ROWS] {
    // The block is chosen by the high bits; mixing again frees the rows from that choice.
    let bits = hash.wrapping_mul(0x9e37_79b1);
    std::array::from_fn(|row| {
        let bits = bits >> (12 + 5 * row as u32);
        (2 * row + (bits & 1) as usize, (bits >> 1 & 15) * 4)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_keeps_estimates() {
        let mut sketch = Sketch::default();
        sketch.grow(100);
        sketch.add(0x1234_5678, 5);
        sketch.grow(5000);
        assert_eq!(sketch.estimate(0x1234_5678), 5);
    }

    #[test]
    fn counters_saturate_and_halve() {
        let mut sketch = Sketch::default();
        sketch.grow(1);
        for _ in 0..9 {
            sketch.add(7, 3);
        }
        assert_eq!(sketch.estimate(7), MAX as u8);
        sketch.halve();
        assert_eq!(sketch.estimate(7), 7);
    }

    #[test]
    fn an_empty_sketch_knows_nothing() {
        let mut sketch = Sketch::default();
        sketch.add(7, 3);
        assert_eq!(sketch.estimate(7), 0);
    }
}
