//! A cache and its model, call by call.

use std::sync::{Arc, Mutex};

use brindle::{Cache, Cause, Clock, EntryRef, EqualSource, MockClock, Ordering, Version, WhenForgotten};

use crate::Hasher;
use crate::input::{Key, Weight};
use crate::ops::call::{Call, Expect, Setup};
use crate::ops::loads::Held;
use crate::ops::model::{Claim, Model};
use crate::tracked::{Ledger, Tracked};

pub struct Trial {
    pub setup: Setup,
    pub cache: Cache<u8, Tracked, Hasher>,
    pub model: Model,
    pub ledger: Arc<Ledger>,
    clock: MockClock,
    notices: Arc<Mutex<Vec<Notice>>>,
    guards: Vec<Guard>,
    pub leases: Vec<Held>,
}

struct Notice {
    key: u8,
    id: usize,
    version: Version,
    cause: Cause,
}

/// A kept entry, and what it showed at first.
struct Guard {
    entry: EntryRef<u8, Tracked>,
    id: usize,
    version: Version,
}

impl Guard {
    fn check(&self) {
        assert_eq!(self.entry.id(), self.id, "a guard shows another value");
        assert_eq!(self.entry.version(), self.version, "a guard shows another version");
    }
}

pub fn name(entry: &EntryRef<u8, Tracked>) -> (usize, Version) {
    (entry.id(), entry.version())
}

/// Guards kept at once.
const GUARDS: usize = 8;

impl Trial {
    pub fn new(setup: Setup) -> Self {
        let (clock, hand) = Clock::mock();
        let notices = Arc::new(Mutex::new(Vec::new()));
        let mut builder = Cache::builder()
            .hasher(Hasher::default())
            .max_capacity(setup.capacity.0)
            .clock(clock)
            .tombstone_ttl(setup.tombstone_ttl.0)
            .ordering(if setup.global { Ordering::Global } else { Ordering::PerKey })
            .equal_source(if setup.replace_equal { EqualSource::Replace } else { EqualSource::Refuse })
            .when_forgotten(if setup.accept_forgotten { WhenForgotten::Accept } else { WhenForgotten::Refuse });
        if setup.weighted {
            builder = builder.weigher(|_, value: &Tracked| value.weight);
        }
        if let Some(stripes) = setup.stripes {
            builder = builder.stripes(stripes.0);
        }
        if let Some(time) = setup.time_to_live {
            builder = builder.time_to_live(time.0);
        }
        if let Some(time) = setup.time_to_idle {
            builder = builder.time_to_idle(time.0);
        }
        if let Some(few) = setup.few_tombstones {
            builder = builder.tombstone_capacity(few.into());
        }
        if setup.listener {
            let notices = Arc::clone(&notices);
            builder = builder.removal_listener(move |removed| {
                notices.lock().unwrap().push(Notice {
                    key: *removed.entry.key(),
                    id: removed.entry.id(),
                    version: removed.entry.version(),
                    cause: removed.cause,
                });
            });
        }
        Self {
            setup,
            cache: builder.build().expect("these settings are sound"),
            model: Model::new(setup),
            ledger: Arc::default(),
            clock: hand,
            notices,
            guards: Vec::new(),
            leases: Vec::new(),
        }
    }

    pub fn step(&mut self, call: Call) {
        self.call(call);
        self.settle();
    }

    fn call(&mut self, call: Call) {
        match call {
            Call::Get(Key(key)) => {
                let found = self.cache.get(&key).map(|value| (value.id(), None));
                self.used(key, found);
            }
            Call::With(Key(key)) => {
                let found = self.cache.with(&key, |value| (value.id(), None));
                self.used(key, found);
            }
            Call::GetEntry(Key(key)) => {
                let found = self.cache.get_entry(&key).map(|entry| (entry.value.id(), Some(entry.version)));
                self.used(key, found);
            }
            Call::GetRef(Key(key)) => {
                let guard = self.cache.get_ref(&key).map(|entry| self.guard(key, entry));
                self.used(key, guard.as_ref().map(|guard| (guard.id, Some(guard.version))));
                self.guards.extend(guard);
                if self.guards.len() > GUARDS {
                    self.guards.remove(0);
                }
            }
            Call::Peek(Key(key)) => self.look(key),
            Call::Contains(Key(key)) => {
                let contained = self.cache.contains_key(&key);
                let found = self.model.live(key).filter(|_| contained).map(|entry| (entry.id, None));
                assert_eq!(contained, found.is_some(), "key {key} is contained after it had left or expired");
                self.model.read(key, found);
            }
            Call::Insert(Key(key), Weight(weight)) => self.insert(key, weight),
            Call::InsertWithTtl(Key(key), Weight(weight), ttl) => {
                self.catch_up(key);
                let value = self.ledger.value(weight);
                let id = value.id();
                let version = self.cache.insert_with_ttl(key, value, ttl.0);
                self.model.wrote(key, (id, weight), version, Claim::Nothing, Some(ttl.0));
            }
            Call::TryInsert(Key(key), Weight(weight)) => {
                self.catch_up(key);
                let value = self.ledger.value(weight);
                let id = value.id();
                let weighs = if self.setup.weighted { weight } else { 1 };
                match self.cache.try_insert(key, value) {
                    Ok(version) => {
                        assert!(weighs <= self.model.capacity, "too heavy, and taken");
                        self.model.wrote(key, (id, weight), version, Claim::Nothing, None);
                    }
                    Err(refused) => {
                        assert!(weighs > self.model.capacity, "not too heavy, and refused");
                        assert_eq!((refused.key, refused.value.id()), (key, id));
                        // It says that what is being loaded is old, all the same.
                        self.model.fence(key);
                    }
                }
            }
            Call::InsertAt(Key(key), Weight(weight), source) => {
                self.look(key);
                let value = self.ledger.value(weight);
                let id = value.id();
                match self.cache.insert_at(key, value, source.0) {
                    Ok(version) => self.model.wrote(key, (id, weight), version, Claim::Written(source.0), None),
                    Err(refused) => {
                        assert_eq!((refused.key, refused.value.id()), (key, id));
                        self.model.refused(key, source.0, refused.current);
                    }
                }
            }
            Call::InsertIfAbsent(key, weight) => self.swap(key, weight, None),
            Call::CompareAndSwap(key, weight, expect) => {
                let expected = match expect {
                    Expect::Current => self.cache.get_entry(&key.0).map(|entry| entry.version),
                    Expect::Former => self.model.former(key.0),
                    Expect::Absent => None,
                };
                self.swap(key, weight, expected);
            }
            Call::Compute(key, weight, decide) => self.compute(key, weight, decide),
            Call::Remove(Key(key)) => {
                self.look(key);
                let removed = self.cache.remove(&key).map(|value| value.id());
                assert_eq!(removed, self.model.live(key).map(|entry| entry.id));
                self.model.removed(key);
            }
            Call::RemoveIf(Key(key), yes) => {
                self.look(key);
                let live = self.model.live(key).map(|entry| entry.id);
                let removed = self.cache.remove_if(&key, |&seen, value| {
                    assert_eq!((seen, Some(value.id())), (key, live));
                    yes
                });
                assert_eq!(removed.map(|value| value.id()), live.filter(|_| yes));
                // What is being loaded cannot be asked about.
                self.model.fence(key);
                if yes {
                    self.model.removed(key);
                }
            }
            Call::Invalidate(Key(key)) => {
                self.look(key);
                assert_eq!(self.cache.invalidate(&key), self.model.live(key).is_some());
                self.model.removed(key);
            }
            Call::InvalidateAt(Key(key), source) => {
                self.look(key);
                let done = self.cache.invalidate_at(&key, source.0);
                self.model.invalidated_at(key, source.0, done);
            }
            Call::Retain(odd) => self.retain(odd),
            Call::Clear => {
                self.cache.clear();
                self.model.cleared();
                assert!(self.cache.is_empty() && self.cache.weight() == 0, "cleared, and not empty");
            }
            Call::Iterate => self.iterate(),
            Call::SetCapacity(capacity) => {
                self.cache.set_capacity(capacity.0);
                self.model.capacity = capacity.0;
                assert_eq!(self.cache.capacity(), capacity.0);
            }
            Call::Advance(time) => {
                self.clock.advance(time.0);
                self.model.now += time.0;
            }
            Call::Burst(Key(first), count) => {
                for key in (0..count % 48).map(|step| first.wrapping_add(step)) {
                    self.insert(key, 1);
                    self.hear();
                }
            }
            Call::Reclaim => self.reclaim(),
            Call::DropGuard(at) => {
                if !self.guards.is_empty() {
                    self.guards.swap_remove(usize::from(at) % self.guards.len());
                }
            }
            Call::GetMany(keys) => self.get_many(keys),
            Call::Snapshot(keys) => self.snapshot(keys),
            Call::InsertInGroups(Key(key), Weight(weight), groups) => self.insert_in_groups(key, weight, groups),
            Call::InvalidateGroup(group) => self.invalidate_group(group),
            Call::Transaction(steps, group, body) => self.transaction(steps, group, body),
            Call::Load(Key(key), Weight(weight), loader) => self.load(key, weight, loader),
            Call::WriteThrough(Key(key), Weight(weight), source, ends) => self.write_through(key, weight, source, ends),
            Call::Lease(Key(key)) => self.lease(key),
            Call::Fill(at, Weight(weight)) => self.fill(at, weight),
            Call::DropLease(at, ends) => self.drop_lease(at, ends),
        }
    }

    pub fn used(&mut self, key: u8, found: Option<(usize, Option<Version>)>) {
        self.model.read(key, found);
        self.model.touch(key);
    }

    /// Tells a model without a listener whether the key is still there.
    pub fn look(&mut self, key: u8) {
        let found = self.cache.peek(&key).map(|value| (value.id(), None));
        self.model.read(key, found);
    }

    /// The same, where the model may not know what left since the last call.
    pub fn catch_up(&mut self, key: u8) {
        if !self.setup.listener || self.setup.time_to_idle.is_some() {
            self.look(key);
        }
    }

    fn guard(&self, key: u8, entry: EntryRef<u8, Tracked>) -> Guard {
        assert_eq!(*entry.key(), key, "a guard of another key");
        Guard { id: entry.id(), version: entry.version(), entry }
    }

    fn insert(&mut self, key: u8, weight: u64) {
        self.catch_up(key);
        let value = self.ledger.value(weight);
        let id = value.id();
        let version = self.cache.insert(key, value);
        self.model.wrote(key, (id, weight), version, Claim::Nothing, None);
    }

    /// A value was written by a call that does not tell its version.
    pub fn came(&mut self, key: u8, (id, weight): (usize, u64), claim: Claim) {
        let told = self.notices.lock().unwrap().iter().find(|notice| notice.id == id).map(|notice| notice.version);
        let version = told.or_else(|| self.cache.iter().find(|entry| entry.id() == id).map(|entry| entry.version()));
        match version {
            Some(version) => self.model.wrote(key, (id, weight), version, claim, None),
            None => {
                assert!(!self.setup.listener, "value {id} of key {key} was written, and is neither there nor told of");
                self.model.fence(key);
                self.look(key);
            }
        }
    }

    /// Does nothing that is written stay at all?
    pub fn is_fleeting(&self) -> bool {
        [self.setup.time_to_live, self.setup.time_to_idle].into_iter().flatten().any(|time| time.0.is_zero())
    }

    fn retain(&mut self, odd: bool) {
        let keep = |key: u8| (key % 2 == 1) == odd;
        let mut seen = Vec::new();
        self.cache.retain(|&key, value| {
            seen.push((key, value.id()));
            keep(key)
        });
        self.saw(seen.iter().map(|&(key, id)| (key, id, None)));
        // What is being loaded cannot be asked about.
        self.model.fence_all();
        for (key, _) in seen {
            if !keep(key) {
                self.model.removed(key);
            }
        }
    }

    fn iterate(&mut self) {
        let entries: Vec<_> = self.cache.iter().collect();
        self.saw(entries.iter().map(|entry| (*entry.key(), entry.id(), Some(entry.version()))));
    }

    /// All the entries were looked at, so what was not seen is missing.
    fn saw(&mut self, all: impl Iterator<Item = (u8, usize, Option<Version>)>) {
        let mut missing = self.model.live_keys();
        for (key, id, version) in all {
            self.model.read(key, Some((id, version)));
            let at = missing.iter().position(|&other| other == key);
            missing.swap_remove(at.unwrap_or_else(|| panic!("key {key} was seen twice")));
        }
        for key in missing {
            self.model.read(key, None);
        }
    }

    /// After this nothing is alive but what is in the cache or under a guard.
    fn reclaim(&mut self) {
        self.cache.reclaim();
        self.hear();
        if self.setup.listener {
            let mut held: Vec<usize> = self.model.entries().map(|entry| entry.id).collect();
            held.extend(self.guards.iter().map(|guard| guard.id));
            held.sort_unstable();
            held.dedup();
            assert_eq!(self.ledger.alive(), held, "reclaimed, and not dropped; or dropped too early");
        }
    }

    /// Hears what the listener was told in this call.
    fn hear(&mut self) {
        for notice in std::mem::take(&mut *self.notices.lock().unwrap()) {
            self.model.told(notice.key, notice.id, notice.version, notice.cause);
        }
        self.model.settle();
    }

    /// What holds after every call.
    fn settle(&mut self) {
        self.hear();
        self.guards.iter().for_each(Guard::check);
        assert!(self.cache.weight() <= self.cache.capacity(), "heavier than its capacity");
        if self.setup.listener {
            assert_eq!(self.cache.len(), self.model.entries().count(), "a wrong length");
            assert_eq!(self.cache.weight(), self.model.entries().map(|entry| entry.weight).sum(), "a wrong weight");
        }
    }

    pub fn finish(self) {
        let Self { setup, cache, ledger, mut guards, leases, .. } = self;
        if !setup.guards_outlive {
            guards.clear();
        }
        drop(leases);
        drop(cache);
        guards.iter().for_each(Guard::check);
        drop(guards);
        assert_eq!(ledger.alive(), [], "values were leaked");
    }
}
