//! Standard output, Ctrl-C and the exit code.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use super::error::Error;

/// Prints to standard output; a reader who has gone away is an error to report, not a panic.
pub(crate) fn say(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|source| Error::Io { what: "cannot print to standard output".to_owned(), source })
}

/// The first Ctrl-C asks for the table so far, the second ends the process where it stands.
pub(crate) fn watch_for_interrupt() -> Result<Arc<AtomicBool>, Error> {
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

/// All that an example's `main` does: runs it with its flags, or shows its help where there are none to run with, and complains if there is
/// something to complain about: 2 for a flag, 1 for all else, as is the custom.
pub(crate) fn run<A>(
    example: &str,
    flags: Result<Option<A>, Error>,
    help: &str,
    work: impl FnOnce(&A) -> Result<(), Error>,
) -> ExitCode {
    let ended = flags.and_then(|flags| flags.map_or_else(|| say(help), |flags| work(&flags)));
    let Err(error) = ended else {
        return ExitCode::SUCCESS;
    };
    // Nothing is left to do when standard error is closed as well.
    let _ = writeln!(std::io::stderr(), "{example}: {error}");
    ExitCode::from(if matches!(error, Error::Flag(_)) { 2 } else { 1 })
}
