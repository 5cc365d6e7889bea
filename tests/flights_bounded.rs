//! Promises 7 and 9: however many loads end, and however they end, no flight is left of them and no byte; nor of callers that gave up
//! waiting, while the load is still open. Every key, value and error is dropped just once.

#[path = "common/bytes.rs"]
mod bytes;
mod common;
mod harness;

use std::future::Future;
use std::future::pending;
use std::hash::Hash;
use std::hash::Hasher;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::Leased;
use brindle::Loaded;

use bytes::Counting;
use bytes::in_use;
use common::Census;
use common::Counted;
use common::Rng;
use common::executor::Task;
use common::executor::oneshot;
use harness::planned;
use harness::survives;
use harness::watched_for;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Runs `test`, watched, with an account of its own.
fn counted(test: impl FnOnce() + Send + 'static) {
    // A million takes its time on a busy machine.
    watched_for(Duration::from_secs(400), move || bytes::on(bytes::open(), test));
}

/// A key that is counted, as are its clones.
#[derive(Clone)]
struct Key(Counted);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id().hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}

impl Eq for Key {}

/// A cache, and everything that is ever put into it.
struct World {
    cache: Cache<Key, Counted>,
    keys: Census,
    /// Values, and errors.
    values: Census,
}

impl World {
    fn new(cache: Cache<Key, Counted>) -> Self {
        World { cache, keys: Census::default(), values: Census::default() }
    }

    fn key(&self, number: u64) -> Key {
        Key(self.keys.value(number))
    }

    fn value(&self, number: u64) -> Counted {
        self.values.value(number)
    }

    /// Takes out what is resident. Nothing else may be there.
    #[track_caller]
    fn settle(&self, what: &str) -> i64 {
        self.cache.clear();
        self.cache.reclaim();
        assert_eq!(self.cache.stats().flights, 0, "{what}");
        assert_eq!((self.keys.alive(), self.values.alive()), (0, 0), "keys and values left: {what}");
        in_use()
    }
}

fn small() -> Cache<Key, Counted> {
    Cache::builder().max_capacity(200).stripes(2).build().unwrap()
}

/// Does `work` for so many keys, and then for nine times as many: nothing more is in use then, and nothing at all at the end.
fn leaves_nothing(what: &str, stores: bool, build: impl Fn() -> Cache<Key, Counted>, times: u64, work: impl Fn(&World, u64)) {
    // What a thread takes once, it has taken before the count begins.
    let first = World::new(build());
    (0..100).for_each(|number| work(&first, number));
    survives(|| planned());
    drop(first);
    let before = in_use();
    let world = World::new(build());
    let warm = times / 10;
    (0..warm).for_each(|number| work(&world, number));
    let level = world.settle(what);
    (warm..times).for_each(|number| work(&world, number));
    let grown = world.settle(what) - level;
    // Where entries come and go, the policy's lists double now and then, as they do without loads. Next to what so many loads would leave,
    // that is nothing.
    let most = if stores { (times as i64 / 4).max(64 * 1024) } else { 0 };
    assert!(grown <= most, "{grown} bytes are left of {} times `{what}`", times - warm);
    let World { cache, keys, values } = world;
    drop(cache);
    assert_eq!((keys.alive(), values.alive()), (0, 0), "{what}");
    drop((keys, values));
    assert_eq!(in_use() - before, 0, "bytes left by `{what}`");
}

/// Polls once, on the stack.
fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

const MILLION: u64 = 1_000_000;

#[test]
fn a_million_loads_leave_nothing() {
    counted(|| {
        leaves_nothing("load", true, small, MILLION, |world, number| {
            let (cache, key) = (&world.cache, world.key(number));
            let value = match number % 5 {
                0 => cache.get_with(&key, || world.value(number)),
                1 => cache.load(&key, || Ok::<_, u8>(Loaded::new(world.value(number)))).ok().unwrap(),
                2 => cache.refresh(&key, || world.value(number)),
                3 => {
                    let Leased::Lease(lease) = cache.get_or_lease(&key, None) else { panic!("no lease") };
                    assert!(lease.fill(world.value(number)).is_ok());
                    return;
                }
                _ => match poll(cache.get_with_async(&key, async { world.value(number) })) {
                    Poll::Ready(value) => value,
                    Poll::Pending => panic!("it waits"),
                },
            };
            assert_eq!(value.id(), number);
        });
    });
}

#[test]
fn a_million_failed_loads_leave_nothing() {
    counted(|| {
        leaves_nothing("fail", false, small, MILLION, |world, number| {
            let (cache, key) = (&world.cache, world.key(number));
            match number % 5 {
                0 => assert!(cache.try_get_with(&key, || Err(world.value(number))).is_err()),
                1 => assert!(cache.try_get_with_local(&key, || Err(&key)).is_err()),
                2 => assert!(cache.reload(&key, || Err(world.value(number))).is_err()),
                3 => {
                    let Leased::Lease(lease) = cache.get_or_lease(&key, None) else { panic!("no lease") };
                    lease.fail(world.value(number));
                }
                _ => {
                    let polled = poll(cache.try_get_with_async(&key, async { Err(world.value(number)) }));
                    assert!(matches!(polled, Poll::Ready(Err(_))));
                }
            }
        });
    });
}

#[test]
fn a_million_cancelled_loads_leave_nothing() {
    counted(|| {
        leaves_nothing("cancel", false, small, MILLION, |world, number| {
            let (cache, key) = (&world.cache, world.key(number));
            match number % 5 {
                // Never polled.
                0 => drop(cache.get_with_async(&key, async { world.value(number) })),
                1 => assert!(poll(cache.get_with_async(&key, pending())).is_pending()),
                2 => assert!(poll(cache.try_refresh_async(&key, pending::<Result<_, u8>>())).is_pending()),
                3 => assert!(matches!(poll(cache.get_or_lease_async(&key)), Poll::Ready(Leased::Lease(_)))),
                // A leader, and one that waits for it and goes after it.
                _ => {
                    let mut leading = pin!(Some(cache.get_with_async(&key, pending())));
                    let mut context = Context::from_waker(Waker::noop());
                    assert!(leading.as_mut().as_pin_mut().unwrap().poll(&mut context).is_pending());
                    let mut waiting = pin!(cache.get_with_async(&key, pending()));
                    assert!(waiting.as_mut().poll(&mut context).is_pending());
                    leading.set(None);
                }
            }
        });
    });
}

#[test]
fn a_million_panicked_loads_leave_nothing() {
    counted(|| {
        leaves_nothing("panic", false, small, MILLION, |world, number| {
            let (cache, key) = (&world.cache, world.key(number));
            match number % 4 {
                0 => drop(survives(|| cache.get_with(&key, || planned()))),
                1 => drop(survives(|| cache.reload(&key, || -> Result<Loaded<_>, u8> { planned() }))),
                2 => drop(survives(|| poll(cache.get_with_async(&key, async { planned() })))),
                _ => drop(survives(|| {
                    let leased = cache.get_or_lease(&key, None);
                    assert!(matches!(leased, Leased::Lease(_)));
                    planned()
                })),
            }
        });
    });
}

#[test]
fn calls_for_many_keys_leave_nothing() {
    counted(|| {
        for (name, stores) in [("many that fail", false), ("many that go", false), ("half of many", true)] {
            leaves_nothing(name, stores, small, MILLION / 100, |world, number| {
                let keys: Vec<_> = (0..10).map(|at| world.key(number * 10 + at)).collect();
                let bring = |keys: Vec<Key>| -> Result<Vec<(Key, Counted)>, Counted> {
                    match name {
                        "many that fail" => Err(world.value(number)),
                        _ => Ok(keys.into_iter().take(5).map(|key| (key, world.value(1))).collect()),
                    }
                };
                if name == "many that go" {
                    assert!(
                        poll(world.cache.try_get_many_with_async(&keys, |_| pending::<Result<Vec<(Key, Counted)>, u8>>()))
                            .is_pending()
                    );
                } else {
                    assert_eq!(world.cache.try_get_many_with(&keys, bring).is_err(), !stores);
                }
            });
        }
    });
}

#[test]
fn errors_that_are_remembered_are_bounded_and_forgotten() {
    counted(|| {
        let (clock, hand) = Clock::mock();
        let ttl = Duration::from_secs(10);
        let builder = Cache::builder().max_capacity(200).stripes(2).clock(clock).negative_ttl(ttl);
        let world = World::new(builder.build().unwrap());
        let fail = |number: u64| assert!(world.cache.try_get_with(&world.key(number), || Err(world.value(number))).is_err());
        // Entries have come and gone before the count begins, as they do at the end.
        let load = |number: u64| drop(world.cache.get_with(&world.key(number), || world.value(1)));
        (0..5_000).for_each(load);
        let before = world.settle("entries");
        (0..MILLION / 5).for_each(fail);
        let (bytes, loads) = (in_use() - before, world.cache.stats().loads);
        // So many that a storm is answered, and so few that they do not fill the memory.
        assert!(bytes > 0 && bytes < MILLION as i64, "{bytes} bytes for errors that are remembered");
        (MILLION / 5 - 100..MILLION / 5).for_each(fail);
        assert_eq!((world.cache.stats().loads, world.cache.stats().flights), (loads, 0));
        // Their time is up: ordinary traffic lets them go.
        hand.advance(ttl * 2);
        (MILLION..MILLION + 5_000).for_each(load);
        world.cache.reclaim();
        assert_eq!(world.values.alive(), world.cache.len(), "errors are left");
        let left = world.settle("errors that were remembered") - before;
        assert!(left < bytes / 10, "{left} bytes of {bytes}");
    });
}

#[test]
fn many_fenced_and_overdue_loads_leave_nothing() {
    counted(|| {
        leaves_nothing("fence", true, small, MILLION / 10, |world, number| {
            let (cache, key) = (&world.cache, world.key(number));
            let write = || match number % 4 {
                0 => drop(cache.insert(key.clone(), world.value(number))),
                1 => drop(cache.remove(&key)),
                2 => drop(cache.invalidate(&key)),
                _ => drop(cache.get_with(&key, || world.value(number))),
            };
            // The last is an old flight beside a new one.
            cache.get_with(&key, || {
                if number % 4 == 3 {
                    cache.invalidate(&key);
                } else {
                    write();
                }
                world.value(number)
            });
            let Leased::Lease(lease) = cache.get_or_lease(&world.key(number + MILLION), None) else { panic!("no lease") };
            cache.invalidate(&world.key(number + MILLION));
            assert_eq!(cache.get_with(&world.key(number + MILLION), || world.value(1)).id(), 1);
            assert!(lease.fill(world.value(2)).is_err());
        });
        let (clock, hand) = Clock::mock();
        let timed =
            || Cache::builder().max_capacity(200).stripes(2).clock(clock.clone()).load_timeout(Duration::from_secs(1)).build();
        leaves_nothing(
            "time out",
            true,
            || timed().unwrap(),
            MILLION / 10,
            |world, number| {
                let (cache, key) = (&world.cache, world.key(number));
                let Leased::Lease(late) = cache.get_or_lease(&key, None) else { panic!("no lease") };
                hand.advance(Duration::from_secs(2));
                if number % 3 > 0 {
                    cache.get_with(&key, || world.value(number));
                }
                if number % 2 > 0 {
                    // In the cache for the warming up there is no time out.
                    drop(late.fill(world.value(number)));
                } else {
                    drop(late);
                }
            },
        );
    });
}

const WAITERS: u64 = 100_000;

/// In which order those who wait go.
#[derive(Clone, Copy, Debug)]
enum Go {
    OldestFirst,
    NewestFirst,
    AtRandom,
}

#[test]
fn a_hundred_thousand_waiters_that_give_up_leave_nothing() {
    counted(|| {
        for (order, seed) in [(Go::OldestFirst, 1), (Go::NewestFirst, 2), (Go::AtRandom, 3)] {
            let world = World::new(small());
            let key = world.key(7);
            // Its stripe has had a flight and an entry before the count begins.
            drop(world.cache.get_with(&key, || world.value(1)));
            world.cache.invalidate(&key);
            world.cache.reclaim();
            let before = in_use();
            let (send, loaded) = oneshot();
            let mut leading = Task::new(world.cache.get_with_async(&key, loaded));
            leading.pends();
            let call = || {
                let mut task = Task::new(world.cache.get_with_async(&key, pending()));
                task.pends();
                task
            };
            let (open, clones) = (in_use(), world.keys.alive());
            let mut waiting: Vec<_> = (0..WAITERS).map(|_| call()).collect();
            assert_eq!(world.cache.stats().waits, WAITERS);
            match order {
                Go::OldestFirst => (),
                Go::NewestFirst => waiting.reverse(),
                Go::AtRandom => Rng::new(seed).shuffle(&mut waiting),
            }
            drop(waiting);
            // The load is still open.
            let left = in_use() - open;
            assert_eq!(left, 0, "of {WAITERS} waiters that went {order:?}");
            assert_eq!((world.keys.alive(), world.cache.stats().flights), (clones, 1), "{order:?}");
            leading.pends();
            send.send(world.value(5));
            assert_eq!(leading.ends().id(), 5);
            drop(leading);
            assert_eq!((world.cache.stats().flights, world.cache.stats().loads), (0, 2));
            world.cache.invalidate(&key);
            world.cache.reclaim();
            assert_eq!(in_use() - before, 0, "{order:?}");
            assert_eq!((world.keys.alive(), world.values.alive()), (1, 0), "{order:?}: but ours");
        }
    });
}

#[test]
fn loads_that_were_open_side_by_side_leave_nothing() {
    counted(|| {
        let world = World::new(small());
        drop(world.cache.get_or_lease(&world.key(1), None));
        let before = in_use();
        let leases: Vec<_> = (0..WAITERS).map(|number| world.cache.get_or_lease(&world.key(number), None)).collect();
        assert_eq!(world.cache.stats().flights as u64, WAITERS);
        drop(leases);
        let left = in_use() - before;
        assert!(left <= 0 && world.keys.alive() == 0, "{left} bytes, by {WAITERS} loads that were given up");
        world.settle("loads side by side");
        // The same, ended by what fences them all at once.
        let before = in_use();
        let leases: Vec<_> = (0..WAITERS).map(|number| world.cache.get_or_lease(&world.key(number), None)).collect();
        world.cache.clear();
        assert_eq!(world.cache.stats().flights, 0);
        drop(leases);
        world.settle("loads that were fenced");
        let left = in_use() - before;
        assert!(left <= 0, "{left} bytes, by {WAITERS} loads that were fenced");
    });
}

#[test]
fn callers_without_patience_leave_nothing() {
    counted(|| {
        let world = World::new(small());
        let key = world.key(7);
        let Leased::Lease(lease) = world.cache.get_or_lease(&key, None) else { panic!("no lease") };
        let call = |number: u64| {
            let patience = if number.is_multiple_of(1_000) { Duration::from_nanos(1) } else { Duration::ZERO };
            assert!(matches!(world.cache.get_or_lease(&key, Some(patience)), Leased::TimedOut));
            assert!(poll(world.cache.get_or_lease_async(&key)).is_pending());
        };
        call(0);
        let (open, clones) = (in_use(), world.keys.alive());
        (0..WAITERS).for_each(call);
        assert_eq!((in_use() - open, world.keys.alive(), world.cache.stats().flights), (0, clones, 1));
        assert!(lease.is_current() && lease.fill(world.value(1)).is_ok());
        drop(key);
        world.settle("callers without patience");
    });
}

#[test]
fn waiters_that_get_the_value_or_the_error_leave_nothing() {
    counted(|| {
        for fails in [false, true] {
            let world = World::new(small());
            let key = world.key(7);
            let (send, loaded) = oneshot();
            let mut leading = Task::new(world.cache.try_get_with_async(&key, loaded));
            leading.pends();
            let call = |_| {
                let mut task = Task::new(world.cache.try_get_with_async(&key, pending::<Result<_, Counted>>()));
                task.pends();
                task
            };
            let mut waiting: Vec<_> = (0..10_000).map(call).collect();
            send.send(if fails { Err(world.value(3)) } else { Ok(world.value(3)) });
            assert_eq!(leading.ends().is_err(), fails);
            // Some go without taking what is there for them, some take it.
            waiting.drain(..3_000);
            for task in &mut waiting[2_000..] {
                assert_eq!(task.ends().is_err(), fails);
            }
            assert_eq!(world.cache.stats().flights, 0, "a flight is over for all when it is over");
            drop((waiting, leading));
            drop(key);
            world.settle("waiters that get their answer");
        }
    });
}
