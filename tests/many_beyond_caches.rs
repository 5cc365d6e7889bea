//! Promises 1 and 3 for `get_many` and `get_many_snapshot` of a cache that is larger than the processor's caches, where the memory of a
//! batch of keys is asked for before they are read: what is asked for is never believed, whoever writes, removes or makes the table grow
//! between the asking and the reading.

mod common;

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use brindle::Cache;

use common::Rng;
use common::together;
use common::watched;

/// More than a few megabytes of entries.
const KEYS: u64 = 150_000;
/// Asked for at once: more than a batch, and no multiple of one.
const ASKED: usize = 53;

#[test]
fn it_answers_as_single_reads_do() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::new(2 * KEYS);
        (0..KEYS).for_each(|key| _ = cache.insert(key, !key));
        let mut rng = Rng::new(7);
        for round in 0..2_000 {
            // Every other key, at most, is there; some are asked for twice.
            let mut keys: Vec<u64> = (0..round % ASKED).map(|_| rng.below(2 * KEYS)).collect();
            keys.extend_from_within(..keys.len() / 3);
            let expected: Vec<Option<u64>> = keys.iter().map(|&key| (key < KEYS).then_some(!key)).collect();
            assert_eq!(cache.get_many(&keys), expected);
            assert_eq!(cache.get_many_snapshot(&keys), expected);
        }
        let stats = cache.stats();
        assert!(stats.hits > 0 && stats.misses > 0);
    });
}

#[test]
fn nothing_is_older_than_what_was_written_before_while_the_table_grows_and_keys_come_and_go() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::new(8 * KEYS);
        (0..KEYS).for_each(|key| _ = cache.insert(key, 0));
        let written: Vec<AtomicU64> = (0..64).map(|_| AtomicU64::new(0)).collect();
        let over = AtomicBool::new(false);
        together(3, |worker| match worker {
            0 => {
                let mut rng = Rng::new(1);
                for value in 1..20_000 {
                    let key = rng.below(64);
                    if rng.below(4) == 0 {
                        cache.remove(&key);
                    }
                    cache.insert(key, value);
                    written[key as usize].store(value, SeqCst);
                }
                over.store(true, SeqCst);
            }
            1 => (KEYS..6 * KEYS).for_each(|key| _ = cache.insert(key, 0)),
            _ => {
                let mut rng = Rng::new(2);
                while !over.load(SeqCst) {
                    let keys: Vec<u64> = (0..ASKED).map(|_| rng.below(64)).collect();
                    let before: Vec<u64> = keys.iter().map(|&key| written[key as usize].load(SeqCst)).collect();
                    for (value, before) in cache.get_many(&keys).into_iter().zip(before) {
                        assert!(value.is_none_or(|value| value >= before), "{value:?}, after {before}");
                    }
                }
            }
        });
    });
}
