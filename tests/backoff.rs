//! `negative_ttl`: after a failure the error is the answer for a while, without a load; what is remembered is bounded and goes with time.

#[path = "common/bytes.rs"]
mod bytes;
mod common;
mod hand;

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use brindle::Builder;
use brindle::Cache;
use brindle::Clock;
use brindle::Leased;
use brindle::LoadError;
use brindle::Loaded;
use brindle::MockClock;

use bytes::Counting;
use bytes::in_use;
use common::together;
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
use hand::ask;
use hand::seconds;
use hand::survives;
use hand::those;

const PAUSE: Duration = seconds(10);

fn built(choose: impl FnOnce(Builder<u64, u64>) -> Builder<u64, u64>) -> (Numbers, MockClock) {
    let (clock, hand) = Clock::mock();
    let builder = Cache::builder().max_capacity(1_000).stripes(2).clock(clock).negative_ttl(PAUSE);
    (choose(builder).build().unwrap(), hand)
}

/// Asks where no load may run.
#[track_caller]
fn unloaded(face: Face, cache: &Numbers, key: u64) -> Said {
    ask(face, cache, key, || panic!("{face:?} loads"))
}

#[track_caller]
fn all_unloaded(faces: &[Face], cache: &Numbers, key: u64, expected: Said, context: &str) {
    for &face in faces {
        assert_eq!(unloaded(face, cache, key), expected, "{face:?}, {context}");
    }
}

/// Those that answer with a remembered failure.
const ANSWERING: [Face; 4] = [Face::TryGetWith, Face::Load, Face::TryGetWithAsync, Face::LoadAsync];

#[test]
fn an_error_is_the_answer_until_its_time_is_up() {
    watched(|| {
        for failing in ANSWERING {
            let (cache, hand) = built(|builder| builder);
            assert_eq!(ask(failing, &cache, 1, || Err(Broken(7))), Said::Failed(7));
            for left in [PAUSE, PAUSE / 2, NANO] {
                hand.set(PAUSE - left);
                all_unloaded(&ANSWERING, &cache, 1, Said::Failed(7), "the time is not up");
            }
            assert_eq!((cache.stats().loads, cache.stats().load_failures, cache.stats().flights), (1, 1, 0), "{failing:?}");
            assert_eq!(ask(failing, &cache, 2, || Ok(20)), Said::Value(20), "another key is no worse for it");
            hand.set(PAUSE);
            // A failure at that time counts from then.
            assert_eq!(ask(failing, &cache, 1, || Err(Broken(8))), Said::Failed(8), "{failing:?}");
            hand.set(PAUSE * 2 - NANO);
            assert_eq!(unloaded(failing, &cache, 1), Said::Failed(8), "{failing:?}");
            hand.set(PAUSE * 2);
            assert_eq!(ask(failing, &cache, 1, || Ok(10)), Said::Value(10), "{failing:?}");
            assert_eq!(unloaded(failing, &cache, 1), Said::Value(10), "{failing:?}");
        }
    });
}

/// Whether or not anybody has swept what is too old.
#[test]
fn of_many_errors_none_is_the_answer_for_too_long() {
    watched(|| {
        let (cache, hand) = built(|builder| builder.stripes(1));
        (0..500).for_each(|key| _ = ask(Face::TryGetWith, &cache, key, || Err(Broken(7))));
        hand.set(PAUSE - NANO);
        (0..500).for_each(|key| assert_eq!(unloaded(Face::Load, &cache, key), Said::Failed(7)));
        hand.set(PAUSE);
        // The latest first: what is swept is the oldest.
        for key in (0..500).rev() {
            assert_eq!(ask(Face::Load, &cache, key, || Ok(10)), Said::Value(10), "key {key}");
        }
    });
}

#[test]
fn many_callers_of_a_failing_key_load_once() {
    watched(|| {
        let (cache, _) = built(|builder| builder);
        let leader = Leader::start(Face::TryGetWithAsync, &cache, 1);
        let crowd = Crowd::gather(&cache, 1, &ANSWERING, Ok(99));
        assert_eq!(leader.end(Err(Broken(7))), Said::Failed(7));
        crowd.all_get(Said::Failed(7));
        let loads = AtomicUsize::new(0);
        together(8, |caller| {
            for _ in 0..100 {
                let answer = ask(ANSWERING[caller % ANSWERING.len()], &cache, 1, || {
                    loads.fetch_add(1, SeqCst);
                    Ok(99)
                });
                assert_eq!(answer, Said::Failed(7));
            }
        });
        assert_eq!((loads.load(SeqCst), cache.stats().loads), (0, 1));
    });
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct OtherError(&'static str);

/// An error that nobody can copy or send.
#[derive(Debug)]
struct Personal(std::rc::Rc<u32>);

#[test]
fn an_error_of_another_type_is_told_as_elsewhere() {
    watched(|| {
        let (cache, hand) = built(|builder| builder);
        assert_eq!(cache.try_get_with(&1, || Err(Broken(7))), Err(LoadError::Failed(Broken(7))));
        match cache.try_get_with(&1, || -> Result<u64, OtherError> { panic!("loads") }) {
            Err(LoadError::Elsewhere(failure)) => assert_eq!(failure.downcast_ref(), Some(&Broken(7))),
            other => panic!("{other:?}"),
        }
        match cache.try_get_with_local(&1, || -> Result<u64, Personal> { panic!("loads") }) {
            Err(LoadError::Elsewhere(failure)) => assert_eq!(failure.downcast_ref(), Some(&Broken(7))),
            other => panic!("{other:?}"),
        }
        // An error that cannot be shared is remembered all the same: the others learn that there was one.
        let failed = cache.try_get_with_local(&2, || Err(Personal(7.into())));
        assert!(matches!(failed, Err(LoadError::Failed(Personal(number))) if *number == 7));
        all_unloaded(&ANSWERING, &cache, 2, Said::Elsewhere, "an error that stays with its maker");
        hand.advance(PAUSE);
        assert_eq!(cache.try_get_with(&1, || Err(OtherError("again"))), Err(LoadError::Failed(OtherError("again"))));
        assert_eq!(cache.try_get_with(&2, || Ok::<_, OtherError>(20)), Ok(20));
        assert_eq!(unloaded(Face::TryGetWith, &cache, 1), Said::Elsewhere);
    });
}

#[test]
fn calls_that_cannot_answer_with_an_error_load_all_the_same() {
    watched(|| {
        for face in those(&GETS, |face| !face.may_fail()) {
            let (cache, _) = built(|builder| builder);
            ask(Face::TryGetWith, &cache, 1, || Err(Broken(7)));
            assert_eq!(ask(face, &cache, 1, || Ok(10)), Said::Value(10), "{face:?}");
            // What it brought ends the pause.
            all_unloaded(&ANSWERING, &cache, 1, Said::Value(10), "loaded meanwhile");
            cache.invalidate(&1);
            assert_eq!(ask(Face::Load, &cache, 1, || Ok(11)), Said::Value(11), "nothing is left of the error after {face:?}");
        }
        // Who asks while such a load runs waits for it.
        let (cache, _) = built(|builder| builder);
        ask(Face::TryGetWith, &cache, 1, || Err(Broken(7)));
        let leader = Leader::start(Face::GetWith, &cache, 1);
        assert_eq!(leader.end(Ok(10)), Said::Value(10));
        // A lease that is given up leaves the error as it was; one that fails has an error of its own.
        ask(Face::TryGetWith, &cache, 2, || Err(Broken(7)));
        let Leased::Lease(lease) = cache.get_or_lease(&2, None) else { panic!("a lease is to be had") };
        drop(lease);
        let Leased::Lease(lease) = cache.get_or_lease(&2, None) else { panic!("a lease is to be had") };
        lease.fail(Broken(8));
        assert_eq!(unloaded(Face::TryGetWith, &cache, 2), Said::Failed(8));
    });
}

#[test]
fn a_write_a_removal_or_an_invalidation_ends_it() {
    watched(|| {
        for by in &OVERTAKINGS {
            let (cache, _) = built(|builder| builder);
            ask(Face::TryGetWith, &cache, 1, || Err(Broken(7)));
            (by.act)(&cache, 1);
            if let Some(written) = by.leaves {
                assert_eq!(unloaded(Face::TryGetWith, &cache, 1), Said::Value(written), "{}", by.name);
                cache.invalidate(&1);
            }
            assert_eq!(ask(Face::LoadAsync, &cache, 1, || Ok(10)), Said::Value(10), "after {}", by.name);
        }
    });
}

/// The error of a load that was overtaken is its caller's, and nobody's who comes later.
#[test]
fn the_failure_of_an_overtaken_load_is_not_remembered() {
    watched(|| {
        for by in &OVERTAKINGS {
            let (cache, _) = built(|builder| builder);
            let leader = Leader::start(Face::TryGetWithAsync, &cache, 1);
            (by.act)(&cache, 1);
            leader.end(Err(Broken(7)));
            if let Some(written) = by.leaves {
                assert_eq!(unloaded(Face::TryGetWith, &cache, 1), Said::Value(written), "{}", by.name);
                cache.invalidate(&1);
            }
            assert_eq!(ask(Face::Load, &cache, 1, || Ok(10)), Said::Value(10), "{}", by.name);
        }
        let (cache, hand) = built(|builder| builder.load_timeout(seconds(1)));
        let hangs = Leader::start(Face::TryGetWithAsync, &cache, 1);
        hand.advance(seconds(1));
        let next = Leader::start(Face::TryGetWithAsync, &cache, 1);
        hangs.end(Err(Broken(7)));
        assert_eq!(next.end(Err(Broken(8))), Said::Failed(8));
        assert_eq!(unloaded(Face::TryGetWith, &cache, 1), Said::Failed(8), "the error of the load that counted");
    });
}

#[test]
fn only_failures_are_remembered() {
    watched(|| {
        let (cache, _) = built(|builder| builder);
        survives(|| cache.try_get_with(&1, || -> Result<u64, Broken> { hand::planned() }));
        Leader::start(Face::LoadAsync, &cache, 1).cancel();
        assert_eq!(ask(Face::TryGetWith, &cache, 1, || Ok(10)), Said::Value(10), "after a panic and a cancelled task");
        // Nor is an error where there is no pause.
        let (cache, _) = built(|builder| builder.negative_ttl(Duration::ZERO));
        for number in 0..5 {
            assert_eq!(ask(Face::TryGetWith, &cache, 1, || Err(Broken(number))), Said::Failed(number));
        }
        // A resident value is worth more than an old error.
        let (cache, _) = built(|builder| builder);
        cache.insert(1, 10);
        assert_eq!(ask(Face::TryRefresh, &cache, 1, || Err(Broken(7))), Said::Failed(7));
        all_unloaded(&GETS, &cache, 1, Said::Value(10), "resident");
    });
}

#[test]
fn a_stale_value_is_worth_more_than_an_error_where_failures_are_safe() {
    watched(|| {
        let (cache, hand) = built(|builder| builder.time_to_live(seconds(100)).serve_stale(seconds(50)).fail_safe());
        cache.insert(1, 10);
        hand.advance(seconds(100));
        assert_eq!(ask(Face::TryGetWith, &cache, 1, || Err(Broken(7))), Said::Value(10));
        // The source is left alone, and callers have what there is.
        all_unloaded(&ANSWERING, &cache, 1, Said::Value(10), "stale");
        assert_eq!(cache.stats().loads, 1);
        hand.advance(PAUSE);
        assert_eq!(ask(Face::TryGetWith, &cache, 1, || Ok(11)), Said::Value(11), "and is asked again in time");
    });
}

#[global_allocator]
static COUNTING: Counting = Counting;

const MEGABYTE: i64 = 1 << 20;

#[test]
fn what_is_remembered_of_failures_is_bounded_and_goes_with_time() {
    let judge = || {
        let fail = |cache: &Numbers, keys: std::ops::Range<u64>, between: &dyn Fn()| {
            for key in keys {
                assert!(cache.try_get_with(&key, || Err(Broken(key as u32))).is_err());
                between();
            }
        };
        // What a thread takes once, it has taken before the count begins.
        fail(&built(|builder| builder).0, 0..1, &|| ());
        let nothing = in_use();
        {
            // One after another: only the last second's can be remembered.
            let (cache, hand) = built(|builder| builder.negative_ttl(seconds(1)));
            fail(&cache, 0..10_000, &|| hand.advance(Duration::from_millis(1)));
            let early = in_use();
            fail(&cache, 10_000..100_000, &|| hand.advance(Duration::from_millis(1)));
            assert!(in_use() <= early * 2 + 4096, "{} bytes after 100,000 failures, {early} after 10,000", in_use());
            assert!(in_use() - nothing < MEGABYTE, "{} bytes for some 1,000 failures", in_use());
        }
        assert_eq!(in_use(), nothing, "bytes left by a cache that is gone");
        {
            // All at one moment, for a long time: as many as the cache sees fit to remember.
            let (cache, hand) = built(|builder| builder.negative_ttl(seconds(1_000)));
            let before = in_use();
            fail(&cache, 0..1_000_000, &|| ());
            let held = in_use() - before;
            assert!(held < 16 * MEGABYTE, "{held} bytes for a million failures in a cache of 1,000 entries");
            assert_eq!(cache.stats().flights, 0);
            // Ordinary traffic drops what is too old.
            hand.advance(seconds(1_000));
            (0..20_000).for_each(|key| _ = (cache.insert(key, key), cache.invalidate(&key)));
            let left = in_use() - before;
            assert!(left < MEGABYTE / 2, "{left} bytes of {held} long after");
        }
        assert_eq!(in_use(), nothing, "bytes left by a cache that is gone");
    };
    watched(move || bytes::on(bytes::open(), judge));
}

#[test]
fn an_error_that_is_remembered_is_dropped_once() {
    watched(|| {
        #[derive(Clone)]
        struct Alive {
            _census: std::sync::Arc<()>,
        }
        let census = std::sync::Arc::new(());
        let (cache, hand) = built(|builder| builder);
        let fail = |key: u64| assert!(cache.try_get_with(&key, || Err(Alive { _census: census.clone() })).is_err());
        let traffic = || (5_000..6_000).for_each(|key| _ = (cache.insert(key, key), cache.invalidate(&key)));
        (0..100).for_each(fail);
        // Those that were ended go at once, or with what follows; those whose time is up too.
        (0..50).for_each(|key| _ = cache.insert(key, key));
        hand.advance(PAUSE);
        traffic();
        assert_eq!(std::sync::Arc::strong_count(&census), 1, "errors whose time is up");
        (0..100).for_each(|key| _ = (cache.invalidate(&key), fail(key)));
        cache.clear();
        traffic();
        assert_eq!(std::sync::Arc::strong_count(&census), 1, "errors that were cleared away");
        (0..100).for_each(fail);
        drop(cache);
        assert_eq!(std::sync::Arc::strong_count(&census), 1, "errors of a cache that is gone");
    });
}

#[test]
fn a_loaded_value_of_no_time_ends_the_pause_too() {
    watched(|| {
        let (cache, _) = built(|builder| builder);
        ask(Face::TryGetWith, &cache, 1, || Err(Broken(7)));
        let Leased::Lease(lease) = cache.get_or_lease(&1, None) else { panic!("a lease is to be had") };
        assert!(lease.fill_loaded(Loaded::new(10).with_ttl(Duration::ZERO)).is_ok());
        // The source works again: nothing is there, so it is asked.
        assert_eq!(ask(Face::TryGetWith, &cache, 1, || Ok(11)), Said::Value(11));
    });
}
