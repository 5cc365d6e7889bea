//! The one transition that brings a value in. Everything that can refuse it comes before anything that changes.

use crate::event::Cause;
use crate::event::Moment;
use crate::event::Write;
use crate::rule::tombstone::EqualSource;
use crate::rule::tombstone::Known;
use crate::rule::tombstone::admit_source;
use crate::rule::version::Claim;
use crate::rule::version::Version;
use crate::sync::Ordering;
use crate::time::deadline;

use super::index::Index;
use super::index::ordinal;
use super::locked::Locked;
use super::locked::Resident;
use super::node::CLAIMED;
use super::node::HASH_MASK;
use super::node::SOURCED;
use super::node::TIMED;
use super::node::UNEVICTABLE;
use super::node::UNSURE;
use super::pin::Pin;
use super::reclaim::Outgrown;

/// Why a write was refused. The write itself goes back to the caller beside it.
pub(crate) enum Refusal<K, V> {
    /// The condition does not hold; the entry that is there.
    Conflict(Option<Pin<K, V>>),
    /// The source version is not newer than what is known of the key.
    Superseded(Version),
    /// Heavier than the capacity.
    TooHeavy,
    /// Not in the assumed state any more.
    Changed,
}

/// A write that did not happen.
pub(crate) type Refused<K, V> = (Refusal<K, V>, Write<K, V>);

/// What a write did.
pub(crate) struct Put {
    pub(crate) version: Version,
    pub(crate) weight: u64,
    /// The key had no entry before, so the write stands for a miss.
    pub(crate) fresh: bool,
}

/// A node ready to be published.
struct Draft {
    hash: u64,
    version: Version,
    flags: u8,
    weight: u64,
    due: u64,
    idle: u64,
}

impl<K: Eq, V> Locked<'_, K, V> {
    /// Writes, or says why not and gives the write back.
    pub(crate) fn put(&mut self, write: Write<K, V>, moment: Moment) -> Result<Put, Refused<K, V>> {
        let current = self.find(write.hash, &write.key, moment.now);
        let known = self.state.graves.known(write.hash & HASH_MASK, moment.now);
        if let Err(refusal) = self.check(&write, current, known, moment) {
            return Err((refusal, write));
        }
        self.state.revision += 1;
        let draft = self.draft(&write, current, known);
        let version = draft.version;
        let dead_on_arrival = if write.weight > moment.capacity {
            Some(Cause::Evicted)
        } else {
            deadline::is_due(write.due.min(write.idle), moment.now).then_some(Cause::Expired)
        };
        let weight = write.weight;
        let slot = self.fill(draft, (write.key, write.value));
        match (dead_on_arrival, current) {
            (None, Some(old)) => self.replace(old, slot),
            (None, None) => self.link(slot),
            (Some(cause), old) => self.stillborn(old, slot, cause, moment.now),
        }
        self.state.counts.inserts += 1;
        Ok(Put { version, weight, fresh: current.is_none() })
    }

    /// Everything that may refuse the write.
    fn check(
        &mut self,
        write: &Write<K, V>,
        current: Option<Resident>,
        known: Known,
        moment: Moment,
    ) -> Result<(), Refusal<K, V>> {
        let version = current.map(|resident| resident.version);
        if !write.condition.holds(version) {
            return Err(Refusal::Conflict(current.map(|resident| self.pin(resident))));
        }
        if write.assumed.is_some_and(|assumed| assumed != version) {
            return Err(Refusal::Changed);
        }
        if let Claim::At(source) = write.claim {
            self.check_source(source, current, known)?;
        }
        if write.refuse_heavy && write.weight > moment.capacity {
            return Err(Refusal::TooHeavy);
        }
        Ok(())
    }

    fn check_source(&mut self, source: u64, current: Option<Resident>, known: Known) -> Result<(), Refusal<K, V>> {
        let has = |flag| current.is_some_and(|resident| self.node(resident.spot.slot).has(flag));
        // An entry that does not know its key's past is no better than none while that past is forgotten.
        let unsure = has(UNSURE) && matches!(known, Known::Forgotten(_));
        let judged = current.map(|resident| resident.version).filter(|_| !unsure);
        // What has its source from before was written after that state: the same state again is not news.
        let equal = if has(CLAIMED) { self.state.config.equal } else { EqualSource::Refuse };
        let Err(newer) = admit_source(judged, known, source, equal) else { return Ok(()) };
        self.state.counts.refused_stale += 1;
        Err(Refusal::Superseded(current.map_or(newer, |resident| resident.version.max(newer))))
    }

    fn draft(&self, write: &Write<K, V>, current: Option<Resident>, known: Known) -> Draft {
        let highest = current.map_or(known.source(), |resident| resident.version.source());
        let (source, claimed) = match write.claim {
            Claim::At(source) => (source, true),
            Claim::Unversioned => (highest, false),
        };
        let inherited = current.map_or(0, |resident| self.node(resident.spot.slot).flags(SOURCED | UNSURE));
        let mut flags = if claimed { SOURCED | CLAIMED } else { inherited };
        if source > 0 {
            flags |= SOURCED;
        }
        if !claimed && current.is_none() && matches!(known, Known::Forgotten(_)) {
            flags |= UNSURE;
        }
        if write.weight == 0 {
            flags |= UNEVICTABLE;
        }
        if write.timed || write.due.min(write.idle) != deadline::NEVER {
            flags |= TIMED;
        }
        let version = Version::new(source, self.state.revision);
        Draft { hash: write.hash & HASH_MASK, version, flags, weight: write.weight, due: write.due, idle: write.idle }
    }

    /// Makes a node that nobody sees yet.
    fn fill(&mut self, draft: Draft, pair: (K, V)) -> u32 {
        let slab = &self.stripe.slab;
        let (slot, outgrown) = slab.take(&mut self.state.slots);
        self.state.grew |= outgrown.is_some();
        self.state.outgrown.extend(outgrown.map(Outgrown::directory));
        let slot = slot.expect("a stripe holds fewer than 2^32 entries");
        // SAFETY: just taken from the slab, and the lock is held; nobody else has the slot until it is linked.
        unsafe {
            if draft.flags & SOURCED != 0 {
                slab.set_source(slot, draft.version.source());
            }
            if self.state.config.weighted {
                slab.set_weight(slot, draft.weight);
            }
            if draft.flags & TIMED != 0 {
                let deadlines = slab.deadlines(slot);
                deadlines.due.store(draft.due, Ordering::Relaxed);
                deadlines.idle.store(draft.idle, Ordering::Relaxed);
            }
            slab.node(slot).fill(draft.hash, draft.version.revision(), draft.flags, pair);
        }
        slot
    }

    /// The key was absent: the node becomes its entry.
    fn link(&mut self, slot: u32) {
        let node = self.node(slot);
        self.make_room_in_index();
        self.index().link(node.hash(), slot);
        let weight = self.weight(slot);
        if !node.has(UNEVICTABLE) {
            self.state.policy.admit(slot, ordinal(node.hash()), weight);
        }
        self.schedule(slot);
        self.resize(1, (weight, 0));
    }

    /// The node takes the place of the key's entry, in the table and in the policy.
    fn replace(&mut self, old: Resident, slot: u32) {
        let old_slot = old.spot.slot;
        let (old_node, node) = (self.node(old_slot), self.node(slot));
        let (old_weight, weight) = (self.weight(old_slot), self.weight(slot));
        node.set_uses(old_node.uses());
        self.index().swap(old.spot, slot);
        match (old_node.has(UNEVICTABLE), node.has(UNEVICTABLE)) {
            (false, false) => self.state.policy.replace(old_slot, slot, old_weight, weight),
            (false, true) => self.state.policy.remove(old_slot, old_weight),
            (true, false) => self.state.policy.admit(slot, ordinal(node.hash()), weight),
            (true, true) => {}
        }
        if old_node.has(TIMED) {
            self.state.wheel.cancel(old_slot);
        }
        self.schedule(slot);
        self.resize(0, (weight, old_weight));
        self.retire(old_slot, Cause::Replaced);
    }

    /// The write takes effect, but its value cannot stay: whatever was there goes, and the value after it.
    fn stillborn(&mut self, old: Option<Resident>, slot: u32, cause: Cause, now: u64) {
        if let Some(old) = old {
            self.take_out(old, Cause::Replaced, now);
        }
        self.remember(slot, cause, now);
        self.retire(slot, cause);
    }

    fn schedule(&mut self, slot: u32) {
        let deadline = self.deadline(slot);
        if deadline != deadline::NEVER {
            self.state.wheel.schedule(slot, deadline);
        }
    }

    /// Grows the index when it is full, in halves of the size that the capacity asks for, so that none of it is left over there.
    fn make_room_in_index(&mut self) {
        let (index, entries) = (self.index(), self.stripe.entries());
        if entries < index.room() {
            return;
        }
        let wanted = Index::buckets_for(self.state.config.expected.unwrap_or(0).max(1));
        let steps = (0..usize::BITS).map(|halvings| wanted.div_ceil(1 << halvings)).take_while(|&size| size > index.len());
        let grown = steps.last().unwrap_or(index.len() + index.len().div_ceil(2));
        self.grow_index(Index::new(grown));
    }

    fn grow_index(&mut self, grown: Index) {
        let index = self.index();
        for bucket in 0..index.len() {
            for slot in index.slots(bucket) {
                grown.link(self.node(slot).hash(), slot);
            }
        }
        let current = self.stripe.index.load(Ordering::Relaxed);
        // Release: pairs with the acquire of readers, who find every entry in the one array or the other.
        self.stripe.index.store(Box::into_raw(Box::new(grown)), Ordering::Release);
        // Only now: a reader in the old array that announces a node and then finds it wiped looks again in the new one. So nothing
        // that leaves the new array can be taken for linked in the old.
        index.wipe();
        // SAFETY: boxed by the stripe or an earlier growth, and no longer reachable from it.
        self.state.outgrown.push(Outgrown::index(unsafe { Box::from_raw(current) }));
        self.state.grew = true;
    }
}
