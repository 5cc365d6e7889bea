//! Promise 5: order decides, not arrival. Whatever the order in which source-versioned writes and invalidations arrive, and however
//! often, they end in the same state. What is forgotten of absent keys has tests of its own: `forgotten.rs`.

mod common;

use std::sync::Mutex;
use std::time::Duration;

use brindle::Builder;
use brindle::Cache;
use brindle::Cause;
use brindle::Clock;
use brindle::Computed;
use brindle::EqualSource;
use brindle::Op;
use brindle::Ordering;

use common::Rng;
use common::together;
use common::watched;

/// A message from the source of truth.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Message {
    Write(u64),
    Invalidate(u64),
}

use Message::Invalidate;
use Message::Write;

fn deliver(cache: &Cache<u64, u64>, key: u64, message: Message) {
    match message {
        Write(source) => _ = cache.insert_at(key, source, source),
        Invalidate(source) => _ = cache.invalidate_at(&key, source),
    }
}

/// Below which source everything is dead, if something is.
fn dead_below(messages: &[Message]) -> Option<u64> {
    messages.iter().filter_map(|message| if let Invalidate(source) = message { Some(*source) } else { None }).max()
}

/// What is there when all messages have arrived: the newest write, unless what is below something newer was invalidated.
fn outcome(messages: &[Message]) -> Option<u64> {
    let newest = messages.iter().filter_map(|message| if let Write(source) = message { Some(*source) } else { None }).max();
    newest.filter(|newest| dead_below(messages).is_none_or(|dead| *newest >= dead))
}

/// Delivers a message after those that came `before`, none of which is forgotten, and looks at the answer.
fn deliver_as_news(cache: &Cache<u64, u64>, key: u64, message: Message, before: &[Message], equal: EqualSource) {
    let there = outcome(before);
    let (took_effect, news) = match message {
        Write(source) => {
            let newer = there.is_none_or(|there| source > there || (source == there && equal == EqualSource::Replace));
            (cache.insert_at(key, source, source).is_ok(), newer && dead_below(before).is_none_or(|dead| source >= dead))
        }
        Invalidate(source) => (cache.invalidate_at(&key, source), there.is_none_or(|there| there < source)),
    };
    assert_eq!(took_effect, news, "{message:?} after {before:?}, {equal:?}");
}

const EQUALS: [EqualSource; 2] = [EqualSource::Refuse, EqualSource::Replace];

fn builders() -> impl Iterator<Item = (EqualSource, Builder<u64, u64>)> {
    [Ordering::PerKey, Ordering::Global].into_iter().flat_map(|ordering| {
        EQUALS.map(|equal| (equal, Cache::builder().ordering(ordering).equal_source(equal).tombstone_capacity(1 << 20)))
    })
}

/// Every sequence of `length` of the messages, repetitions among them: so every permutation of every choice with duplicates.
fn sequences(messages: &[Message], length: u32) -> impl Iterator<Item = Vec<Message>> {
    let kinds = messages.len();
    (0..kinds.pow(length)).map(move |number| (0..length).map(|at| messages[number / kinds.pow(at) % kinds]).collect())
}

#[test]
fn every_permutation_ends_in_the_same_state() {
    watched(|| {
        let some = [Write(0), Write(5), Write(u64::MAX), Invalidate(0), Invalidate(5), Invalidate(u64::MAX)];
        let more = [Write(1), Write(2), Write(3), Invalidate(1), Invalidate(2)];
        for (equal, builder) in builders() {
            let cache = builder.build().unwrap();
            let all = (1..=5).flat_map(|length| sequences(&some, length)).chain(sequences(&more, 6));
            for (key, sequence) in all.enumerate() {
                let key = key as u64;
                for (at, message) in sequence.iter().enumerate() {
                    deliver_as_news(&cache, key, *message, &sequence[..at], equal);
                }
                assert_eq!(cache.get(&key), outcome(&sequence), "{sequence:?}");
                if let Some(entry) = cache.get_entry(&key) {
                    assert_eq!(entry.version.source(), entry.value);
                }
            }
        }
    });
}

fn evict_all(cache: &Cache<u64, u64>) {
    cache.set_capacity(0);
    assert!(cache.is_empty());
    cache.set_capacity(u64::MAX);
}

#[test]
fn evictions_between_change_nothing_but_cost_misses() {
    watched(|| {
        let messages = [Write(0), Write(1), Write(2), Invalidate(0), Invalidate(1)];
        for (_, builder) in builders() {
            let cache = builder.stripes(1).build().unwrap();
            for (key, sequence) in (1..=4).flat_map(|length| sequences(&messages, length)).enumerate() {
                let key = key as u64;
                for (at, message) in sequence.iter().enumerate() {
                    deliver(&cache, key, *message);
                    // A pattern of evictions for each sequence, so that all come about.
                    if (key + key / 16) >> at & 1 == 1 {
                        evict_all(&cache);
                    }
                    let allowed = outcome(&sequence[..=at]);
                    let there = cache.get(&key);
                    assert!(there.is_none() || there == allowed, "{there:?} after {:?}", &sequence[..=at]);
                }
                // All that arrives again, in another order, finds its place.
                sequence.iter().rev().for_each(|message| deliver(&cache, key, *message));
                assert_eq!(cache.get(&key), outcome(&sequence), "{sequence:?}");
            }
        }
    });
}

/// Messages for each key; with `tight`, sources that keys share.
fn traffic(keys: u64, rng: &mut Rng) -> Vec<(u64, Message)> {
    let one = |rng: &mut Rng| {
        let source = rng.below(40);
        if rng.below(3) == 0 { Invalidate(source) } else { Write(source) }
    };
    (0..keys * 20).map(|at| (at % keys, one(rng))).collect()
}

fn outcome_of(key: u64, traffic: &[(u64, Message)]) -> Option<u64> {
    outcome(&traffic.iter().filter(|(other, _)| *other == key).map(|(_, message)| *message).collect::<Vec<_>>())
}

#[test]
fn threads_that_deliver_in_any_order_agree() {
    watched(|| {
        const KEYS: u64 = 48;
        for (_, builder) in builders() {
            // Half of the rounds with room for a quarter of the keys, so that entries come and go.
            let cache = builder.max_capacity(KEYS).stripes(2).build().unwrap();
            for round in 0..6 {
                cache.set_capacity(if round % 2 == 0 { 1000 } else { KEYS / 4 });
                let messages = traffic(KEYS, &mut Rng::new(round));
                let shifted: Vec<_> = messages.iter().map(|(key, message)| (key + round * KEYS, *message)).collect();
                together(4, |thread| {
                    let mut mine = shifted.clone();
                    Rng::new(round * 10 + thread as u64).shuffle(&mut mine);
                    mine.iter().take(shifted.len() / 2).for_each(|(key, message)| deliver(&cache, *key, *message));
                });
                // What no thread had taken up comes last.
                cache.set_capacity(1000);
                shifted.iter().for_each(|(key, message)| deliver(&cache, *key, *message));
                for key in round * KEYS..(round + 1) * KEYS {
                    assert_eq!(cache.get(&key), outcome_of(key, &shifted), "key {key} of round {round}");
                }
            }
        }
    });
}

#[test]
fn global_order_needs_no_memory() {
    watched(|| {
        for tombstones in [0, 1, 3, 17] {
            let (clock, time) = Clock::mock();
            let cache = Cache::builder()
                .max_capacity(8)
                .stripes(if tombstones == 17 { 4 } else { 1 })
                .ordering(Ordering::Global)
                .tombstone_capacity(tombstones)
                .tombstone_ttl(Duration::from_secs(1))
                .clock(clock)
                .build()
                .unwrap();
            let mut rng = Rng::new(tombstones as u64);
            let mut arrived: Vec<Vec<Message>> = vec![Vec::new(); 24];
            for step in 0..6000_u64 {
                let key = rng.below(24);
                // Late by anything between nothing and for ever.
                let source = if rng.below(2) == 0 { step } else { rng.below(step + 1) };
                let message = if rng.below(3) == 0 { Invalidate(source) } else { Write(source) };
                deliver(&cache, key, message);
                arrived[key as usize].push(message);
                if rng.below(50) == 0 {
                    // What is there is dead, and its source with it.
                    for entry in cache.iter() {
                        arrived[*entry.key() as usize].push(Invalidate(*entry + 1));
                    }
                    cache.clear();
                }
                if rng.below(20) == 0 {
                    // Long after every tombstone's time.
                    time.advance(Duration::from_secs(rng.below(5)));
                }
                let looked_at = rng.below(24);
                let there = cache.get(&looked_at);
                let allowed = outcome(&arrived[looked_at as usize]);
                assert!(there.is_none() || there == allowed, "{there:?} instead of {allowed:?}, {tombstones} tombstones");
                assert!(cache.stats().tombstones <= tombstones.next_multiple_of(4).max(tombstones));
            }
            // Floors have come about: with fewer tombstones than keys, or by age.
            assert!(tombstones > 3 || cache.stats().tombstones_lost > 20);
            // And it goes on: what is newer than everything is taken.
            cache.set_capacity(1000);
            for key in 0..24 {
                assert!(cache.insert_at(key, 10_000 + key, 10_000 + key).is_ok());
                assert_eq!(cache.get(&key), Some(10_000 + key));
            }
        }
    });
}

#[test]
fn every_way_out_leaves_what_is_known() {
    watched(|| {
        let cache = |equal| {
            let (clock, time) = Clock::mock();
            let builder = Cache::<u64, u64>::builder().stripes(1).equal_source(equal).time_to_live(Duration::from_secs(5));
            (builder.clock(clock).build().unwrap(), time)
        };
        type Out = fn(&Cache<u64, u64>);
        let for_good: [(&str, Out); 6] = [
            ("removed", |cache| assert_eq!(cache.remove(&1), Some(5))),
            ("invalidated", |cache| assert!(cache.invalidate(&1))),
            ("cleared", |cache| cache.clear()),
            ("not retained", |cache| cache.retain(|_, _| false)),
            ("removed on condition", |cache| assert_eq!(cache.remove_if(&1, |_, _| true), Some(5))),
            ("computed away", |cache| assert!(matches!(cache.entry(1).and_compute_with(|_| Op::Remove), Computed::Removed(_)))),
        ];
        // What was taken out is dead at its source, unless the last of a source to arrive is to stay.
        for (equal, returns) in [(EqualSource::Refuse, false), (EqualSource::Replace, true)] {
            for (way, out) in for_good {
                let (cache, _time) = cache(equal);
                cache.insert_at(1, 5, 5).unwrap();
                out(&cache);
                assert!(cache.insert_at(1, 4, 4).is_err(), "{way}, {equal:?}");
                assert_eq!(cache.insert_at(1, 5, 5).is_ok(), returns, "{way}, {equal:?}");
                assert!(cache.insert_at(1, 6, 6).is_ok(), "{way}, {equal:?}");
            }
        }
        type WayOut = fn(&Cache<u64, u64>, &brindle::MockClock);
        let ways: [WayOut; 2] = [|cache, _| evict_all(cache), |_, time| time.advance(Duration::from_secs(5))];
        for (equal, leave) in EQUALS.into_iter().flat_map(|equal| ways.map(|way| (equal, way))) {
            // What has only left may come back; what was there before it may not.
            let (cache, time) = cache(equal);
            cache.insert_at(1, 5, 5).unwrap();
            leave(&cache, &time);
            assert!(cache.insert_at(1, 4, 4).is_err(), "{equal:?}");
            assert!(cache.insert_at(1, 5, 5).is_ok(), "{equal:?}");
            // What a plain write replaced may not come back either, though it has the same source.
            let plain = cache.insert(1, 55);
            assert_eq!(plain.source(), 5);
            leave(&cache, &time);
            assert!(cache.insert_at(1, 4, 4).is_err(), "{equal:?}");
            if equal == EqualSource::Refuse {
                assert!(cache.insert_at(1, 5, 5).is_err());
            }
            assert!(cache.insert(1, 56) > plain);
            assert!(cache.insert_at(1, 5, 5).is_err() && cache.insert_at(1, 6, 6).is_ok(), "{equal:?}");
        }
    });
}

#[test]
fn too_heavy_a_value_leaves_its_source_behind() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::builder().max_capacity(10).weigher(|_, value| *value).build().unwrap();
        cache.insert_at(1, 5, 5).unwrap();
        assert_eq!(cache.insert_at(1, 11, 6).unwrap().source(), 6);
        assert_eq!(cache.get(&1), None);
        assert!(cache.insert_at(1, 5, 5).is_err());
        assert!(cache.insert_at(1, 7, 6).is_ok(), "the newest state itself may come back, lighter");
    });
}

#[test]
fn equal_sources_go_by_choice_except_to_invalidations() {
    watched(|| {
        for (equal, replaces) in [(EqualSource::Refuse, false), (EqualSource::Replace, true)] {
            let cache = Cache::builder().equal_source(equal).build().unwrap();
            cache.insert_at(1, "first", 5).unwrap();
            assert_eq!(cache.insert_at(1, "second", 5).is_ok(), replaces);
            assert_eq!(cache.get(&1), Some(if replaces { "second" } else { "first" }));
            assert!(!cache.invalidate_at(&1, 5), "it is about what is below its source");
            assert_eq!(cache.get(&1), Some(if replaces { "second" } else { "first" }));
            assert!(cache.invalidate_at(&1, 6));
            assert!(cache.get(&1).is_none() && cache.insert_at(1, "late", 5).is_err());
            assert!(cache.insert_at(1, "third", 6).is_ok());
            // The other way round: the state at its source is welcome, and then the choice is as ever.
            assert!(cache.invalidate_at(&2, 5));
            assert!(cache.insert_at(2, "late", 4).is_err() && cache.insert_at(2, "first", 5).is_ok());
            assert_eq!(cache.insert_at(2, "second", 5).is_ok(), replaces);
            // What a removal took out is not made welcome by an invalidation at its source, nor does one below it help.
            assert!(cache.invalidate(&2) && cache.invalidate_at(&2, 5) && cache.invalidate_at(&2, 3));
            assert_eq!(cache.insert_at(2, "third", 5).is_ok(), replaces);
            // A write without a source was later than the state whose source it keeps.
            cache.insert_at(3, "first", 5).unwrap();
            cache.insert(3, "plain");
            assert!(cache.insert_at(3, "first", 5).is_err());
            assert_eq!(cache.get(&3), Some("plain"));
        }
    });
}

#[test]
fn plain_writes_keep_the_highest_source() {
    watched(|| {
        let cache = Cache::<u64, u64>::builder().stripes(1).build().unwrap();
        assert_eq!(cache.insert(1, 0).source(), 0);
        let mut last = cache.insert_at(1, 1, 7).unwrap();
        let mut rises = |version: brindle::Version, source| {
            assert!(version > last && version.source() == source, "{version} after {last}");
            last = version;
        };
        rises(cache.insert(1, 2), 7);
        rises(cache.compare_and_swap(1, cache.get_entry(&1).unwrap().version, 3).unwrap(), 7);
        cache.invalidate(&1);
        rises(cache.insert(1, 4), 7);
        assert!(cache.invalidate_at(&1, 9));
        rises(cache.insert(1, 5), 9);
        evict_all(&cache);
        rises(cache.insert_with_ttl(1, 6, Duration::from_secs(100)), 9);
        cache.clear();
        rises(cache.insert_if_absent(1, 7).unwrap(), 9);
        rises(cache.insert_at(1, 8, u64::MAX).unwrap(), u64::MAX);
        rises(cache.insert(1, 9), u64::MAX);
        assert!(cache.insert_at(1, 10, u64::MAX).is_err());
        assert!(!cache.invalidate_at(&1, u64::MAX), "nothing is above it");
        assert!(cache.invalidate(&1) && cache.invalidate_at(&1, u64::MAX));
        rises(cache.insert(1, 11), u64::MAX);
    });
}

#[test]
fn the_lowest_source_is_a_source() {
    watched(|| {
        let cache = Cache::<u64, u64>::builder().stripes(1).build().unwrap();
        assert!(cache.insert_at(1, 0, 0).is_ok());
        assert!(cache.insert_at(1, 0, 0).is_err());
        assert!(cache.invalidate(&1));
        assert!(cache.insert_at(1, 0, 0).is_err());
        assert!(cache.insert_at(1, 1, 1).is_ok());
        assert!(cache.invalidate_at(&2, 0), "nothing is below it");
        assert!(cache.insert_at(2, 0, 0).is_ok());
        assert!(cache.invalidate_at(&2, 1));
        assert!(cache.insert_at(2, 0, 0).is_err() && cache.insert_at(2, 1, 1).is_ok());
        cache.insert(3, 30);
        assert!(cache.insert_at(3, 0, 0).is_err(), "the plain write was first, and nothing says that this is news");
        assert!(!cache.invalidate_at(&3, 0));
        assert_eq!(cache.get(&3), Some(30));
        assert!(cache.invalidate_at(&3, 1));
        assert_eq!(cache.get(&3), None);
    });
}

#[test]
fn values_may_carry_their_source() {
    watched(|| {
        let cache: Cache<u64, (u64, &str)> = Cache::builder().versioned_by(|_, value: &(u64, &str)| value.0).build().unwrap();
        let seven = cache.insert(1, (7, "seven"));
        assert_eq!(seven.source(), 7);
        assert_eq!(cache.insert(1, (6, "late")), seven, "refused, and told what is known");
        assert_eq!(cache.try_insert(1, (7, "again")).unwrap(), seven);
        assert_eq!(cache.insert_with_ttl(1, (5, "later"), Duration::MAX), seven);
        assert_eq!((cache.get(&1), cache.stats().refused_stale), (Some((7, "seven")), 3));
        let conflict = cache.compare_and_swap(1, seven, (7, "swap")).unwrap_err();
        assert_eq!((conflict.value.1, conflict.current.unwrap().version()), ("swap", seven));
        let computed = cache.entry(1).and_compute_with(|_| Op::Put((3, "computed")));
        assert!(matches!(computed, Computed::Superseded((3, "computed"), known) if known == seven));
        let eight = cache.compare_and_swap(1, seven, (8, "eight")).unwrap();
        assert_eq!(eight.source(), 8);
        assert!(cache.invalidate(&1));
        assert_eq!(cache.insert(1, (8, "back")).source(), 8);
        assert_eq!(cache.get(&1), None, "the removal ended it");
        assert!(cache.insert_if_absent(1, (8, "back")).unwrap_err().current.is_none());
        assert_eq!(cache.insert(1, (9, "nine")).source(), 9);
        assert_eq!(cache.get(&1), Some((9, "nine")));
    });
}

#[test]
fn an_invalidation_says_whether_it_took_effect() {
    watched(|| {
        static TOLD: Mutex<Vec<(u64, u64, Cause)>> = Mutex::new(Vec::new());
        let listener = |removed: brindle::Removed<u64, u64>| {
            TOLD.lock().unwrap().push((*removed.key(), *removed.value(), removed.cause()));
        };
        let cache = Cache::builder().removal_listener(listener).build().unwrap();
        cache.insert_at(1, 7, 7).unwrap();
        assert!(!cache.invalidate_at(&1, 6));
        assert_eq!((cache.get(&1), cache.stats().refused_stale), (Some(7), 1));
        assert!(!cache.invalidate_at(&1, 7), "what is there is as new");
        assert_eq!((cache.get(&1), cache.len()), (Some(7), 1));
        assert!(cache.invalidate_at(&1, 8));
        assert_eq!((cache.get(&1), cache.len()), (None, 0));
        assert!(cache.invalidate_at(&1, 3), "absent: what was said holds anyway");
        assert!(cache.insert_at(1, 7, 7).is_err(), "and the lower invalidation took nothing back");
        assert!(cache.insert_at(1, 8, 8).is_ok(), "the state that was announced");
        assert_eq!(*TOLD.lock().unwrap(), [(1, 7, Cause::Invalidated)]);
    });
}

#[test]
fn an_invalidation_is_counted_as_late_if_its_source_is_older() {
    watched(|| {
        let cache = Cache::<u64, u64>::new(100);
        cache.insert_at(1, 5, 5).unwrap();
        assert!(!cache.invalidate_at(&1, 5), "of what is older than 5 nothing is there");
        assert_eq!(cache.stats().refused_stale, 0);
        assert!(!cache.invalidate_at(&1, 4));
        assert_eq!(cache.stats().refused_stale, 1);
    });
}
