//! Promises 1 to 3 for loads, among real threads: ten thousand writers, with evictions, expiry, removals, `clear` and loads over all faces in
//! tiny caches. No read and no load yields a state older than one that was acknowledged before it began.
//!
//! There is a source of truth: a counter for each key. A writer raises it and then tells the cache, in one of the ways that the cache has; when
//! that has returned, the new state is acknowledged. A loader reads the source and takes its time. The ledger of a key has the highest state
//! that was acknowledged or read from the cache.

mod common;
#[path = "fences/faces.rs"]
mod faces;
#[path = "fences/scheduler.rs"]
mod scheduler;

use std::future::Future;
use std::hash::BuildHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Context;
use std::task::Poll;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use brindle::BackgroundLoad;
use brindle::Builder;
use brindle::Cache;
use brindle::Clock;
use brindle::Loaded;
use brindle::MockClock;
use brindle::Op;
use brindle::Ordering;

use common::Flat;
use common::Rng;
use common::dither;
use common::executor::Boxed;
use common::executor::block_on;
use common::executor::step;
use common::together;
use common::watched;
use faces::Answer;
use faces::On;
use faces::Stop;
use faces::Way;
use faces::call;
use faces::future;
use faces::planned;
use faces::survives;
use faces::ways;
use scheduler::run_all;

/// A key whose hashing and comparison take their time.
#[derive(Debug, Clone, Copy, Eq)]
struct Key(u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        dither();
        hasher.write_u64(self.0);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        dither();
        self.0 == other.0
    }
}

/// The n-th state of a key, whose copying takes its time.
#[derive(Debug)]
struct State {
    key: u64,
    sequence: u64,
}

impl Clone for State {
    fn clone(&self) -> Self {
        dither();
        let copy = State { ..*self };
        dither();
        copy
    }
}

const KEYS: u64 = 6;
/// Threads that run tasks, and threads that call for themselves.
const RUNNERS: usize = 2;
const CALLERS: usize = 3;
/// The thread that runs what is loaded in the background.
const LAST: usize = RUNNERS + CALLERS;
const STEPS: u64 = 12;
const MILLI: Duration = Duration::from_millis(1);
/// Where others have the processors, every pause lasts as long as they have them: then fewer steps will do.
const ENOUGH: Duration = Duration::from_secs(20);

/// How writers keep their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rule {
    /// A lock for each key, from the source to the end of the cache's call.
    Locked,
    /// They write nothing to the cache, but remove what may be old: no order is needed.
    Removing,
    /// What they write has the source's version.
    Sourced,
}

/// The source of truth: the number of the newest state of each key.
type Source = Arc<Vec<AtomicU64>>;

struct Arena<S> {
    cache: Cache<Key, State, S>,
    rule: Rule,
    capacity: u64,
    hand: MockClock,
    source: Source,
    background: Background,
    ledger: Vec<AtomicU64>,
    locks: Vec<Mutex<()>>,
    begun: Instant,
    /// Answers of reads and of loads that were judged.
    read: AtomicU64,
    loaded: AtomicU64,
}

type Built<S> = Builder<Key, State, S>;

/// Loads in the background that nobody runs yet.
#[derive(Clone, Default)]
struct Background(Arc<Mutex<Vec<BackgroundLoad>>>);

impl Background {
    /// Has a builder's reloads run by whoever comes.
    fn spawned<S>(&self, builder: Built<S>, source: &Source) -> Built<S> {
        let (tasks, source) = (Arc::clone(&self.0), Arc::clone(source));
        let load = move |key: &Key| load_slowly(Arc::clone(&source), key.0, source[key.0 as usize].load(SeqCst) % 20);
        builder.spawner(
            move |task| tasks.lock().unwrap().push(task),
            move |key| {
                let load = load(key);
                async move { load.await.map(Loaded::new).map_err(|_| faces::Broken) }
            },
        )
    }

    /// Runs them until all else is over, and loses some.
    fn work(&self, others: &AtomicUsize, rng: &mut Rng) {
        while others.load(SeqCst) > 0 {
            let task = self.0.lock().unwrap().pop();
            if let Some(task) = task.filter(|_| rng.below(10) > 0) {
                survives(|| {
                    block_on(task);
                    Answer::<u64>::Cancelled
                });
            }
            thread::yield_now();
        }
    }
}

async fn load_slowly(source: Source, key: u64, fate: u64) -> Result<State, Stop> {
    for _ in 0..fate % 2 {
        step().await;
    }
    let sequence = source[key as usize].load(SeqCst);
    for _ in 0..fate % 4 {
        step().await;
    }
    meet(fate, State { key, sequence })
}

impl<S: BuildHasher + Clone + Send + Sync + 'static> Arena<S> {
    fn new(rule: Rule, builder: Built<S>) -> Arc<Self> {
        Self::with_background(rule, builder, |builder, _, _| builder)
    }

    fn with_background(
        rule: Rule,
        builder: Built<S>,
        choose: impl FnOnce(Built<S>, &Background, &Source) -> Built<S>,
    ) -> Arc<Self> {
        let (clock, hand) = Clock::mock();
        // Time moves, but no tombstone is forgotten for it.
        let builder = builder.clock(clock).tombstone_ttl(Duration::from_secs(1_000_000));
        let builder = if rule == Rule::Sourced { builder.versioned_by(|_, state| state.sequence) } else { builder };
        let zeros = || (0..KEYS).map(|_| AtomicU64::new(0)).collect();
        let locks = (0..KEYS).map(|_| Mutex::new(())).collect();
        let (source, background) = (Arc::new(zeros()), Background::default());
        let cache = choose(builder, &background, &source).build().unwrap();
        let (capacity, read, loaded) = (cache.capacity(), AtomicU64::default(), AtomicU64::default());
        let (ledger, begun) = (zeros(), Instant::now());
        Arc::new(Arena { cache, rule, capacity, hand, source, background, ledger, locks, begun, read, loaded })
    }

    fn has_time(&self) -> bool {
        self.begun.elapsed() < ENOUGH
    }

    fn floor(&self, key: u64) -> u64 {
        self.ledger[key as usize].load(SeqCst)
    }

    fn raise(&self, key: u64, sequence: u64) {
        self.ledger[key as usize].fetch_max(sequence, SeqCst);
    }

    /// A new state in the source of truth.
    fn renew(&self, key: u64) -> u64 {
        self.source[key as usize].fetch_add(1, SeqCst) + 1
    }

    fn write(&self, key: u64, how: u64) {
        match self.rule {
            Rule::Locked => {
                let _turn = self.locks[key as usize].lock().unwrap();
                let sequence = self.renew(key);
                if how.is_multiple_of(2) {
                    self.put(key, sequence, how / 2)
                } else {
                    self.end(key, sequence, how / 2)
                }
                self.raise(key, sequence);
            }
            Rule::Removing => {
                let sequence = self.renew(key);
                self.end(key, sequence, how);
                self.raise(key, sequence);
            }
            Rule::Sourced => {
                let sequence = self.renew(key);
                let state = State { key, sequence };
                if how.is_multiple_of(2) || self.cache.insert_at(Key(key), state, sequence).is_err() {
                    self.cache.invalidate_at(&Key(key), sequence);
                }
                self.raise(key, sequence);
            }
        }
    }

    /// Nobody else writes the key meanwhile, but loads may fill it.
    fn put(&self, key: u64, sequence: u64, how: u64) {
        let (cache, at, state) = (&self.cache, Key(key), State { key, sequence });
        match how % 7 {
            0 | 1 => _ = cache.insert(at, state),
            2 => _ = cache.insert_with_ttl(at, state, MILLI * 3),
            3 => _ = cache.try_insert(at, state),
            4 => _ = cache.entry(at).and_compute_with(|_| Op::Put(State { key, sequence })),
            5 => {
                let version = cache.get_entry(&at).map(|entry| entry.version);
                if let Err(lost) = cache.compare_and_swap(at, version, state) {
                    cache.insert(at, lost.value);
                }
            }
            _ => {
                if cache.insert_if_absent(at, state).is_err() {
                    cache.invalidate(&at);
                }
            }
        }
    }

    fn end(&self, key: u64, sequence: u64, how: u64) {
        let (cache, at) = (&self.cache, Key(key));
        match how % 9 {
            0 | 1 => _ = cache.invalidate(&at),
            2 | 5 => _ = cache.remove(&at),
            3 => _ = cache.remove_if(&at, |_, state| state.sequence < sequence),
            4 => cache.retain(|other, state| other.0 != key || state.sequence >= sequence),
            6 => cache.clear(),
            7 => {
                cache.entry(at).and_compute_with(|_| Op::Remove);
            }
            _ => {
                // That evicts others, and is no fence.
                cache.set_capacity(1);
                cache.set_capacity(self.capacity);
                cache.invalidate(&at);
            }
        }
    }

    fn read(&self, key: u64, how: u64) {
        let (cache, at, floor) = (&self.cache, Key(key), self.floor(key));
        let seen = match how % 5 {
            0 => cache.get(&at).map(|state| state.sequence),
            1 => cache.with(&at, |state| state.sequence),
            2 => cache.get_ref(&at).map(|state| state.sequence),
            3 => cache.get_entry(&at).map(|entry| entry.value.sequence),
            _ => cache.peek(&at).map(|state| state.sequence),
        };
        if let Some(sequence) = seen {
            assert!(sequence >= floor, "key {key}: state {sequence} read after {floor}, {how}, {:?}", self.rule);
            self.raise(key, sequence);
            self.read.fetch_add(1, SeqCst);
        }
    }

    /// Does not raise the ledger: what a fenced load brings may be newer than what a load brings that began after the fence.
    fn judge(&self, key: u64, way: Way, floor: u64, answer: Answer<State>) {
        let (Answer::Value(state) | Answer::Unfilled(state, _)) = answer else { return };
        assert_eq!(state.key, key, "another key's state");
        let sequence = state.sequence;
        assert!(sequence >= floor, "key {key}: state {sequence} loaded by {way} after {floor}, {:?}", self.rule);
        self.loaded.fetch_add(1, SeqCst);
    }

    fn load(&self, key: u64, way: Way, rng: &mut Rng) {
        let floor = self.floor(key);
        let fate = rng.below(20);
        let load = || {
            let sequence = self.source[key as usize].load(SeqCst);
            (0..fate % 4).for_each(|_| thread::yield_now());
            meet(fate, State { key, sequence })
        };
        let answer = survives(|| call(&self.cache, way.face, &Key(key), load));
        self.judge(key, way, floor, answer);
    }

    async fn load_in_task(&self, key: u64, way: Way, rng: &mut Rng) {
        let floor = self.floor(key);
        let (fate, polls) = (rng.below(20), if rng.below(6) == 0 { rng.below(4) } else { u64::MAX });
        let load = load_slowly(Arc::clone(&self.source), key, fate);
        let answer = Patient { future: future(&self.cache, way.face, Key(key), load), polls }.await;
        self.judge(key, way, floor, answer);
    }

    /// What both kinds of threads do besides loading.
    fn act(&self, key: u64, rng: &mut Rng) {
        match rng.below(16) {
            0..8 => self.write(key, rng.next()),
            8 => self.hand.advance(MILLI * rng.below(5) as u32),
            _ => self.read(key, rng.next()),
        }
    }

    async fn write_and_load(self: Arc<Self>, number: u64) {
        let mut rng = Rng::new(number);
        let ways: Vec<Way> = ways().into_iter().filter(|way| way.on == On::Task).collect();
        for _ in (0..STEPS).take_while(|_| self.has_time()) {
            let key = rng.below(KEYS);
            if rng.below(2) == 0 {
                self.act(key, &mut rng);
                step().await;
            } else {
                self.load_in_task(key, ways[rng.below(ways.len() as u64) as usize], &mut rng).await;
            }
        }
    }

    fn call_and_load(&self, number: u64, steps: u64) {
        let mut rng = Rng::new(number);
        let ways: Vec<Way> = ways().into_iter().filter(|way| way.on == On::Thread).collect();
        for _ in (0..steps).take_while(|_| self.has_time()) {
            let key = rng.below(KEYS);
            if rng.below(2) == 0 {
                self.act(key, &mut rng);
            } else {
                self.load(key, ways[rng.below(ways.len() as u64) as usize], &mut rng);
            }
        }
    }

    fn run(self: Arc<Self>, writers: u64) {
        let busy = AtomicUsize::new(LAST);
        together(LAST + 1, |thread| {
            let _leaving = (thread < LAST).then(|| Leaving(&busy));
            let of_one = writers / RUNNERS as u64;
            let number = thread as u64 * writers + 1;
            match thread {
                0..RUNNERS => {
                    let writer = |n| Box::pin(Arc::clone(&self).write_and_load(number + n)) as Boxed<'static, ()>;
                    run_all((0..of_one).map(writer).collect(), &mut Rng::new(number));
                }
                LAST => self.background.work(&busy, &mut Rng::new(number)),
                _ => self.call_and_load(number, of_one * STEPS / 4),
            }
        });
        self.background.0.lock().unwrap().clear();
        let stats = self.cache.stats();
        assert_eq!(stats.flights, 0, "{:?}", self.rule);
        assert!(stats.fenced > 0 && stats.waits > 0, "{stats:?}");
        let judged = (self.read.load(SeqCst), self.loaded.load(SeqCst));
        let few = if self.has_time() { writers / 50 } else { 0 };
        assert!(judged.0.min(judged.1) > few, "too few answers to tell anything: {judged:?}");
        (0..KEYS).for_each(|key| self.read(key, 0));
    }
}

/// A thread that is over, by a panic too.
struct Leaving<'a>(&'a AtomicUsize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// What becomes of a load: most bring what they have read.
fn meet(fate: u64, state: State) -> Result<State, Stop> {
    match fate {
        17 => Err(Stop::Fail),
        18 => Err(Stop::GiveUp),
        19 => planned(),
        _ => Ok(state),
    }
}

/// Gives a future up after some polls. A panic in it is an answer.
struct Patient {
    future: Boxed<'static, Answer<State>>,
    polls: u64,
}

impl Future for Patient {
    type Output = Answer<State>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer<State>> {
        if self.polls == 0 {
            return Poll::Ready(Answer::Cancelled);
        }
        self.polls -= 1;
        let mut pending = false;
        let answer = survives(|| {
            let polled = self.future.as_mut().poll(context);
            pending = polled.is_pending();
            if let Poll::Ready(answer) = polled { answer } else { Answer::Cancelled }
        });
        if pending { Poll::Pending } else { Poll::Ready(answer) }
    }
}

fn tiny() -> Built<ahash::RandomState> {
    Cache::builder().max_capacity(4).stripes(1)
}

#[test]
fn ten_thousand_writers_that_take_turns() {
    watched(|| Arena::new(Rule::Locked, tiny().time_to_live(MILLI * 40)).run(10_000));
}

#[test]
fn ten_thousand_writers_that_only_invalidate() {
    watched(|| Arena::new(Rule::Removing, tiny().stripes(2).time_to_idle(MILLI * 40)).run(10_000));
}

#[test]
fn ten_thousand_writers_whose_sources_have_versions() {
    watched(|| Arena::new(Rule::Sourced, tiny().time_to_live(MILLI * 40)).run(10_000));
}

#[test]
fn where_floors_take_the_place_of_tombstones() {
    watched(|| {
        for tombstones in [0, 2] {
            Arena::new(Rule::Sourced, tiny().ordering(Ordering::Global).tombstone_capacity(tombstones)).run(2_000);
        }
    });
}

#[test]
fn where_all_keys_have_one_hash() {
    watched(|| {
        for rule in [Rule::Locked, Rule::Removing, Rule::Sourced] {
            Arena::new(rule, tiny().hasher(Flat)).run(1_500);
        }
    });
}

#[test]
fn where_loads_are_overdue_before_they_end() {
    watched(|| {
        for rule in [Rule::Locked, Rule::Removing, Rule::Sourced] {
            Arena::new(rule, tiny().load_timeout(MILLI)).run(2_000);
        }
    });
}

fn stale<S>(builder: Built<S>) -> Built<S> {
    builder.time_to_live(MILLI * 10).serve_stale(MILLI * 10).fail_safe().refresh_after(MILLI * 5).early_refresh(1.0)
}

/// What is served stale, or while a reload is due, is the newest state that was acknowledged, or an older one was not replaced.
#[test]
fn where_stale_values_are_served() {
    watched(|| {
        let mut served = 0;
        for rule in [Rule::Locked, Rule::Removing, Rule::Sourced] {
            let arena = Arena::new(rule, stale(tiny().max_capacity(20)));
            Arc::clone(&arena).run(2_000);
            served += arena.cache.stats().stale_served;
        }
        assert!(served > 0);
    });
}

#[test]
fn where_reloads_run_in_the_background() {
    watched(|| {
        for rule in [Rule::Locked, Rule::Removing, Rule::Sourced] {
            let builder = stale(tiny().max_capacity(20));
            Arena::with_background(rule, builder, |builder, background, source| background.spawned(builder, source)).run(2_000);
        }
    });
}

#[test]
fn where_nothing_is_evicted() {
    watched(|| {
        for rule in [Rule::Locked, Rule::Removing, Rule::Sourced] {
            Arena::new(rule, tiny().max_capacity(1000).stripes(4)).run(2_000);
        }
    });
}
