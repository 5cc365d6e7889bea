//! Chooses the arm that the real cache runs, by what miniature caches made of the same accesses.

use super::Arm;
use super::arm::Rule;
use super::miniatures::LANES;
use super::miniatures::Miniatures;

/// Entries that a miniature should hold.
const MINIATURE: u64 = 128;
/// At most 1 key in 2^14 is sampled: enough hash bits must stay to tell sampled keys apart.
const MAX_SHIFT: u32 = 14;
/// Samples between decisions, at least.
const PERIOD: u32 = 1000;

const ARMS: [Arm; LANES] = [
    Arm::START,
    Arm::new(10, Rule::StrictDuel),
    Arm::new(10, Rule::Duel),
    Arm::new(400, Rule::StrictDuel),
    Arm::new(800, Rule::Duel),
    Arm::new(10, Rule::Ghost),
    Arm::new(100, Rule::Ghost),
    Arm::new(400, Rule::Ghost),
];

/// Which keys the miniatures see.
#[derive(Clone, Copy)]
pub(crate) struct Sampler {
    mask: u32,
}

impl Sampler {
    /// The sampler as a number, to be kept in an atomic.
    pub(crate) fn pack(self) -> u32 {
        self.mask
    }

    #[inline(always)]
    pub(crate) fn unpack(mask: u32) -> Self {
        Sampler { mask }
    }

    #[inline]
    pub(crate) fn takes(self, hash: u32) -> bool {
        hash & self.mask == 0
    }
}

pub(crate) struct Steering {
    miniatures: Miniatures,
    sampler: Sampler,
    scores: [f32; LANES],
    chosen: usize,
    samples: u32,
    capacity: u64,
    weighted: bool,
}

impl Steering {
    pub(crate) fn new(capacity: u64, weighted: bool, seed: u64) -> Self {
        let shift = if weighted { 0 } else { shift_for(capacity) };
        Steering {
            miniatures: Miniatures::new(ARMS, capacity >> shift, weighted, seed),
            sampler: Sampler { mask: (1 << shift) - 1 },
            scores: [0.0; LANES],
            chosen: 0,
            samples: 0,
            capacity,
            weighted,
        }
    }

    pub(crate) fn sampler(&self) -> Sampler {
        self.sampler
    }

    /// Bytes allocated.
    pub(crate) fn memory(&self) -> usize {
        self.miniatures.memory()
    }

    pub(crate) fn record(&mut self, hash: u32, weight: u64) {
        self.samples += 1;
        self.miniatures.access(hash, weight);
        if self.weighted && self.miniatures.entries() as u64 > 2 * MINIATURE {
            self.thin();
        }
    }

    pub(crate) fn decide(&mut self) -> Option<Arm> {
        let period = PERIOD.max(4 * self.miniatures.entries() as u32);
        if self.samples < period {
            return None;
        }
        self.samples = 0;
        let hits = self.miniatures.take_hits();
        for (score, hits) in self.scores.iter_mut().zip(hits) {
            *score = *score / 2.0 + hits as f32;
        }
        let best = (0..LANES).max_by(|&a, &b| self.scores[a].total_cmp(&self.scores[b]))?;
        let lead = self.scores[best] - self.scores[self.chosen];
        if lead <= self.scores[best].sqrt() / 2.0 {
            return None;
        }
        self.chosen = best;
        Some(ARMS[best])
    }

    /// Samples half as many keys: how many entries fit is not known before they have been seen.
    fn thin(&mut self) {
        let shift = self.sampler.mask.count_ones();
        if shift < MAX_SHIFT {
            self.sample(shift + 1);
        }
    }

    /// Samples 1 key in 2^shift from now on.
    fn sample(&mut self, shift: u32) {
        let sampler = Sampler { mask: (1 << shift) - 1 };
        self.sampler = sampler;
        self.miniatures.set_capacity(self.capacity >> shift);
        self.miniatures.retain(|hash| sampler.takes(hash));
    }

    pub(crate) fn resize(&mut self, capacity: u64, entries: u64) {
        self.capacity = capacity;
        self.sample(shift_for(if self.weighted { entries } else { capacity }));
    }
}

fn shift_for(entries: u64) -> u32 {
    (entries / MINIATURE).max(1).ilog2().min(MAX_SHIFT)
}
