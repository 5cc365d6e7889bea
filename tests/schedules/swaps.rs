//! Compare-and-swap: one wins, and no version comes twice.

use brindle::Conflict;
use brindle::Expected;
use brindle::Version;

use super::play::play;
use super::stage::KEY;
use super::stage::NEAR;
use super::stage::both;
use super::stage::each;
use super::stage::plain;
use super::stage::three;

#[test]
fn of_those_who_expect_one_version_one_wins() {
    play(|| {
        let cache = plain(4);
        let first = cache.insert(KEY, 0);
        let swaps = each(3, |own| cache.compare_and_swap(KEY, first, own + 1));
        let won: Vec<Version> = swaps.iter().flatten().copied().collect();
        assert_eq!(won.len(), 1);
        let entry = cache.get_entry(&KEY).unwrap();
        assert_eq!(entry.version, won[0]);
        for Conflict { current, .. } in swaps.into_iter().filter_map(Result::err) {
            let current = current.expect("nobody removed it");
            assert_eq!((current.version(), *current), (won[0], entry.value), "the losers get the winner's");
        }
    });
}

#[test]
fn one_creates_what_is_absent() {
    play(|| {
        let cache = plain(4);
        let made = each(3, |own| cache.insert_if_absent(KEY, own).ok().map(|version| (version, own)));
        let made: Vec<_> = made.into_iter().flatten().collect();
        assert_eq!(made.len(), 1);
        assert_eq!(cache.get_entry(&KEY).map(|entry| (entry.version, entry.value)), made.first().copied());
    });
}

#[test]
fn a_version_does_not_come_back_with_its_value() {
    play(|| {
        let cache = plain(1);
        let first = cache.insert(KEY, 0);
        let swap = || cache.compare_and_swap(KEY, first, 9).is_ok();
        let remove = || {
            // Removed or evicted, then the same value again.
            cache.remove(&KEY);
            cache.insert(NEAR, 0);
            cache.insert(KEY, 0)
        };
        let (swapped, again) = both(swap, remove);
        assert_ne!(first, again);
        assert!(cache.compare_and_swap(KEY, first, 8).is_err(), "after {swapped}");
        assert_eq!(cache.get(&KEY), Some(0), "what was written after the removal stays");
    });
}

#[test]
fn a_count_of_swaps_loses_nothing() {
    play(|| {
        let cache = plain(4);
        let count = |_| {
            for _ in 0..2 {
                loop {
                    let entry = cache.get_entry(&KEY);
                    let expected = Expected::from(entry.map(|entry| entry.version));
                    if cache.compare_and_swap(KEY, expected, entry.map_or(0, |entry| entry.value) + 1).is_ok() {
                        break;
                    }
                }
            }
        };
        each(2, count);
        assert_eq!(cache.get(&KEY), Some(4));
    });
}

#[test]
fn a_swap_and_a_removal_agree_on_who_was_first() {
    play(|| {
        let cache = plain(4);
        let first = cache.insert(KEY, 1);
        let (swapped, removed, ()) = three(
            || cache.compare_and_swap(KEY, first, 2).is_ok(),
            || cache.remove(&KEY),
            || assert!(cache.compare_and_swap(NEAR, first, 1).is_err_and(|conflict| conflict.current.is_none())),
        );
        assert_eq!(removed, Some(if swapped { 2 } else { 1 }));
        assert_eq!(cache.get(&KEY), None);
    });
}
