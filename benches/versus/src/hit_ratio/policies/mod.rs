//! Eviction policies, simulated as their papers tell them, and what the best of all could do. A new policy is a file here
//! and a line in [`ALL`].

use crate::hit_ratio::served::Served;
use crate::hit_ratio::trace::Key;
use crate::hit_ratio::trace::Trace;

mod arc;
mod belady;
mod climber;
mod fifo;
mod gdsf;
mod lirs;
mod lru;
mod pfoo;
mod queue;
mod s3_fifo;
mod sieve;
mod sketch;
mod w_tiny_lfu;

/// A cache's choice of what to keep. Time passes by requests.
pub trait Policy {
    /// Asks for a key, and offers it if it is not there. Whether it was.
    fn request(&mut self, key: Key) -> bool;
}

pub struct Simulated {
    pub name: &'static str,
    takes: Takes,
    pub play: fn(&Trace, u64) -> Served,
    pub is_optimum: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// Traces without sizes.
    Plain,
    Sized,
    All,
}

/// The name of the one that others are held to be no worse than.
pub const LRU: &str = "LRU";

pub const ALL: &[Simulated] = &[
    simulated(LRU, Takes::All, |trace, capacity| replay(trace, lru::Lru::new(trace, capacity))),
    simulated("FIFO", Takes::All, |trace, capacity| replay(trace, fifo::Fifo::new(trace, capacity))),
    simulated("SIEVE", Takes::All, |trace, capacity| replay(trace, sieve::Sieve::new(trace, capacity))),
    simulated("S3-FIFO", Takes::All, |trace, capacity| replay(trace, s3_fifo::S3Fifo::new(trace, capacity))),
    simulated("ARC", Takes::Plain, |trace, capacity| replay(trace, arc::Arc::new(trace, capacity))),
    simulated("LIRS", Takes::Plain, |trace, capacity| replay(trace, lirs::Lirs::new(trace, capacity))),
    simulated("W-TinyLFU", Takes::All, |trace, capacity| replay(trace, w_tiny_lfu::WTinyLfu::fixed(trace, capacity))),
    simulated("W-TinyLFU climbing", Takes::All, |trace, capacity| replay(trace, w_tiny_lfu::WTinyLfu::climbing(trace, capacity))),
    simulated("GDSF", Takes::Sized, |trace, capacity| replay(trace, gdsf::Gdsf::new(trace, capacity))),
    simulated("Belady-size", Takes::Sized, |trace, capacity| replay(trace, belady::Belady::new(trace, capacity))),
    optimum("optimum (Belady)", Takes::Plain, |trace, capacity| replay(trace, belady::Belady::new(trace, capacity))),
    optimum("above the optimum (PFOO)", Takes::Sized, pfoo::bound),
];

const fn simulated(name: &'static str, takes: Takes, play: fn(&Trace, u64) -> Served) -> Simulated {
    Simulated { name, takes, play, is_optimum: false }
}

const fn optimum(name: &'static str, takes: Takes, play: fn(&Trace, u64) -> Served) -> Simulated {
    Simulated { name, takes, play, is_optimum: true }
}

impl Simulated {
    pub fn takes(&self, trace: &Trace) -> bool {
        match self.takes {
            Takes::All => true,
            Takes::Plain => !trace.is_sized(),
            Takes::Sized => trace.is_sized(),
        }
    }
}

fn replay(trace: &Trace, mut policy: impl Policy) -> Served {
    let mut served = Served::default();
    for &key in &trace.requests {
        served.count(trace.weights().of(key), policy.request(key));
    }
    served
}

#[cfg(test)]
mod tests;
