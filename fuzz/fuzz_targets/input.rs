//! What the fuzzer's bytes mean.

use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};

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

#[derive(Debug)]
pub struct Input {
    pub setup: Setup,
    pub calls: Vec<Call>,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let setup = u.arbitrary()?;
        let mut calls = Vec::new();
        while !u.is_empty() {
            calls.push(u.arbitrary()?);
        }
        Ok(Self { setup, calls })
    }
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

/// Most keys are one of a few, so that calls meet; the rest make the table grow.
#[derive(Clone, Copy, Debug)]
pub struct Key(pub u8);

impl<'a> Arbitrary<'a> for Key {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let byte = u8::arbitrary(u)?;
        Ok(Self(if byte < 192 { byte % 12 } else { byte }))
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Weight(pub u64);

impl<'a> Arbitrary<'a> for Weight {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let byte = u8::arbitrary(u)?;
        Ok(Self(u64::from(if byte < 224 { byte % 6 } else { byte })))
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Capacity(pub u64);

impl<'a> Arbitrary<'a> for Capacity {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let byte = u8::arbitrary(u)?;
        Ok(Self(u64::from(if byte < 128 { byte % 16 } else { byte })))
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Source(pub u64);

impl<'a> Arbitrary<'a> for Source {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self(u64::from(u8::arbitrary(u)? % 16)))
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Stripes(pub usize);

impl<'a> Arbitrary<'a> for Stripes {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self(1 << (u8::arbitrary(u)? % 4)))
    }
}

/// From nanoseconds to hours: a few bits, shifted.
#[derive(Clone, Copy, Debug)]
pub struct Time(pub Duration);

impl<'a> Arbitrary<'a> for Time {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let byte = u8::arbitrary(u)?;
        Ok(Self(Duration::from_nanos(u64::from(byte % 8) << (byte / 8 + byte % 7))))
    }
}
