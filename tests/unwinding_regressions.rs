//! Panics on the way out that took something with them: the compiler drops a function's locals after it has its return value, and loses that value when
//! one of them panics (rust-lang/rust#47949). So seats, turns and leases were lost, for which others waited for ever. And wakers that panicked.

mod common;
mod harness;
mod injection;

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Context;
use std::task::Wake;
use std::task::Waker;
use std::thread;
use std::time::Duration;

use brindle::Cache;
use brindle::Loaded;

use common::executor::block_on;
use harness::watched;
use injection::bell::Actor;
use injection::bell::Loading;
use injection::bell::run_to_the_end;
use injection::stage::ABSENT;
use injection::stage::DUE;
use injection::stage::Kind;
use injection::stage::Stage;
use injection::world::Broken;
use injection::world::Hook;

#[test]
fn the_error_of_a_write_through_is_dropped_where_the_end_of_its_turn_panics() {
    watched(|| {
        let stage = Stage::new(Kind::Plain);
        let refused = stage.attempt(|| {
            stage.cache.write_through(stage.key(ABSENT), |_| {
                stage.world.arm(Hook::Eq, 1);
                Err::<Loaded<_>, Broken>(stage.world.error())
            })
        });
        assert!(refused.is_none() && stage.world.disarm());
        stage.judge();
    });
}

async fn write(stage: &Stage) {
    let write = |_| async {
        Loading::new(&stage.world, 1).await;
        Ok::<_, Broken>(Loaded::new(stage.value(ABSENT)))
    };
    drop(stage.cache.write_through_async(stage.key(ABSENT), write).await);
}

#[test]
fn a_place_in_line_is_given_up_where_the_drop_of_its_key_panics() {
    watched(|| {
        let stage = Stage::new(Kind::Plain);
        let mut actors: Vec<_> = (0..3).map(|_| Actor::new(&stage, write(&stage))).collect();
        actors[0].poll();
        stage.world.arm(Hook::DropKey, 1);
        actors[1].poll();
        assert!(stage.world.disarm() && actors[1].is_over());
        actors[2].poll();
        run_to_the_end(&mut actors);
        drop(actors);
        stage.forgive(1);
        stage.judge();
    });
}

/// One waits for a load that fails, and asks again, or that is given up, and is called. Gives whether a hook panicked at its `n`-th call.
fn comes_after(gives_up: bool, hook: Hook, n: u64) -> bool {
    let stage = Stage::new(Kind::Plain);
    stage.tries(format!("{hook:?} panics at call {n}"));
    let failing = Actor::new(&stage, async {
        let load = async {
            Loading::new(&stage.world, 1).await;
            Err(stage.world.error())
        };
        drop(stage.cache.try_get_with_async(&stage.key(ABSENT), load).await);
    });
    let asking = |()| {
        Actor::new(&stage, async {
            let load = async {
                Loading::new(&stage.world, 1).await;
                stage.value(ABSENT)
            };
            drop(stage.cache.get_with_async(&stage.key(ABSENT), load).await);
        })
    };
    let mut actors = vec![failing, asking(())];
    actors.iter_mut().for_each(Actor::poll);
    stage.world.arm(hook, n);
    if gives_up {
        actors[0].end();
    }
    run_to_the_end(&mut actors);
    let fired = stage.world.disarm();
    // If a lease was lost, this one waits for ever.
    actors.push(asking(()));
    run_to_the_end(&mut actors);
    drop(actors);
    stage.forgive(2);
    stage.judge();
    fired
}

#[test]
fn a_lease_is_handed_on_where_the_drop_of_the_error_before_it_panics() {
    watched(|| assert!((1..).take_while(|&n| comes_after(false, Hook::DropError, n)).count() > 1));
}

#[test]
fn a_lease_is_handed_on_where_the_drop_of_a_waker_panics() {
    watched(|| assert!((1..).take_while(|&n| comes_after(true, Hook::DropWaker, n)).count() > 1));
}

/// What is due is loaded by its caller, who drops what he found first. Gives whether that panicked at the `n`-th drop.
fn load_again(n: u64) -> bool {
    let stage = Stage::new(Kind::Due);
    stage.tries(format!("the drop of a value panics at call {n}"));
    stage.prepare();
    stage.world.arm(Hook::DropValue, n);
    stage.attempt(|| drop(stage.cache.get_with(&stage.key(DUE), || stage.value(DUE))));
    let fired = stage.world.disarm();
    stage.forgive(1);
    stage.judge();
    fired
}

#[test]
fn a_lease_to_load_again_is_given_up_where_the_drop_of_the_old_value_panics() {
    watched(|| assert!((1..).take_while(|&n| load_again(n)).count() > 1));
}

/// The waker of an executor that is broken.
struct Broke(AtomicBool);

impl Wake for Broke {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
        harness::planned();
    }
}

#[test]
fn a_waker_that_panics_does_not_stop_the_timers_of_others() {
    watched(|| {
        let builder = Cache::builder().max_capacity(10).load_timeout(Duration::from_millis(20));
        let cache: Cache<u64, u64> = builder.build().unwrap();
        // A lease that nobody will end.
        std::mem::forget(cache.get_or_lease(&1, None));
        let broke = Arc::new(Broke(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&broke));
        let mut first = Box::pin(cache.get_with_async(&1, async { 1 }));
        assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        while !broke.0.load(SeqCst) {
            thread::yield_now();
        }
        std::mem::forget(cache.get_or_lease(&2, None));
        let second = catch_unwind(AssertUnwindSafe(|| block_on(cache.get_with_async(&2, async { 2 }))));
        assert_eq!(second.ok(), Some(2));
    });
}
