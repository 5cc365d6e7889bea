//! Promises 6 and 7 among threads: while loads of a few keys end in every way, whoever has the lease is alone with it, everybody gets an
//! answer, and nothing is left.

mod common;
#[path = "common/faces.rs"]
mod faces;
mod harness;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use brindle::Cache;
use brindle::Leased;

use common::Rng;
use common::dither;
use common::executor::Task;
use common::executor::step;
use common::together;
use common::watched;
use faces::Face;
use faces::Trouble;
use faces::faces;
use harness::planned;
use harness::survives;

const SLOTS: usize = 3;
const THREADS: usize = 4;

/// Far more keys than are loaded at one time.
const RECENT: usize = 512;

struct Counts {
    /// One key at a time in each slot: when it has its value, the next one comes, which is cold.
    slots: [AtomicU64; SLOTS],
    /// Loaders at work for each key.
    at_work: [AtomicUsize; RECENT],
}

#[derive(Clone)]
struct Arena {
    cache: Cache<u64, u64>,
    counts: Arc<Counts>,
}

/// How a call ends.
#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    Value,
    Error,
    Panic,
}

impl Arena {
    fn key(&self, slot: usize) -> u64 {
        self.counts.slots[slot].load(SeqCst) * SLOTS as u64 + slot as u64
    }

    /// What every loader does, alone.
    fn work(&self, key: u64) {
        let at_work = &self.counts.at_work[key as usize % RECENT];
        assert_eq!(at_work.fetch_add(1, SeqCst), 0, "two loads of one key at once");
        (0..8).for_each(|_| dither());
        assert_eq!(at_work.fetch_sub(1, SeqCst), 1);
    }

    fn end(&self, key: u64, end: End) -> Result<u64, u64> {
        self.work(key);
        match end {
            End::Value => Ok(key * 10),
            End::Error => Err(key),
            End::Panic => planned(),
        }
    }

    fn check(&self, key: u64, answer: Result<u64, Trouble>) {
        match answer {
            Ok(value) => {
                assert_eq!(value, key * 10);
                // Its time is over, whoever says so first.
                let slot = &self.counts.slots[key as usize % SLOTS];
                let _ = slot.compare_exchange(key / SLOTS as u64, key / SLOTS as u64 + 1, SeqCst, SeqCst);
            }
            Err(Trouble::Failed(code)) => assert_eq!(code, key),
            Err(Trouble::Elsewhere) => (),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn call(&self, face: &Face<u64, u64>, key: u64, end: End) {
        let end = if end == End::Error && !face.can_fail { End::Panic } else { end };
        let inside = self.clone();
        if let Some(answer) = survives(|| face.call(&self.cache, &key, move || inside.end(key, end))) {
            self.check(key, answer);
        }
    }

    /// A future that is polled some times and then dropped.
    fn cancel(&self, face: &Face<u64, u64>, key: u64, polls: u64) {
        let inside = self.clone();
        let mut task = Task::new(face.start(&self.cache, &key, async move {
            inside.work(key);
            step().await;
            step().await;
            Ok(key * 10)
        }));
        for _ in 0..polls {
            if let Poll::Ready(answer) = task.poll() {
                return self.check(key, answer);
            }
            thread::yield_now();
        }
    }

    fn lease(&self, key: u64, end: End, patience: Duration) {
        match self.cache.get_or_lease(&key, Some(patience)) {
            Leased::Value(value) => self.check(key, Ok(value)),
            Leased::TimedOut => (),
            Leased::Lease(lease) => {
                self.work(key);
                match end {
                    End::Value => assert!(lease.fill(key * 10).is_ok()),
                    End::Error => lease.fail(key),
                    End::Panic => drop(lease),
                }
            }
            Leased::Reentrant => panic!("nobody is inside"),
            _ => panic!("an answer that nobody knows"),
        }
    }
}

fn race(seed: u64, rounds: u64) {
    let counts = Counts { slots: Default::default(), at_work: [const { AtomicUsize::new(0) }; RECENT] };
    let arena = Arena { cache: Cache::builder().max_capacity(50).stripes(1).build().unwrap(), counts: Arc::new(counts) };
    together(THREADS, |thread| {
        let mut rng = Rng::new(seed * THREADS as u64 + thread as u64);
        let faces = faces();
        for _ in 0..rounds {
            let key = arena.key(rng.below(SLOTS as u64) as usize);
            let end = [End::Value, End::Error, End::Panic, End::Panic][rng.below(4) as usize];
            let face: &Face<u64, u64> = &faces[rng.below(faces.len() as u64) as usize];
            match rng.below(4) {
                0 if face.is_async() => arena.cancel(face, key, rng.below(5)),
                1 => arena.lease(key, end, Duration::from_micros(rng.below(3) * 10)),
                _ => arena.call(face, key, end),
            }
        }
    });
    let stats = arena.cache.stats();
    assert_eq!(stats.flights, 0, "seed {seed}");
    assert_eq!((stats.fenced, stats.load_timeouts), (0, 0), "seed {seed}");
    assert!(stats.waits > 0 && stats.takeovers > 0 && stats.load_failures > 0, "seed {seed}: nothing happened: {stats:?}");
}

#[test]
fn whoever_loads_is_alone_and_everybody_comes_to_an_end() {
    watched(|| (0..8).for_each(|seed| race(seed, 4_000)));
}
