//! The writes through the cache that are under way in a stripe, with its lock held. One for each key, which those who want to write the
//! same key next hold on to; it stays until nobody is left. Meanwhile no load of the key is stored, for nobody knows whether it has seen
//! the write; and whatever else is written or invalidated of the key is noted, for nobody knows which came first.

use std::sync::Arc;

use equivalent::Equivalent;
use hashbrown::HashTable;

use crate::event::Cause;
use crate::time::deadline::is_due;

use super::flights::Flight;
use super::flights::Flights;
use super::flights::Open;
use super::flights::place;
use super::locked::Locked;

/// A table with room for more is given back when it is empty.
const SMALL: usize = 56;

impl<K, V> Flights<K, V> {
    pub(super) fn writing<Q>(&self, hash: u64, key: &Q) -> Option<&Arc<Flight<K, V>>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let is = |open: &Open<K, V>| place(open.hash) == place(hash) && key.equivalent(&open.flight.subject);
        self.writings.find(place(hash), is).map(|open| &open.flight)
    }
}

impl<K, V> Locked<'_, K, V> {
    /// The write of `key` that is under way.
    pub(crate) fn writing<Q>(&self, hash: u64, key: &Q) -> Option<Arc<Flight<K, V>>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.state.flights.writing(hash, key).cloned()
    }

    /// From here on the write is found by its key. No other may be.
    pub(crate) fn open_writing(&mut self, hash: u64, flight: Arc<Flight<K, V>>) {
        self.state.quiet = false;
        let flights = &mut self.state.flights;
        flights.next_overdue = flight.unattended_until().map_or(flights.next_overdue, |until| until.min(flights.next_overdue));
        let open = Open { hash, flight, failed: false };
        flights.writings.insert_unique(place(hash), open, |open| place(open.hash));
    }

    /// Is the write still among those under way?
    pub(crate) fn is_writing(&self, hash: u64, flight: &Flight<K, V>) -> bool {
        self.state.flights.writings.find(place(hash), |open| open.flight.number() == flight.number()).is_some()
    }

    /// Nobody is left who wants to write the key.
    pub(crate) fn close_writing(&mut self, hash: u64, flight: &Flight<K, V>) -> Option<Arc<Flight<K, V>>> {
        let writings = &mut self.state.flights.writings;
        let found = writings.find_entry(place(hash), |open| open.flight.number() == flight.number()).ok()?;
        let closed = found.remove().0.flight;
        if writings.is_empty() && writings.capacity() > SMALL {
            *writings = HashTable::new();
        }
        self.count_flights();
        self.state.quiet = self.state.is_quiet();
        Some(closed)
    }

    /// May a load of `key` not be stored because the key is being written? A write that was given up without a word does not count.
    pub(crate) fn is_being_written<Q>(&self, hash: u64, key: &Q, now: u64) -> bool
    where
        Q: Equivalent<K> + ?Sized,
    {
        let writing = self.state.flights.writing(hash, key);
        writing.is_some_and(|flight| !flight.unattended_until().is_some_and(|until| is_due(until, now)))
    }

    /// Somebody else has written or invalidated the key meanwhile.
    pub(super) fn fence_writing(&mut self, hash: u64, number: u64) {
        if let Some(open) = self.state.flights.writings.find(place(hash), |open| open.flight.number() == number) {
            open.flight.fence();
        }
    }
}

impl<K: Eq, V> Locked<'_, K, V> {
    /// A turn to write begins: what loads bring that are under way is not stored, and what was noted before is not about this turn.
    pub(crate) fn begin_writing(&mut self, hash: u64, flight: &Flight<K, V>) {
        self.fence(hash, &flight.subject);
        flight.unfence();
        flight.set_mark(self.state.revision);
    }

    /// Nobody knows what the source has, but perhaps that it has had version `source`: what is there of the key goes, unless it is as new,
    /// and nothing older may come.
    pub(crate) fn make_absent(&mut self, hash: u64, key: &K, source: Option<u64>, now: u64) {
        match source {
            Some(source) => {
                self.invalidate_at(hash, key, source, now);
            }
            None => {
                self.fence(hash, key);
                if let Some(resident) = self.find(hash, key, now) {
                    self.take_out(resident, Cause::Invalidated, now);
                }
            }
        }
    }
}
