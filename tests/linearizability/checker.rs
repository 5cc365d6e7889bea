//! Is there an order of the steps in which the specification allows every one of them, and in which no step that had ended comes after one
//! that had not begun? A search over all orders (Wing and Gong, "Testing and Verifying Concurrent Objects", 1993) that never comes twice to
//! the same set of steps with the same state (Lowe, "Testing for Linearizability", 2017); with several next states for each step.
//!
//! Keys that share no step are looked at each for itself: a history is good if that of every part is.

use std::collections::HashSet;

use crate::history::History;
use crate::history::Id;
use crate::history::Key;
use crate::history::Stamp;
use crate::history::Step;
use crate::rules::Rules;
use crate::spec::Spec;
use crate::state::KeyState;

/// Steps of one part at most.
const MOST: usize = 256;
/// Pairs of set and state after which a search is given up.
const PATIENCE: usize = 400_000;

/// Why a history is none of a cache.
#[derive(Debug)]
pub struct Rejected {
    /// The keys that were looked at together.
    pub keys: Vec<Key>,
    pub why: Why,
}

#[derive(PartialEq, Eq, Debug)]
pub enum Why {
    /// A value was seen under two versions, of which this is the second.
    Disagreement(Id, Stamp),
    /// No order will do.
    NoOrder,
}

/// What became of a check that found nothing wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Good,
    /// Some part of it took too long to decide.
    Undecided,
}

pub fn check(history: &History, rules: &Rules) -> Result<Verdict, Rejected> {
    if let Some(&(id, stamp)) = history.disagreements.first() {
        return Err(Rejected { keys: history.keys(), why: Why::Disagreement(id, stamp) });
    }
    let mut verdict = Verdict::Good;
    for keys in parts(history) {
        match check_part(history, rules, &keys) {
            Ok(Verdict::Good) => {}
            Ok(Verdict::Undecided) => verdict = Verdict::Undecided,
            Err(why) => return Err(Rejected { keys, why }),
        }
    }
    Ok(verdict)
}

/// The keys, those together that share a step.
fn parts(history: &History) -> Vec<Vec<Key>> {
    let mut parts: Vec<Vec<Key>> = history.keys().into_iter().map(|key| vec![key]).collect();
    for step in history.steps.iter().filter(|step| !step.everywhere) {
        let (together, mut others): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| step.concerns(part));
        others.push(together.concat());
        others.retain(|part| !part.is_empty());
        parts = others;
    }
    parts
}

pub fn check_part(history: &History, rules: &Rules, keys: &[Key]) -> Result<Verdict, Why> {
    let mut steps: Vec<&Step> = history.steps.iter().filter(|step| step.concerns(keys)).collect();
    steps.sort_by_key(|step| (step.begin, step.place));
    assert!(steps.len() <= MOST, "a part has {} steps", steps.len());
    let spec = Spec { rules, history };
    let mut search = Search { spec, keys, steps, known: HashSet::new() };
    let found = search.go(Place { done: [0; MOST / 64], first: 0 }, vec![KeyState::default(); keys.len()]);
    match found {
        true if search.is_tired() => Ok(Verdict::Undecided),
        true => Ok(Verdict::Good),
        false => Err(Why::NoOrder),
    }
}

/// Which steps have been put in order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    done: [u64; MOST / 64],
    /// All before this one.
    first: usize,
}

impl Place {
    fn has(&self, step: usize) -> bool {
        self.done[step / 64] >> (step % 64) & 1 == 1
    }

    fn with(mut self, step: usize) -> Self {
        self.done[step / 64] |= 1 << (step % 64);
        while self.first < MOST && self.has(self.first) {
            self.first += 1;
        }
        self
    }
}

struct Search<'a> {
    spec: Spec<'a>,
    keys: &'a [Key],
    /// By their beginning.
    steps: Vec<&'a Step>,
    known: HashSet<(Place, Vec<KeyState>)>,
}

impl Search<'_> {
    /// Can the rest be put in order? A search that is tired says yes.
    fn go(&mut self, mut place: Place, states: Vec<KeyState>) -> bool {
        let mut branches = Vec::new();
        loop {
            let candidates = self.candidates(&place);
            if !candidates.iter().any(|&step| self.steps[step].end != Step::OPEN) {
                return true;
            }
            branches.clear();
            let mut harmless = None;
            for step in candidates {
                let next = self.after(&states, self.steps[step]);
                // What only looks, and may see now what it saw, need not wait: whatever order there is, it may stand here.
                if self.steps[step].only_looks() && next.contains(&states) {
                    harmless = Some(step);
                    break;
                }
                branches.extend(next.into_iter().map(|next| (step, next)));
            }
            match harmless {
                Some(step) => place = place.with(step),
                None => break,
            }
        }
        branches.into_iter().any(|(step, next)| {
            let place = place.with(step);
            self.is_tired() || self.known.insert((place, next.clone())) && self.go(place, next)
        })
    }

    fn is_tired(&self) -> bool {
        self.known.len() >= PATIENCE
    }

    /// The steps that may come next.
    fn candidates(&self, place: &Place) -> Vec<usize> {
        let mut candidates: Vec<usize> = Vec::new();
        let mut soonest = u64::MAX;
        for (at, step) in self.steps.iter().enumerate().skip(place.first).filter(|(at, _)| !place.has(*at)) {
            if step.begin > soonest {
                break;
            }
            soonest = soonest.min(step.end);
            let is_before = |&other: &usize| self.steps[other].is_before_in_call(step);
            if !candidates.iter().any(is_before) {
                candidates.push(at);
            }
        }
        candidates
    }

    /// The states of all keys after a step.
    fn after(&self, states: &[KeyState], step: &Step) -> Vec<Vec<KeyState>> {
        let mut all = vec![states.to_vec()];
        for (place, key) in self.keys.iter().enumerate() {
            for (_, act) in step.acts.iter().filter(|(of, _)| step.everywhere || of == key) {
                let one = |states: Vec<KeyState>| {
                    let next = self.spec.after(&states[place], act);
                    next.into_iter().map(move |next| {
                        let mut states = states.clone();
                        states[place] = next;
                        states
                    })
                };
                all = all.into_iter().flat_map(one).collect();
            }
        }
        all
    }
}
