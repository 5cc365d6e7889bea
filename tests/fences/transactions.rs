//! Transactions among the operations that fence, and those that do not.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::time::Duration;

use brindle::Expected;
use brindle::Transaction;

use crate::common::Flat;
use crate::faces::planned;

use super::*;

type Run = fn(&Tried);
type Body = fn(&mut Transaction<'_, u64, u64, Flat>);

/// With another key, so that no commit is of one key alone.
fn commit(cache: &Tried, body: Body) {
    let committed = cache.transaction(|t| {
        t.insert(OTHER, FIRST);
        body(t);
        t.invalidate(&(OTHER + 1));
    });
    committed.expect("nothing is in its way");
}

fn abort(cache: &Tried, body: Body) {
    let aborted = cache.transaction(|t| {
        body(t);
        t.compare_and_swap(OTHER, Expected::Absent, FIRST);
        cache.insert(OTHER, FIRST);
    });
    assert!(aborted.is_err(), "the other key is not absent");
}

/// Commits that write `WRITTEN`, whatever is there.
fn writing() -> [(&'static str, Run); 6] {
    [
        ("transaction: insert", |cache| commit(cache, |t| t.insert(KEY, WRITTEN))),
        ("transaction: insert_at", |cache| commit(cache, |t| t.insert_at(KEY, WRITTEN, 11))),
        ("transaction: insert_with_ttl", |cache| commit(cache, |t| t.insert_with_ttl(KEY, WRITTEN, Duration::MAX))),
        ("transaction: insert after insert", |cache| {
            commit(cache, |t| {
                t.insert(KEY, WRITTEN + 100);
                t.insert(KEY, WRITTEN);
            })
        }),
        ("transaction: insert after invalidate", |cache| {
            commit(cache, |t| {
                t.invalidate(&KEY);
                t.insert(KEY, WRITTEN);
            })
        }),
        ("transaction: compare_and_swap", |cache| {
            let there = cache.get_entry(&KEY).map(|entry| entry.version);
            cache.transaction(|t| t.compare_and_swap(KEY, there, WRITTEN)).unwrap();
        }),
    ]
}

/// Commits that leave the key absent.
fn ending() -> [(&'static str, Run); 5] {
    [
        ("transaction: remove", |cache| commit(cache, |t| _ = t.remove(&KEY))),
        ("transaction: invalidate", |cache| commit(cache, |t| t.invalidate(&KEY))),
        ("transaction: invalidate_at", |cache| commit(cache, |t| t.invalidate_at(&KEY, 9))),
        ("transaction: remove after insert", |cache| {
            commit(cache, |t| {
                t.insert(KEY, WRITTEN);
                t.remove(&KEY);
            })
        }),
        ("transaction: invalidate_at after insert", |cache| {
            commit(cache, |t| {
                t.insert(KEY, WRITTEN);
                t.invalidate_at(&KEY, 9);
            })
        }),
    ]
}

pub(super) fn committed() -> Vec<Operation> {
    let mut all = Vec::new();
    for (name, run) in writing() {
        all.push(writes(Operation { name, run, ..ABSENT }));
        all.push(writes(Operation { name, run, ..PRESENT }));
    }
    for (name, run) in ending() {
        all.push(Operation { name, run, ..ABSENT });
        all.push(Operation { name, run, ..PRESENT });
    }
    let heavy = Operation {
        name: "transaction: insert, evicted at once",
        builder: weighed,
        run: |cache| commit(cache, |t| t.insert(KEY, HEAVY)),
        waiters: Freed(HEAVY),
        ..ABSENT
    };
    all.push(heavy);
    all.push(Operation { present: true, before: first, ..heavy });
    all.push(leaves_first(Operation {
        name: "transaction: invalidate_at, older than the entry",
        before: first_at_9,
        run: |cache| commit(cache, |t| t.invalidate_at(&KEY, 5)),
        ..PRESENT
    }));
    all
}

/// Aborts of every kind, and commits that only look.
pub(super) fn harmless() -> Vec<Operation> {
    let runs: [(&'static str, Run); 9] = [
        ("transaction of reads", |cache| {
            commit(cache, |t| {
                t.get(&KEY);
                t.read(&KEY);
                t.contains_key(&KEY);
            })
        }),
        ("transaction that expects the state that is there", |cache| {
            let there = cache.get_entry(&KEY).map(|entry| entry.version);
            cache.transaction(|t| t.expect_version(&KEY, there)).unwrap();
        }),
        ("aborted transaction: insert", |cache| abort(cache, |t| t.insert(KEY, WRITTEN))),
        ("aborted transaction: insert_at", |cache| abort(cache, |t| t.insert_at(KEY, WRITTEN, 11))),
        ("aborted transaction: remove", |cache| abort(cache, |t| _ = t.remove(&KEY))),
        ("aborted transaction: invalidate", |cache| abort(cache, |t| t.invalidate(&KEY))),
        ("aborted transaction: invalidate_at", |cache| abort(cache, |t| t.invalidate_at(&KEY, 9))),
        ("transaction that fails", |cache| {
            let failed = cache.try_transaction(|t| {
                t.insert(KEY, WRITTEN);
                t.invalidate(&KEY);
                Err::<(), _>("no")
            });
            assert!(failed.is_err());
        }),
        ("transaction that panics", |cache| {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                cache.transaction(|t| {
                    t.insert(KEY, WRITTEN);
                    planned()
                })
            }));
            assert!(panicked.is_err());
        }),
    ];
    let mut all = Vec::new();
    for (name, run) in runs {
        all.push(Operation { name, run, ..ABSENT });
        all.push(leaves_first(Operation { name, run, ..PRESENT }));
    }
    all.push(leaves_first(Operation {
        name: "aborted transaction: a write that is no news",
        before: first_at_9,
        run: |cache| {
            let aborted = cache.transaction(|t| {
                t.insert(OTHER, WRITTEN);
                t.insert_at(KEY, WRITTEN, 8);
            });
            assert!(aborted.is_err());
        },
        ..PRESENT
    }));
    all
}
