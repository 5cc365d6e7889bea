//! What each reading thread owns in a cache: the words in which it announces what it is using (hazards), its hit counts and its
//! sample of accesses. A cell is written by its thread alone, so a hit writes no memory that another thread writes.
//!
//! The announcements are hazard pointers (Michael, "Hazard Pointers: Safe Memory Reclamation for Lock-Free Objects", 2004) with an
//! asymmetric barrier. A word is [`FREE`], or holds [`IN_TABLE`] while its reader walks bucket arrays, or the address of the node it
//! is using, or both. A reader that stalls therefore holds back one node, and the arrays only while it looks a key up.

use std::array::from_fn;

use crate::sync::AtomicPtr;
use crate::sync::AtomicU64;
use crate::sync::AtomicUsize;
use crate::sync::Broken;
use crate::sync::IS_MODELLED;
use crate::sync::Ordering;
use crate::sync::Place;
use crate::sync::Recent;
use crate::sync::Sequence;
use crate::sync::is_broken;
use crate::sync::light_asymmetric_barrier;
use crate::sync::light_barrier;
use crate::sync::ordered;

const FREE: usize = 0;
/// Set while bucket arrays and directories may be in use. Nodes are aligned, so the bit is free in their addresses.
const IN_TABLE: usize = 1;

/// Look-ups that one thread may nest (a closure that looks up another key) before it borrows words from the common pool.
const NESTED: usize = 3;
/// Sampled accesses a thread keeps until a writer collects them; older ones are overwritten.
const SAMPLES: usize = if IS_MODELLED { 2 } else { 32 };

#[repr(align(128))]
struct Cell {
    hazards: [AtomicUsize; NESTED],
    hits: AtomicU64,
    misses: AtomicU64,
    /// Samples ever written; the ring holds the last [`SAMPLES`].
    written: AtomicUsize,
    /// Samples ever collected, moved by the collector alone.
    collected: AtomicUsize,
    samples: [AtomicU64; SAMPLES],
}

impl Cell {
    fn new() -> Self {
        Cell {
            hazards: from_fn(|_| AtomicUsize::new(FREE)),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            written: AtomicUsize::new(0),
            collected: AtomicUsize::new(0),
            samples: from_fn(|_| AtomicU64::new(0)),
        }
    }
}

/// A hazard word for readers that nest deeper than their cell allows, or have no cell. Never freed before the cache.
struct Spare {
    hazard: AtomicUsize,
    next: *mut Spare,
}

/// The cells of all threads that ever read the cache.
pub(crate) struct Readers {
    /// Tells these readers from those of every other cache that there ever was.
    number: u64,
    segments: [AtomicPtr<Cell>; Place::SEGMENTS],
    spares: AtomicPtr<Spare>,
    /// For threads without a place. Its counts may lose an increment to a race; nothing else in it is used.
    common: Cell,
}

impl Readers {
    pub(crate) fn new() -> Self {
        static NUMBERS: Sequence = Sequence::new();
        Readers {
            number: NUMBERS.next(),
            segments: from_fn(|_| AtomicPtr::new(std::ptr::null_mut())),
            spares: AtomicPtr::new(std::ptr::null_mut()),
            common: Cell::new(),
        }
    }

    /// Opens a look-up the short way, which most take: by a thread that used this cache last, nested in no other look-up, where light
    /// barriers are free.
    #[inline(always)]
    pub(crate) fn enter_fast(&self) -> Option<FastReading<'_>> {
        let recent = Recent::get();
        if recent.owner != self.number {
            return None;
        }
        // SAFETY: `enter` remembered a cell of these readers, which live; the thread still has its place, or it would have forgotten.
        let cell = unsafe { &*recent.address.cast::<Cell>() };
        let hazard = &cell.hazards[0];
        // Relaxed: the cell's own thread wrote the word last.
        if hazard.load(Ordering::Relaxed) != FREE {
            return None;
        }
        // Relaxed, then the barrier: as in `Reading::open`.
        hazard.store(IN_TABLE, Ordering::Relaxed);
        light_asymmetric_barrier();
        Some(FastReading(Reading { cell, hazard, _thread: std::marker::PhantomData }))
    }

    /// Opens a look-up: from here until the [`Reading`] is dropped, arrays that it reaches and the node that it protects stay.
    pub(crate) fn enter(&self) -> Reading<'_> {
        let Some(cell) = self.cell() else { return Reading::open(&self.common, self.spare()) };
        Recent { owner: self.number, address: std::ptr::from_ref(cell).cast() }.remember();
        // Relaxed: the cell's own thread wrote the words last.
        let free = cell.hazards.iter().find(|word| word.load(Ordering::Relaxed) == FREE);
        Reading::open(cell, free.unwrap_or_else(|| self.spare()))
    }

    /// Claims a word of the common pool, which grows as it must.
    fn spare(&self) -> &AtomicUsize {
        let mut at = self.spares.load(Ordering::SeqCst);
        // SAFETY: spares are leaked into the list and freed only by `drop`, which has the cache to itself.
        while let Some(spare) = unsafe { at.as_ref() } {
            if spare.hazard.compare_exchange(FREE, IN_TABLE, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                return &spare.hazard;
            }
            at = spare.next;
        }
        let fresh =
            Box::into_raw(Box::new(Spare { hazard: AtomicUsize::new(IN_TABLE), next: self.spares.load(Ordering::SeqCst) }));
        loop {
            // SAFETY: `fresh` came from a box and is not shared until the exchange below succeeds.
            let next = unsafe { (*fresh).next };
            match self.spares.compare_exchange(next, fresh, Ordering::SeqCst, Ordering::SeqCst) {
                // SAFETY: in the list now, so alive until the cache is dropped.
                Ok(_) => return unsafe { &(*fresh).hazard },
                // SAFETY: the exchange failed, so `fresh` is still ours alone.
                Err(newer) => unsafe { (*fresh).next = newer },
            }
        }
    }

    fn cell(&self) -> Option<&Cell> {
        let place = Place::of_this_thread()?;
        // Acquire: pairs with the release in `grow`, so the cells are initialised.
        let segment = self.segments[place.segment as usize].load(Ordering::Acquire);
        let segment = if segment.is_null() { self.grow(place.segment as usize) } else { segment };
        // SAFETY: a segment holds `Place::cells(segment)` cells, an offset is below that, and segments are freed with the cache.
        Some(unsafe { &*segment.add(place.offset as usize) })
    }

    #[cold]
    #[inline(never)]
    fn grow(&self, segment: usize) -> *mut Cell {
        let cells: Box<[Cell]> = (0..Place::cells(segment)).map(|_| Cell::new()).collect();
        let fresh = Box::into_raw(cells).cast::<Cell>();
        // AcqRel: publishes the cells to `cell`, and sees those of a thread that came first.
        let order = ordered(Broken::CellOrder, Ordering::AcqRel);
        match self.segments[segment].compare_exchange(std::ptr::null_mut(), fresh, order, Ordering::Acquire) {
            Ok(_) => fresh,
            Err(first) => {
                // SAFETY: `fresh` was never shared.
                drop(unsafe { Self::boxed(fresh, segment) });
                first
            }
        }
    }

    /// # Safety
    /// `cells` came from `grow` for this segment and is given up by whoever had it.
    unsafe fn boxed(cells: *mut Cell, segment: usize) -> Box<[Cell]> {
        // SAFETY: `grow` boxed a slice of just this length; the caller gives it up.
        unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(cells, Place::cells(segment))) }
    }

    fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.segments.iter().enumerate().flat_map(|(number, segment)| {
            let cells = segment.load(Ordering::Acquire);
            let length = if cells.is_null() { 0 } else { Place::cells(number) };
            // SAFETY: not null means `grow` published a slice of this length, which lives as long as the cache.
            (0..length).map(move |at| unsafe { &*cells.add(at) })
        })
    }

    /// What readers announce at this moment. Call it after [`heavy_barrier`](crate::sync::heavy_barrier).
    pub(crate) fn announced(&self) -> Announced {
        let mut announced = Announced { nodes: Vec::new(), in_table: false };
        for cell in self.cells() {
            cell.hazards.iter().for_each(|hazard| announced.note(hazard));
        }
        let mut at = if is_broken(Broken::Spares) { std::ptr::null_mut() } else { self.spares.load(Ordering::SeqCst) };
        // SAFETY: as in `spare`.
        while let Some(spare) = unsafe { at.as_ref() } {
            announced.note(&spare.hazard);
            at = spare.next;
        }
        announced.nodes.sort_unstable();
        announced
    }

    /// Hits and misses counted so far.
    pub(crate) fn counts(&self) -> (u64, u64) {
        self.cells().chain([&self.common]).fold((0, 0), |(hits, misses), cell| {
            (hits + cell.hits.load(Ordering::Relaxed), misses + cell.misses.load(Ordering::Relaxed))
        })
    }

    /// Hands every sample that no one collected yet to `see`. One collector at a time; a sample that is overwritten meanwhile is lost.
    pub(crate) fn collect(&self, mut see: impl FnMut(u64)) {
        for cell in self.cells() {
            // Acquire: pairs with the release in `sample`, so the samples before `written` are there.
            let written = cell.written.load(Ordering::Acquire);
            let collected = cell.collected.load(Ordering::Relaxed);
            if written == collected {
                continue;
            }
            let fresh = written.wrapping_sub(collected).min(SAMPLES);
            for back in (1..=fresh).rev() {
                see(cell.samples[written.wrapping_sub(back) % SAMPLES].load(Ordering::Relaxed));
            }
            cell.collected.store(written, Ordering::Relaxed);
        }
    }

    /// Bytes allocated for cells and spare words.
    pub(crate) fn memory(&self) -> usize {
        self.cells().count() * size_of::<Cell>()
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        for (number, segment) in self.segments.iter().enumerate() {
            let cells = segment.load(Ordering::Acquire);
            if !cells.is_null() {
                // SAFETY: published by `grow` for this segment; nobody reads a cache that is being dropped.
                drop(unsafe { Self::boxed(cells, number) });
            }
        }
        let mut at = self.spares.load(Ordering::SeqCst);
        while !at.is_null() {
            // SAFETY: every spare was boxed by `spare` and stands in the list once.
            at = unsafe { Box::from_raw(at) }.next;
        }
    }
}

/// One look-up in progress: a hazard word of the calling thread. It must stay on that thread, which the raw borrow makes sure of.
pub(crate) struct Reading<'a> {
    cell: &'a Cell,
    hazard: &'a AtomicUsize,
    /// A word belongs to a thread: not `Send`.
    _thread: std::marker::PhantomData<*const ()>,
}

impl<'a> Reading<'a> {
    fn open(cell: &'a Cell, hazard: &'a AtomicUsize) -> Self {
        // Relaxed, then the barrier: pairs with the heavy barrier of whoever replaced an array; one of the two sees the other.
        hazard.store(IN_TABLE, Ordering::Relaxed);
        light_barrier();
        Reading { cell, hazard, _thread: std::marker::PhantomData }
    }

    /// Announces the node at `address`. It is safe from reclamation if, after this call, it is still linked in the table.
    pub(super) fn protect(&self, address: usize) {
        // Release: uses of the node protected before are over. The barrier pairs with the reclaimer's.
        self.hazard.store(address | IN_TABLE, Ordering::Release);
        light_barrier();
    }

    /// The look-up is over: from here only the node at `address`, protected before, is held.
    #[inline(always)]
    pub(super) fn leave_table(&self, address: usize) {
        // Release: every read of the table is over when the bit is seen gone.
        self.hazard.store(if is_broken(Broken::HazardStays) { FREE } else { address }, Ordering::Release);
    }

    #[inline(always)]
    pub(crate) fn count(&self, hit: bool) {
        bump(if hit { &self.cell.hits } else { &self.cell.misses });
    }

    /// Leaves a sampled access for a writer to collect.
    pub(crate) fn sample(&self, access: u64) {
        // Relaxed but for the publication, which pairs with the acquire in `collect`.
        let written = self.cell.written.load(Ordering::Relaxed);
        self.cell.samples[written % SAMPLES].store(access, Ordering::Relaxed);
        self.cell.written.store(written.wrapping_add(1), Ordering::Release);
    }
}

impl Drop for Reading<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // Release: every use of the node is over when the word is seen free.
        self.hazard.store(FREE, ordered(Broken::HazardOrder, Ordering::Release));
    }
}

/// A count that one thread alone writes: no read-modify-write. Relaxed: it orders nothing.
#[inline(always)]
fn bump(count: &AtomicU64) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// A look-up that was opened the short way, so that its barriers are free.
pub(crate) struct FastReading<'a>(Reading<'a>);

impl<'a> FastReading<'a> {
    /// As [`Reading::protect`].
    #[inline(always)]
    pub(super) fn protect(&self, address: usize) {
        self.0.hazard.store(address | IN_TABLE, Ordering::Release);
        light_asymmetric_barrier();
    }

    /// Goes on as any look-up.
    #[inline(always)]
    pub(crate) fn into_reading(self) -> Reading<'a> {
        self.0
    }
}

/// A snapshot of all announcements.
pub(crate) struct Announced {
    nodes: Vec<usize>,
    in_table: bool,
}

impl Announced {
    fn note(&mut self, hazard: &AtomicUsize) {
        // Acquire: pairs with the releases of `Reading`; what its reader did before is over.
        let word = hazard.load(Ordering::Acquire);
        self.in_table |= word & IN_TABLE != 0;
        if word & !IN_TABLE != FREE {
            self.nodes.push(word & !IN_TABLE);
        }
    }

    /// Is a reader using the node at this address?
    pub(super) fn uses(&self, address: usize) -> bool {
        self.nodes.binary_search(&address).is_ok()
    }

    /// Is nobody using any node?
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Is a reader anywhere between opening a look-up and its end?
    pub(super) fn in_table(&self) -> bool {
        self.in_table && !is_broken(Broken::InTable)
    }
}

// SAFETY: the raw pointers lead to cells and spares that only this structure owns; all they hold is atomics, and `next` is written
// before a spare is shared and never after.
unsafe impl Send for Readers {}
// SAFETY: as above.
unsafe impl Sync for Readers {}
