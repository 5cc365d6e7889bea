//! The calls that may wait, for threads: they write on the spot, and park while somebody else does.

use std::hash::BuildHasher;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::time::Duration;
use std::time::Instant;

use crate::rule::version::Version;
use crate::sync::Waiter;
use crate::sync::park;
use crate::sync::sleep;

use super::WriteBehind;
use super::desk::Call;
use super::desk::Goal;
use super::desk::Next;
use super::desk::Refusal;
use super::desk::Turn;
use super::error::SinkError;
use super::error::Unwritten;
use super::error::WhyUnwritten;
use super::sink::Sink;

/// Sleeps until there is something to do, or at most for `limit`: then there is nothing.
fn wait<'a, K: Eq, V>(call: &mut Call<'a, K, V>, goal: &Goal<'_, K>, limit: Option<Duration>) -> Option<Next<'a, K, V>> {
    let end = limit.map(|limit| Instant::now() + limit);
    loop {
        if let Some(next) = call.look(goal, Waiter::this_thread()) {
            return Some(next);
        }
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return None;
        }
        park(left);
    }
}

impl<K, V, S, W> WriteBehind<K, V, S, W>
where
    K: Hash + Eq,
    S: BuildHasher,
    W: Sink<K, V>,
{
    /// Writes a value to the cache and queues it for the sink; tells its version. What is pending of the key is covered by it.
    ///
    /// Costs an insert and a short turn of a lock that all writers share. Where there is no room (too many keys are pending, or they
    /// weigh too much) it waits for whoever drives the sink or, if nobody does, drives it itself: one batch after another until there
    /// is. Where it waited, the weigher, `versioned_by` and `Expiry` are asked again. Room that a raised
    /// [capacity of the cache](crate::Cache::set_capacity) makes is noticed when a batch is written. A removal listener, or a `Drop` of a value, that this
    /// call runs must not wait for a runner, which is woken after it; it may flush.
    ///
    /// ```
    /// # use brindle::{Cache, Pending, WriteBehind};
    /// # let sink = |_: &[Pending<u64, &str>]| Ok::<_, std::io::Error>(());
    /// let behind = WriteBehind::builder(Cache::new(100), sink).capacity(1).build();
    /// behind.insert(1, "one")?;
    /// behind.insert(2, "two")?; // Wrote the first, to make room.
    /// assert_eq!(behind.len(), 1);
    /// # Ok::<(), brindle::Unwritten<u64, &str, std::io::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Unwritten`] with the pair: it was closed, the value weighs more than the whole cache may, it is not newer than what the cache
    /// knows of it (with [`versioned_by`](crate::Builder::versioned_by)), or there was no room and the sink failed.
    ///
    /// # Panics
    /// As [`Cache::insert`](crate::Cache::insert): where the write has taken effect, it is pending too.
    pub fn insert(&self, key: K, value: V) -> Result<Version, Unwritten<K, V, W::Error>> {
        let hash = self.inner.cache.hash(&key);
        let mut pair = (key, value);
        loop {
            let (refusal, back) = match self.put(hash, pair) {
                Ok(version) => return Ok(version),
                Err(refused) => refused,
            };
            pair = back;
            let Refusal::Full { weight } = refusal else { return Err(Unwritten::new(pair, refusal.why())) };
            if let Err(error) = self.reach(&self.room(hash, &pair.0, weight)) {
                return Err(Unwritten::new(pair, WhyUnwritten::Sink(error)));
            }
        }
    }

    /// Sees to it that everything that is pending at the call is written: drives the sink, or waits for whoever does. What comes meanwhile
    /// is not waited for. Returns at once if nothing is pending.
    ///
    /// ```
    /// # use brindle::{Cache, Pending, WriteBehind};
    /// # let sink = |_: &[Pending<u64, &str>]| Ok::<_, std::io::Error>(());
    /// let behind = WriteBehind::builder(Cache::new(100), sink).build();
    /// behind.insert(1, "one").unwrap();
    /// behind.flush()?;
    /// assert!(behind.is_empty());
    /// # Ok::<(), brindle::SinkError<std::io::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`SinkError`], after the [retries](crate::WriteBehindBuilder::retries): of this call, or of another that began to drive the sink after it came. What
    /// is not written is pending still; call again.
    ///
    /// # Panics
    /// With what the `Drop` of a value or the keys' `Eq` panic with; what is written by then is not pending any more.
    pub fn flush(&self) -> Result<(), SinkError<W::Error>> {
        self.reach(&Goal::Written { before: self.inner.desk.mark() })
    }

    /// Refuses all further writes, and sees to it that everything is written. It stays closed; after an error call it again to try
    /// again. Other calls that wait for room get [`WhyUnwritten::Closed`].
    ///
    /// ```
    /// # use brindle::{Cache, Pending, WriteBehind, WhyUnwritten};
    /// # let sink = |_: &[Pending<u64, &str>]| Ok::<_, std::io::Error>(());
    /// let behind = WriteBehind::builder(Cache::new(100), sink).build();
    /// behind.insert(1, "one").unwrap();
    /// behind.close()?;
    /// assert!(behind.is_empty());
    /// assert!(matches!(behind.insert(2, "two").unwrap_err().why, WhyUnwritten::Closed));
    /// # Ok::<(), brindle::SinkError<std::io::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    ///
    /// # Panics
    /// As [`flush`](Self::flush).
    pub fn close(&self) -> Result<(), SinkError<W::Error>> {
        self.inner.desk.close();
        self.reach(&Goal::Drained)
    }

    /// Writes what comes, a batch at a time, until it is closed and everything is written: for a thread of yours. Any number of threads may
    /// be in it; one drives the sink.
    ///
    /// ```
    /// # use brindle::{Cache, Pending, WriteBehind};
    /// # let sink = |_: &[Pending<u64, &str>]| Ok::<_, std::io::Error>(());
    /// let behind = WriteBehind::builder(Cache::new(100), sink).build();
    /// let runner = std::thread::spawn({
    ///     let behind = behind.clone();
    ///     move || while let Err(error) = behind.run() {
    ///         eprintln!("the sink is down: {error}");
    ///     }
    /// });
    /// behind.insert(1, "one").unwrap();
    /// behind.close().unwrap();
    /// runner.join().unwrap();
    /// ```
    ///
    /// # Errors
    /// [`SinkError`], if the sink fails while this call drives it, after the [retries](crate::WriteBehindBuilder::retries). Nothing is lost; call it again
    /// to go on.
    ///
    /// # Panics
    /// As [`flush`](Self::flush).
    pub fn run(&self) -> Result<(), SinkError<W::Error>> {
        let choices = &self.inner.choices;
        let mut call = self.inner.desk.call();
        let full = Goal::Nothing { least: choices.batch.min(choices.capacity) };
        loop {
            self.follow(wait(&mut call, &Goal::Something, None))?;
            if self.inner.desk.is_over() {
                return Ok(());
            }
            let next = wait(&mut call, &full, Some(choices.linger));
            self.follow(next.or_else(|| wait(&mut call, &Goal::Nothing { least: 1 }, None)))?;
        }
    }

    /// Drives, or waits, until the goal is reached.
    fn reach(&self, goal: &Goal<'_, K>) -> Result<(), SinkError<W::Error>> {
        let mut call = self.inner.desk.call();
        while !self.follow(wait(&mut call, goal, None))? {}
        Ok(())
    }

    /// Does what is to be done next. True if the goal is reached.
    fn follow(&self, next: Option<Next<'_, K, V>>) -> Result<bool, SinkError<W::Error>> {
        match next {
            None | Some(Next::Reached) => return Ok(true),
            Some(Next::Drive(turn)) => self.drive(turn)?,
            Some(Next::Reentrant) => return Err(SinkError::Reentrant),
            // An error of another kind of sink is no answer.
            Some(Next::Failed(trouble)) => SinkError::shared(trouble).map_or(Ok(()), Err)?,
        }
        Ok(false)
    }

    /// Writes one batch, however often it must be tried.
    fn drive(&self, mut turn: Turn<'_, K, V>) -> Result<(), SinkError<W::Error>> {
        let mut pauses = self.inner.choices.delays();
        while turn.take(self.inner.choices.batch) {
            let inside = self.inner.desk.enter();
            let attempt = catch_unwind(AssertUnwindSafe(|| self.inner.sink.write(turn.batch())));
            drop(inside);
            match self.settle(&mut turn, attempt, &mut pauses)? {
                None => break,
                Some(pause) => sleep(pause),
            }
        }
        Ok(())
    }
}
