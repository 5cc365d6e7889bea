//! The memory of keys that left: it finds nothing that is not in it, each thing once, and as long as it is one bucket just the last sixteen.

use arbitrary::Arbitrary;

use self::room::{Age, Ghosts};
use super::spread;
use crate::input::Script;

#[allow(clippy::duplicate_mod, dead_code, reason = "as a part by itself")]
#[path = "../../../src/policy/ghosts.rs"]
mod room;

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Call {
    Push(u8),
    Take(u8),
    Grow(u8),
    Clear,
}

/// Ghosts of the smallest memory there is, which is one bucket.
const BUCKET: usize = 16;
/// Entries that have one bucket.
const SPAN: usize = 8;

pub fn run(Script { setup, calls }: Script<u8, Call>) {
    let mut ghosts = Ghosts::default();
    let mut most = usize::from(setup);
    ghosts.grow(most);
    // The youngest first.
    let mut model: Vec<u32> = Vec::new();
    for call in calls {
        match call {
            Call::Push(key) => {
                ghosts.push(hash(key));
                if most > 0 {
                    model.insert(0, hash(key));
                }
            }
            Call::Take(key) => take(&mut ghosts, &mut model, hash(key), most <= SPAN),
            Call::Grow(entries) => {
                most = most.max(entries.into());
                ghosts.grow(most);
            }
            Call::Clear => {
                ghosts.clear();
                model.clear();
            }
        }
        if most <= SPAN {
            model.truncate(BUCKET);
        }
        // Two ghosts an entry, in whole buckets, and up to five eighths of that more where the room was doubled.
        let room = most.div_ceil(SPAN) * BUCKET;
        assert!(ghosts.memory() <= room * 13 / 8 * size_of::<u16>(), "{} bytes for {most} entries", ghosts.memory());
    }
}

fn take(ghosts: &mut Ghosts, model: &mut Vec<u32>, hash: u32, exact: bool) {
    let known = model.iter().position(|&other| other == hash);
    let taken = ghosts.take(hash);
    if exact {
        let age = known.map(|at| if at < BUCKET / 2 { Age::Young } else { Age::Old });
        assert_eq!(taken, age, "the last {BUCKET} are known, and nothing else");
    }
    assert!(taken.is_none() || known.is_some(), "a ghost of what never left");
    if taken.is_some() {
        model.remove(known.expect("just looked"));
    }
}

/// Of all keys another one, in the sixteen bits that tell ghosts apart too.
fn hash(key: u8) -> u32 {
    (spread(u16::from(key)) & !0xffff) | ((u32::from(key) + 1) * 0x101)
}
