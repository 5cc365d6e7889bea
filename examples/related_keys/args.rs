//! The flags.

use std::time::Duration;

use lexopt::Arg;
use lexopt::Parser;

use crate::common::error::Error;
use crate::common::flags::MAX_THREADS;
use crate::common::flags::number;
use crate::common::flags::seconds;

pub(crate) const HELP: &str = "\
Counts how often a cache shows an old value beside a new one that belongs to it.

Usage: cargo run --release --example related_keys -- [FLAGS]

  --orders N             orders in the database                      [2000]
  --lines N              lines of each                               [8]
  --capacity N           values a cache may hold                     [half of all]
  --readers N            reader threads                              [8]
  --writers N            writer threads                              [2]
  --writes-per-second N  commits a second, all writers together      [1000]
  --seconds S            time for each cache                         [5]
  --load-delay-us N      wait after an order was read and before it  [0]
                         is stored, as a network would add; the
                         same for every cache
  --skew S               Zipf exponent of the access pattern         [0.99]
  --seed N               seed of the access pattern                  [1]
  -h, --help             show this

Ctrl-C ends the run with the table so far.
";

const MAX_ORDERS: usize = 10_000_000;
const MAX_LINES: usize = 100;

pub(crate) struct Args {
    pub(crate) orders: usize,
    pub(crate) lines: usize,
    pub(crate) capacity: Option<usize>,
    pub(crate) readers: usize,
    pub(crate) writers: usize,
    pub(crate) writes_per_second: u32,
    pub(crate) seconds: Duration,
    pub(crate) load_delay: Duration,
    pub(crate) skew: f64,
    pub(crate) seed: u64,
}

impl Args {
    /// The flags given, or `None` when help was asked for.
    pub(crate) fn from_command_line() -> Result<Option<Self>, Error> {
        Self::parse(Parser::from_env())
    }

    fn parse(mut parser: Parser) -> Result<Option<Self>, Error> {
        let mut args = Self {
            orders: 2000,
            lines: 8,
            capacity: None,
            readers: 8,
            writers: 2,
            writes_per_second: 1000,
            seconds: Duration::from_secs(5),
            load_delay: Duration::ZERO,
            skew: 0.99,
            seed: 1,
        };
        while let Some(arg) = parser.next().map_err(|why| Error::Flag(why.to_string()))? {
            match arg {
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                Arg::Long("orders") => args.orders = number(&mut parser, "--orders", 1, MAX_ORDERS)?,
                Arg::Long("lines") => args.lines = number(&mut parser, "--lines", 1, MAX_LINES)?,
                Arg::Long("capacity") => args.capacity = Some(number(&mut parser, "--capacity", 1, usize::MAX)?),
                Arg::Long("readers") => args.readers = number(&mut parser, "--readers", 1, MAX_THREADS)?,
                Arg::Long("writers") => args.writers = number(&mut parser, "--writers", 0, MAX_THREADS)?,
                Arg::Long("writes-per-second") => {
                    args.writes_per_second = number(&mut parser, "--writes-per-second", 1, 10_000_000)?;
                }
                Arg::Long("seconds") => args.seconds = seconds(&mut parser, "--seconds", 0.1)?,
                Arg::Long("load-delay-us") => {
                    args.load_delay = Duration::from_micros(number(&mut parser, "--load-delay-us", 0, 1_000_000)?);
                }
                Arg::Long("skew") => args.skew = number(&mut parser, "--skew", 0.0, 10.0)?,
                Arg::Long("seed") => args.seed = number(&mut parser, "--seed", 0, u64::MAX)?,
                other => return Err(Error::Flag(other.unexpected().to_string())),
            }
        }
        if args.writers > args.orders {
            return Err(Error::Flag("each writer has orders of its own, so --writers may not be more than --orders".to_owned()));
        }
        Ok(Some(args))
    }

    /// Values that each cache may hold.
    pub(crate) fn capacity(&self) -> usize {
        // A total and a page for each order, and its lines.
        self.capacity.unwrap_or_else(|| self.orders * (self.lines + 2) / 2)
    }
}
