//! A few tasks on one thread: whoever is woken is polled, in random order, until all are done; some are dropped before.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Wake;
use std::task::Waker;
use std::thread;
use std::thread::Thread;

use crate::common::random::Random;
use crate::source::planned;

pub(crate) type Work<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

struct Task<'a> {
    work: Work<'a>,
    bell: Arc<Bell>,
    waker: Waker,
}

/// Wakes the thread, and says who is meant.
struct Bell {
    thread: Thread,
    rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl<'a> Task<'a> {
    fn new(work: Work<'a>) -> Self {
        let bell = Arc::new(Bell { thread: thread::current(), rung: AtomicBool::new(true) });
        Self { work, waker: Waker::from(Arc::clone(&bell)), bell }
    }
}

/// Runs the tasks to their end, one way or the other. A wake-up that is lost keeps it here for ever, which the watch notices.
pub(crate) fn run<'a>(work: impl IntoIterator<Item = Work<'a>>, random: &mut Random) {
    let mut tasks: Vec<Task<'_>> = work.into_iter().map(Task::new).collect();
    while !tasks.is_empty() {
        let from = random.below(tasks.len());
        let is_woken = |&at: &usize| tasks[at].bell.rung.swap(false, Ordering::SeqCst);
        let Some(at) = (from..tasks.len()).chain(0..from).find(is_woken) else {
            thread::park();
            continue;
        };
        let Task { work, waker, .. } = &mut tasks[at];
        let is_over = planned(|| work.as_mut().poll(&mut Context::from_waker(waker)).is_ready()).unwrap_or(true);
        if is_over || random.below(30) == 0 {
            drop(tasks.swap_remove(at));
        }
    }
}
