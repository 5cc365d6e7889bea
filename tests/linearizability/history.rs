//! What a recorder writes down: what was called, between which moments, and what came of it. Plain data.
//!
//! A call is one step or several: each is an interval in which it took effect at one moment, and what that effect was. A read of two keys
//! is two steps, a snapshot of them one; a load is one step that takes the lease, before its loader runs, and one that lands, after it.

use std::collections::BTreeMap;
use std::fmt;

pub type Key = u8;
/// Every value that is written or loaded has a number of its own.
pub type Id = u32;
/// So has every run of a loader.
pub type Load = u32;
/// And every error of one.
pub type Error = u32;

/// A version, of which hand-made histories can make one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    pub source: u64,
    pub revision: u64,
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.source, self.revision)
    }
}

/// What a call tells of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    Value(Id),
    /// There was one.
    Something,
    Nothing,
}

impl From<Option<Id>> for Seen {
    fn from(id: Option<Id>) -> Self {
        id.map_or(Seen::Nothing, Seen::Value)
    }
}

/// The state that a condition names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    Absent,
    Value(Id),
}

/// A value that a call wrote, or tried to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    pub id: Id,
    /// The source version that the writer named.
    pub source: Option<u64>,
    /// How long it may be served.
    pub ttl: Option<u64>,
}

/// What became of a value at the end of a load or of a write through the cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Stored,
    NotStored,
    /// The caller is not told.
    Untold,
}

/// What one step did to one key, or learned of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// A read. One that is torn ran beside a commit, which hides its keys before it shows them.
    Read {
        seen: Seen,
        torn: bool,
    },
    /// A walk over the entries met this one ...
    Met(Id),
    /// ... and none of this key, since it began.
    Unmet {
        began: u64,
    },
    Write(Written),
    /// The source version is no news.
    Superseded {
        source: u64,
        current: Stamp,
    },
    /// The same of a transaction.
    Aborted {
        source: u64,
    },
    /// A condition that held, and one that did not: this was there instead.
    Expect(Expected),
    Conflict {
        expected: Expected,
        found: Seen,
    },
    TooHeavy,
    Remove(Seen),
    /// The removal of this value, if it is still there.
    RemoveValue(Id),
    InvalidateAt {
        source: u64,
        done: Option<bool>,
    },
    /// An invalidation of whatever is being loaded.
    Fence,
    /// The same, of which the caller does not know whether there was one.
    MayFence,
    Clear,
    EndGroup(u8),
    /// The loader is to be run: the lease was taken when the clock showed `asked` or more. A refresh wants it even if there is a value.
    Lead {
        load: Load,
        refresh: bool,
        asked: u64,
    },
    /// A loader's value is to be stored, by a call that began when the clock showed `asked`.
    Land {
        load: Load,
        value: Written,
        outcome: Outcome,
        asked: u64,
    },
    /// A load ends without a value.
    Abandon(Load),
    /// Another call's load had this value for the caller, or the cache had: but for a refresh, who wants what came after it began ...
    Loaded {
        id: Id,
        began: Option<u64>,
    },
    /// ... or this error.
    LoadFailed(Error),
    /// The source is about to be written through the cache; the writer is shown what is there.
    BeginWrite {
        found: Seen,
    },
    /// It has been written, or nobody knows (no value).
    EndWrite {
        value: Option<Written>,
        outcome: Outcome,
    },
    /// The clock moves on to this.
    Advance(u64),
}

impl Act {
    pub fn leads(&self, run: Load) -> bool {
        matches!(*self, Act::Lead { load, .. } if load == run)
    }

    /// Is it about this value?
    pub fn names(&self, value: Id) -> bool {
        match *self {
            Act::Read { seen, .. } | Act::Remove(seen) | Act::BeginWrite { found: seen } => seen == Seen::Value(value),
            Act::Met(id) | Act::RemoveValue(id) | Act::Loaded { id, .. } => id == value,
            Act::Write(written) | Act::Land { value: written, .. } | Act::EndWrite { value: Some(written), .. } => {
                written.id == value
            }
            Act::Expect(expected) => expected == Expected::Value(value),
            Act::Conflict { expected, found } => expected == Expected::Value(value) || found == Seen::Value(value),
            _ => false,
        }
    }
}

/// Something that took effect at one moment between two.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    pub name: &'static str,
    pub thread: usize,
    pub begin: u64,
    /// [`Step::OPEN`] if it need not have taken effect at all.
    pub end: u64,
    /// Steps of one call take effect in the order of their places.
    pub place: u32,
    pub call: u32,
    /// In this order, with nothing in between.
    pub acts: Vec<(Key, Act)>,
    /// It is about all keys: its one act is that of each.
    pub everywhere: bool,
}

impl Step {
    pub const OPEN: u64 = u64::MAX;

    /// Is it an earlier step of the same call?
    pub fn is_before_in_call(&self, other: &Step) -> bool {
        self.call == other.call && self.place < other.place
    }

    /// Does it change nothing, whatever it finds?
    pub fn only_looks(&self) -> bool {
        let looks = |act: &Act| {
            let reads = matches!(act, Act::Read { .. } | Act::Met(_) | Act::Unmet { .. } | Act::Expect(_) | Act::Conflict { .. });
            reads || matches!(act, Act::Loaded { .. } | Act::LoadFailed(_))
        };
        self.acts.iter().all(|(_, act)| looks(act))
    }

    pub fn concerns(&self, keys: &[Key]) -> bool {
        self.everywhere || self.acts.iter().any(|(key, _)| keys.contains(key))
    }
}

/// What is known of a value from all of the history.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Fact {
    pub stamp: Option<Stamp>,
    pub group: Option<u8>,
    /// The end of the step that wrote it.
    pub written: u64,
}

/// What a loader brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Brought {
    Value(Id),
    Error(Error),
}

/// Some calls of one cache from its beginning on.
#[derive(Clone, Default, Debug)]
pub struct History {
    pub steps: Vec<Step>,
    pub values: BTreeMap<Id, Fact>,
    pub loads: BTreeMap<Load, Brought>,
    /// Under which version who saw which value: of each the first that was seen stands in `values`.
    pub disagreements: Vec<(Id, Stamp)>,
}

impl History {
    /// Somebody saw a value under a version.
    pub fn saw(&mut self, id: Id, stamp: Stamp) {
        let fact = self.values.entry(id).or_default();
        if *fact.stamp.get_or_insert(stamp) != stamp {
            self.disagreements.push((id, stamp));
        }
    }

    pub fn stamp(&self, id: Id) -> Option<Stamp> {
        self.values.get(&id)?.stamp
    }

    /// May it have been written after this moment?
    pub fn is_since(&self, id: Id, moment: u64) -> bool {
        self.values.get(&id).is_some_and(|fact| fact.written > moment)
    }

    /// Notes when what was written.
    pub fn note_writes(&mut self) {
        for step in &self.steps {
            for (_, act) in &step.acts {
                if let Act::Write(value) | Act::Land { value, .. } | Act::EndWrite { value: Some(value), .. } = act {
                    self.values.entry(value.id).or_default().written = step.end;
                }
            }
        }
    }

    pub fn group(&self, id: Id) -> Option<u8> {
        self.values.get(&id)?.group
    }

    /// All keys of which there is a step.
    pub fn keys(&self) -> Vec<Key> {
        let steps = self.steps.iter().filter(|step| !step.everywhere);
        let mut keys: Vec<Key> = steps.flat_map(|step| step.acts.iter().map(|(key, _)| *key)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}
