//! Tells on stderr how far the run is: a line a row, and on a terminal who is running.

use std::io::IsTerminal;
use std::io::Write;
use std::io::stderr;
use std::time::Duration;
use std::time::Instant;

pub struct Progress {
    rows: usize,
    begun: usize,
    start: Instant,
    line: String,
    terminal: bool,
}

impl Progress {
    pub fn of(rows: usize) -> Self {
        Self { rows, begun: 0, start: Instant::now(), line: String::new(), terminal: stderr().is_terminal() }
    }

    /// The next row begins.
    pub fn begin(&mut self, row: &str) {
        let left = self.left().map_or_else(String::new, |left| format!(", about {} s left", left.as_secs()));
        self.begun += 1;
        self.line = format!("row {} of {}: {row}{left}", self.begun, self.rows);
        if !self.terminal {
            eprintln!("{}", self.line);
        }
    }

    /// Before the next row, and it may take a while.
    pub fn prepare(&self, row: &str) {
        if self.terminal {
            eprint!("\r\x1b[Krow {} of {}: {row}, filling", self.begun + 1, self.rows);
        }
    }

    /// This contender is running.
    pub fn at(&mut self, contender: &str) {
        if self.terminal {
            eprint!("\r\x1b[K{}: {contender}", self.line);
            // What cannot be shown is not missed.
            _ = stderr().flush();
        }
    }

    pub fn end(self) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        eprintln!("{clear}{} rows in {} s", self.begun, self.start.elapsed().as_secs());
    }

    /// As if the rows to come took as long as those that have been, on average.
    fn left(&self) -> Option<Duration> {
        let each = self.start.elapsed().checked_div(self.begun as u32)?;
        Some(each * (self.rows - self.begun) as u32)
    }
}
