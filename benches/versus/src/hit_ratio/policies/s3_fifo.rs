//! S3-FIFO: Yang et al., "FIFO queues are all you need for cache eviction", SOSP '23. What is new goes through a small queue, a
//! tenth of the cache; only what is asked for more than once there, or soon after it has left, gets into the main one.

use super::Policy;
use super::queue::Queue;
use crate::hit_ratio::trace::Key;
use crate::hit_ratio::trace::Trace;
use crate::hit_ratio::trace::Weights;

const MOST: u8 = 3;

pub struct S3Fifo<'a> {
    capacity: u64,
    small_capacity: u64,
    weights: Weights<'a>,
    small: Queue<'a>,
    main: Queue<'a>,
    ghosts: Queue<'a>,
    /// Hits since it came or was moved, at most [`MOST`].
    hits: Vec<u8>,
}

impl<'a> S3Fifo<'a> {
    pub fn new(trace: &'a Trace, capacity: u64) -> Self {
        let weights = trace.weights();
        Self {
            capacity,
            small_capacity: (capacity / 10).max(1),
            weights,
            small: Queue::new(weights),
            main: Queue::new(weights),
            ghosts: Queue::new(weights),
            hits: vec![0; weights.keys()],
        }
    }

    fn main_capacity(&self) -> u64 {
        self.capacity - self.small_capacity
    }

    fn evict(&mut self) {
        if self.small.weight() >= self.small_capacity || self.main.is_empty() {
            self.evict_small();
        } else {
            self.evict_main();
        }
    }

    /// One leaves the small queue for the ghosts, and those before it that were wanted for the main queue.
    fn evict_small(&mut self) {
        while let Some(key) = self.small.pop_front() {
            if self.hits[key as usize] <= 1 {
                self.ghosts.push_back(key);
                self.ghosts.shrink_to(self.main_capacity());
                return;
            }
            self.hits[key as usize] = 0;
            self.main.push_back(key);
            if self.main.weight() > self.main_capacity() {
                self.evict_main();
            }
        }
    }

    fn evict_main(&mut self) {
        while let Some(key) = self.main.pop_front() {
            let hits = &mut self.hits[key as usize];
            if *hits == 0 {
                return;
            }
            *hits -= 1;
            self.main.push_back(key);
        }
    }

    fn insert(&mut self, key: Key, rest: u64) {
        // Looked up before the evictions, which may push it out.
        let returns = self.ghosts.remove(key);
        while self.small.weight() + self.main.weight() > rest {
            self.evict();
        }
        self.hits[key as usize] = 0;
        if returns { self.main.push_back(key) } else { self.small.push_back(key) }
    }
}

impl Policy for S3Fifo<'_> {
    fn request(&mut self, key: Key) -> bool {
        if self.small.contains(key) || self.main.contains(key) {
            let hits = &mut self.hits[key as usize];
            *hits = (*hits + 1).min(MOST);
            return true;
        }
        if let Some(rest) = self.capacity.checked_sub(self.weights.of(key)) {
            self.insert(key, rest);
        }
        false
    }
}
