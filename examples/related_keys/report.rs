//! The words and the table.

use std::time::Duration;

use crate::args::Args;
use crate::common::error::Error;
use crate::common::words;
use crate::common::words::counted;
use crate::common::words::duration;
use crate::common::words::grouped;
use crate::common::words::wrapped;
use crate::run::Outcome;

const COLUMNS: [&str; 11] =
    ["", "orders", "mixed", "reads", "mixes", "longest stay", "hit ratio", "p50", "p99", "p99.9", "commits"];

/// Said before anything runs.
pub(crate) fn heading(args: &Args) -> String {
    let delay = match args.load_delay {
        Duration::ZERO => "no delay added to loads".to_owned(),
        delay => format!("each load takes {} longer, as over a network", duration(delay)),
    };
    let writers = match args.writers {
        0 => "no writers".to_owned(),
        writers => format!("{} (at most {} commits/s)", counted(writers, "writer"), grouped(args.writes_per_second.into())),
    };
    format!(
        "related_keys: does a cache show old values beside new ones that belong to them?\n\n  \
         database  SQLite, {} orders of {}; {delay}\n  \
         caches    room for {} values each: totals, lines and pages\n  \
         workload  Zipf {}, seed {}; {}, {writers}, {} each\n\n",
        grouped(args.orders as u64),
        counted(args.lines, "line"),
        grouped(args.capacity() as u64),
        args.skew,
        args.seed,
        counted(args.readers, "reader"),
        duration(args.seconds),
    )
}

pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let row = |outcome: &Outcome| {
        [
            outcome.name.to_owned(),
            grouped(outcome.orders),
            grouped(outcome.mixed),
            grouped(outcome.reads),
            grouped(outcome.mixes),
            if outcome.mixes == 0 { "-".to_owned() } else { duration(outcome.longest_stay) },
            format!("{:.2} %", outcome.hit_ratio() * 100.0),
            duration(outcome.percentile(50.0)),
            duration(outcome.percentile(99.0)),
            duration(outcome.percentile(99.9)),
            grouped(outcome.commits),
        ]
    };
    words::table(COLUMNS, &outcomes.iter().map(row).collect::<Vec<_>>())
}

/// What the numbers mean, for someone who sees them for the first time.
pub(crate) fn explanation(outcomes: &[Outcome], args: &Args, interrupted: bool) -> String {
    let mut text = String::new();
    if interrupted {
        text += &wrapped("Interrupted: these are the reads until then, and a cache that did not get its turn is not shown.");
        text += "\n";
    }
    text += &wrapped(
        "A writer commits new prices of an order in the database, sets the order's new total in the cache and invalidates its \
         lines and its page: with an insert and one invalidation after the other, or with the same in a transaction, where readers read one key \
         after the other or take a snapshot. A mix is a \
         read that returned a line, page or total from before a commit whose total had been seen, by any reader, before the read \
         began (in a snapshot: or is seen beside it); the longest stay is how long after that first sight. With single \
         operations others look in between; with moka, a load that was under way also puts back what has been invalidated. A \
         transaction promises that there is no mix. The hit ratio is \
         the share of reads that needed no load of their own, and latency is that of all values of an order, loads included.",
    );
    text += "\n";
    let commits = outcomes.iter().map(|outcome| outcome.commits).sum();
    text += &wrapped(&format!(
        "Checked against the database after each cache: every order is at the version to which its writer brought it, after {} \
         commits; and every value that was read is what its version of its order shows.",
        grouped(commits)
    ));
    if outcomes.iter().all(|outcome| outcome.mixes == 0) {
        let advice = if args.writers == 0 { "give it --writers" } else { "try more --seconds or --writes-per-second" };
        text += "\n";
        text += &wrapped(&format!("No cache was caught with a mix this time; {advice}."));
    }
    text + "\n"
}

/// A transaction must not have shown a mix.
pub(crate) fn verdict(outcomes: &[Outcome]) -> Result<(), Error> {
    match outcomes.iter().find(|outcome| outcome.promises && outcome.mixes > 0) {
        Some(outcome) => Err(Error::Failed(format!(
            "{} showed {} mixes. It promises none: please report this with the flags you used",
            outcome.name, outcome.mixes
        ))),
        None => Ok(()),
    }
}
