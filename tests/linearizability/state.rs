//! The state of one key, as the contract sees it, and what becomes of it when an entry goes.

use crate::history::Expected;
use crate::history::Id;
use crate::history::Load;
use crate::history::Seen;

/// All that decides what a key may do next.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct KeyState {
    pub entry: Option<Entry>,
    pub dead: Option<Dead>,
    /// The highest source version that anybody has said of the key.
    pub told: u64,
    /// The highest revision that any entry of the key is known to have had.
    pub revision: u64,
    /// The load whose value would be stored. What is fenced is not here.
    pub load: Option<OpenLoad>,
    /// A load that has failed, and until when its error may be the answer to those who come later.
    pub failed: Option<(Load, u64)>,
    /// From when on the load whose value was stored last could have been taken over, where leases end by time.
    pub landed: Option<u64>,
    /// Somebody writes the source.
    pub turn: Option<Turn>,
    pub now: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    pub id: Id,
    pub source: u64,
    /// The source gave this very state its version; else it has that of a state before it.
    pub claimed: bool,
    /// The source is this or above: it was kept from what the cache knew of an absent key, which may have been another key's floor.
    pub vague: bool,
    /// The source that it proves to have reached: its own or, of a state that has none of its own, the highest that was said before it came.
    pub reached: u64,
    /// From then on nobody is served it. It may go earlier: a writer asks for the time before he has the lock.
    pub due: Option<u64>,
}

/// The source has said that states below this version are old.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Dead {
    pub source: u64,
    pub extent: Extent,
}

/// Are those at it old too?
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Extent {
    Below,
    /// They are, unless several states may share a source.
    UpTo,
    /// They are at any rate: they were written over.
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OpenLoad {
    pub load: Load,
    /// Others may take over from here on, and from `last` on it stores nothing: which of the moments between counts depends on when it asked
    /// for the time.
    pub first: u64,
    pub last: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Turn {
    /// Somebody else wrote or invalidated the key meanwhile.
    pub disturbed: bool,
    /// The groups that ended meanwhile, a bit for each.
    pub ended: u64,
}

impl Dead {
    pub fn admits(self, source: u64, replaces_equal: bool) -> bool {
        let may_equal = match self.extent {
            Extent::Below => true,
            Extent::UpTo => replaces_equal,
            Extent::Over => false,
        };
        source > self.source || source == self.source && may_equal
    }
}

impl KeyState {
    /// The highest source version that is known. A write that names none keeps it.
    pub fn source(&self) -> u64 {
        self.entry.map_or(self.dead.map_or(0, |dead| dead.source), |entry| entry.source)
    }

    pub fn sees(&self, seen: Seen) -> bool {
        match (seen, self.entry) {
            (Seen::Value(id), Some(entry)) => id == entry.id,
            (Seen::Something, Some(_)) | (Seen::Nothing, None) => true,
            _ => false,
        }
    }

    pub fn is(&self, expected: Expected) -> bool {
        match expected {
            Expected::Absent => self.sees(Seen::Nothing),
            Expected::Value(id) => self.sees(Seen::Value(id)),
        }
    }

    /// Promises 1 and 2: what is being loaded now will not be stored, and who comes from here on does not join it.
    pub fn fence(&mut self) {
        (self.load, self.failed) = (None, None);
        if let Some(turn) = &mut self.turn {
            turn.disturbed = true;
        }
    }

    pub fn bury(&mut self, source: u64, extent: Extent) {
        if source > 0 {
            self.dead = self.dead.max(Some(Dead { source, extent }));
        }
    }

    /// The entry goes because somebody said so: its source may not write it again.
    pub fn remove(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.bury(entry.source, if entry.claimed { Extent::UpTo } else { Extent::Over });
        }
    }

    /// The entry goes by itself: nothing newer is known, so the same state may come again. Not one that only inherited its source, as the
    /// state from which it did is older.
    pub fn vanish(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.bury(entry.source, if entry.claimed { Extent::Below } else { Extent::Over });
        }
    }
}
