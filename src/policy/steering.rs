//! Chooses the arm that the real cache runs, by what miniature caches made of the same accesses.
//!
//! All see the same requests, so only those count on which an arm and the chosen one differ: had they been equally good, each would
//! have won half of them, give or take the root of their number (McNemar's test for paired samples). That tells arms apart after a few
//! hundred differences, where comparing their hit ratios would take many times more.

use super::Arm;
use super::arm::Rule;
use super::miniatures::LANES;
use super::miniatures::Miniatures;

/// A miniature should hold one entry for so many of the cache's, within bounds: the larger it is, the sooner it tells.
const SHARE: u64 = 128;
const FEWEST: u64 = 128;
const MOST: u64 = 1024;
/// At most 1 key in 2^14 is sampled: enough hash bits must stay to tell sampled keys apart.
const MAX_SHIFT: u32 = 14;
/// Samples between decisions, at least.
const PERIOD: u32 = 250;
/// What still counts of the differences after a decision.
const MEMORY: f32 = 0.875;
/// Standard deviations of chance by which another arm must lead. A switch to one that is as good costs next to nothing.
const SIGNIFICANT: f32 = 1.0;

/// Frequency, with a larger window the more recent keys matter, up to a clock of all entries; and quick demotion, where what comes back
/// is what counts: in loops and scans with the smallest window, beside recency with a larger one.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lead_must_be_more_than_chance() {
        assert!(!Rival { won: 0.0, lost: 0.0 }.is_better());
        assert!(!Rival { won: 1050.0, lost: 1010.0 }.is_better());
        assert!(Rival { won: 60.0, lost: 40.0 }.is_better());
    }

    #[test]
    fn the_new_choice_is_what_the_others_are_measured_by() {
        let mut steering = Steering::new(1000, false, 1);
        steering.rivals[2] = Rival { won: 50.0, lost: 10.0 };
        steering.rivals[3] = Rival { won: 30.0, lost: 10.0 };
        steering.choose(2);
        assert_eq!(steering.rivals[2].lead(), 0.0);
        assert_eq!(steering.rivals[3].lead(), 20.0 - 40.0);
        assert_eq!(steering.rivals[0].lead(), -40.0, "the arm before");
    }

    #[test]
    fn miniatures_grow_with_the_cache() {
        let size = |entries: u64| entries >> shift_for(entries);
        assert_eq!((size(100), size(20_000)), (100, 156));
        assert!((1024..2048).contains(&size(1 << 20)));
    }
}
