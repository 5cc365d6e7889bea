//! The eviction policy of one stripe: a window and a main queue, both with second chances, a ghost
//! memory and a frequency sketch.
//!
//! New entries enter the window. What happens at the window's tail is the arm's rule, so this one
//! skeleton acts as W-TinyLFU (Einziger, Friedman and Manes, ToS 2017), as S3-FIFO (Yang et al.,
//! SOSP 2023) or, with a large window, as CLOCK.

use super::Arm;
use super::Entries;
use super::MAX_USES;
use super::Slot;
use super::arm::Rule;
use super::ghosts::Ghosts;
use super::queues::Queue;
use super::queues::Queues;
use super::sketch::Sketch;

/// Clock steps of one eviction, after which it takes what is there.
const MAX_STEPS: usize = 8;

pub(crate) struct Policy {
    queues: Queues,
    ghosts: Ghosts,
    sketch: Sketch,
    arm: Arm,
    /// The weight that the last eviction left: below it the stripe is not full.
    full: u128,
    weighted: bool,
    random: u64,
}

impl Policy {
    pub(crate) fn new(weighted: bool, seed: u64) -> Self {
        Policy {
            queues: Queues::default(),
            ghosts: Ghosts::default(),
            sketch: Sketch::default(),
            arm: Arm::START,
            full: u128::MAX,
            weighted,
            random: seed | 1,
        }
    }

    pub(crate) fn reserve(&mut self, entries: usize) {
        self.queues.reserve(entries + entries / 16);
        self.sketch.grow(entries);
        self.ghosts.grow(entries);
    }

    pub(crate) fn admit(&mut self, slot: Slot, hash: u32, weight: u64) {
        self.sketch.grow(self.len() + 1);
        self.sketch.add(hash, 1);
        let known = self.ghosts.take(hash);
        let queue = if known && self.arm.rule != Rule::Duel { Queue::Main } else { Queue::Window };
        self.queues.push_back(queue, slot, weight);
    }

    pub(crate) fn replace(&mut self, old: Slot, new: Slot, old_weight: u64, new_weight: u64) {
        self.queues.replace(old, new, old_weight, new_weight);
    }

    pub(crate) fn remove(&mut self, slot: Slot, weight: u64) {
        self.queues.remove(slot, weight);
    }

    pub(crate) fn evict(&mut self, arm: Arm, entries: &impl Entries) -> Option<Slot> {
        self.arm = arm;
        self.ghosts.grow(self.len());
        let victim = self.victim(entries)?;
        self.queues.remove(victim, self.weigh(victim, entries));
        let hash = entries.hash(victim);
        self.count(victim, entries);
        self.ghosts.push(hash);
        self.full = self.total();
        Some(victim)
    }

    pub(crate) fn clear(&mut self) {
        self.queues.clear();
        self.ghosts.clear();
        self.sketch.clear();
        self.full = u128::MAX;
    }

    pub(crate) fn len(&self) -> usize {
        self.queues.len(Queue::Window) + self.queues.len(Queue::Main)
    }

    pub(crate) fn weight(&self) -> u64 {
        u64::try_from(self.total()).unwrap_or(u64::MAX)
    }

    pub(crate) fn memory(&self) -> usize {
        self.queues.memory() + self.ghosts.memory() + self.sketch.memory()
    }

    fn total(&self) -> u128 {
        self.queues.weight(Queue::Window) + self.queues.weight(Queue::Main)
    }

    fn victim(&mut self, entries: &impl Entries) -> Option<Slot> {
        let target = self.total() * u128::from(self.arm.share) / 1024;
        for _ in 0..MAX_STEPS {
            let over = self.queues.weight(Queue::Window) > target.max(1);
            let found = match self.queues.front(Queue::Window) {
                Some(candidate) if over || self.queues.len(Queue::Main) == 0 => {
                    self.leave_window(candidate, entries)
                }
                _ => self.step_main(entries),
            };
            if found.is_some() {
                return found;
            }
        }
        self.queues.front(Queue::Main).or(self.queues.front(Queue::Window))
    }

    /// One step at the window's tail: a victim, or none if an entry was moved.
    fn leave_window(&mut self, candidate: Slot, entries: &impl Entries) -> Option<Slot> {
        let uses = entries.uses(candidate);
        match self.arm.rule {
            Rule::Duel if uses > 0 => {
                self.count(candidate, entries);
                self.queues.rotate(Queue::Window);
                None
            }
            Rule::Ghost if uses > 0 => {
                self.promote(candidate, entries);
                None
            }
            Rule::Duel => self.duel(candidate, entries),
            Rule::GhostThenDuel if uses > 0 => self.duel(candidate, entries),
            _ => Some(candidate),
        }
    }

    fn duel(&mut self, candidate: Slot, entries: &impl Entries) -> Option<Slot> {
        for _ in 0..MAX_STEPS {
            let Some(victim) = self.step_main(entries) else { continue };
            if self.frequency(candidate, entries) > self.frequency(victim, entries) {
                self.promote(candidate, entries);
                return Some(victim);
            }
            break;
        }
        if self.queues.len(Queue::Main) == 0 {
            self.promote(candidate, entries);
            return None;
        }
        Some(candidate)
    }

    /// One step of main's clock: an unused entry, or none if the front one was given another turn.
    fn step_main(&mut self, entries: &impl Entries) -> Option<Slot> {
        let front = self.queues.front(Queue::Main)?;
        let uses = entries.uses(front);
        if uses == 0 {
            return Some(front);
        }
        self.sketch.add(entries.hash(front), 1);
        entries.set_uses(front, uses.min(MAX_USES) - 1);
        self.queues.rotate(Queue::Main);
        None
    }

    fn promote(&mut self, slot: Slot, entries: &impl Entries) {
        self.count(slot, entries);
        let weight = self.weigh(slot, entries);
        self.queues.remove(slot, weight);
        self.queues.push_back(Queue::Main, slot, weight);
    }

    /// Moves an entry's uses into the sketch.
    fn count(&mut self, slot: Slot, entries: &impl Entries) {
        let uses = entries.uses(slot);
        if uses > 0 {
            self.sketch.add(entries.hash(slot), uses);
            entries.set_uses(slot, 0);
        }
    }

    fn frequency(&self, slot: Slot, entries: &impl Entries) -> u8 {
        self.sketch.estimate(entries.hash(slot)) + entries.uses(slot)
    }

    fn weigh(&self, slot: Slot, entries: &impl Entries) -> u64 {
        if self.weighted { entries.weight(slot) } else { 1 }
    }
}
