//! Loads of the source of truth, which is slow at times, fails at times, and panics at times.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use brindle::Loaded;

use crate::common::random::Random;
use crate::fences::Loading;
use crate::fences::Since;
use crate::row::District;
use crate::row::Row;
use crate::truth::Truth;

/// The source is down.
#[derive(Clone, Debug)]
pub(crate) struct Down;

/// A panic that is meant to be.
pub(crate) struct Planned;

/// Runs what may panic on purpose; `None` if it did.
pub(crate) fn planned<R>(work: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => Some(result),
        Err(panic) if panic.is::<Planned>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// Unlike `panic!` it prints nothing.
pub(crate) fn panic_as_planned() -> ! {
    resume_unwind(Box::new(Planned))
}

/// What becomes of one load or write of the source.
#[derive(Clone, Copy)]
pub(crate) struct Fate {
    end: End,
    /// Turns that others get first.
    yields: usize,
    sleep: Option<Duration>,
    /// The version and a time to live come with the value, or they do not.
    tells_version: bool,
    ttl: Option<Duration>,
}

#[derive(Clone, Copy)]
enum End {
    Good,
    Fails,
    Panics,
}

impl Fate {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let end = match random.below(40) {
            0 | 1 => End::Fails,
            2 => End::Panics,
            _ => End::Good,
        };
        Self {
            end,
            yields: random.below(4),
            sleep: (random.below(50) == 0).then(|| Duration::from_micros(50 + random.below(3000) as u64)),
            tells_version: random.below(2) == 0,
            ttl: (random.below(8) == 0).then(|| Duration::from_millis(random.below(50) as u64)),
        }
    }

    /// For calls that cannot fail.
    pub(crate) fn without_failure(self) -> Self {
        Self { end: if matches!(self.end, End::Fails) { End::Good } else { self.end }, ..self }
    }

    pub(crate) fn pause(self) {
        (0..self.yields).for_each(|_| thread::yield_now());
        self.sleep.into_iter().for_each(thread::sleep);
    }

    pub(crate) async fn pause_as_task(self) {
        let turns = self.yields + if self.sleep.is_some() { 20 } else { 0 };
        Yield(turns).await;
    }

    pub(crate) fn end(self) -> Result<(), Down> {
        match self.end {
            End::Good => Ok(()),
            End::Fails => Err(Down),
            End::Panics => panic_as_planned(),
        }
    }

    /// The row as the source hands it out.
    pub(crate) fn hand_out(self, row: Row) -> Loaded<Row> {
        let tells = match District::of(row.key) {
            District::Versioned => true,
            District::Through => self.tells_version,
            _ => false,
        };
        let source = tells.then_some(row.stamp);
        Loaded { value: row, source, ttl: self.ttl }
    }
}

/// Lets the executor take so many turns.
struct Yield(usize);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Truth {
    /// Loads a row: looks first, takes its time then, so that what it brings is as old as can be.
    pub(crate) fn load(&self, key: u64, since: Since, fate: Fate) -> Result<Loaded<Row>, Down> {
        let (_loading, row) = self.begin_load(key, since);
        fate.pause();
        fate.end().map(|()| fate.hand_out(row))
    }

    pub(crate) async fn load_as_task(&self, key: u64, since: Since, fate: Fate) -> Result<Loaded<Row>, Down> {
        let (_loading, row) = self.begin_load(key, since);
        fate.pause_as_task().await;
        fate.end().map(|()| fate.hand_out(row))
    }

    pub(crate) fn begin_load(&self, key: u64, since: Since) -> (Loading<'_>, Row) {
        let (loading, second) = self.traffic.load(key, since);
        if second {
            self.blame(|| {
                format!(
                    "two loads of key {key} ({:?}) at a time, and nothing was done that can have fenced one",
                    District::of(key)
                )
            });
        }
        (loading, self.row(key))
    }
}
