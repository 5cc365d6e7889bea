//! What a cache has counted.

use crate::event::Counts;
use crate::sync::AtomicU64;
use crate::sync::Ordering;

use super::Core;
use super::tally::Tally;

/// Counts since the cache was built, from [`Cache::stats`](crate::Cache::stats). Taken stripe by stripe: while others write, the
/// numbers may be of slightly different moments.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Reads that found a live entry.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Writes that took effect.
    pub inserts: u64,
    /// Values whose place a newer one took.
    pub replaced: u64,
    /// Values removed or invalidated.
    pub invalidated: u64,
    /// Values for which there was no room.
    pub evicted: u64,
    /// Values whose time was up.
    pub expired: u64,
    /// Values that `clear` took out.
    pub cleared: u64,
    /// Writes that were refused because something as new or newer is known of the key, and invalidations because something newer is.
    pub refused_stale: u64,
    /// Panics of the removal listener.
    pub listener_panics: u64,
    /// Leases given: loaders that were started, or could have been.
    pub loads: u64,
    /// Loads that ended with an error.
    pub load_failures: u64,
    /// Leases that ended because they were overdue: others took over, or nobody was there to.
    pub load_timeouts: u64,
    /// Leases that passed to a waiter, or to the next caller when they were overdue.
    pub takeovers: u64,
    /// Loads whose value was not stored because the key was written or invalidated meanwhile.
    pub fenced: u64,
    /// Loads whose value was not stored because something newer is known of the key.
    pub loads_older: u64,
    /// Expired values that were served while a load for their key was under way, or after it had failed.
    pub stale_served: u64,
    /// Calls that joined the load of another.
    pub waits: u64,
    /// Loads under way at present.
    pub flights: usize,
    /// Tombstones held at present.
    pub tombstones: usize,
    /// Tombstones dropped before their time because their budget was used up.
    pub tombstones_lost: u64,
    /// Entries resident at present, expired ones that are not yet dropped among them.
    pub len: usize,
    /// Weight resident at present.
    pub weight: u64,
}

impl Stats {
    /// Hits among all reads, from 0 to 1; 0 if nothing was read.
    #[must_use]
    pub fn hit_ratio(&self) -> f64 {
        let reads = self.hits + self.misses;
        if reads == 0 { 0.0 } else { self.hits as f64 / reads as f64 }
    }
}

impl<K, V> Core<K, V> {
    pub(crate) fn stats(&self) -> Stats {
        let (hits, misses) = self.table.readers.counts();
        let listener_panics = self.listener_panics.load(Ordering::Relaxed);
        let mut stats = Stats { hits, misses, listener_panics, len: self.entries(), weight: self.weight(), ..Stats::default() };
        stats.add_tally(&self.tally);
        for stripe in self.table.stripes() {
            let locked = stripe.lock();
            let (held, lost) = locked.tombstones();
            stats.tombstones += held;
            stats.tombstones_lost += lost;
            stats.flights += locked.loads();
            stats.add(locked.counts());
        }
        stats
    }

    pub(crate) fn entries(&self) -> usize {
        self.table.stripes().iter().map(|stripe| stripe.entries()).sum()
    }

    pub(crate) fn weight(&self) -> u64 {
        self.table.stripes().iter().map(|stripe| stripe.weight()).sum()
    }

    pub(crate) fn memory_used(&self) -> usize {
        let stripes: usize = self.table.stripes().iter().map(|stripe| stripe.lock().memory()).sum();
        size_of::<Self>() + stripes + self.table.readers.memory() + self.line.steering.lock().memory()
    }
}

impl Stats {
    fn add(&mut self, counts: Counts) {
        self.inserts += counts.inserts;
        self.replaced += counts.replaced;
        self.invalidated += counts.invalidated;
        self.evicted += counts.evicted;
        self.expired += counts.expired;
        self.cleared += counts.cleared;
        self.refused_stale += counts.refused_stale;
        self.loads_older += counts.loads_older;
        self.load_timeouts += counts.load_timeouts;
    }

    fn add_tally(&mut self, tally: &Tally) {
        // Relaxed: counts, each for itself.
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.loads = read(&tally.loads);
        self.load_failures = read(&tally.failures);
        self.load_timeouts = read(&tally.timeouts);
        self.takeovers = read(&tally.takeovers);
        self.fenced = read(&tally.fenced);
        self.stale_served = read(&tally.stale_served);
        self.waits = read(&tally.waits);
    }
}
