//! What `stats` counts of loads: for each number a course of events that is the same every time.

mod common;
mod hand;

use brindle::Cache;
use brindle::Clock;
use brindle::Leased;
use brindle::Loaded;
use brindle::MockClock;
use brindle::Stats;

use common::watched;
use hand::Broken;
use hand::Crowd;
use hand::Face;
use hand::GETS;
use hand::Leader;
use hand::Numbers;
use hand::OVERTAKINGS;
use hand::RELOADS;
use hand::Said;
use hand::all_at_once;
use hand::ask;
use hand::seconds;
use hand::those;

/// The counts of loads.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Counts {
    loads: u64,
    load_failures: u64,
    load_timeouts: u64,
    takeovers: u64,
    fenced: u64,
    loads_older: u64,
    stale_served: u64,
    waits: u64,
    flights: usize,
}

impl From<Stats> for Counts {
    fn from(stats: Stats) -> Self {
        Counts {
            loads: stats.loads,
            load_failures: stats.load_failures,
            load_timeouts: stats.load_timeouts,
            takeovers: stats.takeovers,
            fenced: stats.fenced,
            loads_older: stats.loads_older,
            stale_served: stats.stale_served,
            waits: stats.waits,
            flights: stats.flights,
        }
    }
}

const NONE: Counts = Counts {
    loads: 0,
    load_failures: 0,
    load_timeouts: 0,
    takeovers: 0,
    fenced: 0,
    loads_older: 0,
    stale_served: 0,
    waits: 0,
    flights: 0,
};

fn built() -> (Numbers, MockClock) {
    let (clock, hand) = Clock::mock();
    let builder = Cache::builder().max_capacity(1_000).stripes(2).clock(clock);
    (builder.load_timeout(seconds(10)).time_to_live(seconds(100)).serve_stale(seconds(50)).build().unwrap(), hand)
}

#[track_caller]
fn counts(cache: &Numbers, expected: Counts) {
    assert_eq!(Counts::from(cache.stats()), expected);
}

fn every_face() -> impl Iterator<Item = Face> {
    GETS.into_iter().chain(RELOADS)
}

#[test]
fn a_load_is_counted_when_it_starts_and_a_hit_is_none() {
    watched(|| {
        for face in every_face() {
            let (cache, _) = built();
            counts(&cache, NONE);
            let leader = Leader::start(face, &cache, 1);
            assert_eq!(Counts::from(cache.stats()), Counts { loads: 1, flights: 1, ..NONE }, "{face:?}");
            leader.end(Ok(10));
            assert_eq!(Counts::from(cache.stats()), Counts { loads: 1, ..NONE }, "{face:?}");
            all_at_once(&cache, 1, Said::Value(10), "there");
            assert_eq!(Counts::from(cache.stats()), Counts { loads: 1, ..NONE }, "hits after {face:?}");
            assert_eq!(cache.stats().inserts, 1, "{face:?}");
        }
    });
}

#[test]
fn open_flights_are_counted_while_they_are_open() {
    watched(|| {
        let (cache, _) = built();
        let mut leaders: Vec<_> = (0..10).map(|key| Leader::start(Face::TryGetWithAsync, &cache, key)).collect();
        let batch = Leader::start(Face::ManyAsync, &cache, 100);
        assert_eq!(cache.stats().flights, 11);
        batch.end(Ok(1));
        leaders.pop().unwrap().end(Ok(1));
        leaders.pop().unwrap().end(Err(Broken(1)));
        leaders.pop().unwrap().cancel();
        leaders.pop().unwrap().panic();
        assert_eq!(cache.stats().flights, 6);
        leaders.clear();
        counts(&cache, Counts { loads: 11, load_failures: 1, ..NONE });
    });
}

#[test]
fn a_failure_is_counted_once_however_many_share_it() {
    watched(|| {
        for face in every_face().filter(|face| face.may_fail()) {
            let (cache, _) = built();
            let leader = Leader::start(face, &cache, 1);
            let sharing = [Face::TryGetWith, Face::LoadAsync, Face::Load];
            let crowd = Crowd::gather(&cache, 1, &sharing, Ok(99));
            leader.end(Err(Broken(1)));
            for (sharer, answer) in crowd.answers() {
                assert!([Said::Failed(1), Said::Elsewhere].contains(&answer), "{sharer:?} gets {answer:?} of {face:?}");
            }
            assert_eq!(Counts::from(cache.stats()), Counts { loads: 1, load_failures: 1, waits: 3, ..NONE }, "{face:?}");
        }
        let (cache, _) = built();
        let Leased::Lease(lease) = cache.get_or_lease(&1, None) else { panic!("nobody else loads it") };
        lease.fail(Broken(1));
        counts(&cache, Counts { loads: 1, load_failures: 1, ..NONE });
    });
}

#[test]
fn each_caller_who_joins_a_load_is_counted() {
    watched(|| {
        for face in every_face() {
            let (cache, _) = built();
            let leader = Leader::start(face, &cache, 1);
            let everyone: Vec<_> = every_face().collect();
            let crowd = Crowd::gather(&cache, 1, &everyone, Ok(99));
            leader.end(Ok(10));
            crowd.all_get(Said::Value(10));
            counts(&cache, Counts { loads: 1, waits: everyone.len() as u64, ..NONE });
        }
    });
}

#[test]
fn a_takeover_is_counted_when_a_waiter_becomes_the_leader() {
    watched(|| {
        for face in every_face() {
            for panics in [false, true] {
                let (cache, _) = built();
                let leader = Leader::start(face, &cache, 1);
                let crowd = Crowd::gather(&cache, 1, &those(&GETS, |face| !face.is_many()), Ok(99));
                let waits = cache.stats().waits;
                match panics {
                    false if !face.is_async() => {
                        leader.end(Ok(99));
                        crowd.all_get(Said::Value(99));
                        counts(&cache, Counts { loads: 1, waits, ..NONE });
                        continue;
                    }
                    false => leader.cancel(),
                    true => leader.panic(),
                }
                crowd.all_get(Said::Value(99));
                assert_eq!(Counts::from(cache.stats()), Counts { loads: 2, takeovers: 1, waits, ..NONE }, "{face:?}");
            }
        }
        // Where nobody waits there is nothing to take over: the next caller begins anew.
        let (cache, _) = built();
        Leader::start(Face::TryGetWithAsync, &cache, 1).cancel();
        ask(Face::GetWith, &cache, 1, || Ok(10));
        counts(&cache, Counts { loads: 2, ..NONE });
    });
}

#[test]
fn a_timeout_is_counted_when_an_overdue_lease_is_taken_over() {
    watched(|| {
        for face in every_face() {
            let (cache, hand) = built();
            let hangs = Leader::start(face, &cache, 1);
            hand.advance(seconds(10));
            assert_eq!(ask(Face::TryGetWith, &cache, 1, || Ok(10)), Said::Value(10));
            let expected = Counts { loads: 2, load_timeouts: 1, takeovers: 1, ..NONE };
            assert_eq!(Counts::from(cache.stats()), expected, "{face:?}");
            hangs.end(Ok(99));
            assert_eq!((Counts::from(cache.stats()), cache.get(&1)), (expected, Some(10)), "{face:?}, too late");
        }
        // One that is late, but that nobody missed, was not taken over.
        let (cache, hand) = built();
        let late = Leader::start(Face::TryGetWith, &cache, 1);
        hand.advance(seconds(10));
        late.end(Ok(10));
        assert_eq!((cache.stats().takeovers, cache.stats().flights), (0, 0));
    });
}

#[test]
fn a_load_whose_result_a_fence_kept_out_is_counted() {
    watched(|| {
        for (face, by) in every_face().flat_map(|face| OVERTAKINGS.iter().map(move |by| (face, by))) {
            let (cache, _) = built();
            let leader = Leader::start(face, &cache, 1);
            (by.act)(&cache, 1);
            leader.end(Ok(99));
            let expected = Counts { loads: 1, fenced: 1, ..NONE };
            assert_eq!(Counts::from(cache.stats()), expected, "{face:?} overtaken by {}", by.name);
        }
        // What changes nothing fences nothing.
        let (cache, _) = built();
        let leader = Leader::start(Face::TryGetWith, &cache, 1);
        assert!(cache.compare_and_swap(1, cache.insert(2, 2), 5).is_err());
        _ = (cache.get(&1), cache.invalidate(&2), cache.entry(1).and_compute_with(|_| brindle::Op::Keep));
        leader.end(Ok(10));
        counts(&cache, Counts { loads: 1, ..NONE });
    });
}

#[test]
fn a_load_whose_result_is_older_than_what_is_known_is_counted() {
    watched(|| {
        let (cache, _) = built();
        // Known before the load began: no fence comes between.
        cache.insert_at(1, 70, 7).unwrap();
        assert_eq!(cache.reload(&1, || Ok::<_, Broken>(Loaded::new(60).at(6))), Ok(70), "the newer one is there");
        counts(&cache, Counts { loads: 1, loads_older: 1, ..NONE });
        cache.invalidate_at(&2, 7);
        assert_eq!(cache.load(&2, || Ok::<_, Broken>(Loaded::new(60).at(6))), Ok(60), "nothing newer is there");
        counts(&cache, Counts { loads: 2, loads_older: 2, ..NONE });
        let Leased::Lease(lease) = cache.get_or_lease(&2, None) else { panic!("nobody else loads it") };
        assert!(lease.fill_loaded(Loaded::new(60).at(6)).is_err());
        counts(&cache, Counts { loads: 3, loads_older: 3, ..NONE });
        for source in [7, 8] {
            assert_eq!(cache.reload(&1, || Ok::<_, Broken>(Loaded::new(source * 10).at(source))), Ok(source * 10));
            assert_eq!(cache.get(&1), Some(source * 10));
        }
        counts(&cache, Counts { loads: 5, loads_older: 3, ..NONE });
        assert_eq!(cache.stats().refused_stale, 0, "those are of writes");
    });
}

#[test]
fn each_stale_answer_is_counted() {
    watched(|| {
        let (cache, hand) = built();
        cache.insert(1, 10);
        hand.advance(seconds(100));
        let leader = Leader::start(Face::GetWithAsync, &cache, 1);
        for served in 0..5 {
            counts(&cache, Counts { loads: 1, flights: 1, stale_served: served * GETS.len() as u64, ..NONE });
            all_at_once(&cache, 1, Said::Value(10), "there");
        }
        _ = (cache.get(&1), cache.peek(&1));
        leader.end(Ok(11));
        all_at_once(&cache, 1, Said::Value(11), "there");
        counts(&cache, Counts { loads: 1, stale_served: 5 * GETS.len() as u64, ..NONE });
    });
}

/// A hit of a load face is a hit; one that leads or waits missed.
#[test]
fn hits_and_misses_are_those_of_the_callers() {
    watched(|| {
        for face in GETS {
            let (cache, _) = built();
            let leader = Leader::start(face, &cache, 1);
            assert_eq!((cache.stats().hits, cache.stats().misses), (0, 1), "{face:?} leads");
            let crowd = Crowd::gather(&cache, 1, &GETS, Ok(99));
            assert_eq!((cache.stats().hits, cache.stats().misses), (0, 1 + GETS.len() as u64), "all wait for {face:?}");
            leader.end(Ok(10));
            crowd.all_get(Said::Value(10));
            all_at_once(&cache, 1, Said::Value(10), "there");
            let stats = cache.stats();
            assert_eq!((stats.hits, stats.misses), (GETS.len() as u64, 1 + GETS.len() as u64), "{face:?}");
        }
    });
}
