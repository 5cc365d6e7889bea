//! LIRS: Jiang and Zhang, "LIRS: An Efficient Low Inter-reference Recency Set Replacement Policy", SIGMETRICS '02. What came back
//! within a short distance (LIR) stays; the rest (HIR) passes through a queue of one percent, and may prove itself while the stack
//! still remembers it. The stack is as long as the paper lets it become, without a bound.

use super::Policy;
use super::queue::Queue;
use crate::hit_ratio::trace::Key;
use crate::hit_ratio::trace::Trace;

pub struct Lirs<'a> {
    capacity: usize,
    most_lir: usize,
    lir: Vec<bool>,
    lir_count: usize,
    /// The paper's stack S, its bottom in front: all LIR, and those HIR, here or gone, asked for since the oldest of them.
    stack: Queue<'a>,
    /// The paper's list Q: the HIR that are here.
    resident_hir: Queue<'a>,
}

impl<'a> Lirs<'a> {
    pub fn new(trace: &'a Trace, capacity: u64) -> Self {
        let capacity = capacity as usize;
        Self {
            capacity,
            most_lir: capacity - (capacity / 100).max(1),
            lir: vec![false; trace.keys.len()],
            lir_count: 0,
            stack: Queue::new(trace.weights()),
            resident_hir: Queue::new(trace.weights()),
        }
    }

    fn promote(&mut self, key: Key) {
        self.lir[key as usize] = true;
        self.lir_count += 1;
        self.resident_hir.remove(key);
        self.stack.move_to_back(key);
        self.prune();
        if self.lir_count > self.most_lir {
            let bottom = self.stack.pop_front().expect("all LIR are in the stack");
            self.lir[bottom as usize] = false;
            self.lir_count -= 1;
            self.resident_hir.push_back(bottom);
            self.prune();
        }
    }

    /// HIR at the stack's bottom have been away for longer than any LIR.
    fn prune(&mut self) {
        while let Some(bottom) = self.stack.front()
            && !self.lir[bottom as usize]
        {
            self.stack.pop_front();
        }
    }

    fn admit(&mut self, key: Key) {
        if self.lir_count + self.resident_hir.len() == self.capacity {
            self.resident_hir.pop_front();
        }
        if self.stack.contains(key) || self.lir_count < self.most_lir {
            self.promote(key);
        } else {
            self.pass(key);
        }
    }

    /// Stays HIR, or becomes it.
    fn pass(&mut self, key: Key) {
        self.stack.move_to_back(key);
        self.resident_hir.move_to_back(key);
    }
}

impl Policy for Lirs<'_> {
    fn request(&mut self, key: Key) -> bool {
        if self.lir[key as usize] {
            self.stack.move_to_back(key);
            self.prune();
            true
        } else if self.resident_hir.contains(key) {
            if self.stack.contains(key) {
                self.promote(key);
            } else {
                self.pass(key);
            }
            true
        } else {
            self.admit(key);
            false
        }
    }
}
