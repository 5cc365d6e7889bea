//! GDSF: Cherkasova, "Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching Policy", HP Labs 1998. The least
//! frequency over size goes; what stays unused is overtaken by a clock that stands at the worth of the last that went.

use std::collections::BTreeSet;

use super::Policy;
use crate::hit_ratio::trace::Key;
use crate::hit_ratio::trace::Trace;
use crate::hit_ratio::trace::Weights;

pub struct Gdsf<'a> {
    capacity: u64,
    weights: Weights<'a>,
    weight: u64,
    clock: f64,
    /// By worth, as the bits of a positive float, which are in its order.
    order: BTreeSet<(u64, Key)>,
    entries: Vec<Option<Entry>>,
}

#[derive(Clone, Copy)]
struct Entry {
    uses: u32,
    worth: f64,
}

impl<'a> Gdsf<'a> {
    pub fn new(trace: &'a Trace, capacity: u64) -> Self {
        Self {
            capacity,
            weights: trace.weights(),
            weight: 0,
            clock: 0.0,
            order: BTreeSet::new(),
            entries: vec![None; trace.keys.len()],
        }
    }

    fn put(&mut self, key: Key, uses: u32) {
        let worth = self.clock + f64::from(uses) / self.weights.of(key) as f64;
        self.order.insert((worth.to_bits(), key));
        self.entries[key as usize] = Some(Entry { uses, worth });
    }

    fn evict(&mut self) {
        let (worth, key) = self.order.pop_first().expect("a full cache is not empty");
        self.clock = f64::from_bits(worth);
        self.weight -= self.weights.of(key);
        self.entries[key as usize] = None;
    }
}

impl Policy for Gdsf<'_> {
    fn request(&mut self, key: Key) -> bool {
        if let Some(entry) = self.entries[key as usize] {
            self.order.remove(&(entry.worth.to_bits(), key));
            self.put(key, entry.uses + 1);
            return true;
        }
        let weight = self.weights.of(key);
        if let Some(rest) = self.capacity.checked_sub(weight) {
            while self.weight > rest {
                self.evict();
            }
            self.weight += weight;
            self.put(key, 1);
        }
        false
    }
}
