//! Traces made here: each of one class of workload, the same on every run. Keys are spread over all of `u64`.

use crate::hit_ratio::trace::Trace;
use crate::workload::Draw;
use crate::workload::Keys;

mod recency;

/// How long a trace is, and of how many keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub requests: usize,
    pub keys: u64,
}

impl Extent {
    pub const QUICK: Self = Self { requests: 50_000, keys: 5_000 };
    pub const DEFAULT: Self = Self { requests: 1_000_000, keys: 100_000 };
    pub const FULL: Self = Self { requests: 5_000_000, keys: 500_000 };
}

pub struct Generator {
    pub name: &'static str,
    requests: fn(Extent) -> Vec<u64>,
    size: Option<fn(u64) -> u64>,
}

pub const ALL: &[Generator] = &[
    plain("zipf-0.7", |extent| zipf(extent, 0.7)),
    plain("zipf-0.9", |extent| zipf(extent, 0.9)),
    plain("zipf-1.0", |extent| zipf(extent, 1.0)),
    plain("zipf-1.2", |extent| zipf(extent, 1.2)),
    plain("zipf-drift", drift),
    plain("one-loop", |extent| sweep(extent.keys, extent.requests)),
    plain("loops", loops),
    plain("scans-over-hot", scans_over_hot),
    plain("one-hit-wonders", one_hit_wonders),
    plain("recency", |extent| recency::requests(extent.requests, extent.keys)),
    plain("phases", phases),
    sized("sized-zipf", |extent| zipf(extent, 0.9), heavy_tailed),
    sized("sized-drift", drift, heavy_tailed),
    sized("sized-wonders", one_hit_wonders, small_or_large),
];

const fn plain(name: &'static str, requests: fn(Extent) -> Vec<u64>) -> Generator {
    Generator { name, requests, size: None }
}

const fn sized(name: &'static str, requests: fn(Extent) -> Vec<u64>, size: fn(u64) -> u64) -> Generator {
    Generator { name, requests, size: Some(size) }
}

impl Generator {
    pub fn trace(&self, extent: Extent) -> Trace {
        let keys = (self.requests)(extent).into_iter().map(spread);
        match self.size {
            None => Trace::new(self.name, keys),
            Some(size) => Trace::sized(self.name, keys.map(|key| (key, size(key)))),
        }
    }
}

/// One to one, and each bit of the number moves half of the key's: the finalizer of SplitMix64.
fn spread(number: u64) -> u64 {
    let z = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number that no other part of the trace uses.
fn apart(part: u64, number: u64) -> u64 {
    (part << 40) + number
}

/// A steady skew.
fn zipf(extent: Extent, s: f64) -> Vec<u64> {
    Keys::new(Draw::Zipf { n: extent.keys, s }).batch(extent.requests)
}

/// New keys come in at the top and sink: every fifty requests each key's rank falls by one.
fn drift(extent: Extent) -> Vec<u64> {
    let ranks = zipf(extent, 0.9).into_iter().enumerate();
    ranks.map(|(at, rank)| (rank + extent.keys - (at / 50) as u64 % extent.keys) % extent.keys).collect()
}

/// One after the other, again and again.
fn sweep(keys: u64, requests: usize) -> Vec<u64> {
    (0..keys).cycle().take(requests).collect()
}

/// Sweeps over a fiftieth, a fifth and all of the keys take turns, each going on where it was interrupted.
fn loops(extent: Extent) -> Vec<u64> {
    let mut turns = Keys::new(Draw::Uniform(3));
    let mut sweeps = [50, 5, 1].map(|part| (0..(extent.keys / part).max(1)).cycle());
    let mut requests = Vec::with_capacity(extent.requests);
    while requests.len() < extent.requests {
        let turn = turns.below(3);
        let length = turns.below(extent.keys / 10) as usize + 1;
        requests.extend(sweeps[turn as usize].by_ref().take(length).map(|number| apart(turn, number)));
    }
    requests.truncate(extent.requests);
    requests
}

/// A tenth of the keys are hot; now and then come as many that are asked for this one time.
fn scans_over_hot(extent: Extent) -> Vec<u64> {
    let hot = extent.keys / 10;
    let mut keys = Keys::new(Draw::Zipf { n: hot, s: 0.9 });
    let mut fresh = Keys::new(Draw::Fresh(apart(1, 0)));
    let mut requests = Vec::with_capacity(extent.requests);
    while requests.len() < extent.requests {
        requests.extend(keys.batch(2 * hot as usize));
        requests.extend(fresh.batch(hot as usize));
    }
    requests.truncate(extent.requests);
    requests
}

/// Every other request, by chance, is for a key that never comes again.
fn one_hit_wonders(extent: Extent) -> Vec<u64> {
    let mut keys = Keys::new(Draw::Zipf { n: extent.keys / 4, s: 0.9 });
    let mut fresh = (0..).map(|number| apart(1, number));
    let again = keys.batch(extent.requests);
    again.into_iter().map(|key| if keys.below(2) == 0 { key } else { fresh.next().expect("endless") }).collect()
}

/// A loop, a skew and recency, twice, the second time with other keys.
fn phases(extent: Extent) -> Vec<u64> {
    let part = Extent { requests: extent.requests / 6, keys: extent.keys / 4 };
    let phase = |number: u64| match number % 3 {
        0 => sweep(part.keys, part.requests),
        1 => zipf(part, 0.9),
        _ => recency::requests(part.requests, part.keys),
    };
    (0..6).flat_map(|number| phase(number).into_iter().map(move |key| apart(number, key))).collect()
}

/// Pareto, with an exponent of 1.2: from a hundred bytes up to ten million, whatever the popularity.
fn heavy_tailed(key: u64) -> u64 {
    (100.0 * unit(key).powf(-1.0 / 1.2)).min(1e7) as u64
}

/// One in ten is a hundred times as large as the others.
fn small_or_large(key: u64) -> u64 {
    if unit(key) < 0.1 { 100_000 } else { 1_000 }
}

/// Above zero and up to one, from the key alone.
fn unit(key: u64) -> f64 {
    ((spread(!key) >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Extent = Extent { requests: 20_000, keys: 2_000 };

    #[test]
    fn traces_are_as_long_as_asked_for_and_the_same_each_time() {
        for generator in ALL {
            let (trace, again) = (generator.trace(SMALL), generator.trace(SMALL));
            assert!((19_990..=20_000).contains(&trace.requests.len()), "{}", trace.name);
            assert!(trace.requests == again.requests && trace.keys == again.keys, "{}", trace.name);
            assert_eq!(trace.is_sized(), trace.name.starts_with("sized"), "{}", trace.name);
        }
    }

    #[test]
    fn a_drifting_key_sinks() {
        // Once rank 0 is drawn at the start and at the end, it is another key.
        let requests = drift(SMALL);
        let commonest = |part: &[u64]| {
            let mut counts = vec![0; SMALL.keys as usize];
            part.iter().for_each(|&key| counts[key as usize] += 1);
            (0..counts.len()).max_by_key(|&key| counts[key])
        };
        assert_ne!(commonest(&requests[..1_000]), commonest(&requests[19_000..]));
    }

    #[test]
    fn half_are_one_hit_wonders() {
        let fresh = one_hit_wonders(SMALL).iter().filter(|&&key| key >= apart(1, 0)).count();
        assert!((9_500..10_500).contains(&fresh), "{fresh}");
    }
}
