//! What was counted, beside what was expected.

use std::fmt;

use crate::compiler::Compiler;
use crate::expected::Expected;

/// What may be counted more or less than expected, in percent.
const TOLERANCE: f64 = 3.0;
/// The same where another compiler made the code: enough for what compilers make of the same source, too little for another algorithm.
const OTHER_COMPILER: f64 = 10.0;

pub(crate) struct Verdict<'a> {
    rows: Vec<Row<'a>>,
    tolerance: f64,
    /// The compilers of what was expected and counted, if they are two.
    other: Option<(&'a Compiler, &'a Compiler)>,
}

struct Row<'a> {
    path: &'a str,
    expected: Option<f64>,
    counted: f64,
}

impl Row<'_> {
    /// In percent of what was expected.
    fn difference(&self) -> Option<f64> {
        Some((self.counted / self.expected? - 1.0) * 100.0)
    }
}

impl<'a> Verdict<'a> {
    pub(crate) fn new(expected: &'a Expected, compiler: &'a Compiler, counts: &'a [(String, f64)]) -> Result<Self, String> {
        if expected.compiler.host != compiler.host {
            return Err(format!("counts of {} say nothing about {}", expected.compiler, compiler.host));
        }
        let other = (expected.compiler != *compiler).then_some((&expected.compiler, compiler));
        let row = |(path, counted): &'a (String, f64)| Row { path, expected: expected.of(path), counted: *counted };
        let tolerance = if other.is_some() { OTHER_COMPILER } else { TOLERANCE };
        Ok(Self { rows: counts.iter().map(row).collect(), tolerance, other })
    }

    pub(crate) fn is_good(&self) -> bool {
        self.rows.iter().all(|row| self.allows(row))
    }

    fn allows(&self, row: &Row<'_>) -> bool {
        row.difference().is_some_and(|percent| percent.abs() <= self.tolerance)
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<28}{:>12}{:>12}{:>12}", "path", "expected", "counted", "difference")?;
        for row in &self.rows {
            let expected = row.expected.map_or("-".to_string(), |count| format!("{count:.1}"));
            let difference = row.difference().map_or("-".to_string(), |percent| format!("{percent:+.1} %"));
            let mark = if self.allows(row) { "" } else { "  <--" };
            writeln!(f, "{:<28}{expected:>12}{:>12.1}{difference:>12}{mark}", row.path, row.counted)?;
        }
        if let Some((expected, counted)) = self.other {
            writeln!(f, "\nExpected with {expected},\ncounted with  {counted}: so {} % are allowed.", self.tolerance)?;
        }
        if !self.is_good() {
            writeln!(f, "\nMarked paths differ by more than {} %. If that is meant, a gain too, write it down:", self.tolerance)?;
        } else if self.other.is_some() {
            writeln!(f, "Where that is the compiler to come, write its counts down:")?;
        } else {
            return Ok(());
        }
        write!(f, "cargo bench --bench instructions -- --write")
    }
}
