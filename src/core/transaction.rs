//! The commit of a transaction: all of it, or nothing. User code has its say before the locks; then every stripe that it touches is
//! locked, in order, and what the transaction wants is judged, then done (`table::transact` says how).

use std::sync::Arc;

use crate::error::WhyAborted;
use crate::event::End;
use crate::event::Moment;
use crate::event::Wanted;
use crate::rule::version::Claim;
use crate::table::Member;
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
    /// The groups that its writer names, by hash.
    pub(crate) groups: Vec<u64>,
    pub(crate) wanted: Wanted,
}

/// A change keeps its key until nothing can fail any more.
const HERE: &str = "a key is given up once";

impl<K, V> Change<K, V> {
    pub(crate) fn new(hash: u64, key: K) -> Self {
        Change { key: Some(key), value: None, how: How::PLAIN, groups: Vec::new(), wanted: Wanted::new(hash) }
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

/// What is left to see to when the locks are gone.
struct Left<K> {
    /// Keys of which nothing was written.
    keys: Vec<K>,
    /// Hash and weight of what was written to absent keys, for the policy to take note.
    missed: Vec<(u64, u64)>,
}

impl<K> Left<K> {
    /// The pair that a change writes, if it does.
    fn take_pair<V>(&mut self, change: &mut Change<K, V>) -> Option<(K, V)> {
        match (change.key.take(), change.value.take()) {
            (Some(key), Some(value)) => Some((key, value)),
            (key, _) => {
                self.keys.extend(key);
                None
            }
        }
    }
}

impl<K: Eq, V> Core<K, V> {
    /// Makes all the changes at once, or none: then it tells the place of one that could not be made, and why. Their order may change.
    ///
    /// With them the groups of these hashes end.
    pub(crate) fn commit(self: &Arc<Self>, changes: &mut [Change<K, V>], groups: &[u64]) -> Result<(), (usize, WhyAborted)> {
        changes.sort_by_key(|change| self.table.stripe_of(change.wanted.hash));
        loop {
            changes.iter_mut().for_each(|change| self.work_out(change));
            match self.try_commit(changes, groups) {
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
            change.wanted.end = End::Written(self.terms(change.wanted.hash, key, value, how, &change.groups));
        }
        if change.wanted.below.is_some() {
            self.keep_time();
        }
    }

    fn try_commit(&self, changes: &mut [Change<K, V>], groups: &[u64]) -> Result<(), Refused> {
        let numbers: Vec<usize> = match groups {
            [] => dedup(changes.iter().map(|change| self.table.stripe_of(change.wanted.hash)).collect()),
            // Members may be anywhere.
            _ => (0..self.table.stripes().len()).collect(),
        };
        // Out here: keys that are not needed any more are dropped when the locks are gone.
        let mut left = Left { keys: Vec::new(), missed: Vec::new() };
        let done = self.transition_over(&numbers, |stripes, now| {
            let place = |change: &Change<K, V>| {
                let own = self.table.stripe_of(change.wanted.hash);
                numbers.partition_point(|&number| number < own)
            };
            self.carry_out(stripes, changes, &place, groups, now, &mut left)
        });
        let Left { keys, missed } = left;
        drop(keys);
        missed.into_iter().for_each(|(hash, weight)| self.missed(hash, weight));
        done
    }

    /// Under the locks. `place` tells where among the stripes a change has its own.
    fn carry_out(
        &self,
        stripes: &mut [Inside<'_, K, V>],
        changes: &mut [Change<K, V>],
        place: &dyn Fn(&Change<K, V>) -> usize,
        groups: &[u64],
        now: u64,
        left: &mut Left<K>,
    ) -> Result<(), Refused> {
        let moment = Moment { now, capacity: self.capacity() };
        let mut verdicts = Vec::with_capacity(changes.len());
        for (at, change) in changes.iter().enumerate() {
            let judged = stripes[place(change)].locked.judge(&change.wanted, change.key(), moment);
            verdicts.push(judged.map_err(|refusal| refused(at, refusal))?);
        }
        for (change, verdict) in changes.iter().zip(&mut verdicts) {
            stripes[place(change)].locked.find_fences(&change.wanted, change.key(), verdict);
        }
        let mut members = members(stripes, groups);
        // From here on nothing fails. First all that ends goes out of sight.
        for (change, verdict) in changes.iter().zip(&mut verdicts) {
            stripes[place(change)].locked.hide(verdict);
        }
        members.retain(|(place, member)| stripes[*place].locked.hide_member(member));
        for (place, member) in members {
            stripes[place].locked.end_member(member, now);
        }
        for stripe in stripes.iter_mut() {
            groups.iter().for_each(|&group| stripe.locked.end_group(group));
        }
        for (change, verdict) in changes.iter_mut().zip(verdicts) {
            let (stripe, pair) = (&mut stripes[place(change)].locked, left.take_pair(change));
            let put = stripe.carry_out(&change.wanted, verdict, pair, now);
            if put.is_some_and(|put| put.fresh)
                && let End::Written(terms) = &change.wanted.end
            {
                left.missed.push((terms.hash, terms.weight));
            }
        }
        Ok(())
    }
}

fn dedup(mut sorted: Vec<usize>) -> Vec<usize> {
    sorted.dedup();
    sorted
}

/// The members of these groups, each with the place of its stripe.
fn members<'a, K: Eq, V>(stripes: &[Inside<'a, K, V>], groups: &[u64]) -> Vec<(usize, Member<'a, K, V>)> {
    let of_stripe = |(place, stripe): (usize, &Inside<'a, K, V>)| {
        let members = groups.iter().flat_map(|&group| stripe.locked.members(group));
        members.map(|member| (place, member)).collect::<Vec<_>>()
    };
    stripes.iter().enumerate().flat_map(of_stripe).collect()
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
