//! Loads and writes of the source that go on as far as the driver says, and the tasks that wait for them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use brindle::BackgroundLoad;
use brindle::Loaded;

use crate::source::Value;

/// What a loader comes to. The error says nothing.
pub type Outcome = Result<Loaded<Value>, ()>;

/// A load or a write under way.
#[derive(Clone)]
pub struct Slot {
    pub key: u8,
    /// It writes the source.
    pub writes: bool,
    /// It can say which version it brings.
    pub says: bool,
    /// The step in which it began.
    pub born: u64,
    /// What it has read, or written.
    pub value: Option<Value>,
    pub outcome: Option<Outcome>,
    pub gone: bool,
}

/// What loaders have in common with the driver.
#[derive(Default)]
pub struct Shared {
    pub step: Mutex<u64>,
    pub slots: Mutex<Vec<Slot>>,
    pub background: Mutex<Vec<BackgroundLoad>>,
}

impl Shared {
    pub fn spawn(&self, load: BackgroundLoad) {
        self.background.lock().unwrap().push(load);
    }

    fn open(&self, key: u8, writes: bool, says: bool) -> usize {
        let born = *self.step.lock().unwrap();
        let mut slots = self.slots.lock().unwrap();
        slots.push(Slot { key, writes, says, born, value: None, outcome: None, gone: false });
        slots.len() - 1
    }
}

/// A loader, or a writer: begins when it is first polled, ends when its slot has an outcome.
pub struct Loading {
    shared: Arc<Shared>,
    key: u8,
    writes: bool,
    says: bool,
    slot: Option<usize>,
}

impl Loading {
    pub fn new(shared: &Arc<Shared>, key: u8) -> Self {
        Loading { shared: Arc::clone(shared), key, writes: false, says: true, slot: None }
    }

    /// One that brings a value and says nothing of its version.
    pub fn silent(mut self) -> Self {
        self.says = false;
        self
    }

    pub fn writing(shared: &Arc<Shared>, key: u8) -> Self {
        let mut loading = Self::new(shared, key);
        loading.writes = true;
        loading
    }
}

impl Future for Loading {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Outcome> {
        let (shared, key, writes, says) = (Arc::clone(&self.shared), self.key, self.writes, self.says);
        let slot = *self.slot.get_or_insert_with(|| shared.open(key, writes, says));
        let mut slots = shared.slots.lock().unwrap();
        match slots[slot].outcome {
            Some(outcome) => {
                slots[slot].gone = true;
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.shared.slots.lock().unwrap()[slot].gone = true;
        }
    }
}

pub fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Option<F::Output> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
