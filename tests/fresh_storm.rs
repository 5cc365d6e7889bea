//! Promises 1 and 3 with everything on that keeps values fresh: stale values, refresh before and after the time, backoff, failing, slow, late and
//! panicking loads, background loads that run, are dropped or come late, batches, a clock that jumps, a cache that evicts.
//!
//! The source of each key is a number that grows. Whoever changes it tells the cache and, when that has returned, raises the key's floor; so does
//! whoever has read a value. No call that starts then may yield less: neither stale nor fresh, neither from the cache nor from a flight.

mod common;
mod hand;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use brindle::BackgroundLoad;
use brindle::Builder;
use brindle::Cache;
use brindle::Clock;
use brindle::Loaded;
use brindle::MockClock;
use brindle::Op;

use common::Rng;
use common::dither;
use common::together;
use common::watched;
use hand::Broken;
use hand::GETS;
use hand::Numbers;
use hand::RELOADS;
use hand::Said;
use hand::ask;
use hand::block_on;
use hand::planned;
use hand::seconds;
use hand::survives;

const KEYS: u64 = 6;
const THREADS: usize = 4;
const STEPS: u64 = 5_000;

/// The truth.
#[derive(Default)]
struct Source([AtomicU64; KEYS as usize]);

impl Source {
    fn read(&self, key: u64) -> u64 {
        let value = self.0[key as usize].load(SeqCst);
        // What a load brings may be old by the time it is there.
        (0..4).for_each(|_| dither());
        value
    }

    fn change(&self, key: u64) -> u64 {
        self.0[key as usize].fetch_add(1, SeqCst) + 1
    }
}

struct Storm {
    name: &'static str,
    cache: Numbers,
    hand: MockClock,
    source: Arc<Source>,
    floor: [AtomicU64; KEYS as usize],
    /// Background loads that nobody has run yet.
    tasks: Arc<Mutex<Vec<BackgroundLoad>>>,
    /// Threads that make calls.
    busy: AtomicUsize,
}

/// Counts a thread that is done, by a panic too.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Storm {
    fn new(background: bool, (name, choose): (&'static str, Choose)) -> Self {
        let (clock, hand) = Clock::mock();
        let (source, tasks) = (Arc::<Source>::default(), Arc::<Mutex<Vec<_>>>::default());
        let mut builder = choose(Cache::<u64, u64>::builder().stripes(2).clock(clock));
        if background {
            let (truth, queue) = (Arc::clone(&source), Arc::clone(&tasks));
            builder = builder.spawner(
                move |load| queue.lock().unwrap().push(load),
                move |&key| {
                    let truth = Arc::clone(&truth);
                    async move {
                        let value = truth.read(key);
                        if value % 7 == 3 { Err(Broken(3)) } else { Ok(Loaded::new(value)) }
                    }
                },
            );
        }
        Storm { name, cache: builder.build().unwrap(), hand, source, floor: Default::default(), tasks, busy: AtomicUsize::new(0) }
    }

    fn floor(&self, key: u64) -> u64 {
        self.floor[key as usize].load(SeqCst)
    }

    /// From now on nobody who starts may see less.
    fn raise(&self, key: u64, value: u64) {
        self.floor[key as usize].fetch_max(value, SeqCst);
    }

    /// What a call yields that started when the floor was there. (That the caller of a load which was overtaken gets what it brought says
    /// nothing of what is in the cache, so it does not raise the floor.)
    fn yields(&self, key: u64, value: u64, floor: u64, how: &str) {
        assert!(value >= floor, "{how} yields {value} of key {key} after {floor} was known ({})", self.name);
    }

    /// The source changes, and the cache is told.
    fn change(&self, rng: &mut Rng) {
        let key = rng.below(KEYS);
        let value = self.source.change(key);
        let cache = &self.cache;
        match rng.below(8) {
            0 => _ = cache.invalidate(&key),
            1 => _ = cache.remove(&key),
            2 => _ = cache.remove_if(&key, |_, there| *there < value),
            3 => cache.retain(|&other, &there| other != key || there >= value),
            4 if rng.below(4) == 0 => cache.clear(),
            4 => _ = cache.entry(key).and_compute_with(|_| Op::Remove),
            // Of those who write, the newest must win.
            5 => {
                _ = cache
                    .entry(key)
                    .and_compute_with(|there| if there.is_some_and(|there| **there > value) { Op::Keep } else { Op::Remove })
            }
            _ => _ = cache.invalidate(&key),
        }
        self.raise(key, value);
    }

    fn load(&self, rng: &mut Rng) {
        let key = rng.below(KEYS);
        let faces = if rng.below(8) == 0 { &RELOADS[..] } else { &GETS[..] };
        let face = faces[rng.below(faces.len() as u64) as usize];
        let (fails, panics) = (face.may_fail() && rng.below(6) == 0, rng.below(20) == 0);
        let floor = self.floor(key);
        let answer = survives(|| {
            ask(face, &self.cache, key, || {
                let value = self.source.read(key);
                if panics {
                    planned();
                }
                if fails { Err(Broken(1)) } else { Ok(value) }
            })
        });
        if let Some(Said::Value(value)) = answer {
            self.yields(key, value, floor, &format!("{face:?}"));
        }
    }

    fn load_many(&self, rng: &mut Rng) {
        let keys: Vec<u64> = (0..1 + rng.below(4)).map(|_| rng.below(KEYS)).collect();
        let floors: Vec<u64> = keys.iter().map(|&key| self.floor(key)).collect();
        let (fails, skips, panics) = (rng.below(6) == 0, rng.below(3) == 0, rng.below(20) == 0);
        let load = |missing: Vec<u64>| {
            if panics {
                planned();
            }
            let brought = missing.into_iter().filter(|key| !skips || key % 2 == 0);
            if fails { Err(Broken(2)) } else { Ok(brought.map(|key| (key, self.source.read(key))).collect::<Vec<_>>()) }
        };
        let answer = survives(|| {
            if rng.below(2) == 0 {
                self.cache.try_get_many_with(&keys, load)
            } else {
                block_on(self.cache.try_get_many_with_async(&keys, |missing| {
                    let brought = load(missing);
                    async { brought }
                }))
            }
        });
        for ((&key, floor), value) in keys.iter().zip(floors).zip(answer.and_then(Result::ok).unwrap_or_default()) {
            if let Some(value) = value {
                self.yields(key, value, floor, "a batch");
            }
        }
    }

    fn read(&self, rng: &mut Rng) {
        let key = rng.below(KEYS);
        let floor = self.floor(key);
        let there = match rng.below(3) {
            0 => self.cache.get(&key),
            1 => self.cache.peek(&key),
            _ => self.cache.get_ref(&key).map(|entry| *entry),
        };
        if let Some(value) = there {
            self.yields(key, value, floor, "a read");
            self.raise(key, value);
        }
    }

    /// Runs background loads, late, or drops them, while anybody else is at work: all others may wait for them.
    fn work(&self, rng: &mut Rng) {
        while self.busy.load(SeqCst) > 0 {
            let mut tasks = self.tasks.lock().unwrap();
            let task = if tasks.is_empty() {
                None
            } else {
                Some(rng.below(tasks.len() as u64) as usize).map(|at| tasks.swap_remove(at))
            };
            drop(tasks);
            if let Some(task) = task
                && rng.below(5) > 0
            {
                block_on(task);
            }
            thread::yield_now();
        }
    }

    fn step(&self, rng: &mut Rng, batches: bool) {
        match rng.below(16) {
            0 => self.change(rng),
            1 => self.hand.advance(Duration::from_millis(rng.below(4_000))),
            2 | 3 if batches => self.load_many(rng),
            4 | 5 => self.read(rng),
            6 if rng.below(20) == 0 => {
                self.cache.set_capacity(2);
                self.cache.set_capacity(100);
            }
            _ => self.load(rng),
        }
    }

    fn rage(&self, batches: bool) {
        self.busy.store(THREADS, SeqCst);
        together(THREADS + 1, |thread| {
            let mut rng = Rng::new(thread as u64 + 11);
            if thread == THREADS {
                return self.work(&mut rng);
            }
            let _done = Done(&self.busy);
            (0..STEPS).for_each(|_| self.step(&mut rng, batches));
        });
        self.tasks.lock().unwrap().clear();
        let stats = self.cache.stats();
        assert_eq!(stats.flights, 0, "{stats:?}");
        assert!(stats.loads > 100 && stats.hits > 100, "too little has happened to tell anything: {stats:?}");
    }
}

type Choose = fn(Builder<u64, u64>) -> Builder<u64, u64>;

const CHOICES: [(&str, Choose); 4] = [
    ("stale", |builder| builder.time_to_live(seconds(4)).serve_stale(seconds(20))),
    ("stale and safe", |builder| builder.time_to_live(seconds(4)).serve_stale(seconds(20)).fail_safe().negative_ttl(seconds(1))),
    ("refreshed", |builder| builder.time_to_idle(seconds(10)).refresh_after(seconds(3)).early_refresh(5.0)),
    ("all", |builder| {
        let builder = builder.time_to_live(seconds(8)).serve_stale(seconds(10)).refresh_after(seconds(5)).early_refresh(2.0);
        builder.fail_safe().negative_ttl(seconds(1)).load_timeout(seconds(6)).max_capacity(100)
    }),
];

#[test]
fn nothing_old_comes_back_whoever_loads() {
    watched(|| {
        for choice in CHOICES {
            let storm = Storm::new(false, choice);
            storm.rage(false);
            let stats = storm.cache.stats();
            assert!(choice.0 == "refreshed" || stats.stale_served > 0, "{}: {stats:?}", choice.0);
        }
    });
}

#[test]
fn nothing_old_comes_back_where_tasks_load_in_the_background() {
    watched(|| CHOICES.into_iter().for_each(|choice| Storm::new(true, choice).rage(false)));
}

#[test]
fn nothing_old_comes_back_where_batches_load() {
    watched(|| {
        for (choice, background) in CHOICES.into_iter().flat_map(|choice| [(choice, false), (choice, true)]) {
            Storm::new(background, choice).rage(true);
        }
    });
}
