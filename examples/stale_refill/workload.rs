//! Which rows are read and written: a seeded Zipf pattern, or the accesses of a trace.

use crate::args::Args;
use crate::common::error::Error;
use crate::common::random::Random;
use crate::common::random::Zipf;
use crate::common::words::grouped;
use crate::trace;
use crate::trace::Trace;

const DEFAULT_ROWS: usize = 50_000;

/// Rows are numbered from 0. Every contender gets the same sequence of rows in the same threads.
pub(crate) enum Workload {
    Zipf { zipf: Zipf, skew: f64, seed: u64 },
    Trace { trace: Trace, seed: u64 },
}

impl Workload {
    pub(crate) fn new(args: &Args) -> Result<Self, Error> {
        if let Some(path) = &args.trace {
            let trace = trace::read(path, args.trace_limit)?;
            return Ok(Self::Trace { trace, seed: args.seed });
        }
        let rows = args.rows.unwrap_or(DEFAULT_ROWS);
        Ok(Self::Zipf { zipf: Zipf::new(rows, args.skew, args.seed), skew: args.skew, seed: args.seed })
    }

    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Zipf { zipf, .. } => zipf.rows(),
            Self::Trace { trace, .. } => trace.rows,
        }
    }

    /// In words, for the heading.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Zipf { skew, seed, .. } => format!("Zipf {skew}, seed {seed}"),
            Self::Trace { trace, .. } => {
                let cut = if trace.cut { "first " } else { "" };
                format!("trace, {cut}{} accesses", grouped(trace.accesses.len() as u64))
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
            Workload::Zipf { zipf, .. } => zipf.draw(&mut self.random),
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
