//! The open flights of a stripe, and what writes do to them. A flight that a write fences leaves the table at once: who comes later
//! finds none and starts his own; who waits for it already holds on to it.
//!
//! A flight that failed may stay for a while as the answer to those who come later (backoff). Such flights are few, go in the order
//! in which they came, and go early where there are too many: that costs a load.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use equivalent::Equivalent;
use hashbrown::HashTable;

use crate::failure::Failure;
use crate::flight;
use crate::sync::Broken;
use crate::sync::Ordering;
use crate::sync::Waiter;
use crate::sync::is_broken;
use crate::time::deadline::NEVER;
use crate::time::deadline::is_due;

use super::index::spread;
use super::lines::Line;
use super::lines::Lines;
use super::locked::Locked;
use super::node::HASH_MASK;
use super::pin::Pin;
use super::pin::Pinned;
use super::put::Put;

/// What comes of a flight, for those who wait.
pub(crate) enum Landing<K, V> {
    /// The value that is in the cache.
    Stored(Pinned<K, V>),
    /// A value that is not.
    Unstored(V),
    /// An error, which is also the answer to those who come later until then (0 for not at all).
    Failed { failure: Failure, until: u64 },
}

/// A flight of a cache: it carries its key.
pub(crate) type Flight<K, V> = flight::Flight<K, Landing<K, V>>;

/// A table with room for more flights is given back when it is empty.
const SMALL: usize = 56;
/// Failed flights that one call looks at.
const SWEPT: usize = 8;
/// Failed flights that a stripe keeps.
const MOST_FAILED: usize = 1024;
/// Nanoseconds until what is overdue, and attended to, is looked at again.
const SOON: u64 = 1_000_000;

/// Where a flight is found: by what a node keeps of a hash, so that the flight of an entry's key can be found from the entry.
pub(super) fn place(hash: u64) -> u64 {
    spread(hash & HASH_MASK)
}

struct Open<K, V> {
    hash: u64,
    flight: Arc<Flight<K, V>>,
    /// It is among the failed ones that stay.
    failed: bool,
}

/// A failed flight that stays until it is due.
struct Backoff {
    due: u64,
    hash: u64,
    number: u64,
}

/// What is over, and let go when the lock is gone.
pub(crate) enum Ended<K, V> {
    /// A flight that is out of the table: fenced, published or forgotten. Those who wait get what was written, if anything.
    Flight { flight: Arc<Flight<K, V>>, written: Option<Pin<K, V>> },
    /// A turn in a line. The next one is woken, if he sleeps.
    Turn { line: Arc<Line<K>>, next: Option<Waiter> },
}

/// What a write of a key fences, found by the key and from there on known by number.
#[derive(Clone, Copy)]
pub(super) struct Fences {
    flight: Option<u64>,
    line: Option<u64>,
}

impl Fences {
    pub(super) const NONE: Fences = Fences { flight: None, line: None };
}

pub(super) struct Flights<K, V> {
    open: HashTable<Open<K, V>>,
    /// The lines of those who write keys through the cache.
    pub(super) lines: Lines<K>,
    /// No lease is overdue before.
    pub(super) next_overdue: u64,
    failed: VecDeque<Backoff>,
    pub(super) ended: Vec<Ended<K, V>>,
}

impl<K, V> Flights<K, V> {
    pub(super) const fn new() -> Self {
        Flights { open: HashTable::new(), lines: Lines::new(), next_overdue: NEVER, failed: VecDeque::new(), ended: Vec::new() }
    }

    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.lines.is_empty()
    }

    /// Is there no flight, nor anything to be done about one?
    pub(super) fn is_quiet(&self) -> bool {
        self.is_empty() && self.ended.is_empty()
    }

    pub(super) fn memory(&self) -> usize {
        let lists = self.failed.capacity() * size_of::<Backoff>() + self.ended.capacity() * size_of::<Ended<K, V>>();
        self.open.allocation_size() + self.lines.memory() + lists
    }

    fn get<Q>(&self, hash: u64, key: &Q) -> Option<&Arc<Flight<K, V>>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let is = |open: &Open<K, V>| place(open.hash) == place(hash) && key.equivalent(&open.flight.subject);
        self.open.find(place(hash), is).map(|open| &open.flight)
    }

    fn remove(&mut self, hash: u64, number: u64) -> Option<Arc<Flight<K, V>>> {
        let found = self.open.find_entry(place(hash), |open| open.flight.number() == number).ok()?;
        let Open { flight, failed, .. } = found.remove().0;
        if failed {
            self.failed.retain(|failed| failed.number != number);
        }
        if self.open.is_empty() && self.open.capacity() > SMALL {
            self.open = HashTable::new();
        }
        Some(flight)
    }

    /// What has ended since the last call, to be dealt with under no lock.
    #[inline(always)]
    pub(super) fn take_ended(&mut self) -> Vec<Ended<K, V>> {
        if self.ended.is_empty() { Vec::new() } else { mem::take(&mut self.ended) }
    }

    fn let_go(&mut self, flight: Option<Arc<Flight<K, V>>>) {
        self.ended.extend(flight.map(|flight| Ended::Flight { flight, written: None }));
    }
}

impl<K, V> Locked<'_, K, V> {
    /// Loads under way.
    pub(crate) fn loads(&self) -> usize {
        self.state.flights.open.len() - self.state.flights.failed.len()
    }

    /// The flight of `key`, failed ones that are not due yet among them.
    pub(crate) fn flight<Q>(&mut self, hash: u64, key: &Q, now: u64) -> Option<Arc<Flight<K, V>>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.sweep_failed(now);
        self.state.flights.get(hash, key).cloned()
    }

    /// From here on the flight is found by its key, until its lease is overdue at `until`. No other may be.
    pub(crate) fn open(&mut self, hash: u64, flight: Arc<Flight<K, V>>, until: u64) {
        self.state.quiet = false;
        flight.set_mark(self.state.revision);
        let flights = &mut self.state.flights;
        flights.next_overdue = flights.next_overdue.min(until);
        flights.open.insert_unique(place(hash), Open { hash, flight, failed: false }, |open| place(open.hash));
        self.count_flights();
    }

    /// Is the flight open and not fenced?
    pub(crate) fn is_open(&self, hash: u64, flight: &Flight<K, V>) -> bool {
        self.state.flights.open.find(place(hash), |open| open.flight.number() == flight.number()).is_some()
    }

    /// The flight is over, or nobody is left in it.
    pub(crate) fn close(&mut self, hash: u64, flight: &Flight<K, V>) -> Option<Arc<Flight<K, V>>> {
        let closed = self.state.flights.remove(hash, flight.number());
        self.count_flights();
        self.state.quiet = self.state.is_quiet();
        closed
    }

    /// The flight has failed, and stays as an answer until `due`.
    pub(crate) fn keep_failed(&mut self, hash: u64, flight: &Flight<K, V>, due: u64) {
        if self.state.flights.failed.len() >= MOST_FAILED {
            self.drop_oldest_failed();
        }
        if let Some(open) = self.state.flights.open.find_mut(place(hash), |open| open.flight.number() == flight.number()) {
            open.failed = true;
            self.state.flights.failed.push_back(Backoff { due, hash, number: flight.number() });
        }
    }

    /// No load of `key` that is under way may be stored.
    #[inline(always)]
    pub(crate) fn fence<Q>(&mut self, hash: u64, key: &Q)
    where
        Q: Equivalent<K> + ?Sized,
    {
        if !self.state.flights.is_empty()
            && let Some(flight) = self.take_flight(hash, key)
        {
            self.flight_ended(flight, None);
        }
    }

    /// Fences the flight of `key` and takes it out of the table.
    #[cold]
    pub(crate) fn take_flight<Q>(&mut self, hash: u64, key: &Q) -> Option<Arc<Flight<K, V>>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let fences = self.fences_of(hash, key);
        self.take_fences(hash, fences)
    }

    /// What a write of `key` would fence. Keys are compared here, and not any more when it does.
    pub(super) fn fences_of<Q>(&self, hash: u64, key: &Q) -> Fences
    where
        Q: Equivalent<K> + ?Sized,
    {
        let flights = &self.state.flights;
        let (flight, line) = (flights.get(hash, key), flights.lines.get(hash, key));
        Fences { flight: flight.map(|flight| flight.number()), line: line.map(|line| line.number()) }
    }

    /// Fences, and takes the flight out of the table.
    pub(super) fn take_fences(&mut self, hash: u64, fences: Fences) -> Option<Arc<Flight<K, V>>> {
        if is_broken(Broken::Fence) {
            return None;
        }
        if let Some(number) = fences.line.filter(|_| !is_broken(Broken::LineFence)) {
            self.state.flights.lines.fence(hash, number);
        }
        if is_broken(Broken::Unjoined) {
            let open = self.state.flights.open.find(place(hash), |open| Some(open.flight.number()) == fences.flight)?;
            self.fence_flight(&open.flight);
            return None;
        }
        let flight = self.state.flights.remove(hash, fences.flight?)?;
        self.fence_flight(&flight);
        self.count_flights();
        Some(flight)
    }

    /// Those who wait for a flight that is out of the table get what was just written.
    #[cold]
    pub(crate) fn divert(&mut self, flight: Arc<Flight<K, V>>, put: &Put<'_, K, V>) {
        let written = flight.is_awaited().then(|| self.pin_put(put));
        self.flight_ended(flight, written);
    }

    pub(super) fn flight_ended(&mut self, flight: Arc<Flight<K, V>>, written: Option<Pin<K, V>>) {
        self.state.quiet = false;
        self.state.flights.ended.push(Ended::Flight { flight, written });
    }

    /// No load of any key that is under way may be stored.
    pub(crate) fn fence_all(&mut self) {
        if self.state.flights.is_empty() {
            return;
        }
        self.state.flights.lines.fence_all();
        let flights = mem::replace(&mut self.state.flights.open, HashTable::new());
        self.state.flights.failed = VecDeque::new();
        // One look at the groups that have ended, for all of them: who sat down after the first of those asks again.
        let late = self.any_ended_since(0);
        for open in &flights {
            open.flight.fence();
            late.into_iter().for_each(|late| open.flight.set_late_from(late));
        }
        self.state.flights.ended.extend(flights.into_iter().map(|Open { flight, .. }| Ended::Flight { flight, written: None }));
        self.count_flights();
    }

    fn fence_flight(&self, flight: &Flight<K, V>) {
        flight.fence();
        // What it brings may be of a group that has ended since it began, and by then nobody will know.
        if let Some(late) = self.any_ended_since(flight.mark()) {
            flight.set_late_from(late);
        }
    }

    /// How far things were when the oldest load or write through began that is under way.
    pub(super) fn oldest_mark(&self) -> u64 {
        let Flights { open, lines, .. } = &self.state.flights;
        let loads = open.iter().filter(|open| !open.failed).map(|open| open.flight.mark());
        loads.chain(lines.marks()).min().unwrap_or(u64::MAX)
    }

    /// The lease of the flight is a new one, for a loader that has not begun.
    pub(crate) fn renew(&self, flight: &Flight<K, V>) {
        flight.set_mark(self.state.revision);
    }

    /// Lets flights go that nobody will end: some failed ones that are due, and those with an overdue lease and nobody to take it over.
    pub(super) fn sweep_flights(&mut self, now: u64) {
        self.sweep_failed(now);
        if self.state.flights.next_overdue <= now {
            self.sweep_overdue(now);
        }
    }

    #[cold]
    fn sweep_overdue(&mut self, now: u64) {
        let Flights { open, lines, ended, .. } = &mut self.state.flights;
        let (mut first, mut last) = (NEVER, now);
        let mut is_over = |(until, attended): (u64, bool)| {
            let over = is_due(until, now) && !attended;
            if !over {
                // Who is there to see to it may go without having looked.
                let again = if is_due(until, now) { now.saturating_add(SOON) } else { until };
                (first, last) = (first.min(again), last.max(again));
            }
            over
        };
        let over = open.extract_if(|open| !open.failed && is_over(open.flight.due()));
        let before = ended.len();
        ended.extend(over.map(|Open { flight, .. }| Ended::Flight { flight, written: None }));
        let loads = ended.len() - before;
        let left = lines.take_over(|line| is_over(line.due()));
        self.state.counts.load_timeouts += loads as u64;
        // A few walks for all that are open now, not one for each.
        self.state.flights.next_overdue = first.max(now.saturating_add((last - now) / 8));
        for (hash, line) in left {
            self.give_up_turn(hash, &line, now);
            self.state.flights.ended.push(Ended::Turn { line, next: None });
        }
        self.count_flights();
    }

    /// Fences the loads of keys with a hash like this.
    pub(super) fn fence_hash(&mut self, hash: u64) {
        let like = |open: &Open<K, V>| place(open.hash) == place(hash);
        while let Some(number) = self.state.flights.open.find(place(hash), like).map(|open| open.flight.number()) {
            if let Some(flight) = self.take_fences(hash, Fences { flight: Some(number), line: None }) {
                self.flight_ended(flight, None);
            }
        }
    }

    /// The flight may not be stored, and is not to be found any more.
    pub(crate) fn refuse(&mut self, hash: u64, flight: &Flight<K, V>) -> Option<Arc<Flight<K, V>>> {
        self.fence_flight(flight);
        self.close(hash, flight)
    }

    fn sweep_failed(&mut self, now: u64) {
        for _ in 0..SWEPT {
            if !self.state.flights.failed.front().is_some_and(|oldest| is_due(oldest.due, now)) {
                return;
            }
            self.drop_oldest_failed();
        }
    }

    fn drop_oldest_failed(&mut self) {
        let Some(Backoff { hash, number, .. }) = self.state.flights.failed.pop_front() else { return };
        let flight = self.state.flights.remove(hash, number);
        self.state.flights.let_go(flight);
        if self.state.flights.failed.is_empty() {
            self.state.flights.failed = VecDeque::new();
        }
        self.count_flights();
    }

    /// The mirror that is read without the lock.
    pub(super) fn count_flights(&mut self) {
        // Relaxed: only the lock's holder writes it, and whoever reads it only wants to know.
        self.stripe.writers.flights.store(self.state.flights.open.len(), Ordering::Relaxed);
        if self.state.flights.is_empty() {
            self.forget_ended_groups();
        }
    }
}
