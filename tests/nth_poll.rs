//! Promise 7: every call of a task is dropped before its n-th poll, for every n to its end, with nobody, one or two others after it, of every call too;
//! and the next is dropped in its turn. Whoever is left comes to his end, and nothing is left of those who went.

mod common;
#[path = "common/faces.rs"]
mod faces;
mod harness;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use brindle::BackgroundLoad;
use brindle::Cache;
use brindle::Clock;
use brindle::Loaded;

use common::Census;
use common::Counted;
use common::executor::Boxed;
use common::executor::Task;
use common::executor::run_woken;
use common::executor::step;
use faces::Face;
use faces::async_faces;
use harness::watched_for;

fn watched(test: impl FnOnce() + Send + 'static) {
    watched_for(Duration::from_secs(200), test);
}

const KEY: u64 = 7;
/// Polls in which a loader, or a sink, does not come to its end.
const STEPS: u64 = 2;
/// No call takes more polls than this.
const MOST: u64 = 12;

type Values = Cache<u64, Counted>;

#[derive(Clone)]
struct Scene {
    cache: Values,
    census: Census,
    /// Loaders of the key at work, and the most that ever were.
    at_work: Arc<[AtomicUsize; 2]>,
}

struct Working(Arc<[AtomicUsize; 2]>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0[0].fetch_sub(1, SeqCst);
    }
}

impl Scene {
    fn new(cache: Values) -> Self {
        Scene { cache, census: Census::default(), at_work: Arc::default() }
    }

    fn working(&self) -> Working {
        let now = self.at_work[0].fetch_add(1, SeqCst) + 1;
        self.at_work[1].fetch_max(now, SeqCst);
        Working(Arc::clone(&self.at_work))
    }

    async fn load(self, key: u64) -> Counted {
        let _working = self.working();
        for _ in 0..STEPS {
            step().await;
        }
        self.census.value(key)
    }

    /// Nothing is under way, the key can be had, and nothing is alive that nobody has.
    #[track_caller]
    fn judge(self, who: &str) {
        assert_eq!((self.at_work[0].load(SeqCst), self.cache.stats().flights), (0, 0), "loaders, flights: {who}");
        let found = self.cache.get(&KEY).map(|value| value.id());
        assert!(found.is_none_or(|id| id == KEY), "{who}");
        assert_eq!(self.cache.get_with(&KEY, || self.census.value(KEY)).id(), KEY, "{who}");
        self.cache.invalidate(&KEY);
        assert_eq!(self.cache.get_with(&KEY, || self.census.value(KEY)).id(), KEY, "{who}");
        drop(self.cache);
        assert_eq!(self.census.alive(), 0, "values left: {who}");
    }
}

type Begin = dyn Fn(&Scene) -> Boxed<'static, ()>;

/// A call by its name.
struct Kind {
    name: &'static str,
    start: Box<Begin>,
    /// It loads, so that no other does at the same time.
    loads: bool,
}

fn loading(face: Face<u64, Counted>) -> Kind {
    let name = face.name;
    let start = move |scene: &Scene| -> Boxed<'static, ()> {
        let load = scene.clone().load(KEY);
        let call = face.start(&scene.cache, &KEY, async move { Ok(load.await) });
        Box::pin(async move { assert_eq!(call.await.map(|value| value.id()), Ok(KEY)) })
    };
    Kind { name, start: Box::new(start), loads: true }
}

/// Several keys, of which the one that all want is the first, in the middle or the last.
fn many(keys: [u64; 3]) -> Kind {
    let start = move |scene: &Scene| -> Boxed<'static, ()> {
        let scene = scene.clone();
        Box::pin(async move {
            let load = |keys: Vec<u64>| async {
                drop(scene.clone().load(KEY).await);
                Ok::<_, ()>(keys.into_iter().map(|key| (key, scene.census.value(key))))
            };
            let values = scene.cache.try_get_many_with_async(&keys, load).await.expect("no loader fails");
            let ids: Vec<_> = values.into_iter().flatten().map(|value| value.id()).collect();
            assert_eq!(ids, keys);
        })
    };
    Kind { name: "many", start: Box::new(start), loads: false }
}

fn writing() -> Kind {
    let start = |scene: &Scene| -> Boxed<'static, ()> {
        let scene = scene.clone();
        Box::pin(async move {
            let write = |_| async {
                for _ in 0..STEPS {
                    step().await;
                }
                Ok::<_, ()>(Loaded::new(scene.census.value(KEY)))
            };
            assert!(scene.cache.write_through_async(KEY, write).await.is_ok());
        })
    };
    Kind { name: "write_through_async", start: Box::new(start), loads: false }
}

fn kinds() -> Vec<Kind> {
    let mut kinds: Vec<_> = async_faces().into_iter().map(loading).collect();
    kinds.extend([many([KEY, 8, 9]), many([5, KEY, 8]), many([5, 6, KEY]), writing()]);
    kinds
}

fn plain() -> Values {
    Cache::builder().max_capacity(100).stripes(1).build().expect("valid choices")
}

/// Polls it that often, as long as it is not at its end. Gives it as it stands, and whether it came to its end.
fn stopped<F: Future<Output = ()>>(mut call: Task<F>, polls: u64) -> (Option<Task<F>>, bool) {
    for _ in 0..polls {
        if call.is_over() || call.poll().is_ready() {
            return (None, true);
        }
    }
    let over = call.is_over();
    (Some(call), over)
}

/// Drops the first before its `n`-th poll, and of three the second before its `m`-th after that: both are taken out. Gives whether either came to
/// its end before.
fn drop_two<F: Future<Output = ()>>(calls: &mut Vec<Task<F>>, n: u64, m: u64) -> [bool; 2] {
    let (first, first_over) = stopped(calls.remove(0), n);
    // Those who come after it find it where it is dropped.
    calls.iter_mut().for_each(|call| _ = call.poll());
    drop(first);
    let second_over = calls.len() < 2 || stopped(calls.remove(0), m).1;
    [first_over, second_over]
}

/// [Drops two](drop_two) of these calls, and the others go on.
fn play(kinds: &[&Kind], n: u64, m: u64) -> [bool; 2] {
    let names: Vec<_> = kinds.iter().map(|kind| kind.name).collect();
    let who = format!("{names:?}: before poll {n}, before poll {m}");
    let scene = Scene::new(plain());
    let mut calls: Vec<_> = kinds.iter().map(|kind| Task::new((kind.start)(&scene))).collect();
    let ended = drop_two(&mut calls, n, m);
    let left = calls.len();
    assert_eq!(run_woken(&mut calls, |_, ()| ()), left, "somebody is forgotten: {who}");
    drop(calls);
    if kinds.iter().all(|kind| kind.loads) {
        assert!(scene.at_work[1].load(SeqCst) <= 1, "two loads at once: {who}");
    }
    scene.judge(&who);
    ended
}

#[test]
fn every_call_dropped_at_every_poll_alone_and_with_one_after_it() {
    watched(|| {
        let kinds = kinds();
        for first in &kinds {
            let alone = (0..MOST).find(|&n| play(&[first], n, 0)[0]).expect("it comes to its end");
            assert!(alone >= STEPS, "{} has no await point", first.name);
            for second in &kinds {
                (0..MOST).find(|&n| play(&[first, second], n, 0)[0]).expect("it comes to its end");
            }
        }
    });
}

#[test]
fn and_the_one_after_it_dropped_at_every_poll_with_another_behind() {
    watched(|| {
        let kinds = kinds();
        for (number, first) in kinds.iter().enumerate() {
            for second in &kinds {
                // The third differs from pair to pair.
                let third = &kinds[(number * 5 + second.name.len()) % kinds.len()];
                let all = [first, second, third];
                for n in 0..=STEPS + 1 {
                    // It may have to wait for the third.
                    _ = (0..MOST).find(|&m| play(&all, n, m)[1]);
                }
            }
        }
    });
}

#[test]
fn a_background_load_dropped_at_every_poll_with_others_behind() {
    watched(|| {
        let kinds = kinds();
        for waiters in 0..=2 {
            for (number, kind) in kinds.iter().enumerate() {
                for n in 0..=STEPS + 1 {
                    let who = format!("background load before poll {n}, {waiters} of {}", kind.name);
                    background(&who, n, [kind, &kinds[(number + 3) % kinds.len()]].into_iter().take(waiters));
                }
            }
        }
    });
}

fn background<'a>(who: &str, polls: u64, others: impl Iterator<Item = &'a Kind>) {
    let (clock, hand) = Clock::mock();
    let tasks: Arc<Mutex<Vec<BackgroundLoad>>> = Arc::default();
    let queue = Arc::clone(&tasks);
    let census = Census::default();
    let own = census.clone();
    let builder = Cache::builder().max_capacity(100).stripes(1).clock(clock).time_to_live(Duration::from_secs(10));
    let builder = builder.serve_stale(Duration::from_secs(10)).spawner(
        move |task| queue.lock().unwrap().push(task),
        move |&key| {
            let own = own.clone();
            async move {
                for _ in 0..STEPS {
                    step().await;
                }
                Ok::<_, ()>(Loaded::new(own.value(key)))
            }
        },
    );
    let cache = builder.build().expect("valid choices");
    let scene = Scene { cache, census, at_work: Arc::default() };
    scene.cache.insert(KEY, scene.census.value(KEY));
    hand.advance(Duration::from_secs(11));
    drop(scene.cache.get_with(&KEY, || unreachable!("it is stale")));
    let task = tasks.lock().unwrap().pop().expect("a background load");
    // Nobody is served what is stale any more.
    hand.advance(Duration::from_secs(11));
    let (mut task, _) = stopped(Task::new(task), polls);
    let mut calls: Vec<_> = others.map(|kind| Task::new((kind.start)(&scene))).collect();
    calls.iter_mut().for_each(|call| _ = call.poll());
    task.take();
    let left = calls.len();
    assert_eq!(run_woken(&mut calls, |_, ()| ()), left, "somebody is forgotten: {who}");
    drop(calls);
    scene.judge(who);
}

#[cfg(feature = "write-behind")]
mod behind {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use brindle::AsyncSink;
    use brindle::Pending;
    use brindle::WriteBehind;

    use super::*;

    /// Takes its time, and keeps what it was given to the end.
    #[derive(Default)]
    struct Slow(Mutex<BTreeMap<u64, u64>>);

    impl AsyncSink<u64, Counted> for Slow {
        type Error = ();

        async fn write(&self, batch: &[Pending<u64, Counted>]) -> Result<(), ()> {
            for _ in 0..STEPS {
                step().await;
            }
            let mut stored = self.0.lock().unwrap();
            batch.iter().for_each(|item| _ = stored.insert(*item.key(), item.value().id()));
            Ok(())
        }
    }

    type Behind = WriteBehind<u64, Counted, ahash::RandomState, Slow>;
    type Start = fn(Behind, Census) -> Boxed<'static, ()>;

    const CALLS: [(&str, Start); 4] = [
        ("insert_async", |behind, census| Box::pin(async move { drop(behind.insert_async(3, census.value(3)).await) })),
        ("flush_async", |behind, _| Box::pin(async move { behind.flush_async().await.expect("no sink fails") })),
        ("close_async", |behind, _| Box::pin(async move { behind.close_async().await.expect("no sink fails") })),
        ("run_async", |behind, _| Box::pin(async move { behind.run_async().await.expect("no sink fails") })),
    ];

    /// As `super::play`, over a queue that is full.
    fn play(calls: &[(&str, Start)], n: u64, m: u64) -> [bool; 2] {
        let names: Vec<_> = calls.iter().map(|call| call.0).collect();
        let who = format!("{names:?}: before poll {n}, before poll {m}");
        let (cache, census) = (plain(), Census::default());
        let behind = WriteBehind::builder(cache.clone(), Slow::default()).capacity(2).batch(1).build();
        (1..=2).for_each(|key| assert!(behind.try_insert(key, census.value(key)).is_ok()));
        let mut tasks: Vec<_> = calls.iter().map(|call| Task::new((call.1)(behind.clone(), census.clone()))).collect();
        let ended = drop_two(&mut tasks, n, m);
        // A runner has no end of its own.
        let closer = behind.clone();
        tasks.push(Task::new(Box::pin(async move { closer.close_async().await.expect("no sink fails") })));
        tasks.last_mut().into_iter().for_each(|closing| _ = closing.poll());
        assert_eq!(run_woken(&mut tasks, |_, ()| ()), tasks.len(), "somebody is forgotten: {who}");
        let stored = behind.sink().0.lock().unwrap().clone();
        assert!(stored.iter().all(|(key, id)| key == id) && stored.len() >= 2, "lost: {who}: {stored:?}");
        assert!(behind.is_empty(), "{who}");
        drop((tasks, behind, cache));
        assert_eq!(census.alive(), 0, "values left: {who}");
        ended
    }

    #[test]
    fn every_call_of_a_write_behind_dropped_at_every_poll() {
        watched(|| {
            for first in CALLS {
                // A runner comes to no end before it is closed.
                let end = |last: u64| if first.0 == "run_async" { 3 * last } else { last };
                for second in CALLS {
                    for third in CALLS {
                        for n in 0..=end(3) {
                            _ = (0..=MOST).find(|&m| play(&[first, second, third], n, m)[1]);
                        }
                    }
                    (0..=MOST).for_each(|n| _ = play(&[first, second], n, 0));
                }
                (0..=MOST).for_each(|n| _ = play(&[first], n, 0));
            }
        });
    }
}
