//! One line that is rewritten in a terminal; now and then a line of its own where standard error goes to a file.

use std::io::IsTerminal;
use std::io::Write;
use std::time::Duration;
use std::time::Instant;

const IN_A_FILE: Duration = Duration::from_secs(5);

pub(crate) struct Progress {
    terminal: bool,
    shown: Instant,
    width: usize,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), shown: Instant::now(), width: 0 }
    }

    /// Shows the line, which is only made when it is due.
    pub(crate) fn show(&mut self, line: impl FnOnce() -> String) {
        if self.terminal {
            let line = line();
            self.put(&format!("\r{line:<width$}", width = self.width));
            self.width = line.chars().count();
        } else if self.shown.elapsed() >= IN_A_FILE {
            self.shown = Instant::now();
            self.put(&format!("{}\n", line()));
        }
    }

    /// Wipes the line, if one stands in a terminal.
    pub(crate) fn clear(&mut self) {
        if self.width > 0 {
            self.put(&format!("\r{:width$}\r", "", width = self.width));
            self.width = 0;
        }
    }

    /// Replaces the line by one that stays.
    pub(crate) fn done(&mut self, line: &str) {
        self.clear();
        self.put(&format!("{line}\n"));
        self.shown = Instant::now();
    }

    fn put(&self, text: &str) {
        let mut out = std::io::stderr().lock();
        // Progress that nobody can see is no reason to stop.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
