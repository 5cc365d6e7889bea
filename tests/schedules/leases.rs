//! Leases by hand: filled, failed, dropped, leaked, overdue, fenced.

use std::mem::forget;
use std::time::Duration;

use brindle::Clock;
use brindle::Lease;
use brindle::Leased;
use brindle::LoadError;
use brindle::Version;
use brindle::WhyUnfilled;
use shuttle::future::block_on;
use shuttle::thread;

use super::play::play;
use super::stage::KEY;
use super::stage::Room;
use super::stage::Small;
use super::stage::Source;
use super::stage::both;
use super::stage::check_idle;
use super::stage::each;
use super::stage::lease;
use super::stage::one_of;
use super::stage::plain;
use super::stage::small;
use super::stage::three;

const TIMEOUT: Duration = Duration::from_secs(10);

#[test]
fn a_lease_that_is_dropped_goes_to_the_next() {
    play(|| {
        let cache = plain(4);
        let take = |own: u64| match cache.get_or_lease(&KEY, None) {
            Leased::Value(value) => value,
            Leased::Lease(lease) if own < 2 => {
                drop(lease);
                0
            }
            Leased::Lease(lease) => {
                lease.fill(own).unwrap();
                own
            }
            other => unreachable!("{other:?}"),
        };
        let got = each(3, take);
        assert_eq!(got[2], 2);
        assert_eq!(cache.get(&KEY), Some(2));
        check_idle(&cache);
    });
}

#[test]
fn tasks_and_threads_stand_in_one_line_for_leases() {
    play(|| {
        let cache = plain(4);
        let finish = |leased| match leased {
            Leased::Value(value) => value,
            Leased::Lease(lease) => {
                assert!(lease.is_current());
                let _ = lease.fill(1).unwrap();
                1
            }
            other => unreachable!("{other:?}"),
        };
        let (one, two, _) = three(
            || finish(cache.get_or_lease(&KEY, None)),
            || finish(block_on(cache.get_or_lease_async(&KEY))),
            // Leaves by itself if somebody else has it.
            || drop(cache.get_or_lease(&KEY, Some(Duration::ZERO))),
        );
        assert_eq!((one, two), (1, 1));
        check_idle(&cache);
    });
}

#[test]
fn a_fenced_lease_stores_nothing() {
    play(|| {
        let cache = plain(4);
        let lease = lease(&cache, KEY);
        let (filled, written, waited) =
            three(move || lease.fill(1).map_err(|unfilled| unfilled.why), || cache.insert(KEY, 2), || cache.get_with(&KEY, || 3));
        match filled {
            Ok(version) => assert!(version < written, "stored before the write, or not at all"),
            Err(why) => assert_eq!(why, WhyUnfilled::Fenced),
        }
        assert!(matches!(waited, 1 | 2));
        assert_eq!(cache.get(&KEY), Some(2));
        check_idle(&cache);
    });
}

#[test]
fn a_failed_lease_is_the_answer_to_those_who_wait() {
    play(|| {
        let cache = plain(4);
        let lease = lease(&cache, KEY);
        let load = || cache.try_get_with(&KEY, || Ok::<_, &str>(2));
        let ((), one, lease) = three(
            move || lease.fail("down"),
            load,
            || match cache.get_or_lease(&KEY, None) {
                Leased::Lease(lease) => lease.fill(3).is_ok(),
                _ => false,
            },
        );
        assert!(matches!(one, Err(LoadError::Failed("down")) | Ok(2 | 3)), "{one:?}");
        assert_eq!(cache.get(&KEY), if lease { Some(3) } else { one.ok() });
        check_idle(&cache);
    });
}

/// Takes the lease however long it takes, without sleeping: time moves by itself here, and nobody is woken by it.
fn insist(cache: &Small) -> Option<Lease<u64, u64>> {
    loop {
        match cache.get_or_lease(&KEY, Some(Duration::ZERO)) {
            Leased::Lease(lease) => return Some(lease),
            Leased::Value(_) => return None,
            _ => thread::yield_now(),
        }
    }
}

#[test]
fn an_overdue_lease_is_taken_over_and_stores_nothing_more() {
    play(|| {
        let (clock, time) = Clock::mock();
        let cache = small(4).load_timeout(TIMEOUT).clock(clock).build().unwrap();
        let (moving, moved) = (Source::new(0), Source::new(0));
        let fill = |own| -> Option<(Version, u64)> {
            let lease = insist(&cache)?;
            thread::yield_now();
            lease.fill(own).ok().map(|version| (version, own))
        };
        let hold = || {
            let lease = insist(&cache)?;
            let held = moving.read() == 0;
            // Until its time is up, if it was given before that.
            while held && moved.read() == 0 {
                thread::yield_now();
            }
            let filled = lease.fill(9).map(|version| (version, 9)).map_err(|unfilled| unfilled.why);
            assert!(!held || filled == Err(WhyUnfilled::TimedOut), "{filled:?}");
            filled.ok()
        };
        let pass = || {
            moving.write(1);
            time.advance(TIMEOUT);
            moved.write(1);
        };
        let (one, two, ()) = three(hold, || fill(1), pass);
        let stored = one.into_iter().chain(two).max();
        assert_eq!(cache.get_entry(&KEY).map(|entry| (entry.version, entry.value)), stored);
        time.advance(TIMEOUT);
        drop(insist(&cache));
        check_idle(&cache);
    });
}

#[test]
fn a_leaked_lease_holds_its_key_no_longer_than_its_time() {
    play(|| {
        let (clock, time) = Clock::mock();
        let cache = small(4).load_timeout(TIMEOUT).clock(clock).build().unwrap();
        let lease = lease(&cache, KEY);
        let loader = Room::new();
        let take = || match insist(&cache) {
            Some(lease) => loader.alone(|| lease.fill(2).is_ok()),
            None => false,
        };
        let (one, two, ()) = three(take, take, || {
            forget(lease);
            time.advance(TIMEOUT);
        });
        assert!(one != two, "one of them filled it, the other got that");
        assert_eq!(cache.get(&KEY), Some(2));
        check_idle(&cache);
    });
}

#[test]
fn a_lease_outlives_an_invalidation_for_those_who_came_before() {
    play(|| {
        let (cache, source) = (plain(4), Source::new(1));
        let take = || match cache.get_or_lease(&KEY, None) {
            Leased::Value(value) => value,
            Leased::Lease(lease) => {
                let state = source.read_slowly();
                match *one_of(&[0, 1]) {
                    0 => drop(lease),
                    _ => drop(lease.fill(state)),
                }
                state
            }
            other => unreachable!("{other:?}"),
        };
        let invalidate = || {
            source.write(2);
            cache.invalidate(&KEY);
            assert_eq!(take(), 2);
        };
        both(take, invalidate);
        assert!(matches!(cache.get(&KEY), None | Some(2)));
        check_idle(&cache);
    });
}
