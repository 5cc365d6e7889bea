//! `refresh_after` and `early_refresh`: an entry is reloaded before it expires, by one caller, while the others go on with what is there.

mod common;
mod hand;

use std::collections::BTreeSet;
use std::hash::BuildHasherDefault;
use std::hash::DefaultHasher;
use std::time::Duration;

use brindle::Builder;
use brindle::Cache;
use brindle::Clock;
use brindle::Leased;
use brindle::LoadError;
use brindle::MockClock;

use common::watched;
use hand::Broken;
use hand::Crowd;
use hand::Face;
use hand::GETS;
use hand::Leader;
use hand::NANO;
use hand::Numbers;
use hand::OVERTAKINGS;
use hand::Said;
use hand::all_at_once;
use hand::at_once;
use hand::seconds;
use hand::those;

const AGE: Duration = seconds(100);
const PRESENT: u64 = 10;
const NEW: u64 = 11;

fn built(choose: impl FnOnce(Builder<u64, u64>) -> Builder<u64, u64>) -> (Numbers, MockClock) {
    let (clock, hand) = Clock::mock();
    let cache = choose(Cache::builder().max_capacity(1_000).stripes(2).clock(clock).refresh_after(AGE)).build().unwrap();
    cache.insert(1, PRESENT);
    (cache, hand)
}

/// Those that call a loader.
fn loading() -> Vec<Face> {
    those(&GETS, |face| !face.leases())
}

#[test]
fn one_caller_reloads_what_is_old_and_the_others_get_what_is_there() {
    watched(|| {
        for leading in loading() {
            let (cache, hand) = built(|builder| builder);
            hand.advance(AGE - AGE / 10 - NANO);
            all_at_once(&cache, 1, Said::Value(PRESENT), "still young");
            hand.advance(AGE / 10 + NANO);
            let leader = Leader::start(leading, &cache, 1);
            all_at_once(&cache, 1, Said::Value(PRESENT), format!("while {leading:?} reloads"));
            assert_eq!((cache.get(&1), cache.peek(&1), cache.iter().count()), (Some(PRESENT), Some(PRESENT), 1));
            assert_eq!(leader.end(Ok(NEW)), Said::Value(NEW), "{leading:?}");
            // And the new one is young again.
            hand.advance(AGE - AGE / 10 - NANO);
            all_at_once(&cache, 1, Said::Value(NEW), "young again");
            let stats = cache.stats();
            assert_eq!((stats.loads, stats.waits, stats.stale_served, stats.flights), (1, 0, 0, 0), "{leading:?}");
        }
    });
}

#[test]
fn a_plain_read_neither_reloads_nor_makes_young() {
    watched(|| {
        let (cache, hand) = built(|builder| builder.time_to_idle(AGE));
        for _ in 0..50 {
            hand.advance(AGE / 50);
            assert_eq!(cache.get(&1), Some(PRESENT));
        }
        assert_eq!(cache.stats().loads, 0);
        Leader::start(Face::GetWith, &cache, 1).end(Ok(NEW));
        assert_eq!((cache.get(&1), cache.stats().loads), (Some(NEW), 1));
        // A write does.
        hand.advance(AGE / 2);
        cache.insert(1, 12);
        hand.advance(AGE / 2);
        assert_eq!(at_once(Face::GetWith, &cache, 1), Said::Value(12));
    });
}

#[test]
fn where_the_reload_fails_the_present_value_is_the_answer() {
    watched(|| {
        for face in those(&loading(), Face::may_fail) {
            let (cache, hand) = built(|builder| builder);
            hand.advance(AGE);
            let before = cache.get_entry(&1).unwrap();
            let leader = Leader::start(face, &cache, 1);
            assert_eq!(leader.end(Err(Broken(1))), Said::Value(PRESENT), "{face:?}");
            assert_eq!(cache.get_entry(&1), Some(before), "{face:?}");
            assert_eq!((cache.stats().load_failures, cache.stats().flights), (1, 0), "{face:?}");
        }
    });
}

#[test]
fn where_the_reload_fails_and_nothing_is_present_any_more_its_error_is_the_answer() {
    watched(|| {
        for face in those(&loading(), Face::may_fail) {
            let (cache, hand) = built(|builder| builder.time_to_live(AGE + AGE));
            hand.advance(AGE);
            let leader = Leader::start(face, &cache, 1);
            hand.advance(AGE);
            assert_eq!(leader.end(Err(Broken(1))), Said::Failed(1), "{face:?}: it has expired meanwhile");
            for by in OVERTAKINGS.iter().filter(|by| by.leaves.is_none()) {
                let (cache, hand) = built(|builder| builder);
                hand.advance(AGE);
                let leader = Leader::start(face, &cache, 1);
                (by.act)(&cache, 1);
                assert_eq!(leader.end(Err(Broken(2))), Said::Failed(2), "{face:?} overtaken by {}", by.name);
                assert_eq!(cache.get(&1), None, "{face:?} overtaken by {}", by.name);
            }
        }
    });
}

#[test]
fn a_batch_falls_back_key_by_key() {
    watched(|| {
        let bring = |brought: Result<Vec<(u64, u64)>, Broken>, keys: [u64; 3]| {
            let (cache, hand) = built(|builder| builder);
            cache.insert(2, PRESENT + 2);
            hand.advance(AGE);
            cache.insert(3, PRESENT + 3);
            let answer = cache.try_get_many_with(&keys, |missing| {
                assert!(!missing.contains(&3), "it is young and there");
                brought.clone()
            });
            assert_eq!(cache.stats().flights, 0);
            answer
        };
        let present = Ok([0, 2, 3].map(|more| Some(PRESENT + more)).to_vec());
        assert_eq!(bring(Err(Broken(1)), [1, 2, 3]), present, "all is there in spite of the error");
        assert_eq!(bring(Ok(Vec::new()), [1, 2, 3]), present, "all is there, though the loader brought nothing");
        assert_eq!(bring(Ok(vec![(2, NEW)]), [1, 2, 3]), Ok(vec![Some(PRESENT), Some(NEW), Some(PRESENT + 3)]));
        assert_eq!(bring(Err(Broken(1)), [1, 4, 3]), Err(LoadError::Failed(Broken(1))), "nothing is there of one");
        assert_eq!(bring(Ok(Vec::new()), [1, 4, 3]), Ok(vec![Some(PRESENT), None, Some(PRESENT + 3)]));
    });
}

#[test]
fn where_what_was_present_is_stale_by_then_it_is_the_answer_only_if_failures_are_safe() {
    watched(|| {
        for fail_safe in [false, true] {
            let (cache, hand) = built(|builder| {
                let builder = builder.time_to_live(AGE * 2).serve_stale(AGE);
                if fail_safe { builder.fail_safe() } else { builder }
            });
            hand.advance(AGE);
            let leader = Leader::start(Face::TryGetWithAsync, &cache, 1);
            hand.advance(AGE);
            all_at_once(&cache, 1, Said::Value(PRESENT), "stale by now");
            let expected = if fail_safe { Said::Value(PRESENT) } else { Said::Failed(1) };
            assert_eq!(leader.end(Err(Broken(1))), expected);
        }
    });
}

#[test]
fn a_fence_during_the_reload_keeps_its_result_out() {
    watched(|| {
        for (leading, by) in loading().into_iter().flat_map(|face| OVERTAKINGS.iter().map(move |by| (face, by))) {
            let context = format!("{leading:?} overtaken by {}", by.name);
            let (cache, hand) = built(|builder| builder);
            hand.advance(AGE);
            let leader = Leader::start(leading, &cache, 1);
            (by.act)(&cache, 1);
            let Some(written) = by.leaves else {
                // Nothing is present: later callers wait for a load of their own, and the old one's end is nothing to them.
                let second = Leader::start(Face::TryGetWithAsync, &cache, 1);
                let mut crowd = Crowd::gather(&cache, 1, &GETS, Ok(99));
                assert_eq!(leader.end(Ok(NEW)), Said::Value(NEW), "{context}: nothing newer is there to give");
                crowd.still_waits();
                assert_eq!(cache.get(&1), None, "{context}");
                second.end(Ok(30));
                crowd.all_get(Said::Value(30));
                continue;
            };
            all_at_once(&cache, 1, Said::Value(written), &context);
            assert_eq!(leader.end(Ok(NEW)), Said::Value(written), "{context}");
            assert_eq!((cache.get(&1), cache.stats().fenced, cache.stats().flights), (Some(written), 1, 0), "{context}");
        }
    });
}

#[test]
fn a_reload_that_panics_or_is_cancelled_harms_nothing() {
    watched(|| {
        for leading in loading() {
            let (cache, hand) = built(|builder| builder);
            hand.advance(AGE);
            Leader::start(leading, &cache, 1).panic();
            assert_eq!((cache.get(&1), cache.stats().flights), (Some(PRESENT), 0), "{leading:?}");
            if leading.is_async() {
                Leader::start(leading, &cache, 1).cancel();
                assert_eq!((cache.get(&1), cache.stats().flights), (Some(PRESENT), 0), "{leading:?}");
            }
            assert_eq!(Leader::start(leading, &cache, 1).end(Ok(NEW)), Said::Value(NEW), "{leading:?}");
        }
    });
}

#[test]
fn a_reload_that_hangs_is_taken_over_and_comes_too_late() {
    watched(|| {
        for leading in loading() {
            let (cache, hand) = built(|builder| builder.load_timeout(seconds(1)));
            hand.advance(AGE);
            let hangs = Leader::start(leading, &cache, 1);
            hand.advance(seconds(1));
            let next = Leader::start(Face::LoadAsync, &cache, 1);
            assert_eq!(at_once(Face::GetWith, &cache, 1), Said::Value(PRESENT), "{leading:?} hangs, another reloads");
            let late = hangs.end(Ok(99));
            assert!([Said::Value(99), Said::Value(PRESENT)].contains(&late), "{leading:?} gets {late:?}");
            assert_eq!(cache.get(&1), Some(PRESENT), "{leading:?}: late");
            assert_eq!(next.end(Ok(NEW)), Said::Value(NEW));
            assert_eq!((cache.get(&1), cache.stats().load_timeouts), (Some(NEW), 1), "{leading:?}");
        }
    });
}

/// Keys and moments decide, the same in every run.
type Fixed = Cache<u64, u64, BuildHasherDefault<DefaultHasher>>;

fn fixed(choose: impl FnOnce(Builder<u64, u64>) -> Builder<u64, u64>) -> (Fixed, MockClock) {
    let (clock, hand) = Clock::mock();
    let builder = choose(Cache::builder().max_capacity(1_000_000).stripes(4).clock(clock));
    (builder.hasher(BuildHasherDefault::default()).build().unwrap(), hand)
}

/// Does a caller of this moment reload the key? It is reloaded then.
fn reloads(cache: &Fixed, key: u64) -> bool {
    let mut loaded = false;
    cache.get_with(&key, || {
        loaded = true;
        NEW
    });
    loaded
}

#[test]
fn entries_of_one_moment_are_not_reloaded_at_one_moment() {
    watched(|| {
        const STEPS: u32 = 40;
        let (cache, hand) = fixed(|builder| builder.refresh_after(AGE));
        (0..1_000).for_each(|key| _ = cache.insert(key, PRESENT));
        let mut young: BTreeSet<u64> = (0..1_000).collect();
        let mut reload = |when: &str| {
            let due: Vec<u64> = young.iter().copied().filter(|&key| reloads(&cache, key)).collect();
            due.iter().for_each(|key| assert!(young.remove(key)));
            // An entry has its moment: to ask more often does not bring it forward.
            for _ in 0..20 {
                assert!(!young.iter().any(|&key| reloads(&cache, key)), "{when}: asked again, more are due");
            }
            due.len()
        };
        hand.advance(AGE - AGE / 10 - NANO);
        assert_eq!(reload("before the last tenth"), 0);
        hand.advance(NANO);
        let mut moments = vec![reload("at the start of the last tenth")];
        for _ in 0..STEPS {
            hand.advance(AGE / 10 / STEPS);
            moments.push(reload("in the last tenth"));
        }
        assert_eq!(moments.iter().sum::<usize>(), 1_000, "never after the time: {moments:?}");
        for quarter in moments[1..].chunks(STEPS as usize / 4) {
            assert!(quarter.iter().sum::<usize>() >= 100, "not spread over the last tenth: {moments:?}");
        }
        assert!(moments.iter().all(|&due| due < 100), "too many at one moment: {moments:?}");
    });
}

const TTL: Duration = seconds(100);

/// Keys 0 to `keys` as loaded at one moment by loads that took `took`; `left` before they expire the clock stands.
fn loaded(beta: f64, keys: u64, took: Duration, left: Duration) -> Fixed {
    let (cache, hand) = fixed(|builder| builder.time_to_live(TTL).early_refresh(beta));
    let leases: Vec<_> = (0..keys)
        .map(|key| match cache.get_or_lease(&key, None) {
            Leased::Lease(lease) => lease,
            _ => panic!("nobody else loads it"),
        })
        .collect();
    hand.advance(took);
    leases.into_iter().for_each(|lease| assert!(lease.fill(PRESENT).is_ok()));
    hand.advance(TTL - left);
    cache
}

/// How many of 1,000 entries the first caller reloads early.
fn early(beta: f64, took: Duration, left: Duration) -> usize {
    let cache = loaded(beta, 1_000, took, left);
    (0..1_000).filter(|&key| reloads(&cache, key)).count()
}

#[test]
fn how_early_depends_on_what_the_load_took() {
    watched(|| {
        // The chance is e to the power of -(time left) / (beta * time that the load took).
        assert_eq!(early(1e-9, seconds(1), Duration::from_micros(1)), 0, "next to no weight on it");
        assert_eq!(early(1.0, Duration::from_micros(1), Duration::from_millis(1)), 0, "quick loads can wait");
        assert_eq!(early(1.0, Duration::ZERO, NANO), 0, "a load that took no time can wait to the end");
        let slow = early(1_000.0, seconds(1), seconds(90));
        assert!(slow > 700, "of 1,000 slow loads {slow}, of some 910, are repeated early");
        assert_eq!(early(1.0, seconds(1), seconds(60)), 0, "not yet");
    });
}

#[test]
fn the_chance_rises_towards_the_deadline() {
    watched(|| {
        let tenths = [30, 20, 10, 5, 1].map(|left| early(1.0, seconds(1), Duration::from_millis(left * 100)));
        // 50, 135, 368, 607 and 905 are to be expected.
        assert!(tenths.windows(2).all(|pair| pair[0] + 20 < pair[1]), "{tenths:?}");
        for (seen, (least, most)) in tenths.into_iter().zip([(10, 130), (60, 250), (250, 480), (480, 720), (800, 980)]) {
            assert!((least..=most).contains(&seen), "{tenths:?}");
        }
    });
}

#[test]
fn an_early_reload_is_one_load_and_the_others_get_what_is_there() {
    watched(|| {
        let (clock, hand) = Clock::mock();
        let builder = Cache::<u64, u64>::builder().max_capacity(1_000).clock(clock).time_to_live(TTL);
        let cache = builder.early_refresh(1e12).build().unwrap();
        let first = Leader::start(Face::GetWith, &cache, 1);
        hand.advance(seconds(1));
        first.end(Ok(PRESENT));
        let again = Leader::start(Face::TryGetWithAsync, &cache, 1);
        all_at_once(&cache, 1, Said::Value(PRESENT), "while one reloads early");
        assert_eq!(again.end(Err(Broken(1))), Said::Value(PRESENT), "where it fails, what is there is the answer");
        let again = Leader::start(Face::LoadAsync, &cache, 1);
        cache.invalidate(&1);
        assert_eq!(again.end(Ok(NEW)), Said::Value(NEW));
        assert_eq!((cache.get(&1), cache.stats().flights), (None, 0), "fenced as any other");
    });
}

#[test]
fn what_was_not_loaded_is_not_loaded_early() {
    watched(|| {
        let (cache, hand) = fixed(|builder| builder.time_to_live(TTL).early_refresh(1e12));
        (0..100).for_each(|key| _ = cache.insert(key, PRESENT));
        hand.advance(TTL - NANO);
        assert!(!(0..100).any(|key| reloads(&cache, key)));
        // Nor what is never due.
        let (cache, hand) = fixed(|builder| builder.early_refresh(1e12));
        cache.get_with(&1, || {
            hand.advance(seconds(1));
            PRESENT
        });
        hand.advance(seconds(1_000_000_000));
        assert!(!reloads(&cache, 1));
    });
}

#[test]
fn a_weight_on_load_times_that_makes_no_sense_is_refused() {
    for beta in [-1.0, f64::NAN, -f64::INFINITY] {
        assert!(Cache::<u64, u64>::builder().early_refresh(beta).build().is_err(), "{beta}");
    }
    for beta in [0.0, 1.0, f64::MAX] {
        assert!(Cache::<u64, u64>::builder().early_refresh(beta).build().is_ok(), "{beta}");
    }
}
