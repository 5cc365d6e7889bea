//! The calls of a write-behind, as acts: threads and tasks that insert, flush and close, over a queue that is too small.

use std::sync::Arc;

use brindle::AsyncSink;
use brindle::Pending;
use brindle::Sink;
use brindle::WriteBehind;

use super::acts::Act;
use super::acts::EACH;
use super::acts::each;
use super::bell::Actor;
use super::bell::Loading;
use super::bell::run_to_the_end;
use super::stage::Stage;
use super::world::Broken;
use super::world::Hashing;
use super::world::Hook;
use super::world::Key;
use super::world::Value;
use super::world::World;

/// A sink that says nothing but may panic, or fail.
pub struct Store {
    world: Arc<World>,
    fails: bool,
}

impl Store {
    fn judge(&self, batch: &[Pending<Key, Value>]) -> Result<(), Broken> {
        self.world.call(Hook::Sink);
        batch.iter().for_each(|item| assert_eq!(item.key().id(), item.value().id()));
        if self.fails { Err(self.world.error()) } else { Ok(()) }
    }
}

impl Sink<Key, Value> for Store {
    type Error = Broken;

    fn write(&self, batch: &[Pending<Key, Value>]) -> Result<(), Broken> {
        self.judge(batch)
    }
}

impl AsyncSink<Key, Value> for Store {
    type Error = Broken;

    async fn write(&self, batch: &[Pending<Key, Value>]) -> Result<(), Broken> {
        Loading::new(&self.world, 1).await;
        self.judge(batch)
    }
}

type Behind = WriteBehind<Key, Value, Hashing, Store>;

/// Room for two keys. Its end is an attempt of its own.
struct Queue<'a> {
    stage: &'a Stage,
    behind: Option<Behind>,
}

impl<'a> Queue<'a> {
    fn new(stage: &'a Stage, fails: bool) -> Self {
        let world = Arc::clone(&stage.world);
        let behind = stage.attempt(|| {
            let store = Store { world, fails };
            WriteBehind::builder(stage.cache.clone(), store).capacity(2).batch(2).retries(0).build()
        });
        Queue { stage, behind }
    }

    fn attempt(&self, part: impl FnOnce(&Behind)) {
        _ = self.behind.as_ref().and_then(|behind| self.stage.attempt(|| part(behind)));
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        let behind = self.behind.take();
        self.stage.attempt(|| drop(behind));
    }
}

fn threads(stage: &Stage, fails: bool) {
    let queue = Queue::new(stage, fails);
    each(stage, |id| {
        let Some(behind) = &queue.behind else { return };
        drop(behind.try_insert(stage.key(id), stage.value(id)));
    });
    each(stage, |id| {
        let Some(behind) = &queue.behind else { return };
        drop(behind.insert(stage.key(id), stage.value(id)));
        drop(behind.insert(stage.key(id), stage.value(id)));
    });
    queue.attempt(|behind| drop(behind.pending()));
    queue.attempt(|behind| drop(behind.flush()));
    queue.attempt(|behind| drop(behind.insert(stage.key(0), stage.value(0))));
    queue.attempt(|behind| drop(behind.close()));
    queue.attempt(|behind| drop(behind.insert(stage.key(0), stage.value(0))));
    queue.attempt(|behind| drop(behind.run()));
}

/// Writers without room, one who flushes and a runner; the first is cancelled half-way.
fn tasks(stage: &Stage, fails: bool) {
    let queue = Queue::new(stage, fails);
    let Some(behind) = &queue.behind else { return };
    let insert = |id| Actor::new(stage, async move { drop(behind.insert_async(stage.key(id), stage.value(id)).await) });
    let mut actors: Vec<_> = EACH.into_iter().map(insert).collect();
    actors.push(Actor::new(stage, async move { drop(behind.flush_async().await) }));
    actors.push(Actor::new(stage, async move { drop(behind.run_async().await) }));
    actors.iter_mut().for_each(Actor::poll);
    actors[2].end();
    let mut closing = Actor::new(stage, async move { drop(behind.close_async().await) });
    closing.poll();
    actors.push(closing);
    run_to_the_end(&mut actors);
}

pub const BEHIND: &[Act] = &[
    ("write-behind", |s| threads(s, false)),
    ("write-behind, failing", |s| threads(s, true)),
    ("write-behind by tasks", |s| tasks(s, false)),
    ("write-behind by tasks, failing", |s| tasks(s, true)),
    ("write-behind, dropped with what is pending", |s| {
        let queue = Queue::new(s, false);
        queue.attempt(|behind| drop(behind.insert(s.key(0), s.value(0))));
        queue.attempt(|behind| drop(behind.insert(s.key(4), s.value(4))));
        s.attempt(|| s.cache.clear());
    }),
];
