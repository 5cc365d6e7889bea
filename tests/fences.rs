//! Promises 1 and 2: a load that began before a write, removal or invalidation of its key is fenced. Its value is not stored, nobody who comes
//! later reads it or waits for it, and its end, whatever it is, touches nothing that came after the fence. Every operation that fences, with every
//! face that loads.

mod common;
#[path = "fences/faces.rs"]
mod faces;
#[path = "fences/operations.rs"]
mod operations;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use brindle::Builder;
use brindle::Cache;
use brindle::Expiry;
use brindle::Leased;
use brindle::WhyUnfilled;

use common::Flat;
use common::executor::block_on;
use common::watched;
use faces::Answer;
use faces::End;
use faces::Held;
use faces::On;
use faces::Way;
use faces::call;
use faces::future;
use faces::pick;
use faces::survives;
use faces::ways;
use operations::FIRST;
use operations::KEY;
use operations::NEW;
use operations::OLD;
use operations::Operation;
use operations::Tried;
use operations::WRITTEN;
use operations::fencing;
use operations::harmless;
use operations::plain;
use operations::reads;

/// One load, fenced by the operation, and a new one that begins while the old one is open, with one who waits for it.
fn fence(operation: &Operation, [old_way, new_way, waiting_way]: [Way; 3], end: End<u64>) {
    let name = operation.name;
    let case = format!("{name}: {old_way}, then {new_way}, joined by {waiting_way}; the old load ends with {end:?}");
    let cache = operation.prepare();
    let fenced = cache.stats().fenced;
    let old = Held::open(&cache, old_way, KEY);
    reads(&cache, operation.present.then_some(FIRST), &case);
    (operation.run)(&cache);
    reads(&cache, operation.leaves, &case);

    let new = Held::open(&cache, new_way, KEY);
    let mut waiter = Held::join(&cache, waiting_way, KEY);
    reads(&cache, operation.leaves, &case);

    let succeeds = matches!(end, End::Value(_));
    let answer = match &end {
        End::Value(_) => None,
        End::Fail => Some(Answer::Failed),
        End::Panic => Some(Answer::Panicked),
        End::Cancel => Some(Answer::Cancelled),
    };
    let came = old.end(end);
    match answer {
        None => operation.judge_leader(old_way, came),
        Some(answer) => assert_eq!(came, answer, "{case}"),
    }
    reads(&cache, operation.leaves, &case);
    assert!(waiter.waits(), "who waits for the new load is done with by the old: {case}");
    if succeeds {
        assert_eq!(cache.stats().fenced, fenced + 1, "{case}");
    }

    assert_eq!(new.end(End::Value(NEW)), Answer::Value(NEW), "{case}");
    assert_eq!(waiter.answer(), Answer::Value(NEW), "{case}");
    reads(&cache, operation.keeps.then_some(NEW), &case);
    assert_eq!(cache.stats().flights, 0, "{case}");
}

#[test]
fn every_operation_fences_every_load() {
    watched(|| {
        let mut turn = 0;
        for operation in fencing() {
            let after = operation.loads_after();
            for old in operation.loads() {
                for end in old.ends(OLD) {
                    fence(&operation, [old, pick(&after, turn), pick(&after, turn / after.len() + turn)], end);
                    turn += 1;
                }
            }
        }
    });
}

#[test]
fn no_face_joins_a_fenced_load_of_any_other() {
    watched(|| {
        let invalidate = fencing().into_iter().find(|operation| operation.name == "invalidate of nothing").unwrap();
        for (turn, old) in ways().into_iter().enumerate() {
            for new in ways() {
                fence(&invalidate, [old, new, pick(&ways(), turn)], End::Value(OLD));
            }
        }
    });
}

#[test]
fn what_a_fencing_write_left_is_hit_while_the_old_load_is_open() {
    watched(|| {
        for operation in fencing().iter().filter(|operation| operation.leaves.is_some()) {
            let cache = operation.prepare();
            let old = Held::open(&cache, operation.loads()[0], KEY);
            (operation.run)(&cache);
            for way in ways().into_iter().filter(|way| !way.reloads()) {
                let answer = Held::call(&cache, way, KEY).answer();
                assert_eq!(answer, Answer::Value(operation.leaves.unwrap()), "{way} after {}", operation.name);
            }
            operation.judge_leader(operation.loads()[0], old.end(End::Value(OLD)));
        }
    });
}

#[test]
fn what_is_no_write_of_the_key_fences_nothing() {
    watched(|| {
        let mut turn = 0;
        for operation in harmless() {
            for leader in operation.loads() {
                let joining = pick(&operation.loads_after(), turn);
                turn += 1;
                let case = format!("{}: {leader}, joined by {joining}", operation.name);
                let cache = operation.prepare();
                let open = Held::open(&cache, leader, KEY);
                (operation.run)(&cache);
                reads(&cache, operation.leaves, &case);
                let joined = Held::join(&cache, joining, KEY);
                assert_eq!(open.end(End::Value(NEW)), Answer::Value(NEW), "{case}");
                assert_eq!(joined.answer(), Answer::Value(NEW), "{case}");
                reads(&cache, Some(NEW), &case);
                assert_eq!((cache.stats().fenced, cache.stats().flights), (0, 0), "{case}");
            }
        }
    });
}

#[test]
fn a_lease_knows_whether_it_is_fenced() {
    watched(|| {
        let lease_of = |cache: &Tried| match cache.get_or_lease(&KEY, None) {
            Leased::Lease(lease) => lease,
            _ => panic!("no lease"),
        };
        for operation in fencing().iter().filter(|operation| !operation.present) {
            let cache = operation.prepare();
            let lease = lease_of(&cache);
            assert!(lease.is_current());
            (operation.run)(&cache);
            assert!(!lease.is_current(), "after {}", operation.name);
            let unfilled = lease.fill(OLD).unwrap_err();
            assert_eq!((unfilled.value, unfilled.why), (OLD, WhyUnfilled::Fenced), "after {}", operation.name);
        }
        for operation in harmless().iter().filter(|operation| !operation.present) {
            let cache = operation.prepare();
            let lease = lease_of(&cache);
            (operation.run)(&cache);
            assert!(lease.is_current(), "after {}", operation.name);
            let version = lease.fill(NEW).unwrap();
            assert_eq!(cache.get_entry(&KEY).map(|entry| (entry.value, entry.version)), Some((NEW, version)));
        }
    });
}

/// Loads of one key, each fenced before the next begins, end in any order: the last alone is stored.
#[test]
fn of_many_loads_one_after_another_fenced_the_last_is_stored() {
    watched(|| {
        const LOADS: usize = 4;
        for order in 0..LOADS.pow(LOADS as u32) {
            let order: Vec<usize> = (0..LOADS).map(|at| order / LOADS.pow(at as u32) % LOADS).collect();
            if (0..LOADS).any(|load| !order.contains(&load)) {
                continue;
            }
            let cache = plain().build().unwrap();
            let way = |load: usize| pick(&ways(), load * 5 + order[0] * 3 + order[1]);
            let mut open: Vec<_> = Vec::new();
            for load in 0..LOADS {
                if load > 0 {
                    cache.invalidate(&KEY);
                }
                open.push(Some(Held::open(&cache, way(load), KEY)));
            }
            let mut stored = None;
            for load in &order {
                let value = 100 + *load as u64;
                let ended = open[*load].take().unwrap().end(End::Value(value));
                if *load == LOADS - 1 {
                    assert_eq!(ended, Answer::Value(value));
                    stored = Some(value);
                }
                reads(&cache, stored, &format!("load {load} of {order:?} has ended"));
            }
            assert_eq!(cache.stats().fenced, LOADS as u64 - 1, "{order:?}");
        }
    });
}

#[test]
fn mass_operations_fence_the_loads_of_all_stripes() {
    watched(|| {
        const KEYS: u64 = 48;
        type Sweep = fn(&Cache<u64, u64>);
        let operations: [(&str, Sweep); 3] = [
            ("clear", |cache| cache.clear()),
            ("retain of all", |cache| cache.retain(|_, _| true)),
            ("retain of none", |cache| cache.retain(|_, _| false)),
        ];
        for (name, operation) in operations {
            let cache: Cache<u64, u64> = Cache::builder().max_capacity(1000).stripes(8).build().unwrap();
            let way = |key: u64| pick(&ways(), key as usize);
            let open = || (0..KEYS).map(|key| Held::open(&cache, way(key), key)).collect::<Vec<_>>();
            let old = open();
            operation(&cache);
            let new = open();
            old.into_iter().for_each(|load| _ = load.end(End::Value(OLD)));
            assert!(cache.is_empty() && cache.stats().fenced == KEYS, "{name}");
            new.into_iter().for_each(|load| assert_eq!(load.end(End::Value(NEW)), Answer::Value(NEW), "{name}"));
            assert!((0..KEYS).all(|key| cache.get(&key) == Some(NEW)), "{name}");
        }
    });
}

/// A future that was made before the fence and polled after it has begun after it.
#[test]
fn a_load_begins_with_its_first_poll() {
    watched(|| {
        for operation in fencing().iter().filter(|operation| operation.leaves.is_none() && operation.keeps) {
            for way in operation.loads().into_iter().filter(|way| way.on == On::Task) {
                let cache = operation.prepare();
                let future = future(&cache, way.face, KEY, async { Ok(NEW) });
                (operation.run)(&cache);
                assert_eq!(block_on(future), Answer::Value(NEW), "{way}, {}", operation.name);
                reads(&cache, Some(NEW), operation.name);
                assert_eq!(cache.stats().fenced, 0, "{way}, {}", operation.name);
            }
        }
    });
}

#[test]
fn a_loader_that_writes_its_own_key_fences_itself() {
    watched(|| {
        for operation in fencing() {
            for way in operation.loads() {
                let cache = operation.prepare();
                let within = cache.clone();
                let load = move || {
                    (operation.run)(&within);
                    Ok(OLD)
                };
                let answer = match way.on {
                    On::Thread => call(&cache, way.face, &KEY, load),
                    On::Task => block_on(future(&cache, way.face, KEY, async move { load() })),
                };
                operation.judge_leader(way, answer);
                reads(&cache, operation.leaves, operation.name);
                assert_eq!((cache.stats().fenced, cache.stats().flights), (1, 0), "{way}, {}", operation.name);
            }
        }
    });
}

/// Where the user's code stands when it has loaded and before its value is resident.
struct Gate {
    here: Mutex<Sender<()>>,
    /// Taken by the first who comes.
    go: Mutex<Option<Receiver<()>>>,
}

impl Gate {
    fn new() -> (Arc<Self>, Receiver<()>, Sender<()>) {
        let (here, news) = channel();
        let (go, wait) = channel();
        (Arc::new(Gate { here: Mutex::new(here), go: Mutex::new(Some(wait)) }), news, go)
    }

    fn pass(&self, value: u64) {
        let wait = if value == OLD { self.go.lock().unwrap().take() } else { None };
        if let Some(wait) = wait {
            self.here.lock().unwrap().send(()).unwrap();
            wait.recv().unwrap();
        }
    }
}

struct Gated(Arc<Gate>);

impl Expiry<u64, u64> for Gated {
    fn after_create(&self, _: &u64, value: &u64) -> Option<Duration> {
        self.0.pass(*value);
        None
    }
}

type Hook = fn(Builder<u64, u64, Flat>, Arc<Gate>) -> Builder<u64, u64, Flat>;

const HOOKS: [(&str, Hook); 3] = [
    ("the weigher", |builder, gate| {
        builder.weigher(move |_, value| {
            gate.pass(*value);
            1
        })
    }),
    ("versioned_by", |builder, gate| {
        builder.versioned_by(move |_, value| {
            gate.pass(*value);
            if *value == WRITTEN { 11 } else { 10 }
        })
    }),
    ("Expiry", |builder, gate| builder.expire_after(Gated(gate))),
];

/// The load has ended and the user's code is asked about its value when the fence comes: the lease is checked where the value becomes resident.
#[test]
fn a_fence_between_the_end_of_the_load_and_its_publication_holds() {
    watched(|| {
        let simple = [
            "insert",
            "invalidate of nothing",
            "remove of nothing",
            "clear",
            "retain of nothing",
            "insert over",
            "remove",
            "transaction: insert",
            "transaction: invalidate",
        ];
        for operation in fencing().iter().filter(|operation| simple.contains(&operation.name)) {
            for (hook, gated) in HOOKS {
                for way in operation.loads() {
                    let case = format!("{} in {hook} of {way}", operation.name);
                    let (gate, here, go) = Gate::new();
                    let cache = gated(plain(), gate).build().unwrap();
                    (operation.before)(&cache);
                    let loading = thread::spawn({
                        let cache = cache.clone();
                        move || match way.on {
                            On::Thread => survives(|| call(&cache, way.face, &KEY, || Ok(OLD))),
                            On::Task => survives(|| block_on(future(&cache, way.face, KEY, async { Ok(OLD) }))),
                        }
                    });
                    here.recv().unwrap();
                    (operation.run)(&cache);
                    reads(&cache, operation.leaves, &case);
                    go.send(()).unwrap();
                    operation.judge_leader(way, loading.join().unwrap());
                    reads(&cache, operation.leaves, &case);
                    assert_eq!((cache.stats().fenced, cache.stats().flights), (1, 0), "{case}");
                }
            }
        }
    });
}
