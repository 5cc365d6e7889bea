//! The weight in the cache is at most its capacity when writes have returned, whoever wrote, and the sums are true.

use super::common::Census;
use super::play::play;
use super::stage::FAR;
use super::stage::KEY;
use super::stage::NEAR;
use super::stage::Small;
use super::stage::both;
use super::stage::check_idle;
use super::stage::each;
use super::stage::plain;
use super::stage::small;
use super::stage::three;

#[test]
fn writers_of_all_stripes_fit_together() {
    play(|| {
        let cache = plain(2);
        each(3, |own| {
            cache.insert(own, own);
            cache.insert(FAR + own, own);
            // The others may each have one more under way.
            assert!(cache.weight() <= 2 + 2, "{}", cache.weight());
        });
        check_idle(&cache);
        assert_eq!(cache.weight(), cache.len() as u64);
    });
}

/// A value weighs what it is.
fn weighed(capacity: u64) -> Small {
    small(capacity).weigher(|_, &value: &u64| value).build().unwrap()
}

fn check_weight(cache: &Small) {
    assert_eq!(cache.weight(), cache.iter().map(|entry| *entry).sum::<u64>());
    check_idle(cache);
}

#[test]
fn weights_of_replaced_values_are_taken_back() {
    play(|| {
        let cache = weighed(10);
        three(
            || [4, 1].iter().for_each(|&weight| _ = cache.insert(KEY, weight)),
            || [6, 2].iter().for_each(|&weight| _ = cache.insert(KEY, weight)),
            || {
                cache.insert(FAR, 5);
                cache.remove(&KEY);
            },
        );
        check_weight(&cache);
        cache.clear();
        assert_eq!(cache.weight(), 0);
    });
}

#[test]
fn one_as_heavy_as_the_cache_has_it_all() {
    play(|| {
        let cache = weighed(10);
        three(|| cache.insert(KEY, 10), || cache.insert(FAR, 3), || cache.insert(NEAR, 4));
        check_weight(&cache);
        assert!(cache.try_insert(KEY, 11).is_err());
        cache.insert(KEY, 10);
        check_weight(&cache);
    });
}

#[test]
fn a_lowered_capacity_holds_at_once() {
    play(|| {
        let cache = plain(8);
        let fill = |from: u64| (from..from + 3).for_each(|key| _ = cache.insert(key, key));
        let lower = || {
            cache.set_capacity(2);
            assert!(cache.weight() <= 2 + 2, "those who write may have one more under way");
        };
        three(|| fill(0), || fill(FAR), lower);
        assert_eq!(cache.capacity(), 2);
        check_idle(&cache);
        cache.set_capacity(0);
        assert_eq!(cache.len(), 0);
    });
}

#[test]
fn loads_fit_like_writes() {
    play(|| {
        let cache = plain(1);
        let got = each(3, |own| cache.get_with(&(own + 1), || own));
        assert_eq!(got, [0, 1, 2]);
        check_idle(&cache);
    });
}

#[test]
fn evicted_values_are_dropped() {
    play(|| {
        let census = Census::default();
        let cache = small(1).build().unwrap();
        let write = |own: u64| (0..3).for_each(|step| _ = cache.insert(own * 3 + step, census.value(step)));
        both(|| write(0), || write(1));
        assert!(census.alive() <= 8, "{} values live in a cache of one", census.alive());
        cache.reclaim();
        assert_eq!((census.alive(), cache.len()), (1, 1));
    });
}
