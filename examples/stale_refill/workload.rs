//! Which rows are read and written: a seeded Zipf pattern, or the accesses of a trace.

use crate::args::Args;
use crate::error::Error;
use crate::trace;
use crate::trace::Trace;

const DEFAULT_ROWS: usize = 50_000;

/// Rows are numbered from 0. Every contender gets the same sequence of rows in the same threads.
pub(crate) enum Workload {
    Zipf {
        /// Chance of drawing this rank or a better one, by rank.
        cumulative: Vec<f64>,
        /// Row of each rank, so that popular rows are not neighbours in the file.
        row_of_rank: Vec<u32>,
        skew: f64,
        seed: u64,
    },
    Trace {
        trace: Trace,
        seed: u64,
    },
}

impl Workload {
    pub(crate) fn new(args: &Args) -> Result<Self, Error> {
        if let Some(path) = &args.trace {
            let trace = trace::read(path, args.trace_limit)?;
            return Ok(Self::Trace { trace, seed: args.seed });
        }
        let rows = args.rows.unwrap_or(DEFAULT_ROWS);
        let mut row_of_rank: Vec<u32> = (0..rows).map(|row| row as u32).collect();
        let mut random = Random::new(args.seed, 0);
        for last in (1..rows).rev() {
            row_of_rank.swap(last, random.below(last + 1));
        }
        let mut total = 0.0;
        let mut cumulative = Vec::with_capacity(rows);
        for rank in 1..=rows {
            total += (rank as f64).powf(-args.skew);
            cumulative.push(total);
        }
        cumulative.iter_mut().for_each(|sum| *sum /= total);
        Ok(Self::Zipf { cumulative, row_of_rank, skew: args.skew, seed: args.seed })
    }

    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Zipf { row_of_rank, .. } => row_of_rank.len(),
            Self::Trace { trace, .. } => trace.rows,
        }
    }

    /// In words, for the heading.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Zipf { skew, seed, .. } => format!("Zipf {skew}, seed {seed}"),
            Self::Trace { trace, .. } => {
                let cut = if trace.cut { "first " } else { "" };
                format!("trace, {cut}{} accesses", crate::report::grouped(trace.accesses.len() as u64))
            }
        }
    }

    /// The rows that reader `index` of `readers` reads, without end. Together the readers walk a trace in its order,
    /// each taking every `readers`th access.
    pub(crate) fn reads(&self, index: usize, readers: usize) -> Rows<'_> {
        Rows { workload: self, random: Random::new(self.seed(), 1 + index as u64), place: index, step: Some(readers) }
    }

    /// The rows that writer `index` updates, without end: as skewed as the reads, in an order of their own.
    pub(crate) fn writes(&self, index: usize) -> Rows<'_> {
        Rows { workload: self, random: Random::new(self.seed(), (1 << 32) + index as u64), place: 0, step: None }
    }

    fn seed(&self) -> u64 {
        match self {
            Self::Zipf { seed, .. } | Self::Trace { seed, .. } => *seed,
        }
    }
}

pub(crate) struct Rows<'a> {
    workload: &'a Workload,
    random: Random,
    place: usize,
    /// Accesses to go forward in a trace; `None` to jump about in it.
    step: Option<usize>,
}

impl Rows<'_> {
    pub(crate) fn next_row(&mut self) -> u64 {
        match self.workload {
            Workload::Zipf { cumulative, row_of_rank, .. } => {
                let drawn = self.random.unit();
                let rank = cumulative.partition_point(|&sum| sum < drawn).min(row_of_rank.len() - 1);
                u64::from(row_of_rank[rank])
            }
            Workload::Trace { trace, .. } => {
                let length = trace.accesses.len();
                let place = match self.step {
                    Some(step) => {
                        let place = self.place % length;
                        self.place = place + step;
                        place
                    }
                    None => self.random.below(length),
                };
                u64::from(trace.accesses[place])
            }
        }
    }
}

/// SplitMix64: small, seeded, and good enough to draw rows with.
struct Random(u64);

impl Random {
    fn new(seed: u64, stream: u64) -> Self {
        Self(mix(seed ^ mix(stream.wrapping_add(1))))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// From 0 up to 1, without 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

/// SplitMix64's finalizer: each bit of the input reaches every bit of the output.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
