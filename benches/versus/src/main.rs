use std::process::ExitCode;

use versus::args::Args;
use versus::args::HELP;
use versus::child;
use versus::counting::Counting;
use versus::hit_ratio;
use versus::machine;
use versus::rows;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if child::run_if_asked(&words) {
        return ExitCode::SUCCESS;
    }
    if let Some(code) = hit_ratio::command() {
        return code;
    }
    match compare(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            eprintln!("versus: {complaint} (--help tells more)");
            ExitCode::FAILURE
        }
    }
}

/// Runs the rows that are asked for, and writes the report.
fn compare(words: &[String]) -> Result<(), String> {
    let args = Args::parse(words)?;
    if args.help {
        println!("{HELP}");
        return Ok(());
    }
    args.output.check()?;
    let records = rows::run(&args);
    args.output.write(&machine::head(&args.words), &records)
}
