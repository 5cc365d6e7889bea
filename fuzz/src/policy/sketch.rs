//! The frequency sketch: it never takes a key for rarer than it is, until counters are halved, and for no more than a counter holds.

use std::collections::HashMap;

use arbitrary::Arbitrary;

use self::room::Sketch;
use super::spread;
use crate::input::Script;

#[allow(clippy::duplicate_mod, dead_code, reason = "as a part by itself")]
#[path = "../../../src/policy/sketch.rs"]
mod room;

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Call {
    Add(u8, u8),
    Grow(u16),
    Clear,
}

/// What a counter holds.
const MOST: u64 = 15;
/// The smallest sketch is for so many entries, and counters are halved after ten additions for each.
const HALVED_AFTER: u64 = 128 * 10;

pub fn run(Script { setup, calls }: Script<u8, Call>) {
    let mut sketch = Sketch::default();
    sketch.grow(usize::from(setup) + 1);
    let mut most = usize::from(setup) + 1;
    let mut added: HashMap<u32, u64> = HashMap::new();
    for call in calls {
        match call {
            Call::Add(key, uses) => {
                let (hash, uses) = (spread(key.into()), uses % 4);
                sketch.add(hash, uses);
                *added.entry(hash).or_default() += u64::from(uses);
            }
            Call::Grow(entries) => {
                most = most.max(usize::from(entries % 2048));
                sketch.grow(most);
            }
            Call::Clear => {
                sketch.clear();
                added.clear();
            }
        }
        let total: u64 = added.values().sum();
        for (&hash, &uses) in &added {
            let estimate = u64::from(sketch.estimate(hash));
            assert!(estimate <= MOST.min(total), "{estimate} after {total} additions in all");
            assert!(total >= HALVED_AFTER || estimate >= MOST.min(uses), "{estimate} after {uses} additions");
        }
        // Two bytes an entry, half as much again and more where the room was doubled.
        assert!(sketch.memory() <= most.max(128) * 2 * 13 / 8 + 64, "{} bytes for {most} entries", sketch.memory());
    }
}
