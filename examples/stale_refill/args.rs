//! The flags.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg;
use lexopt::Parser;

use crate::common::error::Error;
use crate::common::flags::MAX_THREADS;
use crate::common::flags::number;
use crate::common::flags::seconds;
use crate::workload::Workload;

pub(crate) const HELP: &str = "\
Counts how often a cache returns a row that the database has already replaced.

Usage: cargo run --release --example stale_refill -- [FLAGS]

  --rows N               rows in the database                        [50000]
  --capacity N           rows a cache may hold                       [a tenth of the rows]
  --threads N            reader threads                              [8]
  --writers N            writer threads                              [2]
  --writes-per-second N  commits a second, all writers together      [2000]
  --seconds S            time for each cache                         [5]
  --ttl S                time to live in the plain map and in moka   [60]
  --load-delay-us N      wait after a row was read and before it is  [200]
                         stored, as a network would add; the same
                         for every cache
  --skew S               Zipf exponent of the access pattern         [0.99]
  --seed N               seed of the access pattern                  [1]
  --trace FILE           follow this trace instead: little-endian
                         u64 keys, plain or zstd-compressed; its
                         distinct keys become the rows
  --trace-limit N        accesses read from the trace                [5000000]
  --svg PATH             where to write the plot                     [target/stale_refill.svg]
  -h, --help             show this

Ctrl-C ends the run with the table so far.
";

/// A row takes some 200 bytes of disk and a few of memory.
const MAX_ROWS: usize = 100_000_000;

pub(crate) struct Args {
    /// None when not given: 50 000, or the distinct keys of the trace.
    pub(crate) rows: Option<usize>,
    pub(crate) capacity: Option<usize>,
    pub(crate) readers: usize,
    pub(crate) writers: usize,
    pub(crate) writes_per_second: u32,
    pub(crate) seconds: Duration,
    pub(crate) ttl: Duration,
    pub(crate) load_delay: Duration,
    pub(crate) skew: f64,
    pub(crate) seed: u64,
    pub(crate) trace: Option<PathBuf>,
    pub(crate) trace_limit: usize,
    pub(crate) svg: Option<PathBuf>,
}

impl Args {
    /// The flags given, or `None` when help was asked for.
    pub(crate) fn from_command_line() -> Result<Option<Self>, Error> {
        Self::parse(Parser::from_env())
    }

    fn parse(mut parser: Parser) -> Result<Option<Self>, Error> {
        let mut args = Self {
            rows: None,
            capacity: None,
            readers: 8,
            writers: 2,
            writes_per_second: 2000,
            seconds: Duration::from_secs(5),
            ttl: Duration::from_secs(60),
            load_delay: Duration::from_micros(200),
            skew: 0.99,
            seed: 1,
            trace: None,
            trace_limit: 5_000_000,
            svg: None,
        };
        while let Some(arg) = parser.next().map_err(|why| Error::Flag(why.to_string()))? {
            match arg {
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                Arg::Long("rows") => args.rows = Some(number(&mut parser, "--rows", 10, MAX_ROWS)?),
                Arg::Long("capacity") => args.capacity = Some(number(&mut parser, "--capacity", 1, MAX_ROWS)?),
                Arg::Long("threads") => args.readers = number(&mut parser, "--threads", 1, MAX_THREADS)?,
                Arg::Long("writers") => args.writers = number(&mut parser, "--writers", 0, MAX_THREADS)?,
                Arg::Long("writes-per-second") => {
                    args.writes_per_second = number(&mut parser, "--writes-per-second", 1, 10_000_000)?;
                }
                Arg::Long("seconds") => args.seconds = seconds(&mut parser, "--seconds", 0.1)?,
                Arg::Long("ttl") => args.ttl = seconds(&mut parser, "--ttl", 0.001)?,
                Arg::Long("load-delay-us") => {
                    args.load_delay = Duration::from_micros(number(&mut parser, "--load-delay-us", 0, 1_000_000)?);
                }
                Arg::Long("skew") => args.skew = number(&mut parser, "--skew", 0.0, 10.0)?,
                Arg::Long("seed") => args.seed = number(&mut parser, "--seed", 0, u64::MAX)?,
                Arg::Long("trace") => args.trace = Some(path(&mut parser, "--trace")?),
                Arg::Long("trace-limit") => {
                    args.trace_limit = number(&mut parser, "--trace-limit", 1, 1_000_000_000)?;
                }
                Arg::Long("svg") => args.svg = Some(path(&mut parser, "--svg")?),
                other => return Err(Error::Flag(other.unexpected().to_string())),
            }
        }
        if args.trace.is_some() && args.rows.is_some() {
            return Err(Error::Flag(
                "--rows and --trace exclude each other: a trace brings its own rows, so leave out --rows".to_owned(),
            ));
        }
        Ok(Some(args))
    }

    /// Rows that each cache may hold.
    pub(crate) fn capacity(&self, workload: &Workload) -> usize {
        self.capacity.unwrap_or_else(|| (workload.rows() / 10).max(1))
    }
}

fn path(parser: &mut Parser, flag: &str) -> Result<PathBuf, Error> {
    parser.value().map(PathBuf::from).map_err(|_| Error::Flag(format!("{flag} needs a path after it")))
}
