//! `versus hit-ratio`: which share of real and of made requests each cache answers, beside simulated policies and the optimum.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use self::args::Args;
use self::trace::Trace;
use crate::machine;
use crate::machine::Head;

mod args;
mod field;
mod generate;
mod grid;
mod json;
mod output;
mod plot;
mod policies;
mod progress;
mod read;
mod real;
mod replay;
mod report;
mod results;
mod served;
mod standing;
mod trace;

const NAME: &str = "hit-ratio";

/// Runs the command if it is the one that was asked for.
pub fn command() -> Option<ExitCode> {
    let mut words = env::args_os().skip(1);
    (words.next()? == NAME).then(|| match run(&words.collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            eprintln!("versus {NAME}: {complaint} (--help tells more)");
            ExitCode::FAILURE
        }
    })
}

fn run(words: &[OsString]) -> Result<(), String> {
    let args = Args::parse(words)?;
    if args.help {
        println!("{}", args::HELP);
        return Ok(());
    }
    args.output.check()?;
    let results = replay::replay(&traces(&args)?, &args);
    output::write(&results, &head(words), &args.output)
}

/// Pinned threads are of no account here.
fn head(words: &[OsString]) -> Head {
    let words: Vec<_> = [NAME.into()].into_iter().chain(words.iter().map(|word| word.to_string_lossy().into_owned())).collect();
    machine::head(&words).into_iter().filter(|(name, _)| *name != "threads").collect()
}

fn traces(args: &Args) -> Result<Vec<Trace>, String> {
    let mut traces = read::read(&args.files, args.weighted)?;
    traces.retain(|trace| args.wants(&trace.name));
    if args.generators {
        let wanted = generate::ALL.iter().filter(|generator| args.wants(generator.name));
        traces.extend(wanted.map(|generator| generator.trace(args.extent)));
    }
    if traces.is_empty() { Err(format!("no trace has {} in its name", args.traces.join(" or "))) } else { Ok(traces) }
}
