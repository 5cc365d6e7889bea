//! What could be done by one who knows the future: Belady, "A study of replacement algorithms for a virtual-storage computer", IBM
//! Systems Journal 1966. What is asked for again last goes, be it what has just come: with keys of one weight nobody has more hits.
//!
//! With sizes it is Belady-size (Berger, Beckmann and Harchol-Balter, "Practical Bounds on Optimal Caching with Variable Object
//! Sizes", SIGMETRICS '18): the largest product of size and time until the next request goes. That is a good rule, not the best.

use std::collections::BTreeSet;

use super::Policy;
use crate::hit_ratio::trace::Key;
use crate::hit_ratio::trace::Trace;
use crate::hit_ratio::trace::Weights;

pub struct Belady<'a> {
    capacity: u64,
    weights: Weights<'a>,
    weight: u64,
    /// Of each request, when its key is asked for next.
    next_uses: Vec<u32>,
    now: u32,
    /// Of each key that is here, when it is asked for next.
    resident: Vec<Option<u32>>,
    /// By next use, in classes of like weight, so that only the last of each class need be looked at.
    classes: Vec<BTreeSet<(u32, Key)>>,
}

const NEVER: u32 = u32::MAX;
/// Weights of one class are within a quarter of an octave, so the one that goes is at most a fifth from the largest product.
const CLASSES_AN_OCTAVE: f64 = 4.0;

impl<'a> Belady<'a> {
    pub fn new(trace: &'a Trace, capacity: u64) -> Self {
        let weights = trace.weights();
        let heaviest = (0..trace.keys.len() as Key).map(|key| weights.of(key)).max().unwrap_or(1);
        Self {
            capacity,
            weights,
            weight: 0,
            next_uses: next_uses(trace),
            now: 0,
            resident: vec![None; trace.keys.len()],
            classes: vec![BTreeSet::new(); class(heaviest) + 1],
        }
    }

    fn put(&mut self, key: Key, next_use: u32) {
        self.resident[key as usize] = Some(next_use);
        let weight = self.weights.of(key);
        self.classes[class(weight)].insert((next_use, key));
        self.weight += weight;
    }

    fn take(&mut self, key: Key) -> bool {
        let Some(next_use) = self.resident[key as usize].take() else { return false };
        let weight = self.weights.of(key);
        self.classes[class(weight)].remove(&(next_use, key));
        self.weight -= weight;
        true
    }

    fn evict(&mut self) {
        let last = self.classes.iter().filter_map(BTreeSet::last).copied();
        let cost = |&(next_use, key): &(u32, Key)| match next_use {
            NEVER => u64::MAX,
            _ => u64::from(next_use - self.now) * self.weights.of(key),
        };
        let (_, key) = last.max_by_key(cost).expect("a full cache is not empty");
        self.take(key);
    }
}

impl Policy for Belady<'_> {
    fn request(&mut self, key: Key) -> bool {
        let hit = self.take(key);
        let next_use = self.next_uses[self.now as usize];
        if self.weights.of(key) <= self.capacity {
            self.put(key, next_use);
        }
        while self.weight > self.capacity {
            self.evict();
        }
        self.now += 1;
        hit
    }
}

fn class(weight: u64) -> usize {
    ((weight as f64).log2() * CLASSES_AN_OCTAVE) as usize
}

pub fn next_uses(trace: &Trace) -> Vec<u32> {
    let mut coming = vec![NEVER; trace.keys.len()];
    let mut next_uses = vec![NEVER; trace.requests.len()];
    for (at, &key) in trace.requests.iter().enumerate().rev() {
        next_uses[at] = coming[key as usize];
        coming[key as usize] = at as u32;
    }
    next_uses
}
