//! The lines of those who write keys of a stripe through the cache, with its lock held. A line is there as long as somebody writes, and
//! meanwhile no load of its key is stored, for nobody knows whether it has seen the write; and whatever else is written or invalidated of
//! the key is noted, for nobody knows which came first.

use std::sync::Arc;

use equivalent::Equivalent;
use hashbrown::HashTable;

use crate::event::Cause;
use crate::flight;
use crate::flight::Passed;
use crate::flight::Token;
use crate::sync::Broken;
use crate::sync::is_broken;
use crate::time::deadline::is_due;

use super::flights::Ended;
use super::flights::place;
use super::locked::Locked;
use super::locked::Resident;

pub(crate) type Line<K> = flight::Line<K>;

/// A table with room for more is given back when it is empty.
const SMALL: usize = 56;

struct Open<K> {
    hash: u64,
    line: Arc<Line<K>>,
}

pub(super) struct Lines<K> {
    open: HashTable<Open<K>>,
}

impl<K> Lines<K> {
    pub(super) const fn new() -> Self {
        Lines { open: HashTable::new() }
    }

    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn memory(&self) -> usize {
        self.open.allocation_size()
    }

    pub(super) fn get<Q>(&self, hash: u64, key: &Q) -> Option<&Arc<Line<K>>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let is = |open: &Open<K>| place(open.hash) == place(hash) && key.equivalent(&open.line.subject);
        self.open.find(place(hash), is).map(|open| &open.line)
    }

    fn remove(&mut self, hash: u64, number: u64) -> Option<Arc<Line<K>>> {
        let found = self.open.find_entry(place(hash), |open| open.line.number() == number).ok()?;
        let line = found.remove().0.line;
        self.give_back();
        Some(line)
    }

    fn give_back(&mut self) {
        if self.open.is_empty() && self.open.capacity() > SMALL {
            self.open = HashTable::new();
        }
    }

    /// Somebody else has written or invalidated a key, or all of them.
    pub(super) fn fence(&self, hash: u64, number: u64) {
        if let Some(open) = self.open.find(place(hash), |open| open.line.number() == number) {
            open.line.fence();
        }
    }

    pub(super) fn marks(&self) -> impl Iterator<Item = u64> {
        self.open.iter().map(|open| open.line.mark())
    }

    pub(super) fn fence_all(&self) {
        self.open.iter().for_each(|open| open.line.fence());
    }

    /// Takes out the lines of which `is_over` says so.
    pub(super) fn take_over(&mut self, mut is_over: impl FnMut(&Line<K>) -> bool) -> Vec<(u64, Arc<Line<K>>)> {
        let over = self.open.extract_if(|open| is_over(&open.line)).map(|open| (open.hash, open.line)).collect();
        self.give_back();
        over
    }
}

impl<K, V> Locked<'_, K, V> {
    #[inline(always)]
    pub(crate) fn has_no_lines(&self) -> bool {
        self.state.flights.lines.is_empty()
    }

    /// The line of those who write `key`.
    pub(crate) fn line<Q>(&self, hash: u64, key: &Q) -> Option<Arc<Line<K>>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.state.flights.lines.get(hash, key).cloned()
    }

    /// From here on the line is found by its key. No other may be.
    pub(crate) fn open_line(&mut self, hash: u64, line: Arc<Line<K>>) {
        self.state.quiet = false;
        let flights = &mut self.state.flights;
        flights.next_overdue = flights.next_overdue.min(line.due().0);
        flights.lines.open.insert_unique(place(hash), Open { hash, line }, |open| place(open.hash));
    }

    /// Is it the turn of `token`, in time, in a line that is still there?
    pub(crate) fn has_turn(&self, hash: u64, line: &Line<K>, token: Token, now: u64) -> bool {
        let is_there = self.state.flights.lines.open.find(place(hash), |open| open.line.number() == line.number()).is_some();
        is_there && line.has_turn(token, now)
    }

    /// The turn of `token` is over: it is the next one's until `until`, who is woken after the unlock, or the line is gone.
    pub(crate) fn pass_turn(&mut self, hash: u64, line: &Arc<Line<K>>, token: Token, until: u64) {
        let next = match line.pass(token, until) {
            Passed::Late => return,
            Passed::Next(waiter) => {
                line.end();
                waiter
            }
            Passed::Nobody => {
                drop(self.state.flights.lines.remove(hash, line.number()));
                self.count_flights();
                None
            }
        };
        self.state.quiet = false;
        self.state.flights.ended.push(Ended::Turn { line: Arc::clone(line), next });
    }

    /// May a load of `key` not be stored because the key is being written? By a turn that is overdue only the loads that are under way when
    /// that is found out are held up.
    pub(crate) fn is_being_written<Q>(&mut self, hash: u64, key: &Q, lease_now: u64, now: u64) -> bool
    where
        Q: Equivalent<K> + ?Sized,
    {
        let active = |line: &Arc<Line<K>>| line.is_active() && !is_broken(Broken::Turn);
        let Some(line) = self.line(hash, key).filter(active) else { return false };
        if is_due(line.due().0, lease_now) {
            self.give_up_turn(hash, &line, now);
        }
        true
    }

    /// Whoever has the turn did not end it in time: what readers were shown meanwhile goes, and what is being loaded is not stored. The
    /// entry is known by its revision, and what is loaded by its hash, as keys are not compared here.
    pub(crate) fn give_up_turn(&mut self, hash: u64, line: &Line<K>, now: u64) {
        if !line.is_active() {
            return;
        }
        line.end();
        self.fence_hash(hash);
        let shown = line.shown();
        let spot = self.index().find(hash, |slot| shown != 0 && self.node(slot).revision() == shown);
        if let Some(spot) = spot {
            self.take_out(self.resident(spot.slot), Cause::Invalidated, now);
        }
    }
}

impl<'a, K: Eq, V> Locked<'a, K, V> {
    /// A turn to write begins: what loads bring that are under way is not stored, and what was noted before is not about this turn. Gives
    /// the entry that is there, which readers see meanwhile if `shown`.
    pub(crate) fn begin_turn(&mut self, hash: u64, line: &Line<K>, shown: bool, now: u64) -> Option<Resident<'a, K, V>> {
        if line.is_active() {
            self.make_absent(hash, &line.subject, None, now);
        } else {
            self.fence(hash, &line.subject);
        }
        let current = self.find(hash, &line.subject, now);
        let revision = current.filter(|_| shown).map_or(0, |resident| resident.version.revision());
        line.begin(self.state.revision, revision);
        current
    }

    /// Nobody knows what the source has, but perhaps that it has had version `source`: what is there of the key goes, unless it is as new,
    /// and nothing older may come.
    pub(crate) fn make_absent(&mut self, hash: u64, key: &K, source: Option<u64>, now: u64) {
        match source {
            Some(source) => {
                self.invalidate_at(hash, key, source, now);
            }
            None => {
                self.fence(hash, key);
                if let Some(resident) = self.find(hash, key, now) {
                    self.take_out(resident, Cause::Invalidated, now);
                }
            }
        }
    }
}
