//! SIEVE: Zhang et al., "SIEVE is Simpler than LRU", NSDI '24. A hand goes from old to new over a queue in which nothing moves;
//! it spares, once, what has been asked for since it came by last.

use super::Policy;
use super::queue::Queue;
use crate::hit_ratio::trace::Key;
use crate::hit_ratio::trace::Trace;
use crate::hit_ratio::trace::Weights;

pub struct Sieve<'a> {
    capacity: u64,
    weights: Weights<'a>,
    queue: Queue<'a>,
    visited: Vec<bool>,
    hand: Option<Key>,
}

impl<'a> Sieve<'a> {
    pub fn new(trace: &'a Trace, capacity: u64) -> Self {
        Self {
            capacity,
            weights: trace.weights(),
            queue: Queue::new(trace.weights()),
            visited: vec![false; trace.keys.len()],
            hand: None,
        }
    }

    fn evict(&mut self) {
        let oldest = self.queue.front().expect("a full cache is not empty");
        let mut at = self.hand.unwrap_or(oldest);
        while self.visited[at as usize] {
            self.visited[at as usize] = false;
            at = self.queue.after(at).unwrap_or(oldest);
        }
        self.hand = self.queue.after(at);
        self.queue.remove(at);
    }
}

impl Policy for Sieve<'_> {
    fn request(&mut self, key: Key) -> bool {
        if self.queue.contains(key) {
            self.visited[key as usize] = true;
            return true;
        }
        if let Some(rest) = self.capacity.checked_sub(self.weights.of(key)) {
            while self.queue.weight() > rest {
                self.evict();
            }
            self.queue.push_back(key);
        }
        false
    }
}
