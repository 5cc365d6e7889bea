//! Models for loom: small scenes of the real code, played in every schedule that preempts at most a few times, with every value that a
//! weak load may yield. `RUSTFLAGS="--cfg brindle_loom" cargo test --release --lib models`
//!
//! Each promises no more than it asserts, and loom adds: no data race, no deadlock, no thread that is never woken. `mechanisms` tells
//! which model misses what.

mod growth;
mod loads;
mod mechanisms;
mod order;
mod pins;
mod reads;
mod reclaim;
mod swaps;
mod take_over;
mod tasks;
mod times;
mod told;
mod transactions;
mod trial;
mod turns;
mod wakes;
mod walks;
mod watched;
