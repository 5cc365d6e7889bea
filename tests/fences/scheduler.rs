//! Runs many tasks on one thread, in any order.
#![allow(unreachable_pub, reason = "every test binary uses its own part of it")]

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::task::Context;
use std::task::Poll;
use std::task::Wake;
use std::task::Waker;

use crate::common::Rng;
use crate::common::executor::Boxed;

/// Tasks that were woken.
#[derive(Default)]
struct Queue(Mutex<Vec<usize>>, Condvar);

struct Ticket(Arc<Queue>, usize);

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        self.0.0.lock().unwrap().push(self.1);
        self.0.1.notify_one();
    }
}

/// Runs all, those that were woken in any order. One that is not woken never moves, so that a lost wake is a hang.
pub fn run_all(tasks: Vec<Boxed<'static, ()>>, rng: &mut Rng) {
    let queue = Arc::new(Queue((0..tasks.len()).collect::<Vec<_>>().into(), Condvar::new()));
    let mut left = tasks.len();
    let mut tasks: Vec<_> = tasks.into_iter().map(Some).collect();
    while left > 0 {
        let mut woken = queue.1.wait_while(queue.0.lock().unwrap(), |woken| woken.is_empty()).unwrap();
        let lucky = rng.below(woken.len() as u64) as usize;
        let number = woken.swap_remove(lucky);
        drop(woken);
        let Some(task) = &mut tasks[number] else { continue };
        let waker = Waker::from(Arc::new(Ticket(Arc::clone(&queue), number)));
        // A failed assertion of one task must not leave others waiting for the loads of the rest.
        let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(&mut Context::from_waker(&waker))));
        match polled {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(())) => {
                tasks[number] = None;
                left -= 1;
            }
            Err(panic) => {
                tasks.clear();
                resume_unwind(panic);
            }
        }
    }
}
