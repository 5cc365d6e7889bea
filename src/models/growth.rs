//! Reads while what they walk grows: the array of buckets, the directory of nodes, a thread's cells, columns.

use super::trial::HERE;
use super::trial::Numbers;
use super::trial::beside;
use super::trial::explore;
use super::trial::roomy;

/// As many as an array of one bucket is to hold.
const FULL: u64 = 9;

fn filled(entries: u64) -> Numbers {
    let cache = roomy();
    (1..=entries).for_each(|key| {
        cache.insert(HERE | key, key);
    });
    cache
}

#[test]
fn a_read_in_an_array_that_is_outgrown() {
    explore(|| {
        let cache = filled(FULL);
        // Its first, so it goes the long way. Nobody touches what it looks for.
        let reader = beside(&cache, |cache| assert_eq!(cache.get(&(HERE | 1)), Some(1)));
        cache.insert(HERE | 10, 10);
        reader.join().unwrap();
        assert_eq!(cache.get(&(HERE | 10)), Some(10));
    });
}

#[test]
fn a_read_the_short_way_in_an_array_that_is_outgrown() {
    explore(|| {
        let cache = filled(FULL - 1);
        // Its home is the last of the new buckets.
        let last = 0xffff_0000_0000 | FULL;
        cache.insert(last, FULL);
        cache.get(&last);
        let writer = beside(&cache, |cache| {
            cache.insert(HERE | 10, 10);
        });
        assert_eq!(cache.get(&last), Some(FULL));
        writer.join().unwrap();
    });
}

#[test]
fn a_read_in_an_old_array_of_what_has_left_the_new_one() {
    explore(|| {
        let cache = filled(FULL);
        let writer = beside(&cache, |cache| {
            cache.insert(HERE | 10, 10);
            cache.remove(&(HERE | 1));
            cache.reclaim();
            // In the slot that was freed.
            cache.insert(HERE | 11, 11);
        });
        let seen = cache.get(&(HERE | 1));
        assert!(matches!(seen, None | Some(1)), "{seen:?}");
        writer.join().unwrap();
        assert_eq!(cache.get(&(HERE | 1)), None);
    });
}

/// More than a bucket holds have the same home.
#[test]
fn a_read_of_what_lies_beside_its_home() {
    explore(|| {
        let cache = filled(13);
        let writer = beside(&cache, |cache| {
            cache.remove(&(HERE | 1));
            cache.insert(HERE | 14, 14);
        });
        assert_eq!(cache.get(&(HERE | 13)), Some(13));
        writer.join().unwrap();
        assert_eq!(cache.get(&(HERE | 14)), Some(14));
    });
}

/// The first chunk has four nodes here, every other one has one, and the directory has four places.
#[test]
fn a_read_through_a_directory_that_is_outgrown() {
    explore(|| {
        let cache = filled(7);
        let writer = beside(&cache, |cache| {
            cache.insert(HERE | 8, 8);
        });
        assert_eq!(cache.get(&(HERE | 7)), Some(7));
        assert!(matches!(cache.get(&(HERE | 8)), None | Some(8)));
        writer.join().unwrap();
    });
}

#[test]
fn the_first_look_of_a_thread_beside_a_reclaimer() {
    explore(|| {
        let cache: Numbers = roomy();
        let reader = beside(&cache, |cache| cache.get(&(HERE | 1)));
        cache.insert(HERE | 1, 10);
        cache.insert(HERE | 1, 11);
        cache.reclaim();
        assert!(matches!(reader.join().unwrap(), None | Some(10 | 11)));
    });
}

#[test]
fn a_read_beside_the_first_entry_with_a_source() {
    explore(|| {
        let cache: Numbers = roomy();
        cache.insert(HERE | 1, 10);
        let writer = beside(&cache, |cache| {
            cache.insert_at(HERE | 1, 11, 5).unwrap();
        });
        let entry = cache.get_entry(&(HERE | 1)).unwrap();
        assert!(matches!((entry.value, entry.version.source()), (10, 0) | (11, 5)));
        writer.join().unwrap();
    });
}
