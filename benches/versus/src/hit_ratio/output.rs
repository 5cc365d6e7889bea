//! Where results go. It is tried before the replays, which take long.

use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::path::Path;

use super::args::Args;
use super::json;
use super::plot;
use super::report;
use super::results::Results;

/// Whether everything can be written where it is wanted.
pub fn prepare(args: &Args) -> Result<(), String> {
    for file in args.markdown.iter().chain(&args.json) {
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory).map_err(|error| complaint(directory, &error))?;
        }
        // What stands there stays until there is something better.
        OpenOptions::new().create(true).append(true).open(file).map_err(|error| complaint(file, &error))?;
    }
    args.plots.as_ref().map_or(Ok(()), |directory| fs::create_dir_all(directory).map_err(|error| complaint(directory, &error)))
}

pub fn write(results: &Results, args: &Args) -> Result<(), String> {
    let markdown = report::markdown(results);
    match &args.markdown {
        Some(file) => replace(file, &markdown)?,
        None => io::stdout().write_all(markdown.as_bytes()).map_err(|error| error.to_string())?,
    }
    if let Some(file) = &args.json {
        replace(file, &json::json(results))?;
    }
    if let Some(directory) = &args.plots {
        plot::plots(results, directory).map_err(|error| complaint(directory, &*error))?;
    }
    Ok(())
}

fn replace(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| complaint(file, &error))
}

fn complaint(path: &Path, error: &dyn std::error::Error) -> String {
    format!("{}: {error}", path.display())
}
