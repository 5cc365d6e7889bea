//! A cache with every choice that runs user code, brought into the same state before each act, and judged after it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use brindle::BackgroundLoad;
use brindle::Builder;
use brindle::Cache;
use brindle::Clock;
use brindle::Loaded;
use brindle::MockClock;
use brindle::Ordering;
use brindle::Version;

use crate::harness::survives;

use super::bell::Loading;
use super::world::HOUR;
use super::world::Hashing;
use super::world::Hook;
use super::world::Key;
use super::world::SomeTime;
use super::world::Ticking;
use super::world::Value;
use super::world::World;
use super::world::groups;
use super::world::source_of;

pub type Tried = Cache<Key, Value, Hashing>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// One stripe, and a hasher.
    Plain,
    /// Weights, deadlines, groups, a listener, four stripes.
    Rich,
    /// Source versions in the values, few tombstones, two stripes.
    Versioned,
    /// Stale values, reloads, errors remembered; loads without a caller run when the test says.
    Fresh,
    /// The same, but callers load again what is stale or due.
    Due,
}

pub const KINDS: [Kind; 5] = [Kind::Plain, Kind::Rich, Kind::Versioned, Kind::Fresh, Kind::Due];

/// Resident when an act begins.
pub const THERE: u64 = 0;
/// Also resident.
pub const OTHER: u64 = 1;
/// Resident, and due to be loaded again where that is chosen.
pub const DUE: u64 = 2;
/// Expired, where entries expire; stale where that is served.
pub const EXPIRED: u64 = 3;
/// Absent, as all above it.
pub const ABSENT: u64 = 4;
pub const MISSING: u64 = 5;
/// The first of those that fill the cache.
pub const MANY: u64 = 100;

const CAPACITY: u64 = 24;
const LIFE: Duration = Duration::from_secs(60);

pub struct Stage {
    pub kind: Kind,
    pub world: Arc<World>,
    pub cache: Tried,
    pub hand: MockClock,
    pub tasks: Arc<Mutex<Vec<BackgroundLoad>>>,
    /// Attempts that ended in a panic.
    panics: AtomicU64,
    /// Revisions, by key. Sources are forgotten with their tombstones, revisions never.
    seen: Mutex<BTreeMap<u64, u64>>,
    /// What may be alive when nothing is in use.
    lost: AtomicU64,
    /// What is being tried, for people.
    case: Mutex<String>,
}

impl Stage {
    pub fn new(kind: Kind) -> Self {
        let world = World::new();
        let (_, hand) = Clock::mock();
        let tasks = Arc::new(Mutex::new(Vec::new()));
        let clock = Clock::from_source(Ticking(Arc::clone(&world), hand.clone()));
        let builder = Cache::builder().max_capacity(CAPACITY).hasher(Hashing(Arc::clone(&world)));
        let built = match kind {
            Kind::Plain => builder.stripes(1),
            Kind::Rich => rich(builder, &world).clock(clock),
            Kind::Versioned => versioned(builder, &world).clock(clock),
            Kind::Fresh => spawning(fresh(builder, &world), &world, &tasks).clock(clock),
            Kind::Due => fresh(builder, &world).clock(clock),
        };
        let cache = built.build().expect("valid choices");
        let (panics, lost) = (AtomicU64::new(0), AtomicU64::new(0));
        Stage { kind, world, cache, hand, tasks, panics, seen: Mutex::default(), lost, case: Mutex::default() }
    }

    /// Says what is being tried from here on.
    pub fn tries(&self, case: String) {
        *self.case.lock().expect("nothing panics while it is locked") = case;
    }

    pub fn case(&self) -> String {
        let case = self.case.lock().expect("nothing panics while it is locked");
        format!("{:?}, {case}", self.kind)
    }

    /// Part of an act. Gives nothing if it panicked as planned.
    pub fn attempt<R>(&self, part: impl FnOnce() -> R) -> Option<R> {
        let answer = survives(part);
        if answer.is_none() {
            self.panics.fetch_add(1, SeqCst);
        }
        answer
    }

    /// Attempts that have panicked since the last call.
    pub fn take_panics(&self) -> u64 {
        self.panics.swap(0, SeqCst)
    }

    pub fn key(&self, id: u64) -> Key {
        self.world.key(id)
    }

    pub fn value(&self, id: u64) -> Value {
        self.world.value(id)
    }

    pub fn tasks(&self) -> MutexGuard<'_, Vec<BackgroundLoad>> {
        self.tasks.lock().expect("nothing panics while it is locked")
    }

    /// The state in which every act begins.
    pub fn prepare(&self) {
        self.cache.set_capacity(CAPACITY);
        self.cache.clear();
        (0..=MISSING).for_each(|id| _ = self.cache.invalidate(&self.key(id)));
        self.insert(EXPIRED);
        self.hand.advance(LIFE);
        self.insert(DUE);
        self.hand.advance(LIFE / 2);
        self.insert(THERE);
        self.insert(OTHER);
    }

    fn insert(&self, id: u64) -> Version {
        self.cache.insert(self.key(id), self.value(id))
    }

    /// The books are right, the flights have landed, and every key can be written, read, loaded and invalidated.
    #[track_caller]
    pub fn judge(&self) {
        let left = std::mem::take(&mut *self.tasks());
        drop(left);
        // One that panicked may have changed it in some stripes alone.
        self.cache.set_capacity(CAPACITY);
        self.judge_books();
        // So that every key has room.
        self.cache.clear();
        for id in [THERE, ABSENT] {
            self.judge_key(id);
        }
        self.cache.clear();
        assert_eq!((self.cache.len(), self.cache.weight()), (0, 0), "after `clear`: {}", self.case());
        self.cache.reclaim();
        self.judge_drops(0);
    }

    #[track_caller]
    fn judge_books(&self) {
        // Traffic, for what has expired to go; and what is stale is no entry to those who look.
        let gone = |id: &u64| !self.cache.contains_key(&self.key(*id));
        (0..=MISSING).filter(gone).for_each(|id| _ = self.cache.invalidate(&self.key(id)));
        if self.cache.len() != self.cache.iter().count() {
            (0..40).for_each(|id| _ = self.cache.invalidate(&self.key(10_000 + id)));
        }
        let entries: Vec<_> = self.cache.iter().collect();
        assert_eq!(self.cache.len(), entries.len(), "entries: {}", self.case());
        let weighs = self.kind == Kind::Rich || self.kind == Kind::Versioned;
        let weight: u64 = entries.iter().map(|entry| if weighs { entry.weight } else { 1 }).sum();
        assert_eq!(self.cache.weight(), weight, "weight: {}", self.case());
        assert!(weight <= CAPACITY, "too much weight: {}", self.case());
        let stats = self.cache.stats();
        assert_eq!(stats.flights, 0, "flights: {}", self.case());
        let left = stats.replaced + stats.invalidated + stats.evicted + stats.expired + stats.cleared;
        assert_eq!(stats.inserts, left + entries.len() as u64, "{}: {stats:?}", self.case());
        for entry in &entries {
            assert_eq!(entry.key().id(), entry.id(), "a value of another key: {}", self.case());
            self.sees(entry.id(), entry.version());
        }
    }

    /// Versions never go back.
    #[track_caller]
    fn sees(&self, id: u64, version: Version) {
        let version = version.revision();
        let mut seen = self.seen.lock().expect("nothing panics while it is locked");
        let before = seen.insert(id, version);
        assert!(before.is_none_or(|before| before <= version), "key {id}: {version} after {before:?}: {}", self.case());
    }

    #[track_caller]
    fn writes(&self, id: u64, written: Option<Version>) {
        let version = written.unwrap_or_else(|| panic!("key {id} cannot be written: {}", self.case()));
        let revision = version.revision();
        let before = self.seen.lock().expect("nothing panics while it is locked").get(&id).copied();
        assert!(before.is_none_or(|before| before < revision), "key {id}: {revision} after {before:?}: {}", self.case());
        self.reads(id);
        self.sees(id, version);
    }

    #[track_caller]
    fn reads(&self, id: u64) {
        let found = self.cache.get(&self.key(id)).map(|value| value.id());
        assert_eq!(found, Some(id), "key {id} cannot be read: {}", self.case());
    }

    #[track_caller]
    fn judge_key(&self, id: u64) {
        let (cache, key) = (&self.cache, self.key(id));
        self.writes(id, Some(self.insert(id)));
        cache.invalidate(&key);
        assert!(!cache.contains_key(&key), "key {id} cannot be invalidated: {}", self.case());
        assert_eq!(cache.get_with(&key, || self.value(id)).id(), id);
        let loaded = cache.get_entry(&key).map(|entry| entry.version);
        self.writes(id, loaded);
        let swapped = loaded.and_then(|version| cache.compare_and_swap(self.key(id), version, self.value(id)).ok());
        self.writes(id, swapped);
        assert_eq!(cache.remove(&key).map(|value| value.id()), Some(id), "key {id} cannot be removed: {}", self.case());
        let through = cache.write_through(self.key(id), |_| Ok::<_, ()>(Loaded::new(self.value(id))));
        self.writes(id, through.ok().flatten());
        let committed = cache.transaction(|t| t.insert(self.key(id), self.value(id)));
        let version = cache.get_entry(&key).map(|entry| entry.version);
        self.writes(id, committed.ok().and(version));
    }

    /// Nothing but `held` is alive, and what was lost before through no fault of the cache's.
    #[track_caller]
    pub fn judge_drops(&self, held: usize) {
        let (alive, lost) = (self.world.census.alive(), self.lost());
        assert_eq!(alive, lost + held, "alive, though nothing is in use: {}", self.case());
    }

    pub fn lost(&self) -> usize {
        self.lost.load(SeqCst) as usize
    }

    /// The compiler loses what a function returns when the drop of a local of that function panics (rust-lang/rust#47949): so much may be
    /// lost then.
    pub fn forgive(&self, most: usize) {
        let left = std::mem::take(&mut *self.tasks());
        drop(left);
        assert_eq!(self.cache.stats().flights, 0, "flights: {}", self.case());
        self.cache.clear();
        self.cache.reclaim();
        let lost = self.world.census.alive().saturating_sub(self.lost());
        if lost <= most {
            self.lost.fetch_add(lost as u64, SeqCst);
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // They hold leases, and the cache holds the queue.
        let left = std::mem::take(&mut *self.tasks());
        drop(left);
    }
}

type Choosing = Builder<Key, Value, Hashing>;

fn weighing(builder: Choosing, world: &Arc<World>) -> Choosing {
    let world = Arc::clone(world);
    builder.weigher(move |_, value| {
        world.call(Hook::Weigher);
        value.weight
    })
}

fn listening(builder: Choosing, world: &Arc<World>) -> Choosing {
    let world = Arc::clone(world);
    builder.removal_listener(move |removed| {
        world.call(Hook::Listener);
        drop(removed);
    })
}

fn rich(builder: Choosing, world: &Arc<World>) -> Choosing {
    let builder = listening(weighing(builder, world), world).stripes(4).time_to_live(LIFE).time_to_idle(HOUR);
    let grouping = Arc::clone(world);
    builder.expire_after(SomeTime(Arc::clone(world))).group_by(move |key, _| {
        grouping.call(Hook::GroupBy);
        groups(&grouping, key.id())
    })
}

fn versioned(builder: Choosing, world: &Arc<World>) -> Choosing {
    let builder = listening(weighing(builder, world), world).stripes(2).tombstone_capacity(8).ordering(Ordering::Global);
    let world = Arc::clone(world);
    builder.versioned_by(move |_, value| {
        world.call(Hook::Source);
        source_of(value)
    })
}

fn fresh(builder: Choosing, world: &Arc<World>) -> Choosing {
    let builder = listening(builder, world).stripes(1).time_to_live(LIFE).serve_stale(HOUR).fail_safe();
    builder.refresh_after(LIFE / 2).early_refresh(0.01).negative_ttl(LIFE).load_timeout(HOUR)
}

fn spawning(builder: Choosing, world: &Arc<World>, tasks: &Arc<Mutex<Vec<BackgroundLoad>>>) -> Choosing {
    let (spawning, reloading, tasks) = (Arc::clone(world), Arc::clone(world), Arc::clone(tasks));
    builder.spawner(
        move |task| {
            spawning.call(Hook::Spawn);
            tasks.lock().expect("nothing panics while it is locked").push(task);
        },
        move |key| {
            reloading.call(Hook::Reload);
            let (world, id) = (Arc::clone(&reloading), key.id());
            let loading = Loading::new(&world, 1);
            async move {
                loading.await;
                Ok::<_, ()>(Loaded::new(world.value(id)))
            }
        },
    )
}
