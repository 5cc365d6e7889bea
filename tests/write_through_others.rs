//! Write-through, and others who write, remove or invalidate the key meanwhile, or know something newer of it: nobody can say which came first, so
//! the call answers `None` and nothing old is left. What is no write of the key does not matter.

mod common;
#[path = "fences/faces.rs"]
mod faces;
mod through;

use std::sync::Arc;
use std::sync::Mutex;

use brindle::Builder;
use brindle::Expected;
use brindle::Loaded;
use brindle::Op;
use brindle::Removed;
use brindle::WhileWriting;

use common::watched;
use faces::Answer;
use faces::End;
use faces::Held;
use faces::On;
use faces::pick;
use faces::planned;
use faces::ways;
use through::FIRST;
use through::Finish;
use through::KEY;
use through::LOADED;
use through::MEANWHILE;
use through::Numbers;
use through::ON;
use through::THEIRS;
use through::WRITTEN;
use through::Writing;
use through::Wrote;
use through::builder;
use through::failures;
use through::judge;
use through::prepare;
use through::reads;
use through::served;
use through::through;
use through::well;
use through::well_at;

type Act = fn(&Numbers);

/// What somebody else does to the key. The first write `THEIRS`, which is seen at once.
const WRITES: [(&str, Act); 10] = [
    ("insert", |cache| _ = cache.insert(KEY, THEIRS)),
    ("try_insert", |cache| _ = cache.try_insert(KEY, THEIRS).unwrap()),
    ("insert_with_ttl", |cache| _ = cache.insert_with_ttl(KEY, THEIRS, std::time::Duration::MAX)),
    ("insert_at, older", |cache| _ = cache.insert_at(KEY, THEIRS, 8).unwrap()),
    ("insert_at, newer", |cache| _ = cache.insert_at(KEY, THEIRS, 11).unwrap()),
    ("insert_in_groups", |cache| _ = cache.insert_in_groups(KEY, THEIRS, ["group"])),
    ("compare_and_swap", |cache| {
        cache.compare_and_swap(KEY, cache.get_ref(&KEY).map(|entry| entry.version()), THEIRS).unwrap();
    }),
    ("and_compute_with, put", |cache| _ = cache.entry(KEY).and_compute_with(|_| Op::Put(THEIRS))),
    ("transaction, insert", |cache| cache.transaction(|t| t.insert(KEY, THEIRS)).unwrap()),
    ("transaction, insert_at", |cache| cache.transaction(|t| t.insert_at(KEY, THEIRS, 9)).unwrap()),
];

/// And these leave nothing.
const ENDS: [(&str, Act); 10] = [
    ("remove", |cache| _ = cache.remove(&KEY)),
    ("remove_if", |cache| _ = cache.remove_if(&KEY, |_, _| true)),
    ("invalidate", |cache| _ = cache.invalidate(&KEY)),
    ("invalidate_at", |cache| _ = cache.invalidate_at(&KEY, 3)),
    ("invalidate_at, newer", |cache| _ = cache.invalidate_at(&KEY, 30)),
    ("retain", |cache| cache.retain(|_, _| false)),
    ("clear", |cache| cache.clear()),
    ("and_compute_with, remove", |cache| _ = cache.entry(KEY).and_compute_with(|_| Op::Remove)),
    ("transaction, invalidate", |cache| cache.transaction(|t| t.invalidate(&KEY)).unwrap()),
    ("insert and remove", |cache| {
        cache.insert(KEY, THEIRS);
        cache.remove(&KEY);
    }),
];

/// Nothing, or something as new as `source`: where no version tells which came first, nothing.
#[track_caller]
fn assert_nothing_old(cache: &Numbers, source: u64, case: &str) {
    if let Some(entry) = cache.get_entry(&KEY) {
        assert!(entry.value == THEIRS && entry.version.source() >= source, "{entry:?} is left: {case}");
    }
}

#[test]
fn what_others_do_to_the_key_meanwhile_leaves_nothing_old() {
    watched(|| {
        let all = WRITES.map(|write| (write, true)).into_iter().chain(ENDS.map(|end| (end, false)));
        for ((name, act), writes) in all {
            for on in ON {
                for meanwhile in MEANWHILE {
                    for there in [false, true] {
                        for (finish, source) in [(well(WRITTEN), u64::MAX), (well_at(WRITTEN, 10), 10), (well_at(WRITTEN, 9), 9)]
                        {
                            let case = format!("{name}, then on a {on:?} {finish:?}, {meanwhile:?}, resident: {there}");
                            let cache = prepare(meanwhile, there);
                            let writing = Writing::open(&cache, on, KEY);
                            act(&cache);
                            reads(&cache, writes.then_some(THEIRS), &case);
                            // A load that begins after it is not stored either.
                            assert_eq!(cache.refresh(&KEY, || LOADED), LOADED, "{case}");
                            reads(&cache, writes.then_some(THEIRS), &case);
                            assert_eq!(writing.end(finish), Wrote::NotStored, "{case}");
                            assert_nothing_old(&cache, source, &case);
                            assert_eq!(cache.stats().flights, 0, "{case}");
                            // The next is stored as ever.
                            let next = well_at(WRITTEN, 40);
                            judge(through(&cache, on, KEY, next), next, &case);
                            reads(&cache, Some(WRITTEN), &case);
                        }
                        for finish in failures(on) {
                            let case = format!("{name}, then on a {on:?} {finish:?}, {meanwhile:?}, resident: {there}");
                            let cache = prepare(meanwhile, there);
                            let writing = Writing::open(&cache, on, KEY);
                            act(&cache);
                            judge(writing.end(finish), finish, &case);
                            assert!([None, Some(THEIRS)].contains(&cache.get(&KEY)), "{case}");
                            assert_eq!(cache.stats().flights, 0, "{case}");
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn what_is_no_write_of_the_key_does_not_matter() {
    type Harmless = (&'static str, bool, Act);
    // The second says that it needs the entry to be seen.
    let harmless: [Harmless; 14] = [
        ("reads", false, |cache| _ = (cache.get(&KEY), cache.get_many(&[KEY]), cache.iter().count())),
        ("a load", false, |cache| _ = cache.refresh(&KEY, || LOADED)),
        ("a load at a source", false, |cache| _ = cache.reload(&KEY, || Ok::<_, ()>(Loaded::new(LOADED).at(50)))),
        ("a load that fails", false, |cache| assert!(cache.try_refresh(&KEY, || Err(1)).is_err())),
        ("a lease that is dropped", false, |cache| drop(cache.get_or_lease(&KEY, None))),
        ("and_compute_with, keep", false, |cache| _ = cache.entry(KEY).and_compute_with(|_| Op::Keep)),
        ("compare_and_swap that fails", true, |cache| {
            assert!(cache.compare_and_swap(KEY, Expected::Absent, THEIRS).is_err());
        }),
        ("insert_if_absent of what is there", true, |cache| assert!(cache.insert_if_absent(KEY, THEIRS).is_err())),
        ("insert_at of old news", true, |cache| assert!(cache.insert_at(KEY, THEIRS, 4).is_err())),
        ("another key", false, |cache| {
            cache.insert(KEY + 1, THEIRS);
            cache.invalidate(&(KEY + 1));
        }),
        ("another group", false, |cache| _ = cache.invalidate_group("nobody's")),
        ("a transaction that is aborted", false, |cache| {
            let aborted = cache.transaction(|t| {
                t.insert(KEY, THEIRS);
                t.expect_version(&KEY, cache.get_ref(&(KEY + 1)).map(|entry| entry.version()));
                t.compare_and_swap(KEY + 1, cache.insert(1, 1), THEIRS);
            });
            assert!(aborted.is_err());
        }),
        ("a transaction of other keys", false, |cache| {
            cache.transaction(|t| t.insert(KEY + 1, THEIRS)).unwrap();
        }),
        ("a write-through of another key", false, |cache| {
            cache.write_through(KEY + 1, |_| Err::<Loaded<u64>, _>(())).unwrap_err();
        }),
    ];
    watched(move || {
        for (name, needs, act) in harmless {
            for on in ON {
                for meanwhile in MEANWHILE {
                    for there in [false, true] {
                        if needs && served(meanwhile, there).is_none() {
                            continue;
                        }
                        let case = format!("{name}, on a {on:?}, {meanwhile:?}, resident: {there}");
                        let cache = builder(meanwhile).build().unwrap();
                        there.then(|| cache.insert_at(KEY, FIRST, 5).unwrap());
                        let writing = Writing::open(&cache, on, KEY);
                        act(&cache);
                        reads(&cache, served(meanwhile, there), &case);
                        judge(writing.end(well_at(WRITTEN, 6)), well(WRITTEN), &case);
                        reads(&cache, Some(WRITTEN), &case);
                    }
                }
            }
        }
    });
}

/// The order of sources decides as for any other write.
#[test]
fn a_value_older_than_what_is_known_is_not_stored() {
    watched(|| {
        for on in ON {
            for meanwhile in MEANWHILE {
                for (known, written) in [(10, 9), (10, 0), (u64::MAX, 5)] {
                    let case = format!("{written} after {known}, on a {on:?}, {meanwhile:?}");
                    let cache = builder(meanwhile).build().unwrap();
                    cache.insert_at(KEY, THEIRS, known).unwrap();
                    assert_eq!(through(&cache, on, KEY, well_at(WRITTEN, written)), Wrote::NotStored, "{case}");
                    assert_nothing_old(&cache, known, &case);
                    // Of what is dead as well.
                    cache.invalidate_at(&KEY, known);
                    cache.invalidate(&KEY);
                    assert_eq!(through(&cache, on, KEY, well_at(WRITTEN, written)), Wrote::NotStored, "{case}");
                    reads(&cache, None, &case);
                    assert!(cache.insert_at(KEY, THEIRS, known - 1).is_err(), "{case}");
                }
                // A version that becomes known while the write runs.
                let cache = builder(meanwhile).build().unwrap();
                let writing = Writing::open(&cache, on, KEY);
                cache.invalidate_at(&KEY, 20);
                assert_eq!(writing.end(well_at(WRITTEN, 19)), Wrote::NotStored);
                reads(&cache, None, "invalidated at 20");
                judge(through(&cache, on, KEY, well_at(WRITTEN, 21)), well(WRITTEN), "newer than all that is known");
            }
        }
    });
}

/// What the source has said of its version stays known, whatever became of the value: no older message gets in afterwards.
#[test]
fn the_source_version_of_a_write_is_known_from_then_on() {
    watched(|| {
        for on in ON {
            for meanwhile in MEANWHILE {
                for (name, act) in [("nothing", (|_| ()) as Act), ENDS[0], ENDS[2], ENDS[6], WRITES[0]] {
                    let case = format!("{name} meanwhile, on a {on:?}, {meanwhile:?}");
                    let cache = prepare(meanwhile, true);
                    let writing = Writing::open(&cache, on, KEY);
                    act(&cache);
                    _ = writing.end(well_at(WRITTEN, 10));
                    assert!(cache.insert_at(KEY, LOADED, 9).is_err(), "an older message was accepted: {case}");
                    cache.invalidate(&KEY);
                    assert!(cache.insert_at(KEY, LOADED, 9).is_err(), "an older message was accepted: {case}");
                    assert!(cache.insert_at(KEY, LOADED, 11).is_ok(), "{case}");
                }
            }
        }
    });
}

/// A write that fails says nothing of versions, and what was known before stays known.
#[test]
fn a_failed_write_forgets_no_version() {
    watched(|| {
        for on in ON {
            for meanwhile in MEANWHILE {
                for finish in failures(on) {
                    let cache = builder(meanwhile).build().unwrap();
                    let version = cache.insert_at(KEY, FIRST, 10).unwrap();
                    judge(through(&cache, on, KEY, finish), finish, "");
                    assert!(cache.insert_at(KEY, LOADED, 9).is_err(), "{finish:?}, {meanwhile:?}");
                    assert!(cache.compare_and_swap(KEY, version, LOADED).is_err(), "{finish:?}, {meanwhile:?}");
                    assert!(cache.insert_at(KEY, LOADED, 11).unwrap() > version, "{finish:?}, {meanwhile:?}");
                }
            }
        }
    });
}

#[test]
fn versioned_by_says_the_source() {
    watched(|| {
        for on in ON {
            let cache = builder(WhileWriting::ServeOld).versioned_by(|_, value| *value).build().unwrap();
            let Wrote::Stored(version) = through(&cache, on, KEY, well(10)) else { panic!("not stored") };
            assert_eq!(version.source(), 10);
            assert_eq!(through(&cache, on, KEY, well(9)), Wrote::NotStored);
            assert!(cache.get(&KEY).is_none_or(|value| value == 10));
            judge(through(&cache, on, KEY, well(11)), well(11), "");
        }
    });
}

/// What is in a group that is invalidated while the write runs: the entry as it was, or the value that is written.
#[test]
fn groups_are_those_of_the_value() {
    watched(|| {
        for on in ON {
            for meanwhile in MEANWHILE {
                let fresh = || {
                    let cache = builder(meanwhile).group_by(|_, value| [*value]).build().unwrap();
                    cache.insert(KEY, FIRST);
                    cache
                };
                let cache = fresh();
                judge(through(&cache, on, KEY, well(WRITTEN)), well(WRITTEN), "");
                assert_eq!((cache.invalidate_group(&FIRST), cache.get(&KEY)), (0, Some(WRITTEN)), "{meanwhile:?}");
                assert_eq!((cache.invalidate_group(&WRITTEN), cache.get(&KEY)), (1, None), "{meanwhile:?}");

                let cache = fresh();
                let writing = Writing::open(&cache, on, KEY);
                cache.invalidate_group(&FIRST);
                reads(&cache, None, "its group was invalidated");
                _ = writing.end(well(WRITTEN));
                assert!(cache.get(&KEY).is_none_or(|value| value == WRITTEN), "{meanwhile:?}");

                // The value was decided before the group was invalidated, as that of a load would be.
                let cache = fresh();
                let writing = Writing::open(&cache, on, KEY);
                cache.invalidate_group(&WRITTEN);
                reads(&cache, served(meanwhile, true), "it is of another group");
                assert_eq!(writing.end(well(WRITTEN)), Wrote::NotStored, "{meanwhile:?}");
                reads(&cache, None, "the written value is of the group");

                // What was invalidated before says nothing of it, though a load that is under way still has to know.
                let cache = fresh();
                let witness = cache.get_or_lease(&(KEY + 1), None);
                cache.invalidate_group(&WRITTEN);
                judge(through(&cache, on, KEY, well(WRITTEN)), well(WRITTEN), "its group was invalidated before");
                drop(witness);

                let cache = fresh();
                let writing = Writing::open(&cache, on, KEY);
                cache.invalidate_group(&99_u64);
                judge(writing.end(well(WRITTEN)), well(WRITTEN), "a group of others");
            }
        }
    });
}

/// A load beside a write is not stored. Who came to it after its group was invalidated gets nothing of it all the same.
#[test]
fn a_load_beside_a_write_gives_no_late_caller_what_a_group_has_lost() {
    const OWN: u64 = 5;
    watched(|| {
        for on in ON {
            for (turn, way) in ways().into_iter().enumerate() {
                for meanwhile in MEANWHILE {
                    let cache = builder(meanwhile).group_by(|_, value| [*value]).build().unwrap();
                    let writing = Writing::open(&cache, on, KEY);
                    let old = Held::open(&cache, way, KEY);
                    let mut early = Held::join(&cache, pick(&ways(), turn), KEY);
                    cache.invalidate_group(&LOADED);
                    let mut late = Held::join(&cache, pick(&ways(), turn * 3 + 1), KEY);
                    [&mut early, &mut late].into_iter().for_each(|held| held.tell(End::Value(OWN)));
                    _ = old.end(End::Value(LOADED));
                    assert_eq!(own(late.answer()), OWN, "{way}, {meanwhile:?}");
                    assert!([LOADED, OWN].contains(&own(early.answer())), "{way}, {meanwhile:?}");
                    reads(&cache, None, "nothing is stored while the key is written");
                    judge(writing.end(well(WRITTEN)), well(WRITTEN), "nobody else has written it");
                    assert_eq!((cache.get(&KEY), cache.stats().flights), (Some(WRITTEN), 0));
                }
            }
        }
    });
}

/// The value of a load that may not be stored.
fn own(answer: Answer<u64>) -> u64 {
    match answer {
        Answer::Value(value) | Answer::Unfilled(value, _) => value,
        other => panic!("{other:?}"),
    }
}

type Hook = fn(Builder<u64, u64>) -> Builder<u64, u64>;

/// The user's code that is asked about the value panics, after the source has been written: the key is absent, not old.
#[test]
fn a_panic_between_source_and_cache_leaves_the_key_absent() {
    let hooks: [(&str, Hook); 3] = [
        ("weigher", |builder| builder.weigher(|_, value| if *value == WRITTEN { planned() } else { 1 })),
        ("group_by", |builder| builder.group_by(|_, value| if *value == WRITTEN { planned() } else { [1] })),
        ("versioned_by", |builder| builder.versioned_by(|_, value| if *value == WRITTEN { planned() } else { *value })),
    ];
    watched(move || {
        for (name, hook) in hooks {
            for on in ON {
                for meanwhile in MEANWHILE {
                    let case = format!("{name} on a {on:?}, {meanwhile:?}");
                    let cache = hook(builder(meanwhile)).build().unwrap();
                    cache.insert(KEY, FIRST);
                    let writing = Writing::open(&cache, on, KEY);
                    let mut next = Writing::queue(&cache, on, KEY);
                    assert_eq!(writing.end(well(WRITTEN)), Wrote::Panicked, "{case}");
                    next.begins();
                    assert_eq!(next.current(), None, "{case}");
                    reads(&cache, None, &case);
                    judge(next.end(well(50)), well(50), &case);
                    reads(&cache, Some(50), &case);
                    assert_eq!(cache.stats().flights, 0, "{case}");
                }
            }
        }
    });
}

#[test]
fn there_may_be_no_room_for_what_is_written() {
    watched(|| {
        for on in ON {
            for meanwhile in MEANWHILE {
                let cache = builder(meanwhile).max_capacity(10).weigher(|_, value| *value).build().unwrap();
                cache.insert(KEY, FIRST);
                assert!(matches!(through(&cache, on, KEY, well(1_000)), Wrote::Stored(_) | Wrote::NotStored));
                assert_eq!((cache.get(&KEY), cache.weight()), (None, 0), "{meanwhile:?}: neither the old nor the new");
                // Evictions meanwhile are nobody's writes.
                cache.insert(KEY, FIRST);
                let writing = Writing::open(&cache, on, KEY);
                cache.set_capacity(0);
                cache.set_capacity(10);
                reads(&cache, None, "evicted");
                judge(writing.end(well(WRITTEN)), well(WRITTEN), "evicted meanwhile");
                reads(&cache, Some(WRITTEN), "evicted meanwhile");
            }
        }
    });
}

/// Everything that was in the cache is told of once, when it leaves.
#[test]
fn the_listener_hears_of_each_value_once() {
    watched(|| {
        for on in ON {
            for meanwhile in MEANWHILE {
                let told: Arc<Mutex<Vec<u64>>> = Arc::default();
                let tell = Arc::clone(&told);
                let listener = move |removed: Removed<u64, u64>| tell.lock().unwrap().push(*removed.value());
                let cache = builder(meanwhile).removal_listener(listener).build().unwrap();
                let hears = || std::mem::take(&mut *told.lock().unwrap());
                cache.insert(KEY, FIRST);
                judge(through(&cache, on, KEY, well(WRITTEN)), well(WRITTEN), "");
                assert_eq!(hears(), [FIRST], "{meanwhile:?}");
                judge(through(&cache, On::Thread, KEY, Finish::Fail), Finish::Fail, "");
                assert_eq!(hears(), [WRITTEN], "{meanwhile:?}");
                cache.insert(KEY, FIRST);
                let writing = Writing::open(&cache, on, KEY);
                cache.insert(KEY, THEIRS);
                assert_eq!(writing.end(well_at(WRITTEN, 5)), Wrote::NotStored);
                cache.clear();
                assert_eq!(hears(), [FIRST, THEIRS], "{meanwhile:?}");
                let stats = cache.stats();
                assert_eq!(stats.inserts, stats.replaced + stats.invalidated + stats.evicted + stats.cleared, "{meanwhile:?}");
            }
        }
    });
}
