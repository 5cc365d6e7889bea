//! One contender's turn: threads that work until it ends, and it ends for all when one of them fails.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::ScopedJoinHandle;
use std::time::Duration;
use std::time::Instant;

use hdrhistogram::Histogram;

use super::error::Error;

const TICK: Duration = Duration::from_millis(100);
/// Who has fallen further behind than this gives up on what was missed.
const LARGEST_LAG: Duration = Duration::from_millis(100);
/// Latencies are kept to one part in a hundred.
const DIGITS: u8 = 2;
const LONGEST_LATENCY: Duration = Duration::from_secs(600);

#[derive(Default)]
pub(crate) struct Turn {
    over: AtomicBool,
}

impl Turn {
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Shows how it goes until the time is up, the user has had enough, or a thread has failed.
    pub(crate) fn wait(&self, time: Duration, interrupted: &AtomicBool, mut show: impl FnMut(Duration)) {
        let start = Instant::now();
        while start.elapsed() < time && !interrupted.load(Ordering::Relaxed) && !self.is_over() {
            show(start.elapsed());
            thread::sleep(TICK.min(time.saturating_sub(start.elapsed())));
        }
        self.end();
    }

    /// Does `work` once every `pause` until the turn ends.
    pub(crate) fn paced(&self, pause: Duration, mut work: impl FnMut() -> Result<(), Error>) -> Result<(), Error> {
        let mut due = Instant::now();
        while !self.is_over() {
            let now = Instant::now();
            if now < due {
                thread::sleep((due - now).min(TICK));
                continue;
            }
            if now > due + LARGEST_LAG {
                due = now;
            }
            due += pause;
            work()?;
        }
        Ok(())
    }

    /// Ends the turn for every thread when this one fails.
    pub(crate) fn ending_all_on_error<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let result = work();
        if result.is_err() {
            self.end();
        }
        result
    }

    fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// All are joined before the first error leaves.
pub(crate) fn join<T>(threads: Vec<ScopedJoinHandle<'_, Result<T, Error>>>, who: &'static str) -> Result<Vec<T>, Error> {
    let results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap_or(Err(Error::ThreadPanicked(who)))).collect();
    results.into_iter().collect()
}

/// Of latencies, in nanoseconds.
pub(crate) fn histogram() -> Result<Histogram<u64>, Error> {
    Histogram::new_with_max(LONGEST_LATENCY.as_nanos() as u64, DIGITS).map_err(Error::Histogram)
}
