//! Every operation that fences a load of its key, and what it leaves behind; and operations that fence nothing.
#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part of it")]

use std::time::Duration;

use brindle::Builder;
use brindle::Cache;
use brindle::Expected;
use brindle::Op;
use brindle::Ordering;
use brindle::WhyUnfilled;

use crate::common::Flat;
use crate::faces::Answer;
use crate::faces::Face;
use crate::faces::Way;
use crate::faces::reloading;
use crate::faces::ways;

mod transactions;

/// All keys have one hash: what a fence covers is decided by the keys themselves.
pub type Tried = Cache<u64, u64, Flat>;

pub const KEY: u64 = 7;
pub const OTHER: u64 = 8;

/// What is there before the load begins, where something is.
pub const FIRST: u64 = 1;
/// What the load brings that is fenced.
pub const OLD: u64 = 2;
/// What the operation writes.
pub const WRITTEN: u64 = 3;
/// What the load brings that begins after the operation.
pub const NEW: u64 = 4;
/// What no cache here can hold.
pub const HEAVY: u64 = 1000;

/// What the operation means to those who wait for the load already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiters {
    /// They get this value at once.
    Freed(u64),
    /// They go on waiting.
    Wait,
    /// Nobody has said.
    Unsaid,
}

use Waiters::Freed;
use Waiters::Unsaid;
use Waiters::Wait;

#[derive(Clone, Copy)]
pub struct Operation {
    pub name: &'static str,
    pub builder: fn() -> Builder<u64, u64, Flat>,
    /// Before the load begins.
    pub before: fn(&Tried),
    pub run: fn(&Tried),
    /// What is resident when it has returned.
    pub leaves: Option<u64>,
    pub waiters: Waiters,
    /// The key is resident when the load begins: only what reloads can have begun then.
    pub present: bool,
    /// The cache has room for what is loaded.
    pub keeps: bool,
}

impl Operation {
    /// What can have a load in flight when the operation comes.
    pub fn loads(&self) -> Vec<Way> {
        if self.present { reloading() } else { ways() }
    }

    /// What must load after it.
    pub fn loads_after(&self) -> Vec<Way> {
        if self.leaves.is_some() { reloading() } else { ways() }
    }

    pub fn prepare(&self) -> Tried {
        let cache = (self.builder)().build().unwrap();
        (self.before)(&cache);
        cache
    }

    /// What a fenced leader may answer: what is resident, if that is newer, else what it loaded.
    #[track_caller]
    pub fn judge_leader(&self, way: Way, answer: Answer<u64>) {
        if way.face == Face::Lease {
            return assert_eq!(answer, Answer::Unfilled(OLD, WhyUnfilled::Fenced), "{}", self.name);
        }
        let value = answer.value();
        let resident = value == self.leaves.unwrap_or(OLD);
        assert!(resident || (self.leaves == Some(FIRST) && value == OLD), "{way} answers {value} after {}", self.name);
    }
}

/// All that reads agrees on what is resident.
#[track_caller]
pub fn reads(cache: &Tried, value: Option<u64>, when: &str) {
    assert_eq!(cache.get(&KEY), value, "{when}");
    assert_eq!(cache.peek(&KEY), value, "{when}");
    assert_eq!(cache.with(&KEY, |value| *value), value, "{when}");
    assert_eq!(cache.get_ref(&KEY).map(|entry| *entry), value, "{when}");
    assert_eq!(cache.get_entry(&KEY).map(|entry| entry.value), value, "{when}");
    assert_eq!(cache.contains_key(&KEY), value.is_some(), "{when}");
    assert_eq!(cache.iter().find(|entry| *entry.key() == KEY).map(|entry| *entry), value, "{when}");
}

pub fn plain() -> Builder<u64, u64, Flat> {
    Cache::builder().max_capacity(10).stripes(1).hasher(Flat)
}

fn weighed() -> Builder<u64, u64, Flat> {
    plain().weigher(|_, value| if *value >= HEAVY { 100 } else { 1 })
}

fn without_room() -> Builder<u64, u64, Flat> {
    plain().max_capacity(0)
}

fn with_floors() -> Builder<u64, u64, Flat> {
    plain().ordering(Ordering::Global).tombstone_capacity(0)
}

fn forgetful() -> Builder<u64, u64, Flat> {
    plain().tombstone_capacity(0)
}

/// What the operation writes is older than anything else.
fn versioned() -> Builder<u64, u64, Flat> {
    plain().versioned_by(|_, value| if *value == WRITTEN { 5 } else { 10 })
}

fn nothing(_: &Tried) {}

fn first(cache: &Tried) {
    cache.insert(KEY, FIRST);
}

fn first_at_9(cache: &Tried) {
    cache.insert_at(KEY, FIRST, 9).unwrap();
}

const ABSENT: Operation = Operation {
    name: "",
    builder: plain,
    before: nothing,
    run: nothing,
    leaves: None,
    waiters: Wait,
    present: false,
    keeps: true,
};

const PRESENT: Operation = Operation { before: first, present: true, ..ABSENT };

const fn writes(operation: Operation) -> Operation {
    Operation { leaves: Some(WRITTEN), waiters: Freed(WRITTEN), ..operation }
}

const fn leaves_first(operation: Operation) -> Operation {
    Operation { leaves: Some(FIRST), ..operation }
}

fn insert(cache: &Tried) {
    cache.insert(KEY, WRITTEN);
}

fn insert_at(cache: &Tried) {
    cache.insert_at(KEY, WRITTEN, 11).unwrap();
}

fn insert_at_refused(cache: &Tried) {
    assert!(cache.insert_at(KEY, WRITTEN, 8).is_err());
}

fn insert_with_ttl(cache: &Tried) {
    cache.insert_with_ttl(KEY, WRITTEN, Duration::MAX);
}

fn insert_with_no_time(cache: &Tried) {
    cache.insert_with_ttl(KEY, WRITTEN, Duration::ZERO);
}

fn try_insert(cache: &Tried) {
    cache.try_insert(KEY, WRITTEN).unwrap();
}

fn try_insert_heavy(cache: &Tried) {
    assert!(cache.try_insert(KEY, HEAVY).is_err());
}

fn insert_heavy(cache: &Tried) {
    cache.insert(KEY, HEAVY);
}

fn put(cache: &Tried) {
    cache.entry(KEY).and_compute_with(|_| Op::Put(WRITTEN));
}

fn put_heavy(cache: &Tried) {
    cache.entry(KEY).and_compute_with(|_| Op::Put(HEAVY));
}

fn compute_remove(cache: &Tried) {
    cache.entry(KEY).and_compute_with(|_| Op::Remove);
}

fn compute_keep(cache: &Tried) {
    cache.entry(KEY).and_compute_with(|_| Op::Keep);
}

fn remove(cache: &Tried) {
    cache.remove(&KEY);
}

fn remove_if(cache: &Tried) {
    cache.remove_if(&KEY, |_, _| true);
}

fn remove_if_not(cache: &Tried) {
    assert_eq!(cache.remove_if(&KEY, |_, _| false), None);
}

fn retain_none(cache: &Tried) {
    cache.retain(|_, _| false);
}

fn retain_all(cache: &Tried) {
    cache.retain(|_, _| true);
}

fn invalidate(cache: &Tried) {
    cache.invalidate(&KEY);
}

fn invalidate_at(cache: &Tried) {
    assert!(cache.invalidate_at(&KEY, 9));
}

fn clear(cache: &Tried) {
    cache.clear();
}

/// Every operation that fences.
pub fn fencing() -> Vec<Operation> {
    let mut all = on_absent();
    all.extend(on_present());
    all.extend(transactions::committed());
    all
}

fn on_absent() -> Vec<Operation> {
    let heavy = Operation { builder: weighed, waiters: Freed(HEAVY), ..ABSENT };
    let refused = Operation { run: insert_at_refused, ..ABSENT };
    vec![
        writes(Operation { name: "insert", run: insert, ..ABSENT }),
        writes(Operation { name: "insert_at", run: insert_at, ..ABSENT }),
        writes(Operation { name: "insert_with_ttl", run: insert_with_ttl, ..ABSENT }),
        Operation { name: "insert_with_ttl of no time", run: insert_with_no_time, waiters: Unsaid, ..ABSENT },
        writes(Operation { name: "try_insert", run: try_insert, ..ABSENT }),
        Operation { name: "try_insert, refused", builder: weighed, run: try_insert_heavy, ..ABSENT },
        Operation { name: "insert, evicted at once", run: insert_heavy, ..heavy },
        Operation { name: "and_compute Put, evicted at once", run: put_heavy, ..heavy },
        Operation {
            name: "compare_and_swap, evicted at once",
            run: |cache| _ = cache.compare_and_swap(KEY, Expected::Absent, HEAVY).unwrap(),
            ..heavy
        },
        Operation {
            name: "insert without room",
            builder: without_room,
            run: insert,
            waiters: Freed(WRITTEN),
            keeps: false,
            ..ABSENT
        },
        Operation {
            name: "insert_at, refused by the tombstone of a removal",
            before: |cache| {
                first_at_9(cache);
                cache.invalidate(&KEY);
            },
            ..refused
        },
        Operation { name: "insert_at, refused by the tombstone of an invalidation", before: invalidate_at, ..refused },
        Operation {
            name: "insert_at, refused by a floor",
            builder: with_floors,
            before: |cache| assert!(cache.invalidate_at(&OTHER, 9)),
            ..refused
        },
        Operation {
            name: "insert_at, refused by a forgotten tombstone",
            builder: forgetful,
            before: |cache| assert!(cache.invalidate_at(&OTHER, 9)),
            ..refused
        },
        Operation {
            name: "insert where values have versions, refused",
            builder: versioned,
            before: invalidate_at,
            run: insert,
            ..ABSENT
        },
        writes(Operation {
            name: "compare_and_swap",
            run: |cache| _ = cache.compare_and_swap(KEY, Expected::Absent, WRITTEN).unwrap(),
            ..ABSENT
        }),
        writes(Operation { name: "insert_if_absent", run: |cache| _ = cache.insert_if_absent(KEY, WRITTEN).unwrap(), ..ABSENT }),
        writes(Operation { name: "and_compute Put", run: put, ..ABSENT }),
        Operation { name: "and_compute Remove of nothing", run: compute_remove, ..ABSENT },
        Operation { name: "remove of nothing", run: remove, ..ABSENT },
        Operation { name: "remove_if of nothing", run: remove_if, ..ABSENT },
        Operation { name: "retain of nothing", run: retain_all, ..ABSENT },
        Operation { name: "invalidate of nothing", run: invalidate, ..ABSENT },
        Operation { name: "invalidate_at of nothing", run: invalidate_at, ..ABSENT },
        Operation { name: "clear", run: clear, ..ABSENT },
    ]
}

fn on_present() -> Vec<Operation> {
    vec![
        writes(Operation { name: "insert over", run: insert, ..PRESENT }),
        writes(Operation { name: "insert_at over", run: insert_at, ..PRESENT }),
        writes(Operation { name: "insert_with_ttl over", run: insert_with_ttl, ..PRESENT }),
        Operation { name: "insert_with_ttl of no time over", run: insert_with_no_time, waiters: Unsaid, ..PRESENT },
        writes(Operation { name: "try_insert over", run: try_insert, ..PRESENT }),
        leaves_first(Operation { name: "try_insert over, refused", builder: weighed, run: try_insert_heavy, ..PRESENT }),
        Operation { name: "insert over, evicted at once", builder: weighed, run: insert_heavy, waiters: Freed(HEAVY), ..PRESENT },
        writes(Operation {
            name: "compare_and_swap of a version",
            run: |cache| {
                let version = cache.get_entry(&KEY).unwrap().version;
                cache.compare_and_swap(KEY, version, WRITTEN).unwrap();
            },
            ..PRESENT
        }),
        writes(Operation { name: "and_compute Put over", run: put, ..PRESENT }),
        Operation { name: "and_compute Remove", run: compute_remove, ..PRESENT },
        Operation { name: "remove", run: remove, ..PRESENT },
        Operation { name: "remove_if", run: remove_if, ..PRESENT },
        leaves_first(Operation { name: "remove_if, not wanted", run: remove_if_not, ..PRESENT }),
        Operation { name: "retain of none", run: retain_none, ..PRESENT },
        leaves_first(Operation { name: "retain of all", run: retain_all, ..PRESENT }),
        Operation { name: "invalidate", run: invalidate, ..PRESENT },
        Operation { name: "invalidate_at", run: invalidate_at, ..PRESENT },
        leaves_first(Operation {
            name: "invalidate_at, refused",
            before: first_at_9,
            run: |cache| assert!(!cache.invalidate_at(&KEY, 5)),
            ..PRESENT
        }),
        Operation { name: "clear of one", run: clear, ..PRESENT },
    ]
}

/// What leaves a load of the key alone.
pub fn harmless() -> Vec<Operation> {
    let mut all = harmless_calls();
    all.extend(transactions::harmless());
    all
}

fn harmless_calls() -> Vec<Operation> {
    vec![
        Operation {
            name: "compare_and_swap of nothing, failed",
            run: |cache| {
                let version = cache.insert(OTHER, FIRST);
                assert!(cache.compare_and_swap(KEY, version, WRITTEN).is_err());
            },
            ..ABSENT
        },
        Operation { name: "and_compute Keep of nothing", run: compute_keep, ..ABSENT },
        Operation { name: "set_capacity", run: set_capacity, ..ABSENT },
        Operation { name: "reads", run: read_all, ..ABSENT },
        Operation { name: "writes of others", run: write_others, ..ABSENT },
        Operation { name: "ends of others", run: end_others, ..ABSENT },
        Operation { name: "loads of others", run: load_others, ..ABSENT },
        Operation { name: "evictions", run: evict_others, ..ABSENT },
        leaves_first(Operation {
            name: "compare_and_swap for nothing, failed",
            run: |cache| assert!(cache.compare_and_swap(KEY, Expected::Absent, WRITTEN).is_err()),
            ..PRESENT
        }),
        leaves_first(Operation {
            name: "compare_and_swap of a version, failed",
            run: |cache| {
                let version = cache.insert(OTHER, FIRST);
                assert!(cache.compare_and_swap(KEY, version, WRITTEN).is_err());
            },
            ..PRESENT
        }),
        leaves_first(Operation {
            name: "insert_if_absent, failed",
            run: |cache| assert!(cache.insert_if_absent(KEY, WRITTEN).is_err()),
            ..PRESENT
        }),
        leaves_first(Operation {
            name: "insert_at, older than the entry",
            before: first_at_9,
            run: insert_at_refused,
            ..PRESENT
        }),
        leaves_first(Operation { name: "and_compute Keep", run: compute_keep, ..PRESENT }),
        leaves_first(Operation { name: "set_capacity over one", run: set_capacity, ..PRESENT }),
        leaves_first(Operation { name: "reads of one", run: read_all, ..PRESENT }),
        leaves_first(Operation { name: "writes beside one", run: write_others, ..PRESENT }),
        leaves_first(Operation { name: "ends beside one", run: end_others, ..PRESENT }),
        leaves_first(Operation { name: "loads beside one", run: load_others, ..PRESENT }),
        Operation {
            name: "eviction of the key itself",
            run: |cache| {
                cache.set_capacity(0);
                cache.set_capacity(10);
            },
            ..PRESENT
        },
    ]
}

fn set_capacity(cache: &Tried) {
    [5, 1000, 10].into_iter().for_each(|capacity| cache.set_capacity(capacity));
}

fn read_all(cache: &Tried) {
    let there = cache.get(&KEY);
    assert_eq!(cache.peek(&KEY), there);
    assert_eq!(cache.with(&KEY, |value| *value), there);
    assert_eq!(cache.get_ref(&KEY).map(|entry| *entry), there);
    assert_eq!(cache.get_entry(&KEY).map(|entry| entry.value), there);
    assert_eq!(cache.contains_key(&KEY), there.is_some());
    assert_eq!(cache.iter().count(), cache.len());
    cache.reclaim();
    assert!(cache.memory_used() > 0 && cache.stats().len == cache.len());
}

fn write_others(cache: &Tried) {
    cache.insert(OTHER, WRITTEN);
    cache.insert_with_ttl(OTHER, WRITTEN, Duration::MAX);
    cache.try_insert(OTHER, WRITTEN).unwrap();
    let version = cache.insert_at(OTHER, WRITTEN, 9).unwrap();
    assert!(cache.insert_at(OTHER, WRITTEN, 8).is_err());
    cache.compare_and_swap(OTHER, version, WRITTEN).unwrap();
    cache.insert_if_absent(OTHER + 1, WRITTEN).unwrap();
    cache.entry(OTHER).and_compute_with(|_| Op::Put(WRITTEN));
}

fn end_others(cache: &Tried) {
    let end: [fn(&Tried); 6] = [
        |cache| _ = cache.remove(&OTHER),
        |cache| _ = cache.remove_if(&OTHER, |_, _| true),
        |cache| _ = cache.remove_if(&OTHER, |_, _| false),
        |cache| _ = cache.invalidate(&OTHER),
        |cache| _ = cache.invalidate_at(&OTHER, 9),
        |cache| _ = cache.entry(OTHER).and_compute_with(|_| Op::Remove),
    ];
    for end in end {
        cache.insert(OTHER, WRITTEN);
        end(cache);
        end(cache);
    }
}

fn load_others(cache: &Tried) {
    assert_eq!(cache.get_with(&OTHER, || WRITTEN), WRITTEN);
    assert_eq!(cache.refresh(&OTHER, || NEW), NEW);
    assert!(cache.try_get_with(&(OTHER + 1), || Err::<u64, u8>(1)).is_err());
}

fn evict_others(cache: &Tried) {
    (100..200).for_each(|other| _ = cache.insert(other, other));
    assert!(cache.stats().evicted > 0);
}
