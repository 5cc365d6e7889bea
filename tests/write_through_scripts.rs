//! Promise 7 for write-throughs: short scripts of polls and drops of three of them, of time that passes and of what others do, come to their end; and at
//! no place of it anything is read that is older than a write that is over.

mod common;
#[path = "fences/faces.rs"]
mod faces;
mod through;

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::time::Duration;

use brindle::Clock;
use brindle::Loaded;
use brindle::MockClock;
use brindle::WhileWriting;

use common::executor::Boxed;
use common::executor::Task;
use common::executor::step;
use common::watched;
use faces::planned;
use through::MEANWHILE;
use through::Numbers;
use through::boxed;
use through::builder;
use through::caught;

const TIMEOUT: Duration = Duration::from_secs(10);
const A_LITTLE: Duration = Duration::from_secs(1);

/// The source of truth of a script: each write makes a new state.
#[derive(Default)]
struct Source {
    state: AtomicU64,
    /// The newest state of a write that is over, however it ended.
    over: AtomicU64,
    running: AtomicUsize,
}

/// A write that has begun. It is over when it is dropped.
struct Running(Arc<Source>, u64);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
        self.0.over.fetch_max(self.1, SeqCst);
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Ends {
    Well,
    Fails,
    Panics,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum World {
    Plain,
    /// Writes may be overdue,
    Timed,
    /// or others write what the source has, invalidate the key, or load it.
    Shared,
}

impl World {
    fn choices(self) -> u32 {
        match self {
            World::Plain => 6,
            World::Timed => 7,
            World::Shared => 9,
        }
    }
}

type Call = Task<Boxed<'static, ()>>;

fn call(cache: &Numbers, key: u64, ends: Ends, source: &Arc<Source>, world: World) -> Call {
    let (cache, source) = (cache.clone(), Arc::clone(source));
    Task::new(boxed(async move {
        let write = |_| async {
            let others = source.running.fetch_add(1, SeqCst);
            let mut running = Running(Arc::clone(&source), 0);
            assert!(others == 0 || world == World::Timed, "two writes of one key at once");
            step().await;
            running.1 = source.state.fetch_add(1, SeqCst) + 1;
            step().await;
            match ends {
                Ends::Well => Ok(Loaded::new(running.1)),
                Ends::Fails => Err(()),
                Ends::Panics => planned(),
            }
        };
        _ = cache.write_through_async(key, write).await;
    }))
}

/// Polls a call of a script; one that panics as planned is at its end.
fn poll(slot: &mut Option<Call>) {
    let Some(task) = slot else { return };
    if caught(|| task.poll(), Poll::Ready(())).is_ready() {
        *slot = None;
    }
}

const LENGTH: u32 = 6;

fn play(cache: &Numbers, hand: &MockClock, key: u64, ends: [Ends; 3], world: World, mut script: u32) {
    let source: Arc<Source> = Arc::default();
    cache.insert(key, 0);
    let mut calls = ends.map(|ends| Some(call(cache, key, ends, &source, world)));
    let mut begun = [false; 3];
    let check = || {
        let (seen, over) = (cache.get(&key), source.over.load(SeqCst));
        assert!(seen.is_none_or(|seen| seen >= over), "{seen:?} is seen, and state {over} is over");
    };
    for _ in 0..LENGTH {
        let digit = script % world.choices();
        script /= world.choices();
        let number = digit as usize % 3;
        match digit {
            0..3 => poll(&mut calls[number]),
            3..6 => calls[number] = None,
            6 if world == World::Timed => hand.advance(TIMEOUT + A_LITTLE),
            6 => _ = cache.insert(key, source.state.load(SeqCst)),
            7 => _ = cache.invalidate(&key),
            _ => _ = cache.get_with(&key, || source.state.load(SeqCst)),
        }
        begun[number] |= digit < 6;
        check();
    }
    for (task, begun) in calls.iter_mut().zip(begun) {
        if !begun {
            poll(task);
            check();
        }
    }
    while let Some(woken) = calls.iter_mut().find(|slot| slot.as_ref().is_some_and(Task::is_woken)) {
        poll(woken);
        check();
    }
    assert!(calls.iter().all(Option::is_none), "a call waits for nothing");
    assert_eq!((source.running.load(SeqCst), cache.stats().flights), (0, 0));
    // Nothing stands in the way of the next, nor of a load.
    assert!(cache.write_through(key, |_| Ok::<_, ()>(Loaded::new(100))).unwrap().is_some());
    cache.invalidate(&key);
    assert_eq!((cache.get_with(&key, || 101), cache.get(&key)), (101, Some(101)));
}

fn play_all(world: World, meanwhile: WhileWriting) {
    let calls = [[Ends::Well; 3], [Ends::Well, Ends::Fails, Ends::Panics], [Ends::Panics, Ends::Well, Ends::Well]];
    let (clock, hand) = Clock::mock();
    let builder = builder(meanwhile).clock(clock);
    let builder = if world == World::Timed { builder.load_timeout(TIMEOUT) } else { builder };
    let cache = builder.build().unwrap();
    let mut key = 0;
    for ends in calls {
        // Every so-and-so-manieth: a prime, so that all beginnings and all endings come about.
        let every = match world {
            World::Plain => 7,
            World::Timed => 13,
            World::Shared => 97,
        };
        for script in (0..world.choices().pow(LENGTH)).step_by(every) {
            key += 1;
            let played = catch_unwind(AssertUnwindSafe(|| play(&cache, &hand, key, ends, world, script)));
            if let Err(panic) = played {
                eprintln!("{ends:?}, {world:?}, {meanwhile:?}, script {script}");
                resume_unwind(panic);
            }
        }
    }
}

#[test]
fn scripts_of_polls_and_drops_come_to_their_end() {
    watched(|| play_all(World::Plain, WhileWriting::ServeOld));
}

#[test]
fn scripts_where_readers_miss_come_to_their_end() {
    watched(|| play_all(World::Plain, WhileWriting::Miss));
}

#[test]
fn scripts_in_which_writes_are_overdue_come_to_their_end() {
    watched(|| play_all(World::Timed, WhileWriting::ServeOld));
}

#[test]
fn scripts_in_which_others_write_come_to_their_end() {
    watched(|| MEANWHILE.into_iter().for_each(|meanwhile| play_all(World::Shared, meanwhile)));
}
