//! ARC: Megiddo and Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST '03. What was asked for once and what was
//! asked for again share the cache; ghosts of either tell which of them ought to have had more of it.

use super::Policy;
use super::queue::Queue;
use crate::hit_ratio::trace::Key;
use crate::hit_ratio::trace::Trace;

pub struct Arc<'a> {
    capacity: usize,
    /// The paper's p: how long `once` is meant to be.
    target: f64,
    /// The paper's T1, T2, B1 and B2.
    once: Queue<'a>,
    again: Queue<'a>,
    once_ghosts: Queue<'a>,
    again_ghosts: Queue<'a>,
}

impl<'a> Arc<'a> {
    pub fn new(trace: &'a Trace, capacity: u64) -> Self {
        let queue = || Queue::new(trace.weights());
        Self {
            capacity: capacity as usize,
            target: 0.0,
            once: queue(),
            again: queue(),
            once_ghosts: queue(),
            again_ghosts: queue(),
        }
    }

    /// The paper's REPLACE.
    fn evict(&mut self, returns_to_again: bool) {
        let once = self.once.len() as f64;
        if once > 0.0 && (once > self.target || returns_to_again && once == self.target) {
            self.once_ghosts.push_back(self.once.pop_front().expect("one is there"));
        } else if let Some(key) = self.again.pop_front() {
            self.again_ghosts.push_back(key);
        }
    }

    fn readmit(&mut self, key: Key) {
        let (once, again) = (self.once_ghosts.len() as f64, self.again_ghosts.len() as f64);
        let favours_again = self.again_ghosts.contains(key);
        self.target = if favours_again {
            (self.target - (once / again).max(1.0)).max(0.0)
        } else {
            (self.target + (again / once).max(1.0)).min(self.capacity as f64)
        };
        self.evict(favours_again);
        self.once_ghosts.remove(key);
        self.again_ghosts.remove(key);
        self.again.push_back(key);
    }

    fn admit(&mut self, key: Key) {
        let seen_once = self.once.len() + self.once_ghosts.len();
        let remembered = seen_once + self.again.len() + self.again_ghosts.len();
        if seen_once == self.capacity {
            if self.once.len() < self.capacity {
                self.once_ghosts.pop_front();
                self.evict(false);
            } else {
                self.once.pop_front();
            }
        } else if remembered >= self.capacity {
            if remembered == 2 * self.capacity {
                self.again_ghosts.pop_front();
            }
            self.evict(false);
        }
        self.once.push_back(key);
    }
}

impl Policy for Arc<'_> {
    fn request(&mut self, key: Key) -> bool {
        if self.once.remove(key) || self.again.remove(key) {
            self.again.push_back(key);
            return true;
        }
        if self.once_ghosts.contains(key) || self.again_ghosts.contains(key) {
            self.readmit(key);
        } else {
            self.admit(key);
        }
        false
    }
}
