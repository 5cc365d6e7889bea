//! Small caches that replay a sample of the real one's accesses, one for each arm (Waldspurger et
//! al., "Cache Modeling and Optimization using Miniature Simulations", ATC 2017).
//!
//! They share one table of keys: an entry knows in a bit mask which of them hold it, and keeps a use
//! counter for each in one byte of a word.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::hash::Hasher;

use super::Arm;
use super::Entries;
use super::MAX_USES;
use super::Policy;
use super::Slot;

/// One for each bit of `Node::held` and each byte of `Node::uses`.
pub(super) const LANES: usize = 8;

const EACH_LANE: u64 = 0x0101_0101_0101_0101;

#[derive(Default)]
struct Node {
    hash: u32,
    held: u8,
    weight: u64,
    uses: Cell<u64>,
}

/// The nodes as one of the caches sees them.
struct Lane<'a> {
    nodes: &'a [Node],
    shift: u32,
}

impl Entries for Lane<'_> {
    fn uses(&self, slot: Slot) -> u8 {
        (self.nodes[slot as usize].uses.get() >> self.shift) as u8
    }

    fn set_uses(&self, slot: Slot, uses: u8) {
        let cell = &self.nodes[slot as usize].uses;
        cell.set(cell.get() & !(0xff << self.shift) | u64::from(uses) << self.shift);
    }

    fn hash(&self, slot: Slot) -> u32 {
        mix(self.nodes[slot as usize].hash)
    }

    fn weight(&self, slot: Slot) -> u64 {
        self.nodes[slot as usize].weight
    }
}

pub(super) struct Miniatures {
    arms: [Arm; LANES],
    caches: [Policy; LANES],
    nodes: Vec<Node>,
    free: Vec<Slot>,
    table: HashMap<u32, Slot, BuildHasherDefault<Spread>>,
    capacity: u64,
}

impl Miniatures {
    pub(super) fn new(arms: [Arm; LANES], capacity: u64, weighted: bool, seed: u64) -> Self {
        Miniatures {
            arms,
            caches: std::array::from_fn(|lane| Policy::new(weighted, seed.wrapping_add(lane as u64))),
            nodes: Vec::new(),
            free: Vec::new(),
            table: HashMap::default(),
            capacity,
        }
    }

    /// Bytes allocated, but for the table's spare room.
    pub(super) fn memory(&self) -> usize {
        let caches: usize = self.caches.iter().map(Policy::memory).sum();
        let table = self.table.capacity() * (size_of::<(u32, Slot)>() + 1);
        caches + table + self.nodes.capacity() * size_of::<Node>() + self.free.capacity() * size_of::<Slot>()
    }

    pub(super) fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
    }

    /// The caches that had the key, as bits.
    pub(super) fn access(&mut self, hash: u32, weight: u64) -> u8 {
        let slot = match self.table.get(&hash) {
            Some(&slot) => slot,
            None => self.insert(hash, weight),
        };
        let node = &mut self.nodes[slot as usize];
        let (held, weight) = (node.held, node.weight);
        bump(&node.uses);
        for lane in 0..LANES {
            if held >> lane & 1 == 0 {
                self.admit(lane, slot, weight);
            }
        }
        self.release(slot);
        held
    }

    /// Forgets the keys that are no longer sampled.
    pub(super) fn retain(&mut self, sampled: impl Fn(u32) -> bool) {
        for slot in 0..self.nodes.len() as Slot {
            let node = &mut self.nodes[slot as usize];
            if node.held == 0 || sampled(node.hash) {
                continue;
            }
            let held = std::mem::take(&mut node.held);
            for lane in (0..LANES).filter(|lane| held >> lane & 1 == 1) {
                self.caches[lane].remove(slot, node.weight);
            }
            self.release(slot);
        }
    }

    /// Mean number of entries of a cache.
    pub(super) fn entries(&self) -> usize {
        self.caches.iter().map(Policy::len).sum::<usize>() / LANES
    }

    fn insert(&mut self, hash: u32, weight: u64) -> Slot {
        let node = Node { hash, held: 0, weight, uses: Cell::new(0) };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.nodes[slot as usize] = node;
                slot
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as Slot - 1
            }
        };
        self.table.insert(hash, slot);
        slot
    }

    fn admit(&mut self, lane: usize, slot: Slot, weight: u64) {
        let cache = &mut self.caches[lane];
        let node = &mut self.nodes[slot as usize];
        node.held |= 1 << lane;
        let view = Lane { nodes: &self.nodes, shift: 8 * lane as u32 };
        view.set_uses(slot, 0);
        cache.admit(slot, mix(self.nodes[slot as usize].hash), weight);
        while self.caches[lane].weight() > self.capacity {
            let view = Lane { nodes: &self.nodes, shift: 8 * lane as u32 };
            let Some(victim) = self.caches[lane].evict(self.arms[lane], &view) else { break };
            self.nodes[victim as usize].held &= !(1 << lane);
            if victim != slot {
                self.release(victim);
            }
        }
    }

    /// Forgets a key that no cache holds.
    fn release(&mut self, slot: Slot) {
        let node = &self.nodes[slot as usize];
        if node.held == 0 {
            self.table.remove(&node.hash);
            self.free.push(slot);
        }
    }
}

/// Adds one use in every lane and stops each at [`MAX_USES`].
fn bump(uses: &Cell<u64>) {
    let sum = uses.get() + EACH_LANE;
    let top = u64::from(MAX_USES) + 1;
    let over = sum & (EACH_LANE * top);
    uses.set(sum - over / top);
}

/// Spreads a hash of 32 bits over 64 for the standard map.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0 << 8 | u64::from(byte);
        }
    }

    fn write_u32(&mut self, hash: u32) {
        self.0 = u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Sampled hashes agree in their low bits; this spreads the others over all 32, one to one
/// (the finalizer of MurmurHash3).
fn mix(hash: u32) -> u32 {
    let hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    let hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}
