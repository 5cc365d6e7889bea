//! A stripe with its lock held: look an entry up, take one out, evict, scan. Each call leaves the stripe whole.

use equivalent::Equivalent;

use crate::event::Cause;
use crate::event::Counts;
use crate::rule::tombstone::admits_invalidation;
use crate::rule::version::Version;
use crate::sync::Broken;
use crate::sync::MutexGuard;
use crate::sync::Ordering;
use crate::sync::is_broken;
use crate::time::deadline;

use super::flights::Ended;
use super::index::Index;
use super::index::Spot;
use super::index::ordinal;
use super::node::HELD;
use super::node::Node;
use super::node::TIMED;
use super::pin::Pin;
use super::reader::Reading;
use super::reclaim::Effects;
use super::stripe::State;
use super::stripe::Stripe;

/// Buckets that one step of a scan covers.
const SCANNED: u64 = 16;

pub(crate) struct Locked<'a, K, V> {
    pub(super) stripe: &'a Stripe<K, V>,
    pub(super) state: MutexGuard<'a, State<K, V>>,
    /// The stripe's weight when the lock was taken, or when it was last entered in the cache's.
    before: u64,
}

impl<K, V> Stripe<K, V> {
    /// Waits for the lock; held for one transition, so never for long.
    #[inline(always)]
    pub(crate) fn lock(&self) -> Locked<'_, K, V> {
        let state = self.writers.state.lock();
        Locked { stripe: self, state, before: self.weight() }
    }

    /// The lock, if nobody has it.
    pub(crate) fn try_lock(&self) -> Option<Locked<'_, K, V>> {
        let state = self.writers.state.try_lock()?;
        Some(Locked { stripe: self, state, before: self.weight() })
    }
}

/// A resident entry, for as long as the lock is held.
pub(crate) struct Resident<'a, K, V> {
    pub(super) spot: Spot,
    pub(super) node: &'a Node<K, V>,
    pub(crate) version: Version,
}

impl<K, V> Clone for Resident<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Resident<'_, K, V> {}

impl<K, V> Resident<'_, K, V> {
    /// The source that it is known to have reached: what is below it is old news.
    #[inline(always)]
    pub(super) fn reached(&self) -> u64 {
        self.node.reached(self.version)
    }

    /// May it neither be evicted nor expire nor be loaded again?
    #[inline(always)]
    pub(crate) fn is_held(&self) -> bool {
        self.node.has(HELD)
    }
}

impl<'a, K, V> Locked<'a, K, V> {
    /// What must be done once the lock is given back.
    #[must_use = "what left the table waits for its effects"]
    #[inline(always)]
    pub(crate) fn effects(&mut self, now: u64) -> Effects<K, V> {
        let reclaim = self.wants_reclaim();
        if self.state.quiet {
            return Effects { reclaim, tell: false, ended: Vec::new() };
        }
        if !self.state.flights.is_empty() {
            // Only now: who came for an overdue lease has taken it over.
            self.sweep_flights(now);
        }
        self.state.quiet = self.state.is_quiet();
        let telling = self.state.telling && !is_broken(Broken::TellingAlone);
        let tell = !self.state.notices.is_empty() && !telling;
        Effects { reclaim, tell, ended: self.state.flights.take_ended() }
    }

    /// Is a batch full, or an array outgrown?
    #[inline(always)]
    pub(crate) fn wants_reclaim(&mut self) -> bool {
        std::mem::take(&mut self.state.grew) || self.state.retired.len() >= self.state.reclaim_at
    }

    /// The flights that have ended since the lock was taken, and what those who wait for them get.
    pub(crate) fn take_ended(&mut self) -> Vec<Ended<K, V>> {
        self.state.flights.take_ended()
    }

    #[inline(always)]
    pub(super) fn index(&self) -> &'a Index {
        // SAFETY: only the lock's holder replaces the index, so the current one is alive; an outgrown one outlives `'a` too, as
        // reclaiming takes the lock.
        unsafe { &*self.stripe.index.load(Ordering::Acquire) }
    }

    /// The stripe's weight when the lock was taken.
    #[inline(always)]
    pub(crate) fn weight_before(&self) -> u64 {
        self.before
    }

    /// The change of the weight so far is entered in the cache's: from here on another is counted.
    pub(crate) fn start_anew(&mut self) {
        self.before = self.stripe.weight();
    }

    /// The stripe's weight now.
    #[inline(always)]
    pub(crate) fn stripe_weight(&self) -> u64 {
        self.stripe.weight()
    }

    /// The node of a slot that the table or the policy has.
    #[inline(always)]
    pub(super) fn node(&self, slot: u32) -> &'a Node<K, V> {
        // SAFETY: handed out, and the lock is held.
        unsafe { self.stripe.slab.node(slot) }
    }

    /// The entry of `key`, expired or not.
    #[inline(always)]
    pub(super) fn locate<Q>(&self, hash: u64, key: &Q) -> Option<Resident<'a, K, V>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.find_node(hash, key).map(|(spot, node)| self.resident_of(spot, node))
    }

    /// Where the entry of `key` is, expired or not.
    #[inline(always)]
    pub(super) fn find_node<Q>(&self, hash: u64, key: &Q) -> Option<(Spot, &'a Node<K, V>)>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.index().find_map(hash, |slot| {
            let node = self.node(slot);
            // SAFETY: linked nodes are occupied, and the lock keeps them so.
            key.equivalent(unsafe { &node.pair().0 }).then_some(node)
        })
    }

    fn resident_at(&self, spot: Spot) -> Resident<'a, K, V> {
        self.resident_of(spot, self.node(spot.slot))
    }

    #[inline(always)]
    pub(super) fn resident_of(&self, spot: Spot, node: &'a Node<K, V>) -> Resident<'a, K, V> {
        // SAFETY: the lock is held.
        Resident { spot, node, version: unsafe { self.stripe.version_of(spot.slot, node) } }
    }

    #[inline(always)]
    pub(super) fn deadline(&self, slot: u32) -> u64 {
        if !self.node(slot).has(TIMED) {
            return deadline::NEVER;
        }
        // SAFETY: the lock is held.
        unsafe { self.stripe.slab.deadlines(slot) }.soonest()
    }

    #[inline(always)]
    pub(super) fn weight(&self, slot: u32) -> u64 {
        if self.state.quiet || !self.state.config.weighted {
            return 1;
        }
        // SAFETY: the lock is held.
        unsafe { self.stripe.slab.weight(slot) }
    }

    /// Announces a resident entry in `reading`, so that it may be read after the lock is gone and the entry out of the table.
    pub(crate) fn hold<'r>(&self, resident: Resident<'a, K, V>, reading: &'r Reading<'_>) -> &'r (K, V)
    where
        'a: 'r,
    {
        let node = resident.node;
        reading.leave_table(node.address());
        // SAFETY: it was linked when it was announced, as the lock is held: whoever reclaims it does so later and sees the word.
        unsafe { node.pair() }
    }

    /// Keeps a resident entry for a guard.
    pub(crate) fn pin(&self, resident: Resident<'a, K, V>) -> Pin<K, V> {
        // SAFETY: in the table, and the lock is held.
        unsafe { self.stripe.pin(resident.spot.slot, resident.node) }
    }

    /// The key of a resident entry.
    pub(super) fn key_of(&self, resident: Resident<'a, K, V>) -> &'a K {
        // SAFETY: linked nodes are occupied, and the lock keeps them so.
        unsafe { &resident.node.pair().0 }
    }

    /// The mirrors that are read without the lock.
    #[inline(always)]
    pub(super) fn resize(&mut self, entries: isize, (more, less): (u64, u64)) {
        let writers = &self.stripe.writers;
        // Relaxed, load and store: only the lock's holder writes them.
        let count = writers.entries.load(Ordering::Relaxed).wrapping_add_signed(entries);
        writers.entries.store(count, Ordering::Relaxed);
        if more != less {
            writers.weight.store(writers.weight.load(Ordering::Relaxed) + more - less, Ordering::Relaxed);
        }
    }

    /// The resident entry in a slot that is in the table.
    pub(super) fn resident(&self, slot: u32) -> Resident<'a, K, V> {
        let node = self.node(slot);
        self.resident_of(self.spot_of(slot, node), node)
    }

    /// Where an entry that is in the table lies.
    #[inline(always)]
    pub(super) fn spot_of(&self, slot: u32, node: &Node<K, V>) -> Spot {
        let spot = self.index().find(node.hash(), |other| other == slot);
        spot.expect("the table has what wheel and policy have")
    }

    /// Takes every entry out, and fences every flight.
    pub(crate) fn clear(&mut self, now: u64) {
        self.fence_all();
        let index = self.index();
        // Emptied at once for readers that come from here on, then told one by one.
        let spots: Vec<Spot> = (0..index.len()).flat_map(|bucket| index.spots(bucket)).collect();
        index.wipe();
        self.state.policy.clear();
        for spot in spots {
            self.forget(self.resident_at(spot), Cause::Cleared, now);
        }
    }

    /// Shows the entries whose ordinals lie in the next part of the stripe, those that have expired only if `stale` ones are wanted and
    /// they may still be served; gives back where to go on. Ordinals do not move when the index grows, so a scan in steps sees every entry
    /// that stays throughout, once.
    pub(crate) fn scan(&self, from: u64, now: u64, stale: bool, mut see: impl FnMut(Resident<'a, K, V>)) -> Option<u64> {
        let index = self.index();
        let until = (from + ((SCANNED << 32) / index.len() as u64).max(1)).min(1 << 32);
        let (first, last) = (index.home(from as u32), index.home((until - 1) as u32));
        let mut bucket = first;
        for step in 0..index.len() {
            for spot in index.spots(bucket) {
                let resident = self.resident_at(spot);
                let at = u64::from(ordinal(resident.node.hash()));
                let end = if stale { self.end(spot.slot) } else { self.deadline(spot.slot) };
                if (from..until).contains(&at) && !deadline::is_due(end, now) {
                    see(resident);
                }
            }
            if first + step >= last && index.bucket(bucket).tags().passed() == 0 {
                break;
            }
            bucket = index.next(bucket);
        }
        (until < 1 << 32).then_some(until)
    }

    /// This many entries are expected from now on.
    pub(crate) fn expect(&mut self, entries: Option<usize>) {
        self.state.config.expected = entries;
    }

    /// Hits of these entries have more to see to than their count from now on: those whose ordinals have no bit of `mask`.
    pub(crate) fn watch(&mut self, mask: u32) {
        self.state.watch = mask;
        let index = self.index();
        let entries = (0..index.len()).flat_map(|bucket| index.spots(bucket)).map(|spot| self.node(spot.slot));
        entries.filter(|node| self.is_watched(node.hash())).for_each(Node::attend);
    }

    #[inline(always)]
    pub(super) fn is_watched(&self, hash: u64) -> bool {
        ordinal(hash) & self.state.watch == 0
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state.counts
    }

    /// Tombstones held, and lost before their time.
    pub(crate) fn tombstones(&self) -> (usize, u64) {
        (self.state.graves.len(), self.state.graves.lost_early())
    }

    /// Ends every state of `key` below a source version, and fences its flight; false if one at or above it is there.
    pub(crate) fn invalidate_at<Q>(&mut self, hash: u64, key: &Q, source: u64, now: u64) -> bool
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.fence(hash, key);
        let current = self.find(hash, key, now);
        if !admits_invalidation(current.map(|resident| resident.reached()), source) {
            self.state.counts.refused_stale += u64::from(current.is_some_and(|newer| newer.version.source() > source));
            return false;
        }
        if let Some(resident) = current {
            self.take_out(resident, Cause::Invalidated, now);
        }
        self.bury_source(hash, source, false, now);
        true
    }

    /// Bytes of the stripe's structures.
    pub(crate) fn memory(&self) -> usize {
        let state = &*self.state;
        let table = self.stripe.slab.memory() + self.index().memory() + state.slots.memory();
        let lists = state.retired.capacity() * size_of::<u32>() + state.notices.capacity() * size_of::<(u32, Cause)>();
        let side = state.policy.memory() + state.wheel.memory() + state.graves.memory() + state.flights.memory();
        let side = side + state.groups.memory();
        table + lists + side + size_of::<Stripe<K, V>>()
    }
}
