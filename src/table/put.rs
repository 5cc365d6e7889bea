//! The one transition that brings a value in. Everything that can refuse it comes before anything that changes.

use std::sync::Arc;

use crate::event::Cause;
use crate::event::Moment;
use crate::event::Special;
use crate::event::Terms;
use crate::rule::tombstone::EqualSource;
use crate::rule::tombstone::Known;
use crate::rule::tombstone::admit_source;
use crate::rule::version::Claim;
use crate::rule::version::Version;
use crate::sync::Broken;
use crate::sync::Ordering;
use crate::sync::is_broken;
use crate::time::deadline;

use super::flights::Flight;
use super::index::Spot;
use super::index::ordinal;
use super::locked::Locked;
use super::locked::Resident;
use super::node::CLAIMED;
use super::node::HASH_MASK;
use super::node::HELD;
use super::node::Node;
use super::node::SOURCED;
use super::node::TIMED;
use super::node::UNEVICTABLE;
use super::node::UNSURE;
use super::pin::Pin;
use super::reclaim::Outgrown;
use super::slab::Slab;

/// Why a write was refused. The pair stays with the caller.
pub(crate) enum Refusal<'a, K, V> {
    /// The condition does not hold; the entry that is there.
    Conflict(Option<Resident<'a, K, V>>),
    /// The source version is not newer than what is known of the key.
    Superseded(Version),
    /// Heavier than the capacity.
    TooHeavy,
    /// Not in the assumed state any more.
    Changed,
}

/// What a write did.
pub(crate) struct Put<'a, K, V> {
    pub(crate) version: Version,
    /// The key had no entry before, so the write stands for a miss.
    pub(crate) fresh: bool,
    slot: u32,
    node: &'a Node<K, V>,
}

/// Leave to write, for as long as the lock is held: what is there now, and what the new node will have of it.
pub(crate) struct Permit<'a, K, V> {
    pub(super) current: Option<Resident<'a, K, V>>,
    /// What is there is out of sight already: see `transact`.
    pub(super) hidden: bool,
    source: u64,
    flags: u8,
    /// Why the value cannot stay.
    stillborn: Option<Cause>,
    /// The load that the write fences.
    pub(super) flight: Option<Arc<Flight<K, V>>>,
}

/// A filled node that nobody sees yet.
pub(super) struct Fresh<'a, K, V> {
    pub(super) slot: u32,
    pub(super) node: &'a Node<K, V>,
    pub(super) version: Version,
}

impl<K, V> Locked<'_, K, V> {
    /// Keeps what was just written for a guard, be it resident or gone again.
    pub(crate) fn pin_put(&self, put: &Put<'_, K, V>) -> Pin<K, V> {
        // SAFETY: filled under this lock; retired at most, and nothing retired is dropped before the lock is gone.
        unsafe { self.stripe.pin(put.slot, put.node) }
    }
}

impl<'a, K: Eq, V> Locked<'a, K, V> {
    /// May a pair be written on these terms? Changes nothing, but that an expired entry of the key goes.
    #[inline(always)]
    pub(crate) fn admit(&mut self, terms: &impl Terms, key: &K, moment: Moment) -> Result<Permit<'a, K, V>, Refusal<'a, K, V>> {
        let current = self.find(terms.hash(), key, moment.now);
        let known = self.known(terms.hash(), moment.now);
        let permit = match self.consider(terms, current, known, moment) {
            Ok(permit) => permit,
            Err(refusal) => {
                if !terms.is_leased() {
                    self.refused((terms.hash(), key), terms.claim(), &refusal, current, moment.now);
                }
                return Err(refusal);
            }
        };
        // Last, as the keys' `Eq` may panic: then nothing has changed. A load's own flight is not looked for.
        let quiet = self.state.quiet || self.state.flights.is_empty() || terms.is_leased();
        let flight = if quiet { None } else { self.take_flight(terms.hash(), key) };
        Ok(Permit { flight, ..permit })
    }

    /// May a pair be written on these terms, given what is there and known? Changes nothing.
    #[inline(always)]
    pub(super) fn consider(
        &mut self,
        terms: &impl Terms,
        current: Option<Resident<'a, K, V>>,
        known: Known,
        moment: Moment,
    ) -> Result<Permit<'a, K, V>, Refusal<'a, K, V>> {
        self.check(terms, current, known, moment)?;
        Ok(self.permit(terms, current, known, moment))
    }

    /// What is known of the past of a key, were it absent.
    #[inline(always)]
    pub(super) fn known(&self, hash: u64, now: u64) -> Known {
        if self.state.quiet { Known::Nothing } else { self.state.graves.known(hash & HASH_MASK, now) }
    }

    /// Writes, and frees those who wait for the key. Cannot fail any more, nor panic.
    #[inline(always)]
    pub(crate) fn write(&mut self, terms: &impl Terms, permit: Permit<'a, K, V>, pair: (K, V), now: u64) -> Put<'a, K, V> {
        self.state.revision += u64::from(!is_broken(Broken::Revision));
        self.state.counts.inserts += 1;
        let version = Version::new(permit.source, self.state.revision);
        let fresh = self.fill(terms, &permit, version, pair);
        let put = Put { version, fresh: permit.current.is_none(), slot: fresh.slot, node: fresh.node };
        match (permit.stillborn, permit.current) {
            (None, Some(old)) => self.replace(old, permit.hidden, fresh, terms),
            (None, None) => self.link(fresh, terms),
            (Some(cause), old) => self.stillborn(old, permit.hidden, fresh, cause, now),
        }
        if let Some(flight) = permit.flight {
            self.divert(flight, &put);
        }
        put
    }

    /// A write that is refused says something of the key all the same, unless it was bound to a condition, or the entry that is there
    /// proves it old news.
    #[cold]
    pub(super) fn refused(
        &mut self,
        (hash, key): (u64, &K),
        claim: Claim,
        refusal: &Refusal<'a, K, V>,
        current: Option<Resident<'a, K, V>>,
        now: u64,
    ) {
        match (refusal, claim) {
            _ if is_broken(Broken::Heard) => {}
            (Refusal::Superseded(_), Claim::At(source)) if current.is_none_or(|resident| resident.reached() < source) => {
                self.fence(hash, key);
                // It may be older than what was forgotten, but what is there may be older still.
                if let Some(outdated) = current {
                    self.take_out(outdated, Cause::Invalidated, now);
                }
            }
            (Refusal::TooHeavy, _) => self.fence(hash, key),
            _ => {}
        }
    }

    /// Everything that may refuse the write.
    #[inline(always)]
    fn check(
        &mut self,
        terms: &impl Terms,
        current: Option<Resident<'a, K, V>>,
        known: Known,
        moment: Moment,
    ) -> Result<(), Refusal<'a, K, V>> {
        let version = current.map(|resident| resident.version);
        let Some(special) = terms.special() else { return Ok(()) };
        if !special.condition.holds(version) && !is_broken(Broken::Compare) {
            return Err(Refusal::Conflict(current));
        }
        if special.assumed.is_some_and(|assumed| assumed != version) {
            return Err(Refusal::Changed);
        }
        if let Claim::At(source) = special.claim {
            if special.leased {
                let proven = version.filter(|_| !has_floors_source(current, known));
                self.check_leased(source, proven, known)?;
            } else {
                self.check_source(source, current, known)?;
            }
        }
        if special.refuse_heavy && special.weight > moment.capacity {
            return Err(Refusal::TooHeavy);
        }
        Ok(())
    }

    pub(super) fn check_source(
        &mut self,
        source: u64,
        current: Option<Resident<'a, K, V>>,
        known: Known,
    ) -> Result<(), Refusal<'a, K, V>> {
        if is_broken(Broken::Source) {
            return Ok(());
        }
        let has = |flag| current.is_some_and(|resident| resident.node.has(flag));
        // An entry that does not know its key's past is no better than none while that past is forgotten.
        let unsure = has(UNSURE) && matches!(known, Known::Forgotten(_));
        let judged = current.map(|resident| resident.version).filter(|_| !unsure);
        // What has its source from before was written after that state: the same state again is not news.
        let equal = if current.is_none() || has(CLAIMED) { self.state.config.equal } else { EqualSource::Refuse };
        let Err(newer) = admit_source(judged, known, source, equal) else { return Ok(()) };
        self.state.counts.refused_stale += 1;
        Err(Refusal::Superseded(current.map_or(newer, |resident| resident.version.max(newer))))
    }

    /// A load began after all that is known of the key, or it would be fenced: floors and what was forgotten do not hold it back,
    /// and the source that it read is still the newest if it is not older than the newest known.
    fn check_leased(&mut self, source: u64, current: Option<Version>, known: Known) -> Result<(), Refusal<'a, K, V>> {
        let known = if matches!(known, Known::Buried(_)) { known } else { Known::Nothing };
        let Err(newer) = admit_source(current, known, source, EqualSource::Replace) else { return Ok(()) };
        self.state.counts.loads_older += 1;
        Err(Refusal::Superseded(newer))
    }

    #[inline(always)]
    fn permit(&self, terms: &impl Terms, current: Option<Resident<'a, K, V>>, known: Known, moment: Moment) -> Permit<'a, K, V> {
        let (source, mut flags) = match (terms.claim(), current) {
            // The fence lets a load in whose source may lie below what the key once had.
            (Claim::At(source), _) if terms.is_leased() && matches!(known, Known::Forgotten(_)) => {
                (source, SOURCED | CLAIMED | UNSURE)
            }
            // No version goes back, and what a load brings is newer than what only has its source from a floor.
            (Claim::At(source), Some(old))
                if terms.is_leased() && source < old.version.source() && has_floors_source(current, known) =>
            {
                (old.version.source(), SOURCED | UNSURE)
            }
            (Claim::At(source), _) => (source, SOURCED | CLAIMED),
            (Claim::Atop(source), Some(old)) => (source.max(old.version.source()), SOURCED | old.node.flags(UNSURE)),
            (Claim::Atop(source), None) => (source.max(known.source()), SOURCED | flags_of(known)),
            (Claim::Unversioned, Some(old)) => (old.version.source(), old.node.flags(SOURCED | UNSURE)),
            (Claim::Unversioned, None) => (known.source(), flags_of(known)),
        };
        if !terms.is_evictable() {
            flags |= UNEVICTABLE;
        }
        if terms.is_held() {
            flags |= HELD;
        } else if terms.special().is_some_and(|special| special.timed || deadline_of(terms) != deadline::NEVER) {
            flags |= TIMED;
        }
        Permit { current, hidden: false, source, flags, stillborn: dead_on_arrival(terms, moment), flight: None }
    }

    /// Makes a node that nobody sees yet.
    #[inline(always)]
    fn fill(&mut self, terms: &impl Terms, permit: &Permit<'a, K, V>, version: Version, pair: (K, V)) -> Fresh<'a, K, V> {
        let flags = permit.flags;
        // The hash by which the entry is found stays, even if the `Eq` of two keys and their hashes are at odds.
        let hash = permit.current.map_or(terms.hash() & HASH_MASK, |old| old.node.hash());
        let slab: &'a Slab<K, V> = &self.stripe.slab;
        let slot = self.take_slot();
        // SAFETY: just taken from the slab, and the lock is held; nobody else has the slot until it is linked.
        unsafe {
            if flags & SOURCED != 0 {
                slab.set_source(slot, version.source());
            }
            if !self.state.quiet && self.state.config.weighted {
                slab.set_weight(slot, terms.weight());
            }
            if let Some(special) = terms.special() {
                self.fill_times(slot, flags, special);
            }
            let node = slab.node(slot);
            node.fill(hash, version.revision(), flags, self.is_watched(hash), pair);
            Fresh { slot, node, version }
        }
    }

    /// # Safety
    /// As for [`Slab::deadlines`], before the entry is published.
    unsafe fn fill_times(&self, slot: u32, flags: u8, special: &Special) {
        let slab = &self.stripe.slab;
        if flags & TIMED != 0 || special.held && special.timed {
            // SAFETY: passed on.
            let deadlines = unsafe { slab.deadlines(slot) };
            deadlines.due.store(special.due, Ordering::Relaxed);
            deadlines.last.store(special.last, Ordering::Relaxed);
            deadlines.idle.store(special.idle, Ordering::Relaxed);
        }
        if self.state.config.refreshing {
            // SAFETY: passed on.
            let refresh = unsafe { slab.refresh(slot) };
            refresh.at.store(special.refresh.at, Ordering::Relaxed);
            refresh.took.store(special.refresh.took, Ordering::Relaxed);
        }
    }

    #[inline(always)]
    pub(super) fn take_slot(&mut self) -> u32 {
        let (slot, outgrown) = self.stripe.slab.take(&mut self.state.slots);
        if let Some(directory) = outgrown {
            self.state.grew = true;
            self.state.outgrown.push(Outgrown::directory(directory));
        }
        slot.expect("a stripe holds fewer than 2^32 entries")
    }

    /// The key was absent: the node becomes its entry.
    pub(super) fn link(&mut self, fresh: Fresh<'a, K, V>, terms: &impl Terms) {
        let Fresh { slot, node, .. } = fresh;
        self.make_room_in_index();
        self.index().link(terms.hash(), slot);
        if terms.is_evictable() {
            self.state.policy.admit(slot, ordinal(terms.hash()), terms.weight());
        }
        self.schedule(slot, node, terms);
        self.join_groups(slot, terms.groups());
        self.resize(1, (terms.weight(), 0));
    }

    /// A slot takes the place in the index of an entry, which may be out of sight.
    #[inline(always)]
    pub(super) fn show(&self, old: Spot, node: &Node<K, V>, hidden: bool, slot: u32) {
        if hidden {
            // There is room: the entry that went out of sight had a place.
            self.index().link(node.hash(), slot);
        } else {
            // Before the new value is seen, so that no walk over the entries yields this one after it.
            if is_broken(Broken::RetiredFirst) {
                self.index().swap(old, slot);
            }
            node.retire();
            self.index().swap(old, slot);
        }
    }

    /// The node takes the place of the key's entry, in the table and in the policy.
    #[inline(always)]
    fn replace(&mut self, old: Resident<'a, K, V>, hidden: bool, fresh: Fresh<'a, K, V>, terms: &impl Terms) {
        let Fresh { slot, node, .. } = fresh;
        let (old_slot, old_weight, weight) = (old.spot.slot, self.weight(old.spot.slot), terms.weight());
        node.set_uses(old.node.uses());
        self.show(old.spot, old.node, hidden, slot);
        match (!old.node.has(UNEVICTABLE), terms.is_evictable()) {
            (true, true) => self.state.policy.replace(old_slot, slot, old_weight, weight),
            (true, false) => self.state.policy.remove(old_slot, old_weight),
            (false, true) => self.state.policy.admit(slot, ordinal(terms.hash()), weight),
            (false, false) => {}
        }
        if old.node.has(TIMED) {
            let end = self.end_after(deadline_of(terms));
            self.state.quiet = false;
            self.state.wheel.replace(old_slot, slot, end);
        } else {
            self.schedule(slot, node, terms);
        }
        self.follow_in_groups(old_slot, slot, terms.groups());
        self.resize(0, (weight, old_weight));
        self.retire(old_slot, old.node, Cause::Replaced);
    }

    /// The write takes effect, but its value cannot stay: whatever was there goes, and the value after it.
    #[cold]
    fn stillborn(&mut self, old: Option<Resident<'a, K, V>>, hidden: bool, fresh: Fresh<'a, K, V>, cause: Cause, now: u64) {
        match old {
            Some(old) if hidden => self.leave(old, Cause::Replaced, now),
            Some(old) => self.take_out(old, Cause::Replaced, now),
            None => {}
        }
        self.remember(fresh.node, fresh.version, cause, now);
        self.retire(fresh.slot, fresh.node, cause);
    }

    #[inline(always)]
    fn schedule(&mut self, slot: u32, node: &Node<K, V>, terms: &impl Terms) {
        if node.has(TIMED) {
            let end = self.end_after(deadline_of(terms));
            self.state.quiet = false;
            self.state.wheel.schedule(slot, end);
        }
    }
}

/// When it expires as things are. What is held does not.
#[inline(always)]
fn deadline_of(terms: &impl Terms) -> u64 {
    terms.special().filter(|special| !special.held).map_or(deadline::NEVER, |special| special.due.min(special.idle))
}

/// A pair that cannot stay, and why.
#[inline(always)]
fn dead_on_arrival(terms: &impl Terms, moment: Moment) -> Option<Cause> {
    if terms.weight() > moment.capacity {
        return Some(Cause::Evicted);
    }
    deadline::is_due(deadline_of(terms), moment.now).then_some(Cause::Expired)
}

/// Has the entry its source from a floor, which may be another key's?
fn has_floors_source<K, V>(current: Option<Resident<'_, K, V>>, known: Known) -> bool {
    matches!(known, Known::Floor(_)) && current.is_some_and(|resident| resident.node.is_unsure())
}

/// What the node of an unversioned write to an absent key must remember of the key's past.
fn flags_of(known: Known) -> u8 {
    match known {
        Known::Forgotten(_) | Known::Floor(_) if known.source() > 0 => SOURCED | UNSURE,
        Known::Forgotten(_) | Known::Floor(_) => UNSURE,
        _ if known.source() > 0 => SOURCED,
        _ => 0,
    }
}
