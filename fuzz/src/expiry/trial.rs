//! A cache, its clock and the model, call by call.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use brindle::{Cache, Cause, Clock, Expiry, MockClock};

use super::model::Model;
use super::{Call, Name, Says, Setup};
use crate::Hasher;
use crate::input::Time;
use crate::time::deadline::{NEVER, nanos};

#[derive(Clone, Copy)]
pub struct Item {
    pub id: usize,
    pub says: Says,
}

/// The items know.
struct AsTheySay;

impl Expiry<u8, Item> for AsTheySay {
    fn after_create(&self, _: &u8, item: &Item) -> Option<Duration> {
        item.says.created.map(|time| time.0)
    }

    fn after_update(&self, _: &u8, item: &Item, remaining: Option<Duration>) -> Option<Duration> {
        item.says.updated.of(remaining)
    }

    fn after_read(&self, _: &u8, item: &Item, remaining: Option<Duration>) -> Option<Duration> {
        item.says.read.of(remaining)
    }
}

#[derive(Clone, Copy)]
struct Notice {
    key: u8,
    id: usize,
    cause: Cause,
}

/// Keys that are never there.
const ABSENT: std::ops::Range<u8> = 100..140;

pub struct Trial {
    pub setup: Setup,
    pub cache: Cache<u8, Item, Hasher>,
    pub model: Model,
    hand: MockClock,
    /// What the hand shows, which may be behind what the clock has shown.
    shown: u64,
    told: Arc<Mutex<Vec<Notice>>>,
    /// Of each item whether somebody was told that it left.
    left: Vec<bool>,
}

impl Trial {
    pub fn new(setup: Setup) -> Self {
        let (clock, hand) = Clock::mock();
        let told = Arc::new(Mutex::new(Vec::new()));
        let notices = Arc::clone(&told);
        let mut builder =
            Cache::builder().hasher(Hasher::default()).stripes(1 + usize::from(setup.two_stripes)).clock(clock).removal_listener(
                move |removed: brindle::Removed<u8, Item>| {
                    let (key, id) = (*removed.entry.key(), removed.entry.id);
                    notices.lock().unwrap().push(Notice { key, id, cause: removed.cause });
                },
            );
        if let Some(Time(time)) = setup.time_to_live {
            builder = builder.time_to_live(time);
        }
        if let Some(Time(time)) = setup.time_to_idle {
            builder = builder.time_to_idle(time);
        }
        if setup.expiry {
            builder = builder.expire_after(AsTheySay);
        }
        if let Some(Time(time)) = setup.stale {
            builder = builder.serve_stale(time);
            if setup.fail_safe {
                builder = builder.fail_safe();
            }
        }
        if let Some(Time(time)) = setup.refresh_after {
            builder = builder.refresh_after(time);
        }
        let cache = builder.build().expect("these settings are sound");
        Self { setup, cache, model: Model::new(setup), hand, shown: 0, told, left: Vec::new() }
    }

    pub fn step(&mut self, call: Call) {
        match call {
            Call::Get(Name(key)) => {
                let found = self.cache.get(&key).map(|item| item.id);
                self.used(key, found);
            }
            Call::GetRef(Name(key)) => {
                let found = self.cache.get_ref(&key).map(|entry| entry.id);
                self.used(key, found);
            }
            Call::With(Name(key)) => {
                let found = self.cache.with(&key, |item| item.id);
                self.used(key, found);
            }
            Call::GetMany(names) => {
                let found = self.cache.get_many(&names.map(|Name(key)| key));
                names.into_iter().zip(found).for_each(|(Name(key), item)| self.used(key, item.map(|item| item.id)));
            }
            Call::Peek(Name(key)) => self.look(key),
            Call::Contains(Name(key)) => {
                let found = self.cache.contains_key(&key);
                let known = self.model.entries.get(&key).map(|entry| entry.id);
                assert!(!found || known.is_some(), "key {key} is contained after it had left");
                self.model.saw(key, known.filter(|_| found));
            }
            Call::Iterate => self.iterate(),
            Call::Insert(Name(key), says) => {
                self.look(key);
                let item = self.item(says);
                self.cache.insert(key, item);
                self.model.wrote(key, item.id, says, None);
            }
            Call::InsertWithTtl(Name(key), says, Time(time)) => self.insert_for(key, says, time),
            Call::InsertForGood(Name(key), says) => self.insert_for(key, says, Duration::MAX),
            Call::InsertIfAbsent(Name(key), says) => self.insert_if_absent(key, says),
            Call::Several(names, says) => self.write_together(names, says),
            Call::Load(Name(key), says, loader) => self.load(key, says, loader),
            Call::Remove(Name(key)) => {
                self.look(key);
                let removed = self.cache.remove(&key).map(|item| item.id);
                assert_eq!(removed, self.model.live(key).map(|entry| entry.id));
                self.model.removed(key);
            }
            Call::Invalidate(Name(key)) => {
                self.look(key);
                assert_eq!(self.cache.invalidate(&key), self.model.live(key).is_some());
                self.model.removed(key);
            }
            Call::Clear => {
                self.cache.clear();
                self.model.entries.clear();
                assert_eq!(self.cache.len(), 0, "cleared, and not empty");
            }
            Call::Advance(Time(time)) => self.show(self.shown.saturating_add(nanos(time))),
            Call::Edge { of: Name(key), before } => {
                let edge = self.model.entries.get(&key).map(|entry| entry.end().0);
                if let Some(edge) = edge.filter(|&edge| edge != NEVER) {
                    self.show(self.shown.max(edge.saturating_sub(before.into())));
                }
            }
            Call::Back(Time(time)) => {
                // The clock knows only what it was asked for.
                self.cache.insert_with_ttl(ABSENT.end, Item { id: usize::MAX, says: NOTHING }, Duration::MAX);
                self.cache.invalidate(&ABSENT.end);
                self.show(self.shown.saturating_sub(nanos(time)));
            }
            Call::EndOfTime => self.show(u64::MAX),
            Call::Traffic => self.traffic(),
        }
    }

    fn show(&mut self, moment: u64) {
        self.shown = moment;
        self.hand.set(Duration::from_nanos(moment));
        self.model.advance(moment);
    }

    pub fn item(&mut self, says: Says) -> Item {
        self.left.push(false);
        Item { id: self.left.len() - 1, says }
    }

    /// It was made, and the cache does not have it.
    pub fn never_came(&mut self, item: Item) {
        self.left[item.id] = true;
    }

    pub fn look(&mut self, key: u8) {
        self.model.saw(key, self.cache.peek(&key).map(|item| item.id));
    }

    pub fn used(&mut self, key: u8, found: Option<usize>) {
        self.model.saw(key, found);
        if found.is_some() {
            self.model.used(key);
        }
    }

    fn insert_for(&mut self, key: u8, says: Says, time: Duration) {
        self.look(key);
        let item = self.item(says);
        self.cache.insert_with_ttl(key, item, time);
        self.model.wrote(key, item.id, says, Some(time));
    }

    fn insert_if_absent(&mut self, key: u8, says: Says) {
        self.look(key);
        let live = self.model.live(key);
        let item = self.item(says);
        match self.cache.insert_if_absent(key, item) {
            Ok(_) => {
                assert!(live.is_none(), "key {key} was there");
                self.model.wrote(key, item.id, says, None);
            }
            Err(conflict) => {
                self.never_came(item);
                assert_eq!(conflict.current.map(|entry| entry.id), live.map(|entry| entry.id));
            }
        }
    }

    fn write_together(&mut self, [Name(one), Name(other)]: [Name; 2], says: Says) {
        if one == other {
            return;
        }
        [one, other].into_iter().for_each(|key| self.look(key));
        let items = [self.item(says), self.item(says)];
        let committed = self.cache.transaction(|t| {
            t.insert(one, items[0]);
            t.insert(other, items[1]);
        });
        assert!(committed.is_ok(), "nothing was asked for");
        self.model.wrote(one, items[0].id, says, None);
        self.model.wrote(other, items[1].id, says, None);
    }

    fn iterate(&mut self) {
        let mut found: [Option<usize>; 16] = [None; 16];
        for entry in self.cache.iter() {
            let before = found[usize::from(*entry.key())].replace(entry.id);
            assert_eq!(before, None, "key {} was seen twice", entry.key());
        }
        found.into_iter().zip(0..).for_each(|(found, key)| self.model.saw(key, found));
    }

    /// Each call in a stripe drops a few of what is due: here are enough of them for all, whatever reads have moved.
    fn traffic(&mut self) {
        ABSENT.for_each(|key| _ = self.cache.invalidate(&key));
        let most = self.model.residents();
        assert!(self.cache.len() <= most, "{} are there, and {most} may be", self.cache.len());
    }

    /// Who was told of what: each of it was due, or taken out by a call.
    pub fn hear(&mut self) {
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        for Notice { key, id, cause } in told.into_iter().filter(|notice| notice.id != usize::MAX) {
            assert!(!std::mem::replace(&mut self.left[id], true), "told of item {id} twice");
            assert_ne!(cause, Cause::Evicted, "there is room for all");
            let Some(entry) = self.model.entries.get(&key).filter(|entry| entry.id == id) else { continue };
            // It left by itself, for the model has it still.
            let due = entry.end().0;
            assert_eq!(cause, Cause::Expired, "nobody took item {id} out");
            assert!(due <= self.model.now, "item {id} expired at {}, and is due at {due}", self.model.now);
            self.model.removed(key);
        }
    }

    /// All are told of, or there.
    pub fn finish(mut self) {
        self.hear();
        assert_eq!(self.left.iter().filter(|left| !**left).count(), self.cache.len(), "lost without a word");
    }
}

const NOTHING: Says = Says { created: None, updated: super::Said::Never, read: super::Said::Never };
