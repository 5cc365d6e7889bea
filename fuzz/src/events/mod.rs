//! Promise 5: two caches get the same versioned writes and invalidations, each in an order of its own and with other things between, and
//! end in the same state.
//!
//! What they may differ in, of each key:
//! - It may be absent. Where nothing was forgotten and its newest state was not removed, it is there after that state has come once more.
//! - A write that is news may be refused: in one global order an absent key's, where a floor has taken the place of tombstones that went for
//!   want of room or by age; in per-key order, where tombstones went for want of room, an absent key's, or one's that was loaded since. Loads
//!   of what is true are never refused.
//! - A state that is not news may come back: in per-key order, if it lags by `tombstone_ttl` or more or, with `WhenForgotten::Accept`, if
//!   tombstones went for want of room.

mod facts;
mod replica;

use arbitrary::Arbitrary;

use self::replica::{Disturbance, Replica};
use crate::input::{Capacity, Script, Source, Stripes, Time};

pub type Input = Script<Setup, Call>;

#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Setup {
    global: bool,
    accept_forgotten: bool,
    replace_equal: bool,
    /// The values tell their versions, so plain writes are versioned ones.
    versioned: bool,
    few_tombstones: Option<u8>,
    tombstone_ttl: Time,
    time_to_live: Option<Time>,
    capacity: Option<Capacity>,
    stripes: Stripes,
    events: [Event; 10],
}

/// The source says something of one of its few keys.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Event {
    key: EventKey,
    source: Source,
    what: What,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Write,
    Invalidate,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum EventKey {
    A,
    B,
    C,
}

const KEYS: [u8; 3] = [EventKey::A as u8, EventKey::B as u8, EventKey::C as u8];

impl Event {
    fn key(&self) -> u8 {
        self.key as u8
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Call {
    /// To which of the two.
    second: bool,
    step: Step,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    Deliver(u8, Way),
    Together([u8; 3]),
    /// A load, and perhaps an event that comes while it runs.
    Load(EventKey, Option<u8>),
    /// A load by a replica of the source that lags behind: what some event said.
    LaggingLoad(u8),
    Disturb(Disturbance),
}

/// How a write comes.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Way {
    At,
    Plain,
    Transaction,
    Through,
}

pub fn run(Script { setup, calls }: Input) {
    let mut replicas = [Replica::new(setup), Replica::new(setup)];
    for Call { second, step } in calls {
        let replica = &mut replicas[usize::from(second)];
        replica.step(step);
        replica.look_around();
    }
    for event in setup.events {
        replicas.iter_mut().for_each(|replica| replica.deliver(event, Way::At));
    }
    let [first, second] = replicas.each_mut().map(Replica::finish);
    let forgets = replicas.iter().any(Replica::forgets);
    for key in KEYS.map(usize::from) {
        let alike = first[key].is_none() || second[key].is_none() || first[key] == second[key];
        assert!(alike || forgets, "{first:?} and {second:?}");
    }
}

/// What is true of a key in the end: the highest source of which anything was said.
fn truth(events: &[Event], key: u8) -> Option<u64> {
    events.iter().filter(|event| event.key() == key).map(|event| event.source.0).max()
}

/// The truth, if it was written and not only heard of.
fn written_truth(events: &[Event], key: u8) -> Option<u64> {
    truth(events, key)
        .filter(|&source| events.iter().any(|event| event.key() == key && event.what == What::Write && event.source.0 == source))
}
