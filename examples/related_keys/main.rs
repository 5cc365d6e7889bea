//! How often does a cache show the new state of one thing beside the old state of another that belongs to it?
//!
//! An embedded SQLite database holds orders and their lines; the cache holds what a page shows of them: each order's total, each of its
//! lines, and the whole page. Writers change the lines' prices, commit, set the new total in the cache and invalidate the lines and the
//! page. Readers read all of an order through the cache, and every value is judged against what had been seen before. The same workload
//! runs through moka and through Brindle with single operations, then through Brindle with a transaction.
//!
//! ```text
//! cargo run --release --example related_keys -- --help
//! ```

mod args;
#[path = "../common/mod.rs"]
mod common;
mod contenders;
mod database;
mod fragment;
mod judge;
mod report;
mod run;

use std::process::ExitCode;
use std::sync::atomic::Ordering;

use crate::args::Args;
use crate::common::error::Error;
use crate::common::progress::Progress;
use crate::common::terminal;
use crate::common::terminal::say;
use crate::common::terminal::watch_for_interrupt;
use crate::database::Database;
use crate::run::Outcome;

fn main() -> ExitCode {
    terminal::run("related_keys", Args::from_command_line(), args::HELP, compare)
}

/// Runs the contenders one after the other and reports on those that ran.
fn compare(args: &Args) -> Result<(), Error> {
    let interrupted = watch_for_interrupt()?;
    let mut progress = Progress::new();
    say(&report::heading(args))?;
    let database = Database::create(args, &interrupted, &mut progress)?;

    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut ran = Ok(());
    for contender in contenders::all(args.capacity()) {
        match run::run(contender.as_ref(), args, &database, &interrupted, &mut progress) {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => ran = Err(error),
        }
        if ran.is_err() || interrupted.load(Ordering::Relaxed) {
            break;
        }
    }
    if outcomes.is_empty() {
        return ran.and(Err(Error::Interrupted));
    }

    // What ran is shown, whatever became of the rest.
    say(&report::table(&outcomes))?;
    say(&report::explanation(&outcomes, args, interrupted.load(Ordering::Relaxed)))?;
    ran.and_then(|()| report::verdict(&outcomes))
}
