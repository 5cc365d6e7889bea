//! What comes after a flag.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use lexopt::Parser;
use lexopt::ValueExt;

use super::error::Error;

/// No run needs more threads than this; it keeps a slip of the finger from asking for millions.
pub(crate) const MAX_THREADS: usize = 1024;
/// A day.
const MAX_SECONDS: f64 = 86_400.0;

pub(crate) fn number<T>(parser: &mut Parser, flag: &str, least: T, most: T) -> Result<T, Error>
where
    T: FromStr + PartialOrd + Display,
{
    let given = text(parser, flag)?;
    match given.replace('_', "").parse::<T>() {
        Ok(value) if value >= least && value <= most => Ok(value),
        _ => Err(Error::Flag(format!("{flag} takes a number from {least} to {most}, not `{given}`"))),
    }
}

pub(crate) fn seconds(parser: &mut Parser, flag: &str, least: f64) -> Result<Duration, Error> {
    number(parser, flag, least, MAX_SECONDS).map(Duration::from_secs_f64)
}

fn text(parser: &mut Parser, flag: &str) -> Result<String, Error> {
    parser
        .value()
        .map_err(|_| Error::Flag(format!("{flag} needs a value after it")))?
        .string()
        .map_err(|_| Error::Flag(format!("{flag} takes plain text")))
}
