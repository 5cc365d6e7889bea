//! Loads of many keys by one call: of each key a load of its own, which begin and end together.

use std::cell::Cell;
use std::cell::RefCell;

use brindle::LoadError;

use crate::common::executor::step;
use crate::harness::Planned;
use crate::harness::planned;
use crate::history::Act;
use crate::history::Brought;
use crate::history::Error;
use crate::history::Key;
use crate::history::Load;
use crate::history::Outcome;
use crate::history::Written;
use crate::plans::End;
use crate::plans::Loading;
use crate::plans::Patience;
use crate::player::Player;
use crate::recorder::Call;
use crate::threads::pause;
use crate::values::Value;
use crate::waits::caught;
use crate::waits::drive;

/// The loads of a call, from when its loader runs until it is known what became of them.
struct Batch<'a, 'p> {
    player: &'a Player<'p>,
    plan: &'a Loading,
    call: Call,
    /// The call from its beginning to its end.
    whole: Call,
    /// What the clock showed when the call began, and when its loader last ended.
    asked: u64,
    ended: Cell<u64>,
    open: RefCell<Vec<(Key, Load, Option<Written>)>>,
    own: RefCell<Vec<Written>>,
}

impl Player<'_> {
    /// Loads what is missing of the key of a plan and the one after it. A loader that is asked for several keys leaves the last one out, if
    /// the plan has it pause.
    pub fn load_many(&self, plan: &Loading) {
        let keys = [plan.key, (plan.key + 1) % self.setup.keys];
        let (name, asked) = ("try_get_many_with", self.log.recorder.time());
        let batch = Batch {
            player: self,
            plan,
            call: self.log.begin(name),
            whole: self.log.begin(name),
            asked,
            ended: Cell::new(0),
            open: RefCell::default(),
            own: RefCell::default(),
        };
        let given = caught(|| match plan.patience {
            Patience::Thread => Some(self.cache.try_get_many_with(&keys, |wanted| {
                batch.begin(&wanted);
                (0..plan.pauses).for_each(|_| pause());
                batch.bring(&wanted)
            })),
            patience => {
                let batch = &batch;
                let load = |wanted: Vec<Key>| async move {
                    batch.begin(&wanted);
                    for _ in 0..plan.pauses {
                        step().await;
                    }
                    batch.bring(&wanted)
                };
                let future = self.cache.try_get_many_with_async(&keys, load);
                drive(patience, future, || batch.give_up())
            }
        });
        batch.settle();
        match given {
            Some(Ok(Ok(values))) => keys.iter().zip(values).for_each(|(key, value)| batch.answered(*key, value)),
            // Of another's error it is not known for which key it came.
            Some(Ok(Err(LoadError::Failed(_))) | Err(Planned)) | None => {}
            Some(Ok(Err(other))) => unreachable!("{other:?}"),
        }
    }
}

impl Batch<'_, '_> {
    /// The loader begins; what became of those that it ended with before is known.
    fn begin(&self, wanted: &[Key]) {
        self.settle();
        let Player { log, .. } = self.player;
        for &key in wanted {
            let load = log.recorder.number();
            log.apart(&self.call, key, [Act::Lead { load, refresh: false, asked: self.asked }]);
            self.open.borrow_mut().push((key, load, None));
        }
    }

    /// The loader ends.
    fn bring(&self, wanted: &[Key]) -> Result<Vec<(Key, Value)>, Error> {
        let (Player { log, .. }, error) = (self.player, self.player.log.recorder.number());
        self.plan.inside.iter().for_each(|inside| self.player.play(inside));
        let brought = if self.plan.pauses > 0 && wanted.len() > 1 { &wanted[..wanted.len() - 1] } else { wanted };
        let mut values = Vec::new();
        for (key, load, written) in self.open.borrow_mut().iter_mut() {
            if self.plan.end != End::Value {
                log.brings(*load, Brought::Error(error));
            } else if brought.contains(key) {
                let value = self.player.value();
                log.brings(*load, Brought::Value(value.id));
                *written = Some(Written { id: value.id, source: None, ttl: None });
                self.own.borrow_mut().extend(*written);
                values.push((*key, value));
            }
        }
        self.ended.set(log.recorder.time());
        log.resume(&self.call);
        match self.plan.end {
            End::Value => Ok(values),
            End::Error => Err(error),
            End::Panic => planned(),
        }
    }

    /// The call is dropped: what its loader has not ended with never ends.
    fn give_up(&self) {
        if self.open.borrow().iter().all(|(_, _, written)| written.is_none()) {
            self.player.log.resume(&self.call);
        }
    }

    /// The loads with which the loader has ended have landed, or come to nothing, by now.
    fn settle(&self) {
        for (key, load, written) in self.open.take() {
            let land = |value| Act::Land { load, value, outcome: Outcome::Untold, asked: self.ended.get() };
            self.player.log.apart(&self.call, key, [written.map_or(Act::Abandon(load), land)]);
        }
    }

    /// A value that it has not loaded itself was there, or another has loaded it.
    fn answered(&self, key: Key, value: Option<Value>) {
        let Some(value) = value else { return };
        if self.own.borrow().iter().all(|own| own.id != value.id) {
            self.player.log.apart(&self.whole, key, [Act::Loaded { id: value.id, began: None }]);
        }
    }
}
