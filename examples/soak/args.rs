//! The flags.

use std::thread::available_parallelism;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use lexopt::Arg;
use lexopt::Parser;

use crate::common::error::Error;
use crate::common::flags::MAX_THREADS;
use crate::common::flags::number;
use crate::common::flags::seconds;

pub(crate) const HELP: &str = "\
Uses a cache in every way at once, with choices drawn at random and drawn again every few seconds, and checks
all the while that it keeps its promises and that memory stays flat.

Usage: cargo run --release --example soak -- [FLAGS]

  --minutes N   how long                                    [1]
  --seconds S   the same in seconds
  --seed N      seed of the choices and the operations      [drawn from the time, and printed]
  --threads N   worker threads                              [4 for each core, at most 16]
  -h, --help    show this

The first violated promise ends it with exit code 1: it prints the seed of that configuration, the configuration,
the key, what was seen and what was expected. Run it with that seed to start with the same configuration.
Ctrl-C ends the run with the report so far.
";

/// A day.
const MAX_MINUTES: f64 = 1440.0;
const THREADS_PER_CORE: usize = 4;
const DEFAULT_MOST_THREADS: usize = 16;

pub(crate) struct Args {
    pub(crate) time: Duration,
    pub(crate) seed: u64,
    pub(crate) threads: usize,
}

impl Args {
    /// The flags given, or `None` when help was asked for.
    pub(crate) fn from_command_line() -> Result<Option<Self>, Error> {
        let mut parser = Parser::from_env();
        let cores = available_parallelism().map_or(1, usize::from);
        let threads = (cores * THREADS_PER_CORE).min(DEFAULT_MOST_THREADS);
        let mut args = Self { time: Duration::from_secs(60), seed: drawn_seed(), threads };
        while let Some(arg) = parser.next().map_err(|why| Error::Flag(why.to_string()))? {
            match arg {
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                Arg::Long("minutes") => {
                    args.time = Duration::from_secs_f64(60.0 * number(&mut parser, "--minutes", 0.01, MAX_MINUTES)?);
                }
                Arg::Long("seconds") => args.time = seconds(&mut parser, "--seconds", 0.5)?,
                Arg::Long("seed") => args.seed = number(&mut parser, "--seed", 0, u64::MAX)?,
                Arg::Long("threads") => args.threads = number(&mut parser, "--threads", 1, MAX_THREADS)?,
                other => return Err(Error::Flag(other.unexpected().to_string())),
            }
        }
        Ok(Some(args))
    }
}

/// Short enough to be typed.
fn drawn_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_micros() as u64 % 1_000_000_000)
}
