//! A stripe's nodes, in chunks that never move and are freed with the cache, named by 32-bit slots. Beside the nodes a chunk has
//! columns for what only some caches need (source versions, deadlines, moments of refresh, weights, pins), made when the first entry needs them.
//!
//! The first chunk holds what the stripe is expected to hold, where that is known, so that a hit goes straight from slot to node.
//! Beyond it readers go through a directory of pointers, replaced when it is full; the old one is handed to the reclaimer.

use std::ptr::NonNull;

use crate::sync::AtomicBool;
use crate::sync::AtomicPtr;
use crate::sync::AtomicU32;
use crate::sync::AtomicU64;
use crate::sync::Broken;
use crate::sync::IS_MODELLED;
use crate::sync::Ordering;
use crate::sync::is_broken;
use crate::unwind::keep_first;
use crate::unwind::resume;

use super::bucket::NIL;
use super::chunk::Chunk;
use super::column::Deadlines;
use super::column::RefreshCell;
use super::node::Node;
use super::node::OCCUPIED;

/// The first chunk is allocated at the first write, so it is at most this large, and never smaller than a few nodes.
const FIRST_BYTES: usize = 1 << 20;
const FEWEST: usize = if IS_MODELLED { 4 } else { 32 };
/// The logarithm of what every other chunk holds at least.
const SMALLEST: u32 = if IS_MODELLED { 0 } else { 5 };

/// What readers follow from a slot to its node.
struct Directory<K, V> {
    chunks: Box<[AtomicPtr<Chunk<K, V>>]>,
    nodes: Box<[AtomicPtr<Node<K, V>>]>,
}

/// An outgrown directory, to be dropped when no reader is in the table.
pub(super) struct OldDirectory<K, V>(#[expect(dead_code, reason = "kept to be dropped")] Box<Directory<K, V>>);

/// The part of the slab that is shared with readers.
pub(super) struct Slab<K, V> {
    /// The base of the directory's `nodes`, so that a hit follows one pointer less.
    bases: AtomicPtr<AtomicPtr<Node<K, V>>>,
    directory: AtomicPtr<Directory<K, V>>,
    /// The nodes of the first chunk, once there is one, and how many they are.
    first: AtomicPtr<Node<K, V>>,
    first_length: u32,
    /// Every other chunk holds `1 << shift` nodes.
    shift: u32,
    /// Some node has been pinned: before that, reclaiming has no pins to look at.
    has_pins: AtomicBool,
    /// Slots below have been handed out at least once. Written by the lock's holder.
    fresh: AtomicU32,
}

/// The part that only the lock's holder has: which slots are free.
pub(super) struct Slots {
    free: Vec<u32>,
    chunks: usize,
}

// SAFETY: all that the raw pointers lead to is owned by the slab and shared through atomics; nodes say themselves when they are Sync.
unsafe impl<K: Send, V: Send> Send for Slab<K, V> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Slab<K, V> {}

impl Slots {
    pub(super) const fn new() -> Self {
        Slots { free: Vec::new(), chunks: 0 }
    }

    /// Slots that are free again. They must be vacant.
    pub(super) fn put_back(&mut self, slots: &[u32]) {
        self.free.extend_from_slice(slots);
    }

    pub(super) fn memory(&self) -> usize {
        self.free.capacity() * size_of::<u32>()
    }
}

impl<K, V> Slab<K, V> {
    /// For about `expected` entries; more will do.
    pub(super) fn new(expected: usize) -> Self {
        let directory = Directory::new(4);
        let most = (FIRST_BYTES / size_of::<Node<K, V>>()).max(FEWEST);
        Slab {
            bases: AtomicPtr::new(directory.nodes.as_ptr().cast_mut()),
            directory: AtomicPtr::new(Box::into_raw(directory)),
            first: AtomicPtr::new(std::ptr::null_mut()),
            first_length: expected.clamp(FEWEST, most) as u32,
            shift: (expected / 16).max(1).ilog2().clamp(SMALLEST, 13),
            has_pins: AtomicBool::new(false),
            fresh: AtomicU32::new(0),
        }
    }

    fn length(&self, chunk: usize) -> usize {
        if chunk == 0 { self.first_length as usize } else { 1 << self.shift }
    }

    /// The chunk of a slot, and where in it.
    #[inline(always)]
    fn position(&self, slot: u32) -> (usize, usize) {
        match slot.checked_sub(self.first_length) {
            None => (0, slot as usize),
            Some(beyond) => (1 + (beyond >> self.shift) as usize, (beyond & ((1 << self.shift) - 1)) as usize),
        }
    }

    /// # Safety
    /// `slot` was handed out by `take` of this slab, and reached the caller through a bucket (acquire) or under the stripe's lock;
    /// without the lock the caller has a look-up open, which keeps the directory.
    #[inline(always)]
    pub(super) unsafe fn node(&self, slot: u32) -> &Node<K, V> {
        // Acquire: pairs with the releases in `add_chunk`. A slot is published after what leads to it.
        if slot < self.first_length {
            // SAFETY: the slot was handed out, so the first chunk is there and has it; chunks live as long as the slab.
            return unsafe { &*self.first.load(Ordering::Acquire).add(slot as usize) };
        }
        // SAFETY: passed on.
        unsafe { self.node_beyond(slot) }
    }

    /// # Safety
    /// As for `node`, but that the slot may be `NIL`.
    #[inline(always)]
    pub(super) unsafe fn node_unless_nil(&self, slot: u32) -> Option<&Node<K, V>> {
        // `NIL` is above every slot, so the common case asks for it by the way.
        if slot < self.first_length {
            // SAFETY: as in `node`.
            let node = unsafe { NonNull::new_unchecked(self.first.load(Ordering::Acquire).add(slot as usize)) };
            // SAFETY: as in `node`.
            return Some(unsafe { node.as_ref() });
        }
        // SAFETY: passed on.
        if slot == NIL { None } else { Some(unsafe { self.node_beyond(slot) }) }
    }

    /// # Safety
    /// As for `node`, and the slot is not in the first chunk.
    #[cold]
    #[inline(always)]
    unsafe fn node_beyond(&self, slot: u32) -> &Node<K, V> {
        let (chunk, at) = self.position(slot);
        let bases = self.bases.load(Ordering::Acquire);
        // SAFETY: the slot was handed out, so the directory has its chunk and the chunk its node; chunks live as long as the slab.
        unsafe { &*(*bases.add(chunk)).load(Ordering::Acquire).add(at) }
    }

    /// # Safety
    /// As for `node`.
    unsafe fn chunk(&self, slot: u32) -> (&Chunk<K, V>, usize) {
        let (chunk, at) = self.position(slot);
        // SAFETY: as in `node`.
        unsafe { (&*(*self.directory.load(Ordering::Acquire)).chunks[chunk].load(Ordering::Acquire), at) }
    }

    /// # Safety
    /// As for `node`; the entry is `SOURCED` (else the answer is zero).
    #[inline(always)]
    pub(super) unsafe fn source(&self, slot: u32) -> u64 {
        // SAFETY: passed on.
        let (chunk, at) = unsafe { self.chunk(slot) };
        chunk.sources.get(at).map_or(0, |source| source.load(Ordering::Relaxed))
    }

    /// # Safety
    /// As for `node`, before the entry is published.
    pub(super) unsafe fn set_source(&self, slot: u32, source: u64) {
        // SAFETY: passed on.
        let (chunk, at) = unsafe { self.chunk(slot) };
        chunk.sources.ensure(at, chunk.length, || AtomicU64::new(0)).store(source, Ordering::Relaxed);
    }

    /// # Safety
    /// As for `node`, with the lock. Where no weight was ever set in the chunk it is one.
    #[inline(always)]
    pub(super) unsafe fn weight(&self, slot: u32) -> u64 {
        // SAFETY: passed on.
        let (chunk, at) = unsafe { self.chunk(slot) };
        chunk.weights.get(at).map_or(1, |weight| weight.load(Ordering::Relaxed))
    }

    /// # Safety
    /// As for `node`, before the entry is published. All nodes of a chunk have their weights set, or none.
    pub(super) unsafe fn set_weight(&self, slot: u32, weight: u64) {
        // SAFETY: passed on.
        let (chunk, at) = unsafe { self.chunk(slot) };
        chunk.weights.ensure(at, chunk.length, || AtomicU64::new(1)).store(weight, Ordering::Relaxed);
    }

    /// The deadlines of a `TIMED` entry.
    ///
    /// # Safety
    /// As for `node`.
    pub(super) unsafe fn deadlines(&self, slot: u32) -> &Deadlines {
        // SAFETY: passed on.
        let (chunk, at) = unsafe { self.chunk(slot) };
        chunk.deadlines.ensure(at, chunk.length, Deadlines::never)
    }

    /// When the entry wants to be loaded again.
    ///
    /// # Safety
    /// As for `node`.
    pub(super) unsafe fn refresh(&self, slot: u32) -> &RefreshCell {
        // SAFETY: passed on.
        let (chunk, at) = unsafe { self.chunk(slot) };
        chunk.refreshes.ensure(at, chunk.length, RefreshCell::never)
    }

    /// How many guards and notices keep the node.
    ///
    /// # Safety
    /// As for `node`.
    pub(super) unsafe fn pins(&self, slot: u32) -> &AtomicU32 {
        if !self.has_pins() {
            // Release, as in `has_pins`. Before the pin is counted, so whoever is past the barrier that shows the one sees the other.
            self.has_pins.store(true, Ordering::Release);
        }
        // SAFETY: passed on.
        let (chunk, at) = unsafe { self.chunk(slot) };
        chunk.pins.ensure(at, chunk.length, || AtomicU32::new(0))
    }

    /// Whether a node may be pinned. Acquire: pairs with the release in `pins`.
    pub(super) fn has_pins(&self) -> bool {
        self.has_pins.load(Ordering::Acquire)
    }

    /// Whether anyone pins the node, without making the column of pins.
    ///
    /// # Safety
    /// As for `node`.
    pub(super) unsafe fn is_pinned(&self, slot: u32) -> bool {
        // SAFETY: passed on.
        let (chunk, at) = unsafe { self.chunk(slot) };
        // SeqCst: pairs with the count of the last pin, see `Stripe::unpin`.
        chunk.pins.get(at).is_some_and(|pins| pins.load(Ordering::SeqCst) != 0) && !is_broken(Broken::Pins)
    }

    /// A vacant slot. With the lock held. `None` when all slots are in use; an outgrown directory comes with it.
    #[inline(always)]
    pub(super) fn take(&self, slots: &mut Slots) -> (Option<u32>, Option<OldDirectory<K, V>>) {
        if let Some(slot) = slots.free.pop() {
            return (Some(slot), None);
        }
        self.take_fresh(slots)
    }

    #[cold]
    #[inline(never)]
    fn take_fresh(&self, slots: &mut Slots) -> (Option<u32>, Option<OldDirectory<K, V>>) {
        let slot = self.fresh.load(Ordering::Relaxed);
        let (chunk, _) = self.position(slot);
        if slot > u32::MAX - (1 << self.shift) {
            return (None, None);
        }
        let old = if chunk == slots.chunks { self.add_chunk(slots) } else { None };
        self.fresh.store(slot + 1, Ordering::Relaxed);
        (Some(slot), old)
    }

    fn add_chunk(&self, slots: &mut Slots) -> Option<OldDirectory<K, V>> {
        let chunk = Box::into_raw(Box::new(Chunk::new(self.length(slots.chunks))));
        let current = self.directory.load(Ordering::Relaxed);
        // SAFETY: the lock holder alone replaces the directory, so the current one is alive.
        let directory = unsafe { &*current };
        let full = slots.chunks == directory.chunks.len();
        let grown = full.then(|| directory.grown());
        let directory = grown.as_deref().unwrap_or(directory);
        // SAFETY: `chunk` was boxed above.
        directory.nodes[slots.chunks].store(unsafe { (*chunk).nodes }, Ordering::Release);
        directory.chunks[slots.chunks].store(chunk, Ordering::Release);
        if slots.chunks == 0 {
            // SAFETY: as above.
            self.first.store(unsafe { (*chunk).nodes }, Ordering::Release);
        }
        slots.chunks += 1;
        let grown = grown?;
        // Release: pairs with the acquire in `node`; readers that still follow the old directory find what they look for there.
        self.bases.store(grown.nodes.as_ptr().cast_mut(), Ordering::Release);
        self.directory.store(Box::into_raw(grown), Ordering::Release);
        // SAFETY: boxed by `new` or an earlier call, and no longer reachable from the slab.
        Some(OldDirectory(unsafe { Box::from_raw(current) }))
    }

    /// Bytes of all chunks and the directory. With the lock held.
    pub(super) fn memory(&self) -> usize {
        // SAFETY: the lock holder alone replaces the directory.
        let directory = unsafe { &*self.directory.load(Ordering::Acquire) };
        let chunks: usize = directory.all().map(Chunk::memory).sum();
        chunks + directory.chunks.len() * 2 * size_of::<usize>()
    }
}

impl<K, V> Drop for Slab<K, V> {
    fn drop(&mut self) {
        // SAFETY: the slab is being dropped, so nobody reads it, and the directory was boxed.
        let directory = unsafe { Box::from_raw(self.directory.load(Ordering::Acquire)) };
        let mut fresh = self.fresh.load(Ordering::Relaxed) as usize;
        let mut panic = None;
        for chunk in directory.chunks.iter().map(|chunk| chunk.load(Ordering::Acquire)).filter(|chunk| !chunk.is_null()) {
            // SAFETY: every chunk was boxed by `add_chunk` and is in the directory once.
            let chunk = unsafe { Box::from_raw(chunk) };
            let used = fresh.min(chunk.length);
            fresh -= used;
            for at in (0..used).take_while(|_| std::mem::needs_drop::<(K, V)>()) {
                // SAFETY: the chunk has more nodes than were used; nothing refers to them any more.
                let node = unsafe { &*chunk.nodes.add(at) };
                if node.has(OCCUPIED) {
                    // A value whose Drop panics must not keep the others from theirs.
                    // SAFETY: occupied, and the slab has the last claim.
                    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| unsafe { node.drop_pair() }));
                    keep_first(&mut panic, dropped);
                }
            }
            // SAFETY: its nodes are vacant and nobody has them.
            unsafe { chunk.free() };
        }
        resume(panic.map_or(Ok(()), Err));
    }
}

impl<K, V> Directory<K, V> {
    fn new(length: usize) -> Box<Self> {
        Box::new(Directory { chunks: null_pointers(length), nodes: null_pointers(length) })
    }

    fn grown(&self) -> Box<Self> {
        let grown = Self::new(self.chunks.len() * 2);
        copy_pointers(&self.chunks, &grown.chunks);
        copy_pointers(&self.nodes, &grown.nodes);
        grown
    }

    fn all(&self) -> impl Iterator<Item = &Chunk<K, V>> {
        // SAFETY: what is not null was boxed by `add_chunk`, and chunks live as long as the slab.
        self.chunks.iter().filter_map(|chunk| unsafe { chunk.load(Ordering::Acquire).as_ref() })
    }
}

fn null_pointers<T>(length: usize) -> Box<[AtomicPtr<T>]> {
    (0..length).map(|_| AtomicPtr::new(std::ptr::null_mut())).collect()
}

fn copy_pointers<T>(from: &[AtomicPtr<T>], to: &[AtomicPtr<T>]) {
    // Relaxed: the lock holder wrote the one and publishes the other.
    from.iter().zip(to).for_each(|(from, to)| to.store(from.load(Ordering::Relaxed), Ordering::Relaxed));
}
