//! Loads of threads: one at a time, and nothing that was read before a write or invalidation comes back after it.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use brindle::Clock;
use brindle::LoadError;
use brindle::MockClock;
use brindle::Op;

use super::play::play;
use super::stage::FAR;
use super::stage::KEY;
use super::stage::NEAR;
use super::stage::Room;
use super::stage::Small;
use super::stage::Source;
use super::stage::both;
use super::stage::check_idle;
use super::stage::each;
use super::stage::falter;
use super::stage::falters;
use super::stage::one_of;
use super::stage::plain;
use super::stage::small;
use super::stage::three;

/// What ends everything that is known of a key.
pub(crate) const ENDS: &[fn(&Small)] = &[
    |cache| _ = cache.invalidate(&KEY),
    |cache| _ = cache.remove(&KEY),
    |cache| _ = cache.remove_if(&KEY, |_, _| true),
    |cache| _ = cache.invalidate_at(&KEY, 100),
    |cache| cache.clear(),
    |cache| cache.retain(|_, _| false),
    |cache| cache.transaction(|t| t.invalidate(&KEY)).unwrap(),
    |cache| _ = cache.entry(KEY).and_compute_with(|_| Op::Remove),
];

#[test]
fn all_who_miss_at_once_share_one_load() {
    play(|| {
        let (cache, loader) = (plain(4), Room::new());
        let got = each(3, |own| cache.get_with(&KEY, || loader.alone(|| own)));
        assert_eq!(loader.entered(), 1);
        assert!(got.iter().all(|value| Some(*value) == cache.get(&KEY)), "{got:?}");
        check_idle(&cache);
    });
}

/// The source's state becomes 2, and the cache learns of it by one of these ways while others load: who comes after it gets nothing older.
pub(crate) fn load_beside(ways: &'static [fn(&Small)], load: fn(&Small, &Source) -> u64) {
    play(move || {
        let (cache, source) = (plain(4), Source::new(1));
        let load = || load(&cache, &source);
        let change = || {
            source.write(2);
            one_of(ways)(&cache);
            assert!(matches!(cache.get(&KEY), None | Some(2)));
            assert_eq!(load(), 2);
        };
        three(load, change, load);
        assert!(matches!(cache.get(&KEY), None | Some(2)));
        check_idle(&cache);
    });
}

fn load(cache: &Small, source: &Source) -> u64 {
    cache.get_with(&KEY, || source.read_slowly())
}

#[test]
fn nothing_from_before_an_invalidation_is_got_after_it() {
    load_beside(ENDS, load);
}

#[test]
fn nothing_from_before_a_write_is_got_after_it() {
    const WRITES: &[fn(&Small)] = &[
        |cache| _ = cache.insert(KEY, 2),
        |cache| _ = cache.insert_at(KEY, 2, 7).unwrap(),
        |cache| _ = cache.insert_with_ttl(KEY, 2, Duration::from_secs(1)),
        |cache| cache.transaction(|t| t.insert(KEY, 2)).unwrap(),
        |cache| _ = cache.entry(KEY).and_compute_with(|_| Op::Put(2)),
        |cache| _ = cache.write_through(KEY, |_| Ok::<_, ()>(2.into())).unwrap(),
    ];
    load_beside(WRITES, load);
}

#[test]
fn a_load_that_a_write_overtook_yields_to_it() {
    play(|| {
        let cache = plain(4);
        let (got, _) = both(|| cache.get_with(&KEY, || 1), || cache.insert(KEY, 2));
        assert!(matches!(got, 1 | 2));
        assert_eq!(cache.get(&KEY), Some(2));
        check_idle(&cache);
    });
}

#[test]
fn all_who_wait_get_the_error_and_nothing_stays_of_it() {
    play(|| {
        let (cache, loader) = (plain(4), Room::new());
        let load = |_| cache.try_get_with(&KEY, || loader.alone(|| if loader.entered() == 1 { Err("down") } else { Ok(7) }));
        let got = each(3, load);
        assert!(got.iter().all(|got| matches!(got, Err(LoadError::Failed("down")) | Ok(7))), "{got:?}");
        assert!(got.contains(&Err(LoadError::Failed("down"))));
        assert!(loader.entered() <= 2, "of those who came after the error one loaded");
        assert_eq!(load(0), Ok(7));
        check_idle(&cache);
    });
}

#[test]
fn a_loader_that_panics_is_taken_over() {
    play(|| {
        let (cache, loader) = (plain(4), Room::new());
        let (_, one, two) = three(
            || falters(|| cache.get_with(&KEY, falter)),
            || cache.get_with(&KEY, || loader.alone(|| 7)),
            || cache.try_get_with(&KEY, || loader.alone(|| Ok::<_, ()>(7))),
        );
        assert_eq!((one, two), (7, Ok(7)));
        assert_eq!(loader.entered(), 1);
        check_idle(&cache);
    });
}

#[test]
fn who_asks_for_what_he_loads_is_told_so() {
    play(|| {
        let cache = plain(4);
        let inner = || cache.try_get_with(&KEY, || Ok::<_, ()>(1));
        // Through the other's load and back, or at once.
        let (one, two) = both(
            || cache.try_get_with(&KEY, || cache.try_get_with(&NEAR, || inner().map_err(drop)).map_err(drop)),
            || cache.try_get_with(&NEAR, || inner().map_err(drop)),
        );
        assert!(one.is_err() || one == Ok(1));
        assert!(two.is_err() || two == Ok(1));
        check_idle(&cache);
    });
}

#[test]
fn loads_that_need_each_other_do_not_wait_for_ever() {
    play(|| {
        let cache = plain(4);
        let load = |one: u64, other: u64| {
            cache.try_get_with(&one, || cache.try_get_with(&other, || Ok::<_, ()>(5)).map_err(drop)).is_ok()
        };
        // Who would close the circle gets an error, and so may the other: but nobody hangs.
        both(|| load(KEY, FAR), || load(FAR, KEY));
        assert!(load(KEY, FAR));
        check_idle(&cache);
    });
}

#[test]
fn a_refresh_takes_the_old_value_from_nobody() {
    play(|| {
        let (cache, source, loader) = (plain(4), Source::new(1), Room::new());
        cache.insert(KEY, 1);
        source.write(2);
        let refresh = || cache.refresh(&KEY, || loader.alone(|| source.read_slowly()));
        let (one, two, read) = three(refresh, refresh, || cache.get(&KEY));
        assert_eq!((one, two), (2, 2));
        assert!(matches!(read, Some(1 | 2)), "{read:?}");
        assert_eq!(cache.get(&KEY), Some(2));
        check_idle(&cache);
    });
}

#[test]
fn of_many_keys_each_is_loaded_once() {
    play(|| {
        let cache = plain(8);
        let loads = [const { AtomicU64::new(0) }; 4];
        let load = |keys: Vec<u64>| {
            keys.iter().for_each(|&key| _ = loads[key as usize].fetch_add(1, SeqCst));
            Ok::<_, ()>(keys.into_iter().map(|key| (key, key * 10)).collect::<Vec<_>>())
        };
        let (one, two, single) = three(
            || cache.try_get_many_with([&1, &2], load).unwrap(),
            || cache.try_get_many_with([&3, &2, &1], load).unwrap(),
            || cache.try_get_with(&2, || load(vec![2]).map(|loaded| loaded[0].1)).unwrap(),
        );
        assert_eq!(one, [Some(10), Some(20)]);
        assert_eq!(two, [Some(30), Some(20), Some(10)]);
        assert_eq!(single, 20);
        assert_eq!(loads.map(AtomicU64::into_inner), [0, 1, 1, 1]);
        check_idle(&cache);
    });
}

#[test]
fn many_keys_beside_an_invalidation_of_one() {
    play(|| {
        let (cache, source) = (plain(8), Source::new(1));
        let load = || {
            let brought =
                |keys: Vec<u64>| Ok::<_, ()>(keys.into_iter().map(|key| (key, source.read_slowly())).collect::<Vec<_>>());
            cache.try_get_many_with([&KEY, &FAR], brought).unwrap()
        };
        let invalidate = || {
            source.write(2);
            one_of(ENDS)(&cache);
            assert_eq!(load()[0], Some(2));
        };
        both(load, invalidate);
        check_idle(&cache);
    });
}

#[test]
fn a_failure_is_the_answer_until_its_time_is_up() {
    play(|| {
        let (clock, time) = Clock::mock();
        let cache = small(4).negative_ttl(Duration::from_secs(10)).clock(clock).build().unwrap();
        let (moved, ended) = (Source::new(0), Source::new(0));
        let fail = || {
            let first = cache.try_get_with(&KEY, || Err::<u64, _>("down"));
            let mut loaded = false;
            let second = cache.try_get_with(&KEY, || {
                loaded = true;
                Ok::<u64, &str>(1)
            });
            // What the second answer rests on was there when it was given.
            if first.is_err() && loaded {
                assert!(moved.read() == 1 || ended.read() == 1, "{second:?}");
            }
        };
        let pass = || {
            moved.write(1);
            time.advance(Duration::from_secs(10));
        };
        let end = || {
            ended.write(1);
            cache.invalidate(&KEY);
            assert!(cache.get_with(&KEY, || 2) > 0, "calls that cannot fail load all the same");
        };
        three(fail, pass, end);
        check_idle_failed(&cache, &time);
    });
}

/// A failure that is still remembered is a flight: it goes when its time is up.
fn check_idle_failed(cache: &Small, time: &MockClock) {
    time.advance(Duration::from_secs(20));
    let _ = cache.try_get_with(&KEY, || Ok::<_, ()>(3));
    check_idle(cache);
}
