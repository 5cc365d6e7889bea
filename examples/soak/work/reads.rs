//! Reads of every kind that do not load.

use brindle::EntryRef;

use crate::row::District;
use crate::row::Row;
use crate::row::TOTAL;
use crate::row::siblings;
use crate::truth::Bounds;

use super::GUARDS;
use super::Worker;

/// Keys of one read of many.
const MANY: usize = 12;
/// Snapshots of one operation.
const SNAPSHOTS: usize = 16;

impl Worker<'_> {
    pub(super) fn read(&mut self) {
        let key = self.key();
        let bounds = self.truth().bounds(key);
        match self.random.below(100) {
            0..40 => self.judge_all("get", &[(key, bounds)], &[self.cache.get(&key)]),
            40..55 => self.read_within(key, bounds),
            55..70 => self.read_entry(key, bounds),
            70..78 => self.keep_guard(key, bounds),
            78..84 => self.judge_all("peek", &[(key, bounds)], &[self.cache.peek(&key)]),
            84..88 => _ = self.cache.contains_key(&key),
            88..94 => self.read_many(),
            _ => self.snapshot(),
        }
    }

    fn judge_all(&self, call: &str, asked: &[(u64, Bounds)], found: &[Option<Row>]) {
        for (&(key, bounds), found) in asked.iter().zip(found) {
            if let Some(row) = found {
                self.truth().judge(call, key, bounds, row);
            }
        }
    }

    /// Another look-up within the first, and at times a write of the key that is being read.
    fn read_within(&mut self, key: u64, bounds: Bounds) {
        let (other, removes) = (self.key(), self.one_in(20));
        let (cache, truth) = (&self.cache, self.truth());
        cache.with(&key, |row| {
            let inner = truth.bounds(other);
            cache.with(&other, |row| truth.judge("with", other, inner, row));
            if removes {
                let _fencing = truth.fencing(key);
                cache.invalidate(&key);
            }
            truth.judge("with", key, bounds, row);
        });
    }

    fn read_entry(&self, key: u64, bounds: Bounds) {
        if let Some(entry) = self.cache.get_entry(&key) {
            self.truth().judge("get_entry", key, bounds, &entry.value);
            self.truth().judge_version("get_entry", key, bounds, entry.version);
        }
    }

    /// Guards are held until there are too many: what they show stays.
    fn keep_guard(&mut self, key: u64, bounds: Bounds) {
        let Some(guard) = self.cache.get_ref(&key) else { return };
        self.truth().judge_entry("get_ref", bounds, &guard);
        if self.left.guards.len() == GUARDS {
            let oldest = self.left.guards.swap_remove(self.random.below(GUARDS));
            self.let_go(&oldest);
        }
        self.left.guards.push(guard);
    }

    fn let_go(&self, guard: &EntryRef<u64, Row>) {
        if let Some(fault) = guard.value().fault(*guard.key()) {
            self.truth().blame(|| format!("a guard of key {} that was held for long shows {fault}: {guard:?}", guard.key()));
        }
    }

    fn read_many(&mut self) {
        let truth = self.truth();
        let asked: Vec<(u64, Bounds)> = (0..MANY).map(|_| self.key()).map(|key| (key, truth.bounds(key))).collect();
        let found = self.cache.get_many(asked.iter().map(|(key, _)| key));
        self.judge_all("get_many", &asked, &found);
    }

    /// Of accounts that belong together: they are all of one transaction. Several in a row, as commits are short.
    fn snapshot(&mut self) {
        let keys = siblings(self.key_of(|district| district == District::Account));
        for _ in 0..SNAPSHOTS {
            let asked = keys.map(|key| (key, self.truth().bounds(key)));
            let found = self.cache.get_many_snapshot(&keys);
            self.judge_all("get_many_snapshot", &asked, &found);
            self.judge_siblings("get_many_snapshot", &found);
        }
    }

    /// Accounts as they were at one moment.
    pub(super) fn judge_siblings(&self, call: &str, found: &[Option<Row>]) {
        let rows: Vec<&Row> = found.iter().flatten().collect();
        let Some(first) = rows.first() else { return };
        let agree = rows.iter().all(|row| row.stamp == first.stamp);
        let sum: i64 = rows.iter().map(|row| row.amount).sum();
        let adds_up = rows.len() < found.len() || sum == TOTAL;
        if !(agree && adds_up) {
            let seen: Vec<(u64, u64, i64)> = rows.iter().map(|row| (row.key, row.stamp, row.amount)).collect();
            self.truth().blame(|| {
                format!("`{call}`: (key, stamp, amount)\n  seen      {seen:?}\n  expected  one stamp, and {TOTAL} in all")
            });
        }
    }
}
