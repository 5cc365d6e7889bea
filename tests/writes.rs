//! What every method that writes, removes or configures does by itself, edge cases included.

mod common;

use std::time::Duration;

use brindle::BuildError;
use brindle::Cache;
use brindle::Clock;
use brindle::EqualSource;
use brindle::Expected;
use brindle::Op;
use brindle::Ordering;
use brindle::WhenForgotten;

use common::Census;
use common::Counted;
use common::Flat;
use common::Rng;
use common::together;
use common::watched;

#[test]
fn insert_writes_and_tells_the_version() {
    watched(|| {
        let cache = Cache::new(100);
        let first = cache.insert("k", 1);
        assert_eq!((first.source(), cache.get("k"), cache.len()), (0, Some(1), 1));
        let second = cache.insert("k", 2);
        assert!(second > first && second.revision() > first.revision());
        assert_eq!((cache.get_entry("k").unwrap().version, cache.get("k"), cache.len()), (second, Some(2), 1));
        assert_eq!(second.to_string(), format!("0.{}", second.revision()));
    });
}

#[test]
fn handles_are_one_cache() {
    watched(|| {
        let cache = Cache::builder().name("users").max_capacity(10).build().unwrap();
        let other = cache.clone();
        cache.insert(1, 1);
        assert_eq!((other.get(&1), other.name(), other.capacity()), (Some(1), Some("users"), 10));
        assert!(!other.is_empty());
        other.set_capacity(20);
        drop(other);
        assert_eq!((cache.capacity(), cache.get(&1)), (20, Some(1)));
        let text = format!("{cache:?} {:?} {:?}", cache.entry(1), cache.iter());
        assert!(text.contains("users") && text.contains("20"), "{text}");
        assert_eq!(Cache::<u64, u64>::new(1).name(), None);
    });
}

#[test]
fn a_value_too_heavy_takes_effect_or_comes_back() {
    watched(|| {
        let census = Census::default();
        let cache = Cache::builder().max_capacity(10).stripes(1).weigher(|_, value: &Counted| value.id()).build().unwrap();
        cache.insert(1, census.value(5));
        let refused = cache.try_insert(1, census.value(11)).unwrap_err();
        assert_eq!((refused.key, refused.value.id(), refused.weight, refused.capacity), (1, 11, 11, 10));
        assert_eq!(cache.with(&1, Counted::id), Some(5), "nothing has changed");
        let before = cache.get_entry(&1).unwrap().version;
        let version = cache.insert(1, census.value(11));
        assert!(version > before, "the write has taken effect");
        assert!(!cache.contains_key(&1) && cache.is_empty());
        assert_eq!((cache.stats().replaced, cache.stats().evicted), (1, 1));
        assert!(cache.try_insert(1, census.value(10)).is_ok());
        // A swap for what is too heavy is a write like any other.
        let current = cache.get_entry(&1).unwrap().version;
        assert!(cache.compare_and_swap(1, current, census.value(99)).is_ok());
        assert!(cache.compare_and_swap(1, Expected::Absent, census.value(1)).is_ok());
        cache.entry(1).and_compute_with(|_| Op::Put(census.value(12)));
        assert!(cache.is_empty());
        drop(refused);
        cache.reclaim();
        assert_eq!(census.alive(), 0);
    });
}

#[test]
fn a_time_to_live_of_its_own() {
    watched(|| {
        let (clock, time) = Clock::mock();
        let cache = Cache::builder().max_capacity(100).time_to_live(Duration::from_secs(10)).clock(clock).build().unwrap();
        cache.insert("own", 0);
        cache.insert_with_ttl("short", 1, Duration::from_secs(5));
        cache.insert_with_ttl("long", 2, Duration::from_secs(50));
        cache.insert_with_ttl("ever", 3, Duration::MAX);
        cache.insert("never", 4);
        let version = cache.insert_with_ttl("never", 5, Duration::ZERO);
        assert!(version.revision() > 0 && !cache.contains_key("never"), "the write took effect, and what was there is gone");
        let there = || ["own", "short", "long", "ever", "never"].map(|key| cache.contains_key(key));
        assert_eq!(there(), [true, true, true, true, false]);
        time.advance(Duration::from_secs(5));
        assert_eq!(there(), [true, false, true, true, false]);
        time.advance(Duration::from_secs(5));
        assert_eq!(there(), [false, false, true, true, false]);
        time.advance(Duration::from_secs(1_000_000_000));
        assert_eq!(there(), [false, false, false, true, false]);
        // An expired entry is absent to a swap.
        cache.insert_with_ttl("short", 1, Duration::from_secs(5));
        let version = cache.get_entry("short").unwrap().version;
        time.advance(Duration::from_secs(5));
        assert!(cache.compare_and_swap("short", version, 2).unwrap_err().current.is_none());
        assert!(cache.insert_if_absent("short", 3).is_ok());
        cache.insert_with_ttl("short", 1, Duration::from_secs(5));
        time.advance(Duration::from_secs(5));
        assert!(!cache.invalidate("short"), "nothing was there");
        assert_eq!(cache.remove("short"), None);
    });
}

#[test]
fn removals_give_what_they_removed() {
    watched(|| {
        let cache: Cache<String, String> = Cache::new(100);
        cache.insert("a".into(), "x".into());
        assert_eq!((cache.remove("b"), cache.remove("a"), cache.remove("a")), (None, Some("x".to_string()), None));
        cache.insert("a".into(), "y".into());
        assert!(cache.invalidate("a") && !cache.invalidate("a"));
        cache.insert("a".into(), "z".into());
        assert_eq!(cache.remove_if("a", |key, value| key == "b" || value == "y"), None);
        assert_eq!(cache.remove_if("a", |key, value| key == "a" && value == "z"), Some("z".to_string()));
        assert!(cache.is_empty());
        assert_eq!(cache.stats().invalidated, 3);
        cache.insert("a".into(), "x".into());
        cache.insert("b".into(), "y".into());
        assert_eq!((cache.stats().weight, cache.stats().len), (2, 2));
        cache.clear();
        assert_eq!((cache.stats().weight, cache.stats().cleared, cache.stats().invalidated), (0, 2, 3));
    });
}

#[test]
fn errors_say_what_to_do_and_are_errors() {
    watched(|| {
        fn said(error: &(dyn std::error::Error + Send + Sync)) -> String {
            format!("{error} {error:?}")
        }
        struct NoDebug;
        let cache: Cache<u64, NoDebug> = Cache::builder().max_capacity(1).weigher(|key, _| *key).build().unwrap();
        assert!(said(&cache.try_insert(2, NoDebug).err().unwrap()).contains("weighs 2"));
        cache.insert_at(1, NoDebug, 7).unwrap();
        assert!(said(&cache.insert_at(1, NoDebug, 6).err().unwrap()).contains("7."));
        assert!(said(&cache.insert_if_absent(1, NoDebug).err().unwrap()).contains("7."));
        assert!(
            said(&cache.compare_and_swap(0, cache.get_ref(&1).unwrap().version(), NoDebug).err().unwrap()).contains("no entry")
        );
        let built = |stripes| Cache::<u64, u64>::builder().stripes(stripes).build();
        assert_eq!(built(0).err(), Some(BuildError::NoStripes));
        assert_eq!(built(65_537).err(), Some(BuildError::TooManyStripes(65_536)));
        assert!(said(&BuildError::NoStripes).contains("stripe"));
        assert!(built(3).is_ok() && built(1).is_ok());
    });
}

#[test]
fn memory_is_told_and_given_back_to_use() {
    watched(|| {
        let cache = Cache::builder().max_capacity(2000).stripes(1).build().unwrap();
        let empty = cache.memory_used();
        (0..2000_u64).for_each(|key| _ = cache.insert(key, key));
        let full = cache.memory_used();
        assert!(full > empty + 2000 * 16, "{empty} to {full}");
        // More traffic over the same room uses the same memory.
        (2000..100_000).for_each(|key| _ = cache.insert(key, key));
        let steady = cache.memory_used();
        (100_000..200_000).for_each(|key| _ = cache.insert(key, key));
        // But for the steering's lists, which may double once more.
        assert!(cache.memory_used() <= steady + steady / 2, "from {steady} to {}", cache.memory_used());
    });
}

#[test]
fn a_large_capacity_costs_memory_only_with_entries() {
    watched(|| {
        let unbounded: Cache<u64, u64> = Cache::builder().stripes(2).build().unwrap();
        let built = unbounded.memory_used();
        assert!(built < 1 << 20, "an empty cache without bound takes {built} bytes");
        let large: Cache<u64, u64> = Cache::builder().max_capacity(1 << 40).stripes(2).build().unwrap();
        let built = large.memory_used();
        let cache: Cache<u64, u64> = Cache::builder().max_capacity(100).stripes(2).build().unwrap();
        cache.set_capacity(u64::MAX);
        assert!(built < 1 << 20, "an empty cache for many entries takes {built} bytes");
        assert!(cache.memory_used() < 1 << 20, "a new capacity without bound takes {} bytes at once", cache.memory_used());
    });
}

#[test]
fn counts_add_up() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::builder().max_capacity(50).stripes(2).build().unwrap();
        let written: u64 = together(3, |thread| {
            let mut rng = Rng::new(thread as u64);
            let mut written = 0;
            for step in 0..4000 {
                let key = rng.below(100);
                written += match rng.below(10) {
                    0 => u64::from(cache.insert_if_absent(key, step).is_ok()),
                    1 => u64::from(cache.insert_at(key, step, step).is_ok()),
                    2 => {
                        cache.invalidate(&key);
                        0
                    }
                    _ => {
                        cache.insert(key, step);
                        1
                    }
                };
            }
            written
        })
        .into_iter()
        .sum();
        let stats = cache.stats();
        assert_eq!(stats.inserts, written);
        assert_eq!(
            stats.inserts,
            stats.replaced + stats.invalidated + stats.evicted + stats.expired + stats.cleared + stats.len as u64
        );
        assert_eq!((stats.len, stats.weight), (cache.len(), cache.weight()));
        assert_eq!((stats.len, stats.weight), (cache.iter().count(), stats.len as u64));
        assert!((40..=50).contains(&stats.len), "{} entries", stats.len);
        assert!(stats.refused_stale > 0 && stats.tombstones > 0);
    });
}

/// Every choice of the builder at once, and a random walk through all that writes, beside a map that does the same.
#[test]
fn the_cache_agrees_with_a_map() {
    watched(|| {
        for stripes in [1, 4] {
            let cache = Cache::builder()
                .name("all")
                .max_capacity(1_000_000)
                .weigher(|key, value: &u64| key % 3 + value % 2)
                .time_to_live(Duration::from_secs(1000))
                .time_to_idle(Duration::from_secs(1000))
                .stripes(stripes)
                .ordering(Ordering::Global)
                .equal_source(EqualSource::Replace)
                .when_forgotten(WhenForgotten::Accept)
                .tombstone_capacity(1000)
                .tombstone_ttl(Duration::from_secs(5))
                .clock(Clock::mock().0)
                .removal_listener(|_| {})
                .hasher(Flat)
                .build()
                .unwrap();
            let (mut map, mut rng) = (std::collections::HashMap::new(), Rng::new(7));
            for step in 0..6000 {
                let key = rng.below(60);
                match rng.below(12) {
                    0 => assert_eq!(cache.remove(&key), map.remove(&key)),
                    1 => assert_eq!(cache.invalidate(&key), map.remove(&key).is_some()),
                    2 => assert_eq!(cache.insert_if_absent(key, step).is_ok(), map.try_insert_(key, step)),
                    3 => {
                        let value = cache.remove_if(&key, |_, value| value % 2 == 0);
                        let there = map.get(&key).is_some_and(|value| value % 2 == 0);
                        assert_eq!(value, there.then(|| map.remove(&key)).flatten());
                    }
                    4 if rng.below(50) == 0 => {
                        cache.clear();
                        map.clear();
                    }
                    5 if rng.below(20) == 0 => {
                        cache.retain(|key, _| key % 4 > 0);
                        map.retain(|key, _| key % 4 > 0);
                    }
                    6 => {
                        cache.entry(key).and_compute_with(|entry| Op::Put(entry.map_or(0, |value| **value) + 1));
                        *map.entry(key).or_insert(0) += 1;
                    }
                    _ => {
                        cache.insert(key, step);
                        map.insert(key, step);
                    }
                }
                assert_eq!((cache.get(&key), cache.len()), (map.get(&key).copied(), map.len()));
                let weight: u64 = map.iter().map(|(key, value)| key % 3 + value % 2).sum();
                assert_eq!(cache.weight(), weight);
            }
        }
    });
}

trait TryInsert {
    fn try_insert_(&mut self, key: u64, value: u64) -> bool;
}

impl TryInsert for std::collections::HashMap<u64, u64> {
    fn try_insert_(&mut self, key: u64, value: u64) -> bool {
        let absent = !self.contains_key(&key);
        self.entry(key).or_insert(value);
        absent
    }
}
