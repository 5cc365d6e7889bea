//! Keys, drawn before anything is timed. The same seed gives the same keys on every machine.

/// How keys are drawn.
#[derive(Clone, Copy, Debug)]
pub enum Draw {
    /// All of `0..n` alike.
    Uniform(u64),
    /// `0..n`, the r-th with a weight of `1 / r^s`.
    Zipf { n: u64, s: f64 },
    /// A new key each time, from this one on.
    Fresh(u64),
}

/// An endless stream of keys.
pub struct Keys {
    random: Random,
    source: Source,
}

enum Source {
    Uniform(u64),
    Zipf(Alias),
    Fresh(u64),
}

impl Keys {
    pub fn new(draw: Draw) -> Self {
        let source = match draw {
            Draw::Uniform(n) => Source::Uniform(n),
            Draw::Zipf { n, s } => Source::Zipf(Alias::zipf(n, s)),
            Draw::Fresh(first) => Source::Fresh(first),
        };
        Self { random: Random(0x0b51_4d1e), source }
    }

    pub fn batch(&mut self, len: usize) -> Vec<u64> {
        (0..len).map(|_| self.draw()).collect()
    }

    /// A number below `n`, from the same seed.
    pub fn below(&mut self, n: u64) -> u64 {
        self.random.below(n)
    }

    fn draw(&mut self) -> u64 {
        match &mut self.source {
            Source::Uniform(n) => self.random.below(*n),
            Source::Zipf(alias) => alias.draw(&mut self.random),
            Source::Fresh(next) => {
                *next += 1;
                *next - 1
            }
        }
    }
}

/// `0..n` in random order, so that neighbours in popularity are no neighbours in memory.
pub fn shuffled(n: u64) -> Vec<u64> {
    let mut random = Random(0x5caf_f01d);
    let mut keys: Vec<u64> = (0..n).collect();
    for last in (1..keys.len()).rev() {
        keys.swap(last, random.below(last as u64 + 1) as usize);
    }
    keys
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Vose's alias method: any discrete distribution at one look-up a draw.
struct Alias {
    columns: Vec<(f64, u64)>,
}

impl Alias {
    fn zipf(n: u64, s: f64) -> Self {
        let weights: Vec<f64> = (1..=n).map(|rank| (rank as f64).powf(-s)).collect();
        let mean = weights.iter().sum::<f64>() / n as f64;
        let mut columns: Vec<_> = (0..n).zip(weights).map(|(k, w)| (w / mean, k)).collect();

        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..columns.len()).partition(|&column| columns[column].0 < 1.0);
        while let (Some(poor), Some(&rich)) = (small.pop(), large.last()) {
            columns[poor].1 = rich as u64;
            columns[rich].0 -= 1.0 - columns[poor].0;
            if columns[rich].0 < 1.0 {
                large.pop();
                small.push(rich);
            }
        }
        Self { columns }
    }

    fn draw(&self, random: &mut Random) -> u64 {
        let column = random.below(self.columns.len() as u64);
        let (share, alias) = self.columns[column as usize];
        if random.unit() < share { column } else { alias }
    }
}
