//! What the bytes of all targets mean alike.

use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};

/// How a cache is built, and what is then done with it until there are no more bytes.
#[derive(Debug)]
pub struct Script<S, C> {
    pub setup: S,
    pub calls: Vec<C>,
}

impl<'a, S: Arbitrary<'a>, C: Arbitrary<'a>> Arbitrary<'a> for Script<S, C> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let setup = u.arbitrary()?;
        let mut calls = Vec::new();
        while !u.is_empty() {
            calls.push(u.arbitrary()?);
        }
        Ok(Self { setup, calls })
    }
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

/// One of eight.
#[derive(Clone, Copy, Debug)]
pub struct Group(pub u8);

impl<'a> Arbitrary<'a> for Group {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self(u8::arbitrary(u)? % 8))
    }
}

/// A bit for each group.
#[derive(Arbitrary, Clone, Copy, Debug, Default)]
pub struct Groups(pub u8);

impl Groups {
    pub fn holds(self, Group(group): Group) -> bool {
        self.0 >> group & 1 == 1
    }

    pub fn all(self) -> impl Iterator<Item = u8> {
        (0..8).filter(move |&group| self.holds(Group(group)))
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
