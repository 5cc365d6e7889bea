//! Promises 1 to 3 for loads, among real threads: ten thousand writers, with evictions, expiry, removals, `clear` and loads over all faces in
//! tiny caches. No read and no load yields a state older than one that was acknowledged before it began.
//!
//! There is a source of truth: a counter for each key. A writer raises it and then tells the cache, in one of the ways that the cache has; when
//! that has returned, the new state is acknowledged. A loader reads the source and takes its time. The ledger of a key has the highest state
//! that was acknowledged or read from the cache.

mod common;
#[path = "common/faces.rs"]
mod faces;

use std::future::Future;
use std::hash::BuildHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Context;
use std::task::Poll;
use std::task::Wake;
use std::task::Waker;
use std::thread;
use std::time::Duration;

use brindle::Builder;
use brindle::Cache;
use brindle::Clock;
use brindle::MockClock;
use brindle::Op;
use brindle::Ordering;

use common::Flat;
use common::Rng;
use common::dither;
use common::executor::Boxed;
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
const STEPS: u64 = 16;
const MILLI: Duration = Duration::from_millis(1);

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

struct Arena<S> {
    cache: Cache<Key, State, S>,
    rule: Rule,
    capacity: u64,
    hand: MockClock,
    source: Vec<AtomicU64>,
    ledger: Vec<AtomicU64>,
    locks: Vec<Mutex<()>>,
    /// Answers of reads and of loads that were judged.
    read: AtomicU64,
    loaded: AtomicU64,
}

type Built<S> = Builder<Key, State, S>;

impl<S: BuildHasher + Clone + Send + Sync + 'static> Arena<S> {
    fn new(rule: Rule, builder: Built<S>) -> Arc<Self> {
        let (clock, hand) = Clock::mock();
        // Time moves, but no tombstone is forgotten for it.
        let builder = builder.clock(clock).tombstone_ttl(Duration::from_secs(1_000_000));
        let builder = if rule == Rule::Sourced { builder.versioned_by(|_, state| state.sequence) } else { builder };
        let zeros = || (0..KEYS).map(|_| AtomicU64::new(0)).collect();
        let locks = (0..KEYS).map(|_| Mutex::new(())).collect();
        let (cache, read, loaded) = (builder.build().unwrap(), AtomicU64::default(), AtomicU64::default());
        let capacity = cache.capacity();
        Arc::new(Arena { cache, rule, capacity, hand, source: zeros(), ledger: zeros(), locks, read, loaded })
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

    async fn load_in_task(self: &Arc<Self>, key: u64, way: Way, rng: &mut Rng) {
        let floor = self.floor(key);
        let (fate, polls) = (rng.below(20), if rng.below(6) == 0 { rng.below(4) } else { u64::MAX });
        let arena = Arc::clone(self);
        let load = async move {
            for _ in 0..fate % 2 {
                step().await;
            }
            let sequence = arena.source[key as usize].load(SeqCst);
            for _ in 0..fate % 4 {
                step().await;
            }
            meet(fate, State { key, sequence })
        };
        let answer = Patient { future: future(&self.cache, way.face, Key(key), load), polls }.await;
        self.judge(key, way, floor, answer);
    }

    /// What both kinds of threads do besides loading.
    fn act(&self, key: u64, rng: &mut Rng) {
        match rng.below(8) {
            0..4 => self.write(key, rng.next()),
            4 => self.hand.advance(MILLI * rng.below(3) as u32),
            _ => self.read(key, rng.next()),
        }
    }

    async fn write_and_load(self: Arc<Self>, number: u64) {
        let mut rng = Rng::new(number);
        let ways: Vec<Way> = ways().into_iter().filter(|way| way.on == On::Task).collect();
        for _ in 0..STEPS {
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
        for _ in 0..steps {
            let key = rng.below(KEYS);
            if rng.below(2) == 0 {
                self.act(key, &mut rng);
            } else {
                self.load(key, ways[rng.below(ways.len() as u64) as usize], &mut rng);
            }
        }
    }

    fn run(self: Arc<Self>, writers: u64) {
        together(RUNNERS + CALLERS, |thread| {
            let of_one = writers / RUNNERS as u64;
            let number = thread as u64 * writers + 1;
            match thread {
                0..RUNNERS => {
                    let writer = |n| Box::pin(Arc::clone(&self).write_and_load(number + n)) as Boxed<'static, ()>;
                    run_all((0..of_one).map(writer).collect(), &mut Rng::new(number));
                }
                _ => self.call_and_load(number, of_one * STEPS / 4),
            }
        });
        let stats = self.cache.stats();
        assert_eq!(stats.flights, 0, "{:?}", self.rule);
        assert!(stats.fenced > 0 && stats.waits > 0, "{stats:?}");
        let judged = (self.read.load(SeqCst), self.loaded.load(SeqCst));
        assert!(judged.0.min(judged.1) > writers / 50, "too few answers to tell anything: {judged:?}");
        (0..KEYS).for_each(|key| self.read(key, 0));
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

/// Tasks that were woken.
#[derive(Default)]
struct Queue(Mutex<Vec<usize>>, Condvar);

struct Ticket(Arc<Queue>, usize);

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        self.0.0.lock().unwrap().push(self.1);
        self.0.1.notify_one();
    }
}

/// Runs all, those that were woken in any order. One that is not woken never moves, so that a lost wake is a hang.
fn run_all(tasks: Vec<Boxed<'static, ()>>, rng: &mut Rng) {
    let queue = Arc::new(Queue((0..tasks.len()).collect::<Vec<_>>().into(), Condvar::new()));
    let mut left = tasks.len();
    let mut tasks: Vec<_> = tasks.into_iter().map(Some).collect();
    while left > 0 {
        let mut woken = queue.1.wait_while(queue.0.lock().unwrap(), |woken| woken.is_empty()).unwrap();
        let lucky = rng.below(woken.len() as u64) as usize;
        let number = woken.swap_remove(lucky);
        drop(woken);
        let Some(task) = &mut tasks[number] else { continue };
        let waker = Waker::from(Arc::new(Ticket(Arc::clone(&queue), number)));
        // A failed assertion of one task must not leave others waiting for the loads of the rest.
        let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(&mut Context::from_waker(&waker))));
        match polled {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(())) => {
                tasks[number] = None;
                left -= 1;
            }
            Err(panic) => {
                tasks.clear();
                std::panic::resume_unwind(panic);
            }
        }
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

#[test]
fn where_nothing_is_evicted() {
    watched(|| {
        for rule in [Rule::Locked, Rule::Removing, Rule::Sourced] {
            Arena::new(rule, tiny().max_capacity(1000).stripes(4)).run(2_000);
        }
    });
}
