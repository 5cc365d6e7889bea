//! Counts what a process of this program does, under callgrind.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// Enough that the counters of all entries are saturated, and that what is done now and then has its share.
const OPERATIONS: u64 = 1 << 15;

/// What can count.
pub(crate) struct Valgrind {
    myself: PathBuf,
}

impl Valgrind {
    pub(crate) fn find() -> Result<Self, String> {
        let found = Command::new("valgrind").arg("--version").output();
        found.map_err(|error| {
            format!("valgrind does not run ({error}); install it: apt-get install valgrind, or as your system has it")
        })?;
        Ok(Self { myself: env::current_exe().map_err(|error| error.to_string())? })
    }

    /// The instructions of one operation of `path`.
    pub(crate) fn count(&self, path: &str) -> Result<f64, String> {
        let (few, many) = (self.collect(path, OPERATIONS)?, self.collect(path, 2 * OPERATIONS)?);
        Ok(many.saturating_sub(few) as f64 / OPERATIONS as f64)
    }

    /// The instructions of a process that plays `path` so many times.
    fn collect(&self, path: &str, times: u64) -> Result<u64, String> {
        let mut callgrind = Command::new("valgrind");
        callgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(&self.myself).args(["--play", path]);
        let output = callgrind.arg(times.to_string()).output().map_err(|error| format!("valgrind: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        // "==1234== Collected : 567890"
        let collected = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
        collected.filter(|_| output.status.success()).ok_or(format!("{path} cannot be counted: valgrind says\n{said}"))
    }
}
