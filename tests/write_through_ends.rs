//! Promise 7 for write-throughs: cancelled at any poll, in line or in its turn, one leaves the key absent rather than old, and harms nobody who comes after
//! it.

mod common;
#[path = "fences/faces.rs"]
mod faces;
mod through;

use brindle::Loaded;

use common::executor::Task;
use common::executor::step;
use common::watched;
use faces::End;
use faces::Held;
use faces::On;
use faces::ways;
use through::FIRST;
use through::KEY;
use through::LOADED;
use through::MEANWHILE;
use through::ON;
use through::WRITTEN;
use through::Writing;
use through::boxed;
use through::failures;
use through::judge;
use through::prepare;
use through::reads;
use through::through;
use through::well;

/// The write is in line still, or in its turn at one of its await points, or at its end, when its future is dropped.
#[test]
fn a_future_that_is_dropped_at_any_poll_leaves_nothing_old() {
    const STEPS: usize = 3;
    watched(|| {
        for meanwhile in MEANWHILE {
            for there in [false, true] {
                for polls in 0..=STEPS + 1 {
                    for (turn, way) in ways().into_iter().enumerate() {
                        let case = format!("{polls} polls, {meanwhile:?}, resident: {there}, {way}");
                        let cache = prepare(meanwhile, there);
                        let inside = cache.clone();
                        let mut task = Task::new(boxed(async move {
                            let write = |_| async {
                                for _ in 0..STEPS {
                                    step().await;
                                }
                                Ok::<_, ()>(Loaded::new(WRITTEN))
                            };
                            inside.write_through_async(KEY, write).await
                        }));
                        let ended = (0..polls).map(|_| task.poll()).last();
                        let load = (polls > 0 && cache.get(&KEY).is_none()).then(|| Held::open(&cache, way, KEY));
                        drop(task);
                        let left = match polls {
                            0 => there.then_some(FIRST),
                            _ if polls > STEPS => Some(WRITTEN),
                            _ => None,
                        };
                        assert_eq!(ended.is_some_and(|ended| ended.is_ready()), polls > STEPS, "{case}");
                        reads(&cache, left, &case);
                        if let Some(load) = load {
                            _ = load.end(End::Value(LOADED));
                            reads(&cache, left, &format!("a load that began during the write ends after it: {case}"));
                        }
                        judge(through(&cache, ON[turn % 2], KEY, well(9)), well(9), &case);
                        reads(&cache, Some(9), &case);
                        assert_eq!(cache.stats().flights, 0, "{case}");
                    }
                }
            }
        }
    });
}

#[test]
fn who_gives_up_in_line_has_done_nothing() {
    watched(|| {
        for on in ON {
            for meanwhile in MEANWHILE {
                for gone in [0, 1, 2] {
                    let cache = prepare(meanwhile, true);
                    let running = Writing::open(&cache, on, KEY);
                    let before = cache.get(&KEY);
                    let mut line: Vec<_> = (0..3).map(|_| Writing::queue(&cache, On::Task, KEY)).collect();
                    drop(line.remove(gone));
                    reads(&cache, before, "somebody in line has gone");
                    assert!(line.iter_mut().all(Writing::waits));
                    judge(running.end(well(1)), well(1), "the first");
                    for (number, writing) in line.into_iter().enumerate() {
                        let mut writing = writing;
                        writing.begins();
                        assert_eq!(writing.current().map(|current| current.0), Some(number as u64 + 1), "{gone} has gone");
                        judge(writing.end(well(number as u64 + 2)), well(0), "one of those in line");
                    }
                    reads(&cache, Some(3), "all have had their turn");
                    assert_eq!(cache.stats().flights, 0);
                }
            }
        }
    });
}

/// Its turn has come, and it is dropped before it knows: the next is called instead.
#[test]
fn who_is_called_and_gone_passes_the_turn_on() {
    watched(|| {
        for meanwhile in MEANWHILE {
            for finish in failures(On::Task).into_iter().chain([well(WRITTEN)]) {
                for goes in 1..=3 {
                    let cache = prepare(meanwhile, true);
                    let running = Writing::open(&cache, On::Task, KEY);
                    let mut line: Vec<_> = (0..4).map(|_| Writing::queue(&cache, On::Task, KEY)).collect();
                    judge(running.end(finish), finish, "the first");
                    for _ in 0..goes {
                        assert!(line[0].is_woken() && line[1..].iter().all(|writing| !writing.is_woken()), "one is called");
                        drop(line.remove(0));
                        assert_ne!(cache.get(&KEY), Some(FIRST), "{finish:?}");
                    }
                    let mut next = line.remove(0);
                    next.begins();
                    assert!(line.iter_mut().all(Writing::waits));
                    judge(next.end(well(9)), well(9), "the one who is left");
                    line.into_iter().for_each(|writing| judge(writing.end(well(10)), well(10), "the last"));
                    assert_eq!(cache.stats().flights, 0);
                }
                // All go: nothing is left that would hold up the next.
                let cache = prepare(meanwhile, true);
                let running = Writing::open(&cache, On::Task, KEY);
                let line: Vec<_> = (0..3).map(|_| Writing::queue(&cache, On::Task, KEY)).collect();
                judge(running.end(finish), finish, "the first");
                drop(line);
                assert_eq!(cache.get_with(&KEY, || 5), cache.get(&KEY).unwrap_or(0), "loads are stored again");
                judge(through(&cache, On::Thread, KEY, well(9)), well(9), "who comes then");
            }
        }
    });
}
