//! Writes: what one has written is there, the last one stays, no version is used twice, and walks see what stays.

use std::collections::BTreeSet;

use brindle::Op;

use super::common::Flat;
use super::play::play;
use super::stage::FAR;
use super::stage::KEY;
use super::stage::NEAR;
use super::stage::Small;
use super::stage::Source;
use super::stage::both;
use super::stage::check_idle;
use super::stage::each;
use super::stage::one_of;
use super::stage::plain;
use super::stage::small;
use super::stage::three;

#[test]
fn everybody_reads_what_he_wrote() {
    play(|| {
        let cache = plain(8);
        each(3, |own| {
            for value in 0..2 {
                let version = cache.insert(own, value);
                assert_eq!(cache.get_entry(&own).map(|entry| (entry.value, entry.version)), Some((value, version)));
            }
            if own == 2 {
                assert_eq!(cache.remove(&own), Some(1));
                assert_eq!(cache.get(&own), None);
            }
        });
        assert_eq!(cache.len(), 2);
        check_idle(&cache);
    });
}

#[test]
fn keys_of_one_hash_are_told_apart() {
    play(|| {
        let cache = small(8).hasher(Flat).build().unwrap();
        each(3, |own| {
            cache.insert(own, own);
            assert_eq!(cache.get(&own), Some(own));
            cache.invalidate(&own);
            assert_eq!(cache.get_with(&own, || own + 10), own + 10);
        });
        assert_eq!(cache.get_many([&0, &1, &2]), [Some(10), Some(11), Some(12)]);
    });
}

#[test]
fn the_highest_version_stays() {
    play(|| {
        let cache = plain(4);
        let last = each(3, |own| {
            cache.insert(KEY, own);
            (cache.insert(KEY, own + 10), own + 10)
        });
        let (version, value) = last.into_iter().max().unwrap();
        let entry = cache.get_entry(&KEY).unwrap();
        assert_eq!((entry.version, entry.value), (version, value));
    });
}

#[test]
fn no_version_is_used_twice() {
    play(|| {
        // Room for one: each write of the one key evicts the other.
        let cache = plain(1);
        let write = |ends: &[fn(&Small)]| {
            let mut versions = Vec::new();
            for end in ends {
                versions.push(cache.insert(KEY, 0));
                end(&cache);
            }
            assert!(versions.is_sorted());
            versions
        };
        let (one, two, ()) = three(
            || write(&[|cache| _ = cache.remove(&KEY), |cache| cache.clear()]),
            || write(&[|cache| _ = cache.invalidate(&KEY), |cache| _ = cache.insert(NEAR, 0)]),
            || _ = cache.insert(NEAR, 0),
        );
        let all: BTreeSet<_> = one.iter().chain(&two).collect();
        assert_eq!(all.len(), 4, "{one:?} {two:?}");
        check_idle(&cache);
    });
}

#[test]
fn no_update_is_lost() {
    play(|| {
        let cache = plain(4);
        let count = |_| {
            for _ in 0..2 {
                cache.entry(KEY).and_compute_with(|entry| Op::Put(entry.map_or(0, |count| **count) + 1));
            }
        };
        each(3, count);
        assert_eq!(cache.get(&KEY), Some(6));
    });
}

#[test]
fn a_walk_sees_what_stays_once() {
    play(|| {
        let cache = plain(16);
        (0..4).for_each(|key| _ = cache.insert(key, key));
        let walk = || {
            let mut seen: Vec<u64> = cache.iter().map(|entry| *entry.key()).filter(|&key| key < 4).collect();
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2, 3]);
        };
        let write = || (4..14).for_each(|key| _ = cache.insert(key, key));
        let remove = || (4..8).for_each(|key| _ = cache.invalidate(&key));
        three(walk, write, remove);
        check_idle(&cache);
    });
}

#[test]
fn a_walk_sees_nothing_that_was_gone_before() {
    play(|| {
        let cache = plain(8);
        (1..4).for_each(|key| _ = cache.insert(key, 1));
        let removed = Source::new(0);
        let walk = || {
            let mut entries = cache.iter();
            loop {
                let gone = removed.read();
                let Some(entry) = entries.next() else { break };
                assert!(*entry.key() > gone || *entry > 1, "key {} was replaced before", entry.key());
            }
        };
        let remove = || {
            for key in 1..4 {
                if *one_of(&[true, false]) {
                    _ = cache.remove(&key)
                } else {
                    _ = cache.insert(key, 2)
                }
                removed.write(key);
            }
        };
        both(walk, remove);
    });
}

#[test]
fn retain_judges_all_that_was_there() {
    play(|| {
        let cache = plain(8);
        [KEY, NEAR, FAR].iter().for_each(|&key| _ = cache.insert(key, key % 2));
        let retain = || {
            cache.retain(|_, value| value % 2 == 0);
            // Only what was written since may be odd.
            assert!(cache.iter().all(|entry| *entry % 2 == 0 || *entry > 10));
        };
        let write = || {
            cache.insert(KEY, 20);
            cache.insert(FAR, 21);
        };
        both(retain, write);
        assert_eq!(cache.get(&NEAR), Some(0), "it was kept");
        assert_eq!(cache.get(&KEY), Some(20));
        check_idle(&cache);
    });
}

#[test]
fn clear_leaves_nothing_from_before() {
    play(|| {
        let cache = plain(8);
        [KEY, NEAR, FAR].iter().for_each(|&key| _ = cache.insert(key, 0));
        let clear = || {
            cache.clear();
            assert!(cache.iter().all(|entry| *entry == 1));
            assert!(cache.get_many([&KEY, &NEAR, &FAR]).into_iter().flatten().all(|value| value == 1));
        };
        let write = || {
            cache.insert(KEY, 1);
            cache.insert(FAR, 1);
        };
        three(clear, write, || cache.get(&NEAR));
        assert_eq!(cache.get(&NEAR), None);
        cache.clear();
        assert_eq!((cache.len(), cache.weight()), (0, 0));
        check_idle(&cache);
    });
}
