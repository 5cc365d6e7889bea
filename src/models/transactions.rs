//! Commits are seen at once: by readers who take no lock, by snapshots, and by each other.

use super::trial::HERE;
use super::trial::Numbers;
use super::trial::THERE;
use super::trial::beside;
use super::trial::explore;
use super::trial::roomy;

/// In two stripes.
const ONE: u64 = HERE | 1;
const TWO: u64 = THERE | 1;

/// Both keys have the value 10.
fn pair() -> Numbers {
    let cache = roomy();
    cache.insert(ONE, 10);
    cache.insert(TWO, 10);
    cache
}

fn write_both(cache: &Numbers, value: u64) {
    cache
        .transaction(|t| {
            t.insert(ONE, value);
            t.insert(TWO, value);
        })
        .unwrap();
}

/// Whoever reads both keys one after the other while `commit` runs sees nothing old once he has seen something new.
fn read_beside(commit: fn(&Numbers)) {
    explore(move || {
        let cache = pair();
        let writer = beside(&cache, commit);
        let new = cache.get(&ONE) == Some(11);
        let old = cache.get(&TWO) == Some(10);
        assert!(!(new && old));
        writer.join().unwrap();
    });
}

#[test]
fn reads_beside_a_commit() {
    read_beside(|cache| write_both(cache, 11));
}

#[test]
fn reads_beside_a_commit_that_invalidates() {
    read_beside(|cache| {
        cache
            .transaction(|t| {
                t.insert(ONE, 11);
                t.invalidate(&TWO);
            })
            .unwrap();
    });
}

/// What asks for more than values goes the long way.
#[test]
fn reads_beside_a_commit_with_sources() {
    read_beside(|cache| {
        cache
            .transaction(|t| {
                t.insert_at(ONE, 11, 5);
                t.insert_at(TWO, 11, 5);
            })
            .unwrap();
    });
}

#[test]
fn a_snapshot_beside_a_commit() {
    explore(|| {
        let cache = pair();
        let writer = beside(&cache, |cache| write_both(cache, 11));
        let seen = cache.get_many_snapshot(&[ONE, TWO]);
        assert!(seen == [Some(10), Some(10)] || seen == [Some(11), Some(11)], "{seen:?}");
        writer.join().unwrap();
    });
}

/// One key is read before both writes, the other one after them: that was never so.
#[test]
fn a_snapshot_beside_single_writes() {
    explore(|| {
        let cache = pair();
        let writer = beside(&cache, |cache| {
            cache.insert(ONE, 11);
            cache.insert(TWO, 11);
        });
        let seen = cache.get_many_snapshot(&[ONE, TWO]);
        assert_ne!(seen, [Some(10), Some(11)]);
        writer.join().unwrap();
    });
}

/// Absence has no version, so the locks are taken.
#[test]
fn a_snapshot_of_what_is_about_to_come() {
    explore(|| {
        let cache: Numbers = roomy();
        let writer = beside(&cache, |cache| write_both(cache, 11));
        let seen = cache.get_many_snapshot(&[ONE, TWO]);
        assert!(seen == [None, None] || seen == [Some(11), Some(11)], "{seen:?}");
        writer.join().unwrap();
    });
}

#[test]
fn two_commits_whose_keys_come_in_opposite_order() {
    explore(|| {
        let cache = pair();
        let other = beside(&cache, |cache| {
            cache
                .transaction(|t| {
                    t.insert(TWO, 12);
                    t.insert(ONE, 12);
                })
                .unwrap();
        });
        write_both(&cache, 11);
        other.join().unwrap();
        assert!(matches!((cache.get(&ONE), cache.get(&TWO)), (Some(11), Some(11)) | (Some(12), Some(12))));
    });
}

#[test]
fn of_two_commits_with_the_same_condition_one_wins() {
    explore(|| {
        let cache = pair();
        let version = cache.get_entry(&ONE).unwrap().version;
        let commit = move |cache: &Numbers, value| {
            let committed = cache.transaction(|t| {
                t.expect_version(&ONE, version);
                t.insert(ONE, value);
                t.insert(TWO, value);
            });
            committed.is_ok()
        };
        let other = beside(&cache, move |cache| commit(cache, 12));
        let own = commit(&cache, 11);
        let others = other.join().unwrap();
        assert!(own != others);
        let value = Some(if own { 11 } else { 12 });
        assert_eq!((cache.get(&ONE), cache.get(&TWO)), (value, value));
    });
}
