//! FIFO: what came first goes, asked for or not.

use super::Policy;
use super::queue::Queue;
use crate::hit_ratio::trace::Key;
use crate::hit_ratio::trace::Trace;
use crate::hit_ratio::trace::Weights;

pub struct Fifo<'a> {
    capacity: u64,
    weights: Weights<'a>,
    queue: Queue<'a>,
}

impl<'a> Fifo<'a> {
    pub fn new(trace: &'a Trace, capacity: u64) -> Self {
        Self { capacity, weights: trace.weights(), queue: Queue::new(trace.weights()) }
    }
}

impl Policy for Fifo<'_> {
    fn request(&mut self, key: Key) -> bool {
        if self.queue.contains(key) {
            return true;
        }
        if let Some(rest) = self.capacity.checked_sub(self.weights.of(key)) {
            self.queue.shrink_to(rest);
            self.queue.push_back(key);
        }
        false
    }
}
