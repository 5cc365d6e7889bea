//! Writes through the cache, by threads and by tasks.

use std::cell::Cell;

use brindle::EntryRef;
use brindle::WriteError;

use crate::row::District;
use crate::row::Row;
use crate::source::Down;
use crate::source::Fate;
use crate::source::planned;
use crate::truth::Truth;

use super::Worker;

/// A write of the source: when it is over, no read may show what the source had before.
struct Committed<'a> {
    truth: &'a Truth,
    key: u64,
    stamp: Cell<Option<u64>>,
}

impl<'a> Committed<'a> {
    fn nothing(truth: &'a Truth, key: u64) -> Self {
        Self { truth, key, stamp: Cell::new(None) }
    }

    fn commit(&self) -> Row {
        let stamp = self.truth.commit(self.key);
        self.stamp.set(Some(stamp));
        Row::new(self.key, stamp, 0)
    }
}

impl Drop for Committed<'_> {
    fn drop(&mut self) {
        self.stamp.get().into_iter().for_each(|stamp| self.truth.raise(self.key, stamp));
    }
}

impl Worker<'_> {
    pub(super) fn write_through(&mut self) {
        let (truth, key) = (self.truth(), self.key_of(|district| district == District::Through));
        let (bounds, fate) = (truth.bounds(key), Fate::draw(&mut self.random));
        let committed = Committed::nothing(truth, key);
        let _fencing = truth.fencing(key);
        let written = planned(|| {
            self.cache.write_through(key, |current: Option<EntryRef<u64, Row>>| {
                current.iter().for_each(|entry| truth.judge_entry("write_through", bounds, entry));
                let row = committed.commit();
                fate.pause();
                fate.end().map(|()| fate.hand_out(row))
            })
        });
        self.written(key, written);
    }

    pub(super) async fn write_through_task(&self, key: u64, fate: Fate) {
        let truth = self.truth();
        // Dropped after the write, which may be dropped on its way.
        let committed = Committed::nothing(truth, key);
        let _fencing = truth.fencing(key);
        let written = self.cache.write_through_async(key, |_| async {
            let row = committed.commit();
            fate.pause_as_task().await;
            fate.end().map(|()| fate.hand_out(row))
        });
        let written = written.await;
        self.written(key, Some(written));
    }

    fn written(&self, key: u64, written: Option<Result<Option<brindle::Version>, WriteError<Down>>>) {
        if let Some(Err(WriteError::Reentrant)) = written {
            self.truth().blame(|| format!("`write_through` of key {key} is said to wait for itself"));
        }
    }
}
