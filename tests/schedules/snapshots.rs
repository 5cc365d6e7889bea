//! Snapshots: the values of one moment, whatever is written meanwhile.

use super::play::play;
use super::stage::FAR;
use super::stage::KEY;
use super::stage::NEAR;
use super::stage::Small;
use super::stage::pair;
use super::stage::plain;
use super::stage::three;

fn write_both(cache: &Small, state: u64) {
    cache.transaction(|t| [KEY, FAR].iter().for_each(|&key| t.insert(key, state))).unwrap();
}

#[test]
fn a_snapshot_sees_all_of_a_transaction_or_nothing() {
    play(|| {
        let cache = pair(0);
        let commit = || (1..3).for_each(|state| write_both(&cache, state));
        let snapshot = || {
            let values = cache.get_many_snapshot([&KEY, &FAR]);
            assert!(values[0].is_some() && values[0] == values[1], "{values:?}");
        };
        three(commit, snapshot, snapshot);
    });
}

#[test]
fn a_snapshot_beside_single_writes_is_of_one_moment() {
    play(|| {
        let cache = plain(4);
        cache.insert(KEY, 0);
        cache.insert(NEAR, 0);
        // First the one, then the other: at every moment the first is as far as the second, or one step further.
        let write = || {
            for state in 1..4 {
                cache.insert(KEY, state);
                cache.insert(NEAR, state);
            }
        };
        let snapshot = || {
            let values: Vec<u64> = cache.get_many_snapshot([&NEAR, &KEY]).into_iter().flatten().collect();
            assert!(values[0] == values[1] || values[0] + 1 == values[1], "{values:?}");
        };
        three(write, snapshot, snapshot);
    });
}

#[test]
fn a_snapshot_sees_keys_that_come_and_go_together() {
    play(|| {
        let cache = plain(4);
        let toggle = || {
            for state in 0..2 {
                write_both(&cache, state);
                cache
                    .transaction(|t| {
                        t.invalidate(&FAR);
                        t.invalidate(&KEY);
                    })
                    .unwrap();
            }
        };
        let snapshot = || {
            let values = cache.get_many_snapshot([&KEY, &FAR]);
            assert_eq!(values[0], values[1]);
        };
        three(toggle, snapshot, snapshot);
    });
}

#[test]
fn a_snapshot_of_loads_sees_what_each_brought() {
    play(|| {
        let cache = plain(4);
        cache.insert(KEY, 1);
        let load = || cache.get_with(&FAR, || cache.get(&KEY).unwrap());
        let write = || cache.insert(KEY, 2);
        let snapshot = || {
            let values = cache.get_many_snapshot([&FAR, &KEY]);
            assert!(values[0].is_none_or(|loaded| Some(loaded) <= values[1]), "{values:?}");
        };
        three(load, write, snapshot);
    });
}
