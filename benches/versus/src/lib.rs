//! Brindle against its peers: every contender runs the same operations in the same round, and what counts is the
//! median of the rounds' ratios. See `versus --help`.

pub mod args;
pub mod behind;
pub mod child;
pub mod contenders;
pub mod counting;
pub mod effort;
pub mod hit_ratio;
pub mod idle;
pub mod latency;
pub mod lifetime;
pub mod machine;
pub mod memory;
pub mod output;
pub mod own_time;
pub mod pin;
pub mod plot;
pub mod plots;
pub mod progress;
pub mod record;
pub mod report;
pub mod rounds;
pub mod rows;
pub mod spread;

#[path = "../../workload/mod.rs"]
pub mod workload;
