//! What concerns the whole cache: walks, `clear`, groups, capacities.

use crate::row::group;
use crate::truth::Bounds;

use super::Worker;

impl Worker<'_> {
    pub(super) fn do_something_wide(&mut self) {
        match self.random.below(12) {
            0..3 => self.walk(),
            3 => self.clear(),
            4 | 5 => self.retain(),
            6..9 => self.end_group(),
            9 => self.change_capacity(),
            10 => self.cache.reclaim(),
            _ => self.look_at_numbers(),
        }
    }

    /// Nothing that was gone before.
    fn walk(&self) {
        let truth = self.truth();
        let bounds: Vec<Bounds> = (0..truth.keys()).map(|key| truth.bounds(key)).collect();
        self.cache.iter().for_each(|entry| truth.judge_entry("iter", bounds[*entry.key() as usize], &entry));
    }

    fn clear(&self) {
        let truth = self.truth();
        let states = truth.states(|_| true);
        {
            let _fencing = truth.traffic.fencing_everywhere();
            self.cache.clear();
        }
        truth.raise_all(states);
    }

    fn retain(&mut self) {
        let (truth, rest) = (self.truth(), self.random.below(16) as u64);
        let goes = |key: u64| key / 5 % 16 == rest;
        let states = truth.states(goes);
        {
            let _fencing = truth.traffic.fencing_everywhere();
            self.cache.retain(|&key, _| !goes(key));
        }
        truth.raise_all(states);
    }

    fn end_group(&mut self) {
        let (truth, ended) = (self.truth(), group(self.key()));
        let in_transaction = self.one_in(3);
        // Without `group_by` only what was put into the group is in it, and nobody keeps account of that.
        let states = truth.states(|key| self.shared.plan.group_by && group(key) == ended);
        {
            let _fencing = truth.traffic.fencing_everywhere();
            if in_transaction {
                let done = self.cache.transaction(|transaction| transaction.invalidate_group(&ended));
                if done.is_err() {
                    truth.blame(|| format!("a transaction that only invalidates group {ended} was aborted"));
                }
            } else {
                self.cache.invalidate_group(&ended);
            }
        }
        truth.raise_all(states);
    }

    fn change_capacity(&mut self) {
        let most = self.shared.plan.capacity;
        self.cache.set_capacity(most / 4 + self.random.below(most as usize) as u64);
    }

    fn look_at_numbers(&self) {
        let stats = self.cache.stats();
        if stats.len as u64 > self.truth().keys() {
            self.truth().blame(|| format!("`stats` counts {} entries of {} keys", stats.len, self.truth().keys()));
        }
        _ = (self.cache.len(), self.cache.weight(), self.cache.memory_used());
    }
}
