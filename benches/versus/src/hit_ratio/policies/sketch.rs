//! How often keys were asked for of late, roughly: a count-min sketch of four rows of counters up to 15 that are halved every so
//! often, as Einziger, Friedman and Manes have it in "TinyLFU: A Highly Efficient Cache Admission Policy", ToS '17.

use crate::hit_ratio::trace::Key;

const MOST: u8 = 15;
const ROWS: u64 = 4;

pub struct Sketch {
    rows: [Vec<u8>; ROWS as usize],
    counted: u64,
    period: u64,
}

impl Sketch {
    /// For a cache of that many entries.
    pub fn new(entries: u64) -> Self {
        let width = (4 * entries as usize).next_power_of_two();
        Self { rows: std::array::from_fn(|_| vec![0; width]), counted: 0, period: 10 * entries }
    }

    pub fn count(&mut self, key: Key) {
        for (row, counters) in (0..).zip(&mut self.rows) {
            let place = place(key, row, counters.len());
            counters[place] = (counters[place] + 1).min(MOST);
        }
        self.counted += 1;
        if self.counted >= self.period {
            self.age();
        }
    }

    pub fn estimate(&self, key: Key) -> u8 {
        let counts = (0..).zip(&self.rows).map(|(row, counters)| counters[place(key, row, counters.len())]);
        counts.min().expect("there are rows")
    }

    fn age(&mut self) {
        for counter in self.rows.iter_mut().flatten() {
            *counter /= 2;
        }
        self.counted /= 2;
    }
}

/// The finalizer of SplitMix64, over key and row.
fn place(key: Key, row: u64, width: usize) -> usize {
    let z = (u64::from(key) * ROWS + row + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) as usize & (width - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_never_too_low_until_they_are_halved() {
        let mut sketch = Sketch::new(100);
        for _ in 0..9 {
            sketch.count(7);
        }
        assert!((9..=MOST).contains(&sketch.estimate(7)));
        assert_eq!(sketch.estimate(8), 0);
        for _ in 9..1000 {
            sketch.count(8);
        }
        assert_eq!((sketch.estimate(7), sketch.estimate(8)), (4, 7));
    }
}
