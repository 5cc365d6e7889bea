//! How long it takes to fill a new cache, and to drop it.

use std::time::Instant;

use crate::args::Args;
use crate::contenders::Contender;
use crate::progress::Progress;
use crate::record::Record;
use crate::record::Table;
use crate::spread::Spread;
use crate::workload;
use crate::workload::EVICT;
use crate::workload::Mix;
use crate::workload::Scenario;

/// Rounds take long, and differ little.
const ROUNDS: usize = 5;

/// Nanoseconds for an entry, round by round.
#[derive(Default)]
struct Lives {
    build: Vec<f64>,
    drop: Vec<f64>,
}

pub fn run(args: &Args, progress: &mut Progress) -> Vec<Record> {
    let mut records = Vec::new();
    for &entries in args.effort.capacities {
        let row = format!("{entries} entries");
        progress.begin(&format!("build and drop, {row}"));
        let keys = workload::shuffled(entries);
        let caches: Vec<_> = args.contenders.iter().copied().filter(|contender| contender.is_cache()).collect();
        let mut lives: Vec<_> = caches.iter().map(|_| Lives::default()).collect();
        for round in 0..args.effort.rounds.min(ROUNDS) {
            for turn in 0..caches.len() {
                let who = (round + turn) % caches.len();
                progress.at(caches[who].name);
                lives[who].live(caches[who], &keys);
            }
        }
        records.extend(caches.iter().zip(lives).map(|(cache, lives)| lives.record(&row, cache)));
    }
    records
}

impl Lives {
    /// One more, from the call that builds the cache until the one that drops it returns; not what is done later, by other threads or when
    /// garbage is collected.
    fn live(&mut self, contender: &Contender, keys: &[u64]) {
        let nanos = |start: Instant| start.elapsed().as_nanos() as f64 / keys.len() as f64;
        let start = Instant::now();
        let subject = contender.enter(&Scenario { capacity: keys.len() as u64, filled: 0, ..EVICT });
        subject.play(Mix::Insert, keys);
        self.build.push(nanos(start));

        subject.settle();
        let start = Instant::now();
        drop(subject);
        self.drop.push(nanos(start));
    }

    fn record(self, row: &str, contender: &Contender) -> Record {
        let build = Spread::of(self.build).figures(["build", "build_q1", "build_q3"]);
        let drop = Spread::of(self.drop).figures(["drop", "drop_q1", "drop_q3"]);
        Record { table: Table::Lifetime, row: row.to_owned(), contender: contender.name, figures: [build, drop].concat() }
    }
}
