//! Promise 7: user code of every kind panics at its n-th call, in every call of the public face and for every n until there is no n-th call. After
//! each panic everything else in the same cache still works, nothing is in flight or over its capacity, versions have not gone back, and
//! nothing is alive that nobody has.

mod common;
mod harness;
mod injection;

use std::sync::Arc;
use std::time::Duration;

use harness::watched_for;
use injection::acts::Act;
use injection::acts::Played;
use injection::acts::READS;
use injection::acts::REMOVALS;
use injection::acts::TRANSACTIONS;
use injection::acts::WRITES;
#[cfg(feature = "write-behind")]
use injection::behind::BEHIND;
use injection::loads::LOADS;
use injection::loads::WRITE_THROUGHS;
use injection::stage::KINDS;
use injection::stage::Stage;
use injection::tasks::TASKS;
use injection::tasks::VARIANTS;
use injection::world::Hook;

/// No act calls a hook more often than this.
const MOST: u64 = 400;

/// The hooks that it calls when none panics.
fn rehearse(stage: &Stage, act: &Played) -> Vec<Hook> {
    stage.tries(format!("`{}`", act.name));
    stage.prepare();
    stage.world.count();
    (act.run)(stage);
    let called = stage.world.called();
    stage.judge();
    called
}

/// One act with a hook that panics at its `n`-th call. Gives whether there was such a call.
fn play(stage: &Stage, act: &Played, hook: Hook, n: u64) -> bool {
    stage.tries(format!("`{}`, {hook:?} panics at call {n}", act.name));
    stage.prepare();
    stage.take_panics();
    stage.world.arm(hook, n);
    (act.run)(stage);
    let fired = stage.world.disarm();
    let panics = stage.take_panics();
    let kept = may_be_kept_from_the_caller(act, hook);
    assert!(panics == u64::from(fired) || kept && panics == 0, "{panics} panics reached a caller: {}", stage.case());
    if fired && hook.is_drop() {
        stage.forgive(2);
    }
    stage.judge();
    fired
}

/// What a listener or another task's waker panics with is not the caller's, and whatever panics in a sink is an error of the sink.
fn may_be_kept_from_the_caller(act: &Played, hook: Hook) -> bool {
    matches!(hook, Hook::Listener | Hook::Wake | Hook::DropWaker) || act.name.starts_with("write-behind")
}

/// Every hook and every n, one cache of each kind after the other; gives the hooks that were called.
fn every_call(acts: &[Played]) -> Vec<Hook> {
    let mut all = Vec::new();
    for kind in KINDS {
        let stage = Stage::new(kind);
        for act in acts {
            for hook in rehearse(&stage, act) {
                let calls = (1..=MOST).take_while(|&n| play(&stage, act, hook, n)).count() as u64;
                assert!(calls < MOST, "`{}` calls {hook:?} for ever", act.name);
                all.push(hook);
            }
        }
        end(stage);
    }
    all
}

fn every_act(acts: &[Act]) -> Vec<Hook> {
    every_call(&acts.iter().map(Played::new).collect::<Vec<_>>())
}

/// All is dropped with the last handle.
fn end(stage: Stage) {
    stage.prepare();
    let (world, kind, lost) = (Arc::clone(&stage.world), stage.kind, stage.lost());
    drop(stage);
    assert_eq!(world.census.alive(), lost, "{kind:?}: alive after the cache");
}

fn watched(test: impl FnOnce() + Send + 'static) {
    // They take half a minute of one processor, which others may want too.
    watched_for(Duration::from_secs(400), test);
}

#[track_caller]
fn all_called(called: &[Hook], hooks: &[Hook]) {
    for hook in hooks {
        assert!(called.contains(hook), "{hook:?} was never called");
    }
}

#[test]
fn reads() {
    let hooks = [Hook::Hash, Hook::BuildHasher, Hook::CloneHasher, Hook::Eq, Hook::CloneValue, Hook::Read, Hook::Clock];
    watched(move || all_called(&every_act(READS), &[&hooks[..], &[Hook::NextKey, Hook::Closure]].concat()));
}

#[test]
fn writes() {
    watched(|| all_called(&every_act(WRITES), &[Hook::Weigher, Hook::Source, Hook::GroupBy, Hook::NextGroup, Hook::HashGroup]));
}

#[test]
fn removals() {
    watched(|| all_called(&every_act(REMOVALS), &[Hook::DropKey, Hook::DropValue, Hook::Listener, Hook::HashGroup]));
}

#[test]
fn transactions() {
    watched(|| all_called(&every_act(TRANSACTIONS), &[Hook::Body, Hook::CloneKey, Hook::Create, Hook::Update]));
}

#[test]
fn loads() {
    watched(|| all_called(&every_act(LOADS), &[Hook::Loader, Hook::Spawn, Hook::Reload, Hook::NextLoaded, Hook::CloneError]));
}

#[test]
fn write_throughs() {
    watched(|| all_called(&every_act(WRITE_THROUGHS), &[Hook::Through, Hook::DropLoader, Hook::DropError]));
}

#[test]
fn tasks() {
    watched(|| {
        let acts = TASKS.iter().flat_map(|act| Played::variants(act.0, act.1, VARIANTS));
        let called = every_call(&acts.collect::<Vec<_>>());
        all_called(&called, &[Hook::Wake, Hook::CloneWaker, Hook::DropWaker, Hook::DropLoader]);
    });
}

#[test]
#[cfg(feature = "write-behind")]
fn write_behind() {
    watched(|| all_called(&every_act(BEHIND), &[Hook::Sink, Hook::CloneHasher, Hook::Weigher, Hook::DropError]));
}
