//! The listener: told of every value that leaves, once, in version order, and it may call the cache.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::time::Duration;

use brindle::Cause;
use brindle::Clock;
use brindle::Removed;
use brindle::Version;
use shuttle::thread;

use super::play::play;
use super::stage::FAR;
use super::stage::KEY;
use super::stage::NEAR;
use super::stage::Small;
use super::stage::both;
use super::stage::check_idle;
use super::stage::each;
use super::stage::small;
use super::stage::three;

/// What the listener heard of each key.
type Heard = Arc<Mutex<BTreeMap<u64, Vec<(Version, u64, Cause)>>>>;

fn told(capacity: u64) -> (Small, Heard) {
    let heard = Heard::default();
    let hearing = Arc::clone(&heard);
    let listen = move |removed: Removed<u64, u64>| {
        let notice = (removed.version(), *removed.value(), removed.cause());
        // As long as it takes: others must not overtake it.
        thread::yield_now();
        hearing.lock().unwrap().entry(*removed.key()).or_default().push(notice);
    };
    (small(capacity).removal_listener(listen).build().unwrap(), heard)
}

/// In order, none twice; with what is there they are all that were written.
fn check_told(cache: &Small, heard: &Heard, mut written: Vec<(u64, Version, u64)>) {
    let mut all: Vec<(u64, Version, u64)> = cache.iter().map(|entry| (*entry.key(), entry.version(), *entry)).collect();
    for (&key, notices) in &*heard.lock().unwrap() {
        assert!(notices.iter().is_sorted_by(|one, other| one.0 < other.0), "key {key} was told of in the order {notices:?}");
        all.extend(notices.iter().map(|&(version, value, _)| (key, version, value)));
    }
    all.sort_unstable();
    written.sort_unstable();
    assert_eq!(all, written, "what was told of and what is there is not what was written");
}

#[test]
fn what_is_replaced_and_removed_is_told_once_in_order() {
    play(|| {
        let (cache, heard) = told(8);
        let write = |own: u64| {
            let mut written = Vec::new();
            for step in 0..2 {
                let value = own * 10 + step;
                written.push((KEY, cache.insert(KEY, value), value));
            }
            if own == 0 {
                cache.remove(&KEY);
            }
            written
        };
        let written = each(3, write).concat();
        check_told(&cache, &heard, written);
        check_idle(&cache);
    });
}

#[test]
fn what_is_evicted_is_told_once() {
    play(|| {
        let (cache, heard) = told(1);
        let keys = [KEY, NEAR, FAR];
        let written = each(3, |own| {
            let key = keys[own as usize];
            (key, cache.insert(key, own), own)
        });
        check_told(&cache, &heard, written);
        assert!(heard.lock().unwrap().values().flatten().all(|notice| notice.2 == Cause::Evicted));
    });
}

#[test]
fn every_end_has_its_cause() {
    play(|| {
        let (clock, time) = Clock::mock();
        let heard = Heard::default();
        let hearing = Arc::clone(&heard);
        let listen = move |removed: Removed<u64, u64>| {
            let notice = (removed.version(), *removed.value(), removed.cause());
            hearing.lock().unwrap().entry(*removed.key()).or_default().push(notice);
        };
        let cache = small(8).removal_listener(listen).clock(clock).build().unwrap();
        let first = cache.insert_with_ttl(KEY, 1, Duration::from_secs(1));
        let second = cache.insert(NEAR, 2);
        let third = cache.insert(FAR, 3);
        let expire = || {
            time.advance(Duration::from_secs(1));
            _ = cache.insert(9, 9);
        };
        three(expire, || cache.clear(), || cache.invalidate(&FAR));
        cache.clear();
        let heard = heard.lock().unwrap();
        for (key, version, ends) in [
            (KEY, first, &[Cause::Expired, Cause::Cleared] as &[Cause]),
            (NEAR, second, &[Cause::Cleared]),
            (FAR, third, &[Cause::Cleared, Cause::Invalidated]),
        ] {
            let notices = &heard[&key];
            assert_eq!(notices.len(), 1);
            assert!(notices[0].0 == version && ends.contains(&notices[0].2), "{key}: {notices:?}");
        }
    });
}

#[test]
fn a_listener_may_call_the_cache() {
    play(|| {
        let slot: Arc<OnceLock<Small>> = Arc::default();
        let inner = Arc::clone(&slot);
        // Notes the end of a key under another, which ends nothing but its own past.
        let listen = move |removed: Removed<u64, u64>| {
            if *removed.key() < FAR {
                let cache = inner.get().expect("it was built");
                let count = cache.get(&(FAR + removed.key())).unwrap_or(0);
                cache.insert(FAR + removed.key(), count + 1);
            }
        };
        let cache = small(8).removal_listener(listen).build().unwrap();
        slot.set(cache.clone()).unwrap();
        both(
            || (0..2).for_each(|value| _ = cache.insert(KEY, value)),
            || {
                cache.insert(NEAR, 0);
                cache.remove(&NEAR);
            },
        );
        assert_eq!(cache.get_many([&(FAR + KEY), &(FAR + NEAR)]), [Some(1), Some(1)]);
        assert_eq!(cache.stats().listener_panics, 0);
        check_idle(&cache);
    });
}

#[test]
fn what_a_transaction_ends_is_told_once() {
    play(|| {
        let (cache, heard) = told(8);
        let first = vec![(KEY, cache.insert(KEY, 0), 0), (FAR, cache.insert(FAR, 0), 0)];
        let commit = || {
            cache
                .transaction(|t| {
                    t.invalidate(&KEY);
                    t.invalidate(&FAR);
                })
                .unwrap();
        };
        let write = || vec![(KEY, cache.insert(KEY, 1), 1), (FAR, cache.insert(FAR, 1), 1)];
        let ((), written) = both(commit, write);
        check_told(&cache, &heard, [first, written].concat());
    });
}
