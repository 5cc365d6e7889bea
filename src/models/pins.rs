//! Guards against reclamation: what a guard keeps lives, and with the last one it goes.

use crate::cache::Cache;
use crate::entry::EntryRef;

use super::trial::HERE;
use super::trial::Itself;
use super::trial::beside;
use super::trial::explore;
use super::trial::roomy;
use super::trial::spawn;
use super::watched::Watched;
use super::watched::Witness;

const KEY: u64 = HERE | 1;

type Values = Cache<u64, Watched, Itself>;

/// A cache with one entry.
fn filled() -> (Values, Witness) {
    let cache = roomy();
    let (value, witness) = Watched::new();
    cache.insert(KEY, value);
    (cache, witness)
}

/// The same, and a guard of the entry.
fn guarded() -> (Values, EntryRef<u64, Watched>, Witness) {
    let (cache, witness) = filled();
    let guard = cache.get_ref(&KEY).expect("it was just written");
    (cache, guard, witness)
}

fn replace(cache: &Values) {
    cache.insert(KEY, Watched::unseen());
    cache.reclaim();
}

#[test]
fn the_last_guard_beside_reclamation() {
    explore(|| {
        let (cache, guard, witness) = guarded();
        let writer = beside(&cache, replace);
        guard.look();
        drop(guard);
        writer.join().unwrap();
        cache.reclaim();
        assert!(witness.is_dropped());
    });
}

#[test]
fn a_guard_is_cloned_and_dropped_elsewhere() {
    explore(|| {
        let (cache, guard, witness) = guarded();
        let other = guard.clone();
        let elsewhere = spawn(move || {
            other.look();
            drop(other);
        });
        replace(&cache);
        guard.look();
        drop(guard);
        elsewhere.join().unwrap();
        cache.reclaim();
        assert!(witness.is_dropped());
    });
}

#[test]
fn a_guard_is_taken_beside_reclamation() {
    explore(|| {
        let (cache, witness) = filled();
        let writer = beside(&cache, replace);
        let guard = cache.get_ref(&KEY).expect("one or the other is there");
        guard.look();
        writer.join().unwrap();
        guard.look();
        drop(guard);
        cache.reclaim();
        assert!(witness.is_dropped());
    });
}

/// The entry is read and guarded when it is reclaimed.
#[test]
fn the_last_guard_goes_while_the_value_is_read() {
    explore(|| {
        let (cache, guard, witness) = guarded();
        let reader = beside(&cache, |cache| cache.with(&KEY, Watched::look));
        replace(&cache);
        drop(guard);
        reader.join().unwrap();
        cache.reclaim();
        assert!(witness.is_dropped());
    });
}

#[test]
fn two_guards_of_what_has_left_go_at_once() {
    explore(|| {
        let (cache, guard, witness) = guarded();
        let other = guard.clone();
        replace(&cache);
        let elsewhere = spawn(move || drop(other));
        drop(guard);
        elsewhere.join().unwrap();
        assert!(witness.is_dropped(), "it was parked, so nobody else is needed");
    });
}
