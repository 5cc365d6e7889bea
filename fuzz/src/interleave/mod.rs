//! The bytes say who moves: a few tasks that are polled by hand, loads that end when they are told to, threads' calls in one piece, and what
//! the user's code does in the middle of a call. Nobody gets anything older than what was there when he came (promises 1, 2 and 3), no two loads of a
//! key run at once unless something came between (6), and when all is over nobody waits and nothing is left (7).

mod calls;
mod tasks;
mod value;
mod world;

use arbitrary::Arbitrary;

use self::world::World;
use crate::input::Script;

pub type Input = Script<Setup, Step>;

#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Setup {
    /// Values have source versions, and all writes too.
    sourced: bool,
    two_stripes: bool,
    /// Room for two entries.
    tight: bool,
    load_timeout: bool,
    negative_ttl: bool,
    /// Values expire, and loads may serve them for a while then.
    stale: bool,
    fail_safe: bool,
    refresh_after: bool,
    /// Readers do not see what is being written.
    hide: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Step {
    Do(Act),
    /// The next time that the cache runs this code of the user's.
    Arm(Hook, Armed),
}

/// Code of the user's.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Loader,
    Closure,
    Weigher,
    Clone,
    Listener,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Armed {
    /// Another thread, or task, moves just then.
    Run(Act),
    Panic,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Act {
    Start(Kind, Key, Key),
    /// Whether it was woken or not.
    Poll(u8),
    PollWoken,
    End(u8, End),
    Cancel(u8),
    Write(Write, Key),
    Load(Key, End),
    WriteThrough(Key, End),
    Lease(Key),
    EndLease(u8, End),
    Read(Key),
    Snapshot,
    Advance(Seconds),
}

/// What a task does.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    GetWith,
    TryGetWith,
    Load,
    Refresh,
    Reload,
    Lease,
    Many,
    Through,
}

/// How a load ends.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Brings,
    Fails,
    Panics,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    InsertAt,
    InvalidateAt,
    Invalidate,
    Remove,
    RemoveIf,
    Retain,
    Clear,
    Group,
    Transaction,
    // From here on not for those with source versions.
    Insert,
    InsertForAWhile,
    InsertOfNoTime,
    Put,
    TakeOut,
    Swap,
}

impl Write {
    fn is_sourced(self) -> bool {
        (self as u8) < Write::Insert as u8
    }
}

/// Few, so that calls meet.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Key {
    A,
    B,
    C,
}

const KEYS: usize = 3;

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Seconds {
    One,
    Three,
    Eleven,
}

impl Seconds {
    fn count(self) -> u64 {
        match self {
            Self::One => 1,
            Self::Three => 3,
            Self::Eleven => 11,
        }
    }
}

pub fn run(Script { setup, calls }: Input) {
    let world = World::enter(setup);
    for step in calls {
        match step {
            Step::Do(act) => world.act(act),
            Step::Arm(hook, armed) => world.arm(hook, armed),
        }
        world.check();
    }
    world.finish();
}
