//! Random numbers from a seed.

/// SplitMix64: small, seeded, and good enough to draw rows with.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(mix(seed ^ mix(stream.wrapping_add(1))))
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// From 0 up to 1, without 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

/// SplitMix64's finalizer: each bit of the input reaches every bit of the output.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Rows from 0, some far more often than others.
pub(crate) struct Zipf {
    /// Chance of drawing this rank or a better one, by rank.
    cumulative: Vec<f64>,
    /// Row of each rank, so that popular rows are not neighbours in the file.
    row_of_rank: Vec<u32>,
}

impl Zipf {
    pub(crate) fn new(rows: usize, skew: f64, seed: u64) -> Self {
        let mut row_of_rank: Vec<u32> = (0..rows).map(|row| row as u32).collect();
        let mut random = Random::new(seed, 0);
        for last in (1..rows).rev() {
            row_of_rank.swap(last, random.below(last + 1));
        }
        let mut total = 0.0;
        let mut cumulative = Vec::with_capacity(rows);
        for rank in 1..=rows {
            total += (rank as f64).powf(-skew);
            cumulative.push(total);
        }
        cumulative.iter_mut().for_each(|sum| *sum /= total);
        Self { cumulative, row_of_rank }
    }

    pub(crate) fn rows(&self) -> usize {
        self.row_of_rank.len()
    }

    pub(crate) fn draw(&self, random: &mut Random) -> u64 {
        let drawn = random.unit();
        let rank = self.cumulative.partition_point(|&sum| sum < drawn).min(self.rows() - 1);
        u64::from(self.row_of_rank[rank])
    }
}
