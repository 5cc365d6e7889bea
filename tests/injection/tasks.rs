//! The calls of tasks, as acts: each has a leader and one or two who wait for it, and the leader ends in every way.

use brindle::Leased;
use brindle::Loaded;

use crate::common::executor::Boxed;

use super::acts::keys;
use super::acts::walked;
use super::bell::Actor;
use super::bell::Loading;
use super::bell::run_to_the_end;
use super::loads::brought;
use super::loads::expect;
use super::loads::expect_any;
use super::stage::ABSENT;
use super::stage::Stage;
use super::world::Broken;
use super::world::Hook;
use super::world::Value;

type Call = for<'a> fn(&'a Stage, u64, Ending) -> Boxed<'a, ()>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Value,
    Error,
    /// The leader is dropped.
    Cancelled,
    /// Others write the key meanwhile.
    Overtaken,
}

const ENDINGS: [Ending; 4] = [Ending::Value, Ending::Error, Ending::Cancelled, Ending::Overtaken];

async fn load(stage: &Stage, id: u64) -> Value {
    Loading::new(&stage.world, 2).await;
    stage.value(id)
}

async fn try_load(stage: &Stage, id: u64, ending: Ending) -> Result<Value, Broken> {
    let value = load(stage, id).await;
    if ending == Ending::Error { Err(stage.world.error()) } else { Ok(value) }
}

/// All calls of one key.
const CALLS: [Call; 8] = [
    |s, id, _| Box::pin(async move { expect(id, &s.cache.get_with_async(&s.key(id), load(s, id)).await) }),
    |s, id, e| Box::pin(async move { expect_any(id, &s.cache.try_get_with_async(&s.key(id), try_load(s, id, e)).await) }),
    |s, id, e| {
        Box::pin(async move {
            let load = async { try_load(s, id, e).await.map(Loaded::new) };
            expect_any(id, &s.cache.load_async(&s.key(id), load).await);
        })
    },
    |s, id, _| Box::pin(async move { expect(id, &s.cache.refresh_async(&s.key(id), load(s, id)).await) }),
    |s, id, e| Box::pin(async move { expect_any(id, &s.cache.try_refresh_async(&s.key(id), try_load(s, id, e)).await) }),
    |s, id, e| {
        Box::pin(async move {
            let load = async { try_load(s, id, e).await.map(Loaded::new) };
            expect_any(id, &s.cache.reload_async(&s.key(id), load).await);
        })
    },
    |s, id, e| {
        Box::pin(async move {
            match s.cache.get_or_lease_async(&s.key(id)).await {
                Leased::Value(value) => expect(id, &value),
                Leased::Lease(lease) => match try_load(s, id, e).await {
                    Ok(value) => drop(lease.fill(value)),
                    Err(error) => lease.fail(error),
                },
                _ => panic!("neither value nor lease"),
            }
        })
    },
    |s, id, e| {
        Box::pin(async move {
            let keys = [s.key(id)];
            let load = |keys| async {
                try_load(s, id, e).await?;
                Ok::<_, Broken>(brought(&s.world, keys))
            };
            drop(s.cache.try_get_many_with_async(walked(s, &keys), load).await);
        })
    },
];

/// The call leads, and one or two that come next in the table wait for it.
fn crowd(stage: &Stage, variant: usize, number: usize) {
    let (ending, waiters) = (ENDINGS[variant / 2], 1 + variant % 2);
    let call = |later: usize, ending| Actor::new(stage, CALLS[(number + later) % CALLS.len()](stage, ABSENT, ending));
    let mut actors = vec![call(0, ending)];
    actors.extend((1..=waiters).map(|later| call(later, Ending::Value)));
    actors.iter_mut().for_each(Actor::poll);
    meanwhile(stage, ending, &mut actors[0]);
    run_to_the_end(&mut actors);
}

fn meanwhile(stage: &Stage, ending: Ending, leader: &mut Actor<'_>) {
    match ending {
        Ending::Cancelled => leader.end(),
        Ending::Overtaken => _ = stage.attempt(|| stage.cache.insert(stage.key(ABSENT), stage.value(ABSENT))),
        Ending::Value | Ending::Error => {}
    }
}

async fn write(stage: &Stage, ending: Ending) {
    let write = |before| {
        stage.world.call(Hook::Through);
        drop::<Option<_>>(before);
        async move { try_load(stage, ABSENT, ending).await.map(Loaded::new) }
    };
    drop(stage.cache.write_through_async(stage.key(ABSENT), write).await);
}

/// One writes through the cache, one or two stand in line, and one wants to load.
fn line(stage: &Stage, variant: usize) {
    let (ending, waiters) = (ENDINGS[variant / 2], 1 + variant % 2);
    let writer = |ending| Actor::new(stage, write(stage, ending));
    let mut actors = vec![writer(ending)];
    actors.extend((0..waiters).map(|_| writer(Ending::Value)));
    actors.push(Actor::new(stage, CALLS[0](stage, ABSENT, Ending::Value)));
    actors.iter_mut().for_each(Actor::poll);
    meanwhile(stage, ending, &mut actors[0]);
    run_to_the_end(&mut actors);
}

async fn call_many(stage: &Stage, ending: Ending) {
    let keys = keys(stage);
    let load = |keys| async move {
        stage.world.call(Hook::Loader);
        try_load(stage, ABSENT, ending).await?;
        Ok::<_, Broken>(brought(&stage.world, keys))
    };
    drop(stage.cache.try_get_many_with_async(walked(stage, &keys), load).await);
}

/// Two calls for many keys that overlap, or one, and one for a key of both.
fn many(stage: &Stage, variant: usize) {
    let (ending, calls) = (ENDINGS[variant / 2], 1 + variant % 2);
    let call = |number| Actor::new(stage, call_many(stage, if number == 0 { ending } else { Ending::Value }));
    let mut actors: Vec<_> = (0..calls).map(call).collect();
    actors.push(Actor::new(stage, CALLS[0](stage, ABSENT, Ending::Value)));
    actors.iter_mut().for_each(Actor::poll);
    meanwhile(stage, ending, &mut actors[0]);
    run_to_the_end(&mut actors);
}

/// How the leader ends, and how many wait.
pub const VARIANTS: usize = 2 * ENDINGS.len();

pub type Variants = (&'static str, fn(&Stage, usize));

pub const TASKS: &[Variants] = &[
    ("get_with_async", |s, variant| crowd(s, variant, 0)),
    ("try_get_with_async", |s, variant| crowd(s, variant, 1)),
    ("load_async", |s, variant| crowd(s, variant, 2)),
    ("refresh_async", |s, variant| crowd(s, variant, 3)),
    ("try_refresh_async", |s, variant| crowd(s, variant, 4)),
    ("reload_async", |s, variant| crowd(s, variant, 5)),
    ("get_or_lease_async", |s, variant| crowd(s, variant, 6)),
    ("try_get_many_with_async of one key", |s, variant| crowd(s, variant, 7)),
    ("try_get_many_with_async", many),
    ("write_through_async", line),
];
