//! LRU: what has not been asked for the longest goes.

use super::Policy;
use super::queue::Queue;
use crate::hit_ratio::trace::Key;
use crate::hit_ratio::trace::Trace;
use crate::hit_ratio::trace::Weights;

pub struct Lru<'a> {
    capacity: u64,
    weights: Weights<'a>,
    queue: Queue<'a>,
}

impl<'a> Lru<'a> {
    pub fn new(trace: &'a Trace, capacity: u64) -> Self {
        Self { capacity, weights: trace.weights(), queue: Queue::new(trace.weights()) }
    }
}

impl Policy for Lru<'_> {
    fn request(&mut self, key: Key) -> bool {
        if self.queue.contains(key) {
            self.queue.move_to_back(key);
            return true;
        }
        if let Some(rest) = self.capacity.checked_sub(self.weights.of(key)) {
            self.queue.shrink_to(rest);
            self.queue.push_back(key);
        }
        false
    }
}
