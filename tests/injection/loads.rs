//! The calls of threads that load, or write through the cache, as acts.

use std::sync::Arc;

use brindle::Leased;
use brindle::LoadError;
use brindle::Loaded;
use brindle::WriteError;

use super::acts::Act;
use super::acts::each;
use super::acts::keys;
use super::acts::walked;
use super::stage::Stage;
use super::world::Broken;
use super::world::HOUR;
use super::world::Hook;
use super::world::Key;
use super::world::Value;
use super::world::World;

/// What a loader of a thread brings: it holds something while it runs.
fn loader(stage: &Stage, id: u64) -> impl FnOnce() -> Value + use<'_> {
    let captive = stage.world.captive();
    move || {
        stage.world.call(Hook::Loader);
        let value = stage.value(id);
        drop(captive);
        value
    }
}

fn failing(stage: &Stage) -> impl FnOnce() -> Result<Value, Broken> + use<'_> {
    || {
        stage.world.call(Hook::Loader);
        Err(stage.world.error())
    }
}

/// What a loader of many keys brings: an iterator that may panic on the way, and leaves one key out.
pub fn brought(world: &Arc<World>, keys: Vec<Key>) -> impl Iterator<Item = (Key, Value)> + use<> {
    let world = Arc::clone(world);
    let last = keys.len().saturating_sub(1);
    keys.into_iter().take(last.max(1)).map(move |key| {
        world.call(Hook::NextLoaded);
        let value = world.value(key.id());
        (key, value)
    })
}

/// Whoever got a value got one of its key.
pub fn expect(id: u64, value: &Value) {
    assert_eq!(value.id(), id, "a value of another key");
}

pub fn expect_any(id: u64, answer: &Result<Value, LoadError<Broken>>) {
    match answer {
        Ok(value) => expect(id, value),
        Err(error) => assert!(matches!(error, LoadError::Failed(_)), "an error of nobody's"),
    }
}

pub const LOADS: &[Act] = &[
    ("get_with", |s| each(s, |id| expect(id, &s.cache.get_with(&s.key(id), loader(s, id))))),
    ("try_get_with", |s| each(s, |id| expect_any(id, &s.cache.try_get_with(&s.key(id), || Ok(loader(s, id)()))))),
    ("try_get_with, failed", |s| {
        each(s, |id| {
            expect_any(id, &s.cache.try_get_with(&s.key(id), failing(s)));
            // It may be remembered.
            expect_any(id, &s.cache.try_get_with(&s.key(id), failing(s)));
        });
    }),
    ("try_get_with_local", |s| {
        each(s, |id| {
            let answer: Result<Value, LoadError<&Stage>> = s.cache.try_get_with_local(&s.key(id), || Ok(loader(s, id)()));
            drop(answer);
            s.cache.invalidate(&s.key(id));
            drop(s.cache.try_get_with_local(&s.key(id), || failing(s)()));
        });
    }),
    ("load", |s| {
        each(s, |id| {
            let load = || Ok(Loaded::new(loader(s, id)()).at(s.world.source()).with_ttl(HOUR));
            expect_any(id, &s.cache.load(&s.key(id), load));
        });
    }),
    ("refresh", |s| each(s, |id| expect(id, &s.cache.refresh(&s.key(id), loader(s, id))))),
    ("try_refresh, failed", |s| each(s, |id| expect_any(id, &s.cache.try_refresh(&s.key(id), failing(s))))),
    ("reload", |s| {
        each(s, |id| expect_any(id, &s.cache.reload(&s.key(id), || Ok(Loaded::new(loader(s, id)()).at(1)))));
    }),
    ("a load that is overtaken", |s| {
        each(s, |id| {
            let load = || {
                s.cache.invalidate(&s.key(id));
                s.cache.insert(s.key(id), s.value(id));
                loader(s, id)()
            };
            expect(id, &s.cache.refresh(&s.key(id), load));
        });
    }),
    ("get_or_lease", |s| {
        each(s, |id| match s.cache.get_or_lease(&s.key(id), None) {
            Leased::Value(value) => expect(id, &value),
            Leased::Lease(lease) => match id % 3 {
                0 => drop(lease.fill(s.value(id))),
                1 => lease.fail(s.world.error()),
                _ => assert!(lease.is_current()),
            },
            _ => panic!("neither value nor lease"),
        });
    }),
    ("a lease that is overtaken", |s| {
        each(s, |id| {
            s.cache.invalidate(&s.key(id));
            let Leased::Lease(lease) = s.cache.get_or_lease(&s.key(id), None) else { return };
            s.cache.insert(s.key(id), s.value(id));
            drop(lease.fill_loaded(Loaded::new(s.value(id))));
        });
    }),
    ("try_get_many_with", |s| {
        _ = s.attempt(|| {
            let load = |keys| {
                s.world.call(Hook::Loader);
                Ok::<_, Broken>(brought(&s.world, keys))
            };
            drop(s.cache.try_get_many_with(walked(s, &keys(s)), load));
        });
    }),
    ("try_get_many_with, failed", |s| {
        _ = s.attempt(|| {
            let load = |_| {
                s.world.call(Hook::Loader);
                Err::<Vec<(Key, Value)>, _>(s.world.error())
            };
            drop(s.cache.try_get_many_with(walked(s, &keys(s)), load));
        });
    }),
    ("background loads", |s| {
        each(s, |id| expect(id, &s.cache.get_with(&s.key(id), loader(s, id))));
        let tasks = std::mem::take(&mut *s.tasks());
        let mut actors: Vec<_> = tasks.into_iter().map(|task| super::bell::Actor::new(s, task)).collect();
        super::bell::run_to_the_end(&mut actors);
    }),
    ("background loads, lost", |s| {
        each(s, |id| expect(id, &s.cache.get_with(&s.key(id), loader(s, id))));
        let tasks = std::mem::take(&mut *s.tasks());
        tasks.into_iter().for_each(|task| _ = s.attempt(|| drop(task)));
    }),
];

pub const WRITE_THROUGHS: &[Act] = &[
    ("write_through", |s| {
        each(s, |id| {
            let written = s.cache.write_through(s.key(id), |before| {
                s.world.call(Hook::Through);
                before.iter().for_each(|before| expect(id, before));
                Ok::<_, Broken>(Loaded::new(loader(s, id)()).with_ttl(HOUR))
            });
            drop(written);
        });
    }),
    ("write_through, failed", |s| {
        each(s, |id| {
            let failed = s.cache.write_through(s.key(id), |_| {
                s.world.call(Hook::Through);
                Err(s.world.error())
            });
            assert!(matches!(failed, Err(WriteError::Failed(_))));
        });
    }),
    ("write_through, overtaken", |s| {
        each(s, |id| {
            let written = s.cache.write_through(s.key(id), |before| {
                s.world.call(Hook::Through);
                s.cache.insert(s.key(id), s.value(id));
                drop(before);
                Ok::<_, Broken>(Loaded::new(s.value(id)))
            });
            drop(written);
        });
    }),
];
