//! One epoch: a cache as the plan wants it, threads that use it, looks at it in quiet moments, and its end.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use brindle::Cache;
use brindle::Clock;
use brindle::MockClock;
use brindle::Stats;

use crate::background::Background;
#[cfg(feature = "write-behind")]
use crate::behind;
#[cfg(feature = "write-behind")]
use crate::behind::Behind;
use crate::common::random::Random;
use crate::common::random::Zipf;
use crate::listener::Heard;
use crate::plan::Plan;
use crate::quiet;
use crate::row;
use crate::truth::Truth;
use crate::watch::Watch;
use crate::work::Left;
use crate::work::Message;
use crate::work::Worker;

/// Operations of a worker between two looks at whether it should pause.
const STEPS_A_TURN: u64 = 32;
const TICK: Duration = Duration::from_millis(20);
/// Ticks between quiet moments.
const QUIET: u64 = 10;

/// What the threads of an epoch share.
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    pub(crate) truth: Arc<Truth>,
    pub(crate) zipf: Zipf,
    pub(crate) messages: Mutex<Vec<Message>>,
    pub(crate) heard: Arc<Heard>,
    /// Read by who works, written by who wants all to pause.
    pub(crate) gate: RwLock<()>,
    /// Guards and leases that are held while everybody pauses.
    pub(crate) guards: AtomicU64,
    pub(crate) leases: AtomicU64,
    #[cfg(feature = "write-behind")]
    pub(crate) behind: Behind,
    over: AtomicBool,
}

impl Shared {
    /// How many values are to be written later, and what they weigh.
    pub(crate) fn pending(&self) -> (u64, u64) {
        #[cfg(feature = "write-behind")]
        {
            let pending = self.behind.pending();
            let weigh = |row: &row::Row| if self.plan.weigher { row.weight() } else { 1 };
            (pending.len() as u64, pending.iter().map(|item| weigh(item.value())).sum())
        }
        #[cfg(not(feature = "write-behind"))]
        (0, 0)
    }
}

/// What an epoch has counted.
pub(crate) struct Outcome {
    pub(crate) stats: Stats,
    pub(crate) loaders: u64,
    pub(crate) told: u64,
    pub(crate) quiet_moments: u64,
    pub(crate) held_to_the_end: usize,
}

/// An epoch under way.
struct Epoch {
    shared: Shared,
    cache: Cache<u64, row::Row>,
    background: Option<Background>,
    hand: Option<MockClock>,
    quiet_moments: u64,
}

/// Runs an epoch; the error is the promise that was broken.
pub(crate) fn run(
    plan: Plan,
    threads: usize,
    watch: &Watch,
    interrupted: &AtomicBool,
    mut show: impl FnMut(u64),
) -> Result<Outcome, String> {
    let mut epoch = Epoch::begin(plan);
    let left = epoch.work(threads, watch, interrupted, &mut show);
    epoch.look();
    epoch.end(left)
}

impl Epoch {
    fn begin(plan: Plan) -> Self {
        let truth = Arc::new(Truth::new(plan.keys, plan.load_timeout.is_some()));
        let heard = Arc::new(Heard::default());
        let mut builder = plan.builder();
        if plan.listener {
            builder = heard.listen(builder, &truth, plan.listener_panics);
        }
        if plan.group_by {
            builder = builder.group_by(|&key, _| [row::group(key)]);
        }
        let mut background = None;
        if plan.spawner {
            let (given, thread) = Background::start(builder, &truth, plan.seed);
            (builder, background) = (given, Some(thread));
        }
        let mut hand = None;
        if plan.mock_clock {
            let (clock, mock) = Clock::mock();
            (builder, hand) = (builder.clock(clock), Some(mock));
        }
        let cache = builder.build().expect("the choices go together");
        heard.may_call(&cache);
        let shared = Shared {
            zipf: Zipf::new(plan.keys as usize, plan.skew, plan.seed),
            messages: Mutex::default(),
            heard,
            gate: RwLock::default(),
            guards: AtomicU64::new(0),
            leases: AtomicU64::new(0),
            #[cfg(feature = "write-behind")]
            behind: behind::start(&cache, &truth, plan.seed),
            over: AtomicBool::new(false),
            plan,
            truth,
        };
        Self { shared, cache, background, hand, quiet_moments: 0 }
    }

    /// Lets the workers loose until the time is up.
    fn work(&mut self, threads: usize, watch: &Watch, interrupted: &AtomicBool, show: &mut impl FnMut(u64)) -> Vec<Left> {
        let Self { shared, cache, background, hand, quiet_moments } = self;
        let shared = &*shared;
        thread::scope(|scope| {
            let start = |number| {
                let worker = Worker::new(shared, cache.clone(), number);
                scope.spawn(move || worker.run(shared, watch))
            };
            let workers: Vec<_> = (0..threads as u64).map(start).collect();
            let mut random = Random::new(shared.plan.seed, 3);
            let begin = Instant::now();
            for tick in 1.. {
                if begin.elapsed() >= shared.plan.time || interrupted.load(Relaxed) || shared.truth.is_violated() {
                    break;
                }
                show(shared.truth.traffic.loads());
                thread::sleep(TICK);
                hand.iter().for_each(|hand| hand.advance(Duration::from_micros(random.below(50_000) as u64)));
                if tick % QUIET == 0 {
                    *quiet_moments += 1;
                    quiet::look(shared, cache, background.as_ref());
                }
            }
            shared.over.store(true, SeqCst);
            workers.into_iter().map(|worker| worker.join().unwrap_or_default()).collect()
        })
    }

    fn look(&mut self) {
        self.quiet_moments += 1;
        quiet::look(&self.shared, &self.cache, self.background.as_ref());
    }

    /// Lets the cache go with guards and leases still held, then these; nothing may be left.
    fn end(self, left: Vec<Left>) -> Result<Outcome, String> {
        let Self { shared, cache, background, quiet_moments, .. } = self;
        let truth = Arc::clone(&shared.truth);
        let outcome = Outcome {
            stats: cache.stats(),
            loaders: truth.traffic.loads(),
            told: shared.heard.count(),
            quiet_moments,
            held_to_the_end: left.iter().map(|left| left.guards.len() + left.leases.len()).sum(),
        };
        shared.heard.let_go();
        #[cfg(feature = "write-behind")]
        behind::finish(shared.behind);
        drop(cache);
        for (number, left) in left.into_iter().enumerate() {
            left.let_go(&truth, number % 2 == 0);
        }
        if background.is_some_and(Background::join) {
            truth.blame(|| "the thread that runs background loads panicked; its message is above".to_owned());
        }
        let (alive, misused) = (row::alive(), row::used_after_drop());
        if alive != 0 {
            truth.blame(|| format!("{alive} values are alive when the cache and all that was held of it are gone"));
        }
        if misused != 0 {
            truth.blame(|| format!("{misused} values were cloned or dropped after they had been dropped"));
        }
        truth.verdict().map_or(Ok(outcome), Err)
    }
}

impl Worker<'_> {
    fn run(mut self, shared: &Shared, watch: &Watch) -> Left {
        while !shared.over.load(Relaxed) && !shared.truth.is_violated() {
            let _open = shared.gate.read().unwrap_or_else(PoisonError::into_inner);
            let held = self.held();
            let turn = catch_unwind(AssertUnwindSafe(|| (0..STEPS_A_TURN).for_each(|_| self.step())));
            if turn.is_err() {
                shared.truth.blame(|| "a worker thread panicked; its message is above".to_owned());
            }
            let now = self.held();
            shared.guards.fetch_add(now.0.wrapping_sub(held.0), SeqCst);
            shared.leases.fetch_add(now.1.wrapping_sub(held.1), SeqCst);
            watch.add(STEPS_A_TURN);
        }
        self.finish()
    }
}
