//! Source versions: order decides, not arrival.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use brindle::EqualSource;
use brindle::Loaded;
use brindle::Ordering;

use super::play::play;
use super::stage::FAR;
use super::stage::KEY;
use super::stage::NEAR;
use super::stage::Small;
use super::stage::both;
use super::stage::check_idle;
use super::stage::one_of;
use super::stage::plain;
use super::stage::small;
use super::stage::three;

#[test]
fn the_newest_stays_whoever_comes_last() {
    play(|| {
        let cache = plain(4);
        let write = |sources: [u64; 2]| sources.iter().for_each(|&source| _ = cache.insert_at(KEY, source, source));
        three(|| write([1, 4]), || write([3, 2]), || write([4, 1]));
        let entry = cache.get_entry(&KEY).unwrap();
        assert_eq!((entry.value, entry.version.source()), (4, 4));
        assert!(cache.insert_at(KEY, 3, 3).is_err());
    });
}

#[test]
fn what_is_dead_stays_dead() {
    play(|| {
        let cache = plain(4);
        let events: &[fn(&Small)] = &[
            |cache| _ = cache.insert_at(KEY, 1, 1),
            |cache| _ = cache.insert_at(KEY, 2, 2),
            |cache| _ = cache.invalidate_at(&KEY, 3),
        ];
        let deliver = |order: [usize; 3]| order.iter().for_each(|&event| events[event](&cache));
        three(|| deliver([2, 0, 1]), || deliver([0, 1, 2]), || _ = cache.insert(NEAR, 0));
        assert_eq!(cache.get(&KEY), None);
        assert!(cache.insert_at(KEY, 2, 2).is_err());
        assert!(cache.insert_at(KEY, 3, 3).is_ok());
    });
}

#[test]
fn eviction_and_clear_forget_no_source() {
    play(|| {
        // Room for one entry and for one tombstone: what is forgotten leaves a floor.
        let cache = small(1).tombstone_capacity(1).ordering(Ordering::Global).build().unwrap();
        let write = || {
            _ = cache.insert_at(KEY, 5, 5);
            _ = cache.insert_at(NEAR, 6, 6);
            if *one_of(&[true, false]) { cache.clear() } else { _ = cache.insert_at(FAR, 7, 7) }
        };
        let late = || {
            for source in [2, 3] {
                _ = cache.insert_at(KEY, source, source);
            }
        };
        both(write, late);
        let old = cache.get(&KEY).filter(|&value| value < 5);
        assert_eq!(old, None);
        assert!(cache.insert_at(KEY, 4, 4).is_err());
        check_idle(&cache);
    });
}

/// What is refused below a floor, and what came in with it, is no newer for that: the late word ends it.
#[test]
fn a_floor_keeps_no_old_value() {
    play(|| {
        let cache = small(4).stripes(1).tombstone_capacity(0).ordering(Ordering::Global).build().unwrap();
        let source = AtomicU64::new(1);
        let load = || _ = cache.get_with(&KEY, || source.load(SeqCst));
        let change = || {
            source.store(5, SeqCst);
            match one_of(&[0, 1, 2]) {
                0 => _ = cache.invalidate_at(&KEY, 5),
                1 => _ = cache.insert_at(KEY, 5, 5),
                _ => _ = cache.transaction(|t| t.insert_at(KEY, 5, 5)),
            }
        };
        let others = || _ = cache.invalidate_at(&NEAR, 9);
        three(load, change, others);
        assert!(cache.get(&KEY).is_none_or(|value| value == 5));
        check_idle(&cache);
    });
}

#[test]
fn a_load_of_an_older_state_is_not_stored() {
    play(|| {
        let cache = plain(4);
        let lag = || cache.load(&KEY, || Ok::<_, ()>(Loaded::new(3).at(3))).unwrap();
        let tell = || {
            if *one_of(&[true, false]) {
                _ = cache.insert_at(KEY, 4, 4)
            } else {
                _ = cache.invalidate_at(&KEY, 4)
            }
            cache.remove(&KEY);
        };
        let again = || cache.reload(&KEY, || Ok::<_, ()>(Loaded::new(2).at(2))).unwrap();
        three(lag, tell, again);
        assert!(cache.get(&KEY).is_none_or(|value| value >= 4), "{:?}", cache.get(&KEY));
        check_idle(&cache);
    });
}

#[test]
fn values_that_know_their_version_keep_their_order() {
    play(|| {
        let cache = small(4).versioned_by(|_, &value: &u64| value / 10).equal_source(EqualSource::Replace).build().unwrap();
        let write = |values: [u64; 2]| values.iter().for_each(|&value| _ = cache.insert(KEY, value));
        let (_, _, got) = three(|| write([10, 31]), || write([32, 20]), || cache.get_with(&KEY, || 15));
        assert!(matches!(got, 10 | 15 | 20 | 31 | 32));
        let last = cache.get_entry(&KEY).unwrap();
        assert_eq!(last.version.source(), 3);
        assert!(matches!(last.value, 31 | 32));
        check_idle(&cache);
    });
}

#[test]
fn a_transaction_with_an_old_state_changes_nothing() {
    play(|| {
        let cache = plain(4);
        let commit = |source: u64| {
            let done = cache.transaction(|t| {
                t.insert_at(KEY, source, source);
                t.insert(FAR, source);
            });
            done.is_ok()
        };
        let (low, high) = both(|| commit(1), || commit(2));
        assert!(high);
        assert_eq!(cache.get_many([&KEY, &FAR]), [Some(2), Some(2)], "after {low}");
    });
}
