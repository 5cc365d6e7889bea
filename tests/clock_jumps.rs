//! Clocks that jump: by hours, to the end of time, backwards, or not at all, in the midst of every kind of call and for every kind of deadline. Nothing
//! overflows or hangs, and nothing is served after its deadline as the latest time says.

mod common;
mod harness;

use std::time::Duration;

use brindle::Builder;
use brindle::Cache;
use brindle::Clock;
use brindle::EntryRef;
use brindle::Expiry;
use brindle::Leased;
use brindle::LoadError;
use brindle::Loaded;
use brindle::MockClock;
use brindle::Op;

use common::executor::Task;
use common::executor::oneshot;
use harness::watched;

type Numbers = Cache<u64, u64>;

const KEY: u64 = 1;
/// Always there, and what calls in whose midst the clock jumps look at.
const OTHER: u64 = 2;
const ABSENT: u64 = 3;

const HOUR: Duration = Duration::from_secs(3600);
const START: Duration = Duration::from_secs(100);
const END: Duration = Duration::from_nanos(u64::MAX);

/// How long things live, wait, or are remembered.
const SPANS: [Duration; 6] = [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(10), HOUR, END, Duration::MAX];

/// Where the clock jumps to.
const JUMPS: [Duration; 9] = [
    START,
    Duration::from_nanos(START.as_nanos() as u64 + 1),
    Duration::from_secs(110),
    Duration::from_nanos(110_000_000_001),
    Duration::from_secs(100 + 3 * 3600),
    Duration::ZERO,
    Duration::from_nanos(u64::MAX - 1),
    END,
    Duration::MAX,
];

/// What the clock shows: never less than before, and no more than the last moment there is.
struct Time {
    hand: MockClock,
    latest: u128,
}

impl Time {
    fn start() -> (Clock, Self) {
        let (clock, hand) = Clock::mock();
        hand.set(START);
        (clock, Time { hand, latest: START.as_nanos() })
    }

    fn jump(&mut self, to: Duration) {
        self.hand.set(to);
        self.latest = self.latest.max(to.as_nanos().min(u128::from(u64::MAX) - 1));
    }

    fn is_past(&self, since: u128, span: Duration) -> bool {
        since + span.as_nanos() <= self.latest
    }
}

/// Plays a scene with every span that something lasts and every moment to which the clock jumps then; the text names the case.
fn each_span_and_jump(scene: impl Fn(Duration, Duration, &str) + Send + 'static) {
    watched(move || {
        for span in SPANS {
            JUMPS.iter().for_each(|&jump| scene(span, jump, &format!("{span:?}, to {jump:?}")));
        }
    });
}

fn builder(clock: Clock) -> Builder<u64, u64> {
    Cache::builder().max_capacity(100).stripes(2).clock(clock)
}

struct Fixed(Duration);

impl Expiry<u64, u64> for Fixed {
    fn after_create(&self, _: &u64, _: &u64) -> Option<Duration> {
        Some(self.0)
    }
}

/// How an entry gets its deadline.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    ToLive,
    ToIdle,
    Expiry,
    Own,
    Loaded,
    Transaction,
    WriteThrough,
}

const KINDS: [Kind; 7] =
    [Kind::ToLive, Kind::ToIdle, Kind::Expiry, Kind::Own, Kind::Loaded, Kind::Transaction, Kind::WriteThrough];

fn build(kind: Kind, clock: Clock, span: Duration) -> Numbers {
    let builder = builder(clock);
    let built = match kind {
        Kind::ToLive => builder.time_to_live(span),
        Kind::ToIdle => builder.time_to_idle(span),
        Kind::Expiry => builder.expire_after(Fixed(span)),
        Kind::Own | Kind::Loaded | Kind::Transaction | Kind::WriteThrough => builder,
    };
    built.build().expect("valid choices")
}

fn write(kind: Kind, cache: &Numbers, key: u64, span: Duration) {
    match kind {
        Kind::ToLive | Kind::ToIdle | Kind::Expiry => _ = cache.insert(key, key),
        Kind::Own => _ = cache.insert_with_ttl(key, key, span),
        Kind::Loaded => _ = cache.load(&key, || Ok::<_, ()>(Loaded::new(key).with_ttl(span))),
        Kind::Transaction => _ = cache.transaction(|t| t.insert_with_ttl(key, key, span)),
        Kind::WriteThrough => _ = cache.write_through(key, |_| Ok::<_, ()>(Loaded::new(key).with_ttl(span))),
    }
}

/// A call in whose midst the clock jumps.
type Midst = (&'static str, fn(&Numbers, &mut dyn FnMut()));

const MIDSTS: [Midst; 12] = [
    ("nothing", |_, jump| jump()),
    ("a closure", |cache, jump| _ = cache.with(&OTHER, |_| jump())),
    ("a guard", |cache, jump| {
        let guard = cache.get_ref(&OTHER);
        jump();
        assert!(guard.is_none_or(|guard| *guard == OTHER));
    }),
    ("a walk", |cache, jump| {
        let mut walk = cache.iter();
        walk.next();
        jump();
        walk.for_each(drop);
    }),
    ("retain", |cache, jump| {
        cache.retain(|_, _| {
            jump();
            true
        });
    }),
    ("a computation", |cache, jump| {
        drop(cache.entry(OTHER).and_compute_with(|_| {
            jump();
            Op::Put(OTHER)
        }));
    }),
    ("a transaction", |cache, jump| {
        let done = cache.transaction(|t| {
            t.insert_with_ttl(OTHER, OTHER, HOUR);
            jump();
            t.insert(ABSENT, ABSENT);
        });
        assert!(done.is_ok());
    }),
    ("a load", |cache, jump| {
        let loaded = cache.get_with(&ABSENT, || {
            jump();
            ABSENT
        });
        assert_eq!(loaded, ABSENT);
    }),
    ("a load with a source and a time", |cache, jump| {
        let loaded = cache.load(&ABSENT, || {
            jump();
            Ok::<_, ()>(Loaded::new(ABSENT).at(5).with_ttl(END))
        });
        assert_eq!(loaded, Ok(ABSENT));
    }),
    ("a lease", |cache, jump| {
        let Leased::Lease(lease) = cache.get_or_lease(&ABSENT, None) else { panic!("nobody else loads") };
        jump();
        drop(lease.fill(ABSENT));
    }),
    ("a write through the cache", |cache, jump| {
        let written = cache.write_through(OTHER, |_| {
            jump();
            Ok::<_, ()>(Loaded::new(OTHER))
        });
        assert!(written.is_ok());
    }),
    ("two tasks", |cache, jump| {
        let (send, loaded) = oneshot();
        let mut leading = Task::new(cache.get_with_async(&ABSENT, loaded));
        let mut waiting = Task::new(cache.get_with_async(&ABSENT, async { ABSENT }));
        leading.pends();
        waiting.pends();
        jump();
        send.send(ABSENT);
        assert_eq!((leading.ends(), waiting.ends()), (ABSENT, ABSENT));
    }),
];

/// Every read of the key.
fn reads(cache: &Numbers, key: u64) -> Vec<(&'static str, bool)> {
    vec![
        ("peek", cache.peek(&key).is_some()),
        ("contains_key", cache.contains_key(&key)),
        ("iter", cache.iter().any(|entry: EntryRef<u64, u64>| *entry.key() == key)),
        ("get", cache.get(&key).is_some()),
        ("with", cache.with(&key, |_| ()).is_some()),
        ("get_ref", cache.get_ref(&key).is_some()),
        ("get_entry", cache.get_entry(&key).is_some()),
        ("get_many", cache.get_many([&key])[0].is_some()),
        ("get_many_snapshot", cache.get_many_snapshot([&key])[0].is_some()),
        ("get_with", cache.try_get_with(&key, || Err::<u64, _>(())).is_ok()),
    ]
}

/// The entry is served until its deadline, as long as nobody jumps over it, and not after it.
fn judge(cache: &Numbers, time: &Time, since: u128, span: Duration, case: &str) {
    let past = time.is_past(since, span);
    for (read, found) in reads(cache, KEY) {
        assert!(!(found && past), "{read} serves what has expired: {case}");
    }
    assert_eq!(cache.stats().flights, 0, "{case}");
    assert!(cache.weight() <= cache.capacity(), "{case}");
}

#[test]
fn nothing_is_served_after_its_deadline_whenever_and_wherever_the_clock_jumps() {
    watched(|| {
        for kind in KINDS {
            for span in SPANS {
                for (midst, call) in MIDSTS {
                    for (number, &first) in JUMPS.iter().enumerate() {
                        let second = JUMPS[(number * 5 + 2) % JUMPS.len()];
                        let case = format!("{kind:?} {span:?}, in the midst of {midst} to {first:?}, then to {second:?}");
                        let (clock, mut time) = Time::start();
                        let cache = build(kind, clock, span);
                        write(kind, &cache, OTHER, span);
                        write(kind, &cache, KEY, span);
                        let since = time.latest;
                        let before = cache.peek(&KEY).is_some();
                        assert_eq!(before, span > Duration::ZERO, "{case}");
                        call(&cache, &mut || time.jump(first));
                        if kind != Kind::ToIdle && !time.is_past(since, span) {
                            assert_eq!(cache.peek(&KEY), Some(KEY), "lost before its time: {case}");
                        }
                        // Somebody has been told this time: what has expired by it stays so when the clock goes back.
                        _ = cache.peek(&OTHER);
                        let read = number % 2 == 0;
                        if read {
                            judge(&cache, &time, since, span, &case);
                        }
                        time.jump(second);
                        // Reads put off the end of what may not idle.
                        if !read || kind != Kind::ToIdle {
                            judge(&cache, &time, since, span, &case);
                        }
                        write(kind, &cache, KEY, span);
                        let since = time.latest;
                        judge(&cache, &time, since, span, &case);
                        cache.clear();
                        assert_eq!(cache.weight(), 0, "{case}");
                    }
                }
            }
        }
    });
}

#[test]
fn a_lease_is_overdue_when_the_latest_time_says_so() {
    each_span_and_jump(|span, jump, case| {
        let (clock, mut time) = Time::start();
        let cache = builder(clock).load_timeout(span).build().expect("valid choices");
        let Leased::Lease(lease) = cache.get_or_lease(&KEY, None) else { panic!("nobody else loads") };
        let since = time.latest;
        time.jump(jump);
        let overdue = time.is_past(since, span);
        assert_eq!(lease.is_current(), !overdue, "{case}");
        let next = cache.get_or_lease(&KEY, Some(Duration::ZERO));
        assert_eq!(matches!(next, Leased::Lease(_)), overdue, "{case}");
        assert_eq!(matches!(next, Leased::TimedOut), !overdue, "{case}");
        assert_eq!(lease.fill(1).is_ok(), !overdue, "{case}");
        drop(next);
        assert_eq!(cache.stats().flights, 0, "{case}");
        let loaded = cache.get_with(&KEY, || 2);
        assert_eq!(loaded, if overdue { 2 } else { 1 }, "{case}");
    });
}

#[test]
fn a_turn_to_write_is_overdue_when_the_latest_time_says_so() {
    each_span_and_jump(|span, jump, case| {
        let (clock, mut time) = Time::start();
        let cache = builder(clock).load_timeout(span).build().expect("valid choices");
        let (send, source) = oneshot();
        let since = time.latest;
        let mut first = Task::new(cache.write_through_async(KEY, |_| async { Ok::<_, ()>(Loaded::new(source.await)) }));
        first.pends();
        time.jump(jump);
        let mut second = Task::new(cache.write_through_async(KEY, |_| async { Ok::<_, ()>(Loaded::new(2)) }));
        let came = second.poll().is_ready();
        assert_eq!(came, time.is_past(since, span), "{case}");
        send.send(1);
        assert!(first.ends().is_ok(), "{case}");
        if !came {
            assert!(second.ends().is_ok(), "{case}");
        }
        assert_eq!(cache.stats().flights, 0, "{case}");
        // With no time at all every turn is late, and nothing is left of it.
        let there = cache.get(&KEY);
        assert!(there.is_none_or(|value| value == 2), "{case}: {there:?}");
    });
}

#[test]
fn errors_stale_values_and_tombstones_last_as_long_as_the_latest_time_says() {
    each_span_and_jump(|span, jump, case| {
        let (clock, mut time) = Time::start();
        let life = Duration::from_nanos(1);
        let builder = builder(clock).negative_ttl(span).serve_stale(span).tombstone_ttl(span).time_to_live(life);
        let cache = builder.refresh_after(span).early_refresh(1.0).build().expect("valid choices");
        assert!(cache.try_get_with(&ABSENT, || Err::<u64, _>("down")).is_err());
        assert!(cache.insert_at(OTHER, 7, 7).is_ok());
        cache.invalidate(&OTHER);
        cache.insert(KEY, 1);
        let since = time.latest;
        time.jump(jump);
        let past = time.is_past(since, span);
        let asked = cache.try_get_with(&ABSENT, || Ok(3));
        assert_eq!(asked, if past { Ok(3) } else { Err(LoadError::Failed("down")) }, "a remembered error: {case}");
        // The tombstone goes by and by, never before its time.
        assert!(past || cache.insert_at(OTHER, 6, 6).is_err(), "a tombstone: {case}");
        if time.is_past(since + life.as_nanos(), span) {
            assert_eq!(cache.get_with(&KEY, || 2), 2, "a stale value: {case}");
        }
        assert_eq!(cache.stats().flights, 0, "{case}");
    });
}

#[cfg(feature = "write-behind")]
#[test]
fn what_is_pending_stays_wherever_the_clock_jumps_and_goes_when_it_is_written() {
    use std::convert::Infallible;

    use brindle::Pending;
    use brindle::WriteBehind;

    each_span_and_jump(|span, jump, case| {
        for kind in [Kind::ToLive, Kind::ToIdle, Kind::Expiry] {
            let case = format!("{kind:?} {case}");
            let (clock, mut time) = Time::start();
            let cache = build(kind, clock, span);
            let behind = WriteBehind::builder(cache.clone(), |_: &[Pending<u64, u64>]| Ok::<_, Infallible>(())).build();
            assert!(behind.insert(KEY, KEY).is_ok());
            let since = time.latest;
            time.jump(jump);
            assert_eq!(cache.peek(&KEY), Some(KEY), "{case}");
            assert!(behind.flush().is_ok());
            assert!(kind == Kind::ToIdle || cache.peek(&KEY).is_none() || !time.is_past(since, span), "{case}");
            drop(behind);
        }
    });
}
