//! Keys whose source is the cache itself: accounts, which are written together, and counters, which count on from what is there.

use brindle::Computed;
use brindle::Expected;
use brindle::Op;

use crate::row::District;
use crate::row::Row;
use crate::row::SIBLINGS;
use crate::row::TOTAL;
use crate::row::eldest;
use crate::row::siblings;

use super::Worker;

const TOGETHER: usize = SIBLINGS as usize;

impl Worker<'_> {
    /// Moves amounts between accounts. Who finds all of them needs nothing but the transaction; who finds some gone sets all of them up
    /// anew, and then nobody else may do the same.
    pub(super) fn transfer(&mut self) {
        let account = eldest(self.key_of(|district| district == District::Account));
        if !self.try_transfer(account, false) {
            let _turn = self.truth().turn(account);
            self.try_transfer(account, true);
        }
    }

    /// False if accounts are gone and may not be set up.
    fn try_transfer(&mut self, account: u64, may_set_up: bool) -> bool {
        let (truth, keys) = (self.truth(), siblings(account));
        let parts = [self.random.below(TOTAL as usize) as i64, self.random.below(TOTAL as usize) as i64];
        let (mut found, mut stamp) = ([const { None }; TOGETHER], 0);
        let bounds = keys.map(|key| truth.bounds(key));
        let committed = self.cache.try_transaction(|transaction| {
            found = keys.map(|key| transaction.read(&key));
            if !may_set_up && found.iter().any(Option::is_none) {
                return Err(());
            }
            // After the look: so stamps rise in the order of the commits.
            stamp = truth.commit(account);
            let amounts = [parts[0], parts[1], TOTAL - parts[0] - parts[1]];
            for (key, amount) in keys.into_iter().zip(amounts) {
                transaction.insert(key, Row::new(key, stamp, amount));
            }
            Ok(())
        });
        for ((key, bounds), row) in keys.into_iter().zip(bounds).zip(&found) {
            row.iter().for_each(|row| truth.judge("Transaction::read", key, bounds, row));
        }
        if committed.is_ok() {
            self.judge_siblings("Transaction::read, committed", &found);
            truth.raise(account, stamp);
        }
        !matches!(committed, Err(brindle::TransactionError::Failed(())))
    }

    /// Replaces a counter by the next one.
    pub(super) fn count_on(&mut self) {
        let key = self.key_of(|district| district == District::Counter);
        if self.one_in(3) { self.compute_next(key) } else { self.swap_next(key) }
    }

    fn swap_next(&mut self, key: u64) {
        let truth = self.truth();
        let bounds = truth.bounds(key);
        let current = self.cache.get_entry(&key);
        let expected = current.as_ref().map_or(Expected::Absent, |entry| entry.version.into());
        let row = Row::new(key, truth.commit(key), current.as_ref().map_or(0, |entry| entry.value.amount) + 1);
        match (self.cache.compare_and_swap(key, expected, row), current) {
            (Ok(version), Some(entry)) => {
                truth.judge("compare_and_swap", key, bounds, &entry.value);
                truth.swapped("compare_and_swap", key, entry.version, version);
                truth.judge_version("compare_and_swap", key, bounds, version);
            }
            (Ok(version), None) => truth.judge_version("compare_and_swap", key, bounds, version),
            (Err(conflict), before) => {
                let Some(current) = conflict.current else { return };
                truth.judge_entry("compare_and_swap", bounds, &current);
                let is_same = before.is_some_and(|before| before.version == current.version());
                if is_same && !self.shared.plan.versioned_by {
                    let version = current.version();
                    truth.blame(|| format!("`compare_and_swap` of key {key} expected {version}, found it, and lost"));
                }
            }
        }
    }

    fn compute_next(&self, key: u64) {
        let truth = self.truth();
        let bounds = truth.bounds(key);
        let mut amount = 0;
        let done = self.cache.entry(key).and_compute_with(|entry| {
            amount = entry.map_or(0, |entry| entry.amount) + 1;
            Op::Put(Row::new(key, truth.commit(key), amount))
        });
        if let Computed::Replaced(version, old) = done {
            truth.judge_entry("and_compute_with", bounds, &old);
            truth.swapped("and_compute_with", key, old.version(), version);
            if old.amount + 1 != amount {
                let was = old.amount;
                truth.blame(|| {
                    format!("`and_compute_with` of counter {key} wrote {amount} in the place of {was}: an update is lost")
                });
            }
        }
    }
}
