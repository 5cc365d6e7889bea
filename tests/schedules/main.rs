//! Schedules of the whole public face: small scenes of a few threads and tasks, each of which asserts a promise by means of its own (a
//! source of truth, sums, counted loaders, values that count themselves), played in thousands of schedules drawn at random. `play` says
//! how; `broken` takes mechanisms out of the cache and sees that the scenes notice.
//!
//! `RUSTFLAGS="--cfg brindle_shuttle" cargo test --release --features write-behind --test schedules`
#![cfg(brindle_shuttle)]

#[cfg(feature = "write-behind")]
mod behind;
mod bounded;
mod broken;
#[path = "../common/mod.rs"]
mod common;
mod ends;
mod expiry;
mod groups;
mod leases;
mod loads;
mod order;
mod play;
mod reads;
mod snapshots;
mod stage;
mod stale;
mod swaps;
mod tasks;
mod told;
mod transactions;
mod turns;
mod writes;
