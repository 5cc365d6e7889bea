//! Tasks that are polled by hand, with wakers that panic when they are cloned, called or dropped.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Context;
use std::task::Poll;
use std::task::RawWaker;
use std::task::RawWakerVTable;
use std::task::Waker;

use crate::common::executor::Boxed;

use super::stage::Stage;
use super::world::Captive;
use super::world::Hook;
use super::world::World;

struct Bell {
    rung: AtomicBool,
    world: Arc<World>,
}

const TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// # Safety
/// `data` is of `Arc::into_raw` of a bell, which counts each of its wakers once; this one is among them.
unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the waker that is cloned keeps it alive.
    let bell = unsafe { &*data.cast::<Bell>() };
    bell.world.call(Hook::CloneWaker);
    // SAFETY: alive, as it was just looked at; the new waker is counted.
    unsafe { Arc::increment_strong_count(data.cast::<Bell>()) };
    RawWaker::new(data, &TABLE)
}

/// # Safety
/// As for `clone`, and this waker is used no more.
unsafe fn wake(data: *const ()) {
    // SAFETY: this waker's count, which goes with it.
    let bell = unsafe { Arc::from_raw(data.cast::<Bell>()) };
    bell.rung.store(true, SeqCst);
    bell.world.call(Hook::Wake);
}

/// # Safety
/// As for `clone`.
unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the waker keeps it alive.
    let bell = unsafe { &*data.cast::<Bell>() };
    bell.rung.store(true, SeqCst);
    bell.world.call(Hook::Wake);
}

/// # Safety
/// As for `clone`, and this waker is used no more.
unsafe fn drop_waker(data: *const ()) {
    // SAFETY: this waker's count, which goes with it.
    let bell = unsafe { Arc::from_raw(data.cast::<Bell>()) };
    bell.world.call_in_drop(Hook::DropWaker);
}

/// A call of a task, polled by hand. Each step of it is an attempt of the stage's: one that panics is at its end.
pub struct Actor<'a> {
    stage: &'a Stage,
    future: Option<Boxed<'a, ()>>,
    bell: Arc<Bell>,
    waker: Option<Waker>,
}

impl<'a> Actor<'a> {
    pub fn new(stage: &'a Stage, future: impl Future<Output = ()> + Send + 'a) -> Self {
        let bell = Arc::new(Bell { rung: AtomicBool::new(true), world: Arc::clone(&stage.world) });
        // SAFETY: counted once, for this waker.
        let waker = unsafe { Waker::from_raw(RawWaker::new(Arc::into_raw(Arc::clone(&bell)).cast(), &TABLE)) };
        Actor { stage, future: Some(Box::pin(future)), bell, waker: Some(waker) }
    }

    pub fn poll(&mut self) {
        let (Some(future), Some(waker)) = (&mut self.future, &self.waker) else { return };
        self.bell.rung.store(false, SeqCst);
        let polled = self.stage.attempt(|| future.as_mut().poll(&mut Context::from_waker(waker)));
        if polled.is_none_or(|polled| polled.is_ready()) {
            self.end();
        }
    }

    /// Drops the future where it stands.
    pub fn end(&mut self) {
        let future = self.future.take();
        self.stage.attempt(|| drop(future));
    }

    pub fn is_over(&self) -> bool {
        self.future.is_none()
    }
}

impl Drop for Actor<'_> {
    fn drop(&mut self) {
        self.end();
        let waker = self.waker.take();
        self.stage.attempt(|| drop(waker));
    }
}

/// Polls whoever was called, until nobody is. All must be at their end then.
pub fn run_to_the_end(actors: &mut [Actor<'_>]) {
    while let Some(actor) = actors.iter_mut().find(|actor| !actor.is_over() && actor.bell.rung.load(SeqCst)) {
        actor.poll();
    }
    for actor in actors {
        assert!(actor.is_over(), "a task waits for nothing: {}", actor.stage.case());
    }
}

/// A loader that takes so many polls, and has something to drop.
pub struct Loading {
    polls: u32,
    captive: Captive,
}

impl Loading {
    pub fn new(world: &Arc<World>, polls: u32) -> Self {
        Loading { polls, captive: world.captive() }
    }
}

impl Future for Loading {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.captive.world.call(Hook::Loader);
        if self.polls == 0 {
            return Poll::Ready(());
        }
        self.polls -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
