//! The checker is held to histories made by hand: for each promise some that a cache may have, and beside each a like one that it may not.

use crate::checker::Verdict;
use crate::checker::check;
use crate::history::Act;
use crate::history::Act::*;
use crate::history::Brought;
use crate::history::Expected;
use crate::history::History;
use crate::history::Id;
use crate::history::Key;
use crate::history::Load as Number;
use crate::history::Outcome;
use crate::history::Seen;
use crate::history::Stamp;
use crate::history::Step;
use crate::history::Written;
use crate::rules::Memory;
use crate::rules::Rules;
use crate::setups::EVICTS;
use crate::setups::RULES;

/// A history: steps of key 0 follow one another, unless it is said between which moments they are.
#[derive(Clone, Default)]
struct Tale {
    history: History,
    now: u64,
}

impl Tale {
    fn new() -> Self {
        Tale::default()
    }

    fn step(mut self, begin: u64, end: u64, acts: &[(Key, Act)], everywhere: bool) -> Self {
        let call = self.history.steps.len() as u32;
        let acts = acts.to_vec();
        self.history.steps.push(Step { name: "", thread: 0, begin, end, place: 0, call, acts, everywhere });
        self.now = self.now.max(end);
        self
    }

    fn then(self, act: Act) -> Self {
        self.at_once(&[(0, act)])
    }

    /// Acts of several keys that take effect together.
    fn at_once(self, acts: &[(Key, Act)]) -> Self {
        let (begin, end) = (self.now + 1, self.now + 2);
        self.step(begin, end, acts, false)
    }

    fn within(self, begin: u64, end: u64, act: Act) -> Self {
        self.step(begin, end, &[(0, act)], false)
    }

    /// The steps of one call, of which nobody knows but that they were in this order.
    fn call(mut self, begin: u64, end: u64, acts: &[Act]) -> Self {
        let call = self.history.steps.len() as u32;
        for (place, act) in acts.iter().enumerate() {
            self = self.within(begin, end, *act);
            let step = self.history.steps.last_mut().expect("just told");
            (step.call, step.place) = (call, place as u32);
        }
        self
    }

    fn time(self, time: u64) -> Self {
        let (begin, end) = (self.now + 1, self.now + 2);
        self.step(begin, end, &[(0, Advance(time))], true)
    }

    fn version(mut self, id: Id, source: u64, revision: u64) -> Self {
        self.history.saw(id, Stamp { source, revision });
        self
    }

    fn member(mut self, id: Id, group: u8) -> Self {
        self.history.values.entry(id).or_default().group = Some(group);
        self
    }

    fn brings(mut self, load: Number, what: Brought) -> Self {
        self.history.loads.insert(load, what);
        self
    }

    fn judge(mut self, rules: &Rules) -> bool {
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
    fn may_be(self, rules: &Rules) {
        assert!(self.judge(rules), "a cache may do so");
    }

    #[track_caller]
    fn may_not_be(self, rules: &Rules) {
        assert!(!self.judge(rules), "no cache may do so");
    }
}

fn value(id: Id) -> Written {
    Written { id, source: None, ttl: None }
}

fn write(id: Id) -> Act {
    Write(value(id))
}

fn write_at(id: Id, source: u64) -> Act {
    Write(Written { source: Some(source), ..value(id) })
}

fn read(id: Id) -> Act {
    Read { seen: Seen::Value(id), torn: false }
}

fn loaded(id: Id) -> Act {
    Loaded { id, began: None }
}

fn superseded(source: u64, by: u64) -> Act {
    Superseded { source, current: Stamp { source: by, revision: 1 } }
}

const MISS: Act = Read { seen: Seen::Nothing, torn: false };
const TORN: Act = Read { seen: Seen::Nothing, torn: true };
const GONE: Act = Remove(Seen::Something);

/// A load of key 0 begins.
fn lead(load: Number) -> Act {
    Lead { load, refresh: false, asked: 0 }
}

/// It brings the value of ten times its number.
fn land(load: Number) -> Act {
    land_as(load, Outcome::Untold)
}

fn land_as(load: Number, outcome: Outcome) -> Act {
    Land { load, value: value(load * 10), outcome, asked: 0 }
}

/// A history with loads 1 and 2, which bring 10 and 20.
fn loads() -> Tale {
    Tale::new().brings(1, Brought::Value(10)).brings(2, Brought::Value(20))
}

#[test]
fn reads_are_of_some_moment_of_theirs() {
    Tale::new().then(write(1)).then(read(1)).may_be(&RULES);
    Tale::new().then(read(1)).then(write(1)).may_not_be(&RULES);
    Tale::new().within(1, 4, write(1)).within(2, 3, read(1)).may_be(&RULES);
    Tale::new().within(1, 4, write(1)).within(2, 3, MISS).may_be(&RULES);
    let seen = Tale::new().within(1, 10, write(1)).within(2, 3, read(1));
    seen.clone().within(4, 5, read(1)).may_be(&RULES);
    seen.within(4, 5, MISS).may_not_be(&RULES);
    let replaced = Tale::new().then(write(1)).within(4, 7, write(2));
    replaced.clone().call(3, 8, &[read(1), read(2)]).may_be(&RULES);
    replaced.call(3, 8, &[read(2), read(1)]).may_not_be(&RULES);
    Tale::new().then(write(1)).then(MISS).may_not_be(&RULES);
    Tale::new().then(write(1)).then(MISS).may_be(&EVICTS);
    Tale::new().then(write(1)).then(MISS).then(read(1)).may_not_be(&EVICTS);
    Tale::new().then(write(1)).then(MISS).then(write(2)).then(read(2)).may_be(&EVICTS);
}

#[test]
fn what_is_removed_is_gone() {
    for removal in [GONE, Remove(Seen::Value(1)), RemoveValue(1), Clear, InvalidateAt { source: 1, done: Some(true) }] {
        Tale::new().then(write(1)).then(removal).then(MISS).may_be(&RULES);
        Tale::new().then(write(1)).then(removal).then(read(1)).may_not_be(&RULES);
    }
    Tale::new().then(write(1)).then(Remove(Seen::Nothing)).may_not_be(&RULES);
    Tale::new().then(write(1)).then(Remove(Seen::Nothing)).may_be(&EVICTS);
    Tale::new().then(write(1)).then(Remove(Seen::Value(2))).may_not_be(&EVICTS);
    Tale::new().then(write(1)).then(GONE).then(GONE).may_not_be(&EVICTS);
}

#[test]
fn promise_1_no_load_outlives_a_fence() {
    let fences = [GONE, Remove(Seen::Nothing), RemoveValue(3), Clear, Fence, TooHeavy, write(2)];
    loads().then(lead(1)).then(land(1)).then(read(10)).may_be(&RULES);
    for fence in fences {
        let prepared = if matches!(fence, GONE | RemoveValue(_)) { loads().then(write(3)) } else { loads() };
        let fenced = prepared.then(Lead { load: 1, refresh: true, asked: 0 }).then(fence).then(land(1));
        fenced.clone().may_be(&EVICTS);
        fenced.then(read(10)).may_not_be(&EVICTS);
    }
    // The fence may come first, if it has not returned before the load begins.
    loads().within(1, 4, lead(1)).within(2, 3, Fence).within(5, 6, land(1)).within(7, 8, read(10)).may_be(&RULES);
    loads().within(1, 2, lead(1)).within(3, 6, Fence).within(5, 8, land(1)).within(9, 10, read(10)).may_be(&RULES);
    loads().within(1, 2, lead(1)).within(3, 6, GONE).within(5, 8, land(1)).within(9, 10, read(10)).may_not_be(&RULES);
    loads().within(1, 10, Fence).within(2, 3, lead(1)).within(4, 5, land_as(1, Outcome::NotStored)).may_be(&RULES);
    // What fences nothing.
    let kept = Conflict { expected: Expected::Value(7), found: Seen::Nothing };
    loads().then(lead(1)).then(kept).then(land_as(1, Outcome::Stored)).may_be(&RULES);
    loads().then(lead(1)).then(land_as(1, Outcome::NotStored)).may_not_be(&RULES);
    loads().then(lead(1)).then(Fence).then(land_as(1, Outcome::Stored)).may_not_be(&RULES);
}

#[test]
fn promise_2_nobody_joins_an_old_flight() {
    loads().then(lead(1)).then(loaded(10)).then(land(1)).may_be(&RULES);
    loads().then(lead(1)).then(Fence).then(loaded(10)).then(land(1)).may_not_be(&RULES);
    loads().then(lead(1)).within(3, 8, loaded(10)).within(4, 5, Fence).within(6, 7, land(1)).may_be(&RULES);
    let failing = Tale::new().brings(1, Brought::Error(9)).then(lead(1));
    failing.clone().within(3, 6, LoadFailed(9)).within(4, 5, Abandon(1)).may_be(&RULES);
    failing.clone().then(Abandon(1)).then(LoadFailed(9)).may_not_be(&RULES);
    failing.then(Fence).then(LoadFailed(9)).then(Abandon(1)).may_not_be(&RULES);
    // Who refreshes wants what came after he began.
    Tale::new().then(write(1)).then(loaded(1)).may_be(&RULES);
    Tale::new().then(write(1)).then(Loaded { id: 1, began: Some(3) }).may_not_be(&RULES);
    Tale::new().within(1, 5, write(1)).within(3, 6, Loaded { id: 1, began: Some(3) }).may_be(&RULES);
}

#[test]
fn promise_3_nothing_goes_back() {
    let two = Tale::new().then(write(1)).then(write(2));
    two.clone().then(read(2)).may_be(&RULES);
    two.clone().then(read(2)).then(read(1)).may_not_be(&EVICTS);
    two.clone().version(1, 0, 4).version(2, 0, 5).may_be(&RULES);
    two.clone().version(1, 0, 5).version(2, 0, 4).may_not_be(&RULES);
    two.clone().version(1, 0, 5).version(2, 0, 5).may_not_be(&RULES);
    two.version(1, 0, 4).version(1, 0, 5).may_not_be(&RULES);
    // Not across removal or eviction either.
    Tale::new().then(write(1)).then(GONE).then(write(2)).version(1, 0, 5).version(2, 0, 4).may_not_be(&EVICTS);
    // A write that names no source keeps the one that is known.
    let after = Tale::new().then(write_at(1, 7)).then(write(2)).version(1, 7, 1);
    after.clone().version(2, 7, 2).may_be(&RULES);
    after.version(2, 0, 2).may_not_be(&RULES);
}

#[test]
fn promise_4_one_swap_wins() {
    let swap = |from: Id, to: Id| [(0, Expect(Expected::Value(from))), (0, write(to))];
    let loses = |found: Id| Conflict { expected: Expected::Value(1), found: Seen::Value(found) };
    let written = Tale::new().then(write(1));
    written.clone().at_once(&swap(1, 2)).then(loses(2)).may_be(&RULES);
    written.clone().at_once(&swap(1, 2)).at_once(&swap(1, 3)).may_not_be(&RULES);
    written.clone().step(3, 6, &swap(1, 2), false).step(4, 5, &swap(1, 3), false).may_not_be(&RULES);
    written.clone().step(3, 6, &swap(1, 2), false).step(4, 5, &swap(2, 3), false).may_be(&RULES);
    written.clone().at_once(&swap(1, 2)).then(loses(1)).may_not_be(&RULES);
    written.clone().at_once(&swap(1, 2)).then(loses(3)).may_not_be(&RULES);
    written.clone().then(Conflict { expected: Expected::Absent, found: Seen::Value(1) }).may_be(&RULES);
    written.clone().then(Conflict { expected: Expected::Value(1), found: Seen::Nothing }).may_be(&EVICTS);
    written.then(loses(1)).may_not_be(&EVICTS);
    Tale::new().then(Conflict { expected: Expected::Absent, found: Seen::Nothing }).may_not_be(&RULES);
}

#[test]
fn promise_5_order_decides() {
    Tale::new().then(write_at(1, 7)).then(superseded(6, 7)).then(read(1)).may_be(&RULES);
    Tale::new().then(write_at(1, 7)).then(write_at(2, 6)).may_not_be(&EVICTS);
    Tale::new().then(write_at(1, 7)).then(superseded(8, 7)).may_not_be(&RULES);
    Tale::new().then(write_at(1, 7)).then(superseded(6, 5)).may_not_be(&EVICTS);
    let replaces = Rules { replaces_equal: true, ..RULES };
    Tale::new().then(write_at(1, 7)).then(write_at(2, 7)).may_not_be(&RULES);
    Tale::new().then(write_at(1, 7)).then(write_at(2, 7)).may_be(&replaces);
    // Tombstones: what was removed stays dead, what was evicted may come again.
    Tale::new().then(write_at(1, 7)).then(GONE).then(write_at(2, 7)).may_not_be(&EVICTS);
    Tale::new().then(write_at(1, 7)).then(GONE).then(write_at(2, 8)).may_be(&RULES);
    Tale::new().then(write_at(1, 7)).then(MISS).then(write_at(2, 7)).may_be(&EVICTS);
    Tale::new().then(write_at(1, 7)).then(MISS).then(write_at(2, 6)).may_not_be(&EVICTS);
    Tale::new().then(write_at(1, 7)).then(write(2)).then(MISS).then(write_at(3, 7)).may_not_be(&EVICTS);
    let dead = Tale::new().then(InvalidateAt { source: 7, done: Some(true) });
    dead.clone().then(write_at(1, 7)).then(InvalidateAt { source: 7, done: Some(false) }).may_be(&RULES);
    dead.clone().then(write_at(1, 6)).may_not_be(&RULES);
    dead.then(write_at(1, 7)).then(InvalidateAt { source: 7, done: Some(true) }).may_not_be(&RULES);
    // Floors and forgotten tombstones refuse what is new, and let nothing old come back.
    for memory in [Memory::Floors, Memory::Forgetful] {
        let forgets = Rules { memory, ..EVICTS };
        Tale::new().then(superseded(6, 9)).may_be(&forgets);
        Tale::new().then(write_at(1, 7)).then(GONE).then(write_at(2, 6)).may_not_be(&forgets);
    }
    Tale::new().then(superseded(6, 9)).may_not_be(&EVICTS);
}

#[test]
fn promise_6_one_load_at_a_time() {
    loads().then(lead(1)).then(lead(2)).may_not_be(&EVICTS);
    loads().then(lead(1)).then(Abandon(1)).then(lead(2)).may_be(&RULES);
    loads().then(lead(1)).then(Fence).then(lead(2)).may_be(&RULES);
    loads().then(lead(1)).then(land(1)).then(lead(2)).may_not_be(&RULES);
    loads().then(lead(1)).then(land(1)).then(lead(2)).may_be(&EVICTS);
    Tale::new().then(write(1)).then(lead(1)).may_not_be(&RULES);
    Tale::new().then(write(1)).then(Lead { load: 1, refresh: true, asked: 0 }).may_be(&RULES);
    // One that has taken too long is taken over, and stores nothing any more.
    let ends = Rules { load_timeout: Some(5), ..RULES };
    let late = |outcome| Land { load: 1, value: value(10), outcome, asked: 5 };
    let second = Lead { load: 2, refresh: false, asked: 5 };
    loads().then(lead(1)).time(4).then(second).may_not_be(&ends);
    loads().then(lead(1)).time(5).then(second).then(late(Outcome::NotStored)).may_be(&ends);
    loads().then(lead(1)).time(5).then(second).then(late(Outcome::Stored)).may_not_be(&ends);
    loads().then(lead(1)).time(5).then(late(Outcome::Stored)).may_not_be(&ends);
}

#[test]
fn promise_7_a_load_that_ends_without_a_value_leaves_none() {
    loads().then(lead(1)).then(Abandon(1)).then(MISS).may_be(&RULES);
    loads().then(lead(1)).then(Abandon(1)).then(loaded(10)).may_not_be(&RULES);
    loads().then(lead(1)).then(Abandon(1)).then(land(1)).then(read(10)).may_not_be(&RULES);
}

#[test]
fn promise_8_all_or_nothing() {
    let before = Tale::new().then(write(1)).at_once(&[(1, write(2))]);
    let commit = [(0, write(3)), (1, write(4))];
    let both = |one, other| [(0, read(one)), (1, read(other))];
    let committed = before.clone().at_once(&commit);
    committed.clone().at_once(&both(3, 4)).may_be(&RULES);
    committed.clone().at_once(&both(3, 2)).may_not_be(&RULES);
    let beside = before.clone().step(5, 20, &commit, false);
    for (one, other, may_be) in [(1, 2, true), (3, 4, true), (1, 4, false), (3, 2, false)] {
        let seen = beside.clone().step(6, 7, &both(one, other), false);
        assert_eq!(seen.judge(&RULES), may_be, "{one} and {other}");
    }
    let after_new = beside.clone().within(6, 7, read(3));
    after_new.clone().step(8, 9, &[(1, read(2))], false).may_not_be(&EVICTS);
    after_new.clone().step(8, 9, &[(1, read(4))], false).may_be(&RULES);
    after_new.step(8, 9, &[(1, TORN)], false).may_be(&RULES);
    before.clone().at_once(&[(0, TORN), (1, MISS)]).may_not_be(&RULES);
    // Conditions hold for all, or nothing has happened.
    let conditional = [(0, Expect(Expected::Value(9))), (1, write(4))];
    before.clone().at_once(&conditional).may_not_be(&RULES);
    let aborted = Conflict { expected: Expected::Value(9), found: Seen::Something };
    before.clone().then(aborted).at_once(&both(1, 2)).may_be(&RULES);
    before.then(Aborted { source: 3 }).may_not_be(&RULES);
}

#[test]
fn groups_end_with_what_is_loaded_for_them() {
    let member = Tale::new().member(1, 7).then(write(1));
    member.clone().then(EndGroup(7)).then(MISS).may_be(&RULES);
    member.clone().then(EndGroup(7)).then(read(1)).may_not_be(&EVICTS);
    member.then(EndGroup(8)).then(read(1)).may_be(&RULES);
    let loading = loads().member(10, 7).then(lead(1));
    loading.clone().then(EndGroup(8)).then(land(1)).then(read(10)).may_be(&RULES);
    loading.clone().then(EndGroup(7)).then(land(1)).then(read(10)).may_not_be(&EVICTS);
    loading.clone().then(EndGroup(7)).then(loaded(10)).then(land(1)).may_not_be(&EVICTS);
    loading.then(EndGroup(7)).then(lead(2)).may_be(&RULES);
}

#[test]
fn writes_through_go_one_at_a_time_and_let_no_load_be_stored() {
    let begin = BeginWrite { found: Seen::Nothing };
    let end = |id: Id, outcome| EndWrite { value: Some(value(id)), outcome };
    let failed = EndWrite { value: None, outcome: Outcome::NotStored };
    Tale::new().then(begin).then(end(1, Outcome::Stored)).then(read(1)).may_be(&RULES);
    Tale::new().then(begin).then(begin).may_not_be(&RULES);
    Tale::new().then(write(1)).then(begin).may_not_be(&RULES);
    let old = Tale::new().then(write(1)).then(BeginWrite { found: Seen::Value(1) });
    old.clone().then(read(1)).then(end(2, Outcome::Stored)).then(read(2)).may_be(&RULES);
    old.clone().then(read(1)).may_not_be(&Rules { hides_written: true, ..RULES });
    old.clone().then(failed).then(MISS).may_be(&RULES);
    old.clone().then(failed).then(read(1)).may_not_be(&RULES);
    // Who is disturbed does not know who came first.
    old.clone().then(write(3)).then(end(2, Outcome::NotStored)).then(MISS).may_be(&RULES);
    old.clone().then(write(3)).then(end(2, Outcome::NotStored)).then(read(3)).may_not_be(&RULES);
    old.clone().then(write(3)).then(end(2, Outcome::Stored)).may_not_be(&RULES);
    old.then(end(2, Outcome::NotStored)).may_not_be(&RULES);
    let during = loads().then(begin).then(lead(1)).then(land(1));
    during.clone().may_be(&RULES);
    during.then(read(10)).may_not_be(&RULES);
    let across = loads().then(begin).then(lead(1)).then(end(2, Outcome::Stored)).then(land(1));
    across.clone().then(read(2)).may_be(&RULES);
    across.then(read(10)).may_not_be(&EVICTS);
    loads().then(lead(1)).then(begin).then(failed).then(land(1)).then(read(10)).may_not_be(&RULES);
}

#[test]
fn what_has_expired_is_not_served() {
    let timed = Tale::new().then(Write(Written { ttl: Some(5), ..value(1) }));
    timed.clone().time(4).then(read(1)).may_be(&RULES);
    timed.clone().time(5).then(read(1)).may_not_be(&RULES);
    timed.clone().time(5).then(MISS).may_be(&RULES);
    timed.clone().step(3, 9, &[(0, Advance(5))], true).within(4, 8, read(1)).may_be(&RULES);
    let lives = Rules { time_to_live: Some(5), ..RULES };
    Tale::new().then(write(1)).time(5).then(read(1)).may_not_be(&lives);
    Tale::new().then(write(1)).time(5).then(read(1)).may_be(&RULES);
}

#[test]
fn walks_meet_what_stays() {
    let written = Tale::new().then(write(1));
    written.clone().within(3, 6, Met(1)).may_be(&RULES);
    written.clone().within(3, 6, Met(2)).may_not_be(&EVICTS);
    written.clone().within(3, 6, Unmet { began: 3 }).may_not_be(&RULES);
    written.clone().within(3, 6, Unmet { began: 3 }).within(4, 5, GONE).may_be(&RULES);
    written.within(3, 6, Unmet { began: 3 }).within(4, 5, write(2)).may_be(&RULES);
}
