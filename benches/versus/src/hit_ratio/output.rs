//! Writes the results where they are wanted.

use std::fs;
use std::io;
use std::io::Write;
use std::path::Path;

use super::json;
use super::plot;
use super::report;
use super::results::Results;
use crate::machine::Head;
use crate::output::Output;

/// Markdown goes to standard output if no file is to be written at all.
pub fn write(results: &Results, head: &Head, output: &Output) -> Result<(), String> {
    let markdown = || report::markdown(head, results);
    if output.markdown.is_none() && output.json.is_none() && output.plots.is_none() {
        io::stdout().write_all(markdown().as_bytes()).map_err(|error| error.to_string())?;
    }
    if let Some(file) = &output.markdown {
        replace(file, &markdown())?;
    }
    if let Some(file) = &output.json {
        replace(file, &json::json(head, results))?;
    }
    if let Some(directory) = &output.plots {
        plot::plots(results, directory).map_err(|error| complaint(directory, &*error))?;
    }
    Ok(())
}

fn replace(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| complaint(file, &error))
}

fn complaint(path: &Path, error: &dyn std::error::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}
