//! Linearizability: whatever threads do to one cache, there is an order of their calls, true to time, in which each does what the contract
//! says. `spec.rs` is that contract as a small machine, `checker.rs` looks for the order.
//!
//! More of it: `HISTORIES=100000 SEED=7 cargo test --test linearizability histories -- --nocapture`; the same seed gives the same plans, and
//! with `RUSTFLAGS="--cfg brindle_shuttle"` (and `--release`) the same schedules too: what fails fails again.

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
#[path = "../harness/mod.rs"]
mod harness;
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
mod tale;
mod threads;
mod values;
mod waits;
