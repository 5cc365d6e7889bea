//! The calls that overtake a load, in one table.

use crate::hand::Numbers;
use crate::hand::seconds;

/// What a load in flight is overtaken by.
pub struct Overtaking {
    pub name: &'static str,
    pub act: fn(&Numbers, u64),
    /// The value that is resident then.
    pub leaves: Option<u64>,
}

/// The value that every write of [`OVERTAKINGS`] writes.
pub const WRITTEN: u64 = 20;

/// Every call that ends what was there of a key, whether it is alive, expired or absent.
pub const OVERTAKINGS: [Overtaking; 14] = [
    Overtaking { name: "invalidate", act: |cache, key| _ = cache.invalidate(&key), leaves: None },
    Overtaking { name: "remove", act: |cache, key| _ = cache.remove(&key), leaves: None },
    Overtaking { name: "remove_if", act: |cache, key| _ = cache.remove_if(&key, |_, _| true), leaves: None },
    Overtaking { name: "retain", act: |cache, _| cache.retain(|_, _| false), leaves: None },
    Overtaking { name: "clear", act: |cache, _| cache.clear(), leaves: None },
    Overtaking { name: "invalidate_at", act: |cache, key| _ = cache.invalidate_at(&key, 5), leaves: None },
    Overtaking {
        name: "and_compute_with, remove",
        act: |cache, key| _ = cache.entry(key).and_compute_with(|_| brindle::Op::Remove),
        leaves: None,
    },
    Overtaking { name: "insert", act: |cache, key| _ = cache.insert(key, WRITTEN), leaves: Some(WRITTEN) },
    Overtaking {
        name: "insert_with_ttl",
        act: |cache, key| _ = cache.insert_with_ttl(key, WRITTEN, seconds(1_000_000)),
        leaves: Some(WRITTEN),
    },
    Overtaking { name: "try_insert", act: |cache, key| assert!(cache.try_insert(key, WRITTEN).is_ok()), leaves: Some(WRITTEN) },
    Overtaking { name: "insert_at", act: |cache, key| assert!(cache.insert_at(key, WRITTEN, 5).is_ok()), leaves: Some(WRITTEN) },
    Overtaking {
        name: "compare_and_swap",
        act: |cache, key| {
            // The state may be another by then: it may expire in between.
            let swap = || cache.compare_and_swap(key, cache.get_ref(&key).map(|entry| entry.version()), WRITTEN);
            while swap().is_err() {}
        },
        leaves: Some(WRITTEN),
    },
    Overtaking {
        name: "and_compute_with, put",
        act: |cache, key| _ = cache.entry(key).and_compute_with(|_| brindle::Op::Put(WRITTEN)),
        leaves: Some(WRITTEN),
    },
    Overtaking {
        name: "insert, too heavy to stay",
        act: |cache, key| {
            // Takes effect and is evicted at once.
            let capacity = cache.capacity();
            cache.set_capacity(0);
            cache.insert(key, WRITTEN);
            cache.set_capacity(capacity);
        },
        leaves: None,
    },
];
