//! One stripe: what readers follow without a lock, and beside it, on cache lines of its own, what writers keep under the lock.

use std::mem;

use equivalent::Equivalent;

use crate::config::StripeConfig;
use crate::event::Cause;
use crate::event::Counts;
use crate::event::Refresh;
use crate::policy::Policy;
use crate::rule::version::Version;
use crate::sync::AtomicPtr;
use crate::sync::AtomicU64;
use crate::sync::AtomicUsize;
use crate::sync::Broken;
use crate::sync::IS_MODELLED;
use crate::sync::Mutex;
use crate::sync::Ordering;
use crate::sync::is_broken;
use crate::sync::prefetch;
use crate::time::Wheel;
use crate::time::deadline;

use super::bucket::Bucket;
use super::bucket::NIL;
use super::column::Deadlines;
use super::flights::Flights;
use super::graves::Graves;
use super::groups::Groups;
use super::index::Index;
use super::index::home;
use super::index::ordinal;
use super::index::tag;
use super::node::Node;
use super::node::SOURCED;
use super::node::TIMED;
use super::pin::Pin;
use super::reader::FastReading;
use super::reader::Reading;
use super::reclaim::Outgrown;
use super::slab::Slab;
use super::slab::Slots;

#[repr(align(128))]
pub(crate) struct Stripe<K, V> {
    pub(super) index: AtomicPtr<Index>,
    /// The buckets of `index` and their number, for the short way to a hit. Not a pair: a reader may see the old number with the new
    /// buckets, which are never fewer; so what it finds is true, and what it does not find it searches for in `index`.
    pub(super) bucket_count: AtomicUsize,
    pub(super) buckets: AtomicPtr<Bucket>,
    pub(super) slab: Slab<K, V>,
    pub(super) writers: Writers<K, V>,
}

/// What writers touch, kept off the readers' lines.
#[repr(align(128))]
pub(super) struct Writers<K, V> {
    pub(super) state: Mutex<State<K, V>>,
    /// Entries, their weight, and flights, for those who only want to know.
    pub(super) entries: AtomicUsize,
    pub(super) weight: AtomicU64,
    pub(super) flights: AtomicUsize,
}

/// Everything that the lock guards.
pub(super) struct State<K, V> {
    pub(super) config: StripeConfig,
    /// Nothing here can end, nobody is told, nothing is known of absent keys, no load is under way, nothing is in a group, and every entry
    /// weighs 1: then a plain write has nothing to see to but its own. Whatever ends the quiet says so at once; that it is quiet again is seen by the next
    /// transition.
    pub(super) quiet: bool,
    /// Hits of which entries have more to see to than their count: those whose ordinals have none of these bits.
    pub(super) watch: u32,
    pub(super) slots: Slots,
    pub(super) revision: u64,
    pub(super) policy: Policy,
    pub(super) wheel: Wheel,
    pub(super) graves: Graves,
    pub(super) flights: Flights<K, V>,
    pub(super) groups: Groups,
    pub(super) counts: Counts,
    /// Slots out of the table whose readers may still be at them, and how many of them make a batch worth reclaiming.
    pub(super) retired: Vec<u32>,
    pub(super) batch: usize,
    pub(super) reclaim_at: usize,
    pub(super) outgrown: Vec<Outgrown<K, V>>,
    /// An array was outgrown since the last unlock.
    pub(super) grew: bool,
    /// Whom the listener is still to be told of, and whether somebody is telling.
    pub(super) notices: Vec<(u32, Cause)>,
    pub(super) telling: bool,
}

impl<K, V> State<K, V> {
    pub(super) fn is_quiet(&self) -> bool {
        let StripeConfig { told, weighted, refreshing, .. } = self.config;
        let plain = !told && !weighted && !refreshing;
        let timeless = self.wheel.next_due() == deadline::NEVER && self.graves.is_quiet();
        plain && timeless && self.flights.is_quiet() && self.groups.is_quiet()
    }
}

// SAFETY: the pointer leads to an index that the stripe owns; the rest says for itself.
unsafe impl<K: Send, V: Send> Send for Stripe<K, V> {}
// SAFETY: as above; entries are shared between readers and dropped by whichever thread reclaims them.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Stripe<K, V> {}

impl<K, V> Stripe<K, V> {
    pub(crate) fn new(config: StripeConfig, seed: u64) -> Self {
        let expected = config.expected.unwrap_or(0);
        let policy = Policy::new(config.weighted, seed);
        let batch = batch_for::<(K, V)>(expected);
        let graves =
            Graves::new(config.tombstones, deadline::nanos(config.tombstone_ttl), config.ordering, config.when_forgotten);
        let state = State {
            slots: Slots::new(),
            revision: 0,
            policy,
            wheel: Wheel::new(),
            graves,
            flights: Flights::new(),
            groups: Groups::new(),
            counts: Counts::default(),
            retired: Vec::new(),
            batch,
            reclaim_at: batch,
            outgrown: Vec::new(),
            grew: false,
            notices: Vec::new(),
            telling: false,
            quiet: false,
            watch: u32::MAX,
            config,
        };
        let index = Box::new(Index::new(1));
        Stripe {
            bucket_count: AtomicUsize::new(index.len()),
            buckets: AtomicPtr::new(index.as_ptr().cast_mut()),
            index: AtomicPtr::new(Box::into_raw(index)),
            slab: Slab::new(if expected == 0 { 0 } else { expected + batch }),
            writers: Writers {
                state: Mutex::new(state),
                entries: AtomicUsize::new(0),
                weight: AtomicU64::new(0),
                flights: AtomicUsize::new(0),
            },
        }
    }

    /// Entries here, without the lock.
    pub(crate) fn entries(&self) -> usize {
        self.writers.entries.load(Ordering::Relaxed)
    }

    /// Weight of the entries here, without the lock.
    pub(crate) fn weight(&self) -> u64 {
        self.writers.weight.load(Ordering::Relaxed)
    }

    /// Open flights here, without the lock.
    pub(crate) fn flights(&self) -> usize {
        self.writers.flights.load(Ordering::Relaxed)
    }

    /// The entry of `key`, expired or not, if it is at the first match of its home bucket, as nearly every hit is. Without a lock; it
    /// stays as it is found for as long as the answer lives.
    #[inline(always)]
    pub(crate) fn find_fast<'a, Q>(&'a self, hash: u64, key: &Q, reading: FastReading<'a>) -> Result<Found<'a, K, V>, Reading<'a>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        // Acquire: the number first, so that the buckets are those or newer ones.
        let count = self.bucket_count.load(Ordering::Acquire);
        // SAFETY: `reading` is open, so buckets that were current after it was opened are not dropped, and `home` is below their number.
        let bucket = unsafe { &*self.buckets.load(Ordering::Acquire).add(home(ordinal(hash), count)) };
        // Not `tag(hash)`: the few entries whose byte is zero are left to `find`, and nobody pays for telling them apart.
        let matches = bucket.tags().matching(hash as u8);
        if matches == 0 {
            return Err(reading.into_reading());
        }
        let place = matches.trailing_zeros() as usize;
        let slot = bucket.slot(place);
        // SAFETY: if it is not `NIL`, the slot was published in a bucket, and `reading` is open.
        let Some(node) = (unsafe { self.slab.node_unless_nil(slot) }) else { return Err(reading.into_reading()) };
        reading.protect(node.address());
        // SAFETY: if it is still linked after it was announced, the hazard word keeps it from here on.
        if !is_linked(bucket, place, slot) || !key.equivalent(unsafe { &node.pair().0 }) {
            return Err(reading.into_reading());
        }
        Ok(Found { stripe: self, slot, node, reading: reading.into_reading() })
    }

    /// Asks for the bucket in which a look-up will begin.
    #[inline(always)]
    pub(crate) fn prefetch_bucket(&self, hash: u64) {
        let home = home(ordinal(hash), self.bucket_count.load(Ordering::Acquire));
        prefetch(self.buckets.load(Ordering::Acquire).wrapping_add(home));
    }

    /// Asks for the node that `find_fast` would look at.
    pub(super) fn prefetch_node(&self, hash: u64, _reading: &Reading<'_>) {
        let count = self.bucket_count.load(Ordering::Acquire);
        // SAFETY: as in `find_fast`: the reading is open.
        let bucket = unsafe { &*self.buckets.load(Ordering::Acquire).add(home(ordinal(hash), count)) };
        let matches = bucket.tags().matching(hash as u8);
        if matches == 0 {
            return;
        }
        // SAFETY: if it is not `NIL`, the slot was published in a bucket, and the reading is open.
        if let Some(node) = unsafe { self.slab.node_unless_nil(bucket.slot(matches.trailing_zeros() as usize)) } {
            prefetch(node);
        }
    }

    /// The entry of `key`, expired or not, wherever it is. Without a lock; it stays as it is found for as long as the answer lives.
    pub(crate) fn find<'a, Q>(&'a self, hash: u64, key: &Q, reading: Reading<'a>) -> Result<Found<'a, K, V>, Reading<'a>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        loop {
            let index = self.index.load(Ordering::Acquire);
            // SAFETY: as in `find_fast`.
            if let Some((slot, node)) = self.probe(unsafe { &*index }, hash, key, &reading) {
                return Ok(Found { stripe: self, slot, node, reading });
            }
            // A miss counts only in the array that is still the current one.
            if std::ptr::eq(self.index.load(Ordering::Acquire), index) {
                return Err(reading);
            }
        }
    }

    /// Announces the node at a place of a bucket. `None` if the place is empty or has changed on the way.
    fn protect(&self, bucket: &Bucket, place: usize, reading: &Reading<'_>) -> Option<(u32, &Node<K, V>)> {
        let slot = bucket.slot(place);
        // SAFETY: if it is not `NIL`, the slot was published in a bucket, and `reading` is open.
        let node = unsafe { self.slab.node_unless_nil(slot) }?;
        reading.protect(node.address());
        // Still linked after it was announced: the hazard word keeps it from here on.
        is_linked(bucket, place, slot).then_some((slot, node))
    }

    fn probe<Q>(&self, index: &Index, hash: u64, key: &Q, reading: &Reading<'_>) -> Option<(u32, &Node<K, V>)>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let mut at = index.home(ordinal(hash));
        for _ in 0..index.len() {
            let bucket = index.bucket(at);
            let tags = bucket.tags();
            let mut matches = tags.matching(tag(hash));
            while matches != 0 {
                let place = matches.trailing_zeros() as usize;
                match self.protect(bucket, place, reading) {
                    // SAFETY: protected.
                    Some((slot, node)) if key.equivalent(unsafe { &node.pair().0 }) => return Some((slot, node)),
                    // Changed under our eyes: look at the place again.
                    None if bucket.slot(place) != NIL => continue,
                    _ => matches &= matches - 1,
                }
            }
            if tags.passed() == 0 {
                return None;
            }
            at = index.next(at);
        }
        None
    }

    /// # Safety
    /// As for [`Slab::node`].
    pub(super) unsafe fn version_of(&self, slot: u32, node: &Node<K, V>) -> Version {
        // SAFETY: passed on.
        let source = if node.has(SOURCED) { unsafe { self.slab.source(slot) } } else { 0 };
        Version::new(source, node.revision())
    }
}

/// Is the slot still where it was found?
#[inline(always)]
fn is_linked(bucket: &Bucket, place: usize, slot: u32) -> bool {
    bucket.slot(place) == slot || is_broken(Broken::LinkedStill)
}

/// How many retired entries make a batch: few of those that own what lies elsewhere, as all of it waits with them.
fn batch_for<T>(expected: usize) -> usize {
    if IS_MODELLED {
        return 2;
    }
    if mem::needs_drop::<T>() { (expected / 16).clamp(64, 512) } else { (expected / 8).clamp(256, 512) }
}

impl<K, V> Drop for Stripe<K, V> {
    fn drop(&mut self) {
        // SAFETY: boxed by `new` or by the last growth; no reader is left.
        drop(unsafe { Box::from_raw(self.index.load(Ordering::Acquire)) });
    }
}

/// An entry that a reader found: it is held, and so is the right to walk the table, until this is dropped or narrowed.
pub(crate) struct Found<'a, K, V> {
    stripe: &'a Stripe<K, V>,
    slot: u32,
    node: &'a Node<K, V>,
    reading: Reading<'a>,
}

impl<'a, K, V> Found<'a, K, V> {
    #[inline(always)]
    pub(crate) fn pair(&self) -> &(K, V) {
        // SAFETY: `find` found it linked after announcing it, and the reading lives as long as this.
        unsafe { self.node.pair() }
    }

    #[inline(always)]
    pub(crate) fn node(&self) -> &'a Node<K, V> {
        self.node
    }

    #[inline(always)]
    pub(crate) fn reading(&self) -> &Reading<'a> {
        &self.reading
    }

    pub(crate) fn version(&self) -> Version {
        // SAFETY: the look-up is open.
        unsafe { self.stripe.version_of(self.slot, self.node) }
    }

    /// The source that the entry is known to have reached.
    pub(crate) fn reached(&self) -> u64 {
        self.node.reached(self.version())
    }

    pub(crate) fn weight(&self) -> u64 {
        // SAFETY: the look-up is open.
        unsafe { self.stripe.slab.weight(self.slot) }
    }

    /// The deadlines of a `TIMED` entry.
    pub(crate) fn deadlines(&self) -> &'a Deadlines {
        // SAFETY: the look-up is open.
        unsafe { self.stripe.slab.deadlines(self.slot) }
    }

    /// When the entry expires as things are.
    pub(crate) fn deadline(&self) -> u64 {
        if self.node.has(TIMED) { self.deadlines().soonest() } else { deadline::NEVER }
    }

    /// When it wants to be loaded again. Asked in caches that refresh alone.
    pub(crate) fn refresh(&self) -> Refresh {
        // SAFETY: the look-up is open.
        let cell = unsafe { self.stripe.slab.refresh(self.slot) };
        // Relaxed: written before the entry was published, and not since.
        Refresh { at: cell.at.load(Ordering::Relaxed), took: cell.took.load(Ordering::Relaxed) }
    }

    /// Lets go of the entry, to look on.
    pub(crate) fn into_reading(self) -> Reading<'a> {
        self.reading
    }

    /// From here only the entry is held, not the table: a closure may take its time.
    #[inline(always)]
    pub(crate) fn leave_table(self) -> Held<'a, K, V> {
        self.reading.leave_table(self.node.address());
        Held { node: self.node, _reading: self.reading }
    }

    /// Keeps the entry for as long as a guard wants to, on any thread.
    pub(crate) fn pin(&self) -> Pin<K, V> {
        // SAFETY: the look-up is open and keeps the node while the pin is counted.
        unsafe { self.stripe.pin(self.slot, self.node) }
    }
}

/// An entry that a reader holds by a hazard word alone.
pub(crate) struct Held<'a, K, V> {
    node: &'a Node<K, V>,
    _reading: Reading<'a>,
}

impl<K, V> Held<'_, K, V> {
    #[inline(always)]
    pub(crate) fn pair(&self) -> &(K, V) {
        // SAFETY: as in `Found::pair`.
        unsafe { self.node.pair() }
    }
}
