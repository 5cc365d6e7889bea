//! Walks: every entry that stays throughout is seen exactly once, whatever comes, goes and grows meanwhile; `retain` and `clear`.

mod common;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;

use common::Census;
use common::Flat;
use common::Itself;
use common::Rng;
use common::together;
use common::watched;

fn seen<S: BuildHasher>(cache: &Cache<u64, u64, S>) -> Vec<u64> {
    let mut seen: Vec<u64> = cache.iter().map(|entry| *entry.key()).collect();
    seen.sort_unstable();
    seen
}

#[test]
fn a_walk_sees_every_entry_once() {
    watched(|| {
        for stripes in [1, 8] {
            for entries in [0, 1, 12, 13, 500, 5000] {
                let cache = Cache::builder().stripes(stripes).build().unwrap();
                (0..entries).for_each(|key| _ = cache.insert(key, key * 2));
                assert_eq!(seen(&cache), (0..entries).collect::<Vec<_>>());
                assert!((&cache).into_iter().all(|entry| *entry == entry.key() * 2));
                assert!(cache.iter().all(|entry| cache.get_entry(entry.key()).unwrap().version == entry.version()));
            }
        }
    });
}

/// Hashes that meet in few buckets: at both ends of the table, so that overflow goes around, and in one.
fn crowded(key: u64) -> u64 {
    let home = match key % 3 {
        0 => 0xffff_ffff,
        1 => 0,
        _ => 0xffff_ffff - key % 40,
    };
    (home << 16) | (key % 5)
}

#[test]
fn a_walk_sees_keys_that_collide() {
    watched(|| {
        let cache = Cache::builder().stripes(1).hasher(Flat).build().unwrap();
        (0..700).for_each(|key| _ = cache.insert(key, key));
        assert_eq!(seen(&cache), (0..700).collect::<Vec<_>>());
        assert!((0..700).all(|key| cache.get(&key) == Some(key)));
        (0..700).step_by(2).for_each(|key| assert!(cache.invalidate(&key)));
        assert_eq!(seen(&cache), (1..700).step_by(2).collect::<Vec<_>>());

        let cache: Cache<Crowded, u64, Itself> = Cache::builder().stripes(1).hasher(Itself).build().unwrap();
        (0..900).for_each(|key| _ = cache.insert(Crowded(key), key));
        for removed in 0..3 {
            let mut walked: Vec<u64> = cache.iter().map(|entry| entry.key().0).collect();
            walked.sort_unstable();
            assert_eq!(walked, (0..900).filter(|key| key % 4 >= removed).collect::<Vec<_>>());
            assert!(walked.iter().all(|key| cache.get(&Crowded(*key)) == Some(*key)));
            (0..900).filter(|key| key % 4 == removed).for_each(|key| assert!(cache.invalidate(&Crowded(key))));
        }
    });
}

#[derive(PartialEq, Eq, Clone, Copy, Debug)]
struct Crowded(u64);

impl std::hash::Hash for Crowded {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(crowded(self.0));
    }
}

#[test]
fn a_walk_sees_what_stays_once_while_the_table_grows() {
    watched(|| {
        for pace in [1, 7, 50, 190, 400] {
            let cache = Cache::builder().stripes(1).build().unwrap();
            (0..600_u64).for_each(|key| _ = cache.insert(key, 0_u64));
            let (mut times, mut others) = (BTreeMap::new(), 10_000);
            for (at, entry) in cache.iter().enumerate() {
                *times.entry(*entry.key()).or_insert(0) += 1;
                if at % pace == 0 && others < 14_000 {
                    // Many more entries between two steps, and some that were there go.
                    (others..others + 8 * pace as u64).for_each(|key| _ = cache.insert(key, 1));
                    others += 8 * pace as u64;
                    cache.invalidate(&(300 + at as u64 % 300));
                }
            }
            assert!((0..300).all(|key| times.get(&key) == Some(&1)), "pace {pace}: an entry that stayed was not seen just once");
            assert!(times.values().all(|times| *times == 1));
        }
    });
}

#[test]
fn a_walk_among_writers_sees_what_stays_once() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::builder().stripes(2).build().unwrap();
        (0..400).for_each(|key| _ = cache.insert(key, 0));
        let over = AtomicBool::new(false);
        together(3, |thread| {
            if thread == 0 {
                for _ in 0..25 {
                    let walked: Vec<u64> = cache.iter().map(|entry| *entry.key()).filter(|key| *key < 400).collect();
                    assert_eq!(walked.len(), 400, "each of those that stay, once");
                    assert_eq!(walked.into_iter().collect::<BTreeSet<_>>().len(), 400);
                }
                return over.store(true, SeqCst);
            }
            let mut rng = Rng::new(thread as u64);
            while !over.load(SeqCst) {
                // Up and down, and replacements of what stays.
                let first = 1000 + rng.below(100) * 100;
                (first..first + 300).for_each(|key| _ = cache.insert(key, 1));
                (first..first + 300).for_each(|key| _ = cache.invalidate(&key));
            }
        });
    });
}

#[test]
fn a_replaced_entry_is_seen_at_most_once() {
    watched(|| {
        let cache = Cache::builder().stripes(1).build().unwrap();
        (0..500_u64).for_each(|key| _ = cache.insert(key, 0_u64));
        let mut walked = BTreeSet::new();
        for (at, entry) in cache.iter().enumerate() {
            assert!(walked.insert(*entry.key()), "seen twice");
            let key = at as u64 * 7 % 500;
            cache.insert(key, 1);
            if at % 3 == 0 {
                cache.invalidate(&(key + 1));
                cache.insert(key + 1, 2);
            }
        }
    });
}

#[test]
fn a_walk_holds_no_lock_and_outlives_its_cache() {
    watched(|| {
        let census = Census::default();
        let cache = Cache::builder().max_capacity(1000).stripes(2).build().unwrap();
        (0..600).for_each(|id| _ = cache.insert(id, census.value(id)));
        for entry in cache.iter().take(50) {
            // All that takes locks, in the midst of a walk.
            cache.insert(*entry.key(), census.value(0));
            cache.remove(entry.key());
            cache.set_capacity(900);
            let _ = (cache.stats(), cache.memory_used(), cache.iter().count());
            cache.reclaim();
        }
        let mut walk = cache.iter();
        let first = walk.next().unwrap();
        let there = cache.len();
        drop(cache);
        let ids: BTreeSet<u64> = walk.chain([first]).map(|entry| entry.id()).collect();
        assert!(ids.len() <= there && ids.len() > 500);
        assert_eq!(census.alive(), 0);
    });
}

#[test]
fn a_walk_given_up_keeps_nothing() {
    watched(|| {
        let census = Census::default();
        let cache = Cache::builder().stripes(1).build().unwrap();
        (0..500).for_each(|id| _ = cache.insert(id, census.value(id)));
        let mut walk = cache.iter();
        walk.next();
        cache.clear();
        cache.reclaim();
        assert!(census.alive() < 500, "a walk keeps a few entries ready, not all");
        drop(walk);
        assert_eq!(census.alive(), 0);
        assert_eq!(cache.iter().count(), 0);
    });
}

#[test]
fn a_walk_passes_what_has_expired() {
    watched(|| {
        let (clock, time) = Clock::mock();
        let cache = Cache::builder().clock(clock).build().unwrap();
        (0..100_u64).for_each(|key| _ = cache.insert_with_ttl(key, key, Duration::from_secs(1 + key)));
        time.advance(Duration::from_secs(60));
        assert_eq!(seen(&cache), (60..100).collect::<Vec<_>>());
    });
}

#[test]
fn retain_asks_once_for_each_and_keeps_what_it_is_told() {
    watched(|| {
        for stripes in [1, 8] {
            let cache = Cache::builder().stripes(stripes).build().unwrap();
            (0..1000_u64).for_each(|key| _ = cache.insert(key, key * 3));
            let mut asked = BTreeSet::new();
            cache.retain(|key, value| {
                assert_eq!(*value, key * 3);
                assert!(asked.insert(*key), "asked twice");
                key % 3 == 0
            });
            assert_eq!(asked.len(), 1000);
            assert_eq!(seen(&cache), (0..1000).step_by(3).collect::<Vec<_>>());
            assert_eq!(cache.stats().invalidated, 666);
        }
    });
}

#[test]
fn retain_judges_what_came_meanwhile() {
    watched(|| {
        let cache = Cache::new(100);
        cache.insert("k", 1);
        let mut judged = Vec::new();
        cache.retain(|_, value| {
            judged.push(*value);
            if *value < 3 {
                // The entry that is judged is replaced before it is removed.
                cache.insert("k", value + 1);
            }
            false
        });
        assert_eq!((judged, cache.get("k")), (vec![1, 2, 3], None));
        cache.insert("k", 1);
        cache.retain(|_, value| {
            cache.insert("k", 5);
            *value == 5
        });
        assert_eq!(cache.get("k"), Some(5), "the newer value was judged on its own");
        cache.retain(|key, _| {
            cache.remove(*key);
            false
        });
        assert!(cache.is_empty());
    });
}

#[test]
fn retain_runs_under_no_lock_and_may_panic() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::builder().stripes(1).build().unwrap();
        (0..100).for_each(|key| _ = cache.insert(key, key));
        cache.retain(|key, _| {
            cache.insert(1000 + key, 0);
            let _ = (cache.stats(), cache.iter().next().is_some());
            *key < 50 || *key >= 1000
        });
        assert!((0..50).all(|key| cache.contains_key(&key)) && !(50..100).any(|key| cache.contains_key(&key)));
        let panic = catch_unwind(AssertUnwindSafe(|| cache.retain(|key, _| if *key == 10 { panic!("in retain") } else { true })));
        assert!(panic.is_err());
        assert!((0..50).all(|key| cache.get(&key) == Some(key)));
        cache.insert(10, 11);
        assert_eq!(cache.get(&10), Some(11));
    });
}

#[test]
fn clear_takes_all_out_and_the_cache_goes_on() {
    watched(|| {
        for stripes in [1, 8] {
            let cache = Cache::builder().max_capacity(500).stripes(stripes).build().unwrap();
            for round in 0..20 {
                (0..600_u64).for_each(|key| _ = cache.insert(key + round, key));
                assert!(cache.len() > 400 && cache.weight() == cache.len() as u64);
                cache.clear();
                assert_eq!((cache.len(), cache.weight(), cache.iter().count()), (0, 0, 0));
                assert!((0..700).all(|key| !cache.contains_key(&key)));
            }
            let stats = cache.stats();
            assert_eq!(stats.cleared + stats.evicted + stats.replaced, stats.inserts);
        }
    });
}

#[test]
fn a_walk_yields_nothing_that_was_removed_while_it_stood_still() {
    watched(|| {
        let removals: [fn(&Cache<u64, u64>); 3] =
            [Cache::clear, |cache| (0..100).for_each(|key| _ = cache.invalidate(&key)), |cache| cache.retain(|_, _| false)];
        for remove in removals {
            let cache = Cache::builder().stripes(1).build().unwrap();
            (0..100).for_each(|key| _ = cache.insert(key, key));
            let mut walk = cache.iter();
            assert!(walk.next().is_some());
            remove(&cache);
            assert!(walk.next().is_none());
        }
    });
}
