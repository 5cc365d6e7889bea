//! Instructions of each operation, beside those that it is expected to take: `cargo bench --bench instructions`. Needs Linux and valgrind.
//!
//! Every path is played twice, by a process of its own under callgrind: a number of operations, and twice as many. The difference is what
//! the operations take, the call of each included; all that comes before them cancels out. Keys, hashers and stripes are fixed, there is
//! one thread, and nothing depends on time: the same binary gives the same counts. What it does not fix is the compiler, which
//! `expected.txt` names, and the C library, which chooses its `memcmp` and `memcpy` by the processor (as callgrind shows it): so no path
//! moves many bytes.

use std::process::ExitCode;

use lexopt::Arg;
use lexopt::Parser;
use lexopt::ValueExt;

use self::compiler::Compiler;
use self::counting::Valgrind;
use self::expected::Expected;
use self::paths::PATHS;
use self::verdict::Verdict;

mod compiler;
mod counting;
mod expected;
mod paths;
mod verdict;

const HELP: &str = "\
Usage: cargo bench --bench instructions -- [PATH] [--write]

Counts the instructions of each operation (or of those whose names contain PATH) and compares them with benches/instructions/expected.txt.
More than 3 % too many, or too few, is a failure: a gain that is not written down is room for the next loss.
Counted with another compiler than that of the file, 10 % are allowed.

  --write    writes what was counted to the file, and the compiler's name
  --help";

/// What to do.
enum Task {
    Help,
    /// Compares what is counted of the paths whose names contain this.
    Compare(String),
    Write,
    /// Plays one path so many times, and counts nothing: what callgrind watches.
    Play(String, u64),
}

fn main() -> ExitCode {
    match task().map_err(|error| error.to_string()).and_then(run) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn task() -> Result<Task, lexopt::Error> {
    let mut task = Task::Compare(String::new());
    let mut words = Parser::from_env();
    while let Some(word) = words.next()? {
        task = match word {
            Arg::Long("help") | Arg::Short('h') => Task::Help,
            Arg::Long("write") => Task::Write,
            Arg::Long("play") => Task::Play(words.value()?.string()?, words.value()?.parse()?),
            // Cargo says so to every bench.
            Arg::Long("bench") => continue,
            Arg::Value(name) => Task::Compare(name.string()?),
            other => return Err(other.unexpected()),
        };
    }
    Ok(task)
}

fn run(task: Task) -> Result<ExitCode, String> {
    match task {
        Task::Help => println!("{HELP}"),
        Task::Play(name, times) => {
            let path = PATHS.iter().find(|path| path.name == name).ok_or(format!("no path is called {name:?}"))?;
            (path.play)(times);
        }
        Task::Write => {
            let counts = count("")?;
            Expected::new(Compiler::present()?, counts).write()?;
        }
        Task::Compare(name) => {
            let expected = Expected::read()?;
            let (compiler, counts) = (Compiler::present()?, count(&name)?);
            let verdict = Verdict::new(&expected, &compiler, &counts)?;
            println!("{verdict}");
            return Ok(if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The instructions of one operation of each path whose name contains `part`.
fn count(part: &str) -> Result<Vec<(String, f64)>, String> {
    let valgrind = Valgrind::find()?;
    let chosen = PATHS.iter().filter(|path| path.name.contains(part));
    let counts: Vec<_> =
        chosen.map(|path| Ok((path.name.to_string(), valgrind.count(path.name)?))).collect::<Result<_, String>>()?;
    if counts.is_empty() { Err(format!("no path's name contains {part:?}")) } else { Ok(counts) }
}
