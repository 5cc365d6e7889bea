//! The words and the table.

use std::time::Duration;

use crate::args::Args;
use crate::common::error::Error;
use crate::common::words;
use crate::common::words::counted;
use crate::common::words::duration;
use crate::common::words::grouped;
use crate::common::words::wrapped;
use crate::contenders::BRINDLE;
use crate::run::Outcome;
use crate::workload::Workload;

const COLUMNS: [&str; 10] =
    ["", "reads", "hit ratio", "db loads", "stale reads", "longest stay", "p50", "p99", "p99.9", "commits"];

/// Said before anything runs.
pub(crate) fn heading(args: &Args, workload: &Workload) -> String {
    let mut text = String::from("stale_refill: does a cache bring back rows that the database has replaced?\n\n");
    let capacity = args.capacity(workload);
    text += &format!(
        "  database  SQLite, {} rows; {}\n",
        grouped(workload.rows() as u64),
        match args.load_delay {
            Duration::ZERO => "no delay added to loads".to_owned(),
            delay => format!("each load takes {} longer, as over a network", duration(delay)),
        },
    );
    text += &format!(
        "  caches    room for {} each; time to live {} for plain map and moka\n",
        grouped(capacity as u64),
        duration(args.ttl)
    );
    text += &format!("  workload  {}\n\n", subtitle(args, workload));
    text
}

/// The workload in one line.
pub(crate) fn subtitle(args: &Args, workload: &Workload) -> String {
    let writers = match args.writers {
        0 => "no writers".to_owned(),
        writers => format!("{} (at most {} commits/s)", counted(writers, "writer"), grouped(args.writes_per_second.into())),
    };
    let readers = counted(args.readers, "reader");
    format!("{}; {readers}, {writers}, {} each", workload.describe(), duration(args.seconds))
}

pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let row = |outcome: &Outcome| {
        let stay = if outcome.stale == 0 { "-".to_owned() } else { duration(outcome.longest_stay) };
        [
            outcome.name.to_owned(),
            grouped(outcome.reads),
            format!("{:.2} %", outcome.hit_ratio() * 100.0),
            grouped(outcome.loads),
            grouped(outcome.stale),
            stay,
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
        "A stale read returned a row version older than one whose commit and invalidation had both finished before the read \
         began; the longest stay is how long after that such a value was still handed out. It comes about when a load \
         reads a row, a writer commits a newer one and invalidates the cache, and the load then stores what it read: the \
         invalidation came too early to remove it, and the old row stays until the next write, eviction or expiry. Brindle \
         refuses that store, though it is used as moka is: `try_get_with` to read, `invalidate` after a write. The hit \
         ratio is the share of reads that needed no load of their own, and latency is the whole read, load included.",
    );
    text += "\n";
    let commits = outcomes.iter().map(|outcome| outcome.commits).sum();
    text += &wrapped(&format!(
        "Checked against the database after each cache: the versions that judged the reads are the versions it holds, row \
         by row, after {} commits; and every body that was read is the one its version was written with.",
        grouped(commits)
    ));
    if outcomes.len() > 1 && outcomes.iter().all(|outcome| outcome.stale == 0) {
        text += "\n";
        let advice =
            if args.writers == 0 { "give it --writers" } else { "try more --seconds, --writes-per-second or --load-delay-us" };
        text += &wrapped(&format!("No cache was caught with a stale value this time; {advice}."));
    }
    text + "\n"
}

/// Brindle must not have been stale.
pub(crate) fn verdict(outcomes: &[Outcome]) -> Result<(), Error> {
    match outcomes.iter().find(|outcome| outcome.name == BRINDLE && outcome.stale > 0) {
        Some(outcome) => Err(Error::Failed(format!(
            "Brindle returned {} stale reads. It promises none: please report this with the flags you used",
            outcome.stale
        ))),
        None => Ok(()),
    }
}
