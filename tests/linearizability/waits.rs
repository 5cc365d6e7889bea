//! The calls that may wait: loads, leases and writes through the cache, on threads and as tasks that are polled by hand.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;

use brindle::EntryRef;
use brindle::Leased;
use brindle::LoadError;
use brindle::Loaded;
use brindle::WriteError;

use crate::common::executor::step;
use crate::harness::Planned;
use crate::harness::planned;
use crate::harness::survives;
use crate::history::Act;
use crate::history::Brought;
use crate::history::Error;
use crate::history::Key;
use crate::history::Load;
use crate::history::Outcome;
use crate::history::Seen;
use crate::history::Written;
use crate::plans::End;
use crate::plans::Leasing;
use crate::plans::Loader;
use crate::plans::Loading;
use crate::plans::Patience;
use crate::plans::Through;
use crate::player::Player;
use crate::player::found;
use crate::recorder::Call;
use crate::threads::block_on;
use crate::threads::pause;
use crate::values::Value;

/// What a loader, or a write of the source, is on the way to.
#[derive(Clone, Copy)]
enum Run {
    NotBegun,
    /// It runs, or has ended without a value.
    Begun(Load),
    Brought(Load, Written, u64),
}

/// What came of a call: `None` if it was given up.
pub type Given<T> = Option<Result<T, Planned>>;

/// Makes a call that is a future, in one of three ways.
pub fn drive<T>(patience: Patience, future: impl Future<Output = T>, dropping: impl FnOnce()) -> Option<T> {
    let Patience::Cancelled(polls) = patience else { return Some(block_on(future)) };
    let mut future = Box::pin(future);
    for _ in 0..polls {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(value);
        }
        pause();
    }
    dropping();
    None
}

pub fn caught<T>(call: impl FnOnce() -> Option<T>) -> Given<T> {
    survives(call).map_or(Some(Err(Planned)), |value| value.map(Ok))
}

impl Player<'_> {
    pub fn load(&self, plan: &Loading) {
        let (call, run, asked) = (self.log.begin(name(plan.loader)), Cell::new(Run::NotBegun), self.log.recorder.time());
        let given = caught(|| match plan.patience {
            Patience::Thread => Some(self.load_as_thread(plan, &call, &run, asked)),
            patience => {
                let future = self.load_as_task(plan, &call, &run, asked);
                drive(patience, future, || self.log.resume(&call))
            }
        });
        let key = plan.key;
        match (run.get(), given) {
            (Run::NotBegun, Some(Ok(Ok(value)))) => {
                let began = refreshes(plan.loader).then(|| self.log.began(&call));
                self.log.act(&call, key, Act::Loaded { id: value.id, began });
            }
            (Run::NotBegun, Some(Ok(Err(LoadError::Failed(error))))) => self.log.act(&call, key, Act::LoadFailed(error)),
            (Run::NotBegun, None) => {}
            (Run::Brought(load, value, asked), Some(Ok(Ok(given)))) => {
                let instead = given.id != value.id;
                let outcome = if instead { Outcome::NotStored } else { Outcome::Untold };
                self.log.act(&call, key, Act::Land { load, value, outcome, asked });
                if instead {
                    self.log.act(&call, key, Act::Met(given.id));
                }
            }
            (Run::Begun(load), _) => self.log.act(&call, key, Act::Abandon(load)),
            (_, other) => unreachable!("{:?}", other.map(|given| given.map_err(|_| ()))),
        }
    }

    fn load_as_thread(&self, plan: &Loading, call: &Call, run: &Cell<Run>, asked: u64) -> Result<Value, LoadError<Error>> {
        let (cache, key) = (self.cache, &plan.key);
        let loader = || {
            let load = self.lead(plan, call, run, asked);
            (0..plan.pauses).for_each(|_| pause());
            plan.inside.iter().for_each(|inside| self.play(inside));
            self.bring(plan.end, plan.source, load, call, run)
        };
        let infallible = || match loader() {
            Ok(loaded) => loaded.value,
            Err(_) => planned(),
        };
        match plan.loader {
            Loader::GetWith => Ok(cache.get_with(key, infallible)),
            Loader::TryGetWith => cache.try_get_with(key, || loader().map(|loaded| loaded.value)),
            Loader::Load => cache.load(key, loader),
            Loader::Refresh => Ok(cache.refresh(key, infallible)),
            Loader::Reload => cache.reload(key, loader),
        }
    }

    async fn load_as_task(&self, plan: &Loading, call: &Call, run: &Cell<Run>, asked: u64) -> Result<Value, LoadError<Error>> {
        let (cache, key) = (self.cache, &plan.key);
        let loader = async {
            let load = self.lead(plan, call, run, asked);
            for _ in 0..plan.pauses {
                step().await;
            }
            plan.inside.iter().for_each(|inside| self.play(inside));
            self.bring(plan.end, plan.source, load, call, run)
        };
        let mut loader = pin!(loader);
        let infallible = async {
            match loader.as_mut().await {
                Ok(loaded) => loaded.value,
                Err(_) => planned(),
            }
        };
        match plan.loader {
            Loader::GetWith => Ok(cache.get_with_async(key, infallible).await),
            Loader::TryGetWith => cache.try_get_with_async(key, async { loader.await.map(|loaded| loaded.value) }).await,
            Loader::Load => cache.load_async(key, loader).await,
            Loader::Refresh => Ok(cache.refresh_async(key, infallible).await),
            Loader::Reload => cache.reload_async(key, loader).await,
        }
    }

    /// The loader begins.
    fn lead(&self, plan: &Loading, call: &Call, run: &Cell<Run>, asked: u64) -> Load {
        let load = self.log.recorder.number();
        self.log.act(call, plan.key, Act::Lead { load, refresh: refreshes(plan.loader), asked });
        run.set(Run::Begun(load));
        load
    }

    /// The loader ends.
    fn bring(&self, end: End, source: Option<u64>, load: Load, call: &Call, run: &Cell<Run>) -> Result<Loaded<Value>, Error> {
        let result = self.end(end, source);
        match &result {
            Ok(loaded) => {
                let written = Written { id: loaded.value.id, source, ttl: None };
                self.log.brings(load, Brought::Value(written.id));
                run.set(Run::Brought(load, written, self.log.recorder.time()));
            }
            Err(error) => self.log.brings(load, Brought::Error(*error)),
        }
        self.log.resume(call);
        if end == End::Panic {
            planned();
        }
        result
    }

    fn end(&self, end: End, source: Option<u64>) -> Result<Loaded<Value>, Error> {
        match end {
            End::Value => Ok(Loaded { source, ..Loaded::new(self.value()) }),
            End::Error | End::Panic => Err(self.log.recorder.number()),
        }
    }

    pub fn lease(&self, plan: &Leasing) {
        let (call, key, asked) = (self.log.begin("get_or_lease"), plan.key, self.log.recorder.time());
        let patience = if plan.waits { None } else { Some(Duration::ZERO) };
        let lease = match self.cache.get_or_lease(&key, patience) {
            Leased::Value(value) => return self.log.act(&call, key, Act::Loaded { id: value.id, began: None }),
            Leased::Lease(lease) => lease,
            Leased::TimedOut if !plan.waits => return,
            other => unreachable!("{other:?}"),
        };
        let load = self.log.recorder.number();
        self.log.act(&call, key, Act::Lead { load, refresh: false, asked });
        pause();
        plan.inside.iter().for_each(|inside| self.play(inside));
        let asked = self.log.recorder.time();
        let (filled, result) = (self.log.begin("lease ends"), self.end(plan.end, plan.source));
        match (plan.end, result) {
            (_, Ok(loaded)) => {
                let value = Written { id: loaded.value.id, source: plan.source, ttl: None };
                self.log.brings(load, Brought::Value(value.id));
                let outcome = match lease.fill_loaded(loaded) {
                    Ok(version) => {
                        self.saw(key, value.id, version);
                        Outcome::Stored
                    }
                    Err(_) => Outcome::NotStored,
                };
                self.log.act(&filled, key, Act::Land { load, value, outcome, asked });
            }
            (End::Error, Err(error)) => {
                self.log.brings(load, Brought::Error(error));
                lease.fail(error);
                self.log.act(&filled, key, Act::Abandon(load));
            }
            (_, Err(_)) => {
                drop(lease);
                self.log.act(&filled, key, Act::Abandon(load));
            }
        }
    }

    pub fn write_through(&self, plan: &Through) {
        let (call, run, key) = (self.log.begin("write_through"), Cell::new(Run::NotBegun), plan.key);
        let given = caught(|| match plan.patience {
            Patience::Thread => Some(self.cache.write_through(key, |current| {
                self.begin_write(key, &call, &run, current.as_ref());
                (0..plan.pauses).for_each(|_| pause());
                plan.inside.iter().for_each(|inside| self.play(inside));
                self.write_source(plan, &call, &run)
            })),
            patience => {
                let (call, run) = (&call, &run);
                let future = self.cache.write_through_async(key, |current| async move {
                    self.begin_write(key, call, run, current.as_ref());
                    drop(current);
                    for _ in 0..plan.pauses {
                        step().await;
                    }
                    plan.inside.iter().for_each(|inside| self.play(inside));
                    self.write_source(plan, call, run)
                });
                drive(patience, future, || self.log.resume(call))
            }
        });
        let value = match (run.get(), given) {
            (Run::NotBegun, None) => return,
            (Run::Brought(_, value, _), Some(Ok(Ok(Some(version))))) => {
                self.saw(key, value.id, version);
                return self.log.act(&call, key, Act::EndWrite { value: Some(value), outcome: Outcome::Stored });
            }
            (Run::Brought(_, value, _), Some(Ok(Ok(None)))) => Some(value),
            (Run::Begun(_), None | Some(Err(Planned) | Ok(Err(WriteError::Failed(_))))) => None,
            (_, other) => unreachable!("{:?}", other.map(|given| given.map_err(|_| ()))),
        };
        self.log.act(&call, key, Act::EndWrite { value, outcome: Outcome::NotStored });
    }

    fn begin_write(&self, key: Key, call: &Call, run: &Cell<Run>, current: Option<&EntryRef<Key, Value>>) {
        current.into_iter().for_each(|entry| self.saw(key, entry.id, entry.version()));
        let found: Seen = found(current);
        self.log.act(call, key, Act::BeginWrite { found });
        run.set(Run::Begun(0));
    }

    fn write_source(&self, plan: &Through, call: &Call, run: &Cell<Run>) -> Result<Loaded<Value>, Error> {
        let result = self.end(plan.end, plan.source);
        self.log.resume(call);
        match &result {
            Ok(loaded) => run.set(Run::Brought(0, Written { id: loaded.value.id, source: plan.source, ttl: None }, 0)),
            Err(_) if plan.end == End::Panic => planned(),
            Err(_) => {}
        }
        result
    }
}

fn refreshes(loader: Loader) -> bool {
    matches!(loader, Loader::Refresh | Loader::Reload)
}

fn name(loader: Loader) -> &'static str {
    match loader {
        Loader::GetWith => "get_with",
        Loader::TryGetWith => "try_get_with",
        Loader::Load => "load",
        Loader::Refresh => "refresh",
        Loader::Reload => "reload",
    }
}
