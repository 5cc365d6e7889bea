//! The words and the table.

use std::time::Duration;

use crate::args::Args;
use crate::contenders::BRINDLE;
use crate::error::Error;
use crate::run::Outcome;
use crate::workload::Workload;

const PAGE_WIDTH: usize = 110;
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
    let mut lines = vec![COLUMNS.map(str::to_owned)];
    for outcome in outcomes {
        let stay = if outcome.stale == 0 { "-".to_owned() } else { duration(outcome.longest_stay) };
        lines.push([
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
        ]);
    }
    let widths: [usize; COLUMNS.len()] =
        std::array::from_fn(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0));
    let mut text = String::from("\n");
    for (index, line) in lines.iter().enumerate() {
        text += &format!("{:<width$}", line[0], width = widths[0]);
        for (cell, width) in line.iter().zip(widths).skip(1) {
            text += &format!("   {cell:>width$}");
        }
        text += "\n";
        if index == 0 {
            let rule = widths.iter().sum::<usize>() + 3 * (widths.len() - 1);
            text += &format!("{}\n", "-".repeat(rule));
        }
    }
    text + "\n"
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
        Some(outcome) => Err(Error::BrindleStale(outcome.stale)),
        None => Ok(()),
    }
}

/// 1234567 as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits and a unit.
pub(crate) fn duration(time: Duration) -> String {
    let nanos = time.as_nanos() as f64;
    let (value, unit) = match nanos {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "us"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    let decimals = match value {
        v if (v - v.round()).abs() < 1e-9 || v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$} {unit}")
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// Breaks a paragraph into lines.
fn wrapped(paragraph: &str) -> String {
    let mut text = String::new();
    let mut width = 0;
    for word in paragraph.split_whitespace() {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > PAGE_WIDTH {
            text.push('\n');
            width = 0;
        } else if width > 0 {
            text.push(' ');
            width += 1;
        }
        text += word;
        width += length;
    }
    text + "\n"
}
