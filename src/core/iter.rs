//! A walk over all entries, stripe by stripe, a few buckets under the lock at a time.

use std::sync::Arc;

use crate::entry::EntryRef;
use crate::sync::Broken;
use crate::sync::is_broken;
use crate::table::Pinned;

use super::Core;

/// Iterator over the entries of a cache, in no order; made by [`Cache::iter`](crate::Cache::iter).
///
/// It yields guards, and keeps those of a few buckets ready. An entry that stays throughout is seen once; one that comes, goes or is
/// replaced meanwhile may or may not be seen, but what was replaced or removed before a call of `next` is not seen by that call. It holds
/// no lock between two steps.
pub struct Iter<K, V> {
    core: Arc<Core<K, V>>,
    stripe: usize,
    /// Where in the stripe to go on.
    from: u64,
    ready: Vec<Pinned<K, V>>,
    /// Also what has expired and may still be served by loads.
    stale: bool,
}

impl<K, V> Iter<K, V> {
    pub(crate) fn new(core: Arc<Core<K, V>>) -> Self {
        Iter { core, stripe: 0, from: 0, ready: Vec::new(), stale: false }
    }

    /// As `new`; with what has expired and may still be served by loads.
    pub(super) fn with_stale(core: Arc<Core<K, V>>) -> Self {
        Iter { stale: true, ..Self::new(core) }
    }

    fn step(&mut self) {
        let table = &self.core.table;
        let now = self.core.now().unwrap_or(0);
        let mut pins = Vec::new();
        let locked = table.stripe_number(self.stripe).lock();
        let next = locked.scan(self.from, now, self.stale, |resident| pins.push(locked.pin(resident)));
        drop(locked);
        self.ready.extend(pins.into_iter().map(|pin| table.keep(self.stripe, pin)));
        match next {
            Some(from) => self.from = from,
            None => (self.stripe, self.from) = (self.stripe + 1, 0),
        }
    }
}

impl<K, V> Iterator for Iter<K, V> {
    type Item = EntryRef<K, V>;

    fn next(&mut self) -> Option<EntryRef<K, V>> {
        loop {
            if let Some(pinned) = self.ready.pop() {
                // Whoever judges what is there wants to know of what was replaced, too: he looks for what came after it.
                if self.stale || pinned.is_current() || is_broken(Broken::CurrentOnly) {
                    return Some(EntryRef::new(pinned));
                }
                continue;
            }
            if self.stripe == self.core.table.stripes().len() {
                return None;
            }
            self.step();
        }
    }
}

impl<K, V> std::fmt::Debug for Iter<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Iter").field("stripe", &self.stripe).finish_non_exhaustive()
    }
}
