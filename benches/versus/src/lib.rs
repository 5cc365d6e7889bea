//! Brindle against its peers: every contender runs the same operations in the same round, and what counts is the
//! median of the rounds' ratios. See `versus --help`.

pub mod args;
pub mod contenders;
pub mod counting;
pub mod hit_ratio;
pub mod latency;
pub mod memory;
pub mod record;
pub mod report;
pub mod rounds;
pub mod rows;
pub mod spread;

#[path = "../../workload/mod.rs"]
pub mod workload;
