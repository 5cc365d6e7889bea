//! Time: a model says from when each entry must be gone and until when it must be there; and the timer wheel by itself.

mod load;
mod model;
mod trial;
mod wheel;

use std::time::Duration;

use arbitrary::Arbitrary;

use self::trial::Trial;
use crate::input::{Script, Time};

#[derive(Arbitrary, Debug)]
pub enum Input {
    Whole(Script<Setup, Call>),
    Wheel(Script<(), wheel::Call>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Setup {
    two_stripes: bool,
    time_to_live: Option<Time>,
    time_to_idle: Option<Time>,
    /// Values say how long they live.
    expiry: bool,
    stale: Option<Time>,
    fail_safe: bool,
    refresh_after: Option<Time>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Call {
    Get(Name),
    GetRef(Name),
    With(Name),
    GetMany([Name; 3]),
    Peek(Name),
    Contains(Name),
    Iterate,
    Insert(Name, Says),
    InsertWithTtl(Name, Says, Time),
    InsertForGood(Name, Says),
    InsertIfAbsent(Name, Says),
    Several([Name; 2], Says),
    Load(Name, Says, Loader),
    Remove(Name),
    Invalidate(Name),
    Clear,
    Advance(Time),
    /// To the moment when the entry is due, or just before.
    Edge {
        of: Name,
        before: bool,
    },
    /// What the clock reads goes back: it stands still until that has caught up.
    Back(Time),
    EndOfTime,
    /// Calls for keys that are not there.
    Traffic,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Loader {
    GetWith,
    Well(Option<Time>),
    Badly,
    Refresh,
    RefreshBadly,
}

/// A key: one of sixteen.
#[derive(Clone, Copy, Debug)]
pub struct Name(u8);

impl<'a> Arbitrary<'a> for Name {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self(u8::arbitrary(u)? % 16))
    }
}

/// What a value says of its life.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Says {
    created: Option<Time>,
    updated: Said,
    read: Said,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Said {
    /// What is left.
    Keep,
    Never,
    In(Time),
}

impl Said {
    fn of(self, remaining: Option<Duration>) -> Option<Duration> {
        match self {
            Self::Keep => remaining,
            Self::Never => None,
            Self::In(Time(time)) => Some(time),
        }
    }
}

pub fn run(input: Input) {
    match input {
        Input::Wheel(script) => wheel::run(script),
        Input::Whole(Script { setup, calls }) => {
            let mut trial = Trial::new(setup);
            for call in calls {
                trial.step(call);
                trial.hear();
            }
            trial.finish();
        }
    }
}
