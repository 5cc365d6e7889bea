//! Promise 7: what is open when the last handle of the cache goes, of each kind and of each two, comes to its end as it would have before, or is dropped;
//! and then nothing is left.

mod common;
mod harness;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::Sender;
use std::sync::mpsc::channel;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use brindle::BackgroundLoad;
use brindle::Cache;
use brindle::Clock;
use brindle::EntryRef;
use brindle::Iter;
use brindle::Lease;
use brindle::Leased;
use brindle::Loaded;

use common::Census;
use common::Counted;
use common::executor::Boxed;
use common::executor::Task;
use common::executor::step;
use harness::watched;

type Values = Cache<u64, Counted>;
type Tasks = Arc<Mutex<Vec<BackgroundLoad>>>;

/// Resident; resident and stale; absent; absent, and loaded by others.
const KEY: u64 = 1;
const STALE: u64 = 2;
const ABSENT: u64 = 3;
const LED: u64 = 4;

struct Scene {
    cache: Values,
    census: Census,
    tasks: Tasks,
}

fn build() -> Scene {
    let (clock, hand) = Clock::mock();
    let (census, tasks) = (Census::default(), Tasks::default());
    let (queue, values) = (Arc::clone(&tasks), census.clone());
    let builder = Cache::builder().max_capacity(100).stripes(1).clock(clock).serve_stale(Duration::from_secs(100));
    let builder = builder.removal_listener(drop).spawner(
        move |task| queue.lock().unwrap().push(task),
        move |&key| {
            let values = values.clone();
            async move {
                step().await;
                Ok::<_, ()>(Loaded::new(values.value(key)))
            }
        },
    );
    let cache = builder.build().expect("valid choices");
    cache.insert(KEY, census.value(KEY));
    cache.insert_with_ttl(STALE, census.value(STALE), Duration::from_secs(1));
    hand.advance(Duration::from_secs(2));
    Scene { cache, census, tasks }
}

/// Something that is open.
trait Open {
    /// Brings it to its end, which must be as documented.
    fn finish(self: Box<Self>);
}

impl Open for EntryRef<u64, Counted> {
    fn finish(self: Box<Self>) {
        assert_eq!((*self.key(), self.id()), (KEY, KEY));
    }
}

impl Open for Iter<u64, Counted> {
    fn finish(self: Box<Self>) {
        assert!(self.map(|entry| assert_eq!(*entry.key(), entry.id())).count() <= 100);
    }
}

impl Open for (Lease<u64, Counted>, Census) {
    fn finish(self: Box<Self>) {
        let (lease, census) = *self;
        let key = *lease.key();
        // Another may have been given the key's lease, or written it, meanwhile.
        drop(lease.fill(census.value(key)));
    }
}

/// A call of a task, polled once.
impl Open for Task<Boxed<'static, ()>> {
    fn finish(mut self: Box<Self>) {
        for _ in 0..20 {
            if self.is_over() || self.poll().is_ready() {
                return;
            }
        }
    }
}

/// A call of a thread in its loader, and the word that lets it go on.
struct Running(Option<JoinHandle<u64>>, Option<Sender<()>>);

impl Open for Running {
    fn finish(mut self: Box<Self>) {
        drop(self.1.take());
        assert_eq!(self.0.take().map(|thread| thread.join().expect("it ends well")), Some(ABSENT));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A thread cannot be dropped: it ends.
        drop(self.1.take());
        self.0.take().map(JoinHandle::join);
    }
}

fn task(call: impl Future<Output = ()> + Send + 'static) -> Box<dyn Open> {
    let mut task: Task<Boxed<'static, ()>> = Task::new(Box::pin(call));
    _ = task.poll();
    Box::new(task)
}

fn lease(scene: &Scene, key: u64) -> Option<Lease<u64, Counted>> {
    match scene.cache.get_or_lease(&key, Some(Duration::ZERO)) {
        Leased::Lease(lease) => Some(lease),
        _ => None,
    }
}

type Kind = (&'static str, fn(&Scene) -> Option<Box<dyn Open>>);

/// Each kind of thing that may be open. `None` where another one stands in its way.
const KINDS: [Kind; 9] = [
    ("guard", |s| s.cache.get_ref(&KEY).map(|guard| Box::new(guard) as Box<dyn Open>)),
    ("guard of what was removed", |s| {
        let guard = s.cache.get_ref(&KEY);
        s.cache.remove(&KEY);
        s.cache.insert(KEY, s.census.value(KEY));
        guard.map(|guard| Box::new(guard) as Box<dyn Open>)
    }),
    ("walk", |s| {
        let mut walk = s.cache.iter();
        walk.next();
        Some(Box::new(walk))
    }),
    ("lease", |s| lease(s, ABSENT).map(|lease| Box::new((lease, s.census.clone())) as Box<dyn Open>)),
    ("loader in a task", |s| {
        let (cache, census) = (s.cache.clone(), s.census.clone());
        Some(task(async move {
            let load = async {
                step().await;
                census.value(LED)
            };
            assert_eq!(cache.get_with_async(&LED, load).await.id(), LED);
        }))
    }),
    ("waiter", |s| {
        let (cache, census) = (s.cache.clone(), s.census.clone());
        let waiter = task(async move { assert_eq!(cache.get_with_async(&LED, async { census.value(LED) }).await.id(), LED) });
        Some(waiter)
    }),
    ("write through the cache, or a place in line", |s| {
        let (cache, census) = (s.cache.clone(), s.census.clone());
        Some(task(async move {
            let write = |_| async {
                step().await;
                Ok::<_, ()>(Loaded::new(census.value(KEY)))
            };
            assert!(cache.write_through_async(KEY, write).await.is_ok());
        }))
    }),
    ("background load", |s| {
        drop(s.cache.get_with(&STALE, || s.census.value(STALE)));
        s.tasks.lock().unwrap().pop().map(task)
    }),
    ("loader in a thread", |s| {
        // A lease that is held would keep it waiting.
        drop(lease(s, ABSENT)?);
        let (cache, census) = (s.cache.clone(), s.census.clone());
        let (here, begun) = channel();
        let (go, wait) = channel::<()>();
        let thread = thread::spawn(move || {
            let load = || {
                here.send(()).unwrap();
                _ = wait.recv();
                census.value(ABSENT)
            };
            cache.get_with(&ABSENT, load).id()
        });
        begun.recv().expect("it loads");
        Some(Box::new(Running(Some(thread), Some(go))))
    }),
];

/// Opens them, drops the last handle, and ends them in their order, each by its end or its drop.
fn play(kinds: &[Kind], finished: &[bool]) {
    let names: Vec<_> = kinds.iter().map(|kind| kind.0).collect();
    println!("{names:?}, to their ends: {finished:?}");
    let scene = build();
    let open: Vec<_> = kinds.iter().map(|kind| kind.1(&scene)).collect();
    let Scene { cache, census, tasks } = scene;
    drop(cache);
    for (open, finish) in open.into_iter().zip(finished) {
        match open {
            Some(open) if *finish => open.finish(),
            other => drop(other),
        }
    }
    tasks.lock().unwrap().clear();
    assert_eq!(census.alive(), 0, "values left: {names:?}, to their ends: {finished:?}");
}

#[test]
fn each_thing_that_is_open_and_each_two_outlive_the_last_handle() {
    watched(|| {
        for first in KINDS {
            play(&[first], &[false]);
            play(&[first], &[true]);
            for second in KINDS {
                for finished in [[false, false], [false, true], [true, false], [true, true]] {
                    play(&[first, second], &finished);
                }
            }
        }
    });
}

#[test]
fn all_of_them_at_once() {
    watched(|| {
        for turn in 0..KINDS.len() {
            let mut kinds = KINDS;
            kinds.rotate_left(turn);
            for pattern in 0..1_usize << 4 {
                let finished: Vec<_> = (0..KINDS.len()).map(|number| pattern >> (number % 4) & 1 == 1).collect();
                play(&kinds, &finished);
            }
        }
    });
}

#[cfg(feature = "write-behind")]
mod behind {
    use std::convert::Infallible;

    use brindle::Pending;
    use brindle::WriteBehind;

    use super::*;

    #[test]
    fn a_write_behind_with_what_is_pending_outlives_the_last_handle() {
        watched(|| {
            for flushed in [false, true] {
                for kept in [false, true] {
                    let Scene { cache, census, tasks } = build();
                    let sink = |batch: &[Pending<u64, Counted>]| {
                        batch.iter().for_each(|item| assert_eq!(*item.key(), item.value().id()));
                        Ok::<_, Infallible>(())
                    };
                    let behind = WriteBehind::builder(cache.clone(), sink).capacity(8).build();
                    (10..15).for_each(|key| assert!(behind.insert(key, census.value(key)).is_ok()));
                    cache.insert(11, census.value(11));
                    cache.invalidate(&12);
                    drop(cache);
                    let pending = if kept { behind.pending() } else { Vec::new() };
                    if flushed {
                        behind.flush().expect("no sink fails");
                    }
                    drop(behind);
                    assert!(pending.iter().all(|item| *item.key() == item.value().id()));
                    drop((pending, tasks));
                    assert_eq!(census.alive(), 0, "flushed: {flushed}, items kept: {kept}");
                }
            }
        });
    }
}
