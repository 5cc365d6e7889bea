//! Write-throughs of one key take turns, in the order in which they came, threads and tasks together; each is told what the one before left. One
//! that would wait for itself is told so.

mod common;
#[path = "fences/faces.rs"]
mod faces;
mod through;

use std::sync::Arc;
use std::sync::Barrier;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use brindle::Cache;
use brindle::LoadError;
use brindle::Loaded;
use brindle::WhileWriting;
use brindle::WriteError;

use common::Rng;
use common::executor::Boxed;
use common::executor::Task;
use common::executor::block_on;
use common::executor::oneshot;
use common::executor::step;
use common::together;
use common::watched;
use faces::End;
use faces::Held;
use faces::On;
use faces::pick;
use faces::ways;
use through::Finish;
use through::KEY;
use through::MEANWHILE;
use through::Numbers;
use through::ON;
use through::WRITTEN;
use through::Writing;
use through::Wrote;
use through::boxed;
use through::judge;
use through::leaves;
use through::prepare;
use through::reads;
use through::through;
use through::well;

/// The n-th of all ways in which so many calls can be on threads or tasks.
fn mixed(n: usize, calls: usize) -> Vec<On> {
    (0..calls).map(|call| ON[n >> call & 1]).collect()
}

#[test]
fn they_come_in_their_order_and_each_is_told_what_the_one_before_left() {
    const CALLS: usize = 5;
    watched(|| {
        for meanwhile in MEANWHILE {
            for mix in 0..1 << CALLS {
                let cache = prepare(meanwhile, true);
                let first = Writing::open(&cache, mixed(mix, 1)[0], KEY);
                let mut queue: Vec<_> = mixed(mix, CALLS)[1..].iter().map(|&on| Writing::queue(&cache, on, KEY)).collect();
                let (mut running, mut number) = (first, 0);
                while !queue.is_empty() {
                    assert!(queue.iter_mut().all(Writing::waits), "two at once, {mix:b}");
                    number += 1;
                    let finish = if number % 3 == 2 { Finish::Fail } else { well(number) };
                    let left = match running.end(finish) {
                        Wrote::Stored(version) => Some((number, version)),
                        other => {
                            judge(other, finish, "in its turn");
                            None
                        }
                    };
                    running = queue.remove(0);
                    running.begins();
                    assert_eq!(running.current(), left, "{mix:b}, {meanwhile:?}");
                    assert_eq!(left.map(|left| left.0), leaves(finish), "{mix:b}, {meanwhile:?}");
                }
                judge(running.end(well(WRITTEN)), well(WRITTEN), "the last");
                reads(&cache, Some(WRITTEN), "all are over");
                assert_eq!(cache.stats().flights, 0);
            }
        }
    });
}

/// However one ends, and before what of the others stands in line: the next goes on, and nothing but tasks that were woken is polled.
#[test]
fn the_next_goes_on_however_one_ends() {
    watched(|| {
        for on in ON {
            for finish in through::failures(on).into_iter().chain([well(WRITTEN)]) {
                for mix in 0..8 {
                    let cache = prepare(WhileWriting::ServeOld, true);
                    let running = Writing::open(&cache, on, KEY);
                    let mut queue: Vec<_> = mixed(mix, 3).into_iter().map(|on| Writing::queue(&cache, on, KEY)).collect();
                    let then = for_those_in_line(finish);
                    queue.iter_mut().for_each(|waiting| waiting.tell(then));
                    judge(running.end(finish), finish, "the first");
                    for waiting in queue {
                        judge(waiting.answer(), then, "one of the others");
                    }
                    reads(&cache, leaves(then), "all are over");
                    assert_eq!(cache.stats().flights, 0);
                }
            }
        }
    });
}

/// Those in line cannot be cancelled by what they are told: they fail instead.
fn for_those_in_line(finish: Finish) -> Finish {
    if finish == Finish::Cancel { Finish::Fail } else { finish }
}

/// A hundred writes of threads and tasks, each of which adds one to what it is told: none overlaps, and none is lost.
#[test]
fn counting_through_the_cache_loses_nothing() {
    const EACH: u64 = 300;
    watched(|| {
        for meanwhile in MEANWHILE {
            let cache = prepare(meanwhile, false);
            let (running, source) = (AtomicUsize::new(0), AtomicU64::new(0));
            let add = |told: Option<u64>| {
                assert_eq!(running.fetch_add(1, SeqCst), 0, "two at once");
                let now = source.load(SeqCst);
                assert!(told.is_none_or(|told| told == now), "told of {told:?}, the source has {now}");
                thread::yield_now();
                source.store(now + 1, SeqCst);
                running.fetch_sub(1, SeqCst);
                Ok::<_, ()>(Loaded::new(now + 1))
            };
            together(4, |number| {
                let mut rng = Rng::new(number as u64);
                for _ in 0..EACH {
                    let before = source.load(SeqCst);
                    let written = match number % 2 {
                        0 => cache.write_through(KEY, |entry| add(entry.map(|entry| *entry))),
                        _ => block_on(cache.write_through_async(KEY, |entry| async {
                            let told = entry.map(|entry| *entry);
                            step().await;
                            let added = add(told);
                            step().await;
                            added
                        })),
                    };
                    assert!(written.unwrap().is_some());
                    assert!(cache.get(&KEY).is_none_or(|seen| seen > before));
                    if rng.below(4) == 0 {
                        thread::yield_now();
                    }
                }
            });
            assert_eq!((source.load(SeqCst), cache.get(&KEY)), (4 * EACH, Some(4 * EACH)));
        }
    });
}

fn ok(value: u64) -> Result<Loaded<u64>, ()> {
    Ok(Loaded::new(value))
}

fn is_reentrant<T, E>(answer: Result<T, WriteError<E>>) -> bool {
    matches!(answer, Err(WriteError::Reentrant))
}

const CALLED: &str = "a write that must not run";

/// A write-through within another, and what lies between them: nothing, or a load, or a write of another key.
#[test]
fn a_write_within_its_own_is_told_so() {
    type Within = (&'static str, fn(&Numbers) -> bool);
    let direct = |cache: &Numbers| is_reentrant(cache.write_through(KEY, |_| -> Result<_, ()> { panic!("{CALLED}") }));
    let task = |cache: &Numbers| {
        let mut task = Task::new(boxed({
            let cache = cache.clone();
            async move { is_reentrant(cache.write_through_async(KEY, |_| async { panic!("{CALLED}") as Result<_, ()> }).await) }
        }));
        task.ends()
    };
    let within: [Within; 6] = [
        ("directly", direct),
        ("as a task", task),
        ("in a load", |cache| {
            let mut told = false;
            cache.get_with(&1, || {
                told = is_reentrant(cache.write_through(KEY, |_| ok(1)));
                1
            });
            told
        }),
        ("in a load of the key itself", |cache| {
            let mut told = false;
            cache.refresh(&KEY, || {
                told = is_reentrant(cache.write_through(KEY, |_| ok(1)));
                1
            });
            told
        }),
        ("in a write of another key", |cache| {
            let mut told = false;
            let written = cache.write_through(2, |_| {
                told = is_reentrant(cache.write_through(KEY, |_| ok(1)));
                ok(1)
            });
            written.is_ok() && told
        }),
        ("in a load in a write of another key", |cache| {
            let mut told = false;
            let written = cache.write_through(2, |_| {
                told = is_reentrant(cache.try_get_with(&3, || cache.write_through(KEY, |_| ok(1)).map(|_| 1)).map_err(|error| {
                    match error {
                        LoadError::Failed(error) => error,
                        _ => panic!("the load itself waits for nobody"),
                    }
                }));
                ok(1)
            });
            written.is_ok() && told
        }),
    ];
    watched(move || {
        for (name, call) in within {
            for meanwhile in MEANWHILE {
                let cache = prepare(meanwhile, true);
                let write = |_| {
                    assert!(call(&cache), "{name}");
                    ok(WRITTEN)
                };
                assert!(cache.write_through(KEY, write).unwrap().is_some(), "{name}");
                reads(&cache, Some(WRITTEN), name);
                let cache = prepare(meanwhile, true);
                let inside = cache.clone();
                let mut task = Task::new(Box::pin(cache.write_through_async(KEY, |_| async move {
                    step().await;
                    assert!(call(&inside), "{name}, in a task");
                    ok(WRITTEN + 1)
                })));
                task.pends();
                let ended = thread::scope(|scope| scope.spawn(|| task.ends()).join().unwrap());
                assert!(ended.unwrap().is_some(), "{name}, in a task");
                reads(&cache, Some(WRITTEN + 1), name);
                assert_eq!(cache.stats().flights, 0, "{name}");
                judge(through(&cache, On::Thread, KEY, well(5)), well(5), name);
            }
        }
    });
}

/// A loader may write its own key through: nobody waits for anybody. Its load is fenced by it.
#[test]
fn a_loader_may_write_its_key_through() {
    watched(|| {
        for way in ways() {
            let cache = prepare(WhileWriting::ServeOld, false);
            let open = Held::open(&cache, way, KEY);
            let within = cache.clone();
            judge(through(&within, On::Thread, KEY, well(WRITTEN)), well(WRITTEN), "beside the load");
            _ = open.end(End::Value(1));
            reads(&cache, Some(WRITTEN), "what the loader wrote");
        }
        let cache = prepare(WhileWriting::Miss, false);
        let loaded = cache.get_with(&KEY, || {
            assert!(cache.write_through(KEY, |_| ok(WRITTEN)).unwrap().is_some());
            1
        });
        assert!([1, WRITTEN].contains(&loaded));
        reads(&cache, Some(WRITTEN), "what the loader wrote");
    });
}

/// One thread writes each key and, inside, the next one's. Gives who was told that this is a ring.
#[test]
fn a_ring_of_threads_is_told_so() {
    watched(|| {
        for keys in [2, 3] {
            for round in 0..20 {
                let cache = prepare(MEANWHILE[round % 2], false);
                let begun = Barrier::new(keys);
                let told = together(keys, |number| {
                    let mut told = false;
                    let written = cache.write_through(number as u64, |_| {
                        begun.wait();
                        told = is_reentrant(cache.write_through(((number + 1) % keys) as u64, |_| ok(100)));
                        ok(number as u64)
                    });
                    assert!(written.is_ok());
                    told
                });
                assert!(told.iter().any(|told| *told), "{told:?}");
                assert_eq!(cache.stats().flights, 0);
                assert!((0..keys as u64).all(|key| [key, 100].contains(&cache.get(&key).unwrap())));
            }
        }
    });
}

type Ending = Boxed<'static, bool>;

/// A task that writes `key` through and, when told to go, the next inside. Was it told that this is a ring?
fn link(cache: &Numbers, key: u64, next: u64) -> (Task<Ending>, common::executor::Sender<()>) {
    let (go, told) = oneshot();
    let cache = cache.clone();
    let task = Task::new(boxed(async move {
        let ring = Arc::new(Mutex::new(false));
        let (inside, telling) = (cache.clone(), Arc::clone(&ring));
        let written = cache.write_through_async(key, |_| async move {
            told.await;
            let within = inside.write_through_async(next, |_| async { ok(100) }).await;
            *telling.lock().unwrap() = is_reentrant(within);
            ok(key)
        });
        assert!(written.await.is_ok());
        *ring.lock().unwrap()
    }));
    (task, go)
}

#[test]
fn a_ring_of_tasks_is_told_so() {
    watched(|| {
        for keys in 2..5_u64 {
            let cache = prepare(WhileWriting::ServeOld, false);
            let mut links: Vec<_> = (0..keys).map(|key| link(&cache, key, (key + 1) % keys)).collect();
            links.iter_mut().for_each(|(task, _)| task.pends());
            let mut tasks = Vec::new();
            for (number, (mut task, go)) in links.into_iter().enumerate() {
                go.send(());
                if number as u64 + 1 < keys {
                    task.pends();
                    tasks.push(task);
                } else {
                    assert!(task.ends(), "the last closes the ring");
                }
            }
            // The others wait for each other in a row, the last of them for nobody now.
            for mut task in tasks.into_iter().rev() {
                assert!(task.is_woken(), "it is its turn");
                assert!(!task.ends(), "nobody else is told so");
            }
            assert_eq!(cache.stats().flights, 0);
        }
    });
}

/// Who stands in line needs all who stand before him, and whoever comes to his turn there.
#[test]
fn a_ring_through_a_place_in_line_is_told_so() {
    watched(|| {
        for closes in [false, true] {
            let cache = prepare(WhileWriting::ServeOld, false);
            let (mut first, go_first) = link(&cache, 0, 1);
            let (mut other, go_other) = link(&cache, 1, 0);
            let (mut between, go_between) = link(&cache, 0, if closes { 1 } else { 2 });
            [&mut first, &mut other, &mut between].into_iter().for_each(Task::pends);
            go_other.send(());
            other.pends();
            go_first.send(());
            assert!(first.ends(), "it needs 1, whose writer stands in line for 0");
            go_between.send(());
            assert!(between.is_woken());
            assert_eq!(between.ends(), closes, "it needs 1, whose writer stands in line behind it");
            assert!(other.is_woken() && !other.ends());
            assert_eq!(cache.stats().flights, 0);
        }
    });
}

/// A loader waits for its turn to write a key, while the write of the key waits for that load: whoever comes last is told so.
#[test]
fn a_ring_of_a_write_and_a_load_is_told_so() {
    watched(|| {
        for turn in 0..40 {
            let cache = prepare(MEANWHILE[turn % 2], false);
            let begun = Barrier::new(2);
            let (write_told, load_told) = thread::scope(|scope| {
                let loading = scope.spawn(|| {
                    let mut told = false;
                    let loaded = cache.get_with(&1, || {
                        begun.wait();
                        told = is_reentrant(cache.write_through(KEY, |_| ok(100)));
                        1
                    });
                    assert_eq!(loaded, 1);
                    told
                });
                let mut told = false;
                let written = cache.write_through(KEY, |_| {
                    begun.wait();
                    let loaded = cache.try_get_with(&1, || Ok::<_, ()>(2));
                    told = matches!(loaded, Err(LoadError::Reentrant));
                    ok(WRITTEN)
                });
                assert!(written.is_ok());
                (told, loading.join().unwrap())
            });
            // They need not have met.
            assert!(!(write_told && load_told), "both were told");
            assert_eq!(cache.stats().flights, 0);
        }
        // Hand in hand, so that they do.
        for load_last in [false, true] {
            let cache: Numbers = Cache::new(100);
            let (go, told) = oneshot();
            let inside = cache.clone();
            let mut loading = Task::new(boxed({
                let cache = cache.clone();
                async move {
                    let load = async {
                        told.await;
                        match inside.write_through_async(KEY, |_| async { ok(100) }).await {
                            Ok(_) => Ok(1),
                            Err(error) => Err(is_reentrant(Err::<(), _>(error))),
                        }
                    };
                    cache.try_get_with_async(&1, load).await
                }
            }));
            let (write, start) = oneshot();
            let inside = cache.clone();
            let mut writing = Task::new(boxed({
                let cache = cache.clone();
                async move {
                    let write = |_| async move {
                        start.await;
                        match inside.try_get_with_async(&1, async { Ok::<_, bool>(2) }).await {
                            Ok(value) => Ok(Loaded::new(value)),
                            Err(LoadError::Reentrant) => Err("a ring"),
                            Err(_) => Err("another's trouble"),
                        }
                    };
                    cache.write_through_async(KEY, write).await
                }
            }));
            loading.pends();
            writing.pends();
            let ended = if load_last {
                write.send(());
                writing.pends();
                go.send(());
                let loaded = loading.ends();
                (
                    matches!(loaded, Err(LoadError::Failed(true))),
                    matches!(writing.ends(), Err(WriteError::Failed("another's trouble"))),
                )
            } else {
                go.send(());
                loading.pends();
                write.send(());
                let written = writing.ends();
                (matches!(written, Err(WriteError::Failed("a ring"))), matches!(loading.ends(), Ok(1)))
            };
            assert_eq!(ended, (true, true), "the load came last: {load_last}");
            assert_eq!(cache.stats().flights, 0);
        }
    });
}

/// Turns are given while loads of the key come and go: nobody who waits for a load stands in the writers' line.
#[test]
fn waiting_for_a_load_and_for_a_turn_are_two_things() {
    watched(|| {
        for turn in 0..ways().len() {
            let cache = prepare(WhileWriting::Miss, true);
            let first = Writing::open(&cache, ON[turn % 2], KEY);
            let load = Held::open(&cache, pick(&ways(), turn), KEY);
            let waiter = Held::join(&cache, pick(&ways(), turn + 5), KEY);
            let mut second = Writing::queue(&cache, ON[turn / 2 % 2], KEY);
            _ = load.end(End::Value(1));
            assert_eq!(waiter.answer().value(), 1);
            assert!(second.waits());
            judge(first.end(well(WRITTEN)), well(WRITTEN), "");
            second.begins();
            assert_eq!(second.current().map(|current| current.0), Some(WRITTEN));
            let load = Held::open(&cache, pick(&ways(), turn), KEY);
            let waiter = Held::join(&cache, pick(&ways(), turn + 5), KEY);
            assert!(matches!(second.end(well(9)), Wrote::Stored(_)));
            assert_eq!(waiter.answer().value(), 9);
            _ = load.end(End::Value(1));
            reads(&cache, Some(9), "the second's");
        }
    });
}
