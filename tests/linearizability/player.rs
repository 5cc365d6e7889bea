//! Makes the calls of a plan, and has written down what they do. `waits` has those that may wait.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use brindle::Computed;
use brindle::Conflict;
use brindle::EntryRef;
use brindle::Expected as Expectation;
use brindle::MockClock;
use brindle::Op;
use brindle::Version;
use brindle::WhyAborted;

use crate::history::Act;
use crate::history::Expected;
use crate::history::Id;
use crate::history::Key;
use crate::history::Seen;
use crate::history::Written;
use crate::plans::Call;
use crate::plans::Doing;
use crate::plans::Face;
use crate::plans::How;
use crate::plans::Part;
use crate::plans::Setup;
use crate::plans::Subject;
use crate::plans::Way;
use crate::recorder::COMMIT;
use crate::recorder::Call as Running;
use crate::recorder::Log;
use crate::recorder::stamp;
use crate::values::Value;

/// Heavier than any cache here.
const HEAVY: u64 = 1000;

/// One thread of a history.
pub struct Player<'a> {
    pub cache: &'a Subject,
    pub clock: &'a MockClock,
    pub setup: &'a Setup,
    pub log: Log<'a>,
    /// The entries that the thread saw last.
    last: RefCell<BTreeMap<Key, (Version, Id)>>,
}

pub fn found(entry: Option<&EntryRef<Key, Value>>) -> Seen {
    Seen::from(entry.map(|entry| entry.id))
}

impl<'a> Player<'a> {
    pub fn new(cache: &'a Subject, clock: &'a MockClock, setup: &'a Setup, log: Log<'a>) -> Self {
        Player { cache, clock, setup, log, last: RefCell::default() }
    }

    pub fn play(&self, call: &Call) {
        match call {
            Call::Read(face, key) => self.read(*face, *key),
            Call::Many(keys) => self.many(keys),
            Call::Snapshot(keys) => self.snapshot(keys),
            Call::Write(How::Swap, key) => self.swap(*key),
            Call::Write(How::At(source), key) => self.write_at(*key, *source),
            Call::Write(how, key) => self.write(*how, *key),
            Call::Compute(doing, key) => self.compute(*doing, *key),
            Call::Remove(way, key) => self.remove(*way, *key),
            Call::Retain => self.retain(),
            Call::Clear => self.sweep("clear", Act::Clear, || self.cache.clear()),
            Call::EndGroup(group) => {
                self.sweep("invalidate_group", Act::EndGroup(*group), || _ = self.cache.invalidate_group(group));
            }
            Call::Commit(parts, group) => self.commit(parts, *group),
            Call::Load(loading) => self.load(loading),
            Call::LoadMany(loading) => self.load_many(loading),
            Call::Lease(leasing) => self.lease(leasing),
            Call::Through(through) => self.write_through(through),
            Call::Capacity(capacity) => self.cache.set_capacity(*capacity),
            Call::Advance(time) => self.advance(*time),
        }
    }

    /// A value of which there is no other.
    pub fn value(&self) -> Value {
        let id = self.log.recorder.number();
        let group = self.setup.grouped.then_some((id % 2) as u8);
        self.log.is_in(id, group);
        Value { id, group, weight: 1 }
    }

    pub fn saw(&self, key: Key, id: Id, version: Version) {
        self.log.saw(id, version);
        self.last.borrow_mut().insert(key, (version, id));
    }

    fn saw_entry(&self, entry: Option<&EntryRef<Key, Value>>) -> Seen {
        entry.into_iter().for_each(|entry| self.saw(*entry.key(), entry.id, entry.version()));
        found(entry)
    }

    fn read(&self, face: Face, key: Key) {
        let (cache, call) = (self.cache, self.log.begin("read"));
        let seen = match face {
            Face::Get => Seen::from(cache.get(&key).map(|value| value.id)),
            Face::With => Seen::from(cache.with(&key, |value| value.id)),
            Face::Peek => Seen::from(cache.peek(&key).map(|value| value.id)),
            Face::Guard => self.saw_entry(cache.get_ref(&key).as_ref()),
            Face::Entry => match cache.get_entry(&key) {
                Some(entry) => {
                    self.saw(key, entry.value.id, entry.version);
                    Seen::Value(entry.value.id)
                }
                None => Seen::Nothing,
            },
            Face::Within => return self.read_within(key, &call),
            Face::Contains if cache.contains_key(&key) => Seen::Something,
            Face::Contains => Seen::Nothing,
        };
        self.log.act(&call, key, Act::Read { seen, torn: true });
    }

    /// The outer read is over when the inner one begins, which goes another way, as the outer one holds what reads are announced with.
    fn read_within(&self, key: Key, call: &Running) {
        let looked = self.cache.with(&key, |value| {
            self.log.act(call, key, Act::Read { seen: Seen::Value(value.id), torn: true });
            self.read(Face::Get, key);
        });
        if looked.is_none() {
            self.log.act(call, key, Act::Read { seen: Seen::Nothing, torn: true });
        }
    }

    fn many(&self, keys: &[Key]) {
        let call = self.log.begin("get_many");
        let values = self.cache.get_many(keys);
        for (key, value) in keys.iter().zip(values) {
            let seen = Seen::from(value.map(|value| value.id));
            self.log.apart(&call, *key, [Act::Read { seen, torn: true }]);
        }
    }

    fn snapshot(&self, keys: &[Key]) {
        let call = self.log.begin("get_many_snapshot");
        let values = self.cache.get_many_snapshot(keys);
        let act = |value: Option<Value>| Act::Read { seen: Seen::from(value.map(|value| value.id)), torn: false };
        self.log.step(&call, keys.iter().copied().zip(values.into_iter().map(act)).collect());
    }

    fn write(&self, how: How, key: Key) {
        let (cache, value) = (self.cache, self.value());
        let mut written = Written { id: value.id, source: None, ttl: None };
        let heavy = |value: Value| Value { weight: HEAVY, ..value };
        let call = self.log.begin("insert");
        let version = match how {
            How::IfAbsent => return self.conditional("insert_if_absent", key, value, None),
            How::Heavy if value.id % 2 == 0 => Ok(cache.insert(key, heavy(value))),
            How::Heavy => cache.try_insert(key, heavy(value)),
            How::Try => cache.try_insert(key, value),
            How::Ttl(ttl) => {
                written.ttl = Some(ttl);
                Ok(cache.insert_with_ttl(key, value, Duration::from_nanos(ttl)))
            }
            How::Insert | How::At(_) | How::Swap => Ok(cache.insert(key, value)),
        };
        match version {
            Ok(version) => {
                self.saw(key, written.id, version);
                self.log.act(&call, key, Act::Write(written));
            }
            Err(_) => self.log.act(&call, key, Act::TooHeavy),
        }
    }

    fn write_at(&self, key: Key, source: u64) {
        let value = self.value();
        let written = Written { id: value.id, source: Some(source), ttl: None };
        let call = self.log.begin("insert_at");
        match self.cache.insert_at(key, value, source) {
            Ok(version) => {
                self.saw(key, written.id, version);
                self.log.act(&call, key, Act::Write(written));
            }
            Err(superseded) => {
                let current = stamp(superseded.current);
                self.log.act(&call, key, Act::Superseded { source, current });
            }
        }
    }

    fn swap(&self, key: Key) {
        let last = self.last.borrow().get(&key).copied();
        self.conditional("compare_and_swap", key, self.value(), last);
    }

    /// In place of the entry of this version, or of none.
    fn conditional(&self, name: &'static str, key: Key, value: Value, last: Option<(Version, Id)>) {
        let written = Written { id: value.id, source: None, ttl: None };
        let expected = last.map_or(Expected::Absent, |(_, id)| Expected::Value(id));
        let call = self.log.begin(name);
        let swapped = match last {
            Some((version, _)) => self.cache.compare_and_swap(key, version, value),
            None => self.cache.insert_if_absent(key, value),
        };
        match swapped {
            Ok(version) => {
                self.saw(key, written.id, version);
                self.log.step(&call, vec![(key, Act::Expect(expected)), (key, Act::Write(written))]);
            }
            Err(Conflict { current, .. }) => {
                let found = self.saw_entry(current.as_ref());
                self.log.act(&call, key, Act::Conflict { expected, found });
                if current.is_none() {
                    self.last.borrow_mut().remove(&key);
                }
            }
        }
    }

    fn compute(&self, doing: Doing, key: Key) {
        let call = self.log.begin("and_compute_with");
        let mut id = 0;
        let computed = self.cache.entry(key).and_compute_with(|_| match doing {
            Doing::Put => {
                let value = self.value();
                id = value.id;
                Op::Put(value)
            }
            Doing::Remove => Op::Remove,
            Doing::Keep => Op::Keep,
        });
        let write = Act::Write(Written { id, source: None, ttl: None });
        if let Doing::Remove = doing {
            // Where it has found nothing it fences, and begins anew if there is something by then.
            (0..2).for_each(|_| self.log.act(&call, key, Act::MayFence));
        }
        let acts = match (&computed, doing) {
            (Computed::Inserted(version), _) => {
                self.saw(key, id, *version);
                vec![Act::Expect(Expected::Absent), write]
            }
            (Computed::Replaced(version, old), _) => {
                self.saw_entry(Some(old));
                self.saw(key, id, *version);
                vec![Act::Expect(Expected::Value(old.id)), write]
            }
            (Computed::Removed(old), _) => vec![Act::Remove(self.saw_entry(Some(old)))],
            (Computed::Kept(None), Doing::Remove) => vec![Act::Remove(Seen::Nothing)],
            (Computed::Kept(kept), _) => vec![Act::Read { seen: self.saw_entry(kept.as_ref()), torn: true }],
            (other, _) => unreachable!("{other:?}"),
        };
        self.log.step(&call, acts.into_iter().map(|act| (key, act)).collect());
    }

    fn remove(&self, way: Way, key: Key) {
        let (cache, call) = (self.cache, self.log.begin("remove"));
        let act = match way {
            Way::Remove => Act::Remove(Seen::from(cache.remove(&key).map(|value| value.id))),
            Way::Invalidate if cache.invalidate(&key) => Act::Remove(Seen::Something),
            Way::Invalidate => Act::Remove(Seen::Nothing),
            Way::At(source) => Act::InvalidateAt { source, done: Some(cache.invalidate_at(&key, source)) },
            Way::If => return self.remove_if(key),
        };
        self.log.act(&call, key, act);
    }

    /// Fences before it looks, and whenever it has found nothing.
    fn remove_if(&self, key: Key) {
        let call = self.log.begin("remove_if");
        let mut kept = None;
        let removed = self.cache.remove_if(&key, |_, value| {
            kept = (value.id % 3 == 0).then_some(value.id);
            kept.is_none()
        });
        let act = match (removed, kept) {
            (Some(value), _) => Act::Remove(Seen::Value(value.id)),
            (None, Some(kept)) => Act::Met(kept),
            (None, None) => Act::Remove(Seen::Nothing),
        };
        self.log.apart(&call, key, [Act::Fence, Act::MayFence, Act::MayFence, act]);
    }

    /// Fences all keys, then judges what it meets, each by itself.
    fn retain(&self) {
        let call = self.log.begin("retain");
        let mut judged: BTreeMap<Key, Vec<Act>> = (0..self.setup.keys).map(|key| (key, vec![Act::Fence])).collect();
        self.cache.retain(|key, value| {
            let keeps = value.id % 3 == 0;
            let act = if keeps { Act::Met(value.id) } else { Act::RemoveValue(value.id) };
            judged.entry(*key).or_default().push(act);
            keeps
        });
        let began = self.log.began(&call);
        for (key, mut acts) in judged {
            if acts.len() == 1 {
                acts.push(Act::Unmet { began });
            }
            self.log.apart(&call, key, acts);
        }
    }

    /// Goes from stripe to stripe: each key has its own moment.
    fn sweep(&self, name: &'static str, act: Act, sweep: impl FnOnce()) {
        let call = self.log.begin(name);
        sweep();
        (0..self.setup.keys).for_each(|key| self.log.apart(&call, key, [act]));
    }

    fn advance(&self, time: u64) {
        let call = self.log.begin("the clock moves");
        self.clock.advance(Duration::from_nanos(time));
        self.log.recorder.advanced(time);
        self.log.everywhere(&call, Act::Advance(time));
    }

    /// What it expects, and what it does then.
    fn commit(&self, parts: &[(Key, Part)], group: Option<u8>) {
        let (mut expects, mut does) = (Vec::new(), Vec::new());
        let mut call = None;
        let result = self.cache.transaction(|transaction| {
            for &(key, part) in parts {
                let (last, value) = (self.last.borrow().get(&key).copied(), self.value());
                let expected = last.map_or(Expected::Absent, |(_, id)| Expected::Value(id));
                let expectation: Expectation = last.map(|(version, _)| version).into();
                let written = |source| Act::Write(Written { id: value.id, source, ttl: None });
                match part {
                    Part::Read => {
                        let call = self.log.begin("transaction reads");
                        let id = transaction.read(&key).map(|value| value.id);
                        self.log.act(&call, key, Act::Read { seen: Seen::from(id), torn: true });
                        expects.push((key, id.map_or(Expected::Absent, Expected::Value)));
                    }
                    Part::Insert => {
                        does.push((key, written(None)));
                        transaction.insert(key, value);
                    }
                    Part::At(source) => {
                        does.push((key, written(Some(source))));
                        transaction.insert_at(key, value, source);
                    }
                    Part::Swap => {
                        expects.push((key, expected));
                        does.push((key, written(None)));
                        transaction.compare_and_swap(key, expectation, value);
                    }
                    Part::Expect => {
                        expects.push((key, expected));
                        transaction.expect_version(&key, expectation);
                    }
                    Part::Invalidate => {
                        does.push((key, Act::Clear));
                        transaction.invalidate(&key);
                    }
                    Part::InvalidateAt(source) => {
                        does.push((key, Act::InvalidateAt { source, done: None }));
                        transaction.invalidate_at(&key, source);
                    }
                }
            }
            group.into_iter().for_each(|group| transaction.invalidate_group(&group));
            call = Some(self.log.begin(COMMIT));
        });
        let call = call.expect("the body runs once");
        match result.map_err(|aborted| (aborted.key, aborted.why)) {
            Ok(()) => {
                let mut acts: Vec<(Key, Act)> = expects.into_iter().map(|(key, expected)| (key, Act::Expect(expected))).collect();
                let groups = group.into_iter().flat_map(|group| (0..self.setup.keys).map(move |key| (key, Act::EndGroup(group))));
                acts.extend(groups);
                acts.extend(does);
                self.log.step(&call, acts);
            }
            Err((key, why)) => {
                let act = match why {
                    WhyAborted::Conflict { current } => {
                        let expected = expects.iter().find(|(of, _)| *of == key).expect("it was expected").1;
                        Act::Conflict { expected, found: current.map_or(Seen::Nothing, |_| Seen::Something) }
                    }
                    WhyAborted::Superseded { .. } => Act::Aborted { source: source_of(&does, key) },
                    other => unreachable!("{other:?}"),
                };
                self.log.act(&call, key, act);
                self.last.borrow_mut().remove(&key);
            }
        }
    }
}

fn source_of(does: &[(Key, Act)], key: Key) -> u64 {
    let source = does.iter().find_map(|(of, act)| match act {
        Act::Write(Written { source: Some(source), .. }) if *of == key => Some(*source),
        _ => None,
    });
    source.expect("only a source can be superseded")
}
