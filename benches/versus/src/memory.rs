//! What an entry costs beyond its key and value. Each contender is weighed in a process of its own, so that none frees
//! another's garbage.

use std::env;
use std::process::Command;

use crate::args::Args;
use crate::contenders::{ALL, Contender, Subject};
use crate::counting;
use crate::record::{Record, Table};
use crate::workload::{Draw, EVICT, Mix, Scenario};

/// The hidden command that weighs one contender.
pub const CHILD: &str = "weigh";

const KEY_AND_VALUE: f64 = 16.0;
/// Keys are made and forgotten in small batches, so that they do not stand among the figures.
const BATCH: usize = 1000;

pub fn run(args: &Args) -> Vec<Record> {
    let mut records = Vec::new();
    for &capacity in args.effort.capacities {
        for contender in args.contenders.iter().filter(|contender| contender.is_cache()) {
            eprintln!("memory of {} at {capacity}", contender.name);
            let (first_filled, steady) = ask_child(contender, capacity);
            records.push(Record {
                table: Table::Memory,
                row: format!("{capacity} entries"),
                contender: contender.name,
                figures: vec![("first_filled", first_filled), ("steady", steady)],
            });
        }
    }
    records
}

fn ask_child(contender: &Contender, capacity: u64) -> (f64, f64) {
    let this = env::current_exe().expect("the path of this program");
    let child = Command::new(this)
        .args([CHILD, contender.name, &capacity.to_string()])
        .output()
        .expect("this program can be started again");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    let answer = String::from_utf8_lossy(&child.stdout);
    let mut figures = answer.split_whitespace().map(|word| word.parse().expect("a figure"));
    (figures.next().expect("first filled"), figures.next().expect("steady"))
}

pub fn child(contender: &str, capacity: u64) {
    let contender = ALL.iter().find(|other| other.name == contender).expect("a contender's name");
    let scenario = Scenario { name: "memory", draw: Draw::Fresh(0), capacity, filled: 0, warm: 0, ..EVICT };
    let mut keys = scenario.keys();

    counting::start();
    let before = counting::live();
    let subject = contender.enter(&scenario);
    let mut inserted = 0;
    let mut insert = |count: u64| {
        for _ in 0..count / BATCH as u64 {
            subject.play(Mix::Insert, &keys.batch(BATCH));
        }
        subject.settle();
        let bytes = counting::live() - before;
        inserted += count;
        bytes as f64 / entries(&*subject, inserted) as f64 - KEY_AND_VALUE
    };
    let first_filled = insert(capacity);
    let steady = insert(10 * capacity);
    println!("{first_filled} {steady}");
}

/// How many of the keys below `n` are there: not all caches know how many entries they have.
fn entries(subject: &dyn Subject, n: u64) -> usize {
    let batches = (0..n / BATCH as u64).map(|nth| Vec::from_iter(nth * BATCH as u64..(nth + 1) * BATCH as u64));
    batches.map(|keys| subject.count(&keys)).sum()
}
