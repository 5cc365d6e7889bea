//! What may be there, and until when. Moments are nanoseconds since the clock's start.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Says, Setup};
use crate::time::deadline::{NEVER, after, nanos, remaining};

/// Time to idle is moved in steps of this share of itself.
const COARSE: u64 = 256;
/// Values are loaded again up to this share of `refresh_after` early.
const JITTER: u64 = 10;

/// The cache knows, and the model may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sure {
    Yes,
    No,
    Perhaps,
}

impl Sure {
    /// Of something that begins between two moments.
    fn since((early, late): (u64, u64), now: u64) -> Self {
        match now {
            _ if now >= late => Self::Yes,
            _ if now >= early => Self::Perhaps,
            _ => Self::No,
        }
    }

    pub fn allows(self, is: bool) -> bool {
        self == Self::Perhaps || is == (self == Self::Yes)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub id: usize,
    says: Says,
    due: u64,
    /// What reads say does not outlast this.
    last: u64,
    /// The moment lies between these.
    idle: (u64, u64),
    refresh: (u64, u64),
}

impl Entry {
    /// It ends between these.
    pub fn end(&self) -> (u64, u64) {
        (self.due.min(self.idle.0), self.due.min(self.idle.1))
    }
}

pub struct Model {
    setup: Setup,
    pub now: u64,
    pub entries: BTreeMap<u8, Entry>,
}

impl Model {
    pub fn new(setup: Setup) -> Self {
        Self { setup, now: 0, entries: BTreeMap::new() }
    }

    pub fn advance(&mut self, to: u64) {
        self.now = self.now.max(to.min(NEVER - 1));
    }

    /// What a look at the key has shown.
    pub fn saw(&mut self, key: u8, seen: Option<usize>) {
        let now = self.now;
        let Some(entry) = self.entries.get_mut(&key) else {
            assert_eq!(seen, None, "key {key} was served after it had left");
            return;
        };
        let over = Sure::since(entry.end(), now);
        assert!(over.allows(seen.is_none()), "{seen:?} of key {key} at {now}, which ends at {:?}", entry.end());
        match seen {
            Some(id) => {
                assert_eq!(id, entry.id, "an older value of key {key}");
                entry.idle.0 = entry.idle.0.max(now + 1);
            }
            None => {
                entry.idle.1 = entry.idle.1.min(now);
                entry.idle.0 = entry.idle.0.min(now);
            }
        }
    }

    /// The entry, if it is live; ask it after a look.
    pub fn live(&self, key: u8) -> Option<Entry> {
        self.entries.get(&key).copied().filter(|entry| Sure::since(entry.end(), self.now) == Sure::No)
    }

    /// It counted as use.
    pub fn used(&mut self, key: u8) {
        let (now, tti) = (self.now, self.setup.time_to_idle.map(|time| time.0));
        let speaks = self.setup.expiry;
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| now < entry.end().1) else { return };
        if let Some(tti) = tti {
            let late = after(now, tti);
            entry.idle = (entry.idle.0.max(late - nanos(tti) / COARSE), late);
        }
        if speaks {
            let left = remaining(entry.due, now);
            let said = entry.says.read.of(left);
            let due = if said == left { entry.due } else { said.map_or(NEVER, |time| after(now, time)) };
            entry.due = due.min(entry.last);
        }
    }

    /// Ask for a look before.
    pub fn wrote(&mut self, key: u8, id: usize, says: Says, ttl: Option<Duration>) {
        let now = self.now;
        let until = |time: Option<Duration>| time.map_or(NEVER, |time| after(now, time));
        let said = match self.live(key) {
            _ if !self.setup.expiry || ttl.is_some() => None,
            None => says.created.map(|time| time.0),
            Some(old) => says.updated.of(remaining(old.due, now)),
        };
        let last = until(ttl.or(self.setup.time_to_live.map(|time| time.0)));
        let idle = until(self.setup.time_to_idle.map(|time| time.0));
        let refresh = until(self.setup.refresh_after.map(|time| time.0));
        let early = self.setup.refresh_after.map_or(0, |time| nanos(time.0) / JITTER);
        // What is dead on arrival is not there at all.
        let due = last.min(until(said));
        if due.min(idle) <= now {
            self.entries.remove(&key);
            return;
        }
        let entry = Entry { id, says, due, last, idle: (idle, idle), refresh: (refresh.saturating_sub(early), refresh) };
        self.entries.insert(key, entry);
    }

    pub fn removed(&mut self, key: u8) {
        self.entries.remove(&key);
    }

    /// Is it time to load the entry again?
    pub fn wants_refresh(&self, entry: &Entry) -> Sure {
        Sure::since(entry.refresh, self.now)
    }

    /// May loads be answered with the entry, which is not live?
    pub fn is_stale(&self, key: u8) -> Sure {
        let Some(entry) = self.entries.get(&key) else { return Sure::No };
        let grace = self.setup.stale.map_or(0, |time| nanos(time.0));
        let (early, late) = entry.end();
        match Sure::since((early.saturating_add(grace), late.saturating_add(grace)), self.now) {
            Sure::Yes => Sure::No,
            Sure::No => Sure::Yes,
            Sure::Perhaps => Sure::Perhaps,
        }
    }

    /// How many entries may be there still, be it for loads alone.
    pub fn residents(&self) -> usize {
        self.entries.keys().filter(|&&key| self.is_stale(key) != Sure::No).count()
    }
}
