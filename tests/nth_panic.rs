//! Promise 7: user code of every kind panics at its n-th call, in every call of the public face and for every n until there is no n-th call. After
//! each panic everything else in the same cache still works, nothing is in flight or over its capacity, versions have not gone back, and
//! nothing is alive that nobody has.

mod common;
mod harness;
mod injection;

use std::collections::BTreeSet;
use std::sync::Arc;

use harness::watched;
use injection::acts::Act;
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
use injection::world::HOOKS;
use injection::world::Hook;

/// No act calls a hook more often than this.
const MOST: u64 = 400;

/// One act with a hook that panics at its `n`-th call. Gives whether there was such a call.
fn play(stage: &Stage, act: &Act, hook: Hook, n: u64) -> bool {
    stage.tries(format!("`{}`, {hook:?} panics at call {n}", act.0));
    stage.prepare();
    stage.take_panics();
    stage.world.arm(hook, n);
    (act.1)(stage);
    let fired = stage.world.disarm();
    let panics = stage.take_panics();
    assert!(panics == u64::from(fired) || may_be_kept_from_the_caller(act, hook), "panics that reached a caller: {}", stage.case());
    if fired && hook.is_drop() {
        stage.forgive(2);
    }
    stage.judge();
    fired
}

/// What a listener or another task's waker panics with is not the caller's, and whatever panics in a sink is an error of the sink.
fn may_be_kept_from_the_caller(act: &Act, hook: Hook) -> bool {
    matches!(hook, Hook::Listener | Hook::Wake | Hook::DropWaker) || act.0.starts_with("write-behind")
}

/// Every hook and every n, in one cache of each kind; gives the hooks that were called.
fn every_call(acts: &[Act]) -> BTreeSet<String> {
    let mut called = BTreeSet::new();
    for kind in KINDS {
        for hook in HOOKS {
            let stage = Stage::new(kind);
            for act in acts {
                let calls = (1..=MOST).take_while(|&n| play(&stage, act, hook, n)).count();
                assert!((calls as u64) < MOST, "`{}` calls {hook:?} for ever", act.0);
                if calls > 0 {
                    called.insert(format!("{hook:?}"));
                }
            }
            end(stage, hook);
        }
    }
    called
}

/// All is dropped with the last handle.
fn end(stage: Stage, hook: Hook) {
    stage.prepare();
    let (world, kind, lost) = (Arc::clone(&stage.world), stage.kind, stage.lost());
    drop(stage);
    assert_eq!(world.census.alive(), lost, "{kind:?}, {hook:?}: alive after the cache");
}

#[track_caller]
fn all_called(called: &BTreeSet<String>, hooks: &[Hook]) {
    for hook in hooks {
        assert!(called.contains(&format!("{hook:?}")), "{hook:?} was never called: {called:?}");
    }
}

#[test]
fn reads() {
    watched(|| all_called(&every_call(READS), &[Hook::Hash, Hook::Eq, Hook::CloneValue, Hook::Read, Hook::NextKey, Hook::Closure]));
}

#[test]
fn writes() {
    watched(|| all_called(&every_call(WRITES), &[Hook::Weigher, Hook::Source, Hook::GroupBy, Hook::NextGroup, Hook::HashGroup]));
}

#[test]
fn removals() {
    watched(|| all_called(&every_call(REMOVALS), &[Hook::DropKey, Hook::DropValue, Hook::Listener, Hook::HashGroup]));
}

#[test]
fn transactions() {
    watched(|| all_called(&every_call(TRANSACTIONS), &[Hook::Body, Hook::CloneKey, Hook::Create, Hook::Update]));
}

#[test]
fn loads() {
    watched(|| all_called(&every_call(LOADS), &[Hook::Loader, Hook::Spawn, Hook::Reload, Hook::NextLoaded, Hook::CloneError]));
}

#[test]
fn write_throughs() {
    watched(|| all_called(&every_call(WRITE_THROUGHS), &[Hook::Through, Hook::DropLoader, Hook::DropError]));
}

#[test]
fn tasks() {
    watched(|| all_called(&every_call(TASKS), &[Hook::Wake, Hook::CloneWaker, Hook::DropWaker, Hook::DropLoader]));
}

#[test]
#[cfg(feature = "write-behind")]
fn write_behind() {
    watched(|| all_called(&every_call(BEHIND), &[Hook::Sink, Hook::CloneHasher, Hook::Weigher, Hook::DropError]));
}
