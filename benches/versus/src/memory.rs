//! What an entry costs beyond its key and value, in bytes and in allocations. Each contender is weighed in a process of its own, so that none
//! frees another's garbage.

use crate::args::Args;
use crate::child;
use crate::contenders::Contender;
use crate::contenders::Subject;
use crate::counting;
use crate::progress::Progress;
use crate::record::Record;
use crate::record::Table;
use crate::workload::Draw;
use crate::workload::EVICT;
use crate::workload::Mix;
use crate::workload::Scenario;

/// The hidden command that weighs one contender.
pub const COMMAND: &str = "weigh";

const KEY_AND_VALUE: f64 = 16.0;
/// Keys are made and forgotten in small batches, so that they do not stand among the figures.
const BATCH: u64 = 1000;
/// Further inserts into a full cache, for each entry that it has room for; but no more than so many, since one of the peers takes long.
const FURTHER: u64 = 10;
const MOST: u64 = 2_000_000;
const FIGURES: [&str; 4] = ["first_filled", "allocations_first_filled", "steady", "allocations_steady"];

pub fn run(args: &Args, progress: &mut Progress) -> Vec<Record> {
    let mut records = Vec::new();
    for &capacity in args.effort.capacities {
        progress.begin(&format!("memory, {capacity} entries"));
        records.extend(child::ask_all(args, COMMAND, capacity).into_iter().map(|(contender, figures)| Record {
            table: Table::Memory,
            row: format!("{capacity} entries"),
            contender: contender.name,
            figures: FIGURES.into_iter().zip(figures).collect(),
        }));
    }
    records
}

/// [`FIGURES`], for an entry.
pub fn weigh(contender: &Contender, capacity: u64) -> Vec<f64> {
    let scenario = Scenario { draw: Draw::Fresh(0), capacity, filled: 0, warm: 0, ..EVICT };
    let mut keys = scenario.keys();

    counting::start();
    let before = counting::live();
    let subject = contender.enter(&scenario);
    let mut inserted = 0;
    let mut insert = |count: u64| {
        for _ in 0..count / BATCH {
            subject.play(Mix::Insert, &keys.batch(BATCH as usize));
        }
        subject.settle();
        inserted += count;
        let live = counting::live();
        let entries = entries(&*subject, inserted) as f64;
        [(live.bytes - before.bytes) as f64 / entries - KEY_AND_VALUE, (live.blocks - before.blocks) as f64 / entries]
    };
    [insert(capacity), insert((FURTHER * capacity).min(MOST))].concat()
}

/// How many of the keys below `n` are there: not all caches know how many entries they have.
fn entries(subject: &dyn Subject, n: u64) -> usize {
    let batches = (0..n / BATCH).map(|nth| Vec::from_iter(nth * BATCH..(nth + 1) * BATCH));
    batches.map(|keys| subject.count(&keys)).sum()
}
