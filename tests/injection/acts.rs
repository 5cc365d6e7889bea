//! Every call that neither loads nor waits, as an act of its own.

use brindle::Expected;
use brindle::Op;
use brindle::Transaction;

use super::stage::ABSENT;
use super::stage::DUE;
use super::stage::EXPIRED;
use super::stage::MANY;
use super::stage::MISSING;
use super::stage::OTHER;
use super::stage::Stage;
use super::stage::THERE;
use super::world::Group;
use super::world::HOUR;
use super::world::Hashing;
use super::world::Hook;
use super::world::Key;
use super::world::Value;
use super::world::groups;

/// Makes its calls in one or more attempts of the stage's.
pub type Act = (&'static str, fn(&Stage));

type Run = dyn Fn(&Stage);

/// An act of any kind.
pub struct Played {
    pub name: String,
    pub run: Box<Run>,
}

impl Played {
    pub fn new(&(name, run): &Act) -> Self {
        Played { name: name.to_string(), run: Box::new(run) }
    }

    /// Each variant of an act that has such.
    pub fn variants(name: &str, run: fn(&Stage, usize), variants: usize) -> impl Iterator<Item = Self> {
        let named = move |variant| format!("{name}, variant {variant}");
        (0..variants).map(move |variant| Played { name: named(variant), run: Box::new(move |stage| run(stage, variant)) })
    }
}

/// Keys that differ in what there is of them.
pub const EACH: [u64; 5] = [THERE, OTHER, DUE, EXPIRED, ABSENT];

/// Calls `part` for each kind of key, each an attempt of its own.
pub fn each(stage: &Stage, part: impl Fn(u64)) {
    EACH.into_iter().for_each(|id| _ = stage.attempt(|| part(id)));
}

/// What is handed to a call of many keys.
pub fn walked<'a>(stage: &'a Stage, keys: &'a [Key]) -> impl Iterator<Item = &'a Key> {
    keys.iter().inspect(|_| stage.world.call(Hook::NextKey))
}

pub fn keys(stage: &Stage) -> Vec<Key> {
    EACH.into_iter().chain([THERE, MISSING]).map(|id| stage.key(id)).collect()
}

pub const READS: &[Act] = &[
    ("get", |s| each(s, |id| drop(s.cache.get(&s.key(id))))),
    ("with", |s| {
        each(s, |id| {
            let captive = s.world.captive();
            s.cache.with(&s.key(id), move |value| {
                s.world.call(Hook::Closure);
                assert_eq!(value.id(), id);
                s.cache.with(&s.key(OTHER), |_| s.world.call(Hook::Closure));
                drop(captive);
            });
        });
    }),
    ("get_ref", |s| each(s, |id| drop(s.cache.get_ref(&s.key(id)).map(|guard| (guard.clone(), guard))))),
    ("get_ref, removed", |s| {
        each(s, |id| {
            let guard = s.cache.get_ref(&s.key(id));
            s.cache.invalidate(&s.key(id));
            s.cache.reclaim();
            drop(guard);
        });
    }),
    ("get_entry", |s| each(s, |id| drop(s.cache.get_entry(&s.key(id))))),
    ("peek", |s| each(s, |id| drop(s.cache.peek(&s.key(id))))),
    ("contains_key", |s| each(s, |id| _ = s.cache.contains_key(&s.key(id)))),
    ("get_many", |s| _ = s.attempt(|| drop(s.cache.get_many(walked(s, &keys(s)))))),
    ("get_many_snapshot", |s| _ = s.attempt(|| drop(s.cache.get_many_snapshot(walked(s, &keys(s)))))),
    ("iter", |s| _ = s.attempt(|| s.cache.iter().for_each(drop))),
    ("iter, left early", |s| _ = s.attempt(|| drop(s.cache.iter().next()))),
    ("handles and numbers", |s| {
        _ = s.attempt(|| {
            let handle = s.cache.clone();
            (handle.len(), handle.weight(), handle.memory_used(), handle.stats())
        });
    }),
];

pub const WRITES: &[Act] = &[
    ("insert", |s| each(s, |id| _ = s.cache.insert(s.key(id), s.value(id)))),
    ("try_insert", |s| each(s, |id| drop(s.cache.try_insert(s.key(id), s.value(id))))),
    ("try_insert, too heavy", |s| {
        each(s, |id| drop(s.cache.try_insert(s.key(id), heavy(s, id))));
    }),
    ("insert, too heavy", |s| each(s, |id| _ = s.cache.insert(s.key(id), heavy(s, id)))),
    ("insert_with_ttl", |s| each(s, |id| _ = s.cache.insert_with_ttl(s.key(id), s.value(id), HOUR))),
    ("insert_with_ttl, none", |s| {
        each(s, |id| _ = s.cache.insert_with_ttl(s.key(id), s.value(id), std::time::Duration::ZERO));
    }),
    ("insert_in_groups", |s| each(s, |id| _ = s.cache.insert_in_groups(s.key(id), s.value(id), groups(&s.world, id)))),
    ("insert_if_absent", |s| each(s, |id| drop(s.cache.insert_if_absent(s.key(id), s.value(id))))),
    ("insert_at", |s| each(s, |id| drop(s.cache.insert_at(s.key(id), s.value(id), s.world.source())))),
    ("insert_at, late", |s| {
        each(s, |id| {
            s.cache.invalidate_at(&s.key(id), 7);
            drop(s.cache.insert_at(s.key(id), s.value(id), 5));
        });
    }),
    ("compare_and_swap", |s| {
        each(s, |id| {
            let expected = s.cache.get_ref(&s.key(id)).map_or(Expected::Absent, |entry| entry.version().into());
            drop(s.cache.compare_and_swap(s.key(id), expected, s.value(id)));
            drop(s.cache.compare_and_swap(s.key(id), expected, s.value(id)));
        });
    }),
    ("and_compute_with, put", |s| compute(s, |s, id| Op::Put(s.value(id)))),
    ("and_compute_with, remove", |s| compute(s, |_, _| Op::Remove)),
    ("and_compute_with, keep", |s| compute(s, |_, _| Op::Keep)),
    ("inserts that evict", |s| (MANY..MANY + 60).for_each(|id| _ = s.attempt(|| s.cache.insert(s.key(id), s.value(id))))),
    ("set_capacity", |s| {
        _ = s.attempt(|| s.cache.set_capacity(2));
        _ = s.attempt(|| s.cache.set_capacity(20));
    }),
];

fn heavy(stage: &Stage, id: u64) -> Value {
    let mut value = stage.value(id);
    value.weight = 1_000;
    value
}

fn compute(stage: &Stage, decide: fn(&Stage, u64) -> Op<Value>) {
    each(stage, |id| {
        let computed = stage.cache.entry(stage.key(id)).and_compute_with(|_| {
            stage.world.call(Hook::Closure);
            decide(stage, id)
        });
        drop(computed);
    });
}

pub const REMOVALS: &[Act] = &[
    ("remove", |s| each(s, |id| drop(s.cache.remove(&s.key(id))))),
    ("remove_if", |s| {
        each(s, |id| {
            let removed = s.cache.remove_if(&s.key(id), |_, value| {
                s.world.call(Hook::Closure);
                value.id() != OTHER
            });
            drop(removed);
        });
    }),
    ("retain", |s| {
        _ = s.attempt(|| {
            s.cache.retain(|key, _| {
                s.world.call(Hook::Closure);
                key.id() == OTHER
            });
        });
    }),
    ("invalidate", |s| each(s, |id| _ = s.cache.invalidate(&s.key(id)))),
    ("invalidate_at", |s| each(s, |id| _ = s.cache.invalidate_at(&s.key(id), s.world.source()))),
    ("invalidate_group", |s| {
        for group in [0, 1, 11] {
            s.attempt(|| s.cache.invalidate_group(&Group(group, s.world.clone())));
        }
    }),
    ("clear", |s| _ = s.attempt(|| s.cache.clear())),
    ("reclaim", |s| {
        each(s, |id| _ = s.cache.invalidate(&s.key(id)));
        s.attempt(|| s.cache.reclaim());
    }),
    ("sweeps", |s| {
        s.hand.advance(2 * HOUR);
        each(s, |id| _ = s.cache.insert(s.key(MANY + id), s.value(MANY + id)));
        s.attempt(|| s.cache.reclaim());
    }),
];

type Changes<'a> = Transaction<'a, Key, Value, Hashing>;

/// One of each change.
fn change(stage: &Stage, t: &mut Changes<'_>) {
    let (key, value) = (|id| stage.key(id), |id| stage.value(id));
    stage.world.call(Hook::Body);
    t.insert(key(THERE), value(THERE));
    t.insert(key(THERE), value(THERE));
    drop(t.get(&key(THERE)));
    t.contains_key(&key(OTHER));
    drop(t.read(&key(OTHER)));
    drop(t.remove(&key(OTHER)));
    t.insert_with_ttl(key(DUE), value(DUE), HOUR);
    t.invalidate(&key(EXPIRED));
    t.insert_in_groups(key(EXPIRED), value(EXPIRED), groups(&stage.world, EXPIRED));
    t.compare_and_swap(key(ABSENT), Expected::Absent, value(ABSENT));
    t.expect_version(&key(MISSING), Expected::Absent);
    t.invalidate_at(&key(MISSING), 3);
    t.insert_at(key(MISSING), value(MISSING), stage.world.source());
    t.invalidate_group(&Group(1, stage.world.clone()));
    (MANY..MANY + 6).for_each(|id| t.insert(key(id), value(id)));
    stage.world.call(Hook::Body);
}

pub const TRANSACTIONS: &[Act] = &[
    ("transaction", |s| _ = s.attempt(|| drop(s.cache.transaction(|t| change(s, t))))),
    ("try_transaction, failed", |s| {
        _ = s.attempt(|| {
            let failed = s.cache.try_transaction(|t| {
                change(s, t);
                Err::<(), _>(s.world.error())
            });
            drop(failed);
        });
    }),
    ("transaction, aborted", |s| {
        _ = s.attempt(|| {
            let aborted = s.cache.transaction(|t| {
                change(s, t);
                t.compare_and_swap(s.key(MANY), s.cache.get_ref(&s.key(OTHER)).map(|entry| entry.version()), s.value(MANY));
            });
            drop(aborted);
        });
    }),
];
