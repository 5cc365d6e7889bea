//! What leaves the cache: told once and in order, and enough of it.

use std::sync::Arc;

use loom::sync::Mutex;

use crate::cache::Cache;
use crate::entry::Removed;
use crate::event::Cause;
use crate::rule::version::Version;

use super::trial::BUILT;
use super::trial::HERE;
use super::trial::Itself;
use super::trial::Numbers;
use super::trial::THERE;
use super::trial::beside;
use super::trial::explore;
use super::trial::small;

/// The lock is loom's: while the listener is told others may run.
type Notices = Arc<Mutex<Vec<(u64, Version, Cause)>>>;

/// A cache, and what its listener has heard.
fn told(capacity: u64) -> (Numbers, Notices) {
    let notices = Notices::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&notices);
    let listener = move |removed: Removed<u64, u64>| {
        let notice = (*removed.value(), removed.version(), removed.cause());
        heard.lock().unwrap().push(notice);
    };
    (small(capacity).removal_listener(listener).build().expect(BUILT), notices)
}

/// The values that left, which must be in the order of their versions.
fn values(notices: &Notices) -> Vec<u64> {
    let notices = notices.lock().unwrap();
    assert!(notices.is_sorted_by_key(|&(_, version, _)| version), "{notices:?}");
    notices.iter().map(|&(value, ..)| value).collect()
}

#[test]
fn two_replace_a_value() {
    explore(|| {
        let (cache, notices) = told(4);
        cache.insert(1, 10);
        let other = beside(&cache, |cache| cache.insert(1, 11));
        cache.insert(1, 12);
        other.join().unwrap();
        let mut left = values(&notices);
        left.push(cache.get(&1).unwrap());
        assert_eq!(left[0], 10);
        left.sort_unstable();
        assert_eq!(left, [10, 11, 12]);
    });
}

#[test]
fn an_entry_is_removed_while_it_is_evicted() {
    explore(|| {
        let (cache, notices) = told(1);
        cache.insert(1, 10);
        let other = beside(&cache, |cache| cache.insert(2, 20));
        let removed = cache.remove(&1);
        other.join().unwrap();
        let left =
            notices.lock().unwrap().iter().filter(|(value, ..)| *value == 10).map(|&(.., cause)| cause).collect::<Vec<_>>();
        assert!(matches!(left[..], [Cause::Invalidated | Cause::Evicted]), "{left:?}");
        assert!(removed.is_none() || left == [Cause::Invalidated]);
    });
}

#[test]
fn two_writers_and_room_for_one() {
    explore(|| {
        let cache = Cache::builder().max_capacity(1).stripes(2).hasher(Itself).build().expect(BUILT);
        let other = beside(&cache, |cache| cache.insert(HERE | 1, 10));
        cache.insert(THERE | 1, 20);
        other.join().unwrap();
        assert!(cache.weight() <= 1, "{}", cache.weight());
    });
}
