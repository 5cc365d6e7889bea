//! What is measured of a whole process is measured in one of its own: this program is started again with a hidden command.

use std::env;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;

use crate::args::Args;
use crate::contenders::Contender;
use crate::idle;
use crate::memory;

/// What a child does with a contender of some capacity: it tells the figures in this order, separated by spaces.
type Task = fn(&Contender, u64) -> Vec<f64>;

const TASKS: [(&str, Task); 2] = [(memory::COMMAND, memory::weigh), (idle::COMMAND, idle::rest)];

/// Does what a child is started for, if these are the words of one.
pub fn run_if_asked(words: &[String]) -> bool {
    let [command, contender, capacity] = words else {
        return false;
    };
    let Some((_, task)) = TASKS.iter().find(|(name, _)| name == command) else {
        return false;
    };
    let contender = Contender::named(contender).expect("a parent names a contender");
    let figures = task(contender, capacity.parse().expect("a parent tells a capacity"));
    println!("{}", figures.iter().map(f64::to_string).collect::<Vec<_>>().join(" "));
    true
}

/// The figures of each cache among the contenders, by children that run as many at a time as there are cores.
pub fn ask_all(args: &Args, command: &str, capacity: u64) -> Vec<(&'static Contender, Vec<f64>)> {
    let caches: Vec<_> = args.contenders.iter().copied().filter(|contender| contender.is_cache()).collect();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut answers = Vec::new();
    for some in caches.chunks(cores) {
        let children: Vec<_> = some.iter().map(|contender| (*contender, start(command, contender, capacity))).collect();
        answers.extend(children.into_iter().map(|(contender, child)| (contender, answer(child))));
    }
    answers
}

fn start(command: &str, contender: &Contender, capacity: u64) -> Child {
    let this = env::current_exe().expect("the path of this program");
    Command::new(this)
        .args([command, contender.name, &capacity.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started again")
}

fn answer(child: Child) -> Vec<f64> {
    let output = child.wait_with_output().expect("a child ends");
    assert!(output.status.success(), "what a child died of stands above");
    String::from_utf8_lossy(&output.stdout).split_whitespace().map(|word| word.parse().expect("a figure")).collect()
}
