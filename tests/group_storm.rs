//! Promises 1 to 3 for groups, among threads: a source of truth changes, and the group of what was there before is invalidated; nobody who reads
//! or loads after that gets anything older, whatever loads are under way, and though entries come and go.

mod common;
#[path = "fences/faces.rs"]
mod faces;
mod grouped;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::thread;

use brindle::Cache;

use common::Rng;
use common::dither;
use common::executor::Task;
use common::executor::block_on;
use common::executor::step;
use common::together;
use common::watched;
use faces::Answer;
use faces::On;
use faces::Way;
use faces::call;
use faces::future;
use faces::pick;
use faces::ways;
use grouped::Numbers;

const KEYS: u64 = 8;
const UPDATERS: usize = 2;
const UPDATES: u64 = 1_500;

/// Of each key the state it is in, and the state that everybody must know of.
struct World {
    cache: Numbers,
    source: [AtomicU64; KEYS as usize],
    known: [AtomicU64; KEYS as usize],
    /// Updaters that are not done.
    working: AtomicU64,
}

/// Groups of an entry: those of its key, with others in it, and one of its state.
fn groups(key: u64, state: u64) -> [(&'static str, u64, u64); 2] {
    [("of keys", key % 3, 0), ("of states", key, state % 3)]
}

impl World {
    fn new(stripes: usize, capacity: u64) -> Arc<Self> {
        let builder = Cache::builder().stripes(stripes).max_capacity(capacity);
        let cache = builder.group_by(|key, state| groups(*key, *state)).build().unwrap();
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        Arc::new(World { cache, source: zeros(), known: zeros(), working: AtomicU64::new(UPDATERS as u64) })
    }

    fn read_source(&self, key: u64) -> u64 {
        dither();
        let state = self.source[key as usize].load(SeqCst);
        // What was read is on its way, and the source moves on.
        dither();
        state
    }

    /// The source moves to its next state, and what was cached of the one before is invalidated. Of one key there is one who does that.
    fn update(&self, key: u64, rng: &mut Rng) {
        let old = self.source[key as usize].load(SeqCst);
        self.source[key as usize].store(old + 1, SeqCst);
        let [of_keys, of_states] = groups(key, old);
        match rng.below(6) {
            0 | 1 => _ = self.cache.invalidate_group(&of_keys),
            2 | 3 => _ = self.cache.invalidate_group(&of_states),
            4 => self.cache.transaction(|t| t.invalidate_group(&of_states)).unwrap(),
            _ => _ = self.cache.insert_in_groups(key, old + 1, ["by hand"]),
        }
        self.known[key as usize].store(old + 1, SeqCst);
    }

    fn known(&self, key: u64) -> u64 {
        self.known[key as usize].load(SeqCst)
    }

    /// One read or load, of any kind.
    fn look(self: &Arc<Self>, rng: &mut Rng) {
        let (key, way) = (rng.below(KEYS), pick(&ways(), rng.below(100) as usize));
        let known = self.known(key);
        let seen = match rng.below(10) {
            0 | 1 => self.cache.get(&key),
            2 => self.cache.get_many(&[key, (key + 1) % KEYS])[0],
            3 => {
                self.give_up(key, way, rng.below(3));
                None
            }
            _ => Some(self.load(key, way)),
        };
        assert!(seen.is_none_or(|state| state >= known), "{way} sees state {seen:?} of key {key}, {known} is known");
    }

    fn load(self: &Arc<Self>, key: u64, way: Way) -> u64 {
        let world = Arc::clone(self);
        let answer = match way.on {
            On::Thread => call(&self.cache, way.face, &key, || Ok(world.read_source(key))),
            On::Task => block_on(future(&self.cache, way.face, key, async move {
                let state = world.read_source(key);
                step().await;
                Ok(state)
            })),
        };
        match answer {
            Answer::Value(state) | Answer::Unfilled(state, _) => state,
            other => panic!("{other:?}"),
        }
    }

    /// Begins to load, and is cancelled on the way.
    fn give_up(self: &Arc<Self>, key: u64, way: Way, polls: u64) {
        if way.on == On::Thread {
            return;
        }
        let world = Arc::clone(self);
        let mut task = Task::new(future(&self.cache, way.face, key, async move {
            let state = world.read_source(key);
            step().await;
            step().await;
            Ok(state)
        }));
        let known = self.known(key);
        for _ in 0..polls {
            if let Poll::Ready(answer) = task.poll() {
                assert!(answer.value() >= known);
                return;
            }
        }
    }
}

fn storm(stripes: usize, capacity: u64, seed: u64) {
    let world = World::new(stripes, capacity);
    together(UPDATERS + 4, |number| {
        let mut rng = Rng::new(seed * 100 + number as u64);
        if number < UPDATERS {
            for _ in 0..UPDATES {
                let key = rng.below(KEYS / UPDATERS as u64) * UPDATERS as u64 + number as u64;
                world.update(key, &mut rng);
                if rng.below(8) == 0 {
                    thread::yield_now();
                }
            }
            world.working.fetch_sub(1, SeqCst);
        }
        while world.working.load(SeqCst) > 0 {
            world.look(&mut rng);
        }
    });
    assert_eq!(world.cache.stats().flights, 0);
    assert!(world.cache.stats().fenced > 0, "no load was ever overtaken");
    // When all is quiet, loads are stored as ever.
    for key in 0..KEYS {
        world.cache.invalidate(&key);
        assert_eq!(world.cache.get_with(&key, || world.read_source(key)), world.known(key));
        assert!(capacity < KEYS || world.cache.get(&key) == Some(world.known(key)));
    }
}

#[test]
fn nobody_sees_what_an_invalidated_group_has_left_behind() {
    watched(|| (0..3).for_each(|seed| storm(1 << seed, 1_000, seed)));
}

#[test]
fn nor_where_there_is_no_room() {
    watched(|| (3..6).for_each(|seed| storm(1 << (seed - 3), 4, seed)));
}

/// Writers put entries into one group while it is invalidated over and over: whatever was written before an invalidation began is gone after it.
#[test]
fn no_member_is_overlooked_while_others_come_and_go() {
    watched(|| {
        for stripes in [1, 4] {
            let cache: Numbers = Cache::builder().stripes(stripes).max_capacity(64).build().unwrap();
            let written: [AtomicU64; 32] = std::array::from_fn(|_| AtomicU64::new(0));
            let done = AtomicBool::new(false);
            let check = |number: u64| {
                let before: Vec<u64> = written.iter().map(|state| state.load(SeqCst)).collect();
                match number % 2 {
                    0 => _ = cache.invalidate_group("all"),
                    _ => cache.transaction(|t| t.invalidate_group("all")).unwrap(),
                }
                for (key, before) in before.into_iter().enumerate() {
                    let seen = cache.get(&(key as u64));
                    assert!(seen.is_none_or(|seen| seen > before), "key {key}: {seen:?}, {before} was written before");
                }
            };
            together(4, |number| {
                if number == 0 {
                    (0..1_500).for_each(check);
                    done.store(true, SeqCst);
                }
                let mut rng = Rng::new(number as u64);
                while !done.load(SeqCst) {
                    // Of each key there is one writer.
                    let key = rng.below(10) * 3 + number as u64 - 1;
                    let next = written[key as usize].load(SeqCst) + 1;
                    match rng.below(4) {
                        0 => cache.transaction(|t| t.insert_in_groups(key, next, ["all"])).unwrap(),
                        1 => {
                            cache.remove(&key);
                            cache.insert_in_groups(key, next, ["another", "all"]);
                        }
                        _ => _ = cache.insert_in_groups(key, next, ["all"]),
                    }
                    written[key as usize].store(next, SeqCst);
                }
            });
        }
    });
}
