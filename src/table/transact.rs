//! What a transaction does in one stripe. All its keys are judged first; then what it ends is taken out of sight, in every stripe,
//! before the first of its new values is shown in any: so whoever sees one of those finds none of the others' past. The locks of all its
//! stripes are held throughout, and from the first change on nothing can fail.

use crate::event::Cause;
use crate::event::End;
use crate::event::Moment;
use crate::event::Wanted;
use crate::rule::swap::Condition;
use crate::rule::tombstone::Dead;
use crate::rule::tombstone::Known;
use crate::rule::tombstone::admits_invalidation;
use crate::rule::version::Claim;
use crate::rule::version::Version;

use super::admit::Permit;
use super::admit::Refusal;
use super::expire::Serving;
use super::flights::Fences;
use super::index::Spot;
use super::leave::dead_of;
use super::locked::Locked;
use super::locked::Resident;
use super::node::HASH_MASK;
use super::node::Node;
use super::node::RETIRED;
use super::put::Put;

/// Leave to do what a transaction wants of a key, for as long as the lock is held.
pub(crate) struct Verdict<'a, K, V> {
    /// What is there and shall end.
    current: Option<Resident<'a, K, V>>,
    permit: Option<Permit<'a, K, V>>,
    /// An entry that has expired, and goes with what is done to its key.
    stale: Option<Resident<'a, K, V>>,
    /// Something newer is there than what was to end.
    outdated: bool,
    fences: Fences,
}

impl<'a, K: Eq, V> Locked<'a, K, V> {
    /// May it be done? Changes nothing, but that an entry goes whose time is up, or which a source that is refused shows to be old.
    pub(crate) fn judge(&mut self, wanted: &Wanted, key: &K, moment: Moment) -> Result<Verdict<'a, K, V>, Refusal<'a, K, V>> {
        let (current, stale) = match self.find_serving(wanted.hash, key, moment.now) {
            Some(Serving::Live(resident)) => (Some(resident), None),
            Some(Serving::Stale(resident)) => (None, Some(resident)),
            None => (None, None),
        };
        let version = current.map(|resident| resident.version);
        if !wanted.expected.iter().all(|&expected| Condition::If(expected).holds(version)) {
            return Err(Refusal::Conflict(current));
        }
        // What is stale goes before anything is written, and leaves its source behind.
        let dead = stale.and_then(|Resident { node, version, .. }| dead_of(node, version, Cause::Expired));
        let known = self.known(wanted.hash, moment.now);
        let known = dead.map_or(known, |dead| known.with(dead));
        let permit = match self.consider_end(wanted, current, known, moment) {
            Ok(permit) => permit,
            Err(refusal) => {
                let said = wanted.first_said.map_or(Claim::Unversioned, Claim::At);
                self.refused((wanted.hash, key), said, &refusal, current.or(stale), moment.now);
                return Err(refusal);
            }
        };
        let outdated = match (&wanted.end, wanted.below) {
            (End::Stays, Some(source)) => !admits_invalidation(current.map(|resident| resident.reached()), source),
            _ => false,
        };
        let ends = wanted.touches() && !outdated;
        let stale = stale.filter(|_| wanted.touches());
        Ok(Verdict { current: current.filter(|_| ends), permit, stale, outdated, fences: Fences::NONE })
    }

    /// May the key end so, by its sources and by what is written?
    fn consider_end(
        &mut self,
        wanted: &Wanted,
        current: Option<Resident<'a, K, V>>,
        known: Known,
        moment: Moment,
    ) -> Result<Option<Permit<'a, K, V>>, Refusal<'a, K, V>> {
        if let Some(source) = wanted.said_before() {
            self.check_source(source, current, known)?;
        }
        match &wanted.end {
            End::Written(terms) => self.consider(terms, current, known, moment).map(Some),
            End::Gone | End::Stays => Ok(None),
        }
    }

    /// Finds the loads of the key that are to be fenced: the last that may fail, as keys are compared here.
    pub(crate) fn find_fences(&self, wanted: &Wanted, key: &K, verdict: &mut Verdict<'a, K, V>) {
        if wanted.touches() {
            verdict.fences = self.fences_of(wanted.hash, key);
        }
    }

    /// Does it. Tells what was written, if anything.
    pub(crate) fn carry_out(
        &mut self,
        wanted: &Wanted,
        verdict: Verdict<'a, K, V>,
        pair: Option<(K, V)>,
        now: u64,
    ) -> Option<Put<'a, K, V>> {
        let Verdict { current, permit, stale, outdated, fences } = verdict;
        let flight = self.take_fences(wanted.hash, fences);
        if let Some(stale) = stale {
            self.leave(stale, Cause::Expired, now);
        }
        if let (End::Written(terms), Some(mut permit), Some(pair)) = (&wanted.end, permit, pair) {
            permit.flight = flight;
            return Some(self.write(terms, permit, pair, now));
        }
        if let Some(flight) = flight {
            self.flight_ended(flight, None);
        }
        if let Some(resident) = current {
            self.leave(resident, Cause::Invalidated, now);
        }
        if !outdated {
            let dead = [wanted.said.map(|source| (source, true)), wanted.below.map(|source| (source, false))];
            dead.into_iter().flatten().for_each(|(source, inclusive)| self.bury_source(wanted.hash, source, inclusive, now));
        }
        None
    }
}

impl<'a, K, V> Locked<'a, K, V> {
    /// What is there and shall end goes out of sight.
    pub(crate) fn hide(&mut self, verdict: &mut Verdict<'a, K, V>) {
        // Keys whose `Eq` is at odds with itself may both have been found to be of one entry.
        verdict.current = verdict.current.filter(|resident| self.hide_resident(*resident));
        verdict.stale = verdict.stale.filter(|resident| self.hide_resident(*resident));
        if let Some(permit) = &mut verdict.permit {
            (permit.current, permit.hidden) = (verdict.current, true);
        }
    }

    /// False if it is out of sight already.
    pub(super) fn hide_resident(&mut self, resident: Resident<'a, K, V>) -> bool {
        self.hide_node(resident.spot, resident.node)
    }

    #[inline(always)]
    pub(super) fn hide_node(&mut self, spot: Spot, node: &Node<K, V>) -> bool {
        if node.has(RETIRED) {
            return false;
        }
        self.index().unlink(node.hash(), spot);
        // Whoever pinned it on a walk over the entries sees that it is over.
        node.retire();
        true
    }

    /// The source has said that every state up to `source`, or below it, is dead, of a key that is absent.
    pub(super) fn bury_source(&mut self, hash: u64, source: u64, inclusive: bool, now: u64) {
        self.state.revision += 1;
        let version = Version::new(source, self.state.revision);
        let dead = if inclusive { Dead::up_to(version) } else { Dead::below(version) };
        self.state.quiet = false;
        self.state.graves.bury(hash & HASH_MASK, dead, now);
    }
}
