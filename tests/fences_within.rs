//! Operations that ask a closure of the user's, which runs under no lock: a load that ends or begins while they ask neither outlives them nor is
//! stored after them.

mod common;
#[path = "common/faces.rs"]
mod faces;
#[path = "fences/operations.rs"]
mod operations;

use brindle::Op;

use common::watched;
use faces::Answer;
use faces::End;
use faces::Held;
use faces::Way;
use faces::reloading;
use faces::ways;
use operations::FIRST;
use operations::KEY;
use operations::NEW;
use operations::OLD;
use operations::Tried;
use operations::WRITTEN;
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
                    new.map(|new| assert_eq!(new.end(End::Value(NEW)), Answer::Value(NEW), "{case}"));
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
