//! When an entry is loaded again though it may still be served: after a time of its own (`refresh_after`), or the earlier, by chance,
//! the longer its load took and the nearer its end is.
//!
//! The chance is that of Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention" (XFetch), 2015.

use equivalent::Equivalent;

use crate::event::Refresh;
use crate::sync::Ordering;
use crate::table::Found;
use crate::time::deadline;

use super::Core;

/// An entry is loaded again up to this share of `refresh_after` early, so that entries written at once are not loaded at once.
const JITTER: u64 = 10;

/// What a call that may load finds without a lock.
pub(crate) enum Hit<V> {
    Fresh(V),
    /// It may be served, and somebody should load it again.
    Due(V),
}

impl<K, V> Core<K, V> {
    /// Do entries want to be loaded again before they end?
    #[inline(always)]
    pub(crate) fn is_refreshing(&self) -> bool {
        self.refreshing
    }

    /// Does anybody want to know how long loads take?
    pub(super) fn times_loads(&self) -> bool {
        self.settings.early_refresh.is_some() || cfg!(feature = "load-times")
    }

    /// Does a call whose load has failed have anything to fall back on?
    pub(crate) fn falls_back(&self) -> bool {
        self.refreshing || self.settings.fail_safe
    }

    /// When a value that is written now wants to be loaded again.
    pub(super) fn refresh_at(&self, hash: u64, now: u64, took: u64) -> Refresh {
        let at = self.settings.refresh_after.map_or(deadline::NEVER, |after| {
            let nanos = deadline::nanos(after);
            let early = (nanos / JITTER) as f64 * chance(hash ^ now);
            now.saturating_add(nanos).saturating_sub(early as u64)
        });
        Refresh { at, took }
    }

    /// The live value of `key`, read as any other, and whether it is time to load it again.
    pub(crate) fn read_refreshing<Q>(&self, hash: u64, key: &Q) -> Option<Hit<V>>
    where
        Q: Equivalent<K> + ?Sized,
        V: Clone,
    {
        self.read(hash, key, |found| {
            let value = found.pair().1.clone();
            if self.is_due(hash, &found) { Hit::Due(value) } else { Hit::Fresh(value) }
        })
    }

    fn is_due(&self, hash: u64, found: &Found<'_, K, V>) -> bool {
        let now = self.settings.clock.now();
        let Refresh { at, took } = found.refresh();
        let end = at.min(found.deadline());
        if deadline::is_due(end, now) {
            return true;
        }
        let Some(beta) = self.settings.early_refresh.filter(|_| end != deadline::NEVER) else { return false };
        // The logarithm of a number between 0 and 1: never positive, and far below zero by a small chance.
        let early = took as f64 * beta * -chance(hash ^ now.rotate_left(32)).ln();
        now as f64 + early >= end as f64
    }

    pub(crate) fn count_stale(&self) {
        self.tally.stale_served.fetch_add(1, Ordering::Relaxed);
    }

    /// What a call gets whose load has failed, if anything: what is live in spite of it or, where errors are to be covered up, what is stale.
    pub(crate) fn fall_back<Q>(&self, hash: u64, key: &Q) -> Option<V>
    where
        Q: Equivalent<K> + ?Sized,
        V: Clone,
    {
        let now = self.settings.clock.now();
        let grace = if self.settings.fail_safe { self.stale_for() } else { 0 };
        let found = self.table.find(hash, key, self.table.readers.enter()).ok()?;
        let end = found.deadline();
        if deadline::is_due(end.saturating_add(grace), now) {
            return None;
        }
        if deadline::is_due(end, now) {
            self.count_stale();
        }
        Some(found.pair().1.clone())
    }
}

/// A number above 0 and at most 1 that looks drawn at random, the same for the same seed (splitmix64).
fn chance(seed: u64) -> f64 {
    let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    ((mixed >> 11) + 1) as f64 / (1_u64 << 53) as f64
}
