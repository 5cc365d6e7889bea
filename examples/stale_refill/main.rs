//! How often does a cache hand out a row that the database has already replaced?
//!
//! An embedded SQLite database is filled with versioned rows. Writers commit updates and invalidate the cache; readers
//! read through it. The same workload runs through a plain map with a time to live, through moka, and through Brindle,
//! and every value returned is judged against the versions that the database committed.
//!
//! ```text
//! cargo run --release --example stale_refill -- --help
//! ```

mod args;
#[path = "../common/mod.rs"]
mod common;
mod contenders;
mod database;
mod plot;
mod report;
mod run;
mod trace;
mod workload;

use std::fs;
use std::path::Path;
use std::path::PathBuf;
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
use crate::workload::Workload;

fn main() -> ExitCode {
    terminal::run("stale_refill", Args::from_command_line(), args::HELP, compare)
}

/// Runs the contenders one after the other and reports on those that ran.
fn compare(args: &Args) -> Result<(), Error> {
    let interrupted = watch_for_interrupt()?;
    let mut progress = Progress::new();
    let picture = picture_path(args)?;
    let workload = Workload::new(args)?;
    say(&report::heading(args, &workload))?;
    let database = Database::create(workload.rows(), args.load_delay, &interrupted, &mut progress)?;

    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut ran = Ok(());
    for contender in contenders::all(args.capacity(&workload), args.ttl) {
        match run::run(contender.as_ref(), args, &workload, &database, &interrupted, &mut progress) {
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
    plot::draw(&picture, &outcomes, &report::subtitle(args, &workload))?;
    say(&format!("Plot written to {}\n", picture.display()))?;
    ran.and_then(|()| report::verdict(&outcomes))
}

/// Where the plot goes: the path given, else cargo's `target` folder when there is one here, else this folder.
fn picture_path(args: &Args) -> Result<PathBuf, Error> {
    const NAME: &str = "stale_refill.svg";
    let is_folder = |path: &Path| fs::metadata(path).is_ok_and(|found| found.is_dir());
    let Some(path) = &args.svg else {
        let target = Path::new("target");
        return Ok(if is_folder(target) { target.join(NAME) } else { PathBuf::from(NAME) });
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !is_folder(folder)) || is_folder(path) {
        return Err(Error::Flag(format!("--svg takes a file to write in a folder that exists, not `{}`", path.display())));
    }
    Ok(path.clone())
}
