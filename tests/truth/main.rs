//! A source of truth and a cache that is told of it late, twice, in any order or never: whatever has been said of a key's state, no read
//! that begins later yields a value that the source had before it.
//!
//! Logical threads move a step at a time, in an order drawn from a seed, with every choice of the builder and the kinds of steps drawn too:
//! leases in the hand, futures polled by hand, transactions, a clock that is set. `judge.rs` knows what was said; `world.rs` has the cache
//! and does the steps. What fails is shrunk to the steps that it needs. For more: `SEEDS=1000000 FIRST=7 cargo test --release --test truth -- --nocapture`.

#![allow(unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;

mod changes;
mod choices;
mod judge;
mod source;
mod steps;
mod tasks;
mod under_way;
mod world;

use std::env;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use common::Rng;
use common::watched;
use steps::Step;
use world::World;

/// Steps of one run.
const LENGTH: usize = 120;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// What is wrong with these steps, if anything.
fn wrong(seed: u64, steps: &[Step]) -> Option<String> {
    let run = || World::new(seed).run(steps);
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("it panics".to_string())).err()
}

/// The steps that are needed for something to be wrong.
fn shrink(seed: u64, mut steps: Vec<Step>) -> Vec<Step> {
    let mut length = steps.len();
    while length > 0 {
        let mut at = 0;
        while at < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + length).min(steps.len()));
            if wrong(seed, &fewer).is_some() { steps = fewer } else { at += length }
        }
        length /= 2;
    }
    steps
}

#[test]
fn nothing_old_is_read_after_its_successor_was_told_of() {
    watched(|| {
        let first = number("FIRST").unwrap_or(1);
        for seed in first..first + number("SEEDS").unwrap_or(1_500) {
            let mut rng = Rng::new(seed);
            let kinds = steps::some(&mut rng);
            let steps: Vec<Step> = (0..LENGTH).map(|_| Step::draw(&mut rng, &kinds)).collect();
            if wrong(seed, &steps).is_some() {
                let steps = shrink(seed, steps);
                let why = wrong(seed, &steps).expect("it still fails");
                let steps: String = steps.iter().map(|step| format!("{step:?}\n")).collect();
                panic!("seed {seed}: {why}\n{:?}\n{steps}", choices::Choices::draw(seed));
            }
        }
    });
}
