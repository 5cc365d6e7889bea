//! `versus hit-ratio`: which share of real and of made requests each cache answers, beside simulated policies and the optimum.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use self::args::Args;
use self::trace::Trace;

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
    (words.next()? == NAME).then(|| match run(words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            eprintln!("{complaint}");
            ExitCode::FAILURE
        }
    })
}

fn run(words: impl IntoIterator<Item = OsString>) -> Result<(), String> {
    let args = Args::parse(words).map_err(|complaint| format!("{complaint}\n\n{}", args::HELP))?;
    if args.help {
        println!("{}", args::HELP);
        return Ok(());
    }

    output::prepare(&args)?;
    let traces = traces(&args)?;
    output::write(&replay::replay(&traces, &args), &args)
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
