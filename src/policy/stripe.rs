//! The eviction policy of one stripe: a window and a main queue, both with second chances, a ghost
//! memory and a frequency sketch.
//!
//! New entries enter the window. What happens at the window's front is the arm's rule, so this one
//! skeleton acts as W-TinyLFU (Einziger, Friedman and Manes, ToS 2017), as S3-FIFO (Yang et al.,
//! SOSP 2023) or, if the window is all there is, as CLOCK.

use super::Arm;
use super::Entries;
use super::MAX_USES;
use super::Slot;
use super::arm::Rule;
use super::ghosts::Age;
use super::ghosts::Ghosts;
use super::queues::Queue;
use super::queues::Queues;
use super::sketch::Sketch;

/// Clock steps of one eviction, after which it takes what is there.
const MAX_STEPS: usize = 8;
/// Unused entries of main among which a weighted cache takes the least valuable one.
const SAMPLE: usize = 8;
/// A window of so few entries is never far over its share: one heavy entry may fill it.
const SMALL_WINDOW: usize = 16;

pub(crate) struct Policy {
    queues: Queues,
    ghosts: Ghosts,
    sketch: Sketch,
    arm: Arm,
    /// The weight that the last eviction left: below it the stripe is not full.
    full: u64,
    weighted: bool,
}

impl Policy {
    pub(crate) fn new(weighted: bool, _seed: u64) -> Self {
        Policy {
            queues: Queues::default(),
            ghosts: Ghosts::default(),
            sketch: Sketch::default(),
            arm: Arm::START,
            full: u64::MAX,
            weighted,
        }
    }

    pub(crate) fn reserve(&mut self, entries: usize) {
        self.queues.reserve(entries + entries / 16);
        self.sketch.grow(entries);
        self.ghosts.grow(entries);
    }

    pub(crate) fn admit(&mut self, slot: Slot, hash: u32, weight: u64) {
        self.sketch.grow(self.len() + 1);
        let ghost = self.ghosts.take(hash);
        // A key that is used for the first time is not counted, so streams of such keys do not blur the sketch (TinyLFU's doorkeeper).
        if ghost.is_some() {
            self.sketch.add(hash, 1);
        }
        let queue = if self.belongs_in_main(ghost, weight) { Queue::Main } else { Queue::Window };
        self.queues.push_back(queue, slot, weight);
    }

    fn belongs_in_main(&self, ghost: Option<Age>, weight: u64) -> bool {
        if ghost.is_some_and(|age| self.arm.readmits(age)) {
            return true;
        }
        // While nothing needs to be evicted, what the window has no room for goes to main.
        let total = self.total() + weight;
        total <= self.full && self.queues.weight(Queue::Window) + weight > self.arm.share_of(total)
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
        let (victim, queue) = self.victim(entries)?;
        // What leaves main leaves no ghost, as in S3-FIFO: in a loop main's oldest entry is the one that is needed next, and if it came
        // back to main at once, it would drive the next one out, and so on for ever. An entry that is alone has been through the window
        // all the same, and one that needs the room of all others must be remembered to be let in some day.
        if queue == Queue::Window || self.len() == 1 {
            self.ghosts.push(entries.hash(victim));
        }
        self.queues.remove(victim, self.weigh(victim, entries));
        self.full = self.total();
        Some(victim)
    }

    /// Which entry may well be looked at by one of the next evictions.
    #[inline]
    pub(crate) fn upcoming(&self, ahead: usize) -> Option<Slot> {
        self.queues.behind_front(Queue::Window, ahead)
    }

    /// What the next victim is about worth for each unit of weight; to choose between stripes.
    pub(crate) fn least_worth(&self, entries: &impl Entries) -> Option<f64> {
        let next = self.queues.front(Queue::Main).or(self.queues.front(Queue::Window))?;
        let uses = f64::from(self.frequency(next, entries));
        Some((2.0 * uses + 1.0) / self.weigh(next, entries) as f64)
    }

    pub(crate) fn clear(&mut self) {
        self.queues.clear();
        self.ghosts.clear();
        self.sketch.clear();
        self.full = u64::MAX;
    }

    pub(crate) fn len(&self) -> usize {
        self.queues.len(Queue::Window) + self.queues.len(Queue::Main)
    }

    pub(crate) fn weight(&self) -> u64 {
        self.total()
    }

    pub(crate) fn memory(&self) -> usize {
        self.queues.memory() + self.ghosts.memory() + self.sketch.memory()
    }

    fn total(&self) -> u64 {
        self.queues.weight(Queue::Window) + self.queues.weight(Queue::Main)
    }

    /// The next entry to go, and the queue that it is in.
    fn victim(&mut self, entries: &impl Entries) -> Option<(Slot, Queue)> {
        let total = self.total();
        let target = self.arm.share_of(total);
        if self.queues.weight(Queue::Window) > target + total / 32 {
            self.shrink_window(entries);
        }
        for _ in 0..MAX_STEPS {
            let over = self.queues.weight(Queue::Window) > target.max(1);
            let found = match self.queues.front(Queue::Window) {
                Some(candidate) if over || self.queues.len(Queue::Main) == 0 => self.leave_window(candidate, entries),
                _ => self.step_main(entries),
            };
            if found.is_some() {
                return found;
            }
        }
        let front = |queue| self.queues.front(queue).map(|slot| (slot, queue));
        let taken = front(Queue::Main).or(front(Queue::Window))?;
        self.count(taken.0, entries);
        Some(taken)
    }

    /// A window far over its share, after a change of arm, gives its excess to main bit by bit.
    #[cold]
    fn shrink_window(&mut self, entries: &impl Entries) {
        for _ in 0..2 {
            if self.queues.len(Queue::Window) <= SMALL_WINDOW {
                return;
            }
            let Some(slot) = self.queues.front(Queue::Window) else { return };
            self.queues.move_to_main(slot, self.weigh(slot, entries));
        }
    }

    /// One step at the window's front: a victim, or none if an entry was moved.
    fn leave_window(&mut self, candidate: Slot, entries: &impl Entries) -> Option<(Slot, Queue)> {
        match (entries.uses(candidate) > 0, self.arm.rule) {
            (false, Rule::Duel) => return self.duel(candidate, entries),
            (false, _) => return Some((candidate, Queue::Window)),
            (true, Rule::Duel) => {
                self.count(candidate, entries);
                self.queues.rotate(Queue::Window);
            }
            (true, _) => self.promote(candidate, entries),
        }
        None
    }

    fn duel(&mut self, candidate: Slot, entries: &impl Entries) -> Option<(Slot, Queue)> {
        if self.queues.len(Queue::Main) == 0 {
            self.promote(candidate, entries);
            return None;
        }
        // The usual candidate is new: it cannot win, and main need not be looked at.
        if !self.weighted && self.frequency(candidate, entries) == 0 {
            return Some((candidate, Queue::Window));
        }
        let defender = (0..MAX_STEPS).find_map(|_| self.step_main(entries));
        if let Some((victim, _)) = defender
            && self.beats(candidate, victim, entries)
        {
            self.promote(candidate, entries);
            return defender;
        }
        Some((candidate, Queue::Window))
    }

    /// Whether `one` is worth more than `other`: by frequency, or by frequency over weight.
    fn beats(&self, one: Slot, other: Slot, entries: &impl Entries) -> bool {
        let (ours, theirs) = (self.frequency(one, entries), self.frequency(other, entries));
        if !self.weighted {
            return ours > theirs;
        }
        // One more than twice the uses, so that among unused entries the heavier one goes.
        let value = |uses: u8, weight: u64| (2 * u64::from(uses) + 1).saturating_mul(weight);
        value(ours, entries.weight(other)) > value(theirs, entries.weight(one))
    }

    /// The least valuable of the next unused entries of main: a sampled GDSF (Cherkasova, 1998).
    fn worst(&mut self, front: Slot, entries: &impl Entries) -> Slot {
        let mut worst = front;
        for _ in 1..SAMPLE {
            self.queues.rotate(Queue::Main);
            let Some(next) = self.queues.front(Queue::Main) else { break };
            if next == worst || entries.uses(next) > 0 {
                break;
            }
            if self.beats(worst, next, entries) {
                worst = next;
            }
        }
        worst
    }

    /// One step of main's clock: an unused entry, or none if the front one was given another turn.
    fn step_main(&mut self, entries: &impl Entries) -> Option<(Slot, Queue)> {
        let front = self.queues.front(Queue::Main)?;
        let uses = entries.uses(front);
        if uses == 0 {
            return Some((if self.weighted { self.worst(front, entries) } else { front }, Queue::Main));
        }
        self.sketch.add(entries.hash(front), 1);
        entries.set_uses(front, uses.min(MAX_USES) - 1);
        self.queues.rotate(Queue::Main);
        None
    }

    fn promote(&mut self, slot: Slot, entries: &impl Entries) {
        self.count(slot, entries);
        self.queues.move_to_main(slot, self.weigh(slot, entries));
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

#[cfg(test)]
mod tests;
