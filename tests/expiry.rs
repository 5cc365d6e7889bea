//! Time to live, time to idle, a time for each entry: nothing is served at or after its deadline, by no call, and what has expired is
//! dropped by ordinary traffic and told of once.

#![allow(dropping_copy_types, clippy::type_complexity, reason = "what a call answers is often not the point here")]

mod common;
mod harness;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use brindle::Builder;
use brindle::Cache;
use brindle::Cause;
use brindle::Clock;
use brindle::Computed;
use brindle::Expected;
use brindle::Expiry;
use brindle::MockClock;
use brindle::Op;
use brindle::Removed;

use harness::Ledger;
use harness::Random;
use harness::watched;

const SECOND: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn mocked() -> (Builder<u64, u64>, MockClock) {
    let (clock, hand) = Clock::mock();
    (Cache::builder().max_capacity(1_000).stripes(2).clock(clock), hand)
}

/// A cache with keys 0 to 19 of which each read method gets one of its own.
fn caches_due_at(end: Duration) -> Vec<(&'static str, Cache<u64, u64>, MockClock)> {
    let fill = |name, builder: Builder<u64, u64>, hand: MockClock| {
        let cache = builder.build().unwrap();
        (0..20).for_each(|key| drop(cache.insert(key, key)));
        (name, cache, hand)
    };
    let (ttl, ttl_hand) = mocked();
    let (tti, tti_hand) = mocked();
    let (own, own_hand) = mocked();
    let (all, all_hand) = mocked();
    let (direct, direct_hand) = mocked();
    let direct = direct.time_to_live(end * 2).build().unwrap();
    (0..20).for_each(|key| drop(direct.insert_with_ttl(key, key, end)));
    vec![
        fill("ttl", ttl.time_to_live(end), ttl_hand),
        fill("tti", tti.time_to_idle(end), tti_hand),
        fill("expiry", own.expire_after(OnCreate(Some(end))), own_hand),
        fill("all", all.time_to_live(end * 3).time_to_idle(end * 2).expire_after(OnCreate(Some(end))), all_hand),
        ("insert_with_ttl", direct, direct_hand),
    ]
}

struct OnCreate(Option<Duration>);

impl<K, V> Expiry<K, V> for OnCreate {
    fn after_create(&self, _: &K, _: &V) -> Option<Duration> {
        self.0
    }
}

#[test]
fn what_the_policy_comes_to_watch_expires_as_before() {
    let (builder, hand) = mocked();
    let cache = builder.max_capacity(1 << 20).time_to_live(SECOND).build().unwrap();
    (0..20).for_each(|key| drop(cache.insert(key, key)));
    // Of a small cache it watches every key.
    cache.set_capacity(100);
    assert!((0..20).all(|key| cache.get(&key) == Some(key)));
    hand.advance(SECOND);
    assert!((0..20).all(|key| cache.get(&key).is_none()));
}

#[test]
fn served_until_the_last_nanosecond_and_not_at_the_deadline() {
    for (name, cache, hand) in caches_due_at(SECOND) {
        hand.advance(SECOND - NANO);
        assert!(cache.contains_key(&0) && cache.peek(&1) == Some(1) && cache.iter().count() == 20, "{name}");
        hand.advance(NANO);
        assert!(!cache.contains_key(&0), "{name}");
    }
}

#[test]
fn no_read_serves_what_has_expired() {
    for late in [Duration::ZERO, NANO, seconds(1_000_000)] {
        for (name, cache, hand) in caches_due_at(SECOND) {
            hand.advance(SECOND + late);
            assert_eq!(cache.iter().count(), 0, "{name}");
            assert_eq!(cache.peek(&0), None, "{name}");
            assert!(!cache.contains_key(&1), "{name}");
            assert_eq!(cache.get(&2), None, "{name}");
            assert_eq!(cache.with(&3, |value| *value), None, "{name}");
            assert!(cache.get_ref(&4).is_none(), "{name}");
            assert_eq!(cache.get_entry(&5), None, "{name}");
        }
    }
}

#[test]
fn no_write_sees_what_has_expired() {
    // A cache of its own for each, so that no earlier call sweeps the expired entries away.
    let calls: [(&str, fn(&Cache<u64, u64>)); 9] = [
        ("insert_if_absent", |cache| assert!(cache.insert_if_absent(7, 70).is_ok())),
        ("compare_and_swap", |cache| assert!(cache.compare_and_swap(7, Expected::Absent, 70).is_ok())),
        ("and_compute_with", |cache| {
            let done = cache.entry(7).and_compute_with(|entry| {
                assert!(entry.is_none());
                Op::Put(70)
            });
            assert!(matches!(done, Computed::Inserted(_)));
        }),
        ("and_compute_with, remove", |cache| {
            assert!(matches!(cache.entry(7).and_compute_with(|_| Op::Remove), Computed::Kept(None)));
        }),
        ("remove", |cache| assert_eq!(cache.remove(&7), None)),
        ("remove_if", |cache| assert_eq!(cache.remove_if(&7, |_, _| panic!("shown what has expired")), None)),
        ("retain", |cache| cache.retain(|_, _| panic!("shown what has expired"))),
        ("invalidate", |cache| assert!(!cache.invalidate(&7))),
        ("invalidate_at", |cache| assert!(cache.invalidate_at(&7, 0))),
    ];
    for (call, check) in calls {
        for (name, cache, hand) in caches_due_at(SECOND) {
            let version = cache.get_entry(&7).unwrap().version;
            hand.advance(SECOND);
            assert!(cache.compare_and_swap(8, version, 1).is_err(), "{call}, {name}");
            check(&cache);
            assert!(cache.peek(&7).is_none_or(|value| value == 70), "{call}, {name}");
            assert!(cache.compare_and_swap(7, version, 1).is_err(), "{call}, {name}: the old version is gone");
        }
    }
}

#[test]
fn a_write_starts_the_time_anew() {
    let (builder, hand) = mocked();
    let cache = builder.time_to_live(seconds(10)).build().unwrap();
    cache.insert(1, 1);
    hand.advance(seconds(9));
    cache.insert(1, 2);
    hand.advance(seconds(9));
    assert_eq!(cache.get(&1), Some(2), "the wheel still knew the old deadline");
    cache.insert_with_ttl(1, 3, seconds(100));
    hand.advance(seconds(99));
    (0..50).for_each(|key| drop(cache.insert(key + 100, 0)));
    assert_eq!(cache.get(&1), Some(3), "its own time counts instead of the cache's");
    cache.insert_with_ttl(1, 4, NANO);
    hand.advance(NANO);
    assert_eq!(cache.get(&1), None);
    cache.insert(1, 5);
    hand.advance(seconds(10));
    assert_eq!(cache.get(&1), None, "the cache's time counts again");
}

#[test]
fn reads_keep_an_entry_from_idling_and_peeks_do_not() {
    let (builder, hand) = mocked();
    let cache = builder.time_to_idle(seconds(10)).build().unwrap();
    (0..8).for_each(|key| drop(cache.insert(key, key)));
    for _ in 0..50 {
        hand.advance(seconds(3));
        assert_eq!(cache.get(&0), Some(0));
        assert_eq!(cache.with(&1, |value| *value), Some(1));
        assert!(cache.get_ref(&2).is_some());
        assert!(cache.get_entry(&3).is_some());
        assert!(matches!(cache.entry(4).and_compute_with(|_| Op::Keep), Computed::Kept(Some(_))));
        let _ = (cache.peek(&5), cache.contains_key(&6), cache.iter().count());
    }
    let there: Vec<bool> = (0..8).map(|key| cache.contains_key(&key)).collect();
    assert_eq!(there, [true, true, true, true, true, false, false, false]);
    hand.advance(seconds(10));
    assert_eq!(cache.iter().count(), 0);
}

#[test]
fn an_idle_deadline_is_early_by_a_256th_at_most() {
    let (builder, hand) = mocked();
    let cache = builder.time_to_idle(seconds(256)).build().unwrap();
    cache.insert(1, 1);
    for step in 1..200 {
        hand.advance(Duration::from_millis(step * 7));
        assert_eq!(cache.get(&1), Some(1));
        let early = cache.clone();
        hand.advance(seconds(254) + Duration::from_millis(999));
        assert!(early.contains_key(&1), "step {step}");
        assert_eq!(cache.get(&1), Some(1));
    }
    hand.advance(seconds(256));
    assert!(!cache.contains_key(&1));
}

/// Says what each value says: seconds after creation, after an update, after a read; the value's digits in base 100, 99 for never, 98
/// (after an update or a read) for what remains.
struct Digits;

fn digit(value: u64, place: u32, remaining: Option<Duration>) -> Option<Duration> {
    match value / 100_u64.pow(place) % 100 {
        99 => None,
        98 => remaining,
        said => Some(seconds(said)),
    }
}

fn value(create: u64, update: u64, read: u64) -> u64 {
    create + update * 100 + read * 10_000
}

impl Expiry<u64, u64> for Digits {
    fn after_create(&self, _: &u64, said: &u64) -> Option<Duration> {
        digit(*said, 0, None)
    }

    fn after_update(&self, _: &u64, said: &u64, remaining: Option<Duration>) -> Option<Duration> {
        digit(*said, 1, remaining)
    }

    fn after_read(&self, _: &u64, said: &u64, remaining: Option<Duration>) -> Option<Duration> {
        digit(*said, 2, remaining)
    }
}

#[test]
fn each_entry_says_how_long_it_lives() {
    let (builder, hand) = mocked();
    let cache = builder.expire_after(Digits).build().unwrap();
    cache.insert(1, value(10, 20, 98));
    hand.advance(seconds(10));
    assert_eq!(cache.peek(&1), None, "created for ten seconds");
    cache.insert(1, value(10, 20, 98));
    cache.insert(1, value(10, 20, 98));
    hand.advance(seconds(19));
    assert!(cache.get(&1).is_some(), "updated for twenty");
    cache.insert(1, value(50, 98, 98));
    hand.advance(SECOND);
    assert_eq!(cache.get(&1), None, "what remained was kept");
    cache.insert(2, value(10, 1, 40));
    hand.advance(seconds(9));
    assert!(cache.get(&2).is_some());
    hand.advance(seconds(39));
    (0..50).for_each(|key| drop(cache.insert(key + 100, value(99, 99, 98))));
    assert!(cache.contains_key(&2), "a read made it live longer");
    hand.advance(SECOND);
    assert!(!cache.contains_key(&2));
    cache.insert(3, value(50, 1, 5));
    assert!(cache.get(&3).is_some());
    hand.advance(seconds(5));
    assert_eq!(cache.get(&3), None, "a read made it live shorter");
    cache.insert(4, value(99, 1, 0));
    assert!(cache.get(&4).is_some());
    assert_eq!(cache.get(&4), None, "a read was its last");
    cache.insert(5, value(1, 1, 99));
    assert!(cache.get(&5).is_some());
    hand.advance(seconds(1 << 30));
    assert!(cache.get(&5).is_some(), "a read made it live for ever");
}

/// `Builder::expire_after`: where there is a time to live too, the earlier deadline counts.
#[test]
fn what_a_read_says_does_not_outlast_the_time_to_live() {
    for said in [30, 99] {
        let (builder, hand) = mocked();
        let cache = builder.time_to_live(seconds(10)).expire_after(Digits).build().unwrap();
        cache.insert(1, value(5, 5, said));
        assert!(cache.get(&1).is_some());
        hand.advance(seconds(9));
        assert!(cache.contains_key(&1), "the read made it live longer than five seconds");
        hand.advance(SECOND);
        assert!(!cache.contains_key(&1), "but no longer than the time to live");
    }
}

/// The same for a time of its own: it counts instead of what `Expiry` says.
#[test]
fn what_a_read_says_does_not_outlast_the_time_given_with_the_write() {
    let (builder, hand) = mocked();
    let cache = builder.expire_after(Digits).build().unwrap();
    cache.insert_with_ttl(1, value(99, 99, 99), seconds(10));
    cache.insert_with_ttl(2, value(99, 99, 30), seconds(10));
    assert!(cache.get(&1).is_some() && cache.get(&2).is_some());
    hand.advance(seconds(10));
    assert!(cache.get(&1).is_none() && cache.get(&2).is_none());
}

type Told = Arc<Mutex<Vec<(u64, u64, Cause)>>>;

fn telling(builder: Builder<u64, u64>) -> (Cache<u64, u64>, Told) {
    let told = Told::default();
    let heard = Arc::clone(&told);
    let listener =
        move |removed: Removed<u64, u64>| heard.lock().unwrap().push((*removed.key(), *removed.value(), removed.cause()));
    (builder.removal_listener(listener).build().unwrap(), told)
}

fn assert_told_once(told: &Told, keys: u64) {
    let mut told = told.lock().unwrap().clone();
    told.sort_by_key(|&(key, ..)| key);
    assert_eq!(told, (0..keys).map(|key| (key, key, Cause::Expired)).collect::<Vec<_>>());
}

#[test]
fn reads_alone_drop_what_has_expired() {
    let (builder, hand) = mocked();
    let (cache, told) = telling(builder.time_to_live(SECOND));
    (0..200).for_each(|key| drop(cache.insert(key, key)));
    hand.advance(SECOND);
    (0..200).for_each(|key| assert_eq!(cache.get(&key), None));
    assert_eq!((cache.len(), cache.weight(), cache.stats().expired), (0, 0, 200));
    assert_told_once(&told, 200);
}

#[test]
fn writes_to_other_keys_drop_what_has_expired() {
    let calls: [fn(&Cache<u64, u64>, u64); 5] = [
        |cache, other| drop(cache.insert_with_ttl(other % 16 + 1_000, 0, Duration::MAX)),
        |cache, other| drop(cache.invalidate(&other)),
        |cache, other| drop(cache.remove(&other)),
        |cache, other| drop(cache.entry(other % 16 + 1_000).and_compute_with(|_| Op::Put(1))),
        |cache, other| drop(cache.invalidate_at(&other, 1)),
    ];
    for call in calls {
        let (builder, hand) = mocked();
        let (cache, told) = telling(builder);
        (0..400).for_each(|key| drop(cache.insert_with_ttl(key, key, SECOND + NANO * key as u32)));
        hand.advance(SECOND * 2);
        (0..200).for_each(|other| call(&cache, other + 10_000));
        let expired: Vec<_> = told.lock().unwrap().iter().filter(|told| told.2 == Cause::Expired).copied().collect();
        assert_eq!(expired.len(), 400);
        assert!(cache.len() <= 16);
        *told.lock().unwrap() = expired;
        assert_told_once(&told, 400);
    }
}

/// Promise 9: expired values are dropped by ordinary traffic. A deadline that a read has moved forward is one like any other.
#[test]
fn what_a_read_made_live_shorter_is_dropped_by_other_traffic_too() {
    for (create, name) in [(99, "no deadline before"), (90, "a later deadline before")] {
        let (builder, hand) = mocked();
        let cache = builder.expire_after(Digits).build().unwrap();
        (0..20).for_each(|key| drop(cache.insert(key, value(create, 1, 1))));
        (0..20).for_each(|key| drop(cache.get(&key)));
        hand.advance(SECOND);
        assert_eq!(cache.iter().count(), 0);
        for _ in 0..50 {
            (0..100).for_each(|other| drop(cache.invalidate(&(other + 1_000))));
        }
        assert_eq!(cache.len(), 0, "{name}: expired entries stay for as long as nobody asks for them");
    }
}

#[test]
fn values_dead_on_arrival_are_told_of_and_dropped() {
    let (builder, _hand) = mocked();
    let (cache, told) = telling(builder);
    let version = cache.insert_with_ttl(0, 0, Duration::ZERO);
    assert!(version.revision() > 0);
    assert_eq!((cache.get(&0), cache.len(), cache.weight()), (None, 0, 0));
    assert_told_once(&told, 1);
    cache.insert(1, 1);
    assert!(cache.insert_with_ttl(1, 2, Duration::ZERO) > version);
    assert_eq!(cache.get(&1), None, "the write took effect");
    assert_eq!(told.lock().unwrap()[1..], [(1, 1, Cause::Replaced), (1, 2, Cause::Expired)]);
}

#[test]
fn expired_values_are_dropped_once() {
    watched(|| {
        let ledger = Ledger::default();
        let (clock, hand) = Clock::mock();
        let cache = Cache::builder().max_capacity(500).stripes(2).clock(clock).time_to_idle(seconds(5)).build().unwrap();
        let mut guards = Vec::new();
        let mut random = Random(11);
        for number in 0..5_000_u64 {
            let key = random.below(300);
            match random.below(4) {
                0 => drop(cache.insert(key, ledger.value(number))),
                1 => drop(cache.insert_with_ttl(key, ledger.value(number), seconds(random.below(20)))),
                2 => guards.extend(cache.get_ref(&key)),
                _ => drop(cache.get(&key)),
            }
            hand.advance(Duration::from_millis(random.below(50)));
            if guards.len() > 20 {
                guards.clear();
            }
        }
        drop(guards);
        hand.advance(seconds(100));
        (0..300).for_each(|key| drop(cache.invalidate(&key)));
        cache.reclaim();
        assert_eq!((cache.len(), ledger.alive()), (0, 0));
        ledger.all_dropped_once();
    });
}

/// Every call drops a few of what is due, whatever is due, and those few at once; so a million are gone after an eighth as many calls.
#[test]
fn a_million_deadlines_in_bounded_steps() {
    watched(|| {
        const MANY: u64 = 1_000_000;
        let (clock, hand) = Clock::mock();
        let cache = Cache::builder().stripes(1).clock(clock).build().unwrap();
        for number in 0..MANY {
            // Distinct, in no order, over eleven days.
            let place = number.wrapping_mul(0x9e37_79b1) % MANY;
            cache.insert_with_ttl(number, (), Duration::from_nanos(1_000_000_007 * (place + 1)));
        }
        hand.advance(Duration::from_nanos(1_000_000_007 * (MANY / 2)));
        let mut calls = 0_u64;
        let mut before = cache.len();
        while before > MANY as usize / 2 {
            cache.invalidate(&u64::MAX);
            calls += 1;
            let now = cache.len();
            assert!(before - now <= 16, "one call dropped {}", before - now);
            assert!(calls < MANY / 8, "{now} left after {calls} calls");
            before = now;
        }
        assert_eq!(before, MANY as usize / 2, "none is dropped before its time");
        let steps = cache.iter().count();
        assert_eq!(steps, MANY as usize / 2);
        hand.advance(seconds(10_000_000));
        for _ in 0..MANY / 8 {
            cache.invalidate(&u64::MAX);
        }
        assert_eq!(cache.len(), 0);
    });
}

// A model: what is there, and until when.

#[derive(Clone, Copy, PartialEq, Debug)]
struct Modelled {
    value: u64,
    due: u128,
    /// What reads say does not outlast this: the time to live, the cache's or the write's own.
    last: u128,
    /// Time to idle is coarse: gone for sure at the second, there for sure before the first.
    idle: (u128, u128),
}

const NEVER: u128 = u128::MAX;

struct Model {
    ttl: Option<Duration>,
    tti: Option<Duration>,
    digits: bool,
    now: u128,
    entries: BTreeMap<u64, Modelled>,
}

impl Model {
    fn end(&self, after: Option<Duration>) -> u128 {
        after.map_or(NEVER, |after| self.now + after.as_nanos())
    }

    /// The entry if it is there; `None` in the second place where only the cache knows.
    fn find(&self, key: u64) -> (Option<Modelled>, Option<bool>) {
        match self.entries.get(&key) {
            None => (None, Some(false)),
            Some(entry) if entry.due.min(entry.idle.1) <= self.now => (None, Some(false)),
            Some(entry) if entry.idle.0 <= self.now => (Some(*entry), None),
            Some(entry) => (Some(*entry), Some(true)),
        }
    }

    /// Compares what a read saw, and settles what only the cache could know.
    fn saw(&mut self, key: u64, seen: Option<u64>, context: &str) {
        let (entry, sure) = self.find(key);
        if let Some(sure) = sure {
            assert_eq!(seen, entry.filter(|_| sure).map(|entry| entry.value), "{context}");
        } else if let Some(seen) = seen {
            assert_eq!(Some(seen), entry.map(|entry| entry.value), "{context}");
        }
        if seen.is_none() {
            self.entries.remove(&key);
        }
    }

    fn read(&mut self, key: u64) {
        let (now, idle) = (self.now, self.tti.map(|tti| self.end(Some(tti)) - tti.as_nanos() / 256));
        let late = self.end(self.tti);
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if let Some(early) = idle {
            entry.idle = (entry.idle.0.max(early), late);
        }
        if self.digits {
            match entry.value / 10_000 % 100 {
                98 => {}
                99 => entry.due = entry.last,
                said => entry.due = entry.last.min(now + seconds(said).as_nanos()),
            }
        }
    }

    fn write(&mut self, key: u64, value: u64, own: Option<Duration>) {
        let old = self.find(key).0;
        let said = match (self.digits && own.is_none(), old) {
            (false, _) => NEVER,
            (true, None) => self.end(digit(value, 0, None)),
            (true, Some(old)) if value / 100 % 100 == 98 => old.due,
            (true, Some(_)) => self.end(digit(value, 1, None)),
        };
        let last = self.end(own.or(self.ttl));
        let due = last.min(said);
        let idle = self.end(self.tti);
        self.entries.insert(key, Modelled { value, due, last, idle: (idle, idle) });
    }
}

fn against_the_model(seed: u64, steps: u64) {
    let mut random = Random(seed);
    let ttl = [None, Some(seconds(20)), Some(seconds(3))][random.below(3) as usize];
    let tti = [None, Some(seconds(15)), Some(seconds(256))][random.below(3) as usize];
    let digits = random.below(3) > 0;
    let (builder, hand) = mocked();
    let builder = match ttl {
        Some(ttl) => builder.time_to_live(ttl),
        None => builder,
    };
    let builder = match tti {
        Some(tti) => builder.time_to_idle(tti),
        None => builder,
    };
    let (cache, told) = telling(if digits { builder.expire_after(Digits) } else { builder });
    let mut model = Model { ttl, tti, digits, now: 0, entries: BTreeMap::new() };
    for step in 0..steps {
        let key = random.below(30);
        let context = format!("seed {seed}, step {step}, key {key}, ttl {ttl:?}, tti {tti:?}, digits {digits}");
        let pick = |random: &mut Random| [random.below(10), random.below(40), 98, 99][random.below(4) as usize];
        let (create, update, read) = (pick(&mut random).min(97), pick(&mut random), pick(&mut random));
        let fresh = value(create, update, read) + 1_000_000 * step;
        // Whether it is there is settled first wherever a write depends on it.
        let settled = |model: &mut Model| model.saw(key, cache.peek(&key), &context);
        match random.below(14) {
            0 | 1 => {
                settled(&mut model);
                cache.insert(key, fresh);
                model.write(key, fresh, None);
            }
            2 => {
                let own = [Duration::ZERO, NANO, seconds(random.below(30)), Duration::MAX][random.below(4) as usize];
                settled(&mut model);
                cache.insert_with_ttl(key, fresh, own);
                model.write(key, fresh, Some(own));
            }
            3 => {
                settled(&mut model);
                let there = model.find(key).0.is_some();
                assert_eq!(cache.insert_if_absent(key, fresh).is_err(), there, "{context}");
                if !there {
                    model.write(key, fresh, None);
                }
            }
            4 | 5 => {
                let seen = cache.get(&key);
                model.saw(key, seen, &context);
                model.read(key);
            }
            6 => {
                let seen = cache.get_ref(&key).map(|entry| *entry);
                model.saw(key, seen, &context);
                model.read(key);
            }
            7 => {
                let seen = cache.with(&key, |value| *value);
                model.saw(key, seen, &context);
                model.read(key);
            }
            8 => settled(&mut model),
            9 => {
                let removed = cache.remove(&key);
                model.saw(key, removed, &context);
                model.entries.remove(&key);
            }
            10 => {
                let seen: BTreeMap<u64, u64> = cache.iter().map(|entry| (*entry.key(), *entry)).collect();
                (0..30).for_each(|key| model.saw(key, seen.get(&key).copied(), &context));
            }
            _ => {
                let step = [NANO, Duration::from_millis(random.below(3_000)), SECOND, seconds(random.below(12))];
                let mut step = step[random.below(4) as usize];
                // Now and then to the very edge of a deadline.
                if let Some(entry) = model
                    .entries
                    .get(&key)
                    .filter(|entry| entry.due > model.now && entry.due - model.now < seconds(1_000).as_nanos())
                {
                    step = Duration::from_nanos((entry.due - model.now) as u64) - NANO * (random.below(2) as u32);
                }
                hand.advance(step);
                model.now += step.as_nanos();
            }
        }
    }
    hand.advance(Duration::MAX);
    (0..30).for_each(|key| drop(cache.get(&key)));
    let stats = cache.stats();
    assert_eq!(told.lock().unwrap().len() as u64, stats.inserts - stats.len as u64, "seed {seed}");
    assert_eq!(stats.evicted, 0);
}

#[test]
fn the_cache_and_a_model_agree() {
    watched(|| (1..=60).for_each(|seed| against_the_model(seed, 1_000)));
}

#[test]
fn a_value_with_a_time_in_a_cache_without_is_dropped_by_plain_writes() {
    watched(|| {
        let (clock, time) = Clock::mock();
        let cache = Cache::builder().max_capacity(100).stripes(1).clock(clock).build().unwrap();
        // A plain write first: the stripe has nothing to see to until the timed value comes.
        cache.insert(0, 0);
        cache.insert_with_ttl(1, 1, Duration::from_secs(1));
        time.advance(Duration::from_secs(1));
        cache.insert(2, 2);
        assert_eq!((cache.stats().expired, cache.len()), (1, 2), "nobody asked for it, and it is gone");
    });
}
