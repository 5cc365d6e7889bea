//! User code of every kind, one of which panics at its n-th call: hooks, and the keys, values, errors and groups that call them.

use std::hash::BuildHasher;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use brindle::Expiry;
use brindle::MockClock;
use brindle::TimeSource;

use crate::common::Census;
use crate::common::Counted;
use crate::harness::planned;
use crate::harness::planned_in_drop;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Hook {
    BuildHasher,
    CloneHasher,
    Hash,
    Eq,
    CloneKey,
    CloneValue,
    CloneError,
    DropKey,
    DropValue,
    DropError,
    /// A loader's future, or a closure's captive, goes.
    DropLoader,
    Weigher,
    Source,
    GroupBy,
    NextGroup,
    HashGroup,
    Create,
    Update,
    Read,
    Listener,
    Clock,
    /// A loader, or a poll of it.
    Loader,
    /// What a call for many keys iterates over.
    NextKey,
    /// What a loader of many keys brought, iterated over.
    NextLoaded,
    /// `with`, `and_compute_with`, `retain`, `remove_if`.
    Closure,
    Body,
    Through,
    Reload,
    Spawn,
    Wake,
    CloneWaker,
    DropWaker,
    Sink,
}

pub const HOOKS: [Hook; 33] = [
    Hook::BuildHasher,
    Hook::CloneHasher,
    Hook::Hash,
    Hook::Eq,
    Hook::CloneKey,
    Hook::CloneValue,
    Hook::CloneError,
    Hook::DropKey,
    Hook::DropValue,
    Hook::DropError,
    Hook::DropLoader,
    Hook::Weigher,
    Hook::Source,
    Hook::GroupBy,
    Hook::NextGroup,
    Hook::HashGroup,
    Hook::Create,
    Hook::Update,
    Hook::Read,
    Hook::Listener,
    Hook::Clock,
    Hook::Loader,
    Hook::NextKey,
    Hook::NextLoaded,
    Hook::Closure,
    Hook::Body,
    Hook::Through,
    Hook::Reload,
    Hook::Spawn,
    Hook::Wake,
    Hook::CloneWaker,
    Hook::DropWaker,
    Hook::Sink,
];

impl Hook {
    pub fn is_drop(self) -> bool {
        matches!(self, Hook::DropKey | Hook::DropValue | Hook::DropError | Hook::DropLoader | Hook::DropWaker)
    }
}

const NOBODY: u64 = u64::MAX;

/// Which hook panics at which of its calls, and who is alive.
pub struct World {
    armed: AtomicU64,
    left: AtomicU64,
    fired: AtomicBool,
    /// Calls of each hook since the last count began.
    calls: [AtomicU64; HOOKS.len()],
    /// Grows with every value, so that the newest has the newest source version.
    sources: AtomicU64,
    /// Keys, values, errors and loaders.
    pub census: Census,
}

impl World {
    pub fn new() -> Arc<Self> {
        let (armed, left, fired) = (AtomicU64::new(NOBODY), AtomicU64::new(0), AtomicBool::new(false));
        let calls = [const { AtomicU64::new(0) }; HOOKS.len()];
        Arc::new(World { armed, left, fired, calls, sources: AtomicU64::new(0), census: Census::default() })
    }

    pub fn arm(&self, hook: Hook, n: u64) {
        self.left.store(n, SeqCst);
        self.fired.store(false, SeqCst);
        self.armed.store(hook as u64, SeqCst);
    }

    /// Gives whether it has panicked.
    pub fn disarm(&self) -> bool {
        self.armed.store(NOBODY, SeqCst);
        self.fired.load(SeqCst)
    }

    /// No hook panics; their calls are counted.
    pub fn count(&self) {
        self.calls.iter().for_each(|calls| calls.store(0, SeqCst));
    }

    /// The hooks that were called since the last count began.
    pub fn called(&self) -> Vec<Hook> {
        HOOKS.into_iter().filter(|&hook| self.calls[hook as usize].load(SeqCst) > 0).collect()
    }

    fn is_due(&self, hook: Hook) -> bool {
        self.calls[hook as usize].fetch_add(1, SeqCst);
        // Who unwinds already panics no more: the next call does.
        if self.armed.load(SeqCst) != hook as u64 || thread::panicking() || self.left.fetch_sub(1, SeqCst) != 1 {
            return false;
        }
        self.armed.store(NOBODY, SeqCst);
        self.fired.store(true, SeqCst);
        true
    }

    pub fn call(&self, hook: Hook) {
        if self.is_due(hook) {
            planned();
        }
    }

    pub fn call_in_drop(&self, hook: Hook) {
        if self.is_due(hook) {
            planned_in_drop();
        }
    }

    /// A source version above all that were given.
    pub fn source(&self) -> u64 {
        self.sources.fetch_add(1, SeqCst)
    }

    fn thing<const KIND: usize>(self: &Arc<Self>, id: u64, weight: u64) -> Thing<KIND> {
        let source = self.source();
        Thing { weight, source, counted: self.census.value(id), world: Arc::clone(self) }
    }

    pub fn key(self: &Arc<Self>, id: u64) -> Key {
        self.thing(id, 0)
    }

    /// A value of that key.
    pub fn value(self: &Arc<Self>, id: u64) -> Value {
        self.thing(id, 1)
    }

    pub fn error(self: &Arc<Self>) -> Broken {
        self.thing(0, 0)
    }

    /// Something that a loader holds until it is gone.
    pub fn captive(self: &Arc<Self>) -> Captive {
        self.thing(0, 0)
    }
}

/// What panics when it is cloned or dropped, and is counted while it lives.
pub struct Thing<const KIND: usize> {
    pub weight: u64,
    source: u64,
    counted: Counted,
    pub world: Arc<World>,
}

pub type Key = Thing<0>;
pub type Value = Thing<1>;
pub type Broken = Thing<2>;
pub type Captive = Thing<3>;

const CLONES: [Hook; 3] = [Hook::CloneKey, Hook::CloneValue, Hook::CloneError];
const DROPS: [Hook; 4] = [Hook::DropKey, Hook::DropValue, Hook::DropError, Hook::DropLoader];

impl<const KIND: usize> Thing<KIND> {
    pub fn id(&self) -> u64 {
        self.counted.id()
    }
}

impl<const KIND: usize> Clone for Thing<KIND> {
    fn clone(&self) -> Self {
        self.world.call(CLONES[KIND]);
        Thing { counted: self.counted.clone(), world: Arc::clone(&self.world), ..*self }
    }
}

impl<const KIND: usize> Drop for Thing<KIND> {
    fn drop(&mut self) {
        self.world.call_in_drop(DROPS[KIND]);
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.world.call(Hook::Hash);
        self.id().hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.world.call(Hook::Eq);
        self.id() == other.id()
    }
}

impl Eq for Key {}

pub struct Hashing(pub Arc<World>);

impl Clone for Hashing {
    fn clone(&self) -> Self {
        self.0.call(Hook::CloneHasher);
        Hashing(Arc::clone(&self.0))
    }
}

impl BuildHasher for Hashing {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        self.0.call(Hook::BuildHasher);
        DefaultHasher::new()
    }
}

pub struct Group(pub u64, pub Arc<World>);

impl Hash for Group {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.1.call(Hook::HashGroup);
        self.0.hash(state);
    }
}

/// The groups of a key, as an iterator.
pub fn groups(world: &Arc<World>, id: u64) -> impl Iterator<Item = Group> + use<> {
    let world = Arc::clone(world);
    [id % 2, 10 + id % 3].into_iter().map(move |group| {
        world.call(Hook::NextGroup);
        Group(group, Arc::clone(&world))
    })
}

pub fn source_of(value: &Value) -> u64 {
    value.source
}

/// An hour for everybody.
pub struct SomeTime(pub Arc<World>);

pub const HOUR: Duration = Duration::from_secs(3600);

impl Expiry<Key, Value> for SomeTime {
    fn after_create(&self, _: &Key, _: &Value) -> Option<Duration> {
        self.0.call(Hook::Create);
        Some(HOUR)
    }

    fn after_update(&self, _: &Key, _: &Value, _: Option<Duration>) -> Option<Duration> {
        self.0.call(Hook::Update);
        Some(HOUR)
    }

    fn after_read(&self, _: &Key, _: &Value, remaining: Option<Duration>) -> Option<Duration> {
        self.0.call(Hook::Read);
        remaining.map(|remaining| remaining + Duration::from_millis(1))
    }
}

/// A clock that a test moves, and that may panic.
pub struct Ticking(pub Arc<World>, pub MockClock);

impl TimeSource for Ticking {
    fn now(&self) -> Duration {
        self.0.call(Hook::Clock);
        self.1.now()
    }
}
