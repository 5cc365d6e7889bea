//! A deterministic scheduler: a writer that changes related keys, and a reader whose reads come between any two of the writer's stores that
//! readers can see. Every schedule of so many reads is run.

use std::cell::RefCell;
use std::hash::BuildHasher;
use std::hash::Hasher;
use std::rc::Rc;

use crate::cache::Cache;
use crate::face::Leased;
use crate::sync::whenever_shown;

type Numbers = Cache<u64, u64>;

/// Two that are written and two that are invalidated with them, one of which a slow load is about to bring.
const WRITTEN: [u64; 2] = [1, 2];
const DERIVED: u64 = 3;
const LOADED: u64 = 4;
const KEYS: [u64; 4] = [WRITTEN[0], WRITTEN[1], DERIVED, LOADED];

fn in_one_transaction(cache: &Numbers, generation: u64) {
    let committed = cache.transaction(|t| {
        WRITTEN.iter().for_each(|&key| t.insert(key, generation));
        t.invalidate(&DERIVED);
        t.invalidate(&LOADED);
    });
    committed.expect("it has no condition");
}

fn one_by_one(cache: &Numbers, generation: u64) {
    WRITTEN.iter().for_each(|&key| {
        cache.insert(key, generation);
    });
    cache.invalidate(&DERIVED);
    cache.invalidate(&LOADED);
}

/// A reader: after how many of the writer's stores each of its reads comes, and of which key it is.
struct Reader {
    reads: Vec<(usize, u64)>,
    done: usize,
    stores: usize,
    newest: u64,
    mixed: bool,
}

impl Reader {
    /// Makes the reads whose moment has come. `generation` is what the writer writes.
    fn run(&mut self, cache: &Numbers, generation: u64) {
        while let Some(&(_, key)) = self.reads.get(self.done).filter(|(after, _)| *after <= self.stores) {
            self.done += 1;
            if let Some(seen) = cache.get(&key) {
                self.mixed |= seen < self.newest && self.newest == generation;
                self.newest = self.newest.max(seen);
            }
        }
        self.stores += 1;
    }
}

/// One schedule. Was a value seen that a value seen before had replaced or invalidated?
fn is_mixed(cache: &Rc<Numbers>, loading: bool, generation: u64, change: fn(&Numbers, u64), reads: &[(usize, u64)]) -> bool {
    cache.insert(DERIVED, generation - 1);
    let late = match cache.get_or_lease(&LOADED, None) {
        Leased::Lease(late) if loading => Some(late),
        _ => None,
    };
    let reader = Reader { reads: reads.to_vec(), done: 0, stores: 0, newest: 0, mixed: false };
    let reader = Rc::new(RefCell::new(reader));
    reader.borrow_mut().run(cache, generation);
    let others = {
        let (cache, reader) = (Rc::clone(cache), Rc::clone(&reader));
        move || reader.borrow_mut().run(&cache, generation)
    };
    whenever_shown(others, || change(cache, generation));
    assert!(late.is_none_or(|late| late.fill(generation - 1).is_err()), "the late load is fenced");
    let mut reader = reader.borrow_mut();
    reader.stores = usize::MAX - 1;
    reader.run(cache, generation);
    reader.mixed
}

/// The stores of one change that readers can see.
fn stores_of(cache: &Rc<Numbers>, generation: u64, change: fn(&Numbers, u64)) -> usize {
    cache.insert(DERIVED, generation - 1);
    let count = Rc::new(RefCell::new(0));
    let counting = Rc::clone(&count);
    whenever_shown(move || *counting.borrow_mut() += 1, || change(cache, generation));
    count.take()
}

/// Calls `see` with every schedule of `reads` reads among `stores` stores, until it says no.
fn every_schedule(
    stores: usize,
    reads: usize,
    so_far: &mut Vec<(usize, u64)>,
    see: &mut impl FnMut(&[(usize, u64)]) -> bool,
) -> bool {
    if so_far.len() == reads {
        return see(so_far);
    }
    let from = so_far.last().map_or(0, |&(after, _)| after);
    for after in from..=stores {
        for key in KEYS {
            so_far.push((after, key));
            let on = every_schedule(stores, reads, so_far, see);
            so_far.pop();
            if !on {
                return false;
            }
        }
    }
    true
}

/// A cache, and whether there is a load under way: commits go either way, the short one or that which sees to more than the values.
#[derive(Clone, Copy, Debug)]
struct Setting {
    stripes: usize,
    loading: bool,
}

const SETTINGS: [Setting; 4] = [
    Setting { stripes: 1, loading: false },
    Setting { stripes: 1, loading: true },
    Setting { stripes: 16, loading: false },
    Setting { stripes: 16, loading: true },
];

/// Runs every schedule of so many reads; how many those were, and whether one was mixed, which ends it.
fn run(setting: Setting, reads: usize, change: fn(&Numbers, u64)) -> (usize, bool) {
    let cache = Cache::builder().max_capacity(1_000).stripes(setting.stripes).build();
    let cache = Rc::new(cache.expect("it can be built"));
    let mut generation = 1;
    change(&cache, generation);
    generation += 1;
    let stores = stores_of(&cache, generation, change);
    let (mut schedules, mut mixed) = (0, false);
    every_schedule(stores, reads, &mut Vec::new(), &mut |schedule| {
        generation += 1;
        schedules += 1;
        mixed = is_mixed(&cache, setting.loading, generation, change, schedule);
        !mixed
    });
    (schedules, mixed)
}

#[test]
fn no_schedule_of_a_transaction_shows_a_mix() {
    let all = SETTINGS.map(|setting| {
        let (schedules, mixed) = run(setting, 4, in_one_transaction);
        assert!(!mixed, "{setting:?}, after {schedules} schedules");
        schedules
    });
    let schedules: usize = all.into_iter().sum();
    assert!(schedules >= 1_000_000, "{schedules} schedules");
}

#[test]
fn single_operations_show_a_mix_soon() {
    for setting in SETTINGS {
        let (schedules, mixed) = run(setting, 2, one_by_one);
        assert!(mixed, "{setting:?}, {schedules} schedules");
    }
}

/// Hashes a number to itself but for the last byte, which is the same for all: its tag.
#[derive(Clone)]
struct Tagged(u8);

struct Tagging(u64);

/// One change of a key.
type Change = fn(&Cache<u64, u64, Tagged>);

impl BuildHasher for Tagged {
    type Hasher = Tagging;

    fn build_hasher(&self) -> Tagging {
        Tagging(u64::from(self.0))
    }
}

impl Hasher for Tagging {
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, number: u64) {
        self.0 |= number << 8;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[test]
fn both_ways_to_an_entry_see_the_same_at_every_moment() {
    let changes: [Change; 6] = [
        |cache| _ = cache.insert(1, 1),
        |cache| _ = cache.insert(1, 2),
        |cache| _ = cache.invalidate(&1),
        |cache| cache.transaction(|t| t.insert(1, 3)).unwrap(),
        |cache| cache.transaction(|t| t.insert(1, 4)).unwrap(),
        |cache| cache.clear(),
    ];
    for tag in [0, 1, 200] {
        let cache = Rc::new(Cache::builder().hasher(Tagged(tag)).stripes(1).build().unwrap());
        for (number, change) in changes.iter().enumerate() {
            let (reader, moments) = (Rc::clone(&cache), Rc::new(RefCell::new(0)));
            let seen = Rc::clone(&moments);
            let look = move || {
                // A read within another goes the long way.
                let outer = reader.core().table.readers.enter();
                let long = reader.get(&1);
                drop(outer);
                *seen.borrow_mut() += 1;
                assert_eq!(reader.get(&1), long, "tag {tag}, change {number}");
            };
            whenever_shown(look, || change(&cache));
            assert!(*moments.borrow() > 0, "nothing was looked at in change {number}");
        }
    }
}
