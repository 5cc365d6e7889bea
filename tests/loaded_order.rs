//! What a loader says of its value: its source version decides whether it is stored, without being held to floors, and its time to live how long
//! it is served.

mod common;
#[path = "fences/faces.rs"]
mod faces;

use std::time::Duration;

use brindle::Builder;
use brindle::Cache;
use brindle::Clock;
use brindle::EqualSource;
use brindle::Expiry;
use brindle::Leased;
use brindle::Loaded;
use brindle::MockClock;
use brindle::Ordering;
use brindle::WhyUnfilled;

use common::executor::block_on;
use common::watched;
use faces::Answer;
use faces::Broken;
use faces::End;
use faces::Face;
use faces::Held;
use faces::On;
use faces::call;
use faces::future;
use faces::ways;

type Tried = Cache<u64, u64>;
type Bring = fn(&Tried, Loaded<u64>) -> Answer<u64>;

const KEY: u64 = 1;
const SECOND: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);

fn fill(leased: Leased<u64, u64>, loaded: Loaded<u64>) -> Answer<u64> {
    match leased {
        Leased::Lease(lease) => {
            let value = loaded.value;
            lease
                .fill_loaded(loaded)
                .map_or_else(|unfilled| Answer::Unfilled(unfilled.value, unfilled.why), |_| Answer::Value(value))
        }
        Leased::Value(value) => Answer::Value(value),
        _ => Answer::Reentrant,
    }
}

fn answer<E>(result: Result<u64, E>) -> Answer<u64> {
    result.map_or(Answer::Failed, Answer::Value)
}

/// The loads that take the word of their loader.
const BRINGS: [(&str, Bring); 6] = [
    ("reload", |cache, loaded| answer(cache.reload(&KEY, || Ok::<_, Broken>(loaded)))),
    ("reload_async", |cache, loaded| answer(block_on(cache.reload_async(&KEY, async { Ok::<_, Broken>(loaded) })))),
    ("load", |cache, loaded| answer(cache.load(&KEY, || Ok::<_, Broken>(loaded)))),
    ("load_async", |cache, loaded| answer(block_on(cache.load_async(&KEY, async { Ok::<_, Broken>(loaded) })))),
    ("fill_loaded", |cache, loaded| fill(cache.get_or_lease(&KEY, None), loaded)),
    ("fill_loaded of a task", |cache, loaded| fill(block_on(cache.get_or_lease_async(&KEY)), loaded)),
];

/// Of those, the ones that load over a resident entry.
const RELOADS: usize = 2;

fn timed() -> (Builder<u64, u64>, MockClock) {
    let (clock, hand) = Clock::mock();
    (Cache::builder().max_capacity(10).stripes(1).clock(clock), hand)
}

fn at_9(cache: &Tried) {
    cache.insert_at(KEY, 900, 9).unwrap();
}

type Past = fn(&Tried, &MockClock);

/// How a key came to be known at source 9, and whether it is resident.
const PASTS: [(&str, bool, Past); 7] = [
    ("resident", true, |cache, _| at_9(cache)),
    ("invalidated", false, |cache, _| assert!(cache.invalidate_at(&KEY, 9))),
    ("removed", false, |cache, _| {
        at_9(cache);
        assert!(cache.invalidate(&KEY));
    }),
    ("evicted", false, |cache, _| {
        at_9(cache);
        cache.set_capacity(0);
        cache.set_capacity(10);
    }),
    ("cleared", false, |cache, _| {
        at_9(cache);
        cache.clear();
    }),
    ("expired", false, |cache, hand| {
        at_9(cache);
        hand.advance(SECOND);
        assert!(!cache.contains_key(&KEY));
    }),
    ("expired and dropped", false, |cache, hand| {
        at_9(cache);
        hand.advance(SECOND);
        (100..200).for_each(|other| _ = cache.insert(other, other));
    }),
];

#[test]
fn a_result_older_than_what_is_known_is_not_stored() {
    watched(|| {
        for (past, resident, make) in PASTS {
            for (name, bring) in BRINGS.into_iter().take(if resident { RELOADS } else { BRINGS.len() }) {
                for equal in [EqualSource::Refuse, EqualSource::Replace] {
                    let case = format!("{name} of what is {past}");
                    let (builder, hand) = timed();
                    let cache = builder.time_to_live(SECOND).equal_source(equal).build().unwrap();
                    make(&cache, &hand);
                    let answer = bring(&cache, Loaded::new(800).at(8));
                    match answer {
                        Answer::Unfilled(value, WhyUnfilled::Older(known)) => {
                            assert_eq!((value, known.source()), (800, 9), "{case}")
                        }
                        // No load that starts after a newer state was seen answers with an older one, where there is a newer.
                        answer => assert_eq!(answer, Answer::Value(if resident { 900 } else { 800 }), "{case}"),
                    }
                    assert_eq!(cache.get(&KEY), resident.then_some(900), "{case}");
                    let stats = cache.stats();
                    assert_eq!((stats.loads_older, stats.fenced, stats.flights), (1, 0, 0), "{case}");
                }
            }
        }
    });
}

#[test]
fn a_result_as_new_or_newer_is_stored() {
    watched(|| {
        for (past, resident, make) in PASTS {
            for (name, bring) in BRINGS.into_iter().take(if resident { RELOADS } else { BRINGS.len() }) {
                for equal in [EqualSource::Refuse, EqualSource::Replace] {
                    // What says nothing of its source keeps the highest that is known.
                    for (source, kept) in [(Some(9), 9), (Some(10), 10), (Some(u64::MAX), u64::MAX), (None, 9)] {
                        let case = format!("{name} at {source:?} of what is {past}, {equal:?}");
                        let (builder, hand) = timed();
                        let cache = builder.time_to_live(SECOND).equal_source(equal).build().unwrap();
                        make(&cache, &hand);
                        let loaded = source.map_or(Loaded::new(1000), |source| Loaded::new(1000).at(source));
                        assert_eq!(bring(&cache, loaded), Answer::Value(1000), "{case}");
                        let entry = cache.get_entry(&KEY).map(|entry| (entry.value, entry.version.source()));
                        assert_eq!(entry, Some((1000, kept)), "{case}");
                        assert_eq!(cache.stats().loads_older, 0, "{case}");
                    }
                }
            }
        }
    });
}

/// The source of what was loaded counts from then on like that of any write.
#[test]
fn what_was_loaded_at_a_source_keeps_older_writes_out() {
    watched(|| {
        for (name, bring) in BRINGS {
            let cache = Cache::builder().max_capacity(10).build().unwrap();
            bring(&cache, Loaded::new(900).at(9));
            assert!(cache.insert_at(KEY, 800, 8).is_err(), "{name}");
            assert!(!cache.invalidate_at(&KEY, 9), "{name}");
            cache.invalidate(&KEY);
            assert!(cache.insert_at(KEY, 800, 8).is_err(), "{name}");
            assert!(cache.insert_at(KEY, 1000, 10).is_ok(), "{name}");
        }
    });
}

/// Writes that come while the load runs fence it, whatever the sources say.
#[test]
fn a_newer_source_does_not_help_a_fenced_load() {
    watched(|| {
        let writes: [fn(&Tried); 4] = [
            |cache| _ = cache.insert_at(KEY, 800, 8).unwrap(),
            |cache| _ = cache.invalidate_at(&KEY, 8),
            |cache| _ = cache.insert(KEY, 800),
            |cache| _ = cache.invalidate(&KEY),
        ];
        for write in writes {
            let cache = Cache::new(10);
            let load = || {
                write(&cache);
                Ok::<_, Broken>(Loaded::new(900).at(9))
            };
            cache.load(&KEY, load).unwrap();
            assert_ne!(cache.get(&KEY), Some(900));
            assert_eq!((cache.stats().fenced, cache.stats().loads_older), (1, 0));
        }
    });
}

#[test]
fn loads_are_not_held_to_floors() {
    watched(|| {
        for (ordering, tombstones) in [(Ordering::Global, 0), (Ordering::Global, 1), (Ordering::PerKey, 0), (Ordering::PerKey, 1)]
        {
            for (name, bring) in BRINGS {
                for source in [None, Some(0), Some(5)] {
                    let case = format!("{name} at {source:?} with {tombstones} tombstones, {ordering:?}");
                    let builder = Cache::builder().max_capacity(10).stripes(1).ordering(ordering);
                    let cache = builder.tombstone_capacity(tombstones).build().unwrap();
                    // The first of these tombstones is lost, the key's own among them; a floor, or a gap, takes its place.
                    [KEY, 50, 51].iter().for_each(|dead| assert!(cache.invalidate_at(dead, 100)));
                    assert!(cache.insert_at(KEY, 7, 7).is_err(), "{case}");
                    let loaded = source.map_or(Loaded::new(500), |source| Loaded::new(500).at(source));
                    assert_eq!(bring(&cache, loaded), Answer::Value(500), "{case}");
                    let entry = cache.get_entry(&KEY).expect(&case);
                    assert_eq!(entry.value, 500, "{case}");
                    assert!(source.is_none_or(|source| entry.version.source() == source), "{case}");
                    assert_eq!(cache.stats().loads_older, 0, "{case}");
                    // And the floor, or the gap, stays for writes from outside.
                    assert!(cache.insert_at(2, 7, 7).is_err(), "{case}");
                    cache.set_capacity(0);
                    cache.set_capacity(10);
                    assert!(cache.insert_at(KEY, 7, 7).is_err(), "{case}");
                }
            }
        }
    });
}

/// Every fill evicts another entry with a source, whose tombstone finds no room. (What is filled may be evicted in its turn, as after `insert`.)
#[test]
fn a_full_tombstone_budget_never_keeps_loads_out() {
    watched(|| {
        for ordering in [Ordering::PerKey, Ordering::Global] {
            for tombstones in [0, 1, 3] {
                let builder = Cache::builder().max_capacity(4).stripes(1).ordering(ordering);
                let cache = builder.tombstone_capacity(tombstones).build().unwrap();
                let mut stayed = 0;
                for key in 0..400_u64 {
                    // Sources that rise and fall over the keys.
                    let source = 1 + key * 37 % 100;
                    let loaded = cache.load(&key, || Ok::<_, Broken>(Loaded::new(key).at(source)));
                    assert_eq!(loaded.ok(), Some(key), "{ordering:?}, {tombstones}");
                    assert_eq!(cache.get_with(&(key + 1000), || 7), 7);
                    assert_eq!(cache.stats().inserts, key * 2 + 2, "{ordering:?}, {tombstones}, {key}");
                    stayed += u64::from(cache.contains_key(&key)) + u64::from(cache.contains_key(&(key + 1000)));
                }
                assert!(stayed > 200, "{stayed}: {ordering:?}, {tombstones}");
                assert_eq!((cache.stats().loads_older, cache.stats().fenced), (0, 0));
            }
        }
    });
}

#[test]
fn where_values_have_versions_every_load_is_judged_by_them() {
    watched(|| {
        // A value of 905 is of source 9.
        let cached = || Cache::builder().max_capacity(10).versioned_by(|_, value: &u64| value / 100).build().unwrap();
        for way in ways() {
            let load = |cache: &Tried, value| match way.on {
                On::Thread => call(cache, way.face, &KEY, || Ok(value)),
                On::Task => block_on(future(cache, way.face, KEY, async move { Ok(value) })),
            };
            let cache = cached();
            assert_eq!(load(&cache, 905), Answer::Value(905), "{way}");
            assert_eq!(cache.get_entry(&KEY).map(|entry| entry.version.source()), Some(9), "{way}");
            if way.reloads() {
                assert_eq!(load(&cache, 805), Answer::Value(905), "{way}: an older one than the entry");
                assert_eq!((cache.get(&KEY), cache.stats().loads_older), (Some(905), 1), "{way}");
                assert_eq!(load(&cache, 906), Answer::Value(906), "{way}: an equal one");
                assert_eq!(cache.get(&KEY), Some(906), "{way}");
                assert_eq!(load(&cache, 1005), Answer::Value(1005), "{way}: a newer one");
                assert_eq!(cache.get(&KEY), Some(1005), "{way}");
            }
            let cache = cached();
            assert!(cache.invalidate_at(&KEY, 9));
            let answer = load(&cache, 805);
            let older = matches!(answer, Answer::Value(805) | Answer::Unfilled(805, WhyUnfilled::Older(_)));
            assert!(older && (way.face == Face::Lease) == (answer != Answer::Value(805)), "{way}: {answer:?}");
            assert_eq!((cache.get(&KEY), cache.stats().loads_older), (None, 1), "{way}");
            assert_eq!(load(&cache, 905), Answer::Value(905), "{way}: as new as the tombstone");
            assert_eq!(cache.get(&KEY), Some(905), "{way}");
        }
    });
}

#[test]
fn what_the_loader_says_of_the_source_goes_before_what_the_value_says() {
    watched(|| {
        for (name, bring) in BRINGS {
            let cache = Cache::builder().versioned_by(|_, value: &u64| *value).build().unwrap();
            bring(&cache, Loaded::new(3).at(9));
            assert_eq!(cache.get_entry(&KEY).map(|entry| entry.version.source()), Some(9), "{name}");
        }
    });
}

struct Always(Duration);

impl Expiry<u64, u64> for Always {
    fn after_create(&self, _: &u64, _: &u64) -> Option<Duration> {
        Some(self.0)
    }
}

#[test]
fn what_the_loader_says_of_the_time_goes_before_what_the_cache_says() {
    watched(|| {
        for (name, bring) in BRINGS {
            for (own, lives) in [(None, 10), (Some(3), 3), (Some(30), 30)] {
                for by_entry in [false, true] {
                    let (builder, hand) = timed();
                    let builder =
                        if by_entry { builder.expire_after(Always(SECOND * 10)) } else { builder.time_to_live(SECOND * 10) };
                    let cache = builder.build().unwrap();
                    let loaded = own.map_or(Loaded::new(1), |own| Loaded::new(1).with_ttl(SECOND * own));
                    assert_eq!(bring(&cache, loaded), Answer::Value(1), "{name}");
                    hand.advance(SECOND * lives - NANO);
                    assert_eq!(cache.peek(&KEY), Some(1), "{name} with {own:?}, {by_entry}");
                    hand.advance(NANO);
                    assert_eq!(cache.peek(&KEY), None, "{name} with {own:?}, {by_entry}");
                    // And then it is loaded again.
                    assert_eq!(bring(&cache, Loaded::new(2)), Answer::Value(2), "{name} with {own:?}, {by_entry}");
                    assert_eq!(cache.peek(&KEY), Some(2));
                }
            }
            let (builder, hand) = timed();
            let cache = builder.time_to_live(SECOND).build().unwrap();
            bring(&cache, Loaded::new(1).with_ttl(Duration::MAX));
            hand.advance(SECOND * 1_000_000);
            assert_eq!(cache.peek(&KEY), Some(1), "{name}");
        }
    });
}

#[test]
fn a_value_that_may_not_be_kept_is_given_to_those_who_asked() {
    watched(|| {
        for (name, bring) in BRINGS {
            let (builder, _hand) = timed();
            let cache = builder.build().unwrap();
            assert_eq!(bring(&cache, Loaded::new(1).with_ttl(Duration::ZERO)), Answer::Value(1), "{name}");
            assert_eq!((cache.peek(&KEY), cache.stats().flights), (None, 0), "{name}");
        }
        // Those who wait are given it too, whatever it is that keeps it out.
        let no_time = || Cache::builder().time_to_live(Duration::ZERO).build().unwrap();
        let no_room = || Cache::builder().max_capacity(0).build().unwrap();
        let heavy = || Cache::builder().max_capacity(5).weigher(|_, _| 6).build().unwrap();
        let tried: [(&str, &dyn Fn() -> Tried); 3] = [("no time", &no_time), ("no room", &no_room), ("heavy", &heavy)];
        for (name, make) in tried {
            for (leader, waiting) in
                ways().into_iter().flat_map(|leader| ways().into_iter().map(move |waiting| (leader, waiting)))
            {
                let case = format!("{name}: {leader}, joined by {waiting}");
                let cache = make();
                let open = Held::open(&cache, leader, KEY);
                let waiter = Held::join(&cache, waiting, KEY);
                assert_eq!(open.end(End::Value(1)), Answer::Value(1), "{case}");
                assert_eq!(waiter.answer(), Answer::Value(1), "{case}");
                assert_eq!((cache.peek(&KEY), cache.len(), cache.stats().flights), (None, 0, 0), "{case}");
            }
        }
    });
}

/// With one order of sources over all keys, the same loads, writes and invalidations end in nothing older than what was invalidated.
#[test]
fn late_results_of_loads_never_pass_an_invalidation_that_is_remembered() {
    watched(|| {
        for ordering in [Ordering::PerKey, Ordering::Global] {
            let cache: Tried = Cache::builder().max_capacity(50).stripes(2).ordering(ordering).build().unwrap();
            let mut rng = common::Rng::new(3);
            let mut dead = [0_u64; 20];
            for step in 1..5000_u64 {
                let key = rng.below(20);
                let source = rng.below(step) + 1;
                match rng.below(4) {
                    0 if cache.invalidate_at(&key, source) => dead[key as usize] = dead[key as usize].max(source),
                    0 => {}
                    1 => _ = cache.insert_at(key, source, source),
                    2 => _ = cache.reload(&key, || Ok::<_, Broken>(Loaded::new(source).at(source))),
                    _ => _ = cache.load(&key, || Ok::<_, Broken>(Loaded::new(source).at(source))),
                }
                let there = cache.get(&key);
                assert!(there.is_none_or(|there| there >= dead[key as usize]), "{there:?} after {}", dead[key as usize]);
            }
        }
    });
}

#[test]
fn what_was_loaded_before_anything_was_forgotten_speaks_for_itself() {
    watched(|| {
        let (clock, _hand) = Clock::mock();
        let builder = Cache::builder().stripes(1).tombstone_capacity(2).clock(clock);
        let cache: Cache<u64, u64> = builder.build().unwrap();
        cache.load(&1, || Ok::<_, Broken>(Loaded::new(50).at(5))).unwrap();
        for key in 2..=4 {
            cache.invalidate_at(&key, 9);
        }
        assert!(cache.insert_at(9, 9, 9).is_err(), "a tombstone too many: the stripe is forgetful");
        assert!(cache.insert_at(1, 40, 4).is_err());
        assert!(cache.insert_at(1, 60, 6).is_ok(), "it is newer than what is there");
    });
}
