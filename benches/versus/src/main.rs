use std::fs;
use std::process::ExitCode;

use versus::args::{Args, HELP};
use versus::counting::Counting;
use versus::report::{json, markdown};
use versus::{hit_ratio, memory, rows};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    if let Some(code) = hit_ratio::command() {
        return code;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [command, contender, capacity] = args.as_slice()
        && command == memory::CHILD
    {
        memory::child(contender, capacity.parse().expect("a capacity"));
        return ExitCode::SUCCESS;
    }

    let args = match Args::parse(&args) {
        Ok(args) => args,
        Err(complaint) => {
            eprintln!("{complaint}\n\n{HELP}");
            return ExitCode::FAILURE;
        }
    };
    if args.help {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }

    let records = rows::run(&args);
    print!("{}", markdown(&records));
    if let Some(path) = &args.json {
        fs::write(path, json(&records)).expect("the JSON file can be written");
    }
    ExitCode::SUCCESS
}
