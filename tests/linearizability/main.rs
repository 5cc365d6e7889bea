//! Linearizability: whatever threads do to one cache, there is an order of their calls, true to time, in which each does what the contract
//! says. `spec.rs` is that contract as a small machine, `checker.rs` looks for the order.
//!
//! More of it: `HISTORIES=100000 SEED=7 cargo test --test linearizability -- --nocapture`.

#![allow(unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;

mod batches;
#[cfg(brindle_shuttle)]
mod broken;
mod checker;
#[cfg(not(brindle_shuttle))]
mod computer;
mod contents;
mod handmade;
mod history;
mod plans;
mod player;
mod recorder;
mod rules;
mod runs;
#[cfg(brindle_shuttle)]
mod schedules;
mod setups;
mod shrink;
mod spec;
mod state;
mod threads;
mod values;
mod waits;
