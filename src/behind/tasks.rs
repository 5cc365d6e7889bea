//! The calls that may wait, for tasks of any runtime: the sink's future is polled as part of the caller's.

use std::future::Future;
use std::future::poll_fn;
use std::hash::BuildHasher;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::pin::Pin;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use crate::face::Timer;
use crate::rule::version::Version;
use crate::sync::Waiter;
use crate::unwind::Panic;
use crate::unwind::discard;
use crate::unwind::resume;

use super::WriteBehind;
use super::desk::Call;
use super::desk::Desk;
use super::desk::Goal;
use super::desk::Next;
use super::desk::Refusal;
use super::desk::Turn;
use super::error::SinkError;
use super::error::Unwritten;
use super::error::WhyUnwritten;
use super::sink::AsyncSink;

/// Pends until there is something to do, or at most for `limit`: then there is nothing.
async fn wait<'a, K: Eq, V>(call: &mut Call<'a, K, V>, goal: &Goal<'_, K>, limit: Option<Duration>) -> Option<Next<'a, K, V>> {
    let mut timer = None;
    let look = |context: &mut Context<'_>| {
        if let Some(next) = call.look(goal, Waiter::task(context)) {
            return Poll::Ready(Some(next));
        }
        let Some(limit) = limit else { return Poll::Pending };
        let over = limit.is_zero() || timer.get_or_insert_with(|| Timer::new(limit)).poll(context).is_ready();
        if over { Poll::Ready(None) } else { Poll::Pending }
    };
    poll_fn(look).await
}

async fn sleep(time: Duration) {
    if !time.is_zero() {
        let mut timer = Timer::new(time);
        poll_fn(|context| timer.poll(context)).await;
    }
}

/// The sink's future. What it calls on the way knows that it is inside, on the way out too.
struct Writing<'a, K, V, F> {
    desk: &'a Desk<K, V>,
    /// `None` when it is dropped.
    future: Pin<&'a mut Option<F>>,
}

impl<K, V, F: Future> Writing<'_, K, V, F> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<F::Output, Panic>> {
        let _inside = self.desk.enter();
        let Some(future) = self.future.as_mut().as_pin_mut() else { return Poll::Pending };
        match catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

impl<K, V, F> Writing<'_, K, V, F> {
    fn end(&mut self) -> Result<(), Panic> {
        let _inside = self.desk.enter();
        catch_unwind(AssertUnwindSafe(|| self.future.set(None)))
    }
}

impl<K, V, F> Drop for Writing<'_, K, V, F> {
    fn drop(&mut self) {
        resume(self.end());
    }
}

/// Polls the sink to its end, or to its panic.
async fn attempt<K, V, F: Future>(desk: &Desk<K, V>, write: impl FnOnce() -> F) -> Result<F::Output, Panic> {
    let inside = desk.enter();
    let made = catch_unwind(AssertUnwindSafe(write));
    drop(inside);
    let future = pin!(Some(made?));
    let mut writing = Writing { desk, future };
    let written = poll_fn(|context| writing.poll(context)).await;
    let ended = writing.end();
    match written {
        Ok(written) => ended.map(|()| written),
        Err(panic) => {
            ended.unwrap_or_else(discard);
            Err(panic)
        }
    }
}

impl<K, V, S, W> WriteBehind<K, V, S, W>
where
    K: Hash + Eq,
    S: BuildHasher,
    W: AsyncSink<K, V>,
{
    /// [`insert`](Self::insert) for tasks. If the future is dropped while it waits for room, the pair goes with it, and nothing has changed.
    ///
    /// ```
    /// use brindle::{AsyncSink, Cache, Pending, WriteBehind};
    /// # use std::pin::pin; use std::task::{Context, Poll, Waker}; use std::future::Future;
    /// # fn block_on<T>(future: impl Future<Output = T>) -> T {
    /// #     match pin!(future).poll(&mut Context::from_waker(Waker::noop())) { Poll::Ready(value) => value, Poll::Pending => panic!() }
    /// # }
    /// # struct Store;
    /// # impl AsyncSink<u64, String> for Store {
    /// #     type Error = std::io::Error;
    /// #     async fn write(&self, _: &[Pending<u64, String>]) -> Result<(), Self::Error> { Ok(()) }
    /// # }
    /// # block_on(async {
    /// let behind = WriteBehind::builder(Cache::new(100), Store).build();
    /// behind.insert_async(1, "one".to_string()).await?;
    /// behind.close_async().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    ///
    /// # Panics
    /// As [`insert`](Self::insert).
    pub async fn insert_async(&self, key: K, value: V) -> Result<Version, Unwritten<K, V, W::Error>> {
        let hash = self.inner.cache.hash(&key);
        let mut pair = (key, value);
        loop {
            let (refusal, back) = match self.put(hash, pair) {
                Ok(version) => return Ok(version),
                Err(refused) => refused,
            };
            pair = back;
            let Refusal::Full { weight } = refusal else { return Err(Unwritten::new(pair, refusal.why())) };
            if let Err(error) = self.reach_async(&self.room(hash, &pair.0, weight)).await {
                return Err(Unwritten::new(pair, WhyUnwritten::Sink(error)));
            }
        }
    }

    /// [`flush`](Self::flush) for tasks. If the future is dropped while it drives the sink, so is the sink's, and what it had is pending as before. One that is
    /// neither polled nor dropped stalls the sink for everybody.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    ///
    /// # Panics
    /// As [`flush`](Self::flush).
    pub async fn flush_async(&self) -> Result<(), SinkError<W::Error>> {
        self.reach_async(&Goal::Written { before: self.inner.desk.mark() }).await
    }

    /// [`close`](Self::close) for tasks: it is closed when the future is first polled.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    ///
    /// # Panics
    /// As [`flush`](Self::flush).
    pub async fn close_async(&self) -> Result<(), SinkError<W::Error>> {
        self.inner.desk.close();
        self.reach_async(&Goal::Drained).await
    }

    /// [`run`](Self::run) for a task of yours. Dropping the future ends it, as with [`flush_async`](Self::flush_async). Its pauses are timed by tokio (with
    /// the feature `tokio`, inside its runtime), else by a small crate that starts one thread when the first of them begins.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Panics
    /// As [`flush`](Self::flush).
    pub async fn run_async(&self) -> Result<(), SinkError<W::Error>> {
        let choices = &self.inner.choices;
        let mut call = self.inner.desk.call();
        let full = Goal::Nothing { least: choices.batch.min(choices.capacity) };
        loop {
            self.follow_async(wait(&mut call, &Goal::Something, None).await).await?;
            if self.inner.desk.is_over() {
                return Ok(());
            }
            let next = match wait(&mut call, &full, Some(choices.linger)).await {
                None => wait(&mut call, &Goal::Nothing { least: 1 }, None).await,
                next => next,
            };
            self.follow_async(next).await?;
        }
    }

    /// As `reach`.
    async fn reach_async(&self, goal: &Goal<'_, K>) -> Result<(), SinkError<W::Error>> {
        let mut call = self.inner.desk.call();
        while !self.follow_async(wait(&mut call, goal, None).await).await? {}
        Ok(())
    }

    /// As `follow`.
    async fn follow_async(&self, next: Option<Next<'_, K, V>>) -> Result<bool, SinkError<W::Error>> {
        match next {
            None | Some(Next::Reached) => return Ok(true),
            Some(Next::Drive(turn)) => self.drive_async(turn).await?,
            Some(Next::Reentrant) => return Err(SinkError::Reentrant),
            // An error of another kind of sink is no answer.
            Some(Next::Failed(trouble)) => SinkError::shared(trouble).map_or(Ok(()), Err)?,
        }
        Ok(false)
    }

    /// As `drive`.
    async fn drive_async(&self, mut turn: Turn<'_, K, V>) -> Result<(), SinkError<W::Error>> {
        let mut pauses = self.inner.choices.delays();
        while turn.take(self.inner.choices.batch) {
            let attempt = attempt(&self.inner.desk, || self.inner.sink.write(turn.batch())).await;
            match self.settle(&mut turn, attempt, &mut pauses)? {
                None => break,
                Some(pause) => sleep(pause).await,
            }
        }
        Ok(())
    }
}
