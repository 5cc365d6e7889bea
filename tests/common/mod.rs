//! Small helpers of the tests: a watchdog, random numbers, threads that start together, values that are counted, hashers that collide.
#![allow(dead_code, unreachable_pub)]

pub mod executor;
pub mod patience;

use std::any::Any;
use std::hash::BuildHasher;
use std::hash::Hasher;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use patience::patient;

/// Ten times what the slowest test takes on an idle machine, and more: on one that is five times as slow and busy besides only a hang gets there.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs a test; a hang becomes a failure.
pub fn watched(test: impl FnOnce() + Send + 'static) {
    let (done, waiting) = channel::<()>();
    let body = thread::spawn(move || {
        let _done = done;
        test();
    });
    match waiting.recv_timeout(patient(LIMIT)) {
        Err(RecvTimeoutError::Timeout) => panic!("the test hangs"),
        _ => pass_on(body.join()),
    }
}

fn pass_on<T>(result: Result<T, Box<dyn Any + Send>>) -> T {
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Runs `work` on `threads` threads that start at the same moment, and gives their results by thread number.
pub fn together<T: Send>(threads: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        let run = |number| {
            let (start, work) = (&start, &work);
            scope.spawn(move || {
                start.wait();
                work(number)
            })
        };
        let running: Vec<_> = (0..threads).map(run).collect();
        running.into_iter().map(|thread| pass_on(thread.join())).collect()
    })
}

/// Xorshift64*: repeatable, and good enough to mix up a test.
#[derive(Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

thread_local! {
    static DITHER: std::cell::Cell<u64> = const { std::cell::Cell::new(0x1234_5678_9abc_def1) };
}

/// Now and then lets another thread run: called from `Clone`, `Hash` and `Eq`, it makes the windows of races wide.
pub fn dither() {
    let mut rng = Rng(DITHER.with(std::cell::Cell::get));
    let yields = rng.below(16) == 0;
    DITHER.with(|state| state.set(rng.0));
    if yields {
        thread::yield_now();
    }
}

/// Counts the values that are alive.
#[derive(Clone, Default)]
pub struct Census(Arc<Counts>);

#[derive(Default)]
struct Counts {
    alive: AtomicUsize,
    peak: AtomicUsize,
}

impl Census {
    pub fn alive(&self) -> usize {
        self.0.alive.load(SeqCst)
    }

    /// Most that were alive at once.
    pub fn peak(&self) -> usize {
        self.0.peak.load(SeqCst)
    }

    pub fn value(&self, id: u64) -> Counted {
        let alive = self.0.alive.fetch_add(1, SeqCst) + 1;
        self.0.peak.fetch_max(alive, SeqCst);
        Counted { id, whole: WHOLE, census: self.clone() }
    }
}

const WHOLE: u64 = 0x600d_600d_600d_600d;

/// A value that is counted while it lives, and that notices when it is read or dropped after its end.
pub struct Counted {
    id: u64,
    whole: u64,
    census: Census,
}

impl Counted {
    pub fn id(&self) -> u64 {
        assert_eq!(self.whole, WHOLE, "a value was read after it was dropped");
        self.id
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.census.value(self.id())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert_eq!(self.whole, WHOLE, "a value was dropped twice");
        // Volatile, or the store to dying memory would be left out.
        // SAFETY: a plain field of a value that is borrowed mutably.
        unsafe { std::ptr::write_volatile(&mut self.whole, 0xdead) };
        self.census.0.alive.fetch_sub(1, SeqCst);
    }
}

/// Hashes an integer to itself, so that a test chooses stripe, bucket and tag; anything else badly.
#[derive(Clone, Copy, Default)]
pub struct Itself;

/// Hashes everything to one number.
#[derive(Clone, Copy, Default)]
pub struct Flat;

pub struct Fixed(u64, bool);

impl BuildHasher for Itself {
    type Hasher = Fixed;

    fn build_hasher(&self) -> Fixed {
        Fixed(0, true)
    }
}

impl BuildHasher for Flat {
    type Hasher = Fixed;

    fn build_hasher(&self) -> Fixed {
        Fixed(0x0123_4567_89ab_cdef, false)
    }
}

impl Hasher for Fixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.1 {
            self.0 = bytes.iter().fold(self.0, |hash, &byte| hash.rotate_left(8) ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        if self.1 {
            self.0 = number;
        }
    }
}
