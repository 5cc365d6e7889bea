//! One contender's turn: readers, writers, and a verdict on every value that is read.

use std::slice;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::args::Args;
use crate::common::error::Error;
use crate::common::progress::Progress;
use crate::common::random::Random;
use crate::common::random::Zipf;
use crate::common::turn::Turn;
use crate::common::turn::histogram;
use crate::common::turn::join;
use crate::common::words::grouped;
use crate::contenders::Contender;
use crate::database::Database;
use crate::database::Reader;
use crate::database::Writer;
use crate::fragment::Fragment;
use crate::fragment::Key;
use crate::judge::Judge;

/// Orders that one thread reads between two updates of the counters that the progress line shows.
const ORDERS_A_ROUND: u64 = 16;

/// What one contender did.
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    /// It may show no mix.
    pub(crate) promises: bool,
    /// Orders read, each with all its fragments.
    pub(crate) orders: u64,
    /// Those of them with a mix.
    pub(crate) mixed: u64,
    pub(crate) reads: u64,
    /// Reads that went to the database.
    pub(crate) loads: u64,
    /// Reads that returned what nobody may see any more.
    pub(crate) mixes: u64,
    pub(crate) longest_stay: Duration,
    /// Of a whole order, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// As the database counts them.
    pub(crate) commits: u64,
}

impl Outcome {
    fn new(contender: &dyn Contender) -> Result<Self, Error> {
        Ok(Self {
            name: contender.name(),
            promises: contender.promises(),
            orders: 0,
            mixed: 0,
            reads: 0,
            loads: 0,
            mixes: 0,
            longest_stay: Duration::ZERO,
            latency: histogram()?,
            commits: 0,
        })
    }

    /// The share of reads that did not go to the database.
    pub(crate) fn hit_ratio(&self) -> f64 {
        if self.reads == 0 { 0.0 } else { 1.0 - self.loads as f64 / self.reads as f64 }
    }

    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.latency.value_at_percentile(percent))
    }

    fn add(&mut self, other: &Self) {
        self.orders += other.orders;
        self.mixed += other.mixed;
        self.reads += other.reads;
        self.loads += other.loads;
        self.mixes += other.mixes;
        self.longest_stay = self.longest_stay.max(other.longest_stay);
        self.latency += &other.latency;
    }
}

/// What the threads of one turn share.
struct Run<'a> {
    turn: Turn,
    contender: &'a dyn Contender,
    args: &'a Args,
    zipf: Zipf,
    judge: Judge,
    orders: AtomicU64,
    mixes: AtomicU64,
}

/// Lets readers and writers loose on one contender until its time is up.
pub(crate) fn run(
    contender: &dyn Contender,
    args: &Args,
    database: &Database,
    interrupted: &AtomicBool,
    progress: &mut Progress,
) -> Result<Outcome, Error> {
    let run = Run {
        turn: Turn::default(),
        contender,
        args,
        zipf: Zipf::new(args.orders, args.skew, args.seed),
        judge: Judge::new(&database.versions()?),
        orders: AtomicU64::new(0),
        mixes: AtomicU64::new(0),
    };
    let readers = (0..args.readers).map(|_| database.reader()).collect::<Result<Vec<_>, _>>()?;
    let writers = (0..args.writers).map(|_| database.writer()).collect::<Result<Vec<_>, _>>()?;

    let mut outcome = Outcome::new(contender)?;
    let run = &run;
    thread::scope(|scope| {
        let read = |(index, reader)| scope.spawn(move || run.turn.ending_all_on_error(|| run.read(index, &reader)));
        let readers: Vec<_> = readers.into_iter().enumerate().map(read).collect();
        let write = |(index, writer)| scope.spawn(move || run.turn.ending_all_on_error(|| run.write(index, writer)));
        let writers: Vec<_> = writers.into_iter().enumerate().map(write).collect();
        run.turn.wait(args.seconds, interrupted, |passed| run.show(progress, passed));
        let (read, written) = (join(readers, "reader"), join(writers, "writer"));
        written?;
        read?.iter().for_each(|part| outcome.add(part));
        Ok::<(), Error>(())
    })?;
    outcome.commits = run.judge.commits(contender.name(), &database.versions()?)?;
    let (orders, mixes) = (grouped(outcome.orders), grouped(outcome.mixes));
    progress.done(&format!("{}: done, {orders} orders read, {mixes} mixes", outcome.name));
    Ok(outcome)
}

impl Run<'_> {
    fn show(&self, progress: &mut Progress, passed: Duration) {
        progress.show(|| {
            format!(
                "{}: {:.1} of {:.1} s, {} orders read, {} mixes",
                self.contender.name(),
                passed.as_secs_f64(),
                self.args.seconds.as_secs_f64(),
                grouped(self.orders.load(Ordering::Relaxed)),
                grouped(self.mixes.load(Ordering::Relaxed)),
            )
        });
    }

    /// One writer thread. Each has orders of its own, so that the changes of one order come to the cache as they came to the database.
    fn write(&self, index: usize, mut writer: Writer) -> Result<(), Error> {
        let (orders, writers) = (self.args.orders as u64, self.args.writers as u64);
        let mut random = Random::new(self.args.seed, (1 << 32) + index as u64);
        // Each of the writers takes its share of the commits.
        let pause = Duration::from_secs(1).mul_f64(self.args.writers as f64 / f64::from(self.args.writes_per_second));
        self.turn.paced(pause, || {
            let drawn = self.zipf.draw(&mut random);
            let own = drawn - drawn % writers + index as u64;
            self.change(if own < orders { own } else { own - writers }, &mut writer)
        })
    }

    /// All fragments of an order become wrong. Its new total is at hand, so it is set; the others are made when somebody wants them.
    fn change(&self, order: u64, writer: &mut Writer) -> Result<(), Error> {
        let state = writer.update(order)?;
        let [total, related @ ..] = &self.keys(order)[..] else { unreachable!("an order has a total") };
        self.contender.written(*total, Fragment::set(*total, &state), related);
        self.judge.committed(order, state.version);
        Ok(())
    }

    /// One reader thread.
    fn read(&self, index: usize, database: &Reader) -> Result<Outcome, Error> {
        let mut random = Random::new(self.args.seed, 1 + index as u64);
        let mut outcome = Outcome::new(self.contender)?;
        let mut shown = 0;
        while !self.turn.is_over() {
            self.read_order(self.zipf.draw(&mut random), database, &mut outcome)?;
            if outcome.orders % ORDERS_A_ROUND == 0 {
                self.orders.fetch_add(ORDERS_A_ROUND, Ordering::Relaxed);
                self.mixes.fetch_add(outcome.mixes - shown, Ordering::Relaxed);
                shown = outcome.mixes;
            }
        }
        outcome.loads = database.loads();
        Ok(outcome)
    }

    /// Reads all of an order, as a page would that is put together of them.
    fn read_order(&self, order: u64, database: &Reader, outcome: &mut Outcome) -> Result<(), Error> {
        let keys = self.keys(order);
        let mixes = outcome.mixes;
        let begin = Instant::now();
        let mut found = self.look(order, &keys, outcome);
        for (key, found) in keys.iter().zip(&mut found) {
            if found.is_none() {
                // First what has been seen, then the read: only what had been seen before it counts against it.
                let least = self.judge.least(order);
                let fragment = found.insert(self.contender.read(order, *key, database)?);
                self.judge.judge(order, least, slice::from_ref(fragment), outcome);
            }
        }
        outcome.latency.saturating_record(begin.elapsed().as_nanos() as u64);
        outcome.orders += 1;
        outcome.mixed += u64::from(outcome.mixes > mixes);
        self.check(&keys, &found)
    }

    /// What the cache has of the keys at one moment, if it can tell.
    fn look(&self, order: u64, keys: &[Key], outcome: &mut Outcome) -> Vec<Option<Fragment>> {
        let least = self.judge.least(order);
        let Some(found) = self.contender.look(keys) else { return vec![None; keys.len()] };
        let of_one_moment: Vec<Fragment> = found.iter().flatten().cloned().collect();
        self.judge.judge(order, least, &of_one_moment, outcome);
        found
    }

    /// Every fragment must be what its version of its order shows; so those of one version add up.
    fn check(&self, keys: &[Key], found: &[Option<Fragment>]) -> Result<(), Error> {
        let is_wrong = |(key, found): &(&Key, &Option<Fragment>)| {
            found.as_ref().is_none_or(|fragment| !fragment.belongs_to(**key, self.args.lines))
        };
        match keys.iter().zip(found).find(is_wrong) {
            Some((key, found)) => {
                let name = self.contender.name();
                Err(Error::Failed(format!("{name} returned something for {key:?} that no version of it had: {found:?}")))
            }
            None => Ok(()),
        }
    }

    /// Of an order: first the total.
    fn keys(&self, order: u64) -> Vec<Key> {
        let lines = (0..self.args.lines).map(|line| Key::Line(order, line));
        [Key::Total(order)].into_iter().chain(lines).chain([Key::Page(order)]).collect()
    }
}
