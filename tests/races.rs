//! Threads that share nothing but a cache, its values and atomics: what the thread sanitizer finds here is the cache's fault. It does not see into
//! std's locks, so that in other tests it takes what they guard for races. `CONTRIBUTING.md` has the command.

mod common;

#[cfg(brindle_planted_race)]
use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use brindle::Cache;
use brindle::EntryRef;
use brindle::Expected;

use common::Rng;
use common::watched;

const THREADS: u64 = 4;
const ROUNDS: usize = 4_000;
const KEYS: u64 = 40;
/// Guards that a thread keeps.
const KEPT: usize = 4;

/// On the heap and not atomic: to read one while it is written or freed is a race.
#[derive(Clone)]
struct Plain(Box<[u64; 4]>);

impl Plain {
    fn new(number: u64) -> Self {
        Plain(Box::new([number; 4]))
    }

    fn look(&self) {
        assert!(self.0.iter().all(|number| *number == self.0[0]), "torn: {:?}", self.0);
    }
}

#[test]
fn whatever_threads_do_nothing_races() {
    watched(|| [1, 4].into_iter().for_each(use_from_threads));
}

fn use_from_threads(stripes: usize) {
    let told = Arc::new(AtomicUsize::new(0));
    let heard = Arc::clone(&told);
    let cache = Cache::<u64, Plain>::builder()
        .max_capacity(24)
        .stripes(stripes)
        .time_to_live(Duration::from_millis(5))
        .removal_listener(move |removed| {
            removed.value().look();
            heard.fetch_add(1, Relaxed);
        })
        .build()
        .unwrap();
    // Joined one by one: what a scope does at its end is inside std.
    let work = |number| {
        let cache = cache.clone();
        thread::spawn(move || work(&cache, &mut Rng::new(number)))
    };
    let threads: Vec<_> = (0..THREADS).map(work).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(told.load(Relaxed) > 0);
}

fn work(cache: &Cache<u64, Plain>, rng: &mut Rng) {
    let mut kept: Vec<EntryRef<u64, Plain>> = Vec::new();
    for _ in 0..ROUNDS {
        read(cache, rng, &mut kept);
        change(cache, rng);
    }
    kept.iter().for_each(|guard| guard.look());
}

fn read(cache: &Cache<u64, Plain>, rng: &mut Rng, kept: &mut Vec<EntryRef<u64, Plain>>) {
    let key = rng.below(KEYS);
    match rng.below(16) {
        0..6 => _ = cache.with(&key, Plain::look),
        6..9 => cache.get(&key).iter().for_each(Plain::look),
        9 => cache.get_many_snapshot(&[key, key / 2, key / 3]).iter().flatten().for_each(Plain::look),
        10 => cache.get_with(&key, || Plain::new(key)).look(),
        11 => cache.refresh(&key, || Plain::new(key)).look(),
        12 => cache.iter().for_each(|entry| entry.look()),
        _ => {
            kept.extend(cache.get_ref(&key));
            if kept.len() > KEPT {
                kept.swap_remove(rng.below(KEPT as u64) as usize).look();
            }
        }
    }
}

fn change(cache: &Cache<u64, Plain>, rng: &mut Rng) {
    let (key, value) = (rng.below(KEYS), Plain::new(rng.below(1 << 20)));
    match rng.below(64) {
        0..20 => _ = cache.insert(key, value),
        20..26 => _ = cache.invalidate(&key),
        26..30 => cache.remove(&key).iter().for_each(Plain::look),
        30..34 => {
            let version = cache.get_entry(&key).map(|entry| entry.version);
            _ = cache.compare_and_swap(key, version.map_or(Expected::Absent, Expected::from), value);
        }
        34..38 => {
            let both = cache.transaction(|transaction| {
                transaction.insert(key, value.clone());
                transaction.insert(key / 2, value);
            });
            assert!(both.is_ok(), "it expects nothing");
        }
        38 => cache.retain(|other, _| *other != key),
        39 => cache.clear(),
        40 => cache.reclaim(),
        _ => {}
    }
}

/// Says that it may be shared, and may not.
#[cfg(brindle_planted_race)]
struct Unguarded(UnsafeCell<u64>);

// SAFETY: there is none: this is what is to be found.
#[cfg(brindle_planted_race)]
unsafe impl Sync for Unguarded {}

/// Hits order nothing among each other, so two readers race who change a value in place. If the sanitizer is silent about it, its silence about
/// the rest says nothing.
#[cfg(brindle_planted_race)]
#[test]
fn a_planted_race() {
    let cache = Cache::new(10);
    cache.insert(1, Unguarded(UnsafeCell::new(0)));
    let count_up = |cache: Cache<u64, Unguarded>| {
        for _ in 0..ROUNDS {
            // SAFETY: as above.
            cache.with(&1, |value| unsafe { *value.0.get() += 1 });
        }
    };
    let threads = [(); 2].map(|()| {
        let cache = cache.clone();
        thread::spawn(move || count_up(cache))
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
