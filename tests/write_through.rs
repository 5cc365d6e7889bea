//! Write-through: what is written to the source first is in the cache when the call returns, or nothing is; and no load that overlaps the write is
//! stored, or served to anybody who comes after it, whenever it begins and ends.

mod common;
#[path = "fences/faces.rs"]
mod faces;
mod through;

use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::LoadError;
use brindle::Loaded;
use brindle::WhileWriting;
use brindle::WhyUnfilled;
use brindle::WriteError;

use common::executor::block_on;
use common::watched;
use faces::Answer;
use faces::End;
use faces::Face;
use faces::Held;
use faces::Way;
use faces::pick;
use faces::reloading;
use faces::ways;
use through::FIRST;
use through::Finish;
use through::KEY;
use through::LOADED;
use through::MEANWHILE;
use through::ON;
use through::WRITTEN;
use through::Writing;
use through::Wrote;
use through::builder;
use through::failures;
use through::judge;
use through::leaves;
use through::prepare;
use through::reads;
use through::served;
use through::through;
use through::well;
use through::well_at;

/// What a load brings that has nothing to do with the write.
const NEW: u64 = 5;

#[test]
fn what_the_source_has_is_in_the_cache() {
    watched(|| {
        for on in ON {
            for meanwhile in MEANWHILE {
                for there in [false, true] {
                    let case = format!("on a {on:?}, {meanwhile:?}, resident: {there}");
                    let cache = prepare(meanwhile, there);
                    let before = cache.get_entry(&KEY).map(|entry| (entry.value, entry.version));
                    let guard = cache.get_ref(&KEY);
                    let writing = Writing::open(&cache, on, KEY);
                    assert_eq!(writing.current(), before, "the entry as it was: {case}");
                    reads(&cache, served(meanwhile, there), &case);
                    let Wrote::Stored(version) = writing.end(well_at(WRITTEN, 9)) else { panic!("not stored: {case}") };
                    reads(&cache, Some(WRITTEN), &case);
                    assert_eq!(cache.get_entry(&KEY).unwrap().version, version, "{case}");
                    assert!(version.source() == 9 && before.is_none_or(|(_, before)| before < version), "{case}");
                    assert_eq!(guard.map(|guard| *guard), there.then_some(FIRST), "a guard keeps what it has: {case}");
                    assert!(cache.insert_at(KEY, 0, 8).is_err(), "{case}");
                    assert_eq!(cache.stats().flights, 0, "{case}");
                }
            }
        }
        let cache: Cache<u64, &str> = Cache::new(10);
        let version = cache.write_through(1, |_| Ok::<_, ()>(Loaded::new("one").at(5))).unwrap().unwrap();
        assert_eq!((version.source(), cache.get(&1)), (5, Some("one")));
        let version = block_on(cache.write_through_async(1, |_| async { Ok::<_, ()>("two".into()) })).unwrap().unwrap();
        assert_eq!((version.source(), cache.get(&1)), (5, Some("two")), "the source that is known stays known");
    });
}

#[test]
fn what_the_source_refuses_leaves_the_key_absent() {
    watched(|| {
        for on in ON {
            for meanwhile in MEANWHILE {
                for there in [false, true] {
                    for finish in failures(on) {
                        let case = format!("{finish:?} on a {on:?}, {meanwhile:?}, resident: {there}");
                        let cache = prepare(meanwhile, there);
                        let writing = Writing::open(&cache, on, KEY);
                        reads(&cache, served(meanwhile, there), &case);
                        judge(writing.end(finish), finish, &case);
                        reads(&cache, None, &case);
                        assert_eq!(cache.get_with(&KEY, || NEW), NEW, "{case}");
                        reads(&cache, Some(NEW), &case);
                        assert_eq!(cache.stats().flights, 0, "{case}");
                    }
                }
            }
        }
        // The error comes back as it is, of whatever type.
        let cache: Cache<u64, u64> = Cache::new(10);
        let text = String::from("borrowed");
        let error = cache.write_through(1, |_| Err::<Loaded<u64>, &str>(&text)).unwrap_err();
        assert!(matches!(error, WriteError::Failed("borrowed")));
        assert!(!error.to_string().is_empty());
    });
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum When {
    Before,
    During,
    After,
}

use When::After;
use When::Before;
use When::During;

/// A write and a load of its key that overlap.
struct Overlap {
    meanwhile: WhileWriting,
    there: bool,
    begins: When,
    ends: When,
    finish: Finish,
    turn: usize,
}

impl Overlap {
    /// What can load while the write runs, or before it.
    fn loads(&self, when: When) -> Vec<Way> {
        let hits = if when == Before { self.there } else { served(self.meanwhile, self.there).is_some() };
        if hits { reloading() } else { ways() }
    }

    fn case(&self, way: Way, writing: &Writing) -> String {
        let Overlap { meanwhile, there, begins, ends, finish, .. } = self;
        format!("{way} from {begins:?} to {ends:?}, on a {:?} {finish:?}, {meanwhile:?}, resident: {there}", writing.on)
    }

    /// The load has ended: its caller has what it brought, or what is there instead, and it is not stored.
    fn judge_load(&self, cache: &through::Numbers, way: Way, answer: Answer<u64>, now: Option<u64>, case: &str) {
        match way.face {
            Face::Lease => assert_eq!(answer, Answer::Unfilled(LOADED, WhyUnfilled::Fenced), "{case}"),
            _ => assert!(answer == Answer::Value(LOADED) || now.map(Answer::Value) == Some(answer.clone()), "{answer:?}: {case}"),
        }
        reads(cache, now, case);
    }

    fn play(&self, way: Way, on: faces::On) {
        let cache = prepare(self.meanwhile, self.there);
        let serves = served(self.meanwhile, self.there);
        let early = (self.begins == Before).then(|| self.begin_load(&cache, way));
        let mut writing = Writing::open(&cache, on, KEY);
        let case = self.case(way, &writing);
        reads(&cache, serves, &case);
        let (load, waiter) = early.unwrap_or_else(|| self.begin_load(&cache, way));
        if self.begins == Before {
            // It is fenced already: who comes now has nothing to do with it.
            let way = pick(&self.loads(During), self.turn);
            let other = Held::open(&cache, way, KEY);
            self.judge_load(&cache, way, other.end(End::Value(LOADED)), serves, &case);
        }
        if self.ends == During {
            self.judge_load(&cache, way, load.end(End::Value(LOADED)), serves, &case);
            assert_eq!(waiter.answer(), Answer::Value(LOADED), "who waits for it: {case}");
            // Nothing of it is there for the next.
            let next = Held::open(&cache, pick(&self.loads(During), self.turn + 3), KEY);
            _ = next.end(End::Value(LOADED));
            reads(&cache, serves, &case);
            self.finish(&cache, writing, &case);
        } else {
            if self.finish != Finish::Cancel {
                writing.tell(self.finish);
                judge(writing.answer(), self.finish, &case);
            } else {
                drop(writing);
            }
            self.outlive(&cache, way, load, waiter, &case);
        }
        assert_eq!(cache.stats().flights, 0, "{case}");
    }

    fn begin_load(&self, cache: &through::Numbers, way: Way) -> (Held<u64>, Held<u64>) {
        let load = Held::open(cache, way, KEY);
        (load, Held::join(cache, pick(&self.loads(self.begins), self.turn + 1), KEY))
    }

    fn finish(&self, cache: &through::Numbers, writing: Writing, case: &str) {
        judge(writing.end(self.finish), self.finish, case);
        reads(cache, leaves(self.finish), case);
    }

    /// The write is over, and the load is not.
    fn outlive(&self, cache: &through::Numbers, way: Way, load: Held<u64>, mut waiter: Held<u64>, case: &str) {
        let left = leaves(self.finish);
        reads(cache, left, case);
        let frees = left.is_some() && self.begins == During;
        let waiter = if frees {
            assert_eq!(waiter.answer(), Answer::Value(WRITTEN), "who waits gets what was written: {case}");
            None
        } else {
            assert!(waiter.waits(), "{case}");
            Some(waiter)
        };
        let after = if left.is_some() { reloading() } else { ways() };
        let new = Held::open(cache, pick(&after, self.turn + 2), KEY);
        self.judge_load(cache, way, load.end(End::Value(LOADED)), left, case);
        assert_eq!(new.end(End::Value(NEW)), Answer::Value(NEW), "{case}");
        reads(cache, Some(NEW), case);
        let late = waiter.map(Held::answer);
        let right = |answer: &Answer<u64>| [LOADED, WRITTEN, NEW].contains(&answer.clone().value());
        assert!(late.as_ref().is_none_or(right), "{late:?}: {case}");
    }
}

#[test]
fn no_load_that_overlaps_the_write_is_stored_or_served_after_it() {
    watched(|| {
        let mut turn = 0;
        for on in ON {
            for meanwhile in MEANWHILE {
                for there in [false, true] {
                    for (begins, ends) in [(Before, During), (Before, After), (During, During), (During, After)] {
                        for finish in failures(on).into_iter().chain([well(WRITTEN)]) {
                            turn += 1;
                            let overlap = Overlap { meanwhile, there, begins, ends, finish, turn };
                            overlap.loads(begins).into_iter().for_each(|way| overlap.play(way, on));
                        }
                    }
                }
            }
        }
    });
}

/// The loads that the write has overtaken may fail, panic or be cancelled, during the write or after it: it is nobody else's business.
#[test]
fn the_end_of_a_load_does_not_touch_the_write() {
    watched(|| {
        let mut turn = 0;
        for on in ON {
            for way in ways() {
                for end in way.ends(LOADED) {
                    for after in [false, true] {
                        turn += 1;
                        let case = format!("{way} ends with {end:?}, after the write: {after}");
                        let cache = prepare(WhileWriting::Miss, turn % 2 == 0);
                        let writing = Writing::open(&cache, on, KEY);
                        let load = Held::open(&cache, way, KEY);
                        let written = match after {
                            true => {
                                let written = writing.end(well(WRITTEN));
                                _ = load.end(end.clone());
                                written
                            }
                            false => {
                                _ = load.end(end.clone());
                                writing.end(well(WRITTEN))
                            }
                        };
                        judge(written, well(WRITTEN), &case);
                        reads(&cache, Some(WRITTEN), &case);
                        assert_eq!(cache.stats().flights, 0, "{case}");
                    }
                }
            }
        }
    });
}

/// Writes of different keys, all of one stripe, run at once, and reads and writes of others go on.
#[test]
fn only_writes_of_one_key_take_turns() {
    watched(|| {
        for meanwhile in MEANWHILE {
            let cache = prepare(meanwhile, true);
            let open: Vec<_> = (0..20).map(|key| Writing::open(&cache, ON[key as usize % 2], key)).collect();
            cache.insert(100, 1);
            assert_eq!((cache.get(&100), cache.get_with(&101, || 2), cache.remove(&100)), (Some(1), 2, Some(1)));
            for (key, writing) in open.into_iter().enumerate().rev() {
                judge(writing.end(well(key as u64)), well(0), "in any order");
                assert_eq!(cache.get(&(key as u64)), Some(key as u64));
            }
            assert_eq!(cache.stats().flights, 0);
        }
    });
}

#[test]
fn the_write_may_do_anything_with_the_cache() {
    watched(|| {
        for meanwhile in MEANWHILE {
            let cache = prepare(meanwhile, true);
            let within = |there: Option<u64>| {
                assert_eq!(cache.get(&KEY), there);
                cache.insert(1, 1);
                assert_eq!(cache.get_with(&2, || 2), 2);
                assert_eq!(cache.get_with(&KEY, || LOADED), there.unwrap_or(LOADED), "a load of the key itself");
                assert_eq!(cache.get(&KEY), there);
                cache.transaction(|t| t.insert(3, 3)).unwrap();
                cache.write_through(4, |_| Ok::<_, ()>(Loaded::new(4))).unwrap();
                cache.get_many(&[1, 2, 3, 4]).into_iter().flatten().sum::<u64>()
            };
            let write = |_| Ok::<_, ()>(Loaded::new(within(served(meanwhile, true))));
            assert!(cache.write_through(KEY, write).unwrap().is_some());
            assert_eq!(cache.get(&KEY), Some(10), "{meanwhile:?}");
            let write = |_| async { Ok::<_, ()>(Loaded::new(within((meanwhile == WhileWriting::ServeOld).then_some(10)) * 10)) };
            assert!(block_on(cache.write_through_async(KEY, write)).unwrap().is_some());
            assert_eq!(cache.get(&KEY), Some(100), "{meanwhile:?}");
        }
    });
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_time_to_live_is_that_of_the_write() {
    watched(|| {
        for on in ON {
            let (clock, hand) = Clock::mock();
            let cache = builder(WhileWriting::ServeOld).clock(clock).time_to_live(SECOND * 100).build().unwrap();
            let ttl = Some(SECOND * 10);
            let finish = Finish::Value(Loaded { value: WRITTEN, source: None, ttl });
            cache.insert(KEY, FIRST);
            let writing = Writing::open(&cache, on, KEY);
            hand.advance(SECOND * 101);
            assert_eq!(cache.get(&KEY), None, "what is served is served no longer than it lives");
            judge(writing.end(finish), finish, "the old entry has expired meanwhile");
            hand.advance(SECOND * 9);
            assert_eq!(cache.get(&KEY), Some(WRITTEN));
            hand.advance(SECOND * 2);
            assert_eq!(cache.get(&KEY), None);
            judge(through(&cache, on, KEY, well(WRITTEN)), well(WRITTEN), "");
            hand.advance(SECOND * 99);
            assert_eq!(cache.get(&KEY), Some(WRITTEN), "the cache's own");
        }
    });
}

/// Stale is what has expired; what a write has ended is wrong, and so it is while the write runs, where that means a miss.
#[test]
fn a_stale_value_is_not_served_once_it_is_written_over() {
    watched(|| {
        for on in ON {
            for meanwhile in MEANWHILE {
                let fresh = || {
                    let (clock, hand) = Clock::mock();
                    let builder = builder(meanwhile).clock(clock).time_to_live(SECOND * 10).serve_stale(SECOND * 100).fail_safe();
                    let cache = builder.build().unwrap();
                    cache.insert(KEY, FIRST);
                    hand.advance(SECOND * 11);
                    cache
                };
                for finish in failures(on) {
                    let cache = fresh();
                    let writing = Writing::open(&cache, on, KEY);
                    if meanwhile == WhileWriting::Miss {
                        let failed = cache.try_get_with(&KEY, || Err(1));
                        assert!(matches!(failed, Err(LoadError::Failed(1))), "{failed:?}");
                    }
                    judge(writing.end(finish), finish, "stale");
                    let failed = cache.try_get_with(&KEY, || Err(1));
                    assert!(matches!(failed, Err(LoadError::Failed(1))), "{failed:?} after {finish:?}, {meanwhile:?}");
                }
                let cache = fresh();
                judge(through(&cache, on, KEY, well(WRITTEN)), well(WRITTEN), "stale");
                assert_eq!(cache.try_get_with(&KEY, || Err(1)).unwrap(), WRITTEN);
            }
        }
    });
}

#[test]
fn a_write_ends_a_remembered_error() {
    watched(|| {
        for on in ON {
            for finish in failures(on).into_iter().chain([well(WRITTEN)]) {
                let (clock, _hand) = Clock::mock();
                let cache = builder(WhileWriting::ServeOld).clock(clock).negative_ttl(SECOND).build().unwrap();
                assert!(cache.try_get_with(&KEY, || Err(1)).is_err());
                assert!(cache.try_get_with(&KEY, || Ok::<_, i32>(LOADED)).is_err(), "it is remembered");
                judge(through(&cache, on, KEY, finish), finish, "");
                assert_eq!(cache.try_get_with(&KEY, || Ok::<_, i32>(LOADED)).unwrap(), leaves(finish).unwrap_or(LOADED));
            }
        }
    });
}
