//! A run of requests, held so that it replays fast: keys are numbered in the order in which they first appear.

use std::collections::HashMap;

use ahash::RandomState;

/// The number of a key: its place in [`Trace::keys`].
pub type Key = u32;

pub struct Trace {
    pub name: String,
    pub requests: Vec<Key>,
    /// The keys themselves, as caches are asked for them.
    pub keys: Vec<u64>,
    /// What each key weighs, if they weigh different amounts.
    weights: Option<Vec<u32>>,
    total_weight: u64,
}

impl Trace {
    pub fn new(name: impl Into<String>, keys: impl IntoIterator<Item = u64>) -> Self {
        let mut trace = Self::numbered(name.into(), keys.into_iter().map(|key| (key, 1)));
        trace.weights = None;
        trace
    }

    /// Pairs of key and size. A key keeps the size that it has first, so that all who play the trace carry the same load.
    pub fn sized(name: impl Into<String>, pairs: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let weight = |size: u64| u32::try_from(size.max(1)).unwrap_or(u32::MAX);
        Self::numbered(name.into(), pairs.into_iter().map(|(key, size)| (key, weight(size))))
    }

    fn numbered(name: String, pairs: impl Iterator<Item = (u64, u32)>) -> Self {
        let mut numbers: HashMap<u64, Key, RandomState> = HashMap::default();
        let (mut requests, mut keys, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for (key, weight) in pairs {
            let number = *numbers.entry(key).or_insert_with(|| {
                keys.push(key);
                weights.push(weight);
                Key::try_from(keys.len() - 1).expect("fewer than four billion keys")
            });
            requests.push(number);
        }
        let total_weight = weights.iter().copied().map(u64::from).sum();
        Self { name, requests, keys, weights: Some(weights), total_weight }
    }

    pub fn is_sized(&self) -> bool {
        self.weights.is_some()
    }

    pub fn weights(&self) -> Weights<'_> {
        Weights { weights: self.weights.as_deref(), keys: self.keys.len() }
    }

    /// That many percent of the distinct keys, or of their weight.
    pub fn share(&self, percent: f64) -> u64 {
        ((self.total_weight as f64 * percent / 100.0).round() as u64).max(1)
    }

    /// How many keys of mean weight fill a cache of this capacity, of those that there are.
    pub fn entries(&self, capacity: u64) -> u64 {
        let entries = u128::from(capacity) * self.keys.len() as u128 / u128::from(self.total_weight.max(1));
        (entries as u64).clamp(1, self.keys.len().max(1) as u64)
    }
}

/// What keys weigh: one each, unless the trace has sizes.
#[derive(Clone, Copy)]
pub struct Weights<'a> {
    weights: Option<&'a [u32]>,
    keys: usize,
}

impl Weights<'_> {
    pub fn of(&self, key: Key) -> u64 {
        self.weights.map_or(1, |weights| u64::from(weights[key as usize]))
    }

    /// The number of distinct keys.
    pub fn keys(&self) -> usize {
        self.keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_numbered_as_they_appear() {
        let trace = Trace::new("t", [70, 9, 70, 70, 3]);
        assert_eq!(trace.requests, [0, 1, 0, 0, 2]);
        assert_eq!(trace.keys, [70, 9, 3]);
        assert!(!trace.is_sized());
        assert_eq!(trace.share(34.0), 1);
        assert_eq!(trace.share(0.0), 1);
    }

    #[test]
    fn a_key_keeps_its_first_size_and_none_is_weightless() {
        let trace = Trace::sized("t", [(1, 10), (2, 0), (1, 99), (3, u64::MAX)]);
        let weights = trace.weights();
        assert_eq!([0, 1, 2].map(|key| weights.of(key)), [10, 1, u64::from(u32::MAX)]);
        assert_eq!(trace.share(100.0), 11 + u64::from(u32::MAX));
    }

    #[test]
    fn entries_are_counted_at_mean_weight() {
        let trace = Trace::sized("t", [(1, 10), (2, 30)]);
        assert_eq!(trace.entries(40), 2);
        assert_eq!(trace.entries(25), 1);
        assert_eq!(trace.entries(u64::MAX), 2);
    }
}
