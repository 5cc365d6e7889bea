//! Promises 7 and 9 for write-throughs: however many there are and however they end, nothing is left of them, nor of those who gave up in line. Every
//! byte is counted.

#[path = "common/bytes.rs"]
mod bytes;
mod common;
mod harness;

use std::future::pending;
use std::mem::forget;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::Loaded;
use brindle::MockClock;
use brindle::WhileWriting;

use bytes::Counting;
use bytes::in_use;
use common::Census;
use common::Counted;
use common::executor::Boxed;
use common::executor::Task;
use common::executor::oneshot;
use common::executor::step;
use common::watched;
use harness::planned;
use harness::survives;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Runs `test`, watched, with an account of its own.
fn counted(test: impl FnOnce() + Send + 'static) {
    watched(move || bytes::on(bytes::open(), test));
}

const SECOND: Duration = Duration::from_secs(1);

type Values = Cache<u64, Counted>;

/// A cache, and all values that were ever made for it.
struct World {
    cache: Values,
    hand: MockClock,
    values: Census,
}

impl World {
    /// With a timeout or without: tasks that wait where there is one have a timer, of which the timer's crate keeps a little for a while.
    fn new(meanwhile: WhileWriting, timed: bool) -> Self {
        let (clock, hand) = Clock::mock();
        let builder = Cache::builder().max_capacity(200).stripes(2).while_writing(meanwhile).clock(clock);
        let builder = if timed { builder.load_timeout(SECOND * 10) } else { builder };
        World { cache: builder.build().unwrap(), hand, values: Census::default() }
    }

    fn loaded(&self, number: u64) -> Result<Loaded<Counted>, Counted> {
        Ok(Loaded::new(self.values.value(number)))
    }

    /// A write that is stored.
    #[track_caller]
    fn store(&self, key: u64, number: u64) {
        assert!(matches!(self.cache.write_through(key, |_| self.loaded(number)), Ok(Some(_))));
    }

    /// What is in use when nothing is resident.
    #[track_caller]
    fn settled(&self, what: &str) -> i64 {
        self.cache.clear();
        self.cache.reclaim();
        assert_eq!((self.cache.len(), self.cache.stats().flights), (0, 0), "{what}");
        assert_eq!(self.values.alive(), 0, "values are left: {what}");
        in_use()
    }
}

/// A write of a task that never ends by itself.
fn hanging(cache: &Values, key: u64) -> Task<Boxed<'static, ()>> {
    let cache = cache.clone();
    Task::new(Box::pin(async move {
        let write = |_| pending::<Result<Loaded<Counted>, ()>>();
        _ = cache.write_through_async(key, write).await;
    }))
}

type Round = fn(&World, u64);

const ENDS: [(&str, Round); 10] = [
    ("stored", |world, number| world.store(number, number)),
    ("stored over and over", |world, number| world.store(number % 50, number)),
    ("failed", |world, number| {
        assert!(world.cache.write_through(number, |_| Err(world.values.value(number))).is_err());
    }),
    ("failed over an entry", |world, number| {
        world.cache.insert(number, world.values.value(number));
        assert!(world.cache.write_through(number, |_| Err(world.values.value(number))).is_err());
    }),
    ("panicked", |world, number| {
        let ended = survives(|| world.cache.write_through(number, |_| -> Result<Loaded<Counted>, ()> { planned() }));
        assert!(ended.is_none());
    }),
    ("cancelled", |world, number| {
        let mut task = hanging(&world.cache, number);
        (0..number % 3).for_each(|_| task.pends());
    }),
    ("overtaken", |world, number| {
        let written = world.cache.write_through(number, |_| {
            world.cache.insert(number, world.values.value(number));
            world.cache.refresh(&number, || world.values.value(number));
            world.loaded(number)
        });
        assert!(matches!(written, Ok(None)));
    }),
    ("in line", |world, number| {
        let mut line: Vec<_> = (0..5).map(|_| hanging(&world.cache, number)).collect();
        line.iter_mut().for_each(Task::pends);
        // From the front, from the back, from the middle.
        match number % 3 {
            0 => line.reverse(),
            1 => line.swap(0, 2),
            _ => (),
        }
        line.into_iter().for_each(drop);
    }),
    ("while it is loaded", |world, number| {
        let mut load = Task::new(Box::pin(world.cache.get_with_async(&number, async {
            step().await;
            world.values.value(number)
        })));
        load.pends();
        world.store(number, number);
        assert!(load.ends().id() == number);
    }),
    ("late", |world, number| {
        let written = world.cache.write_through(number, |_| {
            world.hand.advance(SECOND * 11);
            world.loaded(number)
        });
        assert!(matches!(written, Ok(None)));
    }),
];

#[test]
fn nothing_is_left_of_any_of_them() {
    const TIMES: u64 = 6_000;
    for (name, round) in ENDS {
        for meanwhile in [WhileWriting::ServeOld, WhileWriting::Miss] {
            counted(move || {
                // What a thread takes once, it has taken before the count begins.
                let timed = name == "late";
                let first = World::new(meanwhile, timed);
                (0..10).for_each(|number| round(&first, number));
                survives(|| planned());
                drop(first);
                let before = in_use();
                let world = World::new(meanwhile, timed);
                (0..TIMES).for_each(|number| round(&world, number));
                let left = world.settled(name) - before;
                // As much as a cache with room for 200 has grown to by then.
                assert!(left <= 200 * 1024, "{left} bytes are left of {TIMES} that were {name}");
                drop(world);
                assert_eq!(in_use() - before, 0, "bytes left by those that were {name}");
            });
        }
    }
}

/// Written, failed and cancelled where nothing is ever resident: not a byte more than before.
#[test]
fn where_nothing_is_stored_not_a_byte_is_left() {
    for (name, round) in ENDS.into_iter().filter(|(name, _)| ["failed", "panicked", "cancelled", "in line"].contains(name)) {
        counted(move || {
            let world = World::new(WhileWriting::ServeOld, false);
            (0..1_000).for_each(|number| round(&world, number));
            let before = world.settled(name);
            (1_000..15_000).for_each(|number| round(&world, number));
            let grown = world.settled(name) - before;
            assert!(grown <= 0, "{grown} bytes are left of 14000 that were {name}");
        });
    }
}

/// The one whose turn it is hangs, and those who line up behind it lose patience.
#[test]
fn those_who_give_up_in_line_leave_nothing() {
    const MANY: u64 = 50_000;
    counted(|| {
        let world = World::new(WhileWriting::ServeOld, false);
        let (send, finish) = oneshot();
        let mut running = Task::new(Box::pin(world.cache.write_through_async(7, |_| finish)));
        running.pends();
        hanging(&world.cache, 7).pends();
        let before = in_use();
        for _ in 0..MANY {
            hanging(&world.cache, 7).pends();
        }
        assert_eq!(in_use() - before, 0, "one after another");
        let mut line: Vec<_> = (0..MANY).map(|_| hanging(&world.cache, 7)).collect();
        line.iter_mut().for_each(Task::pends);
        drop(line);
        let left = in_use() - before;
        assert!(left <= 1024, "{left} bytes: all at once");
        send.send(world.loaded(5));
        assert!(matches!(running.ends(), Ok(Some(_))));
        assert_eq!(world.cache.get(&7).map(|value| value.id()), Some(5));
        drop(running);
        world.settled("those who gave up");
    });
}

/// Leaked ones are gone from the cache when the next comes; what the leaked future itself holds is its own.
#[test]
fn overdue_writes_leave_nothing_in_the_cache() {
    counted(|| {
        let world = World::new(WhileWriting::ServeOld, true);
        let round = |number: u64| {
            let mut task = Box::new(hanging(&world.cache, number));
            task.pends();
            forget(task);
            world.hand.advance(SECOND * 11);
            world.store(number, number);
        };
        (0..1_000).for_each(round);
        assert_eq!(world.cache.stats().flights, 0);
        let memory = world.cache.memory_used();
        (1_000..20_000).for_each(round);
        let grown = world.cache.memory_used().saturating_sub(memory);
        assert!(grown <= 64 * 1024, "{grown} bytes of the cache are left of 19000 leaked writes");
        world.settled("leaked");
    });
}

/// One is always under way, though none is for long: turns of other keys come and go.
#[test]
fn writes_that_overlap_leave_nothing() {
    counted(|| {
        let world = World::new(WhileWriting::Miss, false);
        let mut open = hanging(&world.cache, 0);
        open.pends();
        let mut round = |number: u64| {
            let mut next = hanging(&world.cache, number);
            next.pends();
            drop(std::mem::replace(&mut open, next));
        };
        (1..1_000).for_each(&mut round);
        let before = in_use();
        (1_000..50_000).for_each(&mut round);
        let grown = in_use() - before;
        assert!(grown <= 1024, "{grown} bytes are left of 49000 writes");
        // Many at once, and then none.
        let mut all: Vec<_> = (0..10_000).map(|key| hanging(&world.cache, key + 100_000)).collect();
        all.iter_mut().for_each(Task::pends);
        drop((all, open));
        let left = world.settled("many at once") - before;
        assert!(left <= 16 * 1024, "{left} bytes are left of 10000 at once");
    });
}
