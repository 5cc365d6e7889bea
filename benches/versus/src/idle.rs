//! What an empty cache costs that nobody uses: bytes, threads, and processor time.

use std::fs;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::args::Args;
use crate::child;
use crate::contenders::Contender;
use crate::counting;
use crate::progress::Progress;
use crate::record::Record;
use crate::record::Table;
use crate::workload::HIT_100K;
use crate::workload::Scenario;

/// The hidden command that leaves one contender alone.
pub const COMMAND: &str = "rest";

const CAPACITIES: [u64; 2] = [10_000, 1_000_000];
const FIGURES: [&str; 3] = ["bytes", "threads", "cpu_us_a_second"];
/// Longer than the pause between two rounds of any contender's own threads.
const REST: Duration = Duration::from_millis(1100);

pub fn run(args: &Args, progress: &mut Progress) -> Vec<Record> {
    progress.begin("idle");
    let answers = |capacity| child::ask_all(args, COMMAND, capacity).into_iter().map(move |answer| (capacity, answer));
    let record = |(capacity, (contender, figures)): (u64, (&'static Contender, Vec<f64>))| Record {
        table: Table::Idle,
        row: format!("capacity {capacity}"),
        contender: contender.name,
        figures: FIGURES.into_iter().zip(figures).collect(),
    };
    CAPACITIES.into_iter().flat_map(answers).map(record).collect()
}

/// [`FIGURES`]. What the system does not tell is no number.
pub fn rest(contender: &Contender, capacity: u64) -> Vec<f64> {
    let threads_before = threads();
    counting::start();
    let before = counting::live();
    let _subject = contender.enter(&Scenario { capacity, filled: 0, ..HIT_100K });
    let bytes = (counting::live().bytes - before.bytes) as f64;

    let (start, busy_before) = (Instant::now(), busy_nanos());
    thread::sleep(REST);
    let busy = (busy_nanos() - busy_before) / 1_000.0 / start.elapsed().as_secs_f64();
    vec![bytes, threads() - threads_before, busy]
}

fn threads() -> f64 {
    fs::read_dir("/proc/self/task").map_or(f64::NAN, |tasks| tasks.count() as f64)
}

/// How long this process's other threads have been running. The one that asks is busy with asking.
fn busy_nanos() -> f64 {
    let own = std::process::id().to_string();
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        return f64::NAN;
    };
    let others = tasks.flatten().filter(|task| task.file_name() != *own);
    let told = others.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    told.filter_map(|told| told.split_whitespace().next()?.parse::<f64>().ok()).sum()
}
