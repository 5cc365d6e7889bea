//! The two queues against two lists.

use arbitrary::Arbitrary;

use self::room::{Queue, Queues};
use super::room::Slot;
use crate::input::Script;

#[allow(clippy::duplicate_mod, dead_code, reason = "as a part by itself")]
#[path = "../../../src/policy/queues.rs"]
mod room;

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Call {
    Push {
        main: bool,
        slot: u8,
        weight: u8,
    },
    /// A whole run of slots.
    PushSome {
        main: bool,
        first: u8,
        count: u8,
    },
    Remove(u8),
    MoveToMain(u8),
    Replace {
        old: u8,
        new: u8,
        weight: u8,
    },
    Rotate {
        main: bool,
    },
    Reserve(u8),
    Clear,
}

#[derive(Default)]
struct Trial {
    queues: Queues,
    /// Window and main, the oldest first: slots and weights.
    lists: [Vec<(Slot, u64)>; 2],
}

pub fn run(Script { calls, .. }: Script<(), Call>) {
    let mut trial = Trial::default();
    for call in calls {
        trial.step(call);
        trial.check();
    }
}

impl Trial {
    fn step(&mut self, call: Call) {
        match call {
            Call::Push { main, slot, weight } => self.push(main, slot.into(), weight.into()),
            Call::PushSome { main, first, count } => {
                (0..Slot::from(count % 32)).for_each(|step| self.push(main, Slot::from(first) + step, 1));
            }
            Call::Remove(slot) => {
                if let Some((_, weight)) = self.forget(slot.into()) {
                    self.queues.remove(slot.into(), weight);
                }
            }
            Call::MoveToMain(slot) => {
                if let Some(entry) = self.forget(slot.into()) {
                    self.queues.move_to_main(entry.0, entry.1);
                    self.lists[1].push(entry);
                }
            }
            Call::Replace { old, new, weight } => {
                let (old, new, weight) = (Slot::from(old), Slot::from(new), u64::from(weight));
                if let (Some((list, at)), None) = (self.find(old), self.find(new)) {
                    let before = std::mem::replace(&mut self.lists[list][at], (new, weight));
                    self.queues.replace(old, new, before.1, weight);
                }
            }
            Call::Rotate { main } => {
                let list = &mut self.lists[usize::from(main)];
                if !list.is_empty() {
                    list.rotate_left(1);
                    self.queues.rotate(queue(main));
                }
            }
            Call::Reserve(slots) => self.queues.reserve(slots.into()),
            Call::Clear => {
                self.queues.clear();
                self.lists = Default::default();
            }
        }
    }

    fn push(&mut self, main: bool, slot: Slot, weight: u64) {
        if self.find(slot).is_none() {
            self.queues.push_back(queue(main), slot, weight);
            self.lists[usize::from(main)].push((slot, weight));
        }
    }

    fn find(&self, slot: Slot) -> Option<(usize, usize)> {
        (0..2).find_map(|list| Some((list, self.lists[list].iter().position(|entry| entry.0 == slot)?)))
    }

    /// The newest takes the place of one that leaves from the middle.
    fn forget(&mut self, slot: Slot) -> Option<(Slot, u64)> {
        let (list, at) = self.find(slot)?;
        let list = &mut self.lists[list];
        Some(if at == 0 { list.remove(0) } else { list.swap_remove(at) })
    }

    fn check(&self) {
        for main in [false, true] {
            let (queue, list) = (queue(main), &self.lists[usize::from(main)]);
            assert_eq!(self.queues.len(queue), list.len());
            assert_eq!(self.queues.weight(queue), list.iter().map(|entry| entry.1).sum::<u64>());
            assert_eq!(self.queues.front(queue), list.first().map(|entry| entry.0));
            let slots: Vec<Slot> = (0..=list.len()).map_while(|ahead| self.queues.behind_front(queue, ahead)).collect();
            assert!(slots.iter().eq(list.iter().map(|(slot, _)| slot)), "{slots:?}, not {list:?}");
        }
    }
}

fn queue(main: bool) -> Queue {
    if main { Queue::Main } else { Queue::Window }
}
