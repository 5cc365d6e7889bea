//! `spawner`: what is stale or due is reloaded by a task of its own, and every caller has a value at once. The tasks queue up here and run by hand.

mod common;
mod hand;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
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

use common::together;
use common::watched;
use hand::Broken;
use hand::Crowd;
use hand::Door;
use hand::Face;
use hand::GETS;
use hand::Leader;
use hand::NANO;
use hand::Numbers;
use hand::OVERTAKINGS;
use hand::Said;
use hand::Task;
use hand::all_at_once;
use hand::ask;
use hand::at_once;
use hand::block_on;
use hand::planned;
use hand::seconds;
use hand::survives;

const TIME: Duration = seconds(100);
const GRACE: Duration = seconds(10);
const OLD: u64 = 10;
const NEW: u64 = 11;

/// What a background load brings: `None` panics.
type Brings = Option<Result<u64, Broken>>;

/// A cache whose background loads the test runs.
struct Yard {
    cache: Numbers,
    hand: MockClock,
    queue: Arc<Mutex<VecDeque<BackgroundLoad>>>,
    /// What loads wait for.
    door: Door<Brings>,
    /// Loads that were begun.
    begun: Arc<AtomicUsize>,
}

impl Yard {
    fn new(choose: impl FnOnce(Builder<u64, u64>) -> Builder<u64, u64>) -> Self {
        let (clock, hand) = Clock::mock();
        let (queue, door) = (Arc::<Mutex<VecDeque<_>>>::default(), Door::<Brings>::default());
        let begun = Arc::<AtomicUsize>::default();
        let (spawned, inside, begins) = (Arc::clone(&queue), door.clone(), Arc::clone(&begun));
        let builder = Cache::<u64, u64>::builder().max_capacity(1_000).stripes(2).clock(clock).spawner(
            move |load: BackgroundLoad| spawned.lock().unwrap().push_back(load),
            move |_: &u64| {
                let (inside, begins) = (inside.clone(), Arc::clone(&begins));
                async move {
                    begins.fetch_add(1, SeqCst);
                    inside.take().await.unwrap_or_else(|| planned()).map(Loaded::new)
                }
            },
        );
        let cache = choose(builder).build().unwrap();
        cache.insert(1, OLD);
        Yard { cache, hand, queue, door, begun }
    }

    /// Key 1 has just expired, and may be served stale.
    fn stale() -> Self {
        let yard = Yard::new(|builder| builder.time_to_live(TIME).serve_stale(GRACE));
        yard.hand.advance(TIME);
        yard
    }

    /// Key 1 is due.
    fn due() -> Self {
        let yard = Yard::new(|builder| builder.refresh_after(TIME));
        yard.hand.advance(TIME);
        yard
    }

    fn queued(&self) -> usize {
        self.queue.lock().unwrap().len()
    }

    /// The one task that is waiting to run.
    #[track_caller]
    fn task(&self) -> Task<()> {
        let mut queue = self.queue.lock().unwrap();
        assert_eq!(queue.len(), 1, "tasks in the queue");
        let load = queue.pop_front().unwrap();
        Task::new(load)
    }

    /// A caller of each face has the old value at once, and does not load.
    #[track_caller]
    fn all_get_the_old_value(&self) {
        all_at_once(&self.cache, 1, Said::Value(OLD), "the old value");
    }

    /// The next caller has the old value at once, and a new task is on its way.
    #[track_caller]
    fn another_task_comes(&self) -> Task<()> {
        assert_eq!((self.queued(), self.cache.stats().flights), (0, 0), "nothing is left of the one before");
        self.all_get_the_old_value();
        self.task()
    }
}

type Reason = (&'static str, fn() -> Yard);
/// Both reasons for which a task reloads.
const REASONS: [Reason; 2] = [("stale", Yard::stale), ("due", Yard::due)];

#[test]
fn every_caller_has_the_value_at_once_and_one_task_reloads() {
    watched(|| {
        for (reason, yard) in REASONS {
            for first in GETS {
                let yard = yard();
                assert_eq!(at_once(first, &yard.cache, 1), Said::Value(OLD), "{first:?}, {reason}");
                assert_eq!((yard.queued(), yard.begun.load(SeqCst)), (1, 0), "{first:?}, {reason}: it only queues");
                yard.all_get_the_old_value();
                let mut task = yard.task();
                assert_eq!(task.poll(), None);
                yard.all_get_the_old_value();
                assert_eq!((yard.queued(), yard.begun.load(SeqCst)), (0, 1), "{first:?}, {reason}: one load at a time");
                yard.door.give(Some(Ok(NEW)));
                task.finish();
                assert_eq!(yard.cache.get(&1), Some(NEW), "{first:?}, {reason}");
                all_at_once(&yard.cache, 1, Said::Value(NEW), reason);
                let stats = yard.cache.stats();
                assert_eq!((yard.queued(), stats.loads, stats.flights, stats.waits), (0, 1, 0, 0), "{first:?}, {reason}");
                let stale = if reason == "stale" { 1 + 2 * GETS.len() as u64 } else { 0 };
                assert_eq!(stats.stale_served, stale, "{first:?}, {reason}");
            }
        }
    });
}

#[test]
fn callers_at_one_moment_start_one_task() {
    watched(|| {
        for (reason, yard) in REASONS {
            let yard = yard();
            together(4, |caller| {
                for step in 0..50 {
                    let face = GETS[(caller + step) % GETS.len()];
                    assert_eq!(ask(face, &yard.cache, 1, || panic!("{face:?} loads")), Said::Value(OLD), "{reason}");
                }
            });
            drop(yard.task());
        }
    });
}

#[test]
fn a_task_that_comes_to_nothing_leaves_the_value_and_another_comes() {
    watched(|| {
        for (_, yard) in REASONS {
            let yard = yard();
            yard.all_get_the_old_value();
            drop(yard.task());
            let mut task = yard.another_task_comes();
            assert_eq!(task.poll(), None);
            drop(task);
            let mut task = yard.another_task_comes();
            assert_eq!(task.poll(), None);
            yard.door.give(Some(Err(Broken(1))));
            task.finish();
            let mut task = yard.another_task_comes();
            assert_eq!(task.poll(), None);
            yard.door.give(None);
            // Whether the executor sees the panic or not.
            survives(|| _ = task.poll());
            drop(task);
            let task = yard.another_task_comes();
            yard.door.give(Some(Ok(NEW)));
            task.finish();
            assert_eq!((yard.cache.get(&1), yard.cache.stats().flights), (Some(NEW), 0));
            assert_eq!(yard.cache.stats().load_failures, 1);
        }
    });
}

#[test]
fn what_overtakes_a_task_keeps_its_result_out() {
    watched(|| {
        for (reason, yard) in REASONS {
            for by in &OVERTAKINGS {
                for began in [false, true] {
                    let context = format!("{reason}, {}, the task had begun: {began}", by.name);
                    let yard = yard();
                    yard.all_get_the_old_value();
                    let mut task = yard.task();
                    assert!(!began || task.poll().is_none());
                    (by.act)(&yard.cache, 1);
                    let late = || {
                        yard.door.give(Some(Ok(NEW)));
                        task.finish();
                    };
                    if let Some(written) = by.leaves {
                        late();
                        assert_eq!(yard.cache.get(&1), Some(written), "{context}");
                        assert_eq!(yard.cache.stats().flights, 0, "{context}");
                        continue;
                    }
                    // Nothing may be served: callers load for themselves and wait for each other, not for the task.
                    let leader = Leader::start(Face::TryGetWithAsync, &yard.cache, 1);
                    let mut crowd = Crowd::gather(&yard.cache, 1, &GETS, Ok(99));
                    late();
                    assert_eq!((yard.cache.get(&1), yard.queued()), (None, 0), "{context}");
                    crowd.still_waits();
                    leader.end(Ok(30));
                    crowd.all_get(Said::Value(30));
                    assert_eq!((yard.cache.get(&1), yard.cache.stats().flights), (Some(30), 0), "{context}");
                }
            }
        }
    });
}

#[test]
fn where_there_is_nothing_to_serve_the_caller_loads() {
    watched(|| {
        let yard = Yard::stale();
        assert_eq!(ask(Face::TryGetWith, &yard.cache, 2, || Ok(20)), Said::Value(20), "never there");
        yard.hand.advance(GRACE);
        assert_eq!(ask(Face::TryGetWith, &yard.cache, 1, || Ok(12)), Said::Value(12), "too old to be served");
        assert_eq!((yard.queued(), yard.begun.load(SeqCst)), (0, 0));
    });
}

#[test]
fn callers_who_come_when_the_old_value_may_not_be_served_any_more_wait_for_the_task() {
    watched(|| {
        // The task brings it.
        let yard = Yard::stale();
        yard.all_get_the_old_value();
        let mut task = yard.task();
        assert_eq!(task.poll(), None);
        yard.hand.advance(GRACE);
        let crowd = Crowd::gather(&yard.cache, 1, &GETS, Ok(99));
        yard.door.give(Some(Ok(NEW)));
        task.finish();
        crowd.all_get(Said::Value(NEW));
        // The task is dropped, begun or not: one of the callers takes over.
        for began in [false, true] {
            let yard = Yard::stale();
            yard.all_get_the_old_value();
            let mut task = yard.task();
            assert!(!began || task.poll().is_none());
            yard.hand.advance(GRACE);
            let crowd = Crowd::gather(&yard.cache, 1, &GETS, Ok(99));
            drop(task);
            crowd.all_get(Said::Value(99));
            assert_eq!((yard.cache.get(&1), yard.cache.stats().flights), (Some(99), 0), "began: {began}");
        }
        // The task is forgotten: its time runs out.
        let yard = Yard::new(|builder| builder.time_to_live(TIME).serve_stale(GRACE).load_timeout(GRACE * 2));
        yard.hand.advance(TIME);
        yard.all_get_the_old_value();
        let task = yard.task();
        yard.hand.advance(GRACE * 2 - NANO);
        let crowd = Crowd::gather(&yard.cache, 1, &[Face::TryGetWithAsync], Ok(99));
        yard.hand.advance(NANO);
        // Either the next caller takes over or the one who waits.
        let here = yard.cache.clone();
        let next = thread::spawn(move || ask(Face::TryGetWith, &here, 1, || Ok(12)));
        let waited = crowd.answers()[0].1;
        let next = next.join().unwrap();
        assert!(next == waited && [Said::Value(12), Said::Value(99)].contains(&next), "{next:?} and {waited:?}");
        yard.door.give(Some(Ok(NEW)));
        task.finish();
        let Said::Value(stored) = next else { panic!("{next:?}") };
        assert_eq!((yard.cache.get(&1), yard.cache.stats().flights), (Some(stored), 0), "what comes late is not stored");
    });
}

/// A cache of which key 1 is stale, and whose tasks are started and run as given.
fn with_spawner<Fut>(
    spawn: impl Fn(BackgroundLoad) + Send + Sync + 'static,
    reload: impl Fn(&u64) -> Fut + Send + Sync + 'static,
) -> Numbers
where
    Fut: Future<Output = Result<Loaded<u64>, Broken>> + Send + 'static,
{
    let (clock, hand) = Clock::mock();
    let builder = Cache::<u64, u64>::builder().max_capacity(1_000).clock(clock).time_to_live(TIME).serve_stale(GRACE);
    let cache = builder.spawner(spawn, reload).build().unwrap();
    cache.insert(1, OLD);
    hand.advance(TIME);
    cache
}

#[test]
fn a_spawner_may_run_the_task_on_the_spot() {
    watched(|| {
        for face in GETS {
            let cache = with_spawner(block_on, |key| {
                let value = NEW * key;
                async move { Ok(Loaded::new(value)) }
            });
            let answer = ask(face, &cache, 1, || panic!("{face:?} loads"));
            assert!([Said::Value(OLD), Said::Value(NEW)].contains(&answer), "{face:?} gets {answer:?}");
            assert_eq!((cache.get(&1), cache.stats().flights), (Some(NEW), 0), "{face:?}");
        }
    });
}

#[test]
fn a_spawner_or_a_reload_that_panics_or_loses_the_task_harms_nothing() {
    watched(|| {
        type Spawn = fn(BackgroundLoad);
        let spawns: [(&str, Spawn); 3] = [("panics", |_| planned()), ("drops", drop), ("runs", block_on)];
        for (name, spawn) in spawns {
            for reload_panics in [false, true] {
                let cache = with_spawner(spawn, move |_| {
                    if reload_panics {
                        planned();
                    }
                    async { Err(Broken(1)) }
                });
                for face in GETS {
                    // The panic may reach the caller, or be kept from it: then the value is there.
                    let answer = survives(|| ask(face, &cache, 1, || Ok(99)));
                    assert!([None, Some(Said::Value(OLD))].contains(&answer), "{face:?} gets {answer:?}, spawner {name}");
                    assert_eq!(cache.stats().flights, 0, "{face:?}, spawner {name}");
                }
                cache.insert(1, NEW);
                assert_eq!(ask(Face::TryGetWith, &cache, 1, || Ok(99)), Said::Value(NEW), "spawner {name}");
            }
        }
    });
}

#[test]
fn a_task_may_call_the_cache_but_cannot_wait_for_itself() {
    watched(|| {
        let (queue, place) = (Arc::<Mutex<Vec<BackgroundLoad>>>::default(), Arc::<Mutex<Option<Numbers>>>::default());
        let (spawned, found) = (Arc::clone(&queue), Arc::clone(&place));
        let cache = with_spawner(
            move |load| spawned.lock().unwrap().push(load),
            move |&key| {
                let cache = found.lock().unwrap().clone().expect("the test put it there");
                async move {
                    assert_eq!(cache.get(&key), None, "a plain read sees nothing stale");
                    let other = cache.try_get_with_async(&(key + 1), async { Ok::<_, Broken>(NEW) }).await;
                    let own = cache.try_refresh_async(&key, async { Ok::<_, Broken>(99) }).await;
                    assert!(matches!(own, Err(brindle::LoadError::Reentrant)), "{own:?}");
                    Ok(Loaded::new(other.expect("it does not fail")))
                }
            },
        );
        *place.lock().unwrap() = Some(cache.clone());
        assert_eq!(at_once(Face::GetWith, &cache, 1), Said::Value(OLD));
        let load = queue.lock().unwrap().pop().expect("a task was started");
        Task::new(load).finish();
        assert_eq!((cache.get(&1), cache.get(&2), cache.stats().flights), (Some(NEW), Some(NEW), 0));
        place.lock().unwrap().take();
    });
}

#[test]
fn a_task_that_outlives_the_cache_runs_to_its_end() {
    watched(|| {
        for (_, yard) in REASONS {
            for began in [false, true] {
                let yard = yard();
                yard.all_get_the_old_value();
                let mut task = yard.task();
                assert!(!began || task.poll().is_none());
                let Yard { cache, door, .. } = yard;
                drop(cache);
                door.give(Some(Ok(NEW)));
                task.finish();
            }
        }
    });
}

/// Each key has a task of its own.
#[test]
fn tasks_of_many_keys_stand_side_by_side() {
    watched(|| {
        let yard = Yard::new(|builder| builder.time_to_live(TIME).serve_stale(GRACE));
        (0..100).for_each(|key| _ = yard.cache.insert(key, key));
        yard.hand.advance(TIME);
        for _ in 0..3 {
            (0..100).for_each(|key| assert_eq!(at_once(Face::GetWith, &yard.cache, key), Said::Value(key)));
        }
        assert_eq!((yard.queued(), yard.cache.stats().flights), (100, 100));
        for load in yard.queue.lock().unwrap().drain(..) {
            yard.door.give(Some(Ok(NEW)));
            Task::new(load).finish();
        }
        (0..100).for_each(|key| assert_eq!(yard.cache.get(&key), Some(NEW)));
        assert_eq!((yard.cache.stats().loads, yard.cache.stats().flights), (100, 0));
    });
}

#[test]
fn spawner_and_reload_run_under_no_lock() {
    watched(|| {
        let place = Arc::<Mutex<Option<Numbers>>>::default();
        let (spawner, reloader) = (Arc::clone(&place), Arc::clone(&place));
        /// Every key, so whatever stripe were locked would be met.
        fn touch_all(cache: &Mutex<Option<Numbers>>) {
            let cache = cache.lock().unwrap().clone().expect("the test put it there");
            (100..200).for_each(|key| _ = (cache.insert(key, key), cache.get_with(&(key + 100), || key), cache.invalidate(&key)));
            _ = cache.stats();
        }
        let cache = with_spawner(
            move |load| {
                touch_all(&spawner);
                block_on(load);
            },
            move |_| {
                touch_all(&reloader);
                async { Ok(Loaded::new(NEW)) }
            },
        );
        *place.lock().unwrap() = Some(cache.clone());
        ask(Face::GetWith, &cache, 1, || panic!("it loads"));
        assert_eq!((cache.get(&1), cache.stats().flights), (Some(NEW), 0));
        place.lock().unwrap().take();
    });
}

#[test]
fn a_task_that_hangs_is_taken_over_by_another_task() {
    watched(|| {
        let time_out = |builder: Builder<u64, u64>| builder.load_timeout(GRACE / 10);
        let stale = Yard::new(|builder| time_out(builder.time_to_live(TIME).serve_stale(GRACE)));
        let due = Yard::new(|builder| time_out(builder.refresh_after(TIME)));
        for yard in [stale, due] {
            yard.hand.advance(TIME);
            yard.all_get_the_old_value();
            let mut hangs = yard.task();
            assert_eq!(hangs.poll(), None);
            yard.hand.advance(GRACE / 10 - NANO);
            yard.all_get_the_old_value();
            assert_eq!(yard.queued(), 0, "it is not overdue yet");
            yard.hand.advance(NANO);
            yard.all_get_the_old_value();
            let next = yard.task();
            // What comes late is not stored, and does not end the other's load.
            yard.door.give(Some(Ok(99)));
            hangs.finish();
            assert_ne!(yard.cache.get(&1), Some(99));
            yard.all_get_the_old_value();
            assert_eq!(yard.queued(), 0, "one at a time");
            yard.door.give(Some(Ok(NEW)));
            next.finish();
            let stats = yard.cache.stats();
            assert_eq!((yard.cache.get(&1), stats.load_timeouts, stats.flights), (Some(NEW), 1, 0));
        }
    });
}

#[test]
fn a_source_that_failed_is_left_alone_for_a_while() {
    watched(|| {
        const PAUSE: Duration = seconds(2);
        let stale = Yard::new(|builder| builder.time_to_live(TIME).serve_stale(GRACE).negative_ttl(PAUSE));
        let due = Yard::new(|builder| builder.refresh_after(TIME).negative_ttl(PAUSE));
        for (reason, yard) in [("stale", stale), ("due", due)] {
            yard.hand.advance(TIME);
            assert_eq!(at_once(Face::TryGetWith, &yard.cache, 1), Said::Value(OLD));
            yard.door.give(Some(Err(Broken(7))));
            yard.task().finish();
            yard.hand.advance(PAUSE - NANO);
            for face in [Face::TryGetWith, Face::LoadAsync] {
                assert_eq!(at_once(face, &yard.cache, 1), Said::Value(OLD), "{face:?}, {reason}");
            }
            assert_eq!(yard.queued(), 0, "{reason}: the source is asked again too soon");
            yard.hand.advance(NANO);
            assert_eq!(at_once(Face::TryGetWith, &yard.cache, 1), Said::Value(OLD), "{reason}");
            drop(yard.task());
        }
    });
}
