//! What depends on time: entries that expire, and the clock itself.

use std::time::Duration;

use crate::time::Clock;

use super::trial::BUILT;
use super::trial::beside;
use super::trial::explore;
use super::trial::small;
use super::trial::spawn;

const SHORT: Duration = Duration::from_nanos(10);

#[test]
fn a_clock_never_goes_back() {
    explore(|| {
        let (clock, hand) = Clock::mock();
        hand.set(Duration::from_nanos(5));
        let other = {
            let clock = clock.clone();
            spawn(move || {
                hand.set(Duration::from_nanos(9));
                let first = clock.now();
                hand.set(Duration::from_nanos(7));
                assert!(first <= clock.now());
            })
        };
        let first = clock.now();
        let second = clock.now();
        assert!(first <= second);
        other.join().unwrap();
        assert!(second <= clock.now());
    });
}

#[test]
fn what_has_expired_is_not_read() {
    explore(|| {
        let (clock, hand) = Clock::mock();
        let cache = small(4).time_to_live(SHORT).clock(clock).build().expect(BUILT);
        cache.insert(1, 10);
        let other = beside(&cache, move |cache| {
            hand.advance(SHORT);
            assert_eq!(cache.get(&1), None);
        });
        assert!(matches!(cache.get(&1), None | Some(10)));
        other.join().unwrap();
        assert_eq!((cache.get(&1), cache.len()), (None, 0));
    });
}

#[test]
fn a_read_that_moves_the_end_beside_a_replacement() {
    explore(|| {
        let (clock, hand) = Clock::mock();
        let cache = small(4).time_to_idle(SHORT).clock(clock).build().expect(BUILT);
        cache.insert(1, 10);
        hand.advance(SHORT / 2);
        let writer = beside(&cache, |cache| {
            cache.insert(1, 11);
            cache.reclaim();
            cache.insert(2, 20);
        });
        assert!(matches!(cache.get(&1), Some(10 | 11)));
        writer.join().unwrap();
        hand.advance(SHORT / 2);
        assert_eq!(cache.get(&1), Some(11));
        hand.advance(SHORT);
        assert_eq!(cache.get(&1), None);
    });
}
