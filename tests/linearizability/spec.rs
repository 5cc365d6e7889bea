//! What a cache may do: the contract as a small sequential machine, one key at a time.
//!
//! A key is in a [`KeyState`]. [`Spec::after`] says in which states it may be after an act with a given result: in none if a cache may not
//! behave so. There may be several, as a cache may drop an entry at any time without a word: so where room is scarce or entries have
//! deadlines, every act may find its entry gone. What is known of the key stays when the entry goes: the last revision, and how far the key
//! is dead by the word of the source.
//!
//! Where the crate promises less than one would think, a comment says so.

use crate::history::Act;
use crate::history::Brought;
use crate::history::Error;
use crate::history::History;
use crate::history::Load;
use crate::history::Outcome;
use crate::history::Seen;
use crate::history::Stamp;
use crate::history::Written;
use crate::rules::Memory;
use crate::rules::Rules;
use crate::state::Entry;
use crate::state::Extent;
use crate::state::KeyState;
use crate::state::OpenLoad;
use crate::state::Turn;

pub struct Spec<'a> {
    pub rules: &'a Rules,
    pub history: &'a History,
}

impl Spec<'_> {
    /// The states in which the key may be after this act.
    pub fn after(&self, state: &KeyState, act: &Act) -> Vec<KeyState> {
        let mut next = self.exactly(state.clone(), act);
        if let Some(entry) = state.entry
            && (self.rules.evicts || entry.due.is_some())
            && looks_at_entry(act)
        {
            let mut without = state.clone();
            without.vanish();
            next.extend(self.exactly(without, act));
            next.dedup();
        }
        next
    }

    /// The states after this act, if the entry is what it is.
    fn exactly(&self, mut state: KeyState, act: &Act) -> Vec<KeyState> {
        let allowed = match *act {
            // A commit hides what it ends before it shows what it brings, and a read takes no lock: beside a commit it may miss any of its keys.
            // So may a read that knows the time better than a writer who comes after it.
            Act::Read { seen, torn } => {
                let may_miss = torn || state.entry.is_some_and(|entry| entry.due.is_some());
                state.sees(seen) || seen == Seen::Nothing && may_miss
            }
            Act::Met(id) => state.sees(Seen::Value(id)),
            // It meets every entry that stays; of one that comes meanwhile it may not hear.
            Act::Unmet { began } => state.entry.is_none_or(|entry| self.history.is_since(entry.id, began)),
            Act::Expect(expected) => state.is(expected),
            // Promise 4: who loses a swap gets the entry that is there, and it is another one than he expected.
            Act::Conflict { expected, found } => !state.is(expected) && state.sees(found),
            Act::Write(value) => self.may_write(&state, value.source) && self.write(&mut state, value),
            Act::Superseded { source, current } => return self.superseded(state, source, current),
            Act::MayFence => {
                let mut fenced = state.clone();
                fenced.fence();
                return vec![fenced, state];
            }
            // A transaction that aborts has changed nothing, but that its word is heard.
            Act::Aborted { source } => return self.refused(state, source),
            Act::TooHeavy | Act::Fence => {
                state.fence();
                true
            }
            Act::Remove(seen) => {
                let saw = state.sees(seen);
                state.remove();
                state.fence();
                saw
            }
            Act::RemoveValue(id) => {
                if state.sees(Seen::Value(id)) {
                    state.remove();
                    state.fence();
                }
                true
            }
            Act::InvalidateAt { source, done } => return self.invalidate_at(state, source, done),
            Act::Clear => {
                state.remove();
                state.fence();
                true
            }
            Act::EndGroup(group) => {
                self.end_group(&mut state, group);
                true
            }
            Act::Lead { load, refresh, asked } => return self.lead(state, load, refresh, asked),
            Act::Land { load, value, outcome, asked } => return self.land(state, load, value, outcome, asked),
            Act::Abandon(load) => {
                if state.load.take_if(|open| open.load == load).is_some() {
                    state.failed = self.rules.negative_ttl.map(|ttl| (load, state.now + ttl));
                }
                true
            }
            Act::Loaded { id, began } => {
                // Of an entry with a source the load may have brought an older state: then the entry is the answer.
                let may_be_newer = state.entry.is_some_and(|entry| entry.vague || entry.source > 0);
                let will_do = began.is_none_or(|began| may_be_newer || self.history.is_since(id, began));
                state.sees(Seen::Value(id)) && will_do || self.brings(&state, Brought::Value(id))
            }
            Act::LoadFailed(error) => self.fails_with(&state, error),
            Act::BeginWrite { found } => self.begin_write(&mut state, found),
            Act::EndWrite { value, outcome } => return self.end_write(state, value, outcome),
            Act::Advance(time) => {
                state.now += time;
                if state.entry.is_some_and(|entry| entry.due.is_some_and(|due| due <= state.now)) {
                    state.vanish();
                }
                true
            }
        };
        if allowed { vec![state] } else { Vec::new() }
    }

    /// Promise 5: is a write that names this source news?
    fn may_write(&self, state: &KeyState, source: Option<u64>) -> bool {
        let Some(source) = source else { return true };
        match (state.entry, state.dead) {
            (Some(entry), _) => source > entry.source || source == entry.source && entry.claimed && self.rules.replaces_equal,
            (None, Some(dead)) => dead.admits(source, self.rules.replaces_equal),
            (None, None) => true,
        }
    }

    /// May it be refused? What has forgotten refuses more.
    fn may_refuse(&self, state: &KeyState, source: u64) -> bool {
        let forgotten = match self.rules.memory {
            Memory::Whole => false,
            Memory::Floors => state.entry.is_none_or(|entry| entry.vague),
            Memory::Forgetful => true,
        };
        forgotten || !self.may_write(state, Some(source))
    }

    fn superseded(&self, state: KeyState, source: u64, current: Stamp) -> Vec<KeyState> {
        if self.may_name(&state, source, current) { self.refused(state, source) } else { Vec::new() }
    }

    /// What proves it old news is newer than any load under way, or it fences as any other write, and what it proves to be old goes.
    fn refused(&self, state: KeyState, source: u64) -> Vec<KeyState> {
        if !self.may_refuse(&state, source) {
            return Vec::new();
        }
        let (stays, mut goes) = self.told(state, source);
        if let Some(goes) = &mut goes {
            goes.fence();
        }
        stays.into_iter().chain(goes).collect()
    }

    /// Somebody says that the key has had this source: what is older goes. Gives the states in which the entry may stay and in which there
    /// is none. What is forgotten may be the reason why nobody knows how new the entry is: then it goes.
    fn told(&self, mut state: KeyState, source: u64) -> (Option<KeyState>, Option<KeyState>) {
        state.told = state.told.max(source);
        let stays = state.entry.is_some_and(|entry| entry.reached >= source);
        let goes = !stays || self.rules.memory != Memory::Whole && state.entry.is_some_and(|entry| !entry.claimed);
        let stays = stays.then(|| state.clone());
        state.remove();
        (stays, goes.then_some(state))
    }

    /// The version that stands in the way: the entry's, or one as high as the source that is refused. Where something was forgotten nobody
    /// may know it any more.
    fn may_name(&self, state: &KeyState, source: u64, current: Stamp) -> bool {
        let of_entry = state.entry.and_then(|entry| self.history.stamp(entry.id));
        match of_entry {
            _ if self.rules.memory != Memory::Whole => true,
            Some(stamp) => stamp == current,
            None => current.source >= source,
        }
    }

    /// Promise 12: a load's value is not held to floors and forgotten tombstones, as its fence protects it. So it is stored unless its source
    /// is older than what is known, and where something was forgotten that may be less than what was.
    fn may_store(&self, state: &KeyState, source: Option<u64>) -> bool {
        let Some(source) = source else { return true };
        match state.entry {
            Some(entry) => source >= entry.source,
            None => self.rules.memory != Memory::Whole || source >= state.source(),
        }
    }

    /// What a load has brought is stored. In the place of an entry that may have its source from another key's floor it is so at that source,
    /// if its own is lower: no version goes back.
    fn store(&self, state: &KeyState, value: Written) -> Vec<KeyState> {
        let lender = state.entry.filter(|entry| self.rules.memory == Memory::Floors && !entry.claimed);
        let is_below = |&source: &u64| lender.is_some_and(|entry| entry.vague || source < entry.source);
        let atop = value.source.filter(is_below).map(|_| Written { source: None, ..value });
        let own = Some(value).filter(|value| self.may_store(state, value.source));
        let after = |value| {
            let mut stored = state.clone();
            self.write(&mut stored, value).then_some(stored)
        };
        own.into_iter().chain(atop).filter_map(after).collect()
    }

    fn may_be_too_old(&self, state: &KeyState, source: Option<u64>) -> bool {
        let Some(source) = source else { return false };
        // Of an entry that kept another key's floor nobody here knows how high that was, nor when the entry has gone.
        let vague = self.rules.memory != Memory::Whole && state.entry.is_none_or(|entry| entry.vague);
        vague || source < state.source()
    }

    /// It kills what is older, if it is.
    fn invalidate_at(&self, mut state: KeyState, source: u64, done: Option<bool>) -> Vec<KeyState> {
        state.fence();
        let (stays, mut goes) = self.told(state, source);
        if let Some(goes) = &mut goes {
            goes.bury(source, Extent::Below);
        }
        let (stays, goes) = (stays.filter(|_| done != Some(true)), goes.filter(|_| done != Some(false)));
        stays.into_iter().chain(goes).collect()
    }

    /// The write takes place: promise 3, its version is above all that the key ever had; promise 1, it fences.
    fn write(&self, state: &mut KeyState, value: Written) -> bool {
        let mut source = value.source.unwrap_or(state.source());
        let inherits = value.source.is_none();
        let mut vague = match state.entry {
            Some(entry) => entry.vague && inherits,
            None => self.rules.memory != Memory::Whole && inherits,
        };
        if vague && state.entry.is_none() && self.rules.memory == Memory::Forgetful {
            // An absent key's source is forgotten with its tombstone.
            source = 0;
        }
        if let Some(stamp) = self.history.stamp(value.id) {
            let is_right = stamp.source == source || vague && stamp.source > source;
            if stamp.revision <= state.revision || !is_right {
                return false;
            }
            (source, state.revision, vague) = (stamp.source, stamp.revision, false);
        }
        state.fence();
        let due = value.ttl.or(self.rules.time_to_live).map(|ttl| state.now + ttl);
        state.told = state.told.max(value.source.unwrap_or(0));
        let reached = value.source.unwrap_or(state.told);
        state.entry = Some(Entry { id: value.id, source, claimed: !inherits, vague, reached, due });
        true
    }

    /// Its entry goes, and what is being loaded for it is not stored.
    fn end_group(&self, state: &mut KeyState, group: u8) {
        let belongs = |id| self.history.group(id) == Some(group);
        if state.entry.is_some_and(|entry| belongs(entry.id)) {
            state.remove();
            state.fence();
        }
        let brought = state.load.and_then(|open| self.history.loads.get(&open.load));
        if matches!(brought, Some(&Brought::Value(id)) if belongs(id)) {
            state.load = None;
        }
        if let Some(turn) = &mut state.turn {
            turn.ended |= 1 << group;
        }
    }

    /// Promise 6: who loads has found nothing to serve, and nobody else loads, or one who has taken too long.
    fn lead(&self, mut state: KeyState, load: Load, refresh: bool, asked: u64) -> Vec<KeyState> {
        let mut next = Vec::new();
        // Who waits for a lease and finds it overdue just when its value has been stored takes it over, and loads for nothing.
        if state.landed.is_some_and(|first| state.now >= first) {
            next.push(state.clone());
        }
        let is_free = state.load.is_none_or(|open| state.now >= open.first);
        let timeout = self.rules.load_timeout;
        let after = |begin: u64| timeout.map_or(u64::MAX, |timeout| begin + timeout);
        if is_free && (refresh || state.entry.is_none()) {
            state.load = Some(OpenLoad { load, first: after(asked), last: after(state.now) });
            state.failed = None;
            next.push(state);
        }
        next
    }

    /// Does the load under way bring this, to all who come while it is not fenced?
    fn brings(&self, state: &KeyState, what: Brought) -> bool {
        state.load.is_some_and(|open| self.history.loads.get(&open.load) == Some(&what))
    }

    /// Does the load under way fail so, or has one that is remembered?
    fn fails_with(&self, state: &KeyState, error: Error) -> bool {
        let remembered = state.failed.filter(|(_, until)| state.now < *until);
        let has_failed = remembered.is_some_and(|(load, _)| self.history.loads.get(&load) == Some(&Brought::Error(error)));
        has_failed || self.brings(state, Brought::Error(error))
    }

    fn land(&self, mut state: KeyState, load: Load, value: Written, outcome: Outcome, asked: u64) -> Vec<KeyState> {
        let mut next = Vec::new();
        let open = state.load.filter(|open| open.load == load);
        let may_store = open.is_some_and(|open| asked < open.last) && state.turn.is_none();
        if outcome != Outcome::NotStored && may_store {
            next = self.store(&state, value);
            let landed = open.map(|open| open.first).filter(|_| self.rules.load_timeout.is_some());
            next.iter_mut().for_each(|stored| stored.landed = landed);
        }
        // It stays out for a reason: it was fenced, it is late, its key is being written, or its source has said more. Of a value in a group
        // the crate does not say so much: a lease that was passed on may be taken for one from before the group ended.
        let reason = open.is_none_or(|open| state.now >= open.first)
            || state.turn.is_some()
            || self.may_be_too_old(&state, value.source)
            || self.history.group(value.id).is_some();
        if outcome != Outcome::Stored && reason {
            state.load = state.load.filter(|open| open.load != load);
            next.push(state);
        }
        next
    }

    /// Writes of one key through the cache go one at a time.
    fn begin_write(&self, state: &mut KeyState, found: Seen) -> bool {
        let allowed = state.turn.is_none() && state.sees(found);
        state.load = None;
        if self.rules.hides_written {
            state.remove();
        }
        state.turn = Some(Turn { disturbed: false, ended: 0 });
        allowed
    }

    /// The value is stored if nobody else wrote the key meanwhile. Else nobody knows which came first, and the key is absent, unless what is
    /// there is as new by the word of the source.
    fn end_write(&self, mut state: KeyState, value: Option<Written>, outcome: Outcome) -> Vec<KeyState> {
        let Some(turn) = state.turn.take() else { return Vec::new() };
        let group = value.and_then(|value| self.history.group(value.id));
        let undone = turn.disturbed || group.is_some_and(|group| turn.ended >> group & 1 == 1);
        if let (Some(value), Outcome::Stored) = (value, outcome) {
            return if undone { Vec::new() } else { self.store(&state, value) };
        }
        if value.is_some_and(|value| !undone && !self.may_be_too_old(&state, value.source)) {
            return Vec::new();
        }
        if let Some(source) = value.and_then(|value| value.source) {
            return self.invalidate_at(state, source, None);
        }
        state.remove();
        state.fence();
        vec![state]
    }
}

/// Does it make a difference whether there is an entry? An entry that goes before an act that does not care may as well go later.
fn looks_at_entry(act: &Act) -> bool {
    !matches!(
        act,
        Act::Fence
            | Act::MayFence
            | Act::TooHeavy
            | Act::Abandon(_)
            | Act::LoadFailed(_)
            | Act::Advance(_)
            | Act::Met(_)
            | Act::RemoveValue(_)
    ) && !matches!(act, Act::Lead { refresh: true, .. } | Act::Read { seen: Seen::Value(_) | Seen::Something, .. })
}
