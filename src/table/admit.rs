//! What may come in: everything that can refuse a write, before anything changes, and what the new entry will have of what was there.

use std::sync::Arc;

use crate::event::Cause;
use crate::event::Moment;
use crate::event::Terms;
use crate::rule::tombstone::EqualSource;
use crate::rule::tombstone::Known;
use crate::rule::tombstone::admit_source;
use crate::rule::version::Claim;
use crate::rule::version::Version;
use crate::sync::Broken;
use crate::sync::is_broken;
use crate::time::deadline;

use super::flights::Flight;
use super::locked::Locked;
use super::locked::Resident;
use super::node::CLAIMED;
use super::node::HASH_MASK;
use super::node::HELD;
use super::node::SOURCED;
use super::node::TIMED;
use super::node::UNEVICTABLE;
use super::node::UNSURE;
use super::put::deadline_of;

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

/// Leave to write, for as long as the lock is held: what is there now, and what the new node will have of it.
pub(crate) struct Permit<'a, K, V> {
    pub(super) current: Option<Resident<'a, K, V>>,
    /// What is there is out of sight already: see `transact`.
    pub(super) hidden: bool,
    pub(super) source: u64,
    pub(super) flags: u8,
    /// Why the value cannot stay.
    pub(super) stillborn: Option<Cause>,
    /// The load that the write fences.
    pub(super) flight: Option<Arc<Flight<K, V>>>,
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
        let newest = current.or(match known {
            Known::Buried(dead) => Some(dead.version()),
            // Whatever else is forgotten, this is still there.
            Known::Forgotten(least) => Some(least),
            Known::Floor(_) | Known::Nothing => None,
        });
        let Some(newer) = newest.filter(|newest| source < newest.source()) else { return Ok(()) };
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
