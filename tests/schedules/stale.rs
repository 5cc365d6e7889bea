//! Stale service, refreshing and loads in the background.

use std::sync::Arc;
use std::time::Duration;

use brindle::BackgroundLoad;
use brindle::Clock;
use brindle::Loaded;
use brindle::MockClock;
use shuttle::future::spawn;
use shuttle::future::yield_now;
use shuttle::thread;

use super::loads::ENDS;
use super::play::play;
use super::stage::KEY;
use super::stage::Room;
use super::stage::Small;
use super::stage::Source;
use super::stage::check_idle;
use super::stage::each;
use super::stage::one_of;
use super::stage::small;
use super::stage::three;

const TTL: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(60);

/// A cache whose one value has expired, and may be served still.
fn stale() -> (Small, MockClock) {
    let (clock, time) = Clock::mock();
    let cache = small(4).time_to_live(TTL).serve_stale(GRACE).fail_safe().clock(clock).build().unwrap();
    cache.insert(KEY, 1);
    time.advance(TTL);
    (cache, time)
}

#[test]
fn while_one_loads_the_others_get_what_is_stale() {
    play(|| {
        let ((cache, _), loader) = (stale(), Room::new());
        let got = each(3, |_| cache.get_with(&KEY, || loader.alone(|| Source::new(2).read_slowly())));
        assert_eq!(loader.entered(), 1);
        assert!(got.contains(&2) && got.iter().all(|value| matches!(value, 1 | 2)), "{got:?}");
        assert_eq!(cache.get(&KEY), Some(2));
        check_idle(&cache);
    });
}

#[test]
fn what_is_stale_covers_up_failures() {
    play(|| {
        let (cache, time) = stale();
        let fail = || cache.try_get_with(&KEY, || Err::<u64, _>("down"));
        let (one, two, ()) = three(fail, fail, || time.advance(GRACE / 2));
        assert_eq!((one, two), (Ok(1), Ok(1)));
        assert_eq!(cache.get(&KEY), None, "reads that do not load do not see it");
        time.advance(GRACE);
        assert!(fail().is_err());
        check_idle(&cache);
    });
}

#[test]
fn what_was_ended_is_wrong_and_not_stale() {
    play(|| {
        let ((cache, _), source) = (stale(), Source::new(1));
        let load = || cache.get_with(&KEY, || source.read_slowly());
        let end = || {
            source.write(2);
            one_of(ENDS)(&cache);
            assert_eq!(load(), 2);
        };
        three(load, end, || _ = cache.try_get_with(&KEY, || Err::<u64, _>("down")));
        assert!(matches!(cache.get(&KEY), None | Some(2)));
        check_idle(&cache);
    });
}

/// A cache that refreshes in the background, by tasks of the model, from a source; in a room, if one at a time may do it.
fn refreshing(source: &Arc<Source>, loader: Option<&Arc<Room>>) -> (Small, MockClock) {
    let (clock, time) = Clock::mock();
    let (source, loader) = (Arc::clone(source), loader.cloned());
    let reload = move |_: &u64| {
        let (source, loader) = (Arc::clone(&source), loader.clone());
        async move {
            let _inside = loader.as_deref().map(Room::enter);
            let state = source.read();
            yield_now().await;
            if state == 9 { Err("down") } else { Ok(Loaded::new(state)) }
        }
    };
    let started = |load: BackgroundLoad| drop(spawn(load));
    (small(4).refresh_after(TTL).spawner(started, reload).clock(clock).build().unwrap(), time)
}

/// Waits for those in the background.
fn end_of_loads(cache: &Small) {
    while cache.stats().flights > 0 {
        thread::yield_now();
    }
}

#[test]
fn the_background_loads_one_at_a_time_and_nobody_waits() {
    play(|| {
        let (source, loader) = (Arc::new(Source::new(2)), Arc::new(Room::new()));
        let (cache, time) = refreshing(&source, Some(&loader));
        cache.insert(KEY, 1);
        time.advance(TTL);
        let got = each(3, |_| cache.get_with(&KEY, || unreachable!("it is loaded in the background")));
        assert!(got.iter().all(|value| matches!(value, 1 | 2)), "{got:?}");
        end_of_loads(&cache);
        assert!((1..=3).contains(&loader.entered()), "who saw the old value may ask for one more");
        assert_eq!(cache.get(&KEY), Some(2));
        check_idle(&cache);
    });
}

#[test]
fn the_background_brings_nothing_from_before_a_write() {
    play(|| {
        let source = Arc::new(Source::new(1));
        let (cache, time) = refreshing(&source, None);
        cache.insert(KEY, 1);
        time.advance(TTL);
        let load = || cache.get_with(&KEY, || source.read_slowly());
        let end = || {
            source.write(2);
            one_of(ENDS)(&cache);
            assert_eq!(load(), 2);
        };
        let fail = || source.write(9);
        let fails = *one_of(&[true, false]);
        if fails {
            three(load, fail, load)
        } else {
            three(load, end, load)
        };
        end_of_loads(&cache);
        assert!(fails || matches!(cache.get(&KEY), None | Some(2)));
        assert!(!fails || matches!(cache.get(&KEY), Some(1)));
        check_idle(&cache);
    });
}

#[test]
fn a_value_is_loaded_before_its_time_is_up() {
    play(|| {
        let (clock, time) = Clock::mock();
        let cache = small(4).time_to_live(TTL).early_refresh(1.0).clock(clock).build().unwrap();
        let slow = |value| {
            time.advance(TTL / 4);
            value
        };
        cache.get_with(&KEY, || slow(0));
        let loader = Room::new();
        let got = each(3, |own| {
            time.advance(TTL / 5);
            cache.get_with(&KEY, || loader.alone(|| slow(own)))
        });
        assert!(got.iter().all(|value| *value < 3));
        check_idle(&cache);
    });
}
