//! Promise 7 for transactions: the body may stop at any step, by a panic, an error or a condition, and user code may panic at any of its calls:
//! then all has changed or nothing, nothing is lost, and the cache goes on. Snapshots too.

mod common;
mod harness;

use std::collections::BTreeMap;
use std::hash::BuildHasherDefault;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::EntryRef;
use brindle::Expected;
use brindle::Expiry;
use brindle::Leased;
use brindle::Transaction;
use brindle::Version;

use harness::Counted;
use harness::Ledger;
use harness::planned;
use harness::planned_in_drop;
use harness::survives;
use harness::watched;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hook {
    Hash,
    Eq,
    CloneKey,
    CloneValue,
    DropKey,
    DropValue,
    Weigher,
    Source,
    Create,
    Update,
    Listener,
    Body,
}

/// Those that are asked before anything has changed.
const FIRST: [Hook; 9] =
    [Hook::Hash, Hook::Eq, Hook::CloneKey, Hook::CloneValue, Hook::Weigher, Hook::Source, Hook::Create, Hook::Update, Hook::Body];

const LAST: [Hook; 3] = [Hook::DropKey, Hook::DropValue, Hook::Listener];

/// Which hook panics, and at which of its calls from now on.
struct World {
    armed: AtomicU64,
    left: AtomicU64,
    fired: AtomicBool,
    ledger: Ledger,
}

const NOBODY: u64 = u64::MAX;

impl World {
    fn new() -> Arc<Self> {
        let (armed, left, fired) = (AtomicU64::new(NOBODY), AtomicU64::new(0), AtomicBool::new(false));
        Arc::new(World { armed, left, fired, ledger: Ledger::default() })
    }

    fn arm(&self, hook: Hook, call: u64) {
        self.left.store(call, SeqCst);
        self.fired.store(false, SeqCst);
        self.armed.store(hook as u64, SeqCst);
    }

    /// Gives whether it has panicked.
    fn disarm(&self) -> bool {
        self.armed.store(NOBODY, SeqCst);
        self.fired.load(SeqCst)
    }

    fn is_due(&self, hook: Hook) -> bool {
        if self.armed.load(SeqCst) != hook as u64 || std::thread::panicking() || self.left.fetch_sub(1, SeqCst) != 1 {
            return false;
        }
        self.armed.store(NOBODY, SeqCst);
        self.fired.store(true, SeqCst);
        true
    }

    fn call(&self, hook: Hook) {
        if self.is_due(hook) {
            planned();
        }
    }

    fn key(self: &Arc<Self>, id: u64) -> Key {
        Key { id, counted: self.ledger.value(id), world: Arc::clone(self) }
    }

    fn value(self: &Arc<Self>, number: u64) -> Value {
        Value { counted: self.ledger.value(number), world: Arc::clone(self) }
    }
}

struct Key {
    id: u64,
    counted: Counted,
    world: Arc<World>,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.world.call(Hook::Hash);
        self.id.hash(hasher);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.world.call(Hook::Eq);
        self.id == other.id
    }
}

impl Eq for Key {}

impl Clone for Key {
    fn clone(&self) -> Self {
        self.world.call(Hook::CloneKey);
        Key { counted: self.counted.clone(), world: Arc::clone(&self.world), ..*self }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        if self.world.is_due(Hook::DropKey) {
            planned_in_drop();
        }
    }
}

struct Value {
    counted: Counted,
    world: Arc<World>,
}

impl Value {
    fn number(&self) -> u64 {
        self.counted.number
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        self.world.call(Hook::CloneValue);
        Value { counted: self.counted.clone(), world: Arc::clone(&self.world) }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        if self.world.is_due(Hook::DropValue) {
            planned_in_drop();
        }
    }
}

struct SomeTime(Arc<World>);

impl Expiry<Key, Value> for SomeTime {
    fn after_create(&self, _: &Key, _: &Value) -> Option<Duration> {
        self.0.call(Hook::Create);
        Some(Duration::from_secs(100))
    }

    fn after_update(&self, _: &Key, _: &Value, remaining: Option<Duration>) -> Option<Duration> {
        self.0.call(Hook::Update);
        remaining
    }
}

type Hashing = BuildHasherDefault<DefaultHasher>;
type Tried = Cache<Key, Value, Hashing>;
type Changes<'a> = Transaction<'a, Key, Value, Hashing>;

/// Keys 0 to 9 are there; 10 to 19 are not.
fn prepare(world: &Arc<World>, stripes: usize) -> Tried {
    let of = |world: &Arc<World>| Arc::clone(world);
    let (weighing, versioning, listening) = (of(world), of(world), of(world));
    let builder = Cache::builder().max_capacity(10_000).stripes(stripes).hasher(Hashing::default()).clock(Clock::mock().0);
    let builder = builder.expire_after(SomeTime(of(world))).weigher(move |_, value: &Value| {
        weighing.call(Hook::Weigher);
        1 + value.number() % 3
    });
    let builder = builder.versioned_by(move |_, value: &Value| {
        versioning.call(Hook::Source);
        value.number()
    });
    let builder = builder.removal_listener(move |_| listening.call(Hook::Listener));
    let cache = builder.build().unwrap();
    (0..10).for_each(|id| _ = cache.insert(world.key(id), world.value(id + 1)));
    cache
}

/// The same without any choice: the cache asks nothing but keys of their hashes, and whether they are equal.
fn prepare_plain(world: &Arc<World>, stripes: usize) -> Tried {
    let builder = Cache::builder().name(PLAIN).max_capacity(10_000).stripes(stripes).hasher(Hashing::default());
    let cache = builder.build().unwrap();
    (0..10).for_each(|id| _ = cache.insert(world.key(id), world.value(id + 1)));
    cache
}

const PLAIN: &str = "plain";

/// Every change and condition, key after key.
const STEPS: u64 = 12;

fn step(t: &mut Changes<'_>, world: &Arc<World>, cache: &Tried, number: u64) {
    let (key, there) = (world.key(number), number < 10);
    let state = || cache.get_ref(&world.key(number)).map(|entry| entry.version());
    let value = world.value(100 + number);
    match number {
        0 | 10 => t.insert(key, value),
        1 => t.insert_at(key, value, 200),
        2 | 11 => t.insert_with_ttl(key, value, Duration::from_secs(9)),
        3 => t.compare_and_swap(key, state(), value),
        4 => assert_eq!(t.remove(&key).is_some(), there),
        5 => t.invalidate(&key),
        6 => t.invalidate_at(&key, 300),
        7 => {
            assert_eq!(t.read(&key).is_some(), there);
            t.insert(key.clone(), value.clone());
            t.insert(key, value);
        }
        8 => t.expect_version(&key, state()),
        _ => assert_eq!(t.get(&key).is_some(), t.contains_key(&key)),
    }
}

/// Key to number and version.
type State = BTreeMap<u64, (u64, Version)>;

fn state(cache: &Tried) -> State {
    cache.iter().map(|entry| (entry.key().id, (entry.number(), entry.version()))).collect()
}

fn numbers(state: &State) -> BTreeMap<u64, u64> {
    state.iter().map(|(id, (number, _))| (*id, *number)).collect()
}

/// What the whole of the steps leaves.
fn committed() -> BTreeMap<u64, u64> {
    let written = [0, 1, 2, 3, 7, 10, 11].map(|id| (id, 100 + id));
    let left = [8, 9].map(|id| (id, id + 1));
    written.into_iter().chain(left).collect()
}

/// The cache is whole: its books are right, every key can be written and read, and at the end all was dropped once.
fn finish(cache: Tried, world: &Arc<World>, case: &str) {
    let entries: Vec<_> = cache.iter().collect();
    assert_eq!(cache.len(), entries.len(), "{case}");
    let weigh = |entry: &EntryRef<Key, Value>| if cache.name() == Some(PLAIN) { 1 } else { 1 + entry.number() % 3 };
    assert_eq!(cache.weight(), entries.iter().map(weigh).sum::<u64>(), "{case}");
    let stats = cache.stats();
    let left = stats.replaced + stats.invalidated + stats.evicted + stats.expired + stats.cleared;
    assert_eq!((stats.inserts, stats.flights), (left + entries.len() as u64, 0), "{case}");
    drop(entries);
    let again = cache.transaction(|t| (0..20).for_each(|id| t.insert(world.key(id), world.value(1000 + id))));
    assert!(again.is_ok(), "{case}");
    (0..20).for_each(|id| assert_eq!(cache.with(&world.key(id), Value::number), Some(1000 + id), "{case}"));
    drop(cache);
    world.ledger.all_dropped_once();
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stop {
    Panic,
    Error,
    Conflict,
    Superseded,
}

const STOPS: [Stop; 4] = [Stop::Panic, Stop::Error, Stop::Conflict, Stop::Superseded];

/// Stops before step `at`.
fn stopped(cache: &Tried, world: &Arc<World>, stop: Stop, at: u64) {
    let run = || {
        cache.try_transaction(|t| {
            for number in 0..STEPS {
                if number == at {
                    match stop {
                        Stop::Panic => planned(),
                        Stop::Error => return Err(()),
                        Stop::Conflict => t.compare_and_swap(world.key(9), Expected::Absent, world.value(900)),
                        Stop::Superseded => t.insert_at(world.key(9), world.value(900), 1),
                    }
                }
                step(t, world, cache, number);
            }
            if at == STEPS { Err(()) } else { Ok(()) }
        })
    };
    match survives(run) {
        None => assert!(stop == Stop::Panic || world.fired.load(SeqCst), "a panic from nowhere"),
        Some(result) => assert!(result.is_err()),
    }
}

#[test]
fn a_body_that_stops_at_any_step_changes_nothing() {
    watched(|| {
        for stripes in [1, 4] {
            for stop in STOPS {
                for at in 0..=STEPS {
                    let case = format!("{stop:?} before step {at}, {stripes} stripes");
                    let world = World::new();
                    let cache = prepare(&world, stripes);
                    // A load of each absent key is under way.
                    let leases: Vec<_> = (10..20).map(|id| cache.get_or_lease(&world.key(id), None)).collect();
                    let (before, books) = (state(&cache), cache.stats());
                    stopped(&cache, &world, stop, at);
                    assert_eq!(state(&cache), before, "{case}");
                    let after = cache.stats();
                    assert_eq!((after.inserts, after.invalidated, after.fenced), (books.inserts, 0, 0), "{case}");
                    for lease in leases {
                        let Leased::Lease(lease) = lease else { panic!("no lease") };
                        assert!(lease.is_current() && lease.fill(world.value(50)).is_ok(), "fenced: {case}");
                    }
                    finish(cache, &world, &case);
                }
            }
        }
    });
}

/// One commit of all steps, with a hook that panics at its `call`-th call. Gives whether it came so far.
fn commit_with(hook: Hook, call: u64, stripes: usize) -> bool {
    let case = format!("{hook:?} at call {call}, {stripes} stripes");
    let world = World::new();
    let cache = prepare(&world, stripes);
    let lease = cache.get_or_lease(&world.key(10), None);
    let before = state(&cache);
    world.arm(hook, call);
    let result = survives(|| {
        cache.transaction(|t| {
            for number in 0..STEPS {
                world.call(Hook::Body);
                step(t, &world, &cache, number);
            }
        })
    });
    let fired = world.disarm();
    let after = state(&cache);
    let done = numbers(&after) == committed();
    match (fired, result) {
        (false, Some(Ok(()))) => assert!(done, "{case}: {:?}", numbers(&after)),
        (true, None) => assert!(done || after == before, "half of it: {case}: {:?}", numbers(&after)),
        (true, Some(Ok(()))) => assert!(done && LAST.contains(&hook), "the panic is lost: {case}"),
        _ => panic!("an abort for no reason: {case}"),
    }
    if fired && FIRST.contains(&hook) {
        assert_eq!(after, before, "something has changed: {case}");
    }
    let Leased::Lease(lease) = lease else { panic!("no lease") };
    assert_eq!(lease.is_current(), after == before, "the load goes as the commit does: {case}");
    drop(lease);
    finish(cache, &world, &case);
    fired
}

#[test]
fn user_code_that_panics_at_any_call_leaves_all_or_nothing() {
    watched(|| {
        for hook in FIRST.into_iter().chain(LAST) {
            for stripes in [1, 4] {
                let calls = (1..).take_while(|call| commit_with(hook, *call, stripes)).count();
                assert!(calls > 0, "{hook:?} is never asked");
            }
        }
    });
}

/// Nothing but plain changes of so many keys that are there and as many that are not, in a cache without choices.
fn commit_plainly(hook: Hook, call: u64, stripes: usize, keys: u64) -> bool {
    let case = format!("{hook:?} at call {call}, {stripes} stripes, {keys} keys");
    let world = World::new();
    let cache = prepare_plain(&world, stripes);
    let before = state(&cache);
    world.arm(hook, call);
    let result = survives(|| {
        cache.transaction(|t| {
            for id in (0..keys).chain(10..10 + keys) {
                match id % 3 {
                    0 => t.insert(world.key(id), world.value(100 + id)),
                    1 => t.invalidate(&world.key(id)),
                    _ => drop(t.remove(&world.key(id))),
                }
            }
        })
    });
    let fired = world.disarm();
    let after = state(&cache);
    let written = (0..keys).chain(10..10 + keys).filter(|id| id % 3 == 0).map(|id| (id, 100 + id));
    let done = numbers(&after) == (keys..10).map(|id| (id, id + 1)).chain(written).collect();
    assert!(done || (fired && after == before), "{case}: {:?}", numbers(&after));
    assert!(!fired || after == before || LAST.contains(&hook), "something has changed: {case}");
    assert!(result.is_none_or(|result| result.is_ok()), "{case}");
    finish(cache, &world, &case);
    fired
}

#[test]
fn nor_of_plain_changes_in_a_plain_cache() {
    watched(|| {
        for hook in [Hook::Hash, Hook::Eq, Hook::CloneKey, Hook::CloneValue, Hook::DropKey, Hook::DropValue] {
            for (stripes, keys) in [(1, 3), (4, 3), (1, 10), (16, 10)] {
                let calls = (1..).take_while(|call| commit_plainly(hook, *call, stripes, keys)).count();
                assert!(calls > 0, "{hook:?} is never asked");
            }
        }
    });
}

/// The values that come back of an abort are the caller's, and their drops.
#[test]
fn an_abort_with_drops_that_panic() {
    watched(|| {
        for hook in [Hook::DropValue, Hook::DropKey] {
            let mut call = 0;
            loop {
                call += 1;
                let world = World::new();
                let cache = prepare(&world, 2);
                let before = state(&cache);
                world.arm(hook, call);
                survives(|| stopped(&cache, &world, Stop::Conflict, 6));
                let fired = world.disarm();
                let case = format!("{hook:?} at call {call}");
                assert_eq!(state(&cache), before, "{case}");
                finish(cache, &world, &case);
                if !fired {
                    break;
                }
            }
            assert!(call > 10, "{hook:?} is asked {call} times");
        }
    });
}

#[test]
fn a_snapshot_that_panics_harms_nothing() {
    watched(|| {
        for hook in [Hook::Hash, Hook::Eq, Hook::CloneValue, Hook::DropValue] {
            for upto in [10, 14] {
                let mut calls = 0;
                loop {
                    calls += 1;
                    let world = World::new();
                    let cache = prepare(&world, 2);
                    let before = state(&cache);
                    let keys: Vec<Key> = (0..upto).map(|id| world.key(id)).collect();
                    world.arm(hook, calls);
                    let seen = survives(|| {
                        let seen = cache.get_many_snapshot(&keys);
                        seen.into_iter().map(|value| value.map(|value| value.number())).collect::<Vec<_>>()
                    });
                    let fired = world.disarm();
                    assert_eq!(seen.is_none(), fired, "{hook:?} at call {calls}");
                    let right: Vec<_> = (0..upto).map(|id| (id < 10).then_some(id + 1)).collect();
                    assert!(seen.is_none_or(|seen| seen == right));
                    drop(keys);
                    assert_eq!(state(&cache), before);
                    finish(cache, &world, &format!("{hook:?} at call {calls}"));
                    if !fired {
                        break;
                    }
                }
                assert!(calls > 5, "{hook:?} is asked {calls} times");
            }
        }
    });
}

/// A guard held over a commit, or over an abort, keeps its own value and nothing else, and sees no other.
#[test]
fn guards_stay_as_they_were() {
    watched(|| {
        let world = World::new();
        let cache = prepare(&world, 4);
        let guards: Vec<_> = (0..10).filter_map(|id| cache.get_ref(&world.key(id))).collect();
        stopped(&cache, &world, Stop::Error, STEPS);
        let committed = cache.transaction(|t| (0..10).for_each(|id| t.insert(world.key(id), world.value(500 + id))));
        assert!(committed.is_ok());
        guards.iter().zip(1..).for_each(|(guard, number)| assert_eq!(guard.number(), number));
        let dead = world.ledger.alive();
        drop(guards);
        cache.reclaim();
        assert_eq!(dead - world.ledger.alive(), 20, "the keys and the values that were replaced");
        finish(cache, &world, "guards");
    });
}
