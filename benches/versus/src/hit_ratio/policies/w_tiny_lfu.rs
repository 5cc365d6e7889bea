//! W-TinyLFU: Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", ToS '17. An LRU window takes all
//! that is new; what falls out of it gets into the main cache, a segmented LRU, only if it was asked for more often than what would
//! have to go. The window has one percent, or moves with a [`Climber`].

use super::Policy;
use super::climber::Climber;
use super::queue::Queue;
use super::sketch::Sketch;
use crate::hit_ratio::trace::Key;
use crate::hit_ratio::trace::Trace;
use crate::hit_ratio::trace::Weights;

const WINDOW: f64 = 0.01;
/// The share of the main cache that is for what was asked for again.
const PROTECTED: f64 = 0.8;

pub struct WTinyLfu<'a> {
    capacity: u64,
    window_capacity: u64,
    /// What window and protected part have together.
    movable: u64,
    weights: Weights<'a>,
    window: Queue<'a>,
    probation: Queue<'a>,
    protected: Queue<'a>,
    sketch: Sketch,
    climber: Option<Climber>,
}

impl<'a> WTinyLfu<'a> {
    pub fn fixed(trace: &'a Trace, capacity: u64) -> Self {
        let queue = || Queue::new(trace.weights());
        let window_capacity = ((capacity as f64 * WINDOW) as u64).max(1);
        Self {
            capacity,
            window_capacity,
            movable: window_capacity + ((capacity - window_capacity) as f64 * PROTECTED) as u64,
            weights: trace.weights(),
            window: queue(),
            probation: queue(),
            protected: queue(),
            sketch: Sketch::new(trace.entries(capacity)),
            climber: None,
        }
    }

    pub fn climbing(trace: &'a Trace, capacity: u64) -> Self {
        let climber = Climber::new(capacity, trace.entries(capacity));
        Self { climber: Some(climber), ..Self::fixed(trace, capacity) }
    }

    fn hit(&mut self, key: Key) -> bool {
        if self.window.contains(key) {
            self.window.move_to_back(key);
        } else if self.protected.contains(key) {
            self.protected.move_to_back(key);
        } else if self.probation.remove(key) {
            self.protected.push_back(key);
            self.demote();
        } else {
            return false;
        }
        true
    }

    fn demote(&mut self) {
        while self.protected.weight() > self.movable - self.window_capacity {
            self.probation.push_back(self.protected.pop_front().expect("it weighs something"));
        }
    }

    fn overflow(&mut self) {
        while self.window.weight() > self.window_capacity {
            let candidate = self.window.pop_front().expect("it weighs something");
            self.offer(candidate);
        }
    }

    /// The candidate gets in if it was asked for more often than each that has to go for it.
    fn offer(&mut self, candidate: Key) {
        let room = self.capacity - self.window_capacity;
        let Some(rest) = room.checked_sub(self.weights.of(candidate)) else { return };
        while self.probation.weight() + self.protected.weight() > rest {
            let main = if self.probation.is_empty() { &mut self.protected } else { &mut self.probation };
            let victim = main.front().expect("it weighs something");
            if self.sketch.estimate(candidate) <= self.sketch.estimate(victim) {
                return;
            }
            main.pop_front();
        }
        self.probation.push_back(candidate);
    }

    fn move_window(&mut self, growth: f64) {
        let window = (self.window_capacity as f64 + growth).round();
        self.window_capacity = (window.max(1.0) as u64).min(self.movable);
        self.demote();
        if growth > 0.0 {
            self.pull();
        } else {
            self.push();
        }
    }

    /// Fills a window that has grown from the main cache.
    fn pull(&mut self) {
        loop {
            let main = if self.probation.is_empty() { &mut self.protected } else { &mut self.probation };
            match main.front() {
                Some(key) if self.window.weight() + self.weights.of(key) <= self.window_capacity => {
                    main.pop_front();
                    self.window.push_back(key);
                }
                _ => break,
            }
        }
        self.trim();
    }

    /// Gives what a shrunken window holds too much to the main cache, which has grown.
    fn push(&mut self) {
        while self.window.weight() > self.window_capacity {
            self.probation.push_back(self.window.pop_front().expect("it weighs something"));
        }
        self.trim();
    }

    /// What is too heavy to move may leave the main cache too full.
    fn trim(&mut self) {
        let room = self.capacity - self.window_capacity;
        while self.probation.weight() + self.protected.weight() > room {
            let main = if self.probation.is_empty() { &mut self.protected } else { &mut self.probation };
            main.pop_front();
        }
    }
}

impl Policy for WTinyLfu<'_> {
    fn request(&mut self, key: Key) -> bool {
        self.sketch.count(key);
        let hit = self.hit(key);
        if let Some(growth) = self.climber.as_mut().and_then(|climber| climber.observe(hit)) {
            self.move_window(growth);
        }
        if !hit {
            self.window.push_back(key);
            self.overflow();
        }
        hit
    }
}
