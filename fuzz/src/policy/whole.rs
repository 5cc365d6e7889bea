//! A cache that is too small: nothing is lost or told of twice, nothing goes that need not, and what fits comes in.

use std::sync::{Arc, Mutex};

use arbitrary::Arbitrary;
use brindle::{Cache, Cause, Removed};

use crate::Hasher;
use crate::input::{Capacity, Script, Stripes, Weight};
use crate::tracked::{Ledger, Tracked};

#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Setup {
    capacity: Capacity,
    stripes: Stripes,
    weighted: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Call {
    Insert {
        key: u8,
        weight: Weight,
    },
    TryInsert {
        key: u8,
        weight: Weight,
    },
    Get(u8),
    /// Gets, and inserts what is missing.
    Loop {
        first: u16,
        length: u8,
        times: u8,
        weight: Weight,
    },
    /// Again and again, as a key that is wanted.
    Insist {
        key: u8,
        weight: Weight,
    },
    Several {
        keys: [u8; 4],
        weights: [Weight; 4],
    },
    Remove(u8),
    Retain {
        odd: bool,
    },
    Clear,
    SetCapacity(Capacity),
    Reclaim,
}

/// Steps of all loops, so that an input takes no longer than others.
const STEPS: u32 = 400;
/// After so many tries a key that is wanted has been in, where all entries weigh the same and every stripe can have two: a stripe that never has
/// more than the entry that just came may have to give up just that one each time.
const TRIES: u32 = 64;

struct Trial {
    setup: Setup,
    cache: Cache<u16, Tracked, Hasher>,
    ledger: Arc<Ledger>,
    told: Arc<Mutex<Vec<Notice>>>,
    /// Of each value its key and weight, as long as nobody was told that it left.
    present: Vec<Option<(u16, u64)>>,
    /// How many there are, and what they weigh.
    count: usize,
    weight: u64,
    /// How many there ever were at once.
    most: usize,
    empty: usize,
    steps: u32,
}

#[derive(Clone, Copy)]
struct Notice {
    key: u16,
    id: usize,
    cause: Cause,
}

pub fn run(Script { setup, calls }: Script<Setup, Call>) {
    let mut trial = Trial::new(setup);
    for call in calls {
        trial.step(call);
        trial.look_around();
    }
    trial.finish();
}

impl Trial {
    fn new(setup: Setup) -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let notices = Arc::clone(&told);
        let mut builder = Cache::builder().hasher(Hasher::default()).max_capacity(setup.capacity.0).stripes(setup.stripes.0);
        if setup.weighted {
            builder = builder.weigher(|_, value: &Tracked| value.weight);
        }
        let builder = builder.removal_listener(move |Removed { entry, cause, .. }| {
            notices.lock().unwrap().push(Notice { key: *entry.key(), id: entry.id(), cause });
        });
        let cache = builder.build().expect("these settings are sound");
        let empty = cache.memory_used();
        let (ledger, present) = Default::default();
        Self { setup, cache, ledger, told, present, count: 0, weight: 0, most: 0, empty, steps: 0 }
    }

    fn step(&mut self, call: Call) {
        match call {
            Call::Insert { key, weight } => self.insert(key.into(), weight.0),
            Call::TryInsert { key, weight } => self.try_insert(key.into(), weight.0),
            Call::Get(key) => _ = self.get(key.into()),
            Call::Loop { first, length, times, weight } => self.run_round(first, length, times, weight.0),
            Call::Insist { key, weight } => self.insist(key.into(), weight.0),
            Call::Several { keys, weights } => self.write_together(keys, weights),
            Call::Remove(key) => {
                let removed = self.cache.remove(&u16::from(key)).map(|value| value.id());
                let told = self.hear();
                assert_eq!(told.iter().map(|notice| notice.id).next(), removed, "removed, and another one told of");
            }
            Call::Retain { odd } => {
                self.cache.retain(|key, _| (key % 2 == 1) == odd);
                assert!(self.hear().iter().all(|notice| (notice.key % 2 == 1) != odd), "what was retained left");
            }
            Call::Clear => {
                self.cache.clear();
                self.hear();
                assert_eq!((self.count, self.weight), (0, 0), "cleared, and not empty");
            }
            Call::SetCapacity(Capacity(capacity)) => {
                self.cache.set_capacity(capacity);
                let told = self.hear();
                self.check_evicted(&told, 0, capacity);
            }
            Call::Reclaim => self.cache.reclaim(),
        }
    }

    fn weigh(&self, weight: u64) -> u64 {
        if self.setup.weighted { weight } else { 1 }
    }

    fn value(&mut self, key: u16, weight: u64) -> Tracked {
        let value = self.ledger.value(weight);
        assert_eq!(value.id(), self.present.len());
        let weight = self.weigh(weight);
        self.present.push(Some((key, weight)));
        (self.count, self.weight) = (self.count + 1, self.weight + weight);
        value
    }

    /// Whoever left since the last call: each of them was there, and is told of once.
    fn hear(&mut self) -> Vec<Notice> {
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        for notice in &told {
            self.leave(notice.id, notice.key);
        }
        self.most = self.most.max(self.count);
        assert_eq!((self.cache.len(), self.cache.weight()), (self.count, self.weight), "of inserted less told");
        assert!(self.weight <= self.cache.capacity(), "heavier than its capacity");
        told
    }

    fn leave(&mut self, id: usize, key: u16) -> u64 {
        let (of, weight) = self.present[id].take().unwrap_or_else(|| panic!("told of value {id} twice"));
        assert_eq!(of, key, "told of value {id} under a wrong name");
        (self.count, self.weight) = (self.count - 1, self.weight - weight);
        weight
    }

    fn insert(&mut self, key: u16, weight: u64) {
        let before = self.weight;
        let value = self.value(key, weight);
        let brought = self.weight - before;
        self.cache.insert(key, value);
        let told = self.hear();
        self.check_evicted(&told, before + brought, self.cache.capacity());
    }

    fn try_insert(&mut self, key: u16, weight: u64) {
        let value = self.value(key, weight);
        if let Err(refused) = self.cache.try_insert(key, value) {
            assert!(self.weigh(weight) > self.cache.capacity(), "not too heavy, and refused");
            self.leave(refused.value.id(), key);
        }
        self.hear();
    }

    /// Who is evicted weighs something, was in the way, and the last of them still was.
    fn check_evicted(&self, told: &[Notice], wanted: u64, capacity: u64) {
        let replaced: Vec<_> = told.iter().filter(|notice| notice.cause == Cause::Replaced).collect();
        assert!(replaced.len() <= 1, "one write replaced several");
        if told.iter().all(|notice| notice.cause != Cause::Evicted) {
            return;
        }
        assert!(wanted == 0 || wanted > capacity, "evicted, and there was room: {wanted} of {capacity}");
    }

    fn get(&mut self, key: u16) -> bool {
        let found = self.cache.get(&key).map(|value| value.id());
        let known = found.is_none_or(|id| self.present[id].is_some_and(|(of, _)| of == key));
        assert!(known, "value {found:?} of key {key} was served after it had left");
        found.is_some()
    }

    fn run_round(&mut self, first: u16, length: u8, times: u8, weight: u64) {
        for at in (0..=u16::from(times % 16)).flat_map(|_| 0..u16::from(length)) {
            if self.steps == STEPS {
                return;
            }
            self.steps += 1;
            let key = first.wrapping_add(at);
            if !self.get(key) {
                self.insert(key, weight);
            }
        }
    }

    fn insist(&mut self, key: u16, weight: u64) {
        let capacity = self.cache.capacity();
        let fits = self.weigh(weight) <= capacity;
        if self.count == 0 {
            self.insert(key, weight);
            assert_eq!(self.get(key), fits, "alone in the cache, and what fits is there and nothing else");
        }
        if fits && !self.setup.weighted && capacity >= 2 * self.setup.stripes.0 as u64 {
            let admitted = (0..TRIES).any(|_| {
                self.insert(key, weight);
                self.get(key)
            });
            assert!(admitted, "{TRIES} times wanted and never let in");
        }
    }

    fn write_together(&mut self, keys: [u8; 4], weights: [Weight; 4]) {
        let mut pairs: Vec<(u16, Tracked)> = Vec::new();
        for (key, weight) in keys.into_iter().zip(weights) {
            if pairs.iter().all(|pair| pair.0 != u16::from(key)) {
                let value = self.value(key.into(), weight.0);
                pairs.push((key.into(), value));
            }
        }
        let written = self.cache.transaction(|t| pairs.into_iter().for_each(|(key, value)| t.insert(key, value)));
        assert!(written.is_ok(), "nothing was asked for");
        self.hear();
    }

    /// All that was inserted and not told of is there, once.
    fn look_around(&self) {
        let mut seen = vec![false; self.present.len()];
        for entry in self.cache.iter() {
            assert_eq!(self.present[entry.id()].map(|(key, _)| key), Some(*entry.key()), "it was told of, and is there");
            assert!(!std::mem::replace(&mut seen[entry.id()], true), "twice in the cache");
        }
        assert_eq!(seen.iter().filter(|seen| **seen).count(), self.count, "lost without a word");
        let used = self.cache.memory_used() - self.empty.min(self.cache.memory_used());
        assert!(used <= most_memory(self.setup.stripes.0, self.most), "{used} bytes for {} entries", self.most);
    }

    fn finish(self) {
        self.cache.reclaim();
        let alive: Vec<usize> = (0..self.present.len()).filter(|&id| self.present[id].is_some()).collect();
        assert_eq!(self.ledger.alive(), alive, "reclaimed, and not dropped; or dropped too early");
        drop(self.cache);
        assert_eq!(self.ledger.alive(), [], "values were leaked");
    }
}

/// A stripe takes some room for its first entries and for what it has retired; then there is so much an entry.
fn most_memory(stripes: usize, entries: usize) -> usize {
    stripes * 64 * 1024 + entries * 512
}
