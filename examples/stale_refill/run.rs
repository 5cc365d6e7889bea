//! One contender's turn: readers, writers, and a verdict on every value that is read.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::args::Args;
use crate::common::error::Error;
use crate::common::ledger::Ledger;
use crate::common::progress::Progress;
use crate::common::turn::Turn;
use crate::common::turn::histogram;
use crate::common::turn::join;
use crate::common::words::grouped;
use crate::contenders::Contender;
use crate::database::Database;
use crate::database::Reader;
use crate::database::body_of;
use crate::workload::Rows;
use crate::workload::Workload;

/// Reads of one thread between two updates of the counters that the progress line shows.
const READS_A_ROUND: u64 = 64;

/// What one contender did.
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    pub(crate) reads: u64,
    /// Reads that went to the database.
    pub(crate) loads: u64,
    pub(crate) stale: u64,
    pub(crate) longest_stay: Duration,
    /// Nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// As the database counts them.
    pub(crate) commits: u64,
}

impl Outcome {
    fn new(name: &'static str) -> Result<Self, Error> {
        Ok(Self { name, reads: 0, loads: 0, stale: 0, longest_stay: Duration::ZERO, latency: histogram()?, commits: 0 })
    }

    /// The share of reads that did not go to the database.
    pub(crate) fn hit_ratio(&self) -> f64 {
        if self.reads == 0 { 0.0 } else { 1.0 - self.loads as f64 / self.reads as f64 }
    }

    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.latency.value_at_percentile(percent))
    }

    fn add(&mut self, other: &Self) {
        self.reads += other.reads;
        self.loads += other.loads;
        self.stale += other.stale;
        self.longest_stay = self.longest_stay.max(other.longest_stay);
        self.latency += &other.latency;
    }
}

/// What the threads of one turn share.
struct Run<'a> {
    turn: Turn,
    contender: &'a dyn Contender,
    ledger: Ledger,
    reads: AtomicU64,
    stale: AtomicU64,
}

/// Lets readers and writers loose on one contender until its time is up.
pub(crate) fn run(
    contender: &dyn Contender,
    args: &Args,
    workload: &Workload,
    database: &Database,
    interrupted: &AtomicBool,
    progress: &mut Progress,
) -> Result<Outcome, Error> {
    let run = Run {
        turn: Turn::default(),
        contender,
        ledger: Ledger::new(&database.versions()?),
        reads: AtomicU64::new(0),
        stale: AtomicU64::new(0),
    };
    let mut readers = Vec::new();
    for index in 0..args.readers {
        readers.push((database.reader()?, workload.reads(index, args.readers)));
    }
    let mut writers = Vec::new();
    for index in 0..args.writers {
        writers.push((database.writer()?, workload.writes(index)));
    }
    // Each of the writers takes its share of the commits.
    let pause = Duration::from_secs(1).mul_f64(args.writers as f64 / f64::from(args.writes_per_second));

    let mut outcome = Outcome::new(contender.name())?;
    let run = &run;
    thread::scope(|scope| {
        let readers: Vec<_> = readers
            .into_iter()
            .map(|(reader, rows)| scope.spawn(move || run.turn.ending_all_on_error(|| run.read(&reader, rows))))
            .collect();
        let writers: Vec<_> = writers
            .into_iter()
            .map(|(mut writer, mut rows)| {
                scope.spawn(move || {
                    run.turn.ending_all_on_error(|| {
                        run.turn.paced(pause, || {
                            let key = rows.next_row();
                            let version = writer.update(key)?;
                            run.contender.written(key);
                            run.ledger.raise(key, version);
                            Ok(())
                        })
                    })
                })
            })
            .collect();
        run.turn.wait(args.seconds, interrupted, |passed| run.show(progress, args.seconds, passed));
        let (read, written) = (join(readers, "reader"), join(writers, "writer"));
        written?;
        read?.iter().for_each(|part| outcome.add(part));
        Ok::<(), Error>(())
    })?;
    outcome.commits = run.ledger.check(contender.name(), &database.versions()?)?;
    progress.done(&format!("{}: done, {} reads, {} stale", outcome.name, grouped(outcome.reads), grouped(outcome.stale)));
    Ok(outcome)
}

impl Run<'_> {
    fn show(&self, progress: &mut Progress, time: Duration, passed: Duration) {
        progress.show(|| {
            format!(
                "{}: {:.1} of {:.1} s, {} reads, {} stale",
                self.contender.name(),
                passed.as_secs_f64(),
                time.as_secs_f64(),
                grouped(self.reads.load(Ordering::Relaxed)),
                grouped(self.stale.load(Ordering::Relaxed)),
            )
        });
    }

    /// One reader thread.
    fn read(&self, database: &Reader, mut rows: Rows<'_>) -> Result<Outcome, Error> {
        let mut outcome = Outcome::new(self.contender.name())?;
        let mut shown = (0, 0);
        while !self.turn.is_over() {
            self.judge_one(rows.next_row(), database, &mut outcome)?;
            if outcome.reads % READS_A_ROUND == 0 {
                self.reads.fetch_add(outcome.reads - shown.0, Ordering::Relaxed);
                self.stale.fetch_add(outcome.stale - shown.1, Ordering::Relaxed);
                shown = (outcome.reads, outcome.stale);
            }
        }
        outcome.loads = database.loads();
        Ok(outcome)
    }

    fn judge_one(&self, key: u64, database: &Reader, outcome: &mut Outcome) -> Result<(), Error> {
        // First what is known, then the read: only a write that had finished before the read counts against it.
        let known = self.ledger.least(key);
        let begin = Instant::now();
        let row = self.contender.read(key, database)?;
        let end = Instant::now();
        outcome.reads += 1;
        outcome.latency.saturating_record((end - begin).as_nanos() as u64);
        if row.version < known {
            outcome.stale += 1;
            outcome.longest_stay = outcome.longest_stay.max(self.ledger.stale_for(key, row.version, end));
        }
        if row.body[..] != body_of(key, row.version)[..] {
            let (name, version) = (self.contender.name(), row.version);
            return Err(Error::Failed(format!("{name} returned a body for row {key} that version {version} never had")));
        }
        Ok(())
    }
}
