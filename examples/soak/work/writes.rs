//! Writes of one key whose source is elsewhere: with the source's lock held, or as messages with versions that come in any order.

use std::sync::PoisonError;
use std::time::Duration;

use brindle::Computed;
use brindle::Op;

use crate::row::District;
use crate::row::Row;
use crate::row::group;

use super::Worker;

/// Messages on their way.
const IN_FLIGHT: usize = 256;

/// What a source with versions tells the cache.
#[derive(Clone, Copy)]
pub(crate) enum Message {
    /// It has this state.
    Written { key: u64, stamp: u64 },
    /// What is older than this state is dead.
    Ended { key: u64, stamp: u64 },
}

impl Worker<'_> {
    pub(super) fn write(&mut self) {
        let key = self.key_of(|district| matches!(district, District::Plain | District::Versioned));
        match District::of(key) {
            District::Versioned => self.write_versioned(key),
            _ => self.write_plain(key),
        }
    }

    /// The source and the cache change before anybody else changes the source.
    fn write_plain(&mut self, key: u64) {
        let truth = self.truth();
        let _turn = truth.turn(key);
        let stamp = truth.commit(key);
        if self.one_in(8) {
            // Nobody is told: until the key is invalidated, in whatever way, the cache may show what was.
            return;
        }
        let _fencing = truth.fencing(key);
        if !self.put(key, stamp) {
            self.cache.invalidate(&key);
        }
        truth.raise(key, stamp);
    }

    /// Did the value take effect?
    fn put(&mut self, key: u64, stamp: u64) -> bool {
        let row = Row::new(key, stamp, 0);
        let versioned = self.shared.plan.versioned_by;
        // Where the version is in the value, it may be refused; then another one is the answer.
        let is_own = |version: brindle::Version| !versioned || version.source() == stamp;
        match self.random.below(12) {
            0..3 => is_own(self.cache.insert(key, row)),
            3 => self.cache.try_insert(key, row).is_ok_and(is_own),
            4 => is_own(self.cache.insert_with_ttl(key, row, Duration::from_millis(stamp % 64))),
            5 => is_own(self.cache.insert_in_groups(key, row, [group(key), 1000 + stamp % 4])),
            6 => {
                let current = self.cache.get_entry(&key).map(|entry| entry.version);
                self.cache.compare_and_swap(key, current, row).is_ok()
            }
            7 => self.cache.insert_if_absent(key, row).is_ok(),
            8 => {
                let done = self.cache.entry(key).and_compute_with(|_| Op::Put(row.clone()));
                !matches!(done, Computed::Superseded(..))
            }
            9 => self.cache.transaction(|transaction| transaction.insert(key, row)).is_ok(),
            _ => false,
        }
    }

    /// The source changes, and tells the cache now or later, once or twice.
    fn write_versioned(&mut self, key: u64) {
        let stamp = self.truth().commit(key);
        let message = if self.one_in(2) { Message::Written { key, stamp } } else { Message::Ended { key, stamp } };
        let (now, later) = (self.one_in(2), self.one_in(2));
        if now {
            self.deliver(message);
        }
        if !now || later {
            let late = self.exchange(message);
            late.into_iter().for_each(|message| self.deliver(message));
        }
    }

    /// Puts a message among those on their way, and takes another one out if they are many.
    fn exchange(&mut self, message: Message) -> Option<Message> {
        let mut messages = self.shared.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.push(message);
        let at = self.random.below(messages.len());
        (messages.len() > IN_FLIGHT || self.random.below(4) == 0).then(|| messages.swap_remove(at))
    }

    fn deliver(&mut self, message: Message) {
        let (truth, in_transaction) = (self.truth(), self.one_in(4));
        match message {
            Message::Written { key, stamp } => {
                let row = Row::new(key, stamp, 0);
                let _fencing = truth.fencing(key);
                let is_news = if in_transaction {
                    self.cache.transaction(|transaction| transaction.insert_at(key, row, stamp)).is_ok()
                } else {
                    self.cache.insert_at(key, row, stamp).is_ok()
                };
                if is_news {
                    truth.raise(key, stamp);
                }
            }
            Message::Ended { key, stamp } => {
                let _fencing = truth.fencing(key);
                if in_transaction {
                    // Nothing is expected, so nothing can be otherwise.
                    if self.cache.transaction(|transaction| transaction.invalidate_at(&key, stamp)).is_err() {
                        truth.blame(|| format!("a transaction that only invalidates key {key} was aborted"));
                    }
                } else {
                    self.cache.invalidate_at(&key, stamp);
                }
                truth.raise(key, stamp);
            }
        }
    }

    /// Removes an entry in one way or the other.
    pub(super) fn end_something(&mut self) {
        let (truth, key) = (self.truth(), self.key());
        let state = truth.state(key);
        {
            let _fencing = truth.fencing(key);
            let bounds = truth.bounds(key);
            let removed = match self.random.below(4) {
                0 => self.cache.remove(&key),
                1 => self.cache.remove_if(&key, |_, _| true),
                2 => {
                    let removed = self.cache.transaction(|transaction| transaction.remove(&key));
                    removed.unwrap_or_default()
                }
                _ => {
                    self.cache.invalidate(&key);
                    None
                }
            };
            if let Some(row) = removed {
                truth.judge("remove", key, bounds, &row);
            }
        }
        truth.raise_all(state);
    }
}
