//! Reads take no lock: what they see is whole, and never goes back.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use brindle::Version;
use shuttle::thread;

use super::common::Census;
use super::play::play;
use super::stage::FAR;
use super::stage::KEY;
use super::stage::NEAR;
use super::stage::Small;
use super::stage::ZERO;
use super::stage::both;
use super::stage::check_idle;
use super::stage::one_of;
use super::stage::plain;
use super::stage::small;
use super::stage::three;

#[test]
fn what_anybody_saw_nobody_sees_less_than() {
    play(|| {
        let cache = plain(4);
        let seen: Mutex<Option<(Version, u64)>> = Mutex::new(None);
        let read = || {
            for _ in 0..2 {
                let before = *seen.lock().unwrap();
                if let Some(entry) = cache.get_entry(&KEY) {
                    let now = Some((entry.version, entry.value));
                    assert!(now >= before, "{now:?} after {before:?}");
                    assert!(before.is_none_or(|(version, value)| version < entry.version || value == entry.value));
                    let mut seen = seen.lock().unwrap();
                    *seen = (*seen).max(now);
                }
            }
        };
        let write = || {
            (1..4).for_each(|value| _ = cache.insert(KEY, value));
            cache.reclaim();
        };
        three(read, read, write);
        assert_eq!(cache.get(&KEY), Some(3));
    });
}

/// Every way to look for a key.
const WAYS: &[fn(&Small, u64) -> bool] = &[
    |cache, key| cache.get(&key).is_some(),
    |cache, key| cache.get_entry(&key).is_some(),
    |cache, key| cache.get_ref(&key).is_some(),
    |cache, key| cache.peek(&key).is_some(),
    |cache, key| cache.with(&key, |_| ()).is_some(),
    |cache, key| cache.get_many([&NEAR, &key])[1].is_some(),
    |cache, key| cache.get_many_snapshot([&key])[0].is_some(),
    // A read within another goes a longer way.
    |cache, key| cache.with(&FAR, |_| cache.contains_key(&key)).unwrap(),
];

/// Once one reader has seen the change, in his way, the other does not see less, in his.
fn agree(cache: &Small, key: u64, ways: [fn(&Small, u64) -> bool; 2], change: fn(&Small, u64), then: bool) {
    let changed = AtomicBool::new(false);
    let read = |way: fn(&Small, u64) -> bool| {
        // A thread's first read goes a longer way.
        cache.get(&FAR);
        for _ in 0..2 {
            let before = changed.load(SeqCst);
            let now = way(cache, key) == then;
            assert!(now || !before, "it had changed before");
            changed.fetch_or(now, SeqCst);
        }
    };
    three(|| read(ways[0]), || read(ways[1]), || change(cache, key));
}

#[test]
fn all_ways_to_read_agree_on_what_is_there() {
    play(|| {
        let (cache, key) = (plain(4), *one_of(&[KEY, ZERO]));
        cache.insert(FAR, 0);
        let ways = [*one_of(WAYS), *one_of(WAYS)];
        if *one_of(&[true, false]) {
            agree(&cache, key, ways, |cache, key| _ = cache.insert(key, 1), true);
        } else {
            cache.insert(key, 1);
            agree(&cache, key, ways, |cache, key| _ = cache.invalidate(&key), false);
        }
    });
}

#[test]
fn the_short_way_sees_nothing_before_the_long_way() {
    play(|| {
        let cache = plain(4);
        cache.insert(FAR, 0);
        let ways: [fn(&Small, u64) -> bool; 2] =
            [|cache, key| cache.get(&key).is_some(), |cache, key| cache.with(&FAR, |_| cache.contains_key(&key)).unwrap()];
        agree(&cache, ZERO, ways, |cache, key| _ = cache.insert(key, 1), true);
    });
}

#[test]
fn a_borrowed_value_outlives_its_replacement() {
    play(|| {
        let census = Census::default();
        let cache = small(2).build().unwrap();
        cache.insert(KEY, census.value(0));
        let borrow = || {
            for _ in 0..2 {
                cache.with(&KEY, |value| {
                    let id = value.id();
                    thread::yield_now();
                    assert_eq!(value.id(), id);
                });
            }
        };
        let replace = || {
            (1..4).for_each(|id| _ = cache.insert(KEY, census.value(id)));
            cache.reclaim();
        };
        let remove = || {
            drop(cache.remove(&KEY));
            cache.insert(NEAR, census.value(9));
            cache.reclaim();
        };
        three(borrow, replace, remove);
        cache.reclaim();
        assert_eq!(census.alive(), cache.len());
        drop(cache);
        assert_eq!(census.alive(), 0);
    });
}

#[test]
fn a_guard_keeps_its_own_value_and_no_other() {
    play(|| {
        let census = Census::default();
        let cache = small(4).build().unwrap();
        cache.insert(KEY, census.value(0));
        let guard = cache.get_ref(&KEY).unwrap();
        let other = guard.clone();
        let keep = || {
            thread::yield_now();
            assert_eq!(guard.id(), 0);
            drop(guard);
        };
        let pass_on = || {
            let clone = other.clone();
            drop(other);
            assert_eq!(clone.id(), 0);
        };
        let replace = || {
            cache.insert(KEY, census.value(1));
            cache.insert(NEAR, census.value(2));
            cache.reclaim();
            assert!(cache.get_ref(&KEY).is_some_and(|guard| guard.id() == 1));
        };
        three(keep, pass_on, replace);
        cache.reclaim();
        assert_eq!(census.alive(), 2);
    });
}

#[test]
fn borrows_nest_deeper_than_a_thread_has_words() {
    play(|| {
        let census = Census::default();
        let cache = small(8).build().unwrap();
        (1..6).for_each(|key| _ = cache.insert(key, census.value(key)));
        let nest = || {
            let looks = cache.with(&1, |one| {
                cache.with(&2, |two| {
                    cache.with(&3, |three| {
                        cache.with(&4, |four| {
                            cache.with(&5, |five| {
                                thread::yield_now();
                                [one, two, three, four, five].map(|value| value.id() % 10)
                            })
                        })
                    })
                })
            });
            assert_eq!(looks, Some(Some(Some(Some(Some([1, 2, 3, 4, 5]))))));
        };
        let replace = || {
            (1..6).for_each(|key| _ = cache.insert(key, census.value(key + 10)));
            cache.reclaim();
        };
        both(nest, replace);
        cache.reclaim();
        assert_eq!(census.alive(), 5);
    });
}

#[test]
fn an_earlier_write_is_seen_by_who_saw_a_later_one() {
    play(|| {
        let cache = plain(4);
        let write = || {
            for state in 1..3 {
                cache.insert(KEY, state);
                cache.insert(NEAR, state);
            }
        };
        let peek = || {
            let later = cache.peek(&NEAR).unwrap_or(0);
            assert!(later == 0 || cache.contains_key(&KEY));
            assert!(cache.peek(&KEY).unwrap_or(0) >= later);
        };
        let many = || {
            // The keys are read in their order.
            let read = cache.get_many([&NEAR, &KEY]);
            assert!(read[1] >= read[0], "{read:?}");
        };
        three(write, peek, many);
    });
}

#[test]
fn what_stays_is_found_while_the_table_grows() {
    play(|| {
        let cache = plain(32);
        cache.insert(1, 1);
        let read = || (0..3).for_each(|_| assert_eq!(cache.get(&1), Some(1)));
        let grow = || (2..16).for_each(|key| _ = cache.insert(key, key));
        three(read, read, grow);
        (1..16).for_each(|key| assert_eq!(cache.get(&key), Some(key)));
        check_idle(&cache);
    });
}
