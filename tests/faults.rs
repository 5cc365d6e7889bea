//! The user's code panics at its n-th call, for every hook and every n, in the middle of every operation: the cache stays whole.

#![allow(dropping_copy_types, clippy::type_complexity, reason = "what a call answers is often not the point here")]

mod common;
mod harness;

use std::collections::BTreeMap;
use std::hash::BuildHasherDefault;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;

use brindle::Cache;
use brindle::Cause;
use brindle::Clock;
use brindle::EntryRef;
use brindle::Expected;
use brindle::Expiry;
use brindle::MockClock;
use brindle::Op;
use brindle::Ordering;
use brindle::Version;

use harness::Random;
use harness::planned;
use harness::planned_in_drop;
use harness::survives;
use harness::watched;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hook {
    Hash,
    Eq,
    Clone,
    DropKey,
    DropValue,
    Weigher,
    Source,
    Create,
    Update,
    Read,
    Listener,
    Closure,
}

impl Hook {
    /// A panic of it comes before anything has changed, in every call but those that go over many keys.
    fn comes_first(self) -> bool {
        !matches!(self, Hook::Clone | Hook::DropKey | Hook::DropValue | Hook::Listener)
    }
}

#[derive(Default)]
struct Life {
    drops: u32,
    told: u32,
    /// Made by `Clone`: was never in the cache.
    copy: bool,
    /// The write said that it took effect.
    entered: bool,
    /// The write panicked before anything could change.
    refused: bool,
}

#[derive(Default)]
struct State {
    /// The hook that panics, at which of its calls from now on, and whether again after as many more.
    armed: Option<(Hook, u64, bool)>,
    calls: u64,
    /// Calls of the armed hook, panicking or not.
    seen: u64,
    panics: u64,
    lives: Vec<Life>,
    causes: BTreeMap<&'static str, u64>,
}

#[derive(Default)]
struct World(Mutex<State>);

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it is locked")
    }

    fn arm(&self, hook: Hook, n: u64, again: bool) {
        let mut state = self.state();
        (state.armed, state.calls, state.seen) = (Some((hook, n, again)), 0, 0);
    }

    fn disarm(&self) {
        self.state().armed = None;
    }

    /// Is this the call at which to panic?
    fn is_due(&self, hook: Hook) -> bool {
        let mut state = self.state();
        let Some((armed, n, again)) = state.armed.filter(|&(armed, ..)| armed == hook) else { return false };
        state.seen += 1;
        state.calls += 1;
        if state.calls < n || std::thread::panicking() {
            return false;
        }
        state.calls = 0;
        state.panics += 1;
        state.armed = again.then_some((armed, n, again));
        true
    }

    /// Panics so far, and values made.
    fn tally(&self) -> (u64, usize) {
        let state = self.state();
        (state.panics, state.lives.len())
    }

    fn call(&self, hook: Hook) {
        if self.is_due(hook) {
            planned();
        }
    }

    fn value(self: &Arc<Self>, weight: u64, source: u64, copy: bool) -> Value {
        let mut state = self.state();
        state.lives.push(Life { copy, ..Life::default() });
        Value { serial: state.lives.len() - 1, weight, source, world: Arc::clone(self) }
    }
}

struct Key {
    id: u32,
    world: Arc<World>,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.world.call(Hook::Hash);
        self.id.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.world.call(Hook::Eq);
        self.id == other.id
    }
}

impl Eq for Key {}

impl Drop for Key {
    fn drop(&mut self) {
        if self.world.is_due(Hook::DropKey) {
            planned_in_drop();
        }
    }
}

struct Value {
    serial: usize,
    weight: u64,
    source: u64,
    world: Arc<World>,
}

impl Clone for Value {
    fn clone(&self) -> Self {
        self.world.call(Hook::Clone);
        self.world.value(self.weight, self.source, true)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.world.state().lives[self.serial].drops += 1;
        if self.world.is_due(Hook::DropValue) {
            planned_in_drop();
        }
    }
}

/// Gives everybody some time, and more at every read. (That reads may shorten it too is tested in `expiry.rs`.)
struct SomeTime(Arc<World>);

fn time_of(value: &Value) -> Option<Duration> {
    (!value.serial.is_multiple_of(5)).then(|| Duration::from_secs(5 + value.serial as u64 % 30))
}

impl Expiry<Key, Value> for SomeTime {
    fn after_create(&self, _: &Key, value: &Value) -> Option<Duration> {
        self.0.call(Hook::Create);
        time_of(value)
    }

    fn after_update(&self, _: &Key, value: &Value, remaining: Option<Duration>) -> Option<Duration> {
        self.0.call(Hook::Update);
        remaining.or(time_of(value))
    }

    fn after_read(&self, _: &Key, _: &Value, remaining: Option<Duration>) -> Option<Duration> {
        self.0.call(Hook::Read);
        remaining.map(|remaining| remaining + Duration::from_millis(100))
    }
}

type Tried = Cache<Key, Value, BuildHasherDefault<DefaultHasher>>;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    /// One stripe, nothing but a listener.
    Plain,
    /// Weights, all kinds of deadlines, four stripes.
    Timed,
    /// Source versions in the values, a few tombstones, two stripes.
    Versioned,
}

const KINDS: [Kind; 3] = [Kind::Plain, Kind::Timed, Kind::Versioned];
const KEYS: u64 = 24;

struct Run {
    kind: Kind,
    world: Arc<World>,
    cache: Tried,
    clock: MockClock,
    guards: Vec<EntryRef<Key, Value>>,
    random: Random,
    last: Version,
}

impl Run {
    fn new(kind: Kind) -> Self {
        let world = Arc::new(World::default());
        let (clock, hand) = Clock::mock();
        hand.advance(Duration::from_secs(1));
        let builder = Cache::builder().hasher(BuildHasherDefault::<DefaultHasher>::default()).clock(clock).removal_listener({
            let world = Arc::clone(&world);
            move |removed: brindle::Removed<Key, Value>| {
                let name = match removed.cause() {
                    Cause::Replaced => "replaced",
                    Cause::Invalidated => "invalidated",
                    Cause::Evicted => "evicted",
                    Cause::Expired => "expired",
                    Cause::Cleared => "cleared",
                    _ => "unknown",
                };
                let mut state = world.state();
                state.lives[removed.value().serial].told += 1;
                *state.causes.entry(name).or_default() += 1;
                drop(state);
                world.call(Hook::Listener);
            }
        });
        let weigher = {
            let world = Arc::clone(&world);
            move |_: &Key, value: &Value| {
                world.call(Hook::Weigher);
                value.weight
            }
        };
        let source = {
            let world = Arc::clone(&world);
            move |_: &Key, value: &Value| {
                world.call(Hook::Source);
                value.source
            }
        };
        let built = match kind {
            Kind::Plain => builder.max_capacity(16).stripes(1).build(),
            Kind::Timed => {
                let builder = builder.max_capacity(50).stripes(4).weigher(weigher).time_to_idle(Duration::from_secs(60));
                builder.time_to_live(Duration::from_secs(100)).expire_after(SomeTime(Arc::clone(&world))).build()
            }
            Kind::Versioned => {
                let builder = builder.max_capacity(40).stripes(2).weigher(weigher).versioned_by(source);
                builder.tombstone_capacity(8).ordering(Ordering::Global).build()
            }
        };
        let cache = built.expect("valid choices");
        let last = cache.insert(Key { id: 0, world: Arc::clone(&world) }, world.value(1, 1, false));
        Run { kind, world, cache, clock: hand, guards: Vec::new(), random: Random(7), last }
    }

    fn key(&self, id: u64) -> Key {
        Key { id: id as u32, world: Arc::clone(&self.world) }
    }

    fn fresh(&mut self) -> Value {
        let weight = self.random.below(7);
        let next = self.world.state().lives.len() as u64;
        // Some are late.
        let source = if self.random.below(6) == 0 { next / 2 } else { next };
        self.world.value(weight, source, false)
    }

    fn entered(&self, serial: usize) {
        self.world.state().lives[serial].entered = true;
    }

    /// One operation of the script. All that is random is drawn before the cache is called, so a panic changes nothing of what follows.
    fn step(&mut self, number: usize) {
        let id = self.random.below(KEYS);
        let (key, other) = (self.key(id), self.random.below(KEYS));
        let value = self.fresh();
        let (serial, plain) = (value.serial, self.kind != Kind::Versioned);
        let (cache, world) = (self.cache.clone(), Arc::clone(&self.world));
        match number % 24 {
            0 | 7 | 14 => {
                self.last = cache.insert(key, value);
                if plain {
                    self.entered(serial);
                }
            }
            1 => drop(cache.get(&key)),
            2 => {
                cache.with(&key, |found| {
                    world.call(Hook::Closure);
                    cache.with(&Key { id: other as u32, world: Arc::clone(&world) }, |_| world.call(Hook::Closure));
                    found.weight
                });
            }
            3 => self.guards.extend(cache.get_ref(&key)),
            4 => drop(cache.get_entry(&key)),
            5 => drop(cache.peek(&key)),
            6 => drop(cache.contains_key(&key)),
            8 => {
                if cache.try_insert(key, value).is_ok() && plain {
                    self.entered(serial);
                }
            }
            9 => {
                self.last = cache.insert_with_ttl(key, value, Duration::from_secs(other));
                if plain {
                    self.entered(serial);
                }
            }
            10 => {
                if cache.insert_if_absent(key, value).is_ok() {
                    self.entered(serial);
                }
            }
            11 => {
                if cache.insert_at(key, value, serial as u64).is_ok() {
                    self.entered(serial);
                }
            }
            12 => {
                let expected = cache.get_ref(&key).map_or(Expected::Absent, |entry| entry.version().into());
                if cache.compare_and_swap(key, expected, value).is_ok() {
                    self.entered(serial);
                }
            }
            13 => {
                let mut value = Some(value);
                cache.entry(key).and_compute_with(|_| {
                    world.call(Hook::Closure);
                    match (other % 3, value.take()) {
                        (0, _) => Op::Remove,
                        (1, _) | (_, None) => Op::Keep,
                        (_, Some(value)) => Op::Put(value),
                    }
                });
            }
            15 => drop(cache.remove(&key)),
            16 => drop(cache.remove_if(&key, |_, found| {
                world.call(Hook::Closure);
                found.weight % 2 == 0
            })),
            17 => cache.retain(|_, found| {
                world.call(Hook::Closure);
                found.weight != 3
            }),
            18 => drop(cache.invalidate(&key)),
            19 => drop(cache.invalidate_at(&key, (serial / 2) as u64)),
            20 => {
                self.clock.advance(Duration::from_secs(2));
                cache.iter().for_each(drop);
            }
            21 if number.is_multiple_of(5) => cache.clear(),
            21 => {
                // A heavy one and a light one for what the other stripes hold.
                cache.insert(key, world.value(20, u64::from(u32::MAX), false));
                drop(value);
            }
            22 => {
                let keep = self.guards.len() / 2;
                self.guards.truncate(keep);
                cache.reclaim();
            }
            _ => {
                let capacity = cache.capacity();
                cache.set_capacity(capacity / 2);
                cache.set_capacity(capacity);
            }
        }
    }

    /// Late in the script, many inserts in a row: ordinary writes evict and reclaim whole batches.
    fn burst(&mut self) {
        let (key, value) = (self.random.below(KEYS * 4), self.fresh());
        let key = self.key(key);
        self.cache.insert(key, value);
    }

    /// What is there, by key.
    fn snapshot(&self) -> BTreeMap<u32, Version> {
        self.cache.iter().map(|entry| (entry.key().id, entry.version())).collect()
    }

    /// Has whatever is due dropped by ordinary traffic. A capacity that was left half-changed is set right.
    fn drain(&self) {
        for id in 0..40 {
            self.cache.invalidate(&self.key(10_000 + id));
        }
    }

    #[track_caller]
    fn check(&self, context: &str) {
        self.drain();
        let entries: Vec<_> = self.cache.iter().collect();
        let weigh = |entry: &EntryRef<Key, Value>| if self.kind == Kind::Plain { 1 } else { entry.weight };
        let weights: u64 = entries.iter().map(weigh).sum();
        assert_eq!(self.cache.len(), entries.len(), "{context}: entries");
        assert_eq!(self.cache.weight(), weights, "{context}: weight");
        let stats = self.cache.stats();
        let left = stats.replaced + stats.invalidated + stats.evicted + stats.expired + stats.cleared;
        assert_eq!(stats.inserts, left + entries.len() as u64, "{context}: {stats:?}");
        let state = self.world.state();
        let told: u64 = state.causes.values().sum();
        assert_eq!(told, left, "{context}: notices of {:?} and counts of {stats:?}", state.causes);
        for (serial, life) in state.lives.iter().enumerate() {
            assert!(life.drops <= 1 && life.told <= 1, "{context}: value {serial} dropped {} told {}", life.drops, life.told);
        }
        for entry in &entries {
            let life = &state.lives[entry.serial];
            assert!(life.told == 0 && life.drops == 0 && !life.copy && !life.refused, "{context}: value {}", entry.serial);
        }
    }

    /// Everything can still be written and read, the guards gone and the values dropped; nothing is lost or left.
    fn finish(mut self, context: &str) {
        self.world.disarm();
        // As many as fit, and no fewer: no weight is left over from what panicked. Nor is any missing: one more does not fit.
        self.cache.clear();
        self.cache.set_capacity(KEYS);
        for id in 0..2 * KEYS {
            let value = self.world.value(1, u64::MAX, false);
            let serial = value.serial;
            self.cache.invalidate(&self.key(id));
            self.cache.insert(self.key(id), value);
            self.world.state().lives[serial].entered = true;
            assert!(self.cache.weight() <= KEYS, "{context}: too much weight with key {id}");
            if id < KEYS {
                assert_eq!(self.cache.len() as u64, id + 1, "{context}: no room for key {id}");
                let found = self.cache.get(&self.key(id)).map(|found| found.serial);
                assert!(found.is_some(), "{context}: key {id} cannot be written and read");
            }
        }
        self.check(context);
        let resident: Vec<usize> = self.cache.iter().map(|entry| entry.serial).collect();
        self.guards.clear();
        drop(self.cache);
        let state = self.world.state();
        for (serial, life) in state.lives.iter().enumerate() {
            assert_eq!(life.drops, 1, "{context}: value {serial} was dropped so often");
            let there = resident.contains(&serial);
            assert!(
                !life.refused || life.told == 0,
                "{context}: value {serial} never was in the cache, and the listener heard of it"
            );
            assert!(!life.entered || (life.told == 1) != there, "{context}: value {serial} told {} there {there}", life.told);
        }
    }
}

const STEPS: usize = 24 * 6;
const BURST: usize = 320;
const AFTERMATH: usize = 60;

/// One run of the script; gives back how often the hook was called and how often it panicked.
fn run(kind: Kind, hook: Hook, n: u64, again: bool, firing: Option<usize>) -> (Vec<u64>, u64) {
    let context = format!("{kind:?}, {hook:?} at call {n}{}", if again { " and so on" } else { "" });
    let mut run = Run::new(kind);
    run.world.arm(hook, n, again);
    let mut seen = Vec::new();
    // Once it has fired, the script goes on for some time.
    let mut end = STEPS + BURST;
    for number in 0..STEPS + BURST {
        // Taking it calls nothing but drops of guards, so only where it matters.
        let before = firing.filter(|&at| at == number).map(|_| run.snapshot());
        let (panics, made) = run.world.tally();
        let capacity = run.cache.capacity();
        if number >= end {
            break;
        }
        let done = survives(|| if number < STEPS { run.step(number) } else { run.burst() }).is_some();
        seen.push(run.world.state().seen);
        if run.world.tally().0 == panics {
            assert!(done, "{context}: a panic from nowhere in step {number}");
            continue;
        }
        assert!(!(done && hook.comes_first()), "{context}: the panic in step {number} was swallowed");
        assert!(done || hook != Hook::Listener, "{context}: the listener's panic reached the caller in step {number}");
        let armed = run.world.state().armed.take();
        run.cache.set_capacity(capacity);
        let over_many = number < STEPS && [17].contains(&(number % 24));
        if hook.comes_first() && !over_many {
            let mut state = run.world.state();
            state.lives[made..].iter_mut().filter(|life| !life.copy).for_each(|life| life.refused = true);
            drop(state);
            if let Some(before) = before {
                assert_eq!(before, run.snapshot(), "{context}: step {number} changed something before it panicked");
            }
        }
        run.check(&format!("{context}, after step {number}"));
        assert!(run.cache.weight() <= run.cache.capacity(), "{context}: too much weight after step {number}");
        if !again {
            end = number + AFTERMATH;
        }
        run.world.state().armed = armed;
    }
    let panics = run.world.state().panics;
    run.finish(&context);
    (seen, panics)
}

/// The hook panics at its first call, at its second, and so on, once in each run.
fn every_call(hook: Hook, kinds: &'static [Kind]) {
    watched(move || {
        for &kind in kinds {
            let (seen, _) = run(kind, hook, u64::MAX, false, None);
            let calls = *seen.last().expect("steps");
            assert!(calls > 0, "{kind:?}: the script never calls {hook:?}");
            // All of the first two hundred, and of the rest one here and there.
            let mut n = 1;
            while n <= calls {
                let firing = seen.partition_point(|&seen| seen < n);
                let (_, panics) = run(kind, hook, n, false, Some(firing));
                assert!(panics <= 1, "{kind:?}, {hook:?}, {n}: {panics} panics");
                n += if n < 200 { 1 } else { 1 + calls / 25 };
            }
            // And again and again.
            for n in [2, 5, 11] {
                run(kind, hook, n, true, None);
            }
        }
    });
}

#[test]
fn the_script_itself_is_clean() {
    watched(|| KINDS.into_iter().for_each(|kind| assert_eq!(run(kind, Hook::Hash, u64::MAX, false, None).1, 0)));
}

/// What a sweep takes out before `Eq` panics in the same call leaves the cache's weight all the same.
#[test]
fn expired_entries_swept_by_a_call_that_panics() {
    watched(|| {
        let run = Run::new(Kind::Plain);
        for round in 0..10 {
            for id in 1..16 {
                run.cache.insert_with_ttl(run.key(id), run.world.value(1, 0, false), Duration::from_secs(1));
            }
            assert_eq!(run.cache.len(), 16, "round {round}");
            run.clock.advance(Duration::from_secs(1));
            run.world.arm(Hook::Eq, 1, false);
            assert!(survives(|| run.cache.invalidate(&run.key(0))).is_none());
            run.world.disarm();
            assert!(run.cache.len() < 16, "the sweep comes first");
            run.check("a sweep and a panic");
        }
        run.finish("sweeps and panics");
    });
}

#[test]
fn hash_panics() {
    every_call(Hook::Hash, &KINDS);
}

#[test]
fn eq_panics() {
    every_call(Hook::Eq, &KINDS);
}

#[test]
fn clone_panics() {
    every_call(Hook::Clone, &KINDS);
}

#[test]
fn drop_of_a_key_panics() {
    every_call(Hook::DropKey, &KINDS);
}

#[test]
fn drop_of_a_value_panics() {
    every_call(Hook::DropValue, &KINDS);
}

#[test]
fn weigher_panics() {
    every_call(Hook::Weigher, &[Kind::Timed, Kind::Versioned]);
}

#[test]
fn versioned_by_panics() {
    every_call(Hook::Source, &[Kind::Versioned]);
}

#[test]
fn after_create_panics() {
    every_call(Hook::Create, &[Kind::Timed]);
}

#[test]
fn after_update_panics() {
    every_call(Hook::Update, &[Kind::Timed]);
}

#[test]
fn after_read_panics() {
    every_call(Hook::Read, &[Kind::Timed]);
}

#[test]
fn the_listener_panics() {
    every_call(Hook::Listener, &KINDS);
}

#[test]
fn closures_panic() {
    every_call(Hook::Closure, &KINDS);
}
