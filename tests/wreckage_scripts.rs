//! Promise 7: every short script of polls and drops of three calls for one key, of time that passes and of writes, comes to its end: whoever was woken
//! and not dropped gets his answer, and nothing is left.

mod common;
mod harness;

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::Leased;
use brindle::LoadError;
use brindle::MockClock;

use common::executor::Boxed;
use common::executor::Task;
use common::executor::step;
use common::watched;
use harness::planned;
use harness::survives;

/// How a call of a script ends if nobody drops it before.
#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    Value,
    Error,
    Panic,
    /// It takes a lease by hand and drops it.
    GiveUp,
    /// It takes a lease by hand and fills it.
    Fill,
}

/// Loaders at work for the key of a script. Where no lease is ever overdue, there is one at most.
#[derive(Clone)]
struct AtWork {
    count: Arc<AtomicUsize>,
    alone: bool,
}

struct Working(AtWork);

impl AtWork {
    fn begin(&self) -> Working {
        let others = self.count.fetch_add(1, SeqCst);
        assert!(others == 0 || !self.alone, "two loads of one key at once");
        Working(self.clone())
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, SeqCst);
    }
}

fn call(cache: &Cache<u64, u64>, key: u64, end: End, at_work: &AtWork) -> Boxed<'static, ()> {
    let (cache, at_work) = (cache.clone(), at_work.clone());
    Box::pin(async move {
        let load = async {
            let _working = at_work.begin();
            step().await;
            match end {
                End::Panic => planned(),
                End::Error => Err(3_u64),
                _ => Ok(key * 10),
            }
        };
        match end {
            End::Value | End::Panic => assert_eq!(cache.get_with_async(&key, async { load.await.unwrap() }).await, key * 10),
            End::Error => match cache.try_get_with_async(&key, load).await {
                Ok(value) => assert_eq!(value, key * 10),
                Err(error) => assert!(matches!(error, LoadError::Failed(3))),
            },
            End::GiveUp | End::Fill => match cache.get_or_lease_async(&key).await {
                Leased::Value(value) => assert_eq!(value, key * 10),
                Leased::Lease(lease) => {
                    let working = at_work.begin();
                    step().await;
                    drop(working);
                    if end == End::Fill {
                        // It may be late.
                        drop(lease.fill(key * 10));
                    }
                }
                _ => panic!("neither value nor lease"),
            },
        }
    })
}

/// Polls a task of a script; one that panics as planned is at its end.
fn poll(slot: &mut Option<Task<Boxed<'static, ()>>>) {
    let Some(task) = slot else { return };
    if survives(|| task.poll()).is_none_or(|polled| polled == Poll::Ready(())) {
        *slot = None;
    }
}

const LENGTH: u32 = 5;
const TIMEOUT: Duration = Duration::from_secs(10);

/// What may happen at each place of a script.
#[derive(Clone, Copy, PartialEq, Debug)]
enum World {
    /// One of the calls is polled or dropped,
    Plain,
    /// or a lease is overdue,
    Timed,
    /// or the key is written or invalidated.
    Written,
}

impl World {
    fn choices(self) -> u32 {
        match self {
            World::Plain => 6,
            World::Timed => 7,
            World::Written => 9,
        }
    }
}

/// Plays a script, of which each digit is one thing that happens. Then those that were woken, and no others, must come to their end.
fn play(cache: &Cache<u64, u64>, hand: &MockClock, key: u64, ends: [End; 3], world: World, mut script: u32) {
    let at_work = AtWork { count: Arc::default(), alone: world == World::Plain };
    let mut tasks = ends.map(|end| Some(Task::new(call(cache, key, end, &at_work))));
    let mut begun = [false; 3];
    for _ in 0..LENGTH {
        let digit = script % world.choices();
        script /= world.choices();
        let number = digit as usize % 3;
        match digit {
            0..3 => poll(&mut tasks[number]),
            3..6 => tasks[number] = None,
            6 => hand.advance(TIMEOUT + Duration::from_secs(1)),
            7 => _ = cache.insert(key, key * 10),
            _ => _ = cache.invalidate(&key),
        }
        begun[number] |= digit < 6;
    }
    for (task, begun) in tasks.iter_mut().zip(begun) {
        if !begun {
            poll(task);
        }
    }
    while let Some(woken) = tasks.iter_mut().find(|slot| slot.as_ref().is_some_and(Task::is_woken)) {
        poll(woken);
    }
    assert!(tasks.iter().all(Option::is_none), "a call waits for nothing");
    assert_eq!((at_work.count.load(SeqCst), cache.stats().flights), (0, 0));
}

fn play_all(world: World, calls: &[[End; 3]]) {
    let (clock, hand) = Clock::mock();
    let builder = Cache::builder().max_capacity(100).stripes(1).clock(clock);
    let builder = if world == World::Plain { builder } else { builder.load_timeout(TIMEOUT) };
    let cache = builder.build().unwrap();
    let mut key = 0;
    for &ends in calls {
        for script in 0..world.choices().pow(LENGTH) {
            key += 1;
            let played = catch_unwind(AssertUnwindSafe(|| play(&cache, &hand, key, ends, world, script)));
            if let Err(panic) = played {
                eprintln!("{ends:?}, script {script}");
                resume_unwind(panic);
            }
        }
    }
}

const CALLS: [[End; 3]; 7] = [
    [End::Value; 3],
    [End::Fill; 3],
    [End::Value, End::Panic, End::GiveUp],
    [End::Error, End::GiveUp, End::Fill],
    [End::Error, End::Panic, End::Value],
    [End::GiveUp; 3],
    [End::Panic; 3],
];

#[test]
fn every_script_of_polls_and_drops_comes_to_its_end() {
    watched(|| play_all(World::Plain, &CALLS));
}

#[test]
fn every_script_in_which_time_passes_comes_to_its_end() {
    watched(|| play_all(World::Timed, &CALLS));
}

#[test]
fn every_script_in_which_others_write_comes_to_its_end() {
    watched(|| play_all(World::Written, &CALLS[..4]));
}
