//! The entries of a stripe whose time is up, with its lock held. An entry that has expired is served no more, but it may stay a while
//! as what loads serve until they are done (`serve_stale`); any write of its key, and any removal, takes it out.

use equivalent::Equivalent;

use crate::event::Cause;
use crate::time::deadline;

use super::locked::Locked;
use super::locked::Resident;
use super::node::TIMED;

/// Expired entries that one call takes out, and tombstones that it looks at.
const SWEPT: usize = 8;

/// What loads may serve.
pub(crate) enum Serving<'a, K, V> {
    Live(Resident<'a, K, V>),
    /// Expired, but not long ago.
    Stale(Resident<'a, K, V>),
}

impl<'a, K, V> Locked<'a, K, V> {
    /// The entry of `key`, if it has not expired; an expired one is taken out on the way.
    #[inline(always)]
    pub(crate) fn find<Q>(&mut self, hash: u64, key: &Q, now: u64) -> Option<Resident<'a, K, V>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let resident = self.locate(hash, key)?;
        if resident.node.has(TIMED) && deadline::is_due(self.deadline(resident.spot.slot), now) {
            self.take_out(resident, Cause::Expired, now);
            return None;
        }
        Some(resident)
    }

    /// What loads may serve of `key`; an entry that is too old for that is taken out on the way.
    pub(crate) fn find_serving<Q>(&mut self, hash: u64, key: &Q, now: u64) -> Option<Serving<'a, K, V>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let resident = self.locate(hash, key)?;
        let slot = resident.spot.slot;
        if !deadline::is_due(self.deadline(slot), now) {
            return Some(Serving::Live(resident));
        }
        if deadline::is_due(self.end(slot), now) {
            self.take_out(resident, Cause::Expired, now);
            return None;
        }
        Some(Serving::Stale(resident))
    }

    /// What a load of `key` could only make older. Asked before each load that is not for want of a value: so while an entry is held none
    /// begins.
    pub(crate) fn find_held<Q>(&self, hash: u64, key: &Q) -> Option<Serving<'a, K, V>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.locate(hash, key).filter(Resident::is_held).map(Serving::Live)
    }

    /// When the entry goes: it expires at its deadline, and may be served as stale for a while after it.
    pub(super) fn end(&self, slot: u32) -> u64 {
        self.end_after(self.deadline(slot))
    }

    #[inline(always)]
    pub(super) fn end_after(&self, deadline: u64) -> u64 {
        deadline.saturating_add(self.state.config.stale_for)
    }

    /// Drops some entries whose time is up, and some tombstones that are too old to matter.
    #[inline(always)]
    pub(crate) fn sweep(&mut self, now: u64) {
        if self.state.quiet {
            return;
        }
        if !self.state.graves.is_empty() {
            self.state.graves.sweep(now, SWEPT);
        }
        if self.state.wheel.next_due() <= now {
            self.expire_some(now);
        }
    }

    #[cold]
    fn expire_some(&mut self, now: u64) {
        let mut due = Vec::new();
        self.state.wheel.advance(now, SWEPT, &mut due);
        due.into_iter().for_each(|slot| self.expire(slot, now));
    }

    /// A read has brought the deadline of `key` forward.
    pub(crate) fn reschedule<Q>(&mut self, hash: u64, key: &Q)
    where
        Q: Equivalent<K> + ?Sized,
    {
        if let Some(resident) = self.locate(hash, key).filter(|resident| resident.node.has(TIMED)) {
            let slot = resident.spot.slot;
            let end = self.end(slot);
            self.state.quiet = false;
            self.state.wheel.schedule(slot, end);
        }
    }

    /// The wheel says that `slot` is due; reads may have moved its deadline since.
    fn expire(&mut self, slot: u32, now: u64) {
        let end = self.end(slot);
        if !deadline::is_due(end, now) {
            self.state.quiet = false;
            self.state.wheel.schedule(slot, end);
            return;
        }
        self.take_out(self.resident(slot), Cause::Expired, now);
    }
}
