//! The timer wheel: it reports nothing early, all that is due in so many turns, and each schedule once.

use std::collections::BTreeMap;

use arbitrary::Arbitrary;

use crate::input::{Script, Time};
use crate::time::deadline::NEVER;
use crate::time::wheel::Wheel;

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Call {
    /// After now, or before it.
    Schedule {
        slot: u8,
        time: Time,
        past: bool,
    },
    ScheduleAt(u8, u64),
    Cancel(u8),
    Replace {
        old: u8,
        new: u8,
        time: Time,
    },
    Turn {
        step: Time,
        limit: u8,
    },
    /// To just this moment, if it is in the future.
    TurnTo {
        now: u64,
        limit: u8,
    },
    TurnBack(Time),
    TurnAll {
        step: Time,
        limit: u8,
    },
}

struct Trial {
    wheel: Wheel,
    deadlines: BTreeMap<u32, u64>,
    now: u64,
}

pub fn run(Script { calls, .. }: Script<(), Call>) {
    let mut trial = Trial { wheel: Wheel::new(), deadlines: BTreeMap::new(), now: 0 };
    for call in calls {
        trial.step(call);
        trial.check();
    }
    trial.now = NEVER - 1;
    trial.turn_all(8);
    assert!(trial.deadlines.is_empty(), "never reported: {:?}", trial.deadlines);
}

impl Trial {
    fn step(&mut self, call: Call) {
        match call {
            Call::Schedule { slot, time, past: false } => self.schedule(slot, self.after(time)),
            Call::Schedule { slot, time, past: true } => self.schedule(slot, self.now.saturating_sub(nanos(time))),
            Call::ScheduleAt(slot, deadline) => self.schedule(slot, deadline),
            Call::Cancel(slot) => {
                self.wheel.cancel(slot.into());
                self.deadlines.remove(&slot.into());
            }
            Call::Replace { old, new, time } => {
                let deadline = self.after(time);
                self.wheel.replace(old.into(), new.into(), deadline);
                self.deadlines.remove(&old.into());
                self.note(new, deadline);
            }
            Call::Turn { step, limit } => {
                self.now = self.after(step).min(NEVER - 1);
                self.turn(limit.into());
            }
            Call::TurnTo { now, limit } => {
                self.now = self.now.max(now).min(NEVER - 1);
                self.turn(limit.into());
            }
            Call::TurnBack(time) => {
                let now = std::mem::replace(&mut self.now, 0);
                self.now = now.saturating_sub(nanos(time));
                self.turn(4);
                self.now = now;
            }
            Call::TurnAll { step, limit } => {
                self.now = self.after(step).min(NEVER - 1);
                self.turn_all(usize::from(limit) + 1);
            }
        }
    }

    fn after(&self, time: Time) -> u64 {
        self.now.saturating_add(nanos(time))
    }

    fn schedule(&mut self, slot: u8, deadline: u64) {
        self.wheel.schedule(slot.into(), deadline);
        self.note(slot, deadline);
    }

    fn note(&mut self, slot: u8, deadline: u64) {
        if deadline == NEVER {
            self.deadlines.remove(&slot.into());
        } else {
            self.deadlines.insert(slot.into(), deadline);
        }
    }

    fn turn(&mut self, limit: usize) -> usize {
        let mut due = Vec::new();
        self.wheel.advance(self.now, limit, &mut due);
        assert!(due.len() <= limit, "{} reported at a limit of {limit}", due.len());
        for slot in &due {
            let deadline = self.deadlines.remove(slot).unwrap_or_else(|| panic!("slot {slot} is not scheduled"));
            assert!(deadline <= self.now, "slot {slot} was reported at {}, and is due at {deadline}", self.now);
        }
        due.len()
    }

    /// A schedule is touched once on each level and then reported, so it takes part in two full turns at most.
    fn turn_all(&mut self, limit: usize) {
        let most = 2 * self.deadlines.len() / limit + 3;
        for _ in 0..most {
            if self.wheel.next_due() > self.now {
                break;
            }
            self.turn(limit);
        }
        let late = self.deadlines.values().filter(|deadline| **deadline <= self.now).count();
        assert_eq!(late, 0, "due, and not reported in {most} turns");
    }

    fn check(&self) {
        // What was overdue when it was scheduled waits for the latest moment to which the wheel has turned.
        let first = self.deadlines.values().min().map_or(NEVER, |first| self.now.max(*first));
        assert!(self.wheel.next_due() <= first, "next at {}, and due at {first}", self.wheel.next_due());
    }
}

fn nanos(Time(time): Time) -> u64 {
    time.as_nanos() as u64
}
