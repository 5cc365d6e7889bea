//! Transactions: all or nothing, whoever looks; no two of them wait for each other.

use brindle::Transaction;
use shuttle::thread;

use super::common::Itself;
use super::play::play;
use super::stage::FAR;
use super::stage::KEY;
use super::stage::NEAR;
use super::stage::Source;
use super::stage::both;
use super::stage::check_idle;
use super::stage::each;
use super::stage::one_of;
use super::stage::pair;
use super::stage::plain;
use super::stage::three;

#[test]
fn who_saw_a_new_value_sees_no_old_one() {
    play(|| {
        let cache = plain(4);
        [KEY, NEAR, FAR].iter().for_each(|&key| _ = cache.insert(key, 0));
        let commit = || {
            for state in 1..3 {
                cache
                    .transaction(|t| {
                        t.insert(KEY, state);
                        t.insert(FAR, state);
                        t.invalidate(&NEAR);
                    })
                    .unwrap();
            }
        };
        let look = |first: u64, then: u64| {
            let first = cache.get(&first);
            let then = cache.get(&then);
            assert!(first.is_none_or(|first| then.is_none_or(|then| then >= first)), "{then:?} after {first:?}");
        };
        let near_last = || {
            let far = cache.get(&FAR).unwrap_or(0);
            assert!(far == 0 || cache.get(&NEAR).is_none());
            look(KEY, FAR);
        };
        three(commit, || look(FAR, KEY), near_last);
        assert_eq!(cache.get_many([&KEY, &NEAR, &FAR]), [Some(2), None, Some(2)]);
        check_idle(&cache);
    });
}

#[test]
fn transfers_keep_the_sum() {
    play(|| {
        let cache = pair(10);
        let transfer = |from: u64, to: u64| {
            let moved = |t: &mut Transaction<'_, u64, u64, Itself>| {
                // In the middle of the other's commit they may be absent.
                let (left, there) = t.read(&from).zip(t.read(&to)).ok_or(())?;
                t.insert(from, left - 1);
                t.insert(to, there + 1);
                Ok::<_, ()>(())
            };
            while cache.try_transaction(moved).is_err() {
                thread::yield_now();
            }
        };
        both(|| transfer(KEY, FAR), || transfer(FAR, KEY));
        assert_eq!(cache.get_many([&KEY, &FAR]), [Some(10), Some(10)]);
    });
}

#[test]
fn opposite_orders_do_not_wait_for_each_other() {
    play(|| {
        let cache = plain(4);
        let write = |keys: [u64; 2], own| {
            cache.transaction(|t| keys.iter().for_each(|&key| t.insert(key, own))).unwrap();
        };
        three(|| write([KEY, FAR], 1), || write([FAR, KEY], 2), || cache.get_many_snapshot([&FAR, &KEY]));
        let values = cache.get_many([&KEY, &FAR]);
        assert_eq!(values[0], values[1]);
        check_idle(&cache);
    });
}

#[test]
fn of_those_who_expect_one_state_one_commits() {
    play(|| {
        let cache = plain(8);
        let first = cache.insert(KEY, 0);
        let commit = |own: u64| {
            let marker = own + 10;
            let done = cache.transaction(|t| {
                t.compare_and_swap(KEY, first, own + 1);
                t.insert(FAR + own, marker);
            });
            done.is_ok()
        };
        let committed = each(3, commit);
        assert_eq!(committed.iter().filter(|&&done| done).count(), 1);
        for (own, done) in (0..).zip(committed) {
            assert_eq!(cache.contains_key(&(FAR + own)), done, "what aborts changes nothing");
            assert_eq!(cache.get(&KEY) == Some(own + 1), done);
        }
        check_idle(&cache);
    });
}

#[test]
fn what_a_transaction_read_is_so_still_when_it_commits() {
    play(|| {
        // Two doctors on call: each may leave while the other stays.
        let cache = pair(1);
        let leave = |own: u64, other: u64| {
            cache
                .try_transaction(|t| {
                    if t.read(&other) != Some(1) {
                        return Err(());
                    }
                    t.insert(own, 0);
                    Ok(())
                })
                .is_ok()
        };
        let (one, two) = both(|| leave(KEY, FAR), || leave(FAR, KEY));
        assert!(!(one && two));
        assert!(cache.get_many([&KEY, &FAR]).contains(&Some(1)));
    });
}

#[test]
fn a_transaction_fences_the_loads_of_all_its_keys() {
    play(|| {
        let (cache, source) = (plain(4), Source::new(1));
        let load = |key: u64| cache.get_with(&key, || source.read_slowly());
        let commit = || {
            source.write(2);
            let insert = *one_of(&[true, false]);
            cache
                .transaction(|t| {
                    t.invalidate(&FAR);
                    if insert { t.insert(KEY, 2) } else { t.invalidate(&KEY) }
                })
                .unwrap();
            assert_eq!((load(FAR), load(KEY)), (2, 2));
        };
        three(commit, || load(KEY), || load(FAR));
        assert!(cache.get_many([&KEY, &FAR]).iter().all(|value| matches!(value, None | Some(2))));
        check_idle(&cache);
    });
}

#[test]
fn what_aborts_fences_nothing() {
    play(|| {
        let cache = plain(4);
        let aborts = || {
            let aborted = cache.transaction(|t| {
                t.insert(KEY, 9);
                t.expect_version(&FAR, cache.insert(NEAR, 0));
            });
            assert!(aborted.is_err());
        };
        let (loaded, ()) = both(|| cache.get_with(&KEY, || 1), aborts);
        assert_eq!((loaded, cache.get(&KEY)), (1, Some(1)));
        assert_eq!(cache.stats().fenced, 0);
        check_idle(&cache);
    });
}
