//! The commit of a transaction: all of it, or nothing. User code has its say before the locks; then every stripe that it touches is
//! locked, in order, and what the transaction wants is judged, then done (`table::transact` says how).

use std::sync::Arc;

use crate::error::WhyAborted;
use crate::event::End;
use crate::event::Moment;
use crate::event::Wanted;
use crate::rule::version::Claim;
use crate::table::Refusal;

use super::Core;
use super::How;
use super::step::Inside;

/// What a transaction does to one key.
pub(crate) struct Change<K, V> {
    /// They are here until the transaction is carried out.
    pub(crate) key: Option<K>,
    pub(crate) value: Option<V>,
    /// How the value is to be written.
    pub(crate) how: How,
    pub(crate) wanted: Wanted,
}

/// A change keeps its key until nothing can fail any more.
const HERE: &str = "a key is given up once";

impl<K, V> Change<K, V> {
    pub(crate) fn new(hash: u64, key: K) -> Self {
        Change { key: Some(key), value: None, how: How::PLAIN, wanted: Wanted::new(hash) }
    }

    pub(crate) fn key(&self) -> &K {
        self.key.as_ref().expect(HERE)
    }
}

/// Why a commit changed nothing.
enum Refused {
    /// The change that could not be made, and why.
    For(usize, WhyAborted),
    /// A key is not in the state for which its terms were worked out: again.
    Changed,
}

/// A value written to an absent key, for the policy to take note.
struct Missed {
    hash: u64,
    weight: u64,
}

impl<K: Eq, V> Core<K, V> {
    /// Makes all the changes at once, or none: then it tells the place of one that could not be made, and why. Their order may change.
    pub(crate) fn commit(self: &Arc<Self>, changes: &mut [Change<K, V>]) -> Result<(), (usize, WhyAborted)> {
        changes.sort_by_key(|change| self.table.stripe_of(change.wanted.hash));
        loop {
            changes.iter_mut().for_each(|change| self.work_out(change));
            match self.try_commit(changes) {
                Ok(()) => return Ok(()),
                Err(Refused::For(at, why)) => return Err((at, why)),
                Err(Refused::Changed) => {}
            }
        }
    }

    /// What user code has to say of a value that is to be written.
    fn work_out(&self, change: &mut Change<K, V>) {
        if let (Some(key), Some(value)) = (&change.key, &change.value) {
            let claim = if let Claim::At(_) = change.how.claim { change.how.claim } else { change.wanted.inherited() };
            let how = How { claim, ..change.how };
            change.wanted.end = End::Written(self.terms(change.wanted.hash, key, value, how));
        }
        if change.wanted.below.is_some() {
            self.keep_time();
        }
    }

    fn try_commit(&self, changes: &mut [Change<K, V>]) -> Result<(), Refused> {
        let mut numbers: Vec<usize> = changes.iter().map(|change| self.table.stripe_of(change.wanted.hash)).collect();
        numbers.dedup();
        // Out here: keys that are not needed any more are dropped when the locks are gone.
        let (mut spent, mut missed) = (Vec::new(), Vec::new());
        let done = self.transition_over(&numbers, |stripes, now| self.carry_out(stripes, changes, now, &mut spent, &mut missed));
        drop(spent);
        missed.into_iter().for_each(|Missed { hash, weight }| self.missed(hash, weight));
        done
    }

    fn carry_out(
        &self,
        stripes: &mut [Inside<'_, K, V>],
        changes: &mut [Change<K, V>],
        now: u64,
        spent: &mut Vec<K>,
        missed: &mut Vec<Missed>,
    ) -> Result<(), Refused> {
        let moment = Moment { now, capacity: self.capacity() };
        let places = self.places(changes);
        let mut verdicts = Vec::with_capacity(changes.len());
        for (at, change) in changes.iter().enumerate() {
            let judged = stripes[places[at]].locked.judge(&change.wanted, change.key(), moment);
            verdicts.push(judged.map_err(|refusal| refused(at, refusal))?);
        }
        for (at, verdict) in verdicts.iter_mut().enumerate() {
            stripes[places[at]].locked.find_fences(&changes[at].wanted, changes[at].key(), verdict);
        }
        for (at, verdict) in verdicts.iter_mut().enumerate() {
            stripes[places[at]].locked.hide(verdict);
        }
        for (at, verdict) in verdicts.into_iter().enumerate() {
            let change = &mut changes[at];
            let pair = match (change.key.take(), change.value.take()) {
                (Some(key), Some(value)) => Some((key, value)),
                (key, _) => {
                    spent.extend(key);
                    None
                }
            };
            let put = stripes[places[at]].locked.carry_out(&change.wanted, verdict, pair, now);
            if put.is_some_and(|put| put.fresh)
                && let End::Written(terms) = &change.wanted.end
            {
                missed.push(Missed { hash: terms.hash, weight: terms.weight });
            }
        }
        Ok(())
    }

    /// For each change the place of its stripe among those that are locked.
    fn places(&self, changes: &[Change<K, V>]) -> Vec<usize> {
        let mut place = 0;
        let mut before = None;
        let mut place_of = |change: &Change<K, V>| {
            let number = self.table.stripe_of(change.wanted.hash);
            place += usize::from(before.is_some_and(|before| before != number));
            before = Some(number);
            place
        };
        changes.iter().map(&mut place_of).collect()
    }
}

fn refused<K, V>(at: usize, refusal: Refusal<'_, K, V>) -> Refused {
    match refusal {
        Refusal::Conflict(current) => {
            Refused::For(at, WhyAborted::Conflict { current: current.map(|resident| resident.version) })
        }
        Refusal::Superseded(current) => Refused::For(at, WhyAborted::Superseded { current }),
        Refusal::Changed => Refused::Changed,
        Refusal::TooHeavy => unreachable!("a transaction does not ask for it: what is too heavy comes and goes"),
    }
}
