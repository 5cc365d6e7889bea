//! What the fuzzer's bytes mean.

use arbitrary::Arbitrary;

use crate::input::{Capacity, Group, Groups, Key, Script, Source, Stripes, Time, Weight};

pub type Input = Script<Setup, Call>;

#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Setup {
    pub capacity: Capacity,
    pub stripes: Option<Stripes>,
    pub weighted: bool,
    /// With a listener the model knows all that leaves; without, it takes what is missing for evicted.
    pub listener: bool,
    pub time_to_live: Option<Time>,
    pub time_to_idle: Option<Time>,
    pub global: bool,
    pub accept_forgotten: bool,
    pub replace_equal: bool,
    pub few_tombstones: Option<u8>,
    pub tombstone_ttl: Time,
    /// Guards are looked at once more after the cache is gone.
    pub guards_outlive: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Call {
    Get(Key),
    With(Key),
    GetRef(Key),
    GetEntry(Key),
    Peek(Key),
    Contains(Key),
    Insert(Key, Weight),
    InsertWithTtl(Key, Weight, Time),
    TryInsert(Key, Weight),
    InsertAt(Key, Weight, Source),
    InsertIfAbsent(Key, Weight),
    CompareAndSwap(Key, Weight, Expect),
    Compute(Key, Weight, Decide),
    Remove(Key),
    RemoveIf(Key, bool),
    Invalidate(Key),
    InvalidateAt(Key, Source),
    /// Keeps the keys of one parity.
    Retain(bool),
    Clear,
    Iterate,
    SetCapacity(Capacity),
    Advance(Time),
    /// Some inserts of keys that follow one another.
    Burst(Key, u8),
    Reclaim,
    DropGuard(u8),
    GetMany([Key; 3]),
    Snapshot([Key; 3]),
    InsertInGroups(Key, Weight, Groups),
    InvalidateGroup(Group),
    /// Of several steps with one key the first counts.
    Transaction([Option<Step>; 4], Option<Group>, Body),
    Load(Key, Weight, Loader),
    WriteThrough(Key, Weight, Option<Source>, Ends),
    Lease(Key),
    Fill(u8, Weight),
    DropLease(u8, Ends),
}

/// What a transaction does with a key.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Step {
    Insert(Key, Weight),
    InsertAt(Key, Weight, Source),
    InsertInGroups(Key, Weight, Groups),
    CompareAndSwap(Key, Weight, Expect),
    ExpectVersion(Key, Expect),
    Read(Key),
    Remove(Key),
    Invalidate(Key),
    InvalidateAt(Key, Source),
}

impl Step {
    pub fn key(&self) -> u8 {
        match *self {
            Self::Insert(Key(key), _)
            | Self::InsertAt(Key(key), ..)
            | Self::InsertInGroups(Key(key), ..)
            | Self::CompareAndSwap(Key(key), ..)
            | Self::ExpectVersion(Key(key), _)
            | Self::Read(Key(key))
            | Self::Remove(Key(key))
            | Self::Invalidate(Key(key))
            | Self::InvalidateAt(Key(key), _) => key,
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    Commits,
    GivesUp,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Loader {
    GetWith,
    TryGetWith(Ends),
    Refresh,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    Well,
    Badly,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Expect {
    Current,
    /// The version that the key had before.
    Former,
    Absent,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Decide {
    Put,
    Remove,
    Keep,
}
