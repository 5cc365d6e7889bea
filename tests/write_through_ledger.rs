//! Write-through among threads and tasks, against one source of truth: after a write-through has returned, however it ended, no read or load that begins
//! then yields an older state of the source; and when all is quiet, the cache has what the source has, or nothing.

mod common;
#[path = "fences/faces.rs"]
mod faces;
mod through;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::thread;
use std::time::Instant;

use brindle::Cache;
use brindle::Loaded;
use brindle::WhileWriting;

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
use faces::planned;
use faces::ways;
use through::MEANWHILE;
use through::Numbers;
use through::boxed;
use through::caught;

const KEYS: u64 = 6;
const WRITERS: usize = 3;
const READERS: usize = 3;
const WRITES: u64 = 700;

/// How the source's states are told to the cache.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Told {
    /// As values alone.
    Plainly,
    /// With the state as source version,
    Versioned,
    /// and every write goes well, and messages of the source come in as well, late ones too.
    AndInMessages,
}

struct World {
    cache: Numbers,
    told: Told,
    source: [AtomicU64; KEYS as usize],
    /// The newest state of which a write-through has told its caller.
    known: [AtomicU64; KEYS as usize],
    busy: AtomicU64,
}

impl World {
    fn new(meanwhile: WhileWriting, told: Told, capacity: u64, stripes: usize) -> Arc<Self> {
        let cache = Cache::builder().max_capacity(capacity).stripes(stripes).while_writing(meanwhile).build().unwrap();
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        Arc::new(World { cache, told, source: zeros(), known: zeros(), busy: AtomicU64::new(WRITERS as u64) })
    }

    /// Its next state, which nobody can take back.
    fn write_source(&self, key: u64) -> u64 {
        dither();
        let state = self.source[key as usize].fetch_add(1, SeqCst) + 1;
        dither();
        state
    }

    fn read_source(&self, key: u64) -> u64 {
        dither();
        let state = self.source[key as usize].load(SeqCst);
        dither();
        state
    }

    fn loaded(&self, state: u64) -> Loaded<u64> {
        match self.told {
            Told::Plainly => Loaded::new(state),
            _ => Loaded::new(state).at(state),
        }
    }

    fn know(&self, key: u64, state: u64) {
        self.known[key as usize].fetch_max(state, SeqCst);
    }

    fn known(&self, key: u64) -> u64 {
        self.known[key as usize].load(SeqCst)
    }

    /// What a write does to the source, and what it says then.
    fn act(&self, key: u64, fate: u64, done: &AtomicU64) -> Result<Loaded<u64>, ()> {
        // An error may come before the source has it, or after.
        if fate == 0 {
            return Err(());
        }
        let state = self.write_source(key);
        done.store(state, SeqCst);
        match fate {
            1 => Err(()),
            2 => planned(),
            _ => Ok(self.loaded(state)),
        }
    }

    fn write_on_thread(self: &Arc<Self>, key: u64, fate: u64) {
        let done = AtomicU64::new(0);
        _ = caught(|| self.cache.write_through(key, |_| self.act(key, fate, &done)).ok(), None);
        self.know(key, done.load(SeqCst));
    }

    /// As a task, which is dropped after so many polls if it is not over.
    fn write_as_task(self: &Arc<Self>, key: u64, fate: u64, polls: u64) {
        let (done, world) = (Arc::new(AtomicU64::new(0)), Arc::clone(self));
        let note = Arc::clone(&done);
        let writing = boxed(async move {
            let inside = Arc::clone(&world);
            let write = |_| async move {
                step().await;
                let acted = inside.act(key, fate, &note);
                step().await;
                acted
            };
            world.cache.write_through_async(key, write).await.is_ok()
        });
        if polls > 4 {
            caught(|| _ = block_on(writing), ());
        } else {
            let mut task = Task::new(writing);
            for _ in 0..polls {
                if caught(|| task.poll(), Poll::Ready(false)).is_ready() {
                    break;
                }
            }
        }
        self.know(key, done.load(SeqCst));
    }

    /// Others, who do not ask the source for a turn.
    fn meddle(&self, key: u64, rng: &mut Rng) {
        match rng.below(6) {
            0 => _ = self.cache.invalidate(&key),
            1 => _ = self.cache.remove(&key),
            2 => self.cache.transaction(|t| t.invalidate(&key)).unwrap(),
            3 if rng.below(10) == 0 => self.cache.clear(),
            4 if self.told == Told::AndInMessages => {
                let state = self.read_source(key);
                thread::yield_now();
                _ = self.cache.insert_at(key, state, state);
            }
            5 if self.told == Told::AndInMessages => _ = self.cache.invalidate_at(&key, self.read_source(key)),
            _ => (),
        }
    }

    fn write(self: &Arc<Self>, rng: &mut Rng) {
        let (key, mut fate, mut polls) = (rng.below(KEYS), rng.below(12), rng.below(12));
        if self.told == Told::AndInMessages {
            // What a write that failed has done at the source nobody knows: a late message could be taken for news then.
            (fate, polls) = (11, 11);
        }
        match rng.below(6) {
            0 | 1 => self.write_on_thread(key, fate),
            2..5 => self.write_as_task(key, fate, polls),
            _ => self.meddle(key, rng),
        }
    }

    fn look(self: &Arc<Self>, rng: &mut Rng) {
        let (key, way) = (rng.below(KEYS), pick(&ways(), rng.below(100) as usize));
        let known = self.known(key);
        let seen = match rng.below(8) {
            0 | 1 => self.cache.get(&key),
            2 => self.cache.get_many(&[(key + 1) % KEYS, key])[1],
            3 => self.cache.get_many_snapshot(&[key, (key + 1) % KEYS])[0],
            _ => Some(self.load(key, way)),
        };
        assert!(seen.is_none_or(|state| state >= known), "{way}: state {seen:?} of key {key}, {known} is known");
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

    fn settle(&self) {
        assert_eq!(self.cache.stats().flights, 0);
        for key in 0..KEYS {
            let (seen, has) = (self.cache.get(&key), self.source[key as usize].load(SeqCst));
            assert!(seen.is_none_or(|seen| seen == has), "{seen:?} is left, the source has {has}");
            let written = self.cache.write_through(key, |_| Ok::<_, ()>(self.loaded(self.write_source(key))));
            assert!(written.unwrap().is_some(), "nobody came between");
        }
    }
}

fn storm(meanwhile: WhileWriting, told: Told, capacity: u64, stripes: usize) {
    let world = World::new(meanwhile, told, capacity, stripes);
    let begun = Instant::now();
    together(WRITERS + READERS, |number| {
        let mut rng = Rng::new(number as u64 * 31 + stripes as u64);
        if number < WRITERS {
            for _ in 0..WRITES {
                world.write(&mut rng);
                // Enough is enough on a busy machine.
                if begun.elapsed().as_secs() >= 2 {
                    break;
                }
            }
            world.busy.fetch_sub(1, SeqCst);
        }
        while world.busy.load(SeqCst) > 0 {
            world.look(&mut rng);
            if rng.below(16) == 0 {
                thread::yield_now();
            }
        }
    });
    world.settle();
}

#[test]
fn nobody_reads_what_is_older_than_a_write_that_has_returned() {
    watched(|| {
        for meanwhile in MEANWHILE {
            for told in [Told::Plainly, Told::Versioned, Told::AndInMessages] {
                storm(meanwhile, told, 1_000, 1);
                storm(meanwhile, told, 1_000, 8);
            }
        }
    });
}

#[test]
fn nor_where_there_is_no_room() {
    watched(|| {
        for meanwhile in MEANWHILE {
            for told in [Told::Plainly, Told::Versioned, Told::AndInMessages] {
                storm(meanwhile, told, 3, 2);
            }
        }
    });
}
