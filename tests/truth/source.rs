//! The source of truth: a log of commits, one order for all keys.

use crate::choices::KEYS;

/// A value as it was read from the source, or written to it: `lsn` is the commit that made this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    pub id: usize,
    pub key: u8,
    pub lsn: u64,
    pub group: u8,
    pub weight: u8,
}

/// A commit that the cache can be told of, at this time and later.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    pub key: u8,
    pub lsn: u64,
    pub group: u8,
    pub weight: u8,
    pub time: u64,
}

#[derive(Default)]
pub struct Source {
    log: Vec<Commit>,
}

impl Source {
    pub fn now(&self) -> u64 {
        self.log.len() as u64
    }

    pub fn commit(&mut self, key: u8, dice: u64, time: u64) -> Commit {
        let commit = Commit { key, lsn: self.now() + 1, group: (dice % 2) as u8, weight: (dice / 2 % 4) as u8, time };
        self.log.push(commit);
        commit
    }

    /// The state of a key now. Every key has one: what was before the first commit is of version 0.
    pub fn state(&self, key: u8) -> Commit {
        let last = self.log.iter().rev().find(|commit| commit.key == key);
        last.copied().unwrap_or(Commit { key, lsn: 0, group: 0, weight: 1, time: 0 })
    }

    /// A commit of these, drawn by a number; late ones are as likely as new ones.
    pub fn any(&self, dice: u64) -> Option<Commit> {
        let recent = self.log.len().min(6 * KEYS);
        (recent > 0).then(|| self.log[self.log.len() - 1 - (dice % recent as u64) as usize])
    }
}
