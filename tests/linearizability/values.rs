//! The values of a history, which have numbers, and how its keys are hashed.

use std::hash::BuildHasher;
use std::hash::Hasher;

use crate::history::Id;
use crate::threads::dither;

/// Of all values the number tells which it is.
#[derive(PartialEq, Eq, Debug)]
pub struct Value {
    pub id: Id,
    pub group: Option<u8>,
    pub weight: u64,
}

impl Clone for Value {
    fn clone(&self) -> Self {
        dither();
        Value { id: self.id, group: self.group, weight: self.weight }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub near: bool,
}

pub struct Spreading {
    near: bool,
    key: u64,
}

impl BuildHasher for Spread {
    type Hasher = Spreading;

    fn build_hasher(&self) -> Spreading {
        dither();
        Spreading { near: self.near, key: 0 }
    }
}

impl Hasher for Spreading {
    fn write(&mut self, bytes: &[u8]) {
        self.key = bytes.iter().fold(self.key, |key, &byte| key << 8 | u64::from(byte));
    }

    fn write_usize(&mut self, number: usize) {
        self.key = number as u64;
    }

    /// Keys that are near differ in bits that choose neither stripe nor bucket nor tag; others in all.
    fn finish(&self) -> u64 {
        if self.near { self.key << 8 } else { (self.key + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) }
    }
}
