//! What the threads of a history are to do, made up from a seed: a [`Setup`] says what kind of cache it is and which calls it gets.

use brindle::Builder;
use brindle::Cache;
use brindle::Clock;
use brindle::EqualSource;
use brindle::MockClock;
use brindle::Ordering;
use brindle::WhileWriting;

use std::time::Duration;

use crate::common::Rng;
use crate::history::Key;
use crate::rules::Memory;
use crate::rules::Rules;
use crate::values::Spread;
use crate::values::Value;

pub type Subject = Cache<Key, Value, Spread>;

/// A kind of cache, and how often it gets which calls.
#[derive(Clone, Debug)]
pub struct Setup {
    pub name: &'static str,
    pub keys: u8,
    pub threads: usize,
    pub capacity: u64,
    pub stripes: usize,
    /// All keys lie in one stripe and bucket, and look alike but for the last comparison.
    pub near: bool,
    pub grouped: bool,
    pub rules: Rules,
    /// Each kind of call so many times as it stands here.
    pub kinds: &'static [Kind],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Read,
    Many,
    Snapshot,
    Write,
    Swap,
    Source,
    Remove,
    Sweep,
    Group,
    Commit,
    Load,
    LoadMany,
    Refresh,
    Lease,
    Through,
    Capacity,
    Time,
}

impl Setup {
    pub fn build(&self) -> (Subject, MockClock) {
        let (clock, hand) = Clock::mock();
        let rules = &self.rules;
        let nanos = Duration::from_nanos;
        let mut builder: Builder<Key, Value, Spread> = Cache::builder().hasher(Spread { near: self.near });
        builder = builder.clock(clock).max_capacity(self.capacity).stripes(self.stripes).tombstone_ttl(Duration::from_secs(3600));
        builder = match rules.memory {
            Memory::Whole => builder,
            Memory::Floors => builder.ordering(Ordering::Global).tombstone_capacity(1),
            Memory::Forgetful => builder.tombstone_capacity(1),
        };
        if rules.replaces_equal {
            builder = builder.equal_source(EqualSource::Replace);
        }
        if let Some(ttl) = rules.time_to_live {
            builder = builder.time_to_live(nanos(ttl));
        }
        if let Some(timeout) = rules.load_timeout {
            builder = builder.load_timeout(nanos(timeout));
        }
        if rules.hides_written {
            builder = builder.while_writing(WhileWriting::Miss);
        }
        if self.grouped {
            builder = builder.group_by(|_, value: &Value| value.group);
        }
        if rules.evicts {
            builder = builder.weigher(|_, value: &Value| value.weight);
        }
        (builder.build().expect("it can be built"), hand)
    }
}

/// One call to be made.
#[derive(Clone, Debug)]
pub enum Call {
    Read(Face, Key),
    Many(Vec<Key>),
    Snapshot(Vec<Key>),
    Write(How, Key),
    Compute(Doing, Key),
    Remove(Way, Key),
    Retain,
    Clear,
    EndGroup(u8),
    Commit(Vec<(Key, Part)>, Option<u8>),
    Load(Loading),
    /// Of the key and the one after it.
    LoadMany(Loading),
    Lease(Leasing),
    Through(Through),
    Capacity(u64),
    Advance(u64),
}

#[derive(Clone, Copy, Debug)]
pub enum Face {
    Get,
    With,
    Guard,
    Entry,
    Peek,
    Contains,
    /// A look at the value, and within it a read of the key.
    Within,
}

#[derive(Clone, Copy, Debug)]
pub enum How {
    Insert,
    Try,
    Heavy,
    IfAbsent,
    Ttl(u64),
    At(u64),
    /// In place of the version that the thread saw last.
    Swap,
}

#[derive(Clone, Copy, Debug)]
pub enum Doing {
    Put,
    Remove,
    Keep,
}

#[derive(Clone, Copy, Debug)]
pub enum Way {
    Remove,
    If,
    Invalidate,
    At(u64),
}

/// What a transaction does with one of its keys.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    Read,
    Insert,
    At(u64),
    Swap,
    Expect,
    Invalidate,
    InvalidateAt(u64),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loader {
    GetWith,
    TryGetWith,
    Load,
    Refresh,
    Reload,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Value,
    Error,
    Panic,
}

/// How the caller waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    Thread,
    Task,
    /// The task is polled so many times at most, then dropped.
    Cancelled(u8),
}

#[derive(Clone, Debug)]
pub struct Loading {
    pub key: Key,
    pub loader: Loader,
    pub patience: Patience,
    pub pauses: u8,
    /// Made while the loader runs.
    pub inside: Option<Box<Call>>,
    pub end: End,
    pub source: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Leasing {
    pub key: Key,
    pub waits: bool,
    /// Made while the lease is held.
    pub inside: Option<Box<Call>>,
    /// `Panic` stands for a lease that is dropped.
    pub end: End,
    pub source: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Through {
    pub key: Key,
    pub patience: Patience,
    pub pauses: u8,
    pub inside: Option<Box<Call>>,
    pub end: End,
    pub source: Option<u64>,
}

/// What each thread does.
pub fn plan(setup: &Setup, rng: &mut Rng, calls: usize) -> Vec<Vec<Call>> {
    let each = calls / setup.threads;
    (0..setup.threads).map(|_| (0..each).map(|_| Chooser { setup, rng }.call()).collect()).collect()
}

struct Chooser<'a> {
    setup: &'a Setup,
    rng: &'a mut Rng,
}

impl Chooser<'_> {
    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.rng.below(choices.len() as u64) as usize].clone()
    }

    fn key(&mut self) -> Key {
        self.rng.below(u64::from(self.setup.keys)) as Key
    }

    fn keys(&mut self) -> Vec<Key> {
        let mut keys: Vec<Key> = (0..self.setup.keys).collect();
        self.rng.shuffle(&mut keys);
        keys.truncate(2 + self.rng.below(2) as usize);
        keys
    }

    /// Low, so that writers meet.
    fn source(&mut self) -> u64 {
        1 + self.rng.below(8)
    }

    fn has_sources(&self) -> bool {
        self.setup.kinds.contains(&Kind::Source)
    }

    fn some_source(&mut self) -> Option<u64> {
        (self.has_sources() && self.rng.below(2) == 0).then(|| self.source())
    }

    fn call(&mut self) -> Call {
        match self.of(self.setup.kinds) {
            Kind::Load => Call::Load(self.load(&[Loader::GetWith, Loader::GetWith, Loader::TryGetWith, Loader::Load])),
            Kind::LoadMany => Call::LoadMany(self.load(&[Loader::TryGetWith])),
            Kind::Refresh => Call::Load(self.load(&[Loader::Refresh, Loader::Reload])),
            Kind::Lease => self.lease(),
            Kind::Through => self.through(),
            kind => self.short(kind),
        }
    }

    /// A call that waits for nobody.
    fn short(&mut self, kind: Kind) -> Call {
        let key = self.key();
        match kind {
            Kind::Read => Call::Read(
                self.of(&[Face::Get, Face::With, Face::Guard, Face::Entry, Face::Peek, Face::Contains, Face::Within]),
                key,
            ),
            Kind::Many => Call::Many(self.keys()),
            Kind::Snapshot => Call::Snapshot(self.keys()),
            Kind::Write => self.write(key),
            Kind::Swap => match self.rng.below(3) {
                0 => Call::Compute(self.of(&[Doing::Put, Doing::Put, Doing::Remove, Doing::Keep]), key),
                _ => Call::Write(How::Swap, key),
            },
            Kind::Source => match self.rng.below(3) {
                0 => Call::Remove(Way::At(self.source()), key),
                _ => Call::Write(How::At(self.source()), key),
            },
            Kind::Remove => Call::Remove(self.of(&[Way::Remove, Way::If, Way::Invalidate]), key),
            Kind::Sweep => self.of(&[Call::Clear, Call::Retain]),
            Kind::Group => Call::EndGroup(self.rng.below(2) as u8),
            Kind::Commit => self.commit(),
            Kind::Capacity => Call::Capacity(1 + self.rng.below(4)),
            Kind::Time => Call::Advance(1 + self.rng.below(6)),
            Kind::Load | Kind::LoadMany | Kind::Refresh | Kind::Lease | Kind::Through => Call::Remove(Way::Invalidate, key),
        }
    }

    fn write(&mut self, key: Key) -> Call {
        let timed = self.setup.rules.time_to_live.is_some();
        let how = match self.rng.below(8) {
            0 => How::IfAbsent,
            1 => How::Try,
            2 if timed => How::Ttl(1 + self.rng.below(8)),
            3 if self.setup.rules.evicts => How::Heavy,
            _ => How::Insert,
        };
        Call::Write(how, key)
    }

    fn commit(&mut self) -> Call {
        let (sourced, grouped) = (self.has_sources(), self.setup.grouped);
        let part = |chooser: &mut Self| match chooser.rng.below(10) {
            0 => Part::Read,
            1 => Part::Swap,
            2 => Part::Expect,
            3 | 4 => Part::Invalidate,
            5 | 6 if sourced => Part::At(chooser.source()),
            7 if sourced => Part::InvalidateAt(chooser.source()),
            _ => Part::Insert,
        };
        let parts = self.keys().into_iter().map(|key| (key, part(self))).collect();
        let group = (grouped && self.rng.below(3) == 0).then(|| self.rng.below(2) as u8);
        Call::Commit(parts, group)
    }

    fn inside(&mut self) -> Option<Box<Call>> {
        (self.rng.below(4) == 0).then(|| {
            let kind = self.of(self.setup.kinds);
            Box::new(self.short(kind))
        })
    }

    fn end(&mut self) -> End {
        self.of(&[End::Value, End::Value, End::Value, End::Value, End::Error, End::Panic])
    }

    fn patience(&mut self) -> Patience {
        match self.rng.below(4) {
            0 => Patience::Task,
            1 => Patience::Cancelled(1 + self.rng.below(6) as u8),
            _ => Patience::Thread,
        }
    }

    fn load(&mut self, loaders: &[Loader]) -> Loading {
        let loader = self.of(loaders);
        let has_source = matches!(loader, Loader::Load | Loader::Reload);
        Loading {
            key: self.key(),
            loader,
            patience: self.patience(),
            pauses: self.rng.below(4) as u8,
            inside: self.inside(),
            end: self.end(),
            source: self.some_source().filter(|_| has_source),
        }
    }

    fn lease(&mut self) -> Call {
        Call::Lease(Leasing {
            key: self.key(),
            waits: self.rng.below(2) == 0,
            inside: self.inside(),
            end: self.end(),
            source: self.some_source(),
        })
    }

    fn through(&mut self) -> Call {
        Call::Through(Through {
            key: self.key(),
            patience: self.patience(),
            pauses: self.rng.below(3) as u8,
            inside: self.inside(),
            end: self.end(),
            source: self.some_source(),
        })
    }
}
