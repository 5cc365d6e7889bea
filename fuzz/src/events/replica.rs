//! One of the caches that the events come to, and what may be said of its answers.

use std::time::Duration;

use arbitrary::Arbitrary;
use brindle::{Cache, Clock, EqualSource, Loaded, MockClock, Ordering, WhenForgotten};

use super::facts::{Death, Facts};
use super::{Event, EventKey, KEYS, Setup, Step, Way, What, truth, written_truth};
use crate::Hasher;
use crate::input::{Capacity, Source, Time};

/// What comes between the events.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Disturbance {
    Remove(EventKey),
    Invalidate(EventKey),
    RemoveAll(Wholesale),
    SetCapacity(Capacity),
    Evict,
    Advance(Time),
    /// Other keys have deaths too, which take the room of tombstones and raise floors.
    Crowd {
        first: u8,
        count: u8,
        source: Source,
    },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Wholesale {
    Clear,
    Retain,
}

/// A value says of which state it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    key: u8,
    source: u64,
}

pub struct Replica {
    setup: Setup,
    cache: Cache<u8, State, Hasher>,
    hand: MockClock,
    now: Duration,
    facts: [Facts; 3],
    /// The highest source of which the cache has heard, of each key.
    truth: [Option<u64>; 3],
}

impl Replica {
    pub fn new(setup: Setup) -> Self {
        let (clock, hand) = Clock::mock();
        let mut builder = Cache::builder()
            .hasher(Hasher::default())
            .clock(clock)
            .stripes(setup.stripes.0)
            .tombstone_ttl(setup.tombstone_ttl.0)
            .ordering(if setup.global { Ordering::Global } else { Ordering::PerKey })
            .equal_source(if setup.replace_equal { EqualSource::Replace } else { EqualSource::Refuse })
            .when_forgotten(if setup.accept_forgotten { WhenForgotten::Accept } else { WhenForgotten::Refuse });
        if let Some(capacity) = setup.capacity {
            builder = builder.max_capacity(capacity.0);
        }
        if let Some(few) = setup.few_tombstones {
            builder = builder.tombstone_capacity(few.into());
        }
        if let Some(time) = setup.time_to_live {
            builder = builder.time_to_live(time.0);
        }
        if setup.versioned {
            builder = builder.versioned_by(|_, state: &State| state.source);
        }
        let cache = builder.build().expect("these settings are sound");
        Self { setup, cache, hand, now: Duration::ZERO, facts: Default::default(), truth: [None; 3] }
    }

    pub fn step(&mut self, step: Step) {
        match step {
            Step::Deliver(at, way) => self.deliver(self.event(at), way),
            Step::Together(some) => self.deliver_together(some.map(|at| self.event(at))),
            Step::Load(key, within) => self.load(key as u8, within.map(|at| self.event(at))),
            Step::LaggingLoad(at) => self.load_lagging(self.event(at)),
            Step::Disturb(how) => self.disturb(how),
        }
    }

    fn event(&self, at: u8) -> Event {
        self.setup.events[usize::from(at) % self.setup.events.len()]
    }

    pub fn deliver(&mut self, event: Event, way: Way) {
        let (key, Source(source)) = (event.key(), event.source);
        let there = self.look(key);
        if event.what == What::Invalidate {
            let done = self.cache.invalidate_at(&key, source);
            assert_eq!(done, there.is_none_or(|there| there < source), "invalidation at {source} of {there:?}");
            if done {
                self.know(key, source, Death::Below);
            }
            return self.heard(key, source);
        }
        let news = self.is_news(key, there, source);
        match self.write(key, source, way) {
            Some(true) => {
                assert_ne!(news, Some(false), "{source} of key {key} was written, and {there:?} is newer, or what is known");
                self.check_order(key, source);
                self.know(key, source, Death::Below);
            }
            Some(false) => self.check_refusal(key, there, source, news),
            None => _ = self.look(key),
        }
        self.heard(key, source);
    }

    /// Tells whether the write took effect, if it can be told.
    fn write(&mut self, key: u8, source: u64, way: Way) -> Option<bool> {
        let state = State { key, source };
        match way {
            Way::Plain if self.setup.versioned => {
                let written = self.cache.stats().inserts;
                self.cache.insert(key, state);
                Some(self.cache.stats().inserts > written)
            }
            // What is written to the source is newer than all that it had.
            Way::Through if self.truth[usize::from(key)] < Some(source) => {
                let written = self.cache.write_through(key, |_| Ok::<_, ()>(Loaded::new(state).at(source)));
                Some(written.expect("it succeeds").is_some())
            }
            Way::Transaction => Some(self.cache.transaction(|t| t.insert_at(key, state, source)).is_ok()),
            _ => match self.cache.insert_at(key, state, source) {
                Ok(version) => {
                    assert_eq!(version.source(), source, "another source than was said");
                    Some(true)
                }
                Err(refused) => {
                    assert_eq!((refused.key, refused.value), (key, state));
                    Some(false)
                }
            },
        }
    }

    /// All at once; one by one where one of them is refused.
    fn deliver_together(&mut self, mut events: [Event; 3]) {
        events.sort_by_key(Event::key);
        let distinct = events.windows(2).all(|pair| pair[0].key() != pair[1].key());
        let there = events.map(|event| self.look(event.key()));
        let committed = distinct
            && self
                .cache
                .transaction(|t| {
                    for event in events {
                        let (key, Source(source)) = (event.key(), event.source);
                        match event.what {
                            What::Write => t.insert_at(key, State { key, source }, source),
                            What::Invalidate => t.invalidate_at(&key, source),
                        }
                    }
                })
                .is_ok();
        for (event, there) in events.into_iter().zip(there) {
            let (key, Source(source)) = (event.key(), event.source);
            match event.what {
                _ if !committed => self.deliver(event, Way::At),
                What::Write => {
                    assert_ne!(self.is_news(key, there, source), Some(false), "{source} of key {key} was no news, and written");
                    self.check_order(key, source);
                    self.know(key, source, Death::Below);
                }
                What::Invalidate if there.is_none_or(|there| there < source) => self.know(key, source, Death::Below),
                What::Invalidate => {}
            }
            self.heard(key, source);
        }
    }

    /// The source has what is true, and perhaps something newer before the load is done.
    fn load(&mut self, key: u8, within: Option<Event>) {
        let Some(truth) = self.truth[usize::from(key)] else { return };
        let (there, written) = (self.look(key), self.cache.stats().inserts);
        // Another handle, so that this one may change while the loader runs.
        let cache = self.cache.clone();
        let got = cache.load(&key, || {
            within.into_iter().for_each(|event| self.deliver(event, Way::At));
            Ok::<_, ()>(Loaded::new(State { key, source: truth }).at(truth))
        });
        let got = got.expect("it succeeds").source;
        match (there, within) {
            (Some(there), _) => assert_eq!(got, there, "loaded, and it was there"),
            (None, None) => {
                assert_eq!(got, truth);
                assert_eq!(self.cache.stats().inserts, written + 1, "what is true of key {key} was loaded and not stored");
                self.know(key, truth, Death::Below);
            }
            (None, Some(newer)) if newer.key() == key && newer.source.0 > truth => {
                assert_ne!(self.look(key), Some(truth), "a fenced load of key {key} was stored");
            }
            (None, Some(_)) => _ = self.look(key),
        }
    }

    /// Nobody has promised anything of such a load where something may be forgotten.
    fn load_lagging(&mut self, event: Event) {
        let (key, Source(source)) = (event.key(), event.source);
        if !self.is_exact() || event.what == What::Invalidate {
            return;
        }
        let there = self.look(key);
        let known = self.facts[usize::from(key)].highest();
        let written = self.cache.stats().inserts;
        let got = self.cache.load(&key, || Ok::<_, ()>(Loaded::new(State { key, source }).at(source)));
        assert_eq!(got.expect("it succeeds").source, there.unwrap_or(source));
        if there.is_none() {
            let stored = self.cache.stats().inserts > written;
            assert_eq!(stored, known.is_none_or(|(known, _)| source >= known), "{source} after {known:?} was loaded");
            if stored {
                self.know(key, source, Death::Below);
            }
            self.heard(key, source);
        }
    }

    fn disturb(&mut self, how: Disturbance) {
        match how {
            Disturbance::Remove(key) => {
                let there = self.look(key as u8);
                assert_eq!(self.cache.remove(&(key as u8)).map(|state| state.source), there);
                self.removed(key as u8, there);
            }
            Disturbance::Invalidate(key) => {
                let there = self.look(key as u8);
                assert_eq!(self.cache.invalidate(&(key as u8)), there.is_some());
                self.removed(key as u8, there);
            }
            Disturbance::RemoveAll(how) => {
                let there = KEYS.map(|key| self.look(key));
                match how {
                    Wholesale::Clear => self.cache.clear(),
                    Wholesale::Retain => self.cache.retain(|_, _| false),
                }
                for key in KEYS {
                    self.removed(key, there[usize::from(key)]);
                    // What had expired may have been there still.
                    self.facts[usize::from(key)].blur();
                }
            }
            Disturbance::SetCapacity(Capacity(capacity)) => self.cache.set_capacity(capacity),
            Disturbance::Evict => {
                let capacity = self.cache.capacity();
                self.cache.set_capacity(0);
                self.cache.set_capacity(capacity);
            }
            Disturbance::Advance(Time(time)) => {
                self.hand.advance(time);
                self.now += time;
            }
            Disturbance::Crowd { first, count, source: Source(source) } => {
                for key in (0..count % 16).map(|step| first.saturating_add(step).max(KEYS.len() as u8)) {
                    _ = self.cache.insert_at(key, State { key, source }, source);
                    self.cache.invalidate(&key);
                }
            }
        }
    }

    fn removed(&mut self, key: u8, there: Option<u64>) {
        if let Some(source) = there {
            self.know(key, source, Death::UpTo);
        }
    }

    fn know(&mut self, key: u8, source: u64, death: Death) {
        self.facts[usize::from(key)].add(source, death, self.now);
    }

    fn heard(&mut self, key: u8, source: u64) {
        let truth = &mut self.truth[usize::from(key)];
        *truth = (*truth).max(Some(source));
    }

    /// What the cache shows: a state that it was told of, and none that it has promised to keep out.
    fn look(&mut self, key: u8) -> Option<u64> {
        let there = self.cache.get_entry(&key);
        let source = there.map(|entry| {
            assert_eq!((entry.value.key, entry.value.source), (key, entry.version.source()), "a version of another value");
            entry.value.source
        })?;
        assert!(Some(source) <= truth(&self.setup.events, key), "nobody said {source} of key {key}");
        self.check_order(key, source);
        self.know(key, source, Death::Below);
        Some(source)
    }

    pub fn look_around(&mut self) {
        KEYS.into_iter().for_each(|key| _ = self.look(key));
        let stats = self.cache.stats();
        let stripes = self.setup.stripes.0;
        let most = self.setup.few_tombstones.map_or(usize::MAX, |few| usize::from(few).div_ceil(stripes) * stripes);
        assert!(stats.tombstones <= most, "{} tombstones, and room for {most}", stats.tombstones);
    }

    /// Does the cache know all that it was told?
    fn is_exact(&self) -> bool {
        self.setup.few_tombstones.is_none() && self.now < self.setup.tombstone_ttl.0
    }

    /// Is a write at `source` news to a cache that forgets nothing? `None` where that cannot be said.
    fn is_news(&self, key: u8, there: Option<u64>, source: u64) -> Option<bool> {
        if !self.is_exact() {
            return None;
        }
        let equal = self.setup.replace_equal;
        if let Some(there) = there {
            return Some(source > there || source == there && equal);
        }
        match self.facts[usize::from(key)].highest() {
            Some((known, death)) if known == source && !equal => match death {
                Death::Below => Some(true),
                Death::Perhaps => None,
                Death::UpTo => Some(false),
            },
            known => Some(known.is_none_or(|(known, _)| source >= known)),
        }
    }

    /// Something at `source` is there: nothing newer must be known for sure.
    fn check_order(&self, key: u8, source: u64) {
        let facts = &self.facts[usize::from(key)];
        let promised = if self.setup.global {
            facts.highest().map(|(source, _)| source)
        } else if self.setup.accept_forgotten && self.cache.stats().tombstones_lost > 0 {
            None
        } else {
            facts.highest_within(self.setup.tombstone_ttl.0, self.now)
        };
        assert!(promised.is_none_or(|promised| source >= promised), "{source} of key {key} after {promised:?}");
    }

    /// A write was refused: was it for a reason?
    fn check_refusal(&self, key: u8, there: Option<u64>, source: u64, news: Option<bool>) {
        assert_ne!(news, Some(true), "{source} of key {key} was refused, and {there:?} is older, or what is known");
        let known = self.facts[usize::from(key)].highest().map(|(source, _)| source);
        // Of an entry that was loaded while something was forgotten nobody knows how old it is.
        let unsure = !self.setup.global;
        let excused = (there.is_none() || unsure) && self.may_refuse_news();
        assert!(Some(source) <= known.max(there) || excused, "{source} of key {key} was refused, and {known:?} is known");
    }

    /// May what is old be taken for news?
    pub fn forgets(&self) -> bool {
        let lost = self.cache.stats().tombstones_lost > 0;
        !self.setup.global && (self.now >= self.setup.tombstone_ttl.0 || self.setup.accept_forgotten && lost)
    }

    /// May what is news be refused, where the key is absent?
    fn may_refuse_news(&self) -> bool {
        let lost = self.cache.stats().tombstones_lost > 0;
        match (self.setup.global, self.setup.accept_forgotten) {
            (true, _) => lost || self.now >= self.setup.tombstone_ttl.0,
            (false, false) => lost,
            (false, true) => false,
        }
    }

    /// What is there in the end: the truth or nothing; and not nothing, where nothing stands in the way.
    pub fn finish(&mut self) -> [Option<u64>; 3] {
        self.cache.set_capacity(u64::MAX);
        KEYS.map(|key| {
            let known = self.facts[usize::from(key)].highest();
            let before = self.look(key);
            if let Some(source) = written_truth(&self.setup.events, key) {
                self.deliver(Event { source: Source(source), ..self.event_of(key) }, Way::At);
            }
            let there = self.look(key);
            let old = there.is_some() && there != truth(&self.setup.events, key);
            assert!(!old || self.forgets(), "an old {there:?} of key {key} is left");
            let fleeting = self.setup.time_to_live.is_some_and(|time| time.0.is_zero());
            let removed = known.is_some_and(|(_, death)| death > Death::Below) && !self.setup.replace_equal;
            let excused = self.may_refuse_news() || removed || fleeting || self.now >= self.setup.tombstone_ttl.0;
            let due = written_truth(&self.setup.events, key).is_some() || before.is_some();
            assert!(there.is_some() || !due || excused, "key {key} is absent, and nothing stands in its way");
            there
        })
    }

    fn event_of(&self, key: u8) -> Event {
        let of = |event: &&Event| event.key() == key && event.what == What::Write;
        *self.setup.events.iter().find(of).expect("there is a truth, and it was written")
    }
}
