//! The tombstones of one stripe: how far absent keys are dead. Knows keys by their hash alone, reads no
//! clock, lives under its stripe's lock.
//!
//! Tombstones stay in the order of burial; burying a hash again makes its tombstone the youngest. They go at a
//! certain age, or earlier, oldest first, where there is no more room. What is forgotten so is never mistaken for
//! what was never known: in [`Ordering::Global`] the floor takes over, in [`Ordering::PerKey`] the stripe is
//! forgetful for a while. More rules that keep a forgotten death from being undone:
//!
//! - Keys of equal hash share a tombstone, which keeps the furthest death. One may be refused for the other's sake,
//!   no more.
//! - A tombstone does not go because its key is back: the hash does not tell whether the key that came is the one
//!   that was buried. A living entry speaks for itself, so the tombstone does no harm, and age takes it. Clearing
//!   the cache does not clear tombstones either.
//! - A tombstone made after another one was lost may be of the same key and know less. So in global order none is
//!   made at or below the floor, and a forgetful stripe trusts none to admit a write.

use hashbrown::HashTable;

use crate::rule::tombstone::Dead;
use crate::rule::tombstone::Known;
use crate::rule::tombstone::Ordering;
use crate::rule::tombstone::UNKNOWN;
use crate::rule::tombstone::WhenForgotten;
use crate::sync::Broken;
use crate::sync::is_broken;
use crate::time::deadline::is_due;

use super::index::spread;

/// See the head of this file.
pub(crate) struct Graves {
    yard: Yard,
    capacity: usize,
    /// Nanoseconds.
    ttl: u64,
    ordering: Ordering,
    when_forgotten: WhenForgotten,
    /// In global order: the furthest death that is forgotten.
    floor: Option<Dead>,
    /// In per-key order: until when the tombstones that were lost early would have stayed.
    forgetful_until: u64,
    lost_early: u64,
}

impl Graves {
    /// Room for `capacity` tombstones of `ttl` nanoseconds. Allocates nothing until the first burial.
    pub(crate) fn new(capacity: usize, ttl: u64, ordering: Ordering, when_forgotten: WhenForgotten) -> Self {
        Self {
            yard: Yard::new(),
            // A place must be a `u32` and not `NONE`.
            capacity: capacity.min(NONE as usize),
            ttl,
            ordering,
            when_forgotten,
            floor: None,
            forgetful_until: 0,
            lost_early: 0,
        }
    }

    /// Remembers from `now` (nanoseconds) on that the key of `hash` is dead as far as `dead`. If there is no
    /// more room, the oldest tombstone goes. O(1), but for growing.
    pub(crate) fn bury(&mut self, hash: u64, dead: Dead, now: u64) {
        if self.yard.renew(hash, dead, now) || self.is_below_floor(dead) {
            return;
        }
        if self.len() >= self.capacity
            && let Some(oldest) = self.yard.remove_oldest()
        {
            self.forget(oldest.dead, oldest.buried, now);
        }
        if self.capacity == 0 {
            self.forget(dead, now, now);
        } else {
            self.yard.add(hash, dead, now);
        }
    }

    /// Drops tombstones that are old enough, at most `limit`. O(limit).
    pub(crate) fn sweep(&mut self, now: u64, limit: usize) {
        for _ in 0..limit {
            let Some(old) = self.yard.oldest().filter(|oldest| self.is_old(oldest.buried, now)) else {
                return;
            };
            let (dead, buried) = (old.dead, old.buried);
            self.yard.remove_oldest();
            self.forget(dead, buried, now);
        }
    }

    /// What is known of the key of `hash`, given that it is absent. O(1).
    #[inline(always)]
    pub(crate) fn known(&self, hash: u64, now: u64) -> Known {
        if self.is_quiet() {
            return Known::Nothing; // The common case: a cache without source versions.
        }
        self.known_dead(hash, now)
    }

    /// Is nothing known of any key?
    #[inline(always)]
    pub(crate) const fn is_quiet(&self) -> bool {
        self.yard.len == 0 && self.floor.is_none() && self.forgetful_until == 0
    }

    #[inline(never)]
    fn known_dead(&self, hash: u64, now: u64) -> Known {
        let buried = self.yard.get(hash);
        if self.when_forgotten == WhenForgotten::Refuse && self.is_forgetful(now) {
            return Known::Forgotten(buried.map_or(UNKNOWN, Dead::version));
        }
        match (buried, self.floor) {
            // Left by an entry that had it from the floor: no death of its own.
            (Some(dead), _) if dead.is_floor() && self.ordering == Ordering::Global => Known::Floor(dead),
            (Some(dead), _) => Known::Buried(dead),
            (None, Some(floor)) => Known::Floor(floor),
            (None, None) => Known::Nothing,
        }
    }

    /// Whether, in per-key order, a tombstone is missing that should still be there: [`WhenForgotten`] then decides
    /// on source-versioned writes to absent keys.
    pub(crate) const fn is_forgetful(&self, now: u64) -> bool {
        now < self.forgetful_until
    }

    /// How many tombstones there are.
    pub(crate) const fn len(&self) -> usize {
        self.yard.len
    }

    /// Whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many tombstones had to go before their time, ever.
    pub(crate) const fn lost_early(&self) -> u64 {
        self.lost_early
    }

    /// Bytes allocated.
    pub(crate) fn memory(&self) -> usize {
        self.yard.memory()
    }

    fn is_old(&self, buried: u64, now: u64) -> bool {
        is_due(buried.saturating_add(self.ttl), now)
    }

    fn is_below_floor(&self, dead: Dead) -> bool {
        self.floor.is_some_and(|floor| dead.floor() <= floor)
    }

    /// Draws the consequence of a tombstone that is gone.
    fn forget(&mut self, dead: Dead, buried: u64, now: u64) {
        self.lost_early += u64::from(!self.is_old(buried, now));
        match self.ordering {
            Ordering::Global if is_broken(Broken::Floor) => {}
            Ordering::PerKey if is_broken(Broken::Forgetful) => {}
            Ordering::Global => self.floor = self.floor.max(Some(dead.floor())),
            Ordering::PerKey => {
                // In the past already, and so of no effect, if it was old enough.
                let would_have_stayed = buried.saturating_add(self.ttl);
                self.forgetful_until = self.forgetful_until.max(would_have_stayed);
            }
        }
    }
}

/// No grave.
const NONE: u32 = u32::MAX;

/// Tombstones by hash and in the order of burial: a list through a slab, and a table over it.
struct Yard {
    /// Places of removed graves are used again before it grows.
    graves: Vec<Grave>,
    /// Places in `graves`, by hash.
    places: HashTable<u32>,
    len: usize,
    /// The first of the removed graves, which are linked by `younger`.
    free: u32,
    oldest: u32,
    youngest: u32,
}

#[derive(Clone, Copy)]
struct Grave {
    hash: u64,
    dead: Dead,
    /// When it was last buried, in nanoseconds.
    buried: u64,
    older: u32,
    younger: u32,
}

impl Yard {
    const fn new() -> Self {
        Self { graves: Vec::new(), places: HashTable::new(), len: 0, free: NONE, oldest: NONE, youngest: NONE }
    }

    fn get(&self, hash: u64) -> Option<Dead> {
        self.find(hash).map(|place| self.graves[place as usize].dead)
    }

    fn oldest(&self) -> Option<&Grave> {
        self.graves.get(self.oldest as usize)
    }

    /// Adds a grave for a hash that has none.
    fn add(&mut self, hash: u64, dead: Dead, now: u64) {
        let place = self.allot(Grave { hash, dead, buried: now, older: NONE, younger: NONE });
        self.append(place);
        let graves = &self.graves;
        self.places.insert_unique(spread(hash), place, |&place| spread(graves[place as usize].hash));
        self.len += 1;
    }

    /// Deepens the grave of `hash` and makes it the youngest. False if there is none.
    fn renew(&mut self, hash: u64, dead: Dead, now: u64) -> bool {
        let Some(place) = self.find(hash) else {
            return false;
        };
        let grave = &mut self.graves[place as usize];
        grave.dead = grave.dead.max(dead);
        grave.buried = grave.buried.max(now);
        self.unlink(place);
        self.append(place);
        true
    }

    fn remove_oldest(&mut self) -> Option<Grave> {
        let grave = *self.oldest()?;
        let place = self.oldest;
        self.unlink(place);
        if let Ok(entry) = self.places.find_entry(spread(grave.hash), |&other| other == place) {
            entry.remove();
        }
        self.graves[place as usize].younger = std::mem::replace(&mut self.free, place);
        self.len -= 1;
        Some(grave)
    }

    fn memory(&self) -> usize {
        self.graves.capacity() * size_of::<Grave>() + self.places.allocation_size()
    }

    fn find(&self, hash: u64) -> Option<u32> {
        let is_its = |&place: &u32| self.graves[place as usize].hash == hash;
        self.places.find(spread(hash), is_its).copied()
    }

    /// Stores `grave`, in a free place if there is one.
    fn allot(&mut self, grave: Grave) -> u32 {
        if self.free == NONE {
            self.graves.push(grave);
            return self.graves.len() as u32 - 1;
        }
        let place = self.free;
        self.free = std::mem::replace(&mut self.graves[place as usize], grave).younger;
        place
    }

    /// Puts `place`, which is in no list, at the young end.
    fn append(&mut self, place: u32) {
        let older = std::mem::replace(&mut self.youngest, place);
        let grave = &mut self.graves[place as usize];
        (grave.older, grave.younger) = (older, NONE);
        match self.graves.get_mut(older as usize) {
            Some(older) => older.younger = place,
            None => self.oldest = place,
        }
    }

    /// Takes `place` out of the order of burial.
    fn unlink(&mut self, place: u32) {
        let Grave { older, younger, .. } = self.graves[place as usize];
        match self.graves.get_mut(older as usize) {
            Some(older) => older.younger = younger,
            None => self.oldest = younger,
        }
        match self.graves.get_mut(younger as usize) {
            Some(younger) => younger.older = older,
            None => self.youngest = older,
        }
    }
}

#[cfg(test)]
#[path = "graves_tests.rs"]
mod tests;
