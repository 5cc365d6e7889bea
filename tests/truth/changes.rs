//! What is written, removed, told of and read, at once.

use std::time::Duration;

use brindle::Op;

use crate::choices::KEYS;
use crate::judge::Origin;
use crate::source::Commit;
use crate::source::Value;
use crate::steps::Kind;
use crate::steps::Step;
use crate::world::Checked;
use crate::world::World;

impl World {
    /// A step that is over when it returns.
    pub fn change(&mut self, Step { kind, key, dice }: Step) -> Checked {
        match kind {
            Kind::Commit => {
                self.commit(key, dice);
            }
            Kind::News => {
                let commit = self.commit(key, dice);
                if dice >> 8 & 1 == 0 { self.arrive(commit)? } else { self.arrive_dead(commit) }
            }
            Kind::Event => {
                if let Some(commit) = self.event(dice) {
                    self.arrive(commit)?;
                }
            }
            Kind::InvalidateAt => {
                self.event(dice).into_iter().for_each(|commit| self.arrive_dead(commit));
            }
            Kind::Insert => self.insert(key, dice),
            Kind::Update => {
                let seal = self.seals(key);
                let commit = self.commit(key, dice);
                let value = self.instance(commit, self.step, self.local());
                self.cache.entry(key).and_compute_with(|_| Op::Put(value));
                self.wrote(commit, seal);
            }
            Kind::Swap => {
                let seal = self.seals(key);
                let expected = self.cache.get_ref(&key).map(|entry| entry.version());
                let commit = self.commit(key, dice);
                let value = self.instance(commit, self.step, self.local());
                if self.cache.compare_and_swap(key, expected, value).is_ok() {
                    self.wrote(commit, seal);
                }
            }
            Kind::Invalidate => {
                let seal = self.seals(key);
                self.cache.invalidate(&key);
                self.removed(key, seal);
            }
            Kind::Remove => {
                let seal = self.seals(key);
                let removed = self.cache.remove(&key);
                self.judge_now(key, removed)?;
                self.removed(key, seal);
            }
            Kind::RemoveIf => {
                let seal = self.seals(key);
                let removed = self.cache.remove_if(&key, |_, _| true);
                self.judge_now(key, removed)?;
                self.removed(key, seal);
            }
            Kind::KeepIf => {
                self.cache.remove_if(&key, |_, _| false);
                self.fence_loads(key);
            }
            Kind::Retain => {
                let seal = self.seals(key);
                let mut stayed = [None; KEYS];
                self.cache.retain(|&other, value| {
                    // What is stale stays too, where nobody else sees it.
                    stayed[usize::from(other)] = Some(value.id);
                    other != key
                });
                self.said.loads_fenced = stayed.map(|stayed| (self.step, stayed));
                self.removed(key, seal);
            }
            Kind::Clear => {
                let seals: Vec<u64> = (0..KEYS as u8).map(|key| self.seals(key)).collect();
                self.cache.clear();
                (0..KEYS as u8).for_each(|key| self.removed(key, seals[usize::from(key)]));
            }
            Kind::EndGroup => {
                let group = (dice % 2) as u8;
                if self.choices.grouped {
                    self.cache.invalidate_group(&group);
                    self.said.group_fenced[usize::from(group)] = self.step;
                }
            }
            Kind::Transaction => self.transact(dice)?,
            Kind::Advance => {
                let seconds = dice % 3 + 1;
                self.time += seconds;
                self.clock.advance(Duration::from_secs(seconds));
            }
            Kind::Get => self.judge_now(key, self.cache.get(&key))?,
            Kind::GetMany => {
                let keys: Vec<u8> = (0..KEYS as u8).collect();
                let many = if dice % 2 == 0 { self.cache.get_many(&keys) } else { self.cache.get_many_snapshot(&keys) };
                for (key, value) in keys.into_iter().zip(many) {
                    self.judge_now(key, value)?;
                }
            }
            Kind::Iterate => {
                for entry in self.cache.iter() {
                    self.judge_now(*entry.key(), Some(*entry.value()))?;
                }
            }
            Kind::Capacity => self.cache.set_capacity([0, 1, 2, 100][(dice % 4) as usize]),
            _ => {}
        }
        Ok(())
    }

    /// The source tells of a state, with its value.
    fn arrive(&mut self, commit: Commit) -> Checked {
        let value = self.instance(commit, self.step, Origin::Event);
        let stored = self.cache.insert_at(commit.key, value, commit.lsn).is_ok();
        self.tell(commit.key, commit.lsn);
        if stored {
            self.check_sealed(commit)?;
            self.fence(commit.key, 0);
        }
        Ok(())
    }

    /// The same, without it.
    fn arrive_dead(&mut self, commit: Commit) {
        let done = self.cache.invalidate_at(&commit.key, commit.lsn);
        self.tell(commit.key, commit.lsn);
        if done { self.fence(commit.key, 0) } else { self.fence_loads(commit.key) }
    }

    /// An ordinary write of what was just committed has returned.
    fn wrote(&mut self, commit: Commit, seal: u64) {
        if self.choices.versioned_by {
            self.tell(commit.key, commit.lsn);
        } else {
            self.fence(commit.key, seal);
        }
    }

    fn insert(&mut self, key: u8, dice: u64) {
        let seal = self.seals(key);
        let commit = self.commit(key, dice);
        let value = self.instance(commit, self.step, self.local());
        match dice >> 8 & 3 {
            0 => drop(self.cache.insert_with_ttl(key, value, Duration::from_secs(2))),
            1 => {
                if self.cache.try_insert(key, value).is_err() {
                    return;
                }
            }
            _ => drop(self.cache.insert(key, value)),
        }
        self.wrote(commit, seal);
    }

    fn transact(&mut self, dice: u64) -> Checked {
        let mut ended = None;
        let mut plan: Vec<(u64, Commit, Value)> = Vec::new();
        for change in 0..dice % 3 + 1 {
            let dice = dice >> (4 + 4 * change);
            let kind = dice % 5;
            let commit = match kind {
                0 | 1 => match self.event(dice >> 2) {
                    Some(commit) => commit,
                    None => continue,
                },
                2 => self.commit((dice % KEYS as u64) as u8, dice),
                _ => self.source.state((dice % KEYS as u64) as u8),
            };
            if plan.iter().any(|(_, other, _)| other.key == commit.key) {
                continue;
            }
            let origin = if kind == 2 { self.local() } else { Origin::Event };
            let value = self.instance(commit, self.step, origin);
            plan.push((kind, commit, value));
        }
        let seals: Vec<u64> = plan.iter().map(|&(_, commit, _)| self.seals(commit.key)).collect();
        let committed = self.cache.transaction(|t| {
            for &(kind, commit, value) in &plan {
                match kind {
                    0 => t.insert_at(commit.key, value, commit.lsn),
                    1 => t.invalidate_at(&commit.key, commit.lsn),
                    2 => t.insert(commit.key, value),
                    3 => t.invalidate(&commit.key),
                    _ if self.choices.grouped => {
                        t.invalidate_group(&value.group);
                        ended = Some(value.group);
                    }
                    _ => {}
                }
            }
        });
        if committed.is_err() {
            return Ok(());
        }
        if let Some(group) = ended {
            self.said.group_fenced[usize::from(group)] = self.step;
        }
        for (&(kind, commit, _), seal) in plan.iter().zip(seals) {
            match kind {
                0 => {
                    self.check_sealed(commit)?;
                    self.tell(commit.key, commit.lsn);
                    self.fence(commit.key, 0);
                }
                1 => {
                    self.tell(commit.key, commit.lsn);
                    self.fence_loads(commit.key);
                }
                2 => self.wrote(commit, seal),
                3 => self.removed(commit.key, seal),
                _ => {}
            }
        }
        Ok(())
    }
}
