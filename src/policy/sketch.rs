//! Estimates how often a key was used of late: a count-min sketch of 4-bit counters that are halved
//! now and then (Einziger, Friedman and Manes, "TinyLFU", ToS 2017), one cache line a key.

/// Four rows of two words; a word holds 16 counters.
type Block = [u64; WORDS];

const WORDS: usize = 2 * ROWS;

const ROWS: usize = 4;
const MAX: u64 = 15;
/// Additions for each entry between two halvings of a counter.
const PERIOD: usize = 10;
/// Fewer entries would be forgotten before they come back.
const MIN_ENTRIES: usize = 128;
/// Entries that share a block: few keys come back often enough to be counted.
const SPAN: usize = 32;

#[derive(Default)]
pub(super) struct Sketch {
    blocks: Vec<Block>,
    /// Additions since the counters were last halved.
    added: usize,
}

impl Sketch {
    /// Room for about `entries` keys. Estimates stay what they are when the room is doubled.
    #[inline]
    pub(super) fn grow(&mut self, entries: usize) {
        if entries > self.blocks.len() * SPAN {
            self.outgrow(entries.max(MIN_ENTRIES));
        }
    }

    #[cold]
    fn outgrow(&mut self, entries: usize) {
        let wanted = entries.div_ceil(SPAN);
        if self.blocks.is_empty() {
            self.blocks = vec![[0; WORDS]; wanted];
        }
        // A few entries too many cost less than twice the memory.
        while self.blocks.len() * 5 / 4 < wanted {
            // Block i of n covers the same hashes as blocks 2i and 2i + 1 of 2n.
            self.blocks = self.blocks.iter().flat_map(|&block| [block; 2]).collect();
        }
    }

    /// Counters that stand above the key's estimate belong to others as well and are left alone: conservative update (Estan and
    /// Varghese, SIGCOMM 2002). So even a stream of keys that are used once leaves a new key its low estimate.
    #[inline]
    pub(super) fn add(&mut self, hash: u32, uses: u8) {
        let index = self.index(hash);
        let Some(block) = self.blocks.get_mut(index) else { return };
        let bits = spread(hash);
        let least = least(block, bits);
        let sum = (least + u64::from(uses)).min(MAX);
        for row in 0..ROWS {
            let (word, shift) = place(bits, row);
            let count = block[word] >> shift & MAX;
            block[word] += (count.max(sum) - count) << shift;
        }
        self.added += if sum > least { usize::from(uses) } else { 0 };
        if self.added >= PERIOD * SPAN * self.blocks.len() {
            self.halve();
        }
    }

    #[inline]
    pub(super) fn estimate(&self, hash: u32) -> u8 {
        let Some(block) = self.blocks.get(self.index(hash)) else { return 0 };
        least(block, spread(hash)) as u8
    }

    pub(super) fn clear(&mut self) {
        self.blocks.fill([0; WORDS]);
        self.added = 0;
    }

    pub(super) fn memory(&self) -> usize {
        self.blocks.capacity() * size_of::<Block>()
    }

    #[inline]
    fn index(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.blocks.len() as u64) >> 32) as usize
    }

    #[cold]
    fn halve(&mut self) {
        for word in self.blocks.iter_mut().flatten() {
            *word = *word >> 1 & 0x7777_7777_7777_7777;
        }
        self.added /= 2;
    }
}

/// The least of a key's counters.
#[inline]
fn least(block: &Block, bits: u32) -> u64 {
    let mut least = MAX;
    for row in 0..ROWS {
        let (word, shift) = place(bits, row);
        least = least.min(block[word] >> shift & MAX);
        // Most keys are asked for once.
        if least == 0 {
            break;
        }
    }
    least
}

/// The block is chosen by the high bits of a hash; mixing again frees the rows from that choice.
#[inline]
fn spread(hash: u32) -> u32 {
    hash.wrapping_mul(0x9e37_79b1) >> 12
}

/// Word and shift of a key's counter in a row: five bits of its own.
#[inline]
fn place(bits: u32, row: usize) -> (usize, u32) {
    let bits = bits >> (5 * row);
    (2 * row + (bits & 1) as usize, bits << 1 & 60)
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
        assert_eq!(sketch.estimate(7), MAX as u8 / 2);
    }

    #[test]
    fn an_empty_sketch_knows_nothing() {
        let mut sketch = Sketch::default();
        sketch.add(7, 3);
        assert_eq!(sketch.estimate(7), 0);
    }
}
