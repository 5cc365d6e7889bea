//! Chooses the arm that the real cache runs, by what miniature caches made of the same accesses.

use super::Arm;
use super::arm::Rule;
use super::miniatures::LANES;
use super::miniatures::Miniatures;

/// Entries that a miniature should hold: this share of the cache's, within these bounds.
const SHARE: u64 = 128;
const FEWEST: u64 = 128;
const MOST: u64 = 1024;
/// At most 1 key in 2^14 is sampled: enough hash bits must stay to tell sampled keys apart.
const MAX_SHIFT: u32 = 14;
/// Samples between decisions, at least.
const PERIOD: u32 = 250;
/// What is left of a score after a decision.
const MEMORY: f32 = 0.875;
/// Standard deviations of chance by which another arm must lead.
const SIGNIFICANT: f32 = 1.0;

const ARMS: [Arm; LANES] = [
    Arm::START,
    Arm::new(10, Rule::Duel),
    Arm::new(400, Rule::Duel),
    Arm::new(1024, Rule::Duel),
    Arm::new(10, Rule::Ghost),
    Arm::new(10, Rule::DeepGhost),
    Arm::new(100, Rule::DeepGhost),
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

/// How an arm did beside the chosen one, on the requests in which they differed: the old ones count less.
#[derive(Clone, Copy, Default)]
struct Rival {
    won: f32,
    lost: f32,
}

impl Rival {
    fn lead(self) -> f32 {
        self.won - self.lost
    }

    /// Would chance alone seldom lead so far?
    fn is_better(self) -> bool {
        self.lead() > SIGNIFICANT * (self.won + self.lost).sqrt()
    }
}

pub(crate) struct Steering {
    miniatures: Miniatures,
    sampler: Sampler,
    rivals: [Rival; LANES],
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
            rivals: [Rival::default(); LANES],
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
        let hits = self.miniatures.access(hash, weight);
        self.compare(hits);
        if self.weighted && self.miniatures.entries() as u64 > 2 * FEWEST {
            self.thin();
        }
    }

    /// Counts a request that some of the caches had.
    fn compare(&mut self, hits: u8) {
        if hits == 0 || hits == u8::MAX {
            return;
        }
        let ours = hits >> self.chosen & 1;
        for (lane, rival) in self.rivals.iter_mut().enumerate() {
            let theirs = hits >> lane & 1;
            rival.won += f32::from(theirs & !ours);
            rival.lost += f32::from(ours & !theirs);
        }
    }

    pub(crate) fn decide(&mut self) -> Option<Arm> {
        let period = PERIOD.max(self.miniatures.entries() as u32);
        if self.samples < period {
            return None;
        }
        self.samples = 0;
        let best = (0..LANES).max_by(|&a, &b| self.rivals[a].lead().total_cmp(&self.rivals[b].lead()))?;
        let change = self.rivals[best].is_better();
        if change {
            self.choose(best);
        }
        for rival in &mut self.rivals {
            rival.won *= MEMORY;
            rival.lost *= MEMORY;
        }
        change.then_some(ARMS[best])
    }

    /// The rivals are compared with another one from now on.
    fn choose(&mut self, best: usize) {
        let Rival { won, lost } = self.rivals[best];
        for rival in &mut self.rivals {
            // At least as much as they can have differed from that one.
            *rival = Rival { won: rival.won + lost, lost: rival.lost + won };
        }
        self.rivals[best] = Rival::default();
        self.chosen = best;
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
    let miniature = (entries / SHARE).clamp(FEWEST, MOST);
    (entries / miniature).max(1).ilog2().min(MAX_SHIFT)
}
