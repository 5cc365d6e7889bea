//! Where the report goes: checked before anything is measured, written after.

use std::fs;
use std::fs::OpenOptions;
use std::path::Path;
use std::path::PathBuf;

use crate::machine::Head;
use crate::plots;
use crate::record::Record;
use crate::report;

#[derive(Default)]
pub struct Output {
    pub markdown: Option<PathBuf>,
    pub json: Option<PathBuf>,
    pub plots: Option<PathBuf>,
}

impl Output {
    /// All three into one directory.
    pub fn all_into(directory: &Path) -> Self {
        Self {
            markdown: Some(directory.join("report.md")),
            json: Some(directory.join("report.json")),
            plots: Some(directory.join("plots")),
        }
    }

    /// Makes the directories that are missing, and fails if something cannot be written.
    pub fn check(&self) -> Result<(), String> {
        for file in [&self.markdown, &self.json].into_iter().flatten() {
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent).map_err(|error| complain(parent, &error))?;
            }
            OpenOptions::new().append(true).create(true).open(file).map_err(|error| complain(file, &error))?;
        }
        let Some(directory) = &self.plots else {
            return Ok(());
        };
        let trial = directory.join("trial.svg");
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(&trial, ""))
            .and_then(|()| fs::remove_file(&trial))
            .map_err(|error| complain(directory, &error))
    }

    /// Markdown goes to stdout if no file is to be written at all.
    pub fn write(&self, head: &Head, records: &[Record]) -> Result<(), String> {
        let markdown = || report::markdown(head, records);
        if self.markdown.is_none() && self.json.is_none() && self.plots.is_none() {
            print!("{}", markdown());
        }
        if let Some(file) = &self.markdown {
            fs::write(file, markdown()).map_err(|error| complain(file, &error))?;
        }
        if let Some(file) = &self.json {
            fs::write(file, report::json(head, records)).map_err(|error| complain(file, &error))?;
        }
        self.plots.as_ref().map_or(Ok(()), |directory| plots::write(directory, records))
    }
}

fn complain(path: &Path, error: &std::io::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}
