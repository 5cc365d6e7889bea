//! The threads that shuttle plays.

use std::future::Future;
use std::sync::Arc;

use shuttle::thread;

/// Runs `work` on so many threads.
pub fn together(threads: usize, work: impl Fn(usize) + Send + Sync + 'static) {
    let work = Arc::new(work);
    let spawn = |thread| {
        let work = Arc::clone(&work);
        thread::spawn(move || work(thread))
    };
    let running: Vec<_> = (0..threads).map(spawn).collect();
    running.into_iter().for_each(|thread| thread.join().expect("a panic has ended the schedule"));
}

pub fn pause() {
    thread::yield_now();
}

/// There are windows enough.
pub fn dither() {}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    shuttle::future::block_on(future)
}
