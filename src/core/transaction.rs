//! The commit of a transaction: all of it, or nothing. User code has its say before the locks; then every stripe that it touches is
//! locked, in order, and what the transaction wants is judged, then done (`table::transact` says how).

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::config::MOST_WEIGHT;
use crate::error::WhyAborted;
use crate::event::Cause;
use crate::event::End;
use crate::event::Moment;
use crate::event::Wanted;
use crate::rule::swap::Condition;
use crate::rule::swap::Expected;
use crate::rule::version::Claim;
use crate::rule::version::Version;
use crate::sync::Broken;
use crate::sync::is_broken;
use crate::table::Locked;
use crate::table::Look;
use crate::table::Member;
use crate::table::Refusal;

use super::Core;
use super::How;
use super::step::Inside;

/// What a transaction does to one key.
pub(crate) struct Change<K, V> {
    pub(crate) hash: u64,
    /// They are here until the transaction is carried out.
    pub(crate) key: Option<K>,
    pub(crate) value: Option<V>,
    /// If it has no value, whatever is there goes.
    pub(crate) gone: bool,
    /// What else it asks for, if anything.
    pub(crate) asks: Option<Box<Asks>>,
}

/// What few changes ask for.
#[derive(Default)]
pub(crate) struct Asks {
    /// What the value claims of its source.
    pub(crate) claim: Claim,
    pub(crate) ttl: Option<Duration>,
    /// The groups that the value's writer names, by hash.
    pub(crate) groups: Vec<u64>,
    /// As in [`Wanted`], all of these.
    pub(crate) expected: SmallVec<[Expected; 1]>,
    pub(crate) first_said: Option<u64>,
    pub(crate) said: Option<u64>,
    pub(crate) below: Option<u64>,
}

/// What a commit may write before room is made: so far below the range of `u64` that no sum of weights overflows.
const MOST_AT_ONCE: u64 = MOST_WEIGHT << 4;

/// A change keeps its key until nothing can fail any more.
const HERE: &str = "a key is given up once";

impl<K, V> Change<K, V> {
    pub(crate) fn new(hash: u64, key: K) -> Self {
        Change { hash, key: Some(key), value: None, gone: false, asks: None }
    }

    pub(crate) fn key(&self) -> &K {
        self.key.as_ref().expect(HERE)
    }

    pub(crate) fn asks(&mut self) -> &mut Asks {
        self.asks.get_or_insert_default()
    }

    /// Whatever is there goes.
    pub(crate) fn end(&mut self) {
        (self.value, self.gone) = (None, true);
    }

    /// Does it ask for nothing but a state of the key?
    fn is_plain(&self) -> bool {
        self.asks.as_ref().is_none_or(|asks| {
            let unsaid = asks.claim == Claim::Unversioned && asks.said.is_none() && asks.below.is_none();
            unsaid && asks.ttl.is_none() && asks.groups.is_empty()
        })
    }

    /// Does it change the key, or only ask for its state?
    fn touches(&self) -> bool {
        self.gone || self.value.is_some()
    }

    fn expects(&self, version: Option<Version>) -> bool {
        let holds = |asks: &Asks| asks.expected.iter().all(|&expected| Condition::If(expected).holds(version));
        self.asks.as_deref().is_none_or(holds)
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

impl<K> Default for Left<K> {
    fn default() -> Self {
        Left { keys: Vec::new(), missed: Vec::new() }
    }
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
        if is_broken(Broken::AtOnce) && changes.len() > 1 {
            let mut each = changes.iter_mut().map(std::slice::from_mut).enumerate();
            return each.try_for_each(|(at, change)| self.commit(change, groups).map_err(|(_, why)| (at, why)));
        }
        changes.sort_by_key(|change| self.table.stripe_of(change.hash));
        if self.plain && groups.is_empty() && changes.iter().all(Change::is_plain) && self.commit_fast(changes) {
            return Ok(());
        }
        loop {
            let wanted: Vec<Wanted> = changes.iter().map(|change| self.work_out(change)).collect();
            match self.try_commit(changes, &wanted, groups) {
                Ok(()) => return Ok(()),
                Err(Refused::For(at, why)) => return Err((at, why)),
                Err(Refused::Changed) => {}
            }
        }
    }

    /// The stripes of these changes, which are in their order.
    #[inline]
    fn stripes_of(&self, changes: &[Change<K, V>]) -> SmallVec<[usize; 4]> {
        let mut numbers = SmallVec::new();
        for change in changes {
            let number = self.table.stripe_of(change.hash);
            if numbers.last() != Some(&number) {
                numbers.push(number);
            }
        }
        numbers
    }

    /// Plain changes in quiet stripes, as most are: nothing can stand in their way but a state that is not as expected. Gives up, with
    /// nothing changed, if it is not so.
    fn commit_fast(&self, changes: &mut [Change<K, V>]) -> bool {
        let numbers = self.stripes_of(changes);
        let mut left = Left::default();
        let done = self.transition_over(&numbers, |stripes, now| {
            let place = |hash| numbers.partition_point(|&number| number < self.table.stripe_of(hash));
            let mut looks: SmallVec<[Look<'_, K, V>; 4]> = SmallVec::new();
            for change in changes.iter() {
                let look = stripes[place(change.hash)].locked.look_fast(change.hash, change.key(), self.capacity());
                let Some(look) = look.filter(|look| change.expects(look.version())) else { return false };
                looks.push(look);
            }
            let hidden = |change: &Change<K, V>| change.touches() && !is_broken(Broken::Hidden);
            for (change, look) in changes.iter().zip(&mut looks).filter(|(change, _)| hidden(change)) {
                stripes[place(change.hash)].locked.hide_fast(look);
            }
            for (change, mut look) in changes.iter_mut().zip(looks.iter().copied()).filter(|(change, _)| change.touches()) {
                let locked = &mut stripes[place(change.hash)].locked;
                if is_broken(Broken::Hidden) {
                    locked.hide_fast(&mut look);
                }
                let Some(pair) = left.take_pair(change) else {
                    locked.leave_fast(look, Cause::Invalidated, now);
                    continue;
                };
                if locked.write_fast(look, change.hash, pair).fresh {
                    left.missed.push((change.hash, 1));
                }
            }
            true
        });
        self.see_to(left);
        done
    }

    /// What is wanted of a key. This is where user code has its say of a value.
    fn work_out(&self, change: &Change<K, V>) -> Wanted {
        let none = Asks::default();
        let asks = change.asks.as_deref().unwrap_or(&none);
        let mut wanted = Wanted {
            hash: change.hash,
            expected: asks.expected.clone(),
            first_said: asks.first_said,
            said: asks.said,
            below: asks.below,
            end: if change.gone { End::Gone } else { End::Stays },
        };
        if let (Some(key), Some(value)) = (&change.key, &change.value) {
            let claim = if let Claim::At(_) = asks.claim { asks.claim } else { wanted.inherited() };
            let how = How { claim, ttl: asks.ttl, ..How::PLAIN };
            wanted.end = End::Written(self.terms(change.hash, key, value, how, &asks.groups));
        }
        if wanted.below.is_some() || wanted.said.is_some() {
            self.keep_time();
        }
        wanted
    }

    fn try_commit(&self, changes: &mut [Change<K, V>], wanted: &[Wanted], groups: &[u64]) -> Result<(), Refused> {
        let numbers = match groups {
            [] => self.stripes_of(changes),
            // Members may be anywhere.
            _ => (0..self.table.stripes().len()).collect(),
        };
        // Out here: keys that are not needed any more are dropped when the locks are gone.
        let mut left = Left::default();
        let done = self.transition_over(&numbers, |stripes, now| {
            let place = |wanted: &Wanted| numbers.partition_point(|&number| number < self.table.stripe_of(wanted.hash));
            let places: Vec<usize> = wanted.iter().map(place).collect();
            self.carry_out(&mut Stripes { stripes, places, now }, changes, wanted, groups, &mut left)
        });
        self.see_to(left);
        done
    }

    #[inline]
    fn see_to(&self, left: Left<K>) {
        let Left { keys, missed } = left;
        drop(keys);
        missed.into_iter().for_each(|(hash, weight)| self.missed(hash, weight));
    }

    fn carry_out(
        &self,
        on: &mut Stripes<'_, '_, K, V>,
        changes: &mut [Change<K, V>],
        wanted: &[Wanted],
        groups: &[u64],
        left: &mut Left<K>,
    ) -> Result<(), Refused> {
        let mut moment = Moment { now: on.now, capacity: self.capacity() };
        // What it writes weighs beside what is there until room is made.
        let mut room = MOST_AT_ONCE;
        let mut verdicts = Vec::with_capacity(changes.len());
        for (at, change) in changes.iter().enumerate() {
            moment.capacity = moment.capacity.min(room);
            if let End::Written(terms) = &wanted[at].end {
                room = room.saturating_sub(terms.weight);
            }
            let judged = on.stripe_of(at).judge(&wanted[at], change.key(), moment);
            verdicts.push(judged.map_err(|refusal| refused(at, refusal))?);
        }
        for (at, verdict) in verdicts.iter_mut().enumerate() {
            on.stripe_of(at).find_fences(&wanted[at], changes[at].key(), verdict);
        }
        let members = if groups.is_empty() { Vec::new() } else { members(on.stripes, groups) };
        // From here on nothing fails. First all that ends goes out of sight.
        for (at, verdict) in verdicts.iter_mut().enumerate().filter(|_| !is_broken(Broken::Hidden)) {
            on.stripe_of(at).hide(verdict);
        }
        on.end(members, groups);
        for (at, mut verdict) in verdicts.into_iter().enumerate() {
            if is_broken(Broken::Hidden) {
                on.stripe_of(at).hide(&mut verdict);
            }
            let pair = left.take_pair(&mut changes[at]);
            let put = on.stripe_of(at).carry_out(&wanted[at], verdict, pair, moment.now);
            if put.is_some_and(|put| put.fresh)
                && let End::Written(terms) = &wanted[at].end
            {
                left.missed.push((terms.hash, terms.weight));
            }
        }
        Ok(())
    }
}

/// The stripes that a commit has locked.
struct Stripes<'s, 'a, K, V> {
    stripes: &'s mut [Inside<'a, K, V>],
    /// For each change the place of its stripe.
    places: Vec<usize>,
    now: u64,
}

impl<'a, K: Eq, V> Stripes<'_, 'a, K, V> {
    /// The stripe of a change.
    fn stripe_of(&mut self, change: usize) -> &mut Locked<'a, K, V> {
        &mut self.stripes[self.places[change]].locked
    }

    /// Ends groups, with those of these members that are not out of sight already.
    fn end(&mut self, members: Vec<(usize, Member<'a, K, V>)>, groups: &[u64]) {
        for (place, member) in members {
            let locked = &mut self.stripes[place].locked;
            if locked.hide_member(&member) {
                locked.end_member(member, self.now);
            }
        }
        for stripe in self.stripes.iter_mut() {
            groups.iter().for_each(|&group| stripe.locked.end_group(group));
        }
    }
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
