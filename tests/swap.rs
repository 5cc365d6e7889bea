//! Promise 4: of any number of swaps that expect the same version one wins, the losers get the current entry; no update is lost.

mod common;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Barrier;

use brindle::Cache;
use brindle::Computed;
use brindle::Expected;
use brindle::Op;
use brindle::Version;

use common::Flat;
use common::Rng;
use common::dither;
use common::together;
use common::watched;

const THREADS: usize = 4;

/// A value that knows who wrote it, slow to copy.
#[derive(PartialEq, Debug)]
struct Stamp {
    writer: usize,
    count: u64,
}

impl Clone for Stamp {
    fn clone(&self) -> Self {
        dither();
        Stamp { ..*self }
    }
}

/// Every thread swaps from `expected`, at once; exactly one may win. Gives the version that won.
fn race(cache: &Cache<u64, Stamp>, key: u64, expected: Expected, round: u64) -> Version {
    let outcomes = together(THREADS, |writer| cache.compare_and_swap(key, expected, Stamp { writer, count: round }));
    let won: Vec<(usize, Version)> =
        outcomes.iter().enumerate().filter_map(|(writer, outcome)| Some((writer, *outcome.as_ref().ok()?))).collect();
    let &[(winner, version)] = &won[..] else { panic!("{} winners in round {round}", won.len()) };
    for (loser, outcome) in outcomes.into_iter().enumerate().filter(|(writer, _)| *writer != winner) {
        let conflict = outcome.unwrap_err();
        assert_eq!((conflict.key, conflict.value), (key, Stamp { writer: loser, count: round }), "the loser's own pair");
        let current = conflict.current.expect("the winner's entry");
        assert_eq!((current.version(), current.value()), (version, &Stamp { writer: winner, count: round }));
    }
    let entry = cache.get_entry(&key).unwrap();
    assert_eq!((entry.version, entry.value.writer), (version, winner));
    version
}

#[test]
fn one_of_many_swaps_wins() {
    watched(|| {
        let cache = Cache::builder().max_capacity(1000).stripes(2).build().unwrap();
        let mut expected = Expected::Absent;
        for round in 0..400 {
            // Sometimes the key is gone in between: then its absence is what all expect.
            if round % 5 == 4 {
                cache.invalidate(&7);
                expected = Expected::Absent;
            }
            expected = race(&cache, 7, expected, round).into();
        }
    });
}

#[test]
fn a_swap_wants_just_the_version_that_it_read() {
    watched(|| {
        let cache = Cache::new(100);
        let first = cache.compare_and_swap("k", None, 1).unwrap();
        assert!(cache.compare_and_swap("k", Expected::Absent, 0).is_err());
        let second = cache.compare_and_swap("k", first, 2).unwrap();
        assert!(second > first);
        let conflict = cache.compare_and_swap("k", first, 9).unwrap_err();
        assert_eq!((conflict.key, conflict.value, *conflict.current.as_deref().unwrap()), ("k", 9, 2));
        assert_eq!(conflict.current.unwrap().version(), second);
        let missing = cache.compare_and_swap("other", first, 9).unwrap_err();
        assert!(missing.current.is_none());
        assert!(!cache.contains_key("other"));
        assert_eq!(cache.insert_if_absent("k", 5).unwrap_err().value, 5);
        assert!(cache.insert_if_absent("other", 5).is_ok());
    });
}

#[test]
fn the_same_value_back_again_is_another_state() {
    watched(|| {
        type Gone = fn(&Cache<u64, u64>);
        let ways: [(&str, Gone); 6] = [
            ("removed", |cache| assert_eq!(cache.remove(&1), Some(5))),
            ("invalidated", |cache| assert!(cache.invalidate(&1))),
            ("evicted", |cache| {
                cache.set_capacity(0);
                cache.set_capacity(10);
            }),
            ("cleared", |cache| cache.clear()),
            ("retained", |cache| cache.retain(|_, _| false)),
            ("replaced", |cache| _ = cache.insert(1, 6)),
        ];
        let cache: Cache<u64, u64> = Cache::builder().max_capacity(10).stripes(1).build().unwrap();
        let mut seen = vec![cache.insert(1, 5)];
        for (way, gone) in ways {
            let old = *seen.last().unwrap();
            gone(&cache);
            seen.push(cache.insert(1, 5));
            assert!(cache.compare_and_swap(1, old, 9).is_err(), "{way}: a swap took a later state for the one it read");
            assert_eq!(cache.get(&1), Some(5));
        }
        assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
    });
}

fn add_by_swap(cache: &Cache<u64, Stamp>, key: u64, writer: usize) {
    let mut current = cache.get_entry(&key).map(|entry| (entry.version, entry.value));
    loop {
        let (version, count) = current.map_or((None, 0), |(version, stamp)| (Some(version), stamp.count));
        match cache.compare_and_swap(key, version, Stamp { writer, count: count + 1 }) {
            Ok(_) => return,
            Err(conflict) => current = conflict.current.map(|entry| (entry.version(), entry.value().clone())),
        }
    }
}

fn add_by_compute(cache: &Cache<u64, Stamp>, key: u64, writer: usize) {
    let computed = cache.entry(key).and_compute_with(|entry| {
        dither();
        Op::Put(Stamp { writer, count: entry.map_or(0, |entry| entry.count) + 1 })
    });
    assert!(matches!(computed, Computed::Inserted(_) | Computed::Replaced(..)));
}

#[test]
fn counters_lose_no_update() {
    watched(|| {
        const EACH: u64 = 1500;
        let cache: Cache<u64, Stamp> = Cache::builder().max_capacity(1000).stripes(1).build().unwrap();
        together(THREADS, |writer| {
            for at in 0..EACH {
                let key = at % 3;
                if (at + writer as u64).is_multiple_of(2) {
                    add_by_swap(&cache, key, writer)
                } else {
                    add_by_compute(&cache, key, writer)
                }
            }
        });
        let total: u64 = (0..3).map(|key| cache.get(&key).unwrap().count).sum();
        assert_eq!(total, EACH * THREADS as u64);
    });
}

/// What a thread did to a key: the version it wrote, and the one it knew that it took the place of.
enum Deed {
    Wrote(Version),
    Took { over: Option<Version>, wrote: Version },
    Removed(Version),
}

fn random_deed(cache: &Cache<u64, u64>, key: u64, rng: &mut Rng) -> Option<Deed> {
    match rng.below(12) {
        0 => Some(Deed::Wrote(cache.insert(key, rng.next()))),
        1 => {
            cache.invalidate(&key);
            None
        }
        2 => {
            cache.insert(1000 + rng.below(50), 0);
            None
        }
        3..7 => match cache.entry(key).and_compute_with(|entry| match entry {
            Some(entry) if **entry % 7 == 0 => Op::Remove,
            entry => {
                dither();
                Op::Put(entry.map_or(1, |value| value.wrapping_mul(3) + 1))
            }
        }) {
            Computed::Inserted(wrote) => Some(Deed::Took { over: None, wrote }),
            Computed::Replaced(wrote, old) => Some(Deed::Took { over: Some(old.version()), wrote }),
            Computed::Removed(old) => Some(Deed::Removed(old.version())),
            _ => None,
        },
        _ => {
            let over = cache.get_entry(&key).map(|entry| entry.version);
            dither();
            let wrote = cache.compare_and_swap(key, over, rng.next()).ok()?;
            Some(Deed::Took { over, wrote })
        }
    }
}

/// Runs swaps, computations, plain writes, removals and evictions, and then looks at the versions: each was written once, each was taken
/// over once at most, and nothing was written between a version and what took its place.
fn assert_swaps_are_atomic(cache: &Cache<u64, u64>, keys: u64) {
    let deeds = together(THREADS, |thread| {
        let mut rng = Rng::new(thread as u64 + 1);
        let mut deeds = Vec::new();
        for _ in 0..3000 {
            let key = rng.below(keys);
            deeds.extend(random_deed(cache, key, &mut rng).map(|deed| (key, deed)));
        }
        deeds
    });
    for key in 0..keys {
        let mine = || deeds.iter().flatten().filter(|(other, _)| *other == key).map(|(_, deed)| deed);
        let mut written = BTreeMap::new();
        for deed in mine() {
            if let Deed::Wrote(version) | Deed::Took { wrote: version, .. } = deed {
                assert!(written.insert(*version, ()).is_none(), "version {version} was given twice");
            }
        }
        let mut ended = BTreeMap::new();
        let mut taken = 0;
        for deed in mine() {
            let (Deed::Removed(over) | Deed::Took { over: Some(over), .. }) = deed else { continue };
            assert!(written.contains_key(over), "version {over} was never written");
            assert!(ended.insert(*over, ()).is_none(), "version {over} was taken over twice: an update is lost");
            taken += 1;
            if let Deed::Took { wrote, .. } = deed {
                let next = written.range(over..).nth(1).map(|(version, ())| *version);
                assert_eq!(next, Some(*wrote), "something was written between {over} and {wrote}");
            }
        }
        assert!(taken > 50, "too few swaps won to tell anything: {taken}");
    }
}

#[test]
fn swaps_among_other_writes_are_atomic() {
    watched(|| assert_swaps_are_atomic(&Cache::builder().max_capacity(1000).stripes(1).build().unwrap(), 3));
}

#[test]
fn swaps_among_evictions_are_atomic() {
    watched(|| {
        assert_swaps_are_atomic(&Cache::builder().max_capacity(2).stripes(1).build().unwrap(), 3);
        assert_swaps_are_atomic(&Cache::builder().max_capacity(3).stripes(2).build().unwrap(), 4);
    });
}

#[test]
fn a_computation_is_repeated_when_another_write_comes_between() {
    watched(|| {
        let cache = Cache::builder().hasher(Flat).build().unwrap();
        cache.insert("k", 1);
        let mut seen = Vec::new();
        let computed = cache.entry("k").and_compute_with(|entry| {
            let count = **entry.unwrap();
            seen.push(count);
            if seen.len() < 4 {
                cache.insert("k", count * 10);
            }
            Op::Put(count + 1)
        });
        let Computed::Replaced(version, old) = computed else { panic!("{computed:?}") };
        assert_eq!((seen, *old, cache.get("k")), (vec![1, 10, 100, 1000], 1000, Some(1001)));
        assert_eq!(cache.get_entry("k").unwrap().version, version);

        // Removed in between, written in between, and removal of what has changed.
        let mut asked = 0;
        let computed = cache.entry("k").and_compute_with(|entry| {
            asked += 1;
            match asked {
                1 => assert!(cache.invalidate("k")),
                2 => assert!(entry.is_none() && cache.insert("k", 5).source() == 0),
                3 => _ = cache.insert("k", 6),
                _ => assert_eq!(**entry.unwrap(), 6),
            }
            if asked == 2 { Op::Put(0) } else { Op::Remove }
        });
        assert!(matches!(computed, Computed::Removed(old) if *old == 6));
        assert_eq!((asked, cache.get("k")), (4, None));
    });
}

#[test]
fn a_computation_says_what_it_did() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::new(100);
        let compute = |op: Op<u64>| cache.entry(1).and_compute_with(|_| op);
        assert!(matches!(compute(Op::Keep), Computed::Kept(None)));
        assert!(matches!(compute(Op::Remove), Computed::Kept(None)));
        let Computed::Inserted(first) = compute(Op::Put(5)) else { panic!() };
        assert!(matches!(compute(Op::Keep), Computed::Kept(Some(entry)) if *entry == 5 && entry.version() == first));
        let Computed::Replaced(second, old) = compute(Op::Put(6)) else { panic!() };
        assert!(second > first && *old == 5 && old.version() == first);
        assert!(matches!(compute(Op::Remove), Computed::Removed(entry) if *entry == 6 && entry.version() == second));
        assert!(cache.is_empty());
    });
}

#[test]
fn a_panic_in_a_computation_changes_nothing() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::new(100);
        let version = cache.insert(1, 5);
        let panic = catch_unwind(AssertUnwindSafe(|| cache.entry(1).and_compute_with(|_| panic!("in the computation"))));
        assert!(panic.is_err());
        assert_eq!(cache.get_entry(&1).unwrap().version, version);
        assert!(cache.compare_and_swap(1, version, 6).is_ok());
    });
}

#[test]
fn a_removal_on_condition_sees_what_it_removes() {
    watched(|| {
        let cache = Cache::new(100);
        cache.insert("k", 1);
        let mut asked = Vec::new();
        let removed = cache.remove_if("k", |_, value| {
            asked.push(*value);
            if asked.len() < 3 {
                cache.insert("k", value + 1);
            }
            true
        });
        assert_eq!((asked, removed), (vec![1, 2, 3], Some(3)));
        cache.insert("k", 1);
        // The closure likes what it saw, and not what came then.
        let removed = cache.remove_if("k", |_, value| {
            cache.insert("k", 2);
            *value == 1
        });
        assert_eq!((removed, cache.get("k")), (None, Some(2)));
        assert_eq!(cache.remove_if("other", |_, _| panic!("there is nothing to ask about")), None::<i32>);
    });
}

#[test]
fn of_many_removals_one_gets_the_value() {
    watched(|| {
        let cache: Cache<u64, Stamp> = Cache::builder().stripes(1).build().unwrap();
        let (start, end) = (Barrier::new(THREADS), Barrier::new(THREADS));
        together(THREADS, |writer| {
            for round in 0..500 {
                if writer == 0 {
                    cache.insert(1, Stamp { writer, count: round });
                }
                start.wait();
                let got = match (round + writer as u64) % 3 {
                    0 => cache.remove(&1).is_some(),
                    1 => cache.invalidate(&1),
                    _ => cache.remove_if(&1, |_, stamp| stamp.count == round).is_some(),
                };
                if got {
                    cache.insert(2 + round, Stamp { writer, count: round });
                }
                end.wait();
            }
        });
        assert!(!cache.contains_key(&1));
        assert_eq!(cache.stats().invalidated, 500, "each value was taken out once");
        assert_eq!(cache.len(), 500, "one thread got it");
    });
}
