//! Groups and values that are stale, due, or loaded in the background: what was invalidated by its group is never served stale, and what a
//! background load brings is fenced as any other.

mod common;
mod grouped;
mod hand;

use std::collections::VecDeque;
use std::mem::take;
use std::sync::Arc;
use std::sync::Mutex;

use brindle::BackgroundLoad;
use brindle::Builder;
use brindle::Clock;
use brindle::LoadError;
use brindle::Loaded;
use brindle::MockClock;

use common::watched;
use grouped::builder;
use grouped::value;
use hand::Broken;
use hand::Door;
use hand::GETS;
use hand::Numbers;
use hand::Said;
use hand::Task;
use hand::ask;
use hand::at_once;
use hand::seconds;

const KEY: u64 = 1;
const FIRST: u64 = value(1, &[1, 6]);
const OUTSIDE: u64 = value(2, &[5]);
const MEMBER: u64 = value(3, &[1]);
const NEW: u64 = value(4, &[1]);

fn timed(choose: impl FnOnce(Builder<u64, u64>) -> Builder<u64, u64>) -> (Numbers, MockClock) {
    let (clock, hand) = Clock::mock();
    (choose(builder().clock(clock)).build().unwrap(), hand)
}

type Invalidate = fn(&Numbers);

const INVALIDATE: [(&str, Invalidate); 2] = [
    ("invalidate_group", |cache| _ = cache.invalidate_group(&1_u64)),
    ("transaction", |cache| cache.transaction(|t| t.invalidate_group(&1_u64)).unwrap()),
];

#[test]
fn an_expired_member_is_never_served_stale_again() {
    watched(|| {
        for (name, invalidate) in INVALIDATE {
            for face in GETS {
                let (cache, hand) = timed(|builder| builder.time_to_live(seconds(100)).serve_stale(seconds(50)).fail_safe());
                cache.insert(KEY, FIRST);
                cache.insert(2, OUTSIDE);
                hand.advance(seconds(101));
                assert_eq!(cache.get(&KEY), None);
                invalidate(&cache);
                // It would be the answer to a load that fails.
                let failed = cache.try_get_with(&KEY, || Err(Broken(1)));
                assert!(matches!(failed, Err(LoadError::Failed(Broken(1)))), "{name}: {failed:?}");
                assert_eq!(cache.try_get_with(&2, || Err(Broken(1))).unwrap(), OUTSIDE, "{name}: not of the group");
                // It would be the answer to who comes while another loads.
                let (mut loading, door) = slow(&cache, KEY);
                let mut waiting = Task::new({
                    let cache = cache.clone();
                    async move { cache.get_with_async(&KEY, async { unreachable!() }).await }
                });
                assert_eq!(waiting.poll(), None, "{name}: served at once");
                door.give(NEW);
                assert_eq!((loading.poll(), waiting.poll()), (Some(NEW), Some(NEW)), "{name}");
                cache.invalidate(&KEY);
                assert_eq!(ask(face, &cache, KEY, || Ok(NEW)), Said::Value(NEW), "{name}, {face:?}");
            }
        }
    });
}

/// A load that runs until it is given its value.
fn slow(cache: &Numbers, key: u64) -> (Task<u64>, Door<u64>) {
    let (door, cache) = (Door::<u64>::default(), cache.clone());
    let inside = door.clone();
    let mut loading = Task::new(async move { cache.get_with_async(&key, inside.take()).await });
    assert_eq!(loading.poll(), None);
    (loading, door)
}

/// A stale value is loaded again, while it is served. Its group is invalidated meanwhile.
#[test]
fn a_stale_member_that_is_being_reloaded_is_not_served_any_more() {
    watched(|| {
        for (name, invalidate) in INVALIDATE {
            let (cache, hand) = timed(|builder| builder.time_to_live(seconds(100)).serve_stale(seconds(50)));
            cache.insert(KEY, FIRST);
            hand.advance(seconds(101));
            let (mut old, door) = slow(&cache, KEY);
            for face in GETS {
                assert_eq!(at_once(face, &cache, KEY), Said::Value(FIRST), "{name}: it is stale, and may be served");
            }
            invalidate(&cache);
            let (mut new, new_door) = slow(&cache, KEY);
            door.give(MEMBER);
            assert_eq!((old.poll(), cache.get(&KEY)), (Some(MEMBER), None), "{name}");
            new_door.give(NEW);
            assert_eq!((new.poll(), cache.get(&KEY)), (Some(NEW), Some(NEW)), "{name}");
            assert_eq!((cache.stats().fenced, cache.stats().flights), (1, 0), "{name}");
        }
    });
}

/// A cache whose background loads the test runs.
struct Yard {
    cache: Numbers,
    hand: MockClock,
    queue: Arc<Mutex<VecDeque<BackgroundLoad>>>,
    door: Door<u64>,
}

impl Yard {
    fn new(choose: impl FnOnce(Builder<u64, u64>) -> Builder<u64, u64>) -> Self {
        let (queue, door) = (Arc::<Mutex<VecDeque<_>>>::default(), Door::<u64>::default());
        let (spawned, inside) = (Arc::clone(&queue), door.clone());
        let (cache, hand) = timed(|builder| {
            let spawn = move |load: BackgroundLoad| spawned.lock().unwrap().push_back(load);
            choose(builder).spawner(spawn, move |_: &u64| {
                let inside = inside.clone();
                async move { Ok::<_, Broken>(Loaded::new(inside.take().await)) }
            })
        });
        Yard { cache, hand, queue, door }
    }

    /// The key is resident, and a task that loads it has begun.
    fn loading(self, first: u64) -> (Self, Task<()>) {
        self.cache.insert(KEY, first);
        self.hand.advance(seconds(101));
        assert_eq!(at_once(GETS[0], &self.cache, KEY), Said::Value(first));
        let load = self.queue.lock().unwrap().pop_front().expect("a task");
        let mut task = Task::new(load);
        assert_eq!(task.poll(), None);
        (self, task)
    }
}

type Reason = (&'static str, bool, fn() -> Yard);

/// Why a task reloads; and is the entry alive then?
const REASONS: [Reason; 2] = [
    ("stale", false, || Yard::new(|builder| builder.time_to_live(seconds(100)).serve_stale(seconds(50)))),
    ("due", true, || Yard::new(|builder| builder.refresh_after(seconds(100)))),
];

#[test]
fn a_background_load_of_a_member_stores_nothing() {
    watched(|| {
        for (reason, _, build) in REASONS {
            for (name, invalidate) in INVALIDATE {
                for brings in [MEMBER, OUTSIDE] {
                    let (yard, mut task) = build().loading(FIRST);
                    invalidate(&yard.cache);
                    yard.door.give(brings);
                    assert_eq!(task.poll(), Some(()));
                    assert_eq!(yard.cache.get(&KEY), None, "{reason}, {name}");
                    assert_eq!(yard.cache.get_with(&KEY, || NEW), NEW, "{reason}, {name}");
                    assert_eq!((yard.cache.stats().fenced, yard.cache.stats().flights), (1, 0), "{reason}, {name}");
                }
            }
        }
    });
}

#[test]
fn a_background_load_that_brings_a_member_stores_nothing() {
    watched(|| {
        for (reason, alive, build) in REASONS {
            for (name, invalidate) in INVALIDATE {
                let (yard, mut task) = build().loading(OUTSIDE);
                invalidate(&yard.cache);
                yard.door.give(MEMBER);
                assert_eq!(task.poll(), Some(()));
                // The entry is not of the group: it may be served as it was.
                assert_eq!(yard.cache.get(&KEY), alive.then_some(OUTSIDE), "{reason}, {name}");
                assert_eq!(at_once(GETS[1], &yard.cache, KEY), Said::Value(OUTSIDE), "{reason}, {name}");
                assert_eq!(yard.cache.stats().fenced, 1, "{reason}, {name}");
                // The cache keeps the queue, which would keep the cache if that task stayed in it.
                let again = take(&mut *yard.queue.lock().unwrap());
                assert_eq!(again.len(), 1, "{reason}, {name}: it is being loaded again");

                let (yard, mut task) = build().loading(OUTSIDE);
                invalidate(&yard.cache);
                yard.door.give(value(9, &[5, 4]));
                assert_eq!(task.poll(), Some(()));
                assert_eq!(yard.cache.get(&KEY), Some(value(9, &[5, 4])), "{reason}, {name}: of another group");
            }
        }
    });
}

/// An error that is remembered for a key is none of the group's business, and does not outlive a member.
#[test]
fn a_remembered_error_is_no_member() {
    watched(|| {
        let (cache, _hand) = timed(|builder| builder.negative_ttl(seconds(10)));
        assert!(cache.try_get_with(&KEY, || Err(Broken(1))).is_err());
        assert_eq!(cache.invalidate_group(&1_u64), 0);
        assert!(cache.try_get_with(&KEY, || -> Result<u64, Broken> { unreachable!() }).is_err());
        // A failed refresh of a member is remembered; the invalidation of the member ends it.
        cache.insert(2, FIRST);
        assert!(cache.try_refresh(&2, || Err(Broken(1))).is_err());
        assert_eq!(cache.invalidate_group(&1_u64), 1);
        assert_eq!(cache.try_get_with(&2, || Ok::<_, Broken>(NEW)).unwrap(), NEW);
    });
}
