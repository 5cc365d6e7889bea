//! Operations that ask a closure of the user's, which runs under no lock: a load that ends or begins while they ask neither outlives them nor is
//! stored after them.

mod common;
#[path = "fences/faces.rs"]
mod faces;
#[path = "fences/operations.rs"]
mod operations;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use brindle::Clock;
use brindle::Op;
use brindle::TimeSource;

use common::watched;
use faces::Answer;
use faces::End;
use faces::Face;
use faces::Held;
use faces::On;
use faces::Way;
use faces::reloading;
use faces::ways;
use operations::FIRST;
use operations::KEY;
use operations::NEW;
use operations::OLD;
use operations::Operation;
use operations::Tried;
use operations::WRITTEN;
use operations::fencing;
use operations::plain;
use operations::reads;

/// An operation that calls something while it asks its closure, each time that it asks.
struct Asking {
    name: &'static str,
    run: fn(&Tried, &mut dyn FnMut()),
    leaves: Option<u64>,
    present: bool,
    /// It takes effect after it has asked, so that what begins meanwhile is fenced.
    acts: bool,
}

const ASKING: [Asking; 9] = [
    Asking { name: "and_compute Put", run: put, leaves: Some(WRITTEN), present: false, acts: true },
    Asking { name: "and_compute Put over", run: put, leaves: Some(WRITTEN), present: true, acts: true },
    Asking { name: "and_compute Remove of nothing", run: compute_remove, leaves: None, present: false, acts: true },
    Asking { name: "and_compute Remove", run: compute_remove, leaves: None, present: true, acts: true },
    Asking { name: "remove_if", run: |cache, ask| remove_if(cache, ask, true), leaves: None, present: true, acts: true },
    Asking {
        name: "remove_if, not wanted",
        run: |cache, ask| remove_if(cache, ask, false),
        leaves: Some(FIRST),
        present: true,
        acts: false,
    },
    Asking { name: "retain of none", run: |cache, ask| retain(cache, ask, false), leaves: None, present: true, acts: true },
    Asking { name: "retain of all", run: |cache, ask| retain(cache, ask, true), leaves: Some(FIRST), present: true, acts: false },
    Asking { name: "retain of others", run: retain_others, leaves: None, present: false, acts: false },
];

fn put(cache: &Tried, ask: &mut dyn FnMut()) {
    cache.entry(KEY).and_compute_with(|_| {
        ask();
        Op::Put(WRITTEN)
    });
}

fn compute_remove(cache: &Tried, ask: &mut dyn FnMut()) {
    cache.entry(KEY).and_compute_with(|_| {
        ask();
        Op::Remove
    });
}

fn remove_if(cache: &Tried, ask: &mut dyn FnMut(), wanted: bool) {
    cache.remove_if(&KEY, |_, _| {
        ask();
        wanted
    });
}

fn retain(cache: &Tried, ask: &mut dyn FnMut(), keep: bool) {
    cache.retain(|_, _| {
        ask();
        keep
    });
}

/// The key is absent; another entry is what it asks about.
fn retain_others(cache: &Tried, ask: &mut dyn FnMut()) {
    cache.insert(operations::OTHER, FIRST);
    retain(cache, ask, true);
}

impl Asking {
    fn loads(&self) -> Vec<Way> {
        if self.present { reloading() } else { ways() }
    }

    fn prepare(&self) -> Tried {
        let cache = plain().build().unwrap();
        if self.present {
            cache.insert(KEY, FIRST);
        }
        cache
    }
}

#[test]
fn a_load_that_ends_inside_of_an_operation_does_not_outlive_it() {
    watched(|| {
        for operation in ASKING {
            for way in operation.loads() {
                let case = format!("{way} ends inside of {}", operation.name);
                let cache = operation.prepare();
                let mut open = Some(Held::open(&cache, way, KEY));
                (operation.run)(&cache, &mut || _ = open.take().map(|load| load.end(End::Value(OLD))));
                assert!(open.is_none(), "it asked: {case}");
                reads(&cache, operation.leaves, &case);
                assert_eq!(cache.stats().flights, 0, "{case}");
            }
        }
    });
}

#[test]
fn a_load_that_begins_inside_of_an_operation_is_fenced_when_that_takes_effect() {
    watched(|| {
        for operation in ASKING {
            for way in operation.loads() {
                let case = format!("{way} begins inside of {}", operation.name);
                let cache = operation.prepare();
                let mut open = None;
                (operation.run)(&cache, &mut || _ = open.get_or_insert_with(|| Held::open(&cache, way, KEY)));
                reads(&cache, operation.leaves, &case);
                let load = open.expect("it asked");
                if operation.acts {
                    let new = (operation.leaves.is_none()).then(|| Held::open(&cache, way, KEY));
                    load.end(End::Value(OLD));
                    reads(&cache, operation.leaves, &case);
                    assert_eq!(cache.stats().fenced, 1, "{case}");
                    if let Some(new) = new {
                        assert_eq!(new.end(End::Value(NEW)), Answer::Value(NEW), "{case}");
                    }
                } else {
                    load.end(End::Value(NEW));
                }
                assert_eq!(cache.stats().flights, 0, "{case}");
            }
        }
    });
}

/// Load after load ends inside, as often as the operation asks again: it comes to an end, and nothing of them stays.
#[test]
fn an_operation_is_asked_again_until_no_load_comes_between() {
    watched(|| {
        for operation in ASKING.iter().filter(|operation| operation.acts) {
            for way in reloading() {
                let case = format!("{way} inside of {}", operation.name);
                let cache = operation.prepare();
                let mut rounds = 0;
                (operation.run)(&cache, &mut || {
                    rounds += 1;
                    if rounds <= 5 {
                        Held::open(&cache, way, KEY).end(End::Value(100 + rounds));
                    }
                });
                assert!(rounds > 1, "{case}");
                reads(&cache, operation.leaves, &case);
            }
        }
    });
}

/// A clock that jumps beyond every time to live at a chosen look at it.
#[derive(Clone, Default)]
struct Jumps(Arc<AtomicU64>);

const NEVER: u64 = u64::MAX / 2;
const TTL: Duration = Duration::from_secs(10);

impl Jumps {
    fn at(&self, look: u64) {
        self.0.store(look, SeqCst);
    }
}

impl TimeSource for Jumps {
    fn now(&self) -> Duration {
        let left = self.0.fetch_update(SeqCst, SeqCst, |left| Some(left.saturating_sub(1))).unwrap();
        if left == 0 { TTL * 2 } else { TTL / 2 }
    }
}

/// The entry expires while the operation that ends it is under way: loads, which may serve what has expired, must not serve it.
#[test]
fn what_expires_inside_of_the_operation_that_ends_it_is_not_served_as_stale() {
    watched(|| {
        // A swap needs an entry to begin with.
        let ends = |operation: &&Operation| operation.leaves != Some(FIRST) && !operation.name.contains("swap");
        for operation in fencing().iter().filter(|operation| operation.present).filter(ends) {
            for look in 0..8 {
                for way in ways().into_iter().filter(|way| way.on == On::Task && !way.reloads() && way.face != Face::Lease) {
                    let case = format!("{}, expired at look {look}, {way}", operation.name);
                    let time = Jumps::default();
                    time.at(NEVER);
                    let builder = (operation.builder)().clock(Clock::from_source(time.clone()));
                    let cache = builder.time_to_live(TTL).serve_stale(TTL * 10).fail_safe().build().unwrap();
                    (operation.before)(&cache);
                    time.at(look);
                    (operation.run)(&cache);
                    time.at(0);
                    // The one loads, the other is served what is stale, if anything is.
                    let mut one = Held::call(&cache, way, KEY);
                    let mut other = Held::call(&cache, way, KEY);
                    one.tell(End::Value(NEW));
                    other.tell(End::Value(NEW));
                    for answer in [one.answer(), other.answer()] {
                        assert_ne!(answer, Answer::Value(FIRST), "{case}");
                    }
                }
            }
        }
    });
}
