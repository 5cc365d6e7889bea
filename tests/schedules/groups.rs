//! Groups: nothing of one that has ended is read or stored after that.

use super::play::play;
use super::stage::FAR;
use super::stage::KEY;
use super::stage::NEAR;
use super::stage::Small;
use super::stage::Source;
use super::stage::both;
use super::stage::check_idle;
use super::stage::one_of;
use super::stage::plain;
use super::stage::small;
use super::stage::three;

const GROUP: u64 = 7;

/// All values but 0 are in the one group.
fn grouped() -> Small {
    small(8).group_by(|_, &value: &u64| (value > 0).then_some(GROUP)).build().unwrap()
}

const ENDS: &[fn(&Small)] =
    &[|cache| _ = cache.invalidate_group(&GROUP), |cache| cache.transaction(|t| t.invalidate_group(&GROUP)).unwrap()];

#[test]
fn nothing_of_a_group_from_before_its_end_is_got_after_it() {
    play(|| {
        let (cache, source) = (grouped(), Source::new(1));
        let load = |key: u64| cache.get_with(&key, || source.read_slowly());
        let end = || {
            source.write(2);
            one_of(ENDS)(&cache);
            assert!(cache.get_many([&KEY, &FAR]).into_iter().flatten().all(|value| value == 2));
            assert_eq!((load(KEY), load(FAR)), (2, 2));
        };
        three(end, || load(KEY), || load(FAR));
        assert!(cache.iter().all(|entry| *entry == 2));
        check_idle(&cache);
    });
}

#[test]
fn writes_beside_the_end_of_a_group() {
    play(|| {
        let (cache, ended) = (grouped(), Source::new(0));
        cache.insert(NEAR, 0);
        let write = |key: u64| {
            let value = ended.read() + 1;
            cache.insert(key, value);
            value
        };
        let end = || {
            let count = cache.invalidate_group(&GROUP);
            assert!(count <= 2);
            ended.write(1);
        };
        let (one, two, ()) = three(|| write(KEY), || write(FAR), end);
        // What was written before is gone, what was written after is there, and who was in no group stays.
        for (key, value) in [(KEY, one), (FAR, two)] {
            assert!(value == 1 || cache.get(&key) == Some(value));
        }
        assert_eq!(cache.get(&NEAR), Some(0));
        cache.invalidate_group(&GROUP);
        assert_eq!(cache.len(), 1);
        check_idle(&cache);
    });
}

#[test]
fn who_leaves_a_group_survives_its_end() {
    play(|| {
        let cache = plain(8);
        cache.insert_in_groups(KEY, 1, [GROUP]);
        cache.insert_in_groups(NEAR, 1, [GROUP]);
        let leave = || {
            cache.insert_in_groups(KEY, 2, [GROUP + 1]);
            cache.insert(NEAR, 2);
        };
        let end = || {
            one_of(ENDS)(&cache);
            assert!(cache.iter().all(|entry| *entry == 2));
        };
        both(leave, end);
        assert_eq!(cache.get_many([&KEY, &NEAR]), [Some(2), Some(2)]);
        assert_eq!(cache.invalidate_group(&(GROUP + 1)), 1);
        check_idle(&cache);
    });
}

#[test]
fn members_that_are_evicted_are_none() {
    play(|| {
        let cache = small(1).group_by(|_, &value: &u64| [value]).build().unwrap();
        let write = |key: u64, group: u64| _ = cache.insert(key, group);
        let end = || assert!(cache.invalidate_group(&1) <= 1);
        three(|| write(KEY, 1), || write(NEAR, 1), end);
        cache.insert(FAR, 2);
        assert_eq!(cache.invalidate_group(&1), 0);
        check_idle(&cache);
    });
}
