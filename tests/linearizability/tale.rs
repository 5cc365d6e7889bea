//! Histories told by hand.

use crate::checker::Verdict;
use crate::checker::check;
use crate::history::Act;
use crate::history::Brought;
use crate::history::History;
use crate::history::Id;
use crate::history::Key;
use crate::history::Load;
use crate::history::Stamp;
use crate::history::Step;
use crate::rules::Rules;

/// A history: steps of key 0 follow one another, unless it is said between which moments they are.
#[derive(Clone, Default)]
pub struct Tale {
    history: History,
    now: u64,
}

impl Tale {
    pub fn new() -> Self {
        Tale::default()
    }

    pub fn step(mut self, begin: u64, end: u64, acts: &[(Key, Act)], everywhere: bool) -> Self {
        let call = self.history.steps.len() as u32;
        let acts = acts.to_vec();
        self.history.steps.push(Step { name: "", thread: 0, begin, end, place: 0, call, acts, everywhere });
        self.now = self.now.max(end);
        self
    }

    pub fn then(self, act: Act) -> Self {
        self.at_once(&[(0, act)])
    }

    /// Acts of several keys that take effect together.
    pub fn at_once(self, acts: &[(Key, Act)]) -> Self {
        let (begin, end) = (self.now + 1, self.now + 2);
        self.step(begin, end, acts, false)
    }

    pub fn within(self, begin: u64, end: u64, act: Act) -> Self {
        self.step(begin, end, &[(0, act)], false)
    }

    /// The steps of one call, of which nobody knows but that they were in this order.
    pub fn call(mut self, begin: u64, end: u64, acts: &[Act]) -> Self {
        let call = self.history.steps.len() as u32;
        for (place, act) in acts.iter().enumerate() {
            self = self.within(begin, end, *act);
            let step = self.history.steps.last_mut().expect("just told");
            (step.call, step.place) = (call, place as u32);
        }
        self
    }

    pub fn time(self, time: u64) -> Self {
        let (begin, end) = (self.now + 1, self.now + 2);
        self.step(begin, end, &[(0, Act::Advance(time))], true)
    }

    pub fn version(mut self, id: Id, source: u64, revision: u64) -> Self {
        self.history.saw(id, Stamp { source, revision });
        self
    }

    pub fn member(mut self, id: Id, group: u8) -> Self {
        self.history.values.entry(id).or_default().group = Some(group);
        self
    }

    pub fn brings(mut self, load: Load, what: Brought) -> Self {
        self.history.loads.insert(load, what);
        self
    }

    pub fn judge(mut self, rules: &Rules) -> bool {
        self.history.note_writes();
        match check(&self.history, rules) {
            Ok(verdict) => {
                assert_eq!(verdict, Verdict::Good);
                true
            }
            Err(_) => false,
        }
    }

    #[track_caller]
    pub fn may_be(self, rules: &Rules) {
        assert!(self.judge(rules), "a cache may do so");
    }

    #[track_caller]
    pub fn may_not_be(self, rules: &Rules) {
        assert!(!self.judge(rules), "no cache may do so");
    }
}
