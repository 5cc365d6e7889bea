//! Eviction: what must be true of a cache that is too small, and of each part of the policy by itself.

mod ghosts;
mod queues;
mod sketch;
mod stripe;
mod whole;

use arbitrary::Arbitrary;

use crate::input::Script;

/// The crate's own, of which its users see nothing.
#[allow(dead_code, unused_imports, reason = "the crate uses all of it, but not through what is used here")]
#[path = "../../../src/policy/mod.rs"]
mod room;

#[derive(Arbitrary, Debug)]
pub enum Input {
    Whole(Script<whole::Setup, whole::Call>),
    Stripe(Script<stripe::Setup, stripe::Call>),
    Queues(Script<(), queues::Call>),
    Ghosts(Script<u8, ghosts::Call>),
    Sketch(Script<u8, sketch::Call>),
}

pub fn run(input: Input) {
    match input {
        Input::Whole(script) => whole::run(script),
        Input::Stripe(script) => stripe::run(script),
        Input::Queues(script) => queues::run(script),
        Input::Ghosts(script) => ghosts::run(script),
        Input::Sketch(script) => sketch::run(script),
    }
}

/// Spreads the number of a key over 32 bits.
fn spread(key: u16) -> u32 {
    let bits = u32::from(key).wrapping_add(1).wrapping_mul(0x9e37_79b1);
    (bits ^ bits >> 15).wrapping_mul(0x85eb_ca6b)
}
