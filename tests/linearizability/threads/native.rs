//! The computer's threads.

use std::cell::Cell;
use std::future::Future;
use std::thread;

use crate::common;
use crate::common::Rng;

thread_local! {
    static CHANCE: Cell<u64> = const { Cell::new(1) };
}

/// Runs `work` on so many threads that start at once.
pub fn together(threads: usize, work: impl Fn(usize) + Send + Sync + 'static) {
    common::together(threads, |thread| {
        CHANCE.set(thread as u64 + 1);
        work(thread);
    });
}

pub fn pause() {
    thread::yield_now();
}

/// Pauses now and then: called from `Clone` and `Hash` it makes the windows of races wide.
pub fn dither() {
    let mut rng = Rng::new(CHANCE.get());
    let pauses = rng.below(6) == 0;
    CHANCE.set(rng.next());
    if pauses {
        pause();
    }
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    common::executor::block_on(future)
}
