//! The tasks: calls of the face for futures, polled by hand.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use brindle::{Leased, Loaded};

use super::value::Value;
use super::world::{Broken, PerKey, Reached, World, fire, planned, survives};
use super::{Hook, Kind};
use crate::executor::Task;

/// Keys and the states that a call has given for them.
type Given = Vec<(usize, u64)>;
type Call = Pin<Box<dyn Future<Output = Given>>>;

pub struct Running {
    pub kind: Kind,
    key: usize,
    task: Task<Call>,
    begun: bool,
    /// Nothing less may be given to it.
    floor: PerKey,
}

impl Running {
    /// A call that cannot fail panics where it would wait for itself, so it is not polled by what may be part of its own load. And nobody
    /// has ordered a write that begins within another one of its key.
    fn may_move_within(&self, world: &World) -> bool {
        match self.kind {
            Kind::GetWith | Kind::Refresh => false,
            Kind::Through => world.busy(self.key).get() == 0,
            _ => true,
        }
    }
}

impl World {
    pub fn start(&self, kind: Kind, key: usize, other: usize) {
        // What says nothing of its source would pass for newer than all.
        let silent = matches!(kind, Kind::GetWith | Kind::TryGetWith | Kind::Refresh);
        if self.setup.sourced && silent {
            return;
        }
        let task = Task::new(call(kind, key, other));
        let running = Running { kind, key, task, begun: false, floor: self.floors() };
        let at = {
            let mut tasks = self.tasks.borrow_mut();
            tasks.push(Some(running));
            tasks.len() - 1
        };
        self.poll(at);
    }

    fn any(&self, at: u8) -> Option<usize> {
        let some = self.tasks.borrow().len();
        (some > 0).then(|| usize::from(at) % some)
    }

    pub fn poll_any(&self, at: u8) {
        self.any(at).into_iter().for_each(|at| self.poll(at));
    }

    pub fn poll_woken(&self) {
        self.poll_woken_once();
    }

    /// The first task that was woken, or has yet to begin, moves; tells whether there was one.
    pub fn poll_woken_once(&self) -> bool {
        let woken = |running: &Option<Running>| running.as_ref().is_some_and(|running| !running.begun || running.task.is_woken());
        let at = self.tasks.borrow().iter().position(woken);
        at.into_iter().for_each(|at| self.poll(at));
        at.is_some()
    }

    fn poll(&self, at: usize) {
        // While it is polled it is nobody else's.
        let Some(mut running) = self.tasks.borrow_mut()[at].take() else { return };
        if self.is_within() && !running.may_move_within(self) {
            self.tasks.borrow_mut()[at] = Some(running);
            return;
        }
        running.begun = true;
        match self.calls(|| survives(|| running.task.poll())) {
            Some(Poll::Pending) => self.tasks.borrow_mut()[at] = Some(running),
            Some(Poll::Ready(given)) => {
                for (key, state) in given {
                    let floor = running.floor[key];
                    assert!(state >= floor, "{:?} gave {state} of key {key}, and began after {floor}", running.kind);
                }
            }
            // It lets go of its load when it is dropped.
            None => _ = survives(|| drop(running)),
        }
    }

    pub fn cancel(&self, at: u8) {
        let cancelled = self.any(at).and_then(|at| self.tasks.borrow_mut()[at].take());
        survives(|| drop(cancelled));
    }
}

/// A call that begins at its first poll.
fn call(kind: Kind, key: usize, other: usize) -> Call {
    let name = key as u8;
    let cache = World::current().cache.clone();
    let given = move |value: Option<Value>| value.map(|value| (key, value.state)).into_iter().collect();
    match kind {
        Kind::GetWith => Box::pin(async move { given(Some(cache.get_with_async(&name, brought(key)).await)) }),
        Kind::Refresh => Box::pin(async move { given(Some(cache.refresh_async(&name, brought(key)).await)) }),
        Kind::TryGetWith => Box::pin(async move {
            let load = async { load(key).await.map(|loaded| loaded.value) };
            given(cache.try_get_with_async(&name, load).await.ok())
        }),
        Kind::Load => Box::pin(async move { given(cache.load_async(&name, load(key)).await.ok()) }),
        Kind::Reload => Box::pin(async move { given(cache.reload_async(&name, load(key)).await.ok()) }),
        Kind::Lease => Box::pin(async move {
            match cache.get_or_lease_async(&name).await {
                Leased::Value(value) => given(Some(value)),
                Leased::Lease(lease) => match load(key).await {
                    Ok(loaded) => {
                        let state = loaded.value.state;
                        _ = lease.fill_loaded(loaded);
                        vec![(key, state)]
                    }
                    Err(broken) => {
                        lease.fail(broken);
                        vec![]
                    }
                },
                _ => vec![],
            }
        }),
        Kind::Many => Box::pin(async move {
            let keys = [key as u8, other as u8, key as u8];
            let values = cache.try_get_many_with_async(&keys, load_many).await.into_iter().flatten();
            keys.into_iter().zip(values).filter_map(|(key, value)| Some((usize::from(key), value?.state))).collect()
        }),
        Kind::Through => Box::pin(async move {
            // Outlives the call, which has left the key as it should be by then.
            let reached = Reached::begins(key);
            let write = |_| {
                let value = reached.reach();
                let state = value.state;
                fire(Hook::Loader);
                async move {
                    World::current().end().await?;
                    let sourced = World::current().setup.sourced;
                    Ok::<_, Broken>(if sourced { Loaded::new(value).at(state) } else { Loaded::new(value) })
                }
            };
            _ = cache.write_through_async(name, write).await;
            vec![]
        }),
    }
}

async fn load(key: usize) -> Result<Loaded<Value>, Broken> {
    let world = World::current();
    let _underway = world.begins([key].into_iter());
    let state = world.truth[key].get();
    fire(Hook::Loader);
    world.end().await?;
    Ok(world.loaded(state))
}

/// For calls that cannot fail.
async fn brought(key: usize) -> Value {
    load(key).await.map_or_else(|Broken| planned(), |loaded| loaded.value)
}

/// Leaves out the last one now and then.
async fn load_many(keys: Vec<u8>) -> Result<Vec<(u8, Loaded<Value>)>, Broken> {
    let world = World::current();
    let _underway = world.begins(keys.iter().map(|key| usize::from(*key)));
    let states: Vec<u64> = keys.iter().map(|key| world.truth[usize::from(*key)].get()).collect();
    fire(Hook::Loader);
    world.end().await?;
    let all = keys.len();
    let left_out = usize::from(states.iter().sum::<u64>() % 4 == 3);
    Ok(keys.into_iter().zip(states).take(all - left_out).map(|(key, state)| (key, world.loaded(state))).collect())
}
