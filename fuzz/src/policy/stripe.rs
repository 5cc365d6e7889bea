//! The policy of one stripe, as the cache drives it, with the steering beside it: it names who is there and nobody else, asks of nobody else,
//! forgets nobody, and its sums are right.

use std::cell::Cell;
use std::collections::BTreeMap;

use arbitrary::Arbitrary;

use super::room::{Arm, Entries, MAX_USES, Policy, Slot, Steering};
use super::spread;
use crate::input::{Capacity, Script, Weight};

#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Setup {
    weighted: bool,
    capacity: Capacity,
    /// The steering chooses the arm; else the calls do.
    steered: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Call {
    Access {
        key: u8,
        weight: Weight,
    },
    /// The keys that follow one another, some times over.
    Loop {
        first: u16,
        length: u8,
        times: u8,
    },
    Remove(u8),
    Replace {
        key: u8,
        weight: Weight,
    },
    Evict,
    Arm {
        share: u16,
        rule: u8,
    },
    Peek(u8),
    Reserve(u8),
    SetCapacity(Capacity),
    Clear,
}

/// Steps of all loops, so that an input takes no longer than others.
const STEPS: u32 = 1_000;

struct Node {
    key: u16,
    weight: u64,
    uses: Cell<u8>,
}

/// What is resident: whoever is asked of anybody else has a dead slot in his books.
#[derive(Default)]
struct Residents(BTreeMap<Slot, Node>);

impl Residents {
    fn node(&self, slot: Slot) -> &Node {
        self.0.get(&slot).unwrap_or_else(|| panic!("slot {slot} is not resident"))
    }
}

impl Entries for Residents {
    fn uses(&self, slot: Slot) -> u8 {
        self.node(slot).uses.get()
    }

    fn set_uses(&self, slot: Slot, uses: u8) {
        assert!(uses <= MAX_USES, "more uses than a counter holds");
        self.node(slot).uses.set(uses);
    }

    fn hash(&self, slot: Slot) -> u32 {
        spread(self.node(slot).key)
    }

    fn weight(&self, slot: Slot) -> u64 {
        self.node(slot).weight
    }
}

struct Trial {
    setup: Setup,
    policy: Policy,
    steering: Steering,
    arm: Arm,
    residents: Residents,
    slots: BTreeMap<u16, Slot>,
    free: Vec<Slot>,
    capacity: u64,
    /// The capacity was never larger.
    largest: u64,
    /// Room was asked for so many entries.
    reserved: usize,
    steps: u32,
}

pub fn run(Script { setup, calls }: Script<Setup, Call>) {
    let capacity = setup.capacity.0;
    let mut trial = Trial {
        setup,
        policy: Policy::new(setup.weighted, 1),
        steering: Steering::new(capacity, setup.weighted, 1),
        arm: Arm::START,
        residents: Residents::default(),
        slots: BTreeMap::new(),
        free: Vec::new(),
        capacity,
        largest: capacity,
        reserved: 0,
        steps: 0,
    };
    for call in calls {
        trial.step(call);
        trial.check();
    }
    trial.finish();
}

impl Trial {
    fn step(&mut self, call: Call) {
        match call {
            Call::Access { key, weight } => self.access(key.into(), weight.0),
            Call::Loop { first, length, times } => self.run_round(first, length, times),
            Call::Remove(key) => {
                if let Some(slot) = self.slots.remove(&u16::from(key)) {
                    let node = self.residents.0.remove(&slot).expect("it has a slot");
                    self.policy.remove(slot, node.weight);
                    self.free.push(slot);
                }
            }
            Call::Replace { key, weight } => self.replace(key.into(), weight.0),
            Call::Evict => self.evict(),
            Call::Arm { share, rule } => {
                self.arm = Arm::unpack(u32::from(share % 1025) << 8 | u32::from(rule % 3));
                assert_eq!(Arm::unpack(self.arm.pack()), self.arm);
            }
            Call::Peek(ahead) => {
                let known = |slot: Slot| self.residents.0.contains_key(&slot);
                assert!(self.policy.upcoming(ahead.into()).is_none_or(known), "who is upcoming is not there");
                let worth = self.policy.least_worth(&self.residents);
                assert_eq!(worth.is_some(), !self.slots.is_empty());
                assert!(worth.is_none_or(|worth| worth > 0.0 && worth.is_finite()), "worth {worth:?}");
            }
            Call::Reserve(entries) => {
                self.reserved = self.reserved.max(entries.into());
                self.policy.reserve(entries.into());
            }
            Call::SetCapacity(Capacity(capacity)) => {
                self.capacity = capacity;
                self.largest = self.largest.max(capacity);
                self.steering.resize(capacity, self.slots.len() as u64);
                self.make_room();
            }
            Call::Clear => {
                self.policy.clear();
                self.residents.0.clear();
                self.free.extend(std::mem::take(&mut self.slots).into_values());
            }
        }
    }

    fn run_round(&mut self, first: u16, length: u8, times: u8) {
        for at in (0..=u16::from(times % 16)).flat_map(|_| 0..u16::from(length)) {
            if self.steps == STEPS {
                return;
            }
            self.steps += 1;
            self.access(first.wrapping_add(at), 1 + u64::from(at % 3));
        }
    }

    /// Entries that weigh nothing are none of the policy's business.
    fn weigh(&self, weight: u64) -> u64 {
        if self.setup.weighted { weight.max(1) } else { 1 }
    }

    fn access(&mut self, key: u16, weight: u64) {
        let weight = self.weigh(weight);
        match self.slots.get(&key) {
            Some(slot) => {
                let uses = &self.residents.node(*slot).uses;
                uses.set(MAX_USES.min(uses.get() + 1));
            }
            None => {
                self.admit(key, weight);
                self.make_room();
            }
        }
        if self.setup.steered && self.steering.sampler().takes(spread(key)) {
            self.steering.record(spread(key), weight);
            self.arm = self.steering.decide().unwrap_or(self.arm);
        }
    }

    fn admit(&mut self, key: u16, weight: u64) {
        let slot = self.settle_in(key, weight, 0);
        self.policy.admit(slot, spread(key), weight);
    }

    /// Where the cache puts a new value.
    fn settle_in(&mut self, key: u16, weight: u64, uses: u8) -> Slot {
        let slot = self.free.pop().unwrap_or(self.residents.0.len() as Slot);
        self.residents.0.insert(slot, Node { key, weight, uses: Cell::new(uses) });
        self.slots.insert(key, slot);
        slot
    }

    /// The new value is there before the old one is given up.
    fn replace(&mut self, key: u16, weight: u64) {
        let (Some(&old), weight) = (self.slots.get(&key), self.weigh(weight)) else { return };
        let (uses, before) = (self.residents.uses(old), self.residents.weight(old));
        let new = self.settle_in(key, weight, uses);
        self.policy.replace(old, new, before, weight);
        self.residents.0.remove(&old);
        self.free.push(old);
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.policy.weight() > self.capacity {
            self.evict();
        }
    }

    fn evict(&mut self) {
        let victim = self.policy.evict(self.arm, &self.residents);
        assert_eq!(victim.is_some(), !self.slots.is_empty(), "somebody goes if anybody is there");
        let Some(victim) = victim else { return };
        let node = self.residents.0.remove(&victim).unwrap_or_else(|| panic!("victim {victim} is not resident"));
        assert_eq!(self.slots.remove(&node.key), Some(victim));
        self.free.push(victim);
    }

    fn check(&self) {
        assert_eq!(self.policy.len(), self.slots.len());
        assert_eq!(self.policy.weight(), self.residents.0.values().map(|node| node.weight).sum::<u64>());
        // Slots that were ever in use, and a little for each; most of it is the least that a sketch takes.
        let slots = self.reserved.max(self.slots.len() + self.free.len());
        assert!(self.policy.memory() <= 1024 + 48 * slots, "{} bytes for {slots} slots", self.policy.memory());
        // Eight small caches, each of at most as many entries as the stripe ever had keys for.
        let sampled = 8 * (self.largest as usize + 1);
        assert!(self.steering.memory() <= 8 * 2048 + 256 * sampled, "{} bytes, {sampled} sampled", self.steering.memory());
    }

    /// Everybody has a place, and only one.
    fn finish(mut self) {
        while !self.slots.is_empty() {
            self.evict();
        }
        assert_eq!((self.policy.len(), self.policy.weight()), (0, 0));
        assert_eq!(self.policy.evict(self.arm, &self.residents), None);
    }
}
