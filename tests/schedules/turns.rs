//! Writes through the cache: by turns, and nobody reads what is older than an acknowledged write.

use brindle::Loaded;
use brindle::WhileWriting;
use shuttle::future::block_on;
use shuttle::future::yield_now;
use shuttle::thread;

use super::play::play;
use super::stage::KEY;
use super::stage::Room;
use super::stage::Small;
use super::stage::Source;
use super::stage::both;
use super::stage::check_idle;
use super::stage::each;
use super::stage::falter;
use super::stage::falters;
use super::stage::one_of;
use super::stage::patiently;
use super::stage::plain;
use super::stage::small;
use super::stage::three;

/// A new state of the source, through the cache.
fn advance(cache: &Small, source: &Source, turn: &Room) -> u64 {
    let mut state = 0;
    let written = cache.write_through(KEY, |_| {
        turn.alone(|| {
            thread::yield_now();
            state = source.advance();
            thread::yield_now();
        });
        Ok::<_, ()>(state.into())
    });
    written.unwrap();
    state
}

#[test]
fn writers_of_one_key_take_turns() {
    play(|| {
        let (cache, source, turn) = (plain(4), Source::new(0), Room::new());
        each(3, |_| {
            let acknowledged = advance(&cache, &source, &turn);
            assert!(cache.get(&KEY).is_none_or(|read| read >= acknowledged));
        });
        assert_eq!(cache.get(&KEY), Some(3));
        check_idle(&cache);
    });
}

#[test]
fn a_load_beside_a_write_through_brings_nothing_older() {
    play(|| {
        for readers in [WhileWriting::ServeOld, WhileWriting::Miss] {
            let cache = small(4).while_writing(readers).build().unwrap();
            let (source, turn) = (Source::new(0), Room::new());
            let load = || cache.get_with(&KEY, || source.read_slowly());
            let write = || {
                let acknowledged = advance(&cache, &source, &turn);
                assert!(load() >= acknowledged);
            };
            both(load, write);
            assert!(cache.get(&KEY).is_none_or(|value| value == source.read()));
            check_idle(&cache);
        }
    });
}

#[test]
fn a_write_that_fails_leaves_nothing() {
    play(|| {
        let (cache, source) = (plain(4), Source::new(1));
        cache.insert(KEY, 1);
        // It may have been written, or not.
        let fail = || {
            let write = |_: Option<_>| {
                source.write(2);
                if *one_of(&[true, false]) { falter() } else { Err::<Loaded<u64>, _>("down") }
            };
            falters(|| assert!(cache.write_through(KEY, write).is_err()));
            assert!(matches!(cache.get(&KEY), None | Some(2)));
        };
        three(fail, || cache.get_with(&KEY, || source.read_slowly()), || cache.get(&KEY));
        assert!(matches!(cache.get(&KEY), None | Some(2)));
        check_idle(&cache);
    });
}

#[test]
fn a_task_that_drops_its_write_leaves_nothing() {
    play(|| {
        let (cache, source, turn) = (plain(4), Source::new(0), Room::new());
        let give_up = || {
            let write = |_| async {
                source.advance();
                yield_now().await;
                yield_now().await;
                Err::<Loaded<u64>, _>("not reached")
            };
            block_on(patiently(*one_of(&[1, 2]), cache.write_through_async(KEY, write)));
        };
        let write = || advance(&cache, &source, &turn);
        three(give_up, write, || cache.get_with(&KEY, || source.read_slowly()));
        assert!(cache.get(&KEY).is_none_or(|value| value == source.read()));
        check_idle(&cache);
    });
}

#[test]
fn an_invalidation_beside_a_write_through_ends_both_states() {
    play(|| {
        let (cache, source, turn) = (plain(4), Source::new(0), Room::new());
        cache.insert(KEY, 0);
        // Somebody else writes the source, unknown to the cache, and says so.
        let elsewhere = || {
            let state = source.advance();
            cache.invalidate(&KEY);
            assert!(cache.get(&KEY).is_none_or(|read| read >= state));
        };
        both(|| advance(&cache, &source, &turn), elsewhere);
        assert!(cache.get(&KEY).is_none_or(|value| value == source.read()));
        check_idle(&cache);
    });
}

#[test]
fn a_writer_that_waits_may_leave() {
    play(|| {
        let (cache, source, turn) = (plain(4), Source::new(0), Room::new());
        let write = || advance(&cache, &source, &turn);
        let leave = || {
            let write = |_| async { Ok::<_, ()>(turn.alone(|| source.advance()).into()) };
            block_on(patiently(1, cache.write_through_async(KEY, write)));
        };
        three(write, leave, write);
        assert_eq!(cache.get(&KEY), Some(source.read()));
        check_idle(&cache);
    });
}
