//! How far it is, on standard error.

use std::sync::Mutex;
use std::time::Instant;

pub struct Progress {
    turns: usize,
    requests: u64,
    start: Instant,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    turns: usize,
    requests: u64,
    told: u64,
}

/// It tells so many times.
const STEPS: u64 = 20;

impl Progress {
    pub fn new(turns: usize, requests: u64) -> Self {
        Self { turns, requests, start: Instant::now(), done: Mutex::default() }
    }

    pub fn done(&self, requests: u64) {
        let mut done = self.done.lock().expect("nobody fails with it");
        done.turns += 1;
        done.requests += requests;
        let step = done.requests * STEPS / self.requests;
        if step > done.told {
            done.told = step;
            let share = done.requests as f64 / self.requests as f64;
            let left = self.start.elapsed().as_secs_f64() * (1.0 - share) / share;
            eprintln!("{:3.0} %, {} of {} replays, about {left:.0} s left", 100.0 * share, done.turns, self.turns);
        }
    }
}
