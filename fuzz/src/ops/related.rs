//! Calls for many keys: transactions, snapshots, groups.

use brindle::{Expected, Transaction, TransactionError, Version, WhyAborted};

use crate::Hasher;
use crate::input::{Group, Groups, Key, Source, Weight};
use crate::ops::call::{Body, Expect, Step};
use crate::ops::model::Claim;
use crate::ops::trial::Trial;
use crate::tracked::Tracked;

/// What a step wrote, or read.
struct Done {
    step: Step,
    /// The value, its weight and its source.
    wrote: Option<(usize, u64, Option<u64>)>,
    read: Option<Option<usize>>,
}

impl Trial {
    pub fn get_many(&mut self, keys: [Key; 3]) {
        let found = self.cache.get_many(&keys.map(|Key(key)| key));
        self.all_used(keys, found);
    }

    pub fn snapshot(&mut self, keys: [Key; 3]) {
        let found = self.cache.get_many_snapshot(&keys.map(|Key(key)| key));
        self.all_used(keys, found);
    }

    fn all_used(&mut self, keys: [Key; 3], found: Vec<Option<Tracked>>) {
        assert_eq!(keys.len(), found.len());
        for (Key(key), value) in keys.into_iter().zip(found) {
            self.used(key, value.map(|value| (value.id(), None)));
        }
    }

    pub fn insert_in_groups(&mut self, key: u8, weight: u64, groups: Groups) {
        self.catch_up(key);
        let value = self.ledger.value(weight);
        let id = value.id();
        let version = self.cache.insert_in_groups(key, value, groups.all());
        self.model.wrote(key, (id, weight), version, Claim::Nothing, None);
        self.model.joined(key, groups);
    }

    pub fn invalidate_group(&mut self, group: Group) {
        let members = self.look_at(group);
        assert_eq!(self.cache.invalidate_group(&group.0), members.len(), "not all of a group, or more");
        members.into_iter().for_each(|key| self.model.removed(key));
    }

    /// The members that are still there.
    fn look_at(&mut self, group: Group) -> Vec<u8> {
        self.model.members(group).into_iter().for_each(|key| self.look(key));
        self.model.members(group)
    }

    pub fn transaction(&mut self, steps: [Option<Step>; 4], group: Option<Group>, body: Body) {
        if self.is_fleeting() {
            return;
        }
        let mut planned: Vec<Step> = Vec::new();
        for step in steps.into_iter().flatten() {
            if planned.iter().all(|other| other.key() != step.key()) {
                planned.push(step);
            }
        }
        planned.iter().for_each(|step| self.look(step.key()));
        // Of what is written and in the group at once nobody says as what it leaves.
        let members = group.map_or(Vec::new(), |group| self.look_at(group));
        let group = group.filter(|_| planned.iter().all(|step| !members.contains(&step.key())));

        let mut done = Vec::new();
        let result = self.cache.try_transaction(|t| {
            planned.iter().for_each(|&step| done.push(self.note(t, step)));
            group.iter().for_each(|group| t.invalidate_group(&group.0));
            if body == Body::GivesUp { Err(()) } else { Ok(()) }
        });
        for Done { step, read, .. } in &done {
            if let Some(read) = *read {
                self.used(step.key(), read.map(|id| (id, None)));
            }
        }
        let holds = planned.iter().all(|&step| self.holds(step));
        match result {
            Ok(()) => {
                assert!(holds && body == Body::Commits, "committed, though it should not");
                let ended = if group.is_some() { members } else { Vec::new() };
                ended.into_iter().for_each(|key| self.model.removed(key));
                done.into_iter().for_each(|done| self.took_effect(done));
            }
            Err(TransactionError::Failed(())) => assert_eq!(body, Body::GivesUp),
            Err(TransactionError::Aborted(aborted)) => {
                assert_eq!(body, Body::Commits);
                match aborted.why {
                    WhyAborted::Superseded { current } => self.superseded(aborted.key, current, &planned),
                    _ => assert!(!holds, "aborted, though all was as expected"),
                }
            }
            Err(_) => panic!("an error of no known kind"),
        }
    }

    fn note(&self, t: &mut Transaction<'_, u8, Tracked, Hasher>, step: Step) -> Done {
        let mut done = Done { step, wrote: None, read: None };
        let mut value = |weight, source| {
            let value = self.ledger.value(weight);
            done.wrote = Some((value.id(), weight, source));
            value
        };
        match step {
            Step::Insert(Key(key), Weight(weight)) => t.insert(key, value(weight, None)),
            Step::InsertAt(Key(key), Weight(weight), Source(source)) => t.insert_at(key, value(weight, Some(source)), source),
            Step::InsertInGroups(Key(key), Weight(weight), groups) => t.insert_in_groups(key, value(weight, None), groups.all()),
            Step::CompareAndSwap(Key(key), Weight(weight), expect) => {
                t.compare_and_swap(key, self.expected(key, expect), value(weight, None));
            }
            Step::ExpectVersion(Key(key), expect) => t.expect_version(&key, self.expected(key, expect)),
            Step::Read(Key(key)) => done.read = Some(t.read(&key).map(|value| value.id())),
            Step::Remove(Key(key)) => done.read = Some(t.remove(&key).map(|value| value.id())),
            Step::Invalidate(Key(key)) => t.invalidate(&key),
            Step::InvalidateAt(Key(key), Source(source)) => t.invalidate_at(&key, source),
        }
        done
    }

    fn version_for(&self, key: u8, expect: Expect) -> Option<Version> {
        match expect {
            Expect::Current => self.model.live(key).map(|entry| entry.version),
            Expect::Former => self.model.former(key),
            Expect::Absent => None,
        }
    }

    fn expected(&self, key: u8, expect: Expect) -> Expected {
        self.version_for(key, expect).into()
    }

    /// Is the key in the state that a condition asks for?
    fn holds(&self, step: Step) -> bool {
        match step {
            Step::CompareAndSwap(Key(key), _, expect) | Step::ExpectVersion(Key(key), expect) => {
                self.version_for(key, expect) == self.model.live(key).map(|entry| entry.version)
            }
            _ => true,
        }
    }

    fn took_effect(&mut self, Done { step, wrote, .. }: Done) {
        let key = step.key();
        if let Some((id, weight, source)) = wrote {
            self.came(key, (id, weight), source.map_or(Claim::Nothing, Claim::Written));
            let stays = self.model.live(key).is_some_and(|entry| entry.id == id);
            if let Step::InsertInGroups(_, _, groups) = step
                && stays
            {
                self.model.joined(key, groups);
            }
        }
        match step {
            Step::Remove(_) | Step::Invalidate(_) => self.model.removed(key),
            Step::InvalidateAt(_, Source(source)) => self.model.ended_at(key, source),
            _ => {}
        }
    }

    fn superseded(&mut self, key: u8, current: Version, planned: &[Step]) {
        for step in planned {
            if let &Step::InsertAt(Key(of), _, Source(source)) = step
                && of == key
            {
                return self.model.refused(key, source, current);
            }
        }
        panic!("aborted for key {key}, which was not written at a source's version");
    }
}
