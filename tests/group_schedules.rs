//! Promises 1, 2, 6 and 7 for groups and write-throughs, in any order: random schedules of hand-polled loads and writes of few keys, whose groups are
//! invalidated when the source moves on. Nobody who comes after that gets anything older; whoever was woken comes to his end; nothing is left.

mod common;
#[path = "fences/faces.rs"]
mod faces;
mod through;

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::Lease;
use brindle::Leased;
use brindle::Loaded;
use brindle::MockClock;

use common::Rng;
use common::executor::Boxed;
use common::executor::Task;
use common::executor::step;
use common::watched;
use faces::Answer;
use faces::On;
use faces::Stop;
use faces::Way;
use faces::future;
use faces::planned;
use faces::ways;
use through::MEANWHILE;
use through::Numbers;
use through::boxed;
use through::caught;

const KEYS: u64 = 2;
const SCHEDULES: u64 = 1_500;
const STEPS: u64 = 60;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Of each key the state of the source, and the state of which everybody must know.
#[derive(Default)]
struct Source {
    state: [AtomicU64; KEYS as usize],
    known: [AtomicU64; KEYS as usize],
}

impl Source {
    fn now(&self, key: u64) -> u64 {
        self.state[key as usize].load(SeqCst)
    }

    fn advance(&self, key: u64) -> u64 {
        self.state[key as usize].fetch_add(1, SeqCst) + 1
    }

    fn know(&self, key: u64, state: u64) {
        self.known[key as usize].fetch_max(state, SeqCst);
    }

    fn known(&self, key: u64) -> u64 {
        self.known[key as usize].load(SeqCst)
    }
}

/// A state that a write has reached: known when the write is over, however it ends.
struct Reached(Arc<Source>, u64, u64);

impl Drop for Reached {
    fn drop(&mut self) {
        self.0.know(self.1, self.2);
    }
}

fn groups(key: u64, state: u64) -> [(&'static str, u64, u64); 2] {
    [("key", key, 0), ("state", key, state % 3)]
}

/// A call under way, and what was known when it was made: `None` for those that give no value.
struct Call {
    task: Task<Boxed<'static, Option<u64>>>,
    known: u64,
    key: u64,
    begun: bool,
}

struct World {
    cache: Numbers,
    hand: MockClock,
    source: Arc<Source>,
    calls: Vec<Call>,
    leases: Vec<(u64, u64, Lease<u64, u64>)>,
    rng: Rng,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let (clock, hand) = Clock::mock();
        let meanwhile = MEANWHILE[rng.below(2) as usize];
        let builder = Cache::builder().stripes(1).while_writing(meanwhile).group_by(|key, state| groups(*key, *state));
        let builder = if rng.below(3) == 0 { builder.clock(clock).load_timeout(TIMEOUT) } else { builder.clock(clock) };
        let cache = builder.build().unwrap();
        World { cache, hand, source: Arc::default(), calls: Vec::new(), leases: Vec::new(), rng }
    }

    fn begin(&mut self, key: u64, future: Boxed<'static, Option<u64>>) {
        self.calls.push(Call { task: Task::new(future), known: 0, key, begun: false });
    }

    fn begin_load(&mut self, key: u64) {
        let tasks: Vec<Way> = ways().into_iter().filter(|way| way.on == On::Task).collect();
        let way = tasks[self.rng.below(tasks.len() as u64) as usize];
        let (source, steps, end) = (Arc::clone(&self.source), self.rng.below(4), self.rng.below(10));
        let load = async move {
            let state = source.now(key);
            for _ in 0..steps {
                step().await;
            }
            match end {
                0 => planned(),
                1 if way.can_fail() => Err(Stop::Fail),
                _ => Ok(state),
            }
        };
        let call = future(&self.cache, way.face, key, load);
        self.begin(
            key,
            boxed(async move {
                match call.await {
                    Answer::Value(state) | Answer::Unfilled(state, _) => Some(state),
                    Answer::Failed | Answer::Cancelled => None,
                    other => panic!("{other:?}"),
                }
            }),
        );
    }

    fn begin_write(&mut self, key: u64) {
        let (cache, source, steps, end) = (self.cache.clone(), Arc::clone(&self.source), self.rng.below(3), self.rng.below(8));
        self.begin(
            key,
            boxed(async move {
                let write = |_| async move {
                    step().await;
                    // Dropped in the poll, or with the future, that ends the call: nobody looks before that is over.
                    let reached = Reached(Arc::clone(&source), key, source.advance(key));
                    for _ in 0..steps {
                        step().await;
                    }
                    match end {
                        0 => planned(),
                        1 => Err(()),
                        _ => Ok(Loaded::new(reached.2)),
                    }
                };
                _ = cache.write_through_async(key, write).await;
                None
            }),
        );
    }

    /// Polls a call; what it gives is as new as what was known when it began.
    fn poll(&mut self, at: usize) {
        let call = &mut self.calls[at];
        if !call.begun {
            (call.begun, call.known) = (true, self.source.known(call.key));
        }
        let polled = caught(|| call.task.poll(), Poll::Ready(None));
        if let Poll::Ready(answer) = polled {
            let Call { key, known, .. } = self.calls.swap_remove(at);
            assert!(answer.is_none_or(|state| state >= known), "state {answer:?} of key {key}, {known} was known");
        }
    }

    /// The source moves on, and the groups of what was there before are invalidated.
    fn update(&mut self, key: u64) {
        let old = self.source.now(key);
        let new = self.source.advance(key);
        let [of_key, of_state] = groups(key, old);
        // A write that has reached a state and is not over may have left older ones to be served: then only the key's group says it all.
        let all_known = old == self.source.known(key);
        match self.rng.below(4) {
            0 => {
                self.cache.invalidate_group(&of_key);
                return self.source.know(key, new);
            }
            1 => self.cache.transaction(|t| t.invalidate_group(&of_state)).unwrap(),
            _ => _ = self.cache.invalidate_group(&of_state),
        }
        if all_known {
            self.source.know(key, new);
        }
    }

    fn fence(&mut self, key: u64) {
        match self.rng.below(6) {
            0 => _ = self.cache.invalidate(&key),
            1 => _ = self.cache.remove(&key),
            2 => self.cache.clear(),
            3 => self.cache.transaction(|t| t.invalidate(&key)).unwrap(),
            4 if self.rng.below(20) == 0 => (0..5_000).for_each(|group| _ = self.cache.invalidate_group(&("of many", group))),
            _ => _ = self.cache.insert(key, self.source.now(key)),
        }
    }

    fn lease(&mut self, key: u64) {
        let known = self.source.known(key);
        match self.cache.get_or_lease(&key, Some(Duration::ZERO)) {
            Leased::Value(state) => assert!(state >= known, "state {state} of key {key}, {known} was known"),
            Leased::Lease(lease) => self.leases.push((key, self.source.now(key), lease)),
            _ => (),
        }
    }

    fn end_lease(&mut self) {
        if self.leases.is_empty() {
            return;
        }
        let at = self.rng.below(self.leases.len() as u64) as usize;
        let (_, state, lease) = self.leases.swap_remove(at);
        match self.rng.below(5) {
            0 => drop(lease),
            1 => lease.fail("no"),
            _ => drop(lease.fill(state)),
        }
    }

    fn check(&self) {
        for key in 0..KEYS {
            let (seen, known) = (self.cache.get(&key), self.source.known(key));
            assert!(seen.is_none_or(|seen| seen >= known), "state {seen:?} of key {key} is read, {known} is known");
        }
    }

    fn step(&mut self) {
        let key = self.rng.below(KEYS);
        let at = self.rng.below(self.calls.len().max(1) as u64) as usize;
        match self.rng.below(24) {
            0..5 => self.begin_load(key),
            5 | 6 => self.begin_write(key),
            7..15 if at < self.calls.len() => self.poll(at),
            15 if at < self.calls.len() => drop(self.calls.swap_remove(at)),
            16..19 => self.update(key),
            19 => self.fence(key),
            20 => self.lease(key),
            21 | 22 => self.end_lease(),
            _ => self.hand.advance(TIMEOUT / 30),
        }
        self.check();
    }

    /// Everybody who was woken is polled, and nobody else, until all are at their end.
    fn finish(mut self) {
        while !self.leases.is_empty() {
            self.end_lease();
        }
        for at in (0..self.calls.len()).rev() {
            if !self.calls[at].begun {
                self.poll(at);
                self.check();
            }
        }
        while let Some(woken) = self.calls.iter().position(|call| call.task.is_woken()) {
            self.poll(woken);
            self.check();
        }
        assert!(self.calls.is_empty(), "{} calls wait for nothing", self.calls.len());
        assert_eq!(self.cache.stats().flights, 0);
        for key in 0..KEYS {
            self.cache.invalidate(&key);
            let state = self.source.now(key);
            assert_eq!((self.cache.get_with(&key, || state), self.cache.get(&key)), (state, Some(state)));
            assert!(self.cache.write_through(key, |_| Ok::<_, ()>(Loaded::new(state))).unwrap().is_some());
        }
    }
}

fn play(seed: u64) {
    let mut world = World::new(seed);
    (0..STEPS).for_each(|_| world.step());
    world.finish();
}

#[test]
fn every_schedule_ends_and_nobody_gets_what_is_older_than_he_must_know() {
    watched(|| {
        for seed in 0..SCHEDULES {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| play(seed))) {
                eprintln!("schedule {seed}");
                resume_unwind(panic);
            }
        }
    });
}
