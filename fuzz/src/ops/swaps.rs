//! Calls that decide by what is there: compare-and-swap and computations.

use brindle::{Computed, Expected, Op, Version};

use crate::input::{Key, Weight};
use crate::ops::call::Decide;
use crate::ops::model::Claim;
use crate::ops::trial::{Trial, name};

impl Trial {
    pub fn swap(&mut self, Key(key): Key, Weight(weight): Weight, expected: Option<Version>) {
        self.look(key);
        let live = self.model.live(key);
        let value = self.ledger.value(weight);
        let id = value.id();
        let outcome = match expected {
            Some(version) => self.cache.compare_and_swap(key, version, value),
            None if id % 2 == 0 => self.cache.insert_if_absent(key, value),
            None => self.cache.compare_and_swap(key, Expected::Absent, value),
        };
        match outcome {
            Ok(version) => {
                assert_eq!(live.map(|entry| entry.version), expected, "a swap won that should not");
                self.model.wrote(key, (id, weight), version, Claim::Nothing, None);
            }
            Err(conflict) => {
                assert_eq!((conflict.key, conflict.value.id()), (key, id));
                let current = conflict.current.as_ref().map(name);
                assert_eq!(current, live.map(|entry| (entry.id, entry.version)), "the current entry is wrong");
                assert_ne!(live.map(|entry| entry.version), expected, "a swap lost that should not");
                self.model.touch(key);
            }
        }
    }

    pub fn compute(&mut self, Key(key): Key, Weight(weight): Weight, decide: Decide) {
        self.look(key);
        let live = self.model.live(key).map(|entry| (entry.id, entry.version));
        let mut put = None;
        let computed = self.cache.entry(key).and_compute_with(|current| {
            assert_eq!(current.map(name), live, "a wrong entry was to be decided on");
            match decide {
                Decide::Put => {
                    let value = self.ledger.value(weight);
                    put = Some(value.id());
                    Op::Put(value)
                }
                Decide::Remove => Op::Remove,
                Decide::Keep => Op::Keep,
            }
        });
        self.model.touch(key);
        match (decide, computed) {
            (Decide::Put, Computed::Inserted(version)) if live.is_none() => {
                self.model.wrote(key, (put.expect("asked"), weight), version, Claim::Nothing, None);
            }
            (Decide::Put, Computed::Replaced(version, old)) if live == Some(name(&old)) => {
                self.model.wrote(key, (put.expect("asked"), weight), version, Claim::Nothing, None);
            }
            (Decide::Remove, Computed::Removed(old)) if live == Some(name(&old)) => {
                self.model.removed(key);
            }
            (Decide::Remove, Computed::Kept(None)) if live.is_none() => self.model.fence(key),
            (Decide::Keep, Computed::Kept(kept)) if kept.as_ref().map(name) == live => {}
            (_, computed) => panic!("{decide:?} of {live:?} gave {:?}", std::mem::discriminant(&computed)),
        }
    }
}
