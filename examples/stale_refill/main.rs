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
mod contenders;
mod database;
mod error;
mod ledger;
mod plot;
mod progress;
mod report;
mod run;
mod trace;
mod workload;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use crate::args::Args;
use crate::database::Database;
use crate::error::Error;
use crate::progress::Progress;
use crate::run::Outcome;
use crate::workload::Workload;

fn main() -> ExitCode {
    match Args::from_command_line() {
        Ok(Some(args)) => ended(compare(&args)),
        Ok(None) => ended(say(args::HELP)),
        Err(error) => ended(Err(error)),
    }
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

/// The first Ctrl-C asks for the table so far, the second ends the process where it stands.
fn watch_for_interrupt() -> Result<Arc<AtomicBool>, Error> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&flag);
    ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .map_err(Error::Signal)?;
    Ok(flag)
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

/// Prints to standard output; a reader who has gone away is an error to report, not a panic.
fn say(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|source| Error::Io { what: "cannot print to standard output".to_owned(), source })
}

/// Complains if there is something to complain about: 2 for a flag, 1 for all else, as is the custom.
fn ended(result: Result<(), Error>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    // Nothing is left to do when standard error is closed as well.
    let _ = writeln!(std::io::stderr(), "stale_refill: {error}");
    ExitCode::from(if matches!(error, Error::Flag(_)) { 2 } else { 1 })
}
