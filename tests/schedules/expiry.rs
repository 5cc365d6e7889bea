//! Expiry, by a clock that other threads move.

use std::time::Duration;

use brindle::Clock;
use brindle::Expiry;
use brindle::MockClock;
use shuttle::thread;

use super::common::Census;
use super::play::play;
use super::stage::KEY;
use super::stage::NEAR;
use super::stage::Small;
use super::stage::Source;
use super::stage::check_idle;
use super::stage::small;
use super::stage::three;

const TTL: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_secs(5);

/// Moves the time in two steps, and says so after each.
fn pass(time: &MockClock, steps: &Source) {
    for _ in 0..2 {
        time.advance(STEP);
        steps.advance();
    }
}

#[test]
fn nobody_reads_what_has_expired() {
    play(|| {
        let (clock, time) = Clock::mock();
        let cache = small(4).time_to_live(TTL).clock(clock).build().unwrap();
        let steps = Source::new(0);
        cache.insert(KEY, 0);
        let read = || {
            for _ in 0..2 {
                let over = steps.read() == 2;
                let read = cache.get(&KEY);
                assert!(!over || read.is_none(), "{read:?}");
            }
        };
        let write = || {
            let begun = steps.read();
            cache.insert(NEAR, begun);
            begun
        };
        let (_, begun, ()) = three(read, write, || pass(&time, &steps));
        assert!(begun != 2 || cache.get(&NEAR) == Some(2));
        time.advance(TTL);
        assert_eq!(cache.get(&NEAR), None);
        check_idle_expired(&cache);
    });
}

/// Entries whose time is up go by ordinary traffic.
fn check_idle_expired(cache: &Small) {
    (10..14).for_each(|key| _ = cache.insert(key, 0));
    check_idle(cache);
}

#[test]
fn who_is_read_goes_on() {
    play(|| {
        let (clock, time) = Clock::mock();
        let cache = small(4).time_to_idle(TTL).clock(clock).build().unwrap();
        cache.insert(KEY, 1);
        let (begun, done) = (Source::new(0), Source::new(0));
        let read = || {
            let after = done.read();
            let read = cache.get(&KEY);
            assert!(read.is_some() || begun.read() == 2, "not idle for so long");
            after == 1 && read.is_some()
        };
        let pass = || {
            for _ in 0..2 {
                begun.advance();
                time.advance(STEP);
                done.advance();
            }
        };
        let (one, two, ()) = three(read, read, pass);
        // Read after the first step, it outlives the second.
        assert!(!(one || two) || cache.get(&KEY) == Some(1));
        time.advance(TTL);
        assert_eq!(cache.get(&KEY), None);
    });
}

#[test]
fn each_entry_has_its_own_time() {
    struct AsItSays;
    impl Expiry<u64, u64> for AsItSays {
        fn after_create(&self, _key: &u64, value: &u64) -> Option<Duration> {
            Some(Duration::from_secs(*value))
        }
    }
    play(|| {
        let (clock, time) = Clock::mock();
        let cache = small(4).expire_after(AsItSays).clock(clock).build().unwrap();
        let write = || {
            cache.insert(KEY, 100);
            cache.insert_with_ttl(NEAR, 1, Duration::from_secs(100));
        };
        let rewrite = || _ = cache.insert(KEY, 200);
        let step = || {
            time.advance(STEP);
            cache.insert(NEAR, 3);
            thread::yield_now();
            time.advance(STEP);
        };
        three(write, rewrite, step);
        assert!(matches!(cache.get(&KEY), Some(100 | 200)));
        assert!(matches!(cache.get(&NEAR), None | Some(1 | 3)));
        time.advance(Duration::from_secs(300));
        assert_eq!(cache.get_many([&KEY, &NEAR]), [None, None]);
    });
}

#[test]
fn expired_values_are_dropped_by_ordinary_traffic() {
    play(|| {
        let (clock, time) = Clock::mock();
        let census = Census::default();
        let cache = small(8).time_to_live(TTL).clock(clock).build().unwrap();
        (1..4).for_each(|key| _ = cache.insert(key, census.value(key)));
        let write = || _ = cache.insert(KEY, census.value(9));
        let read = || cache.with(&NEAR, |value| value.id());
        let (_, _, ()) = three(write, read, || time.advance(TTL));
        time.advance(TTL);
        cache.insert(20, census.value(20));
        cache.reclaim();
        assert_eq!((census.alive(), cache.len()), (1, 1));
    });
}
