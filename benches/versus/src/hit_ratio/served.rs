//! What a cache has answered of a trace.

use std::iter::Sum;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    pub requests: u64,
    pub hits: u64,
    /// The weight of what was asked for, and of what was there.
    pub weight: u64,
    pub weight_hit: u64,
}

impl Served {
    pub fn count(&mut self, weight: u64, hit: bool) {
        self.requests += 1;
        self.weight += weight;
        if hit {
            self.hits += 1;
            self.weight_hit += weight;
        }
    }

    /// Hits, in percent of the requests.
    pub fn percent(&self) -> f64 {
        100.0 * self.hits as f64 / self.requests.max(1) as f64
    }

    /// The weight that was there, in percent of the weight asked for.
    pub fn weight_percent(&self) -> f64 {
        100.0 * self.weight_hit as f64 / self.weight.max(1) as f64
    }
}

impl Sum for Served {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| Self {
            requests: sum.requests + part.requests,
            hits: sum.hits + part.hits,
            weight: sum.weight + part.weight,
            weight_hit: sum.weight_hit + part.weight_hit,
        })
    }
}
