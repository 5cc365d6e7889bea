//! The file of expected counts: the compiler in its first line, then a count and its path a line.

use std::fs;

use crate::compiler::Compiler;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/expected.txt");

pub(crate) struct Expected {
    pub(crate) compiler: Compiler,
    counts: Vec<(String, f64)>,
}

impl Expected {
    pub(crate) fn new(compiler: Compiler, counts: Vec<(String, f64)>) -> Self {
        Self { compiler, counts }
    }

    pub(crate) fn read() -> Result<Self, String> {
        let text = fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
        Self::parse(&text).ok_or(format!("{FILE} is not what --write writes"))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let compiler = Compiler::parse(lines.next()?)?;
        let count = |line: &str| {
            let (count, path) = line.trim_start().split_once(' ')?;
            Some((path.trim_start().to_string(), count.parse().ok()?))
        };
        Some(Self { compiler, counts: lines.map(count).collect::<Option<_>>()? })
    }

    pub(crate) fn write(&self) -> Result<(), String> {
        let mut text = format!("{}\n", self.compiler);
        for (path, count) in &self.counts {
            text += &format!("{count:8.1}  {path}\n");
        }
        fs::write(FILE, &text).map_err(|error| format!("{FILE}: {error}"))?;
        println!("{text}is what {FILE} expects now.");
        Ok(())
    }

    pub(crate) fn of(&self, path: &str) -> Option<f64> {
        self.counts.iter().find(|(name, _)| name == path).map(|&(_, count)| count)
    }
}
