//! What every sequence of calls must keep true, and what the whole must achieve on plain patterns.

use std::cell::Cell;
use std::collections::HashMap;

use super::*;
use crate::policy::Sampler;
use crate::policy::Steering;

struct Node {
    key: u64,
    weight: u64,
    uses: Cell<u8>,
}

fn spread(key: u64) -> u32 {
    let bits = (key ^ key >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((bits ^ bits >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32) as u32
}

impl Entries for Vec<Node> {
    fn uses(&self, slot: Slot) -> u8 {
        self[slot as usize].uses.get()
    }

    fn set_uses(&self, slot: Slot, uses: u8) {
        self[slot as usize].uses.set(uses);
    }

    fn hash(&self, slot: Slot) -> u32 {
        spread(self[slot as usize].key)
    }

    fn weight(&self, slot: Slot) -> u64 {
        self[slot as usize].weight
    }
}

/// A cache of one stripe, as the core drives it.
struct Model {
    nodes: Vec<Node>,
    free: Vec<Slot>,
    table: HashMap<u64, Slot>,
    policy: Policy,
    steering: Steering,
    sampler: Sampler,
    arm: Arm,
    steered: bool,
    capacity: u64,
}

impl Model {
    fn new(capacity: u64, weighted: bool) -> Self {
        let steering = Steering::new(capacity, weighted, 1);
        Model {
            nodes: Vec::new(),
            free: Vec::new(),
            table: HashMap::new(),
            policy: Policy::new(weighted, 1),
            sampler: steering.sampler(),
            steering,
            arm: Arm::START,
            steered: true,
            capacity,
        }
    }

    /// One that keeps to an arm.
    fn fixed(capacity: u64, arm: Arm) -> Self {
        Model { arm, steered: false, ..Model::new(capacity, false) }
    }

    fn access(&mut self, key: u64, weight: u64) -> bool {
        let known = self.table.get(&key).copied();
        match known {
            Some(slot) => {
                let uses = &self.nodes[slot as usize].uses;
                uses.set(MAX_USES.min(uses.get() + 1));
            }
            None => self.insert(key, weight),
        }
        if self.steered && self.sampler.takes(spread(key)) {
            self.steering.record(spread(key), weight);
            self.arm = self.steering.decide().unwrap_or(self.arm);
            self.sampler = self.steering.sampler();
        }
        known.is_some()
    }

    fn insert(&mut self, key: u64, weight: u64) {
        let node = Node { key, weight, uses: Cell::new(0) };
        let slot = self.free.pop().unwrap_or(self.nodes.len() as Slot);
        if slot as usize == self.nodes.len() {
            self.nodes.push(node);
        } else {
            self.nodes[slot as usize] = node;
        }
        self.table.insert(key, slot);
        self.policy.admit(slot, spread(key), weight);
        while self.policy.weight() > self.capacity {
            self.evict();
        }
    }

    fn evict(&mut self) {
        let victim = self.policy.evict(self.arm, &self.nodes).expect("something to evict");
        assert!(self.table.remove(&self.nodes[victim as usize].key).is_some(), "resident once");
        self.free.push(victim);
    }

    fn hit_ratio(mut self, keys: impl Iterator<Item = u64>) -> f64 {
        let (mut hits, mut all) = (0, 0);
        for key in keys {
            hits += u32::from(self.access(key, 1));
            all += 1;
        }
        f64::from(hits) / f64::from(all)
    }
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn sums_hold_and_eviction_drains_all() {
    for weighted in [false, true] {
        let mut model = Model::new(500, weighted);
        let mut state = 5;
        for _ in 0..20_000 {
            let key = random(&mut state) % 900;
            model.access(key, if weighted { key % 7 + 1 } else { 1 });
            if let Some(slot) = model.table.remove(&(random(&mut state) % 9000)) {
                model.policy.remove(slot, model.nodes[slot as usize].weight);
                model.free.push(slot);
            }
        }
        let sum: u64 = model.table.values().map(|&slot| model.nodes[slot as usize].weight).sum();
        assert_eq!((model.policy.weight(), model.policy.len()), (sum, model.table.len()));
        for _ in 0..model.table.len() {
            model.evict();
        }
        assert_eq!(model.policy.evict(model.arm, &model.nodes), None);
    }
}

#[test]
fn one_entry_and_huge_weights_work() {
    let mut model = Model::new(1, false);
    for key in 0..100 {
        model.access(key, 1);
        assert_eq!(model.policy.len(), 1);
    }
    const HEAVY: u64 = 1 << 56;
    let mut model = Model::new(HEAVY, true);
    for key in 0..100 {
        model.access(key, HEAVY - key);
    }
}

#[test]
fn saturated_counters_do_not_stop_eviction() {
    let mut model = Model::new(1000, false);
    for key in 0..5000 {
        model.access(key, 1);
        for node in &model.nodes {
            node.uses.set(MAX_USES);
        }
    }
    assert_eq!(model.policy.len(), 1000);
}

#[test]
fn a_loop_over_twice_the_capacity_hits() {
    let ratio = Model::new(1000, false).hit_ratio((0..100_000).map(|i| i % 2000));
    assert!(ratio > 0.35, "{ratio}");
}

#[test]
fn scans_do_not_flush_the_hot_set() {
    let mut state = 9;
    let keys = (0..200_000u64).map(|i| match i % 2 {
        0 => 1 << 40 | i,
        _ => random(&mut state) % 800,
    });
    let ratio = Model::new(1000, false).hit_ratio(keys);
    assert!(ratio > 0.46, "{ratio}");
}

#[test]
fn one_entry_that_comes_back_at_once_does_not_end_a_loop() {
    let keys = (0..200_000u64).map(|i| i % 1000).chain([500]).chain((0..200_000).map(|i| i % 1000));
    for rule in [Rule::Duel, Rule::Ghost] {
        let ratio = Model::fixed(320, Arm::new(10, rule)).hit_ratio(keys.clone());
        assert!(ratio > 0.29, "{rule:?}: {ratio}");
    }
}

#[test]
fn new_keys_leave_main_alone() {
    let mut model = Model::fixed(1000, Arm::START);
    for key in (0..1000).cycle().take(3000) {
        model.access(key, 1);
    }
    let before = model.policy.queues.len(Queue::Main);
    (1 << 40..(1 << 40) + 5000).for_each(|key| assert!(!model.access(key, 1)));
    let left = (0..1000).filter(|key| model.table.contains_key(key)).count();
    assert!(left * 10 >= before * 9, "{left} of {before}");
}

#[test]
fn steering_changes_sides_with_the_workload() {
    let mut state = 7;
    let mut model = Model::new(1000, false);
    let mut hits = |keys: &mut dyn Iterator<Item = u64>| keys.filter(|&key| model.access(key, 1)).count();
    hits(&mut (0..100_000).map(|i| i % 4000));
    assert!(hits(&mut (0..40_000).map(|i| i % 4000)) > 9000, "a loop");
    let mut recent = (0..200_000u64).map(|i| (1 << 40) + i / 4 + random(&mut state) % 700);
    hits(&mut recent.by_ref().take(100_000));
    assert!(hits(&mut recent) > 70_000, "recency");
}

#[test]
fn the_same_calls_name_the_same_victims() {
    let run = || Model::new(300, false).hit_ratio((0..50_000u64).map(|i| i * i % 1013));
    assert_eq!(run(), run());
}

#[test]
fn steering_finds_a_recency_pattern() {
    // Each key is used a few times soon after its first use and never again.
    let mut state = 3;
    let keys = (0..300_000u64).map(|i| i / 4 + random(&mut state) % 700);
    let ratio = Model::new(1000, false).hit_ratio(keys);
    assert!(ratio > 0.7, "{ratio}");
}
