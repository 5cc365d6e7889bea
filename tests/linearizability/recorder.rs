//! Writes histories down while they happen: moments are numbers of one counter, so of any two it is known which came first.

use std::cell::Cell;
use std::cell::RefCell;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use brindle::Version;

use crate::history::Act;
use crate::history::Brought;
use crate::history::History;
use crate::history::Id;
use crate::history::Key;
use crate::history::Load;
use crate::history::Seen;
use crate::history::Stamp;
use crate::history::Step;

/// What all threads of a history count together.
#[derive(Default)]
pub struct Recorder {
    moments: AtomicU64,
    numbers: AtomicU32,
    /// What the clock shows, or a little less while it is moved.
    time: AtomicU64,
}

impl Recorder {
    fn moment(&self) -> u64 {
        self.moments.fetch_add(1, SeqCst) + 1
    }

    /// A number that nothing else in the history has.
    pub fn number(&self) -> u32 {
        self.numbers.fetch_add(1, SeqCst) + 1
    }

    pub fn time(&self) -> u64 {
        self.time.load(SeqCst)
    }

    pub fn advanced(&self, time: u64) {
        self.time.fetch_add(time, SeqCst);
    }
}

/// What one thread writes down.
pub struct Log<'a> {
    pub recorder: &'a Recorder,
    thread: usize,
    history: RefCell<History>,
}

/// A call that is under way.
pub struct Call {
    name: &'static str,
    number: u32,
    begin: Cell<u64>,
    places: Cell<u32>,
}

impl<'a> Log<'a> {
    pub fn new(recorder: &'a Recorder, thread: usize) -> Self {
        Log { recorder, thread, history: RefCell::default() }
    }

    pub fn begin(&self, name: &'static str) -> Call {
        let begin = Cell::new(self.recorder.moment());
        Call { name, number: self.recorder.number(), begin, places: Cell::new(0) }
    }

    /// The step of a call that ends now. Its next one begins no earlier than its last did, and is ordered after it.
    pub fn step(&self, call: &Call, acts: Vec<(Key, Act)>) {
        self.push(call, call.number, acts, false);
    }

    /// As `step`, of one key.
    pub fn act(&self, call: &Call, key: Key, act: Act) {
        self.step(call, vec![(key, act)]);
    }

    /// A step that is not ordered among the others of its call.
    pub fn apart(&self, call: &Call, key: Key, acts: impl IntoIterator<Item = Act>) {
        let number = self.recorder.number();
        acts.into_iter().for_each(|act| self.push(call, number, vec![(key, act)], false));
    }

    pub fn everywhere(&self, call: &Call, act: Act) {
        self.push(call, call.number, vec![(0, act)], true);
    }

    fn push(&self, call: &Call, number: u32, acts: Vec<(Key, Act)>, everywhere: bool) {
        let (begin, end) = (call.begin.get(), self.recorder.moment());
        let place = call.places.replace(call.places.get() + 1);
        let step = Step { name: call.name, thread: self.thread, begin, end, place, call: number, acts, everywhere };
        self.history.borrow_mut().steps.push(step);
    }

    /// When the call began.
    pub fn began(&self, call: &Call) -> u64 {
        call.begin.get()
    }

    /// What the call does from here on begins here.
    pub fn resume(&self, call: &Call) {
        call.begin.set(self.recorder.moment());
    }

    /// A value under its version.
    pub fn saw(&self, id: Id, version: Version) {
        self.history.borrow_mut().saw(id, stamp(version));
    }

    pub fn is_in(&self, id: Id, group: Option<u8>) {
        self.history.borrow_mut().values.entry(id).or_default().group = group;
    }

    pub fn brings(&self, load: Load, what: Brought) {
        self.history.borrow_mut().loads.insert(load, what);
    }

    pub fn into_history(self) -> History {
        self.history.into_inner()
    }
}

pub fn stamp(version: Version) -> Stamp {
    Stamp { source: version.source(), revision: version.revision() }
}

/// What all threads wrote down, together.
pub fn merge(logs: Vec<History>) -> History {
    let mut merged = History::default();
    for log in logs {
        merged.steps.extend(log.steps);
        merged.loads.extend(log.loads);
        merged.disagreements.extend(log.disagreements);
        for (id, fact) in log.values {
            fact.stamp.into_iter().for_each(|stamp| merged.saw(id, stamp));
            let known = merged.values.entry(id).or_default();
            known.group = known.group.or(fact.group);
        }
    }
    mark_torn(&mut merged);
    merged.note_writes();
    merged
}

/// Of the reads that take no lock only those may be torn that found nothing and ran beside a commit of their key.
fn mark_torn(history: &mut History) {
    let commits: Vec<Step> = history.steps.iter().filter(|step| step.name == COMMIT).cloned().collect();
    for step in &mut history.steps {
        let (begin, end) = (step.begin, step.end);
        for (key, act) in &mut step.acts {
            if let Act::Read { seen, torn } = act {
                let beside = |commit: &Step| commit.begin < end && begin < commit.end && commit.concerns(&[*key]);
                *torn &= *seen == Seen::Nothing && commits.iter().any(beside);
            }
        }
    }
}

/// The name of the steps that hide their keys before they show them.
pub const COMMIT: &str = "transaction commits";
