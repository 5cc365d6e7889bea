//! Promises 5 and 12: what is forgotten of absent keys never lets an old state in. Floors, a budget of tombstones that overflows, and the time for
//! which a tombstone stays.

mod common;

use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::EqualSource;
use brindle::Leased;
use brindle::Loaded;
use brindle::MockClock;
use brindle::Ordering;
use brindle::WhenForgotten;

use common::Flat;
use common::Itself;
use common::watched;

#[test]
fn a_floor_lasts_for_ever_and_keeps_plain_writes_in_order() {
    watched(|| {
        let (clock, time) = Clock::mock();
        let cache = Cache::builder().ordering(Ordering::Global).tombstone_capacity(1).stripes(1).clock(clock).build().unwrap();
        let seen = cache.insert_at(1, 50, 50).unwrap();
        assert!(cache.invalidate_at(&1, 60));
        assert!(cache.invalidate_at(&2, 55), "which costs key 1 its tombstone");
        assert_eq!(cache.stats().tombstones_lost, 1);
        time.advance(Duration::from_secs(1_000_000_000));
        let refused = cache.insert_at(1, 59, 59).unwrap_err();
        assert_eq!((refused.key, refused.value), (1, 59));
        assert!(refused.current.source() >= 60);
        // A load may fill it all the same, and still no version goes back.
        let filled = cache.insert(1, 7);
        assert!(filled > seen && filled.source() >= 60);
        assert!(cache.insert_at(1, 59, 59).is_err());
        assert!(cache.insert_at(1, 62, 62).is_ok());
        // The floor is the same to all absent keys: what is below it is refused, and what is at it is welcome.
        assert!(cache.insert_at(3, 59, 59).is_err() && cache.insert_at(3, 60, 60).is_ok());
        // What a removal took out is dead at its source too, and so it is with the floor that is left of it.
        assert!(cache.insert_at(4, 70, 70).is_ok() && cache.invalidate(&4));
        assert!(cache.invalidate_at(&5, 65), "which costs key 4 its tombstone");
        time.advance(Duration::from_secs(1_000_000_000));
        assert!(cache.insert_at(4, 70, 70).is_err() && cache.insert_at(6, 70, 70).is_err());
        assert!(cache.insert_at(4, 71, 71).is_ok() && cache.insert_at(6, 71, 71).is_ok());
    });
}

fn forgetful(choice: WhenForgotten) -> (Cache<u64, u64, Flat>, MockClock) {
    let (clock, time) = Clock::mock();
    let cache = Cache::builder()
        .tombstone_capacity(2)
        .tombstone_ttl(Duration::from_secs(10))
        .when_forgotten(choice)
        .stripes(1)
        .clock(clock)
        .hasher(Flat)
        .build();
    (cache.unwrap(), time)
}

/// As [`forgetful`], with keys that do not share their hash.
fn overflown(choice: WhenForgotten) -> (Cache<u64, u64, Itself>, MockClock) {
    let (clock, time) = Clock::mock();
    let builder = Cache::builder().tombstone_capacity(2).tombstone_ttl(Duration::from_secs(10)).when_forgotten(choice);
    let cache = builder.stripes(1).clock(clock).hasher(Itself).build().unwrap();
    cache.insert_at(50, 5, 5).unwrap();
    assert!(cache.invalidate_at(&1, 9));
    time.advance(Duration::from_secs(1));
    assert!(cache.invalidate_at(&2, 9));
    assert_eq!(cache.stats().tombstones_lost, 0);
    assert!(cache.invalidate_at(&3, 9), "one too many");
    assert_eq!((cache.stats().tombstones_lost, cache.stats().tombstones), (1, 2));
    (cache, time)
}

#[test]
fn a_forgetful_stripe_refuses_until_the_lag_has_passed() {
    watched(|| {
        let (cache, time) = overflown(WhenForgotten::Refuse);
        for key in [1, 2, 3, 4] {
            let refused = cache.insert_at(key, 100, 100).unwrap_err();
            assert_eq!((refused.key, refused.value), (key, 100));
        }
        assert_eq!(cache.stats().refused_stale, 4);
        // What is present knows its own past.
        assert!(cache.insert_at(50, 6, 6).is_ok());
        assert!(cache.insert_at(50, 4, 4).is_err());
        // Writes without a source, loads among them, go on filling the cache; but what they brought does not know the key's past.
        cache.insert(1, 7);
        assert_eq!(cache.get(&1), Some(7));
        assert!(cache.insert_at(1, 8, 8).is_err(), "it may be dead: key 1 was invalidated at 9");
        // The lost tombstone would have gone ten seconds after its burial.
        time.advance(Duration::from_nanos(9_000_000_000 - 1));
        assert!(cache.insert_at(4, 1, 1).is_err());
        time.advance(Duration::from_nanos(1));
        assert!(cache.insert_at(4, 1, 1).is_ok());
        assert!(cache.insert_at(2, 8, 8).is_err(), "its own tombstone is a second younger");
        assert!(cache.insert_at(2, 9, 9).is_ok());
    });
}

/// A write that is refused because something was forgotten is newer all the same than an entry that came since: what was loaded before it
/// is not served after it.
#[test]
fn what_a_refused_write_proves_to_be_old_leaves() {
    watched(|| {
        for sourced in [true, false] {
            let (cache, _time) = overflown(WhenForgotten::Refuse);
            let loaded = if sourced { Loaded::new(10).at(10) } else { Loaded::new(10) };
            assert_eq!(cache.load(&1, || Ok::<_, String>(loaded)), Ok(10));
            assert_eq!(cache.get(&1), Some(10));
            assert!(cache.insert_at(1, 11, 11).is_err(), "nobody knows how far key 1 is dead");
            assert_eq!(cache.get(&1), None, "there is something newer");
            assert_eq!(cache.load(&1, || Ok::<_, String>(Loaded::new(11).at(11))), Ok(11));
            assert!(cache.insert_at(1, 10, 10).is_err());
            assert_eq!(cache.get(&1), Some(11), "what is old proves nothing");
        }
    });
}

#[test]
fn what_a_forgetful_stripe_keeps_of_a_source_is_what_it_says() {
    watched(|| {
        let (cache, time) = overflown(WhenForgotten::Refuse);
        let version = cache.insert(2, 7);
        assert_eq!(version.source(), 9, "key 2 was invalidated at 9, and has its tombstone still");
        assert_eq!(cache.get_entry(&2).unwrap().version, version);
        // Of key 4 no source is known, so there is none to remember.
        assert_eq!(cache.insert(4, 7).source(), 0);
        assert!(cache.invalidate(&4));
        assert_eq!((cache.stats().tombstones_lost, cache.stats().tombstones), (1, 2));
        time.advance(Duration::from_secs(20));
        assert!(cache.insert_at(2, 8, 8).is_err(), "the entry knows what it replaced");
    });
}

#[test]
fn a_forgetful_stripe_stores_what_is_written_through_it() {
    watched(|| {
        let (cache, _time) = overflown(WhenForgotten::Refuse);
        let stored = cache.write_through(4, |_| Ok::<_, ()>(Loaded::new(1).at(1))).unwrap();
        assert_eq!(stored, cache.get_entry(&4).map(|entry| entry.version));
        assert!(stored.is_some());
    });
}

#[test]
fn what_never_had_a_source_leaves_no_tombstone() {
    watched(|| {
        let cache = Cache::<u64, u64>::new(100);
        cache.insert(1, 1);
        cache.insert_with_ttl(2, 2, Duration::from_secs(100));
        assert!(cache.invalidate(&1) && cache.invalidate(&2));
        assert_eq!(cache.stats().tombstones, 0);
    });
}

#[test]
fn a_tombstone_is_as_old_as_it_is_whenever_time_begins_to_matter() {
    watched(|| {
        let (clock, time) = Clock::mock();
        time.advance(Duration::from_secs(1 << 30));
        let cache = Cache::<u64, u64>::builder().max_capacity(100).weigher(|_, _| 1).clock(clock).build().unwrap();
        cache.insert_at(1, 5, 5).unwrap();
        assert!(cache.invalidate(&1));
        cache.insert_with_ttl(2, 2, Duration::from_secs(1));
        assert!(cache.insert_at(1, 4, 4).is_err());
    });
}

#[test]
fn a_forgetful_stripe_accepts_if_told_to() {
    watched(|| {
        let (cache, _time) = overflown(WhenForgotten::Accept);
        assert!(cache.insert_at(1, 1, 1).is_ok(), "what was forgotten is accepted");
        assert!(cache.insert_at(2, 8, 8).is_err(), "what is known is not");
        assert!(cache.insert_at(3, 8, 8).is_err());
        assert!(cache.insert_at(3, 9, 9).is_ok());
        assert_eq!(cache.stats().tombstones_lost, 1);
    });
}

#[test]
fn no_tombstones_at_all_is_as_careful_as_that_must_be() {
    watched(|| {
        let (clock, time) = Clock::mock();
        let lag = Duration::from_secs(10);
        let cache = Cache::builder().tombstone_capacity(0).tombstone_ttl(lag).stripes(1).clock(clock).build().unwrap();
        assert!(cache.insert_at(1, 5, 5).is_ok(), "nothing is forgotten yet");
        assert!(cache.invalidate(&1));
        assert!(cache.insert_at(1, 5, 5).is_err() && cache.insert_at(2, 9, 9).is_err());
        time.advance(lag);
        assert!(cache.insert_at(1, 5, 5).is_ok() && cache.insert_at(2, 9, 9).is_ok());
    });
}

#[test]
fn keys_of_one_hash_share_what_is_known() {
    watched(|| {
        let (cache, _time) = forgetful(WhenForgotten::Refuse);
        assert!(cache.invalidate_at(&1, 5));
        assert!(cache.invalidate_at(&2, 9));
        assert!(cache.invalidate_at(&1, 7), "which takes nothing back");
        assert!(cache.insert_at(1, 6, 6).is_err());
        assert!(cache.insert_at(1, 8, 8).is_err(), "for the other's sake");
        assert!(cache.insert_at(2, 8, 8).is_err());
        assert!(cache.insert_at(1, 9, 9).is_ok() && cache.insert_at(2, 9, 9).is_ok());
        assert_eq!((cache.get(&1), cache.get(&2)), (Some(9), Some(9)));
        assert!(cache.invalidate(&1));
        assert_eq!((cache.get(&1), cache.get(&2)), (None, Some(9)));
        assert!(cache.insert_at(1, 9, 9).is_err());
    });
}

#[test]
fn a_tombstone_stays_for_its_time() {
    watched(|| {
        let (clock, time) = Clock::mock();
        let cache = Cache::builder().tombstone_ttl(Duration::from_secs(10)).clock(clock).build().unwrap();
        assert!(cache.invalidate_at(&1, 7));
        let refused = cache.insert_at(1, 6, 6).unwrap_err();
        assert_eq!((refused.key, refused.value, refused.current.source()), (1, 6, 7));
        time.advance(Duration::from_nanos(10_000_000_000 - 1));
        assert_eq!(cache.insert_at(1, 6, 6).unwrap_err().current.source(), 7);
        time.advance(Duration::from_nanos(1));
        assert!(cache.insert_at(1, 6, 6).is_ok(), "later than the stated lag");
        assert_eq!(cache.stats().tombstones_lost, 0);
    });
}

type Evict = fn(&Cache<u64, u64>, u64);

/// Whoever evicts a versioned entry, a writer or a loader that has nothing to do with versions too, buries it at the time that it is.
#[test]
fn a_tombstone_stays_for_its_time_whoever_evicts() {
    let evict: [(&str, Evict); 3] = [
        ("insert", |cache, key| _ = cache.insert(key, 0)),
        ("get_with", |cache, key| _ = cache.get_with(&key, || 0)),
        ("transaction", |cache, key| cache.transaction(|t| t.insert(key, 0)).unwrap()),
    ];
    watched(move || {
        for (name, evict) in evict {
            let (clock, hand) = Clock::mock();
            let builder = Cache::builder().max_capacity(2).stripes(1).clock(clock).ordering(Ordering::PerKey);
            let cache: Cache<u64, u64> = builder.tombstone_ttl(Duration::from_secs(10)).build().unwrap();
            hand.advance(Duration::from_secs(3600));
            cache.insert_at(1, 7, 7).unwrap();
            (2..).take_while(|_| cache.contains_key(&1)).for_each(|key| evict(&cache, key));
            hand.advance(Duration::from_secs(9));
            // Sweeps.
            evict(&cache, 0);
            assert!(cache.insert_at(1, 6, 6).is_err(), "{name}: the dead came back");
        }
    });
}

/// The same by the system's clock, which is not asked before it is needed.
#[test]
fn a_tombstone_stays_for_its_time_by_the_systems_clock() {
    const TTL: Duration = Duration::from_secs(1);
    watched(|| {
        let builder = Cache::builder().max_capacity(2).stripes(1).ordering(Ordering::PerKey);
        let cache: Cache<u64, u64> = builder.tombstone_ttl(TTL).build().unwrap();
        std::thread::sleep(TTL + TTL / 10);
        // Until it was quick enough to be sure.
        for key in 1000.. {
            let start = std::time::Instant::now();
            cache.insert_at(key, 7, 7).unwrap();
            (0..).take_while(|_| cache.contains_key(&key)).for_each(|other| _ = cache.insert(other % 500, 0));
            cache.insert(501, 0);
            let refused = cache.insert_at(key, 6, 6).is_err();
            if start.elapsed() < TTL {
                assert!(refused, "the dead came back");
                break;
            }
        }
    });
}

/// What was written over a state goes, and the state stays dead, though several may have one source version.
#[test]
fn a_state_that_was_written_over_does_not_come_back_when_its_successor_goes() {
    let leave: [fn(&Cache<u64, &str>); 3] =
        [|cache| assert!(cache.invalidate(&1)), |cache| cache.set_capacity(0), |cache| cache.clear()];
    for leave in leave {
        let cache: Cache<u64, &str> = Cache::builder().equal_source(EqualSource::Replace).max_capacity(10).build().unwrap();
        cache.insert_at(1, "state 5", 5).unwrap();
        cache.insert(1, "written over it");
        assert!(cache.insert_at(1, "state 5", 5).is_err());
        leave(&cache);
        cache.set_capacity(10);
        assert!(cache.insert_at(1, "state 5", 5).is_err());
        assert_eq!(cache.get(&1), None);
        let loaded = cache.load(&1, || Ok::<_, ()>(Loaded::new("loaded").at(5)));
        assert_eq!((loaded, cache.get(&1)), (Ok("loaded"), Some("loaded")), "whoever loads has read it later");
    }
}

/// That some tombstone was lost lets no load in which the key's own keeps out.
#[test]
fn a_tombstone_that_is_there_keeps_loads_out_whatever_else_is_forgotten() {
    for lost in [false, true] {
        let cache: Cache<u64, &str> = Cache::builder().stripes(1).tombstone_capacity(2).build().unwrap();
        if lost {
            cache.invalidate_at(&8, 1);
        }
        cache.invalidate_at(&9, 1);
        cache.invalidate_at(&1, 9);
        let Leased::Lease(lease) = cache.get_or_lease(&1, None) else { panic!("it is absent") };
        assert!(lease.fill_loaded(Loaded::new("of a copy that lags").at(3)).is_err(), "{lost}");
        assert_eq!(cache.get(&1), None, "{lost}");
    }
}
