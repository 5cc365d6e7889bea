//! How long single gets take while the cache is being filled and evicts.

use std::thread;
use std::time::Instant;

use crate::args::Args;
use crate::record::{Record, Table};
use crate::rounds::on;
use crate::spread::quantile;
use crate::workload::{Key, READ_THROUGH, Target, Value};

/// Gets to a round of each thread; rounds are interleaved like those of the speed rows.
const BATCH: usize = 1 << 16;

pub fn run(args: &Args) -> Vec<Record> {
    let mut records = Vec::new();
    let mut entrants: Vec<_> = args
        .contenders
        .iter()
        .filter(|contender| contender.takes(&READ_THROUGH))
        .map(|contender| (contender.name, contender.enter(&READ_THROUGH), Vec::new()))
        .collect();
    let mut keys = READ_THROUGH.keys();
    let warm = READ_THROUGH.batch(&mut keys, READ_THROUGH.warm);
    for (_, entrant, _) in &entrants {
        entrant.play(READ_THROUGH.mix, &warm);
    }

    for &threads in &args.threads {
        eprintln!("latency on {}", on(threads));
        for round in 0..args.effort.rounds {
            let batches: Vec<_> = (0..threads).map(|_| READ_THROUGH.batch(&mut keys, BATCH)).collect();
            let first = round % entrants.len();
            entrants.rotate_left(first);
            for (_, entrant, nanos) in &mut entrants {
                nanos.extend(entrant.latencies(&batches).into_iter().map(f64::from));
            }
            entrants.rotate_right(first);
        }
        for (contender, _, nanos) in &mut entrants {
            nanos.sort_by(f64::total_cmp);
            records.push(Record {
                table: Table::Latency,
                row: on(threads),
                contender,
                figures: [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)]
                    .map(|(name, share)| (name, quantile(nanos, share)))
                    .to_vec(),
            });
            nanos.clear();
        }
    }
    records
}

/// The nanoseconds of every get; the inserts after misses are not timed.
pub fn read_through<K: Key, V: Value>(target: &impl Target<K, V>, batches: &[Vec<K>]) -> Vec<u32> {
    let lap = |keys: &[K]| -> Vec<u32> {
        let mut nanos = Vec::with_capacity(keys.len());
        for key in keys {
            let start = Instant::now();
            let value = target.get(key);
            nanos.push(u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX));
            match value {
                Some(value) => assert!(value.belongs_to(key.token()), "another key's value"),
                None => target.insert(key.clone(), V::of(key.token())),
            }
        }
        nanos
    };
    thread::scope(|scope| {
        let runners: Vec<_> = batches.iter().map(|keys| scope.spawn(|| lap(keys))).collect();
        runners.into_iter().flat_map(|runner| runner.join().expect("a failed check")).collect()
    })
}
