//! Writes through the cache: the source is written first, then the cache, and no load that overlaps the write of the source is stored.
//! Those of one key go one at a time, by turns; who has the turn has a [`Writing`], who waits for it a [`Place`].

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;

use crate::config::WhileWriting;
use crate::entry::EntryRef;
use crate::event::Cause;
use crate::event::Moment;
use crate::event::Special;
use crate::flight::HandOver;
use crate::flight::Look;
use crate::flight::Number;
use crate::flight::Token;
use crate::lineage;
use crate::lineage::Edge;
use crate::lineage::Frame;
use crate::loaded::Loaded;
use crate::rule::version::Claim;
use crate::rule::version::Version;
use crate::sync::Waiter;
use crate::table::Flight;
use crate::table::Refusal;
use crate::time::deadline;
use crate::unwind::resume;

use super::Core;
use super::How;
use super::load::LeaseTime;

/// What a call that wants to write a key gets.
pub(crate) enum Turn<K: Eq, V> {
    Now(Writing<K, V>),
    Wait(Place<K, V>),
    /// The caller is part of the write that it would wait for.
    Reentrant,
}

/// The turn to write a key. If it is dropped, nobody knows whether the source was written: the key is made absent.
pub(crate) struct Writing<K: Eq, V> {
    core: Arc<Core<K, V>>,
    hash: u64,
    flight: Arc<Flight<K, V>>,
    token: Token,
    /// The turn before it was overdue, and what came of it nobody knows.
    after_overdue: bool,
    /// The key is as it should be.
    settled: bool,
}

/// A place in the line of those who want to write a key.
pub(crate) struct Place<K: Eq, V> {
    core: Arc<Core<K, V>>,
    hash: u64,
    flight: Arc<Flight<K, V>>,
    number: Number,
    /// The load or write that the waiting code is part of needs this one.
    _edge: Option<Edge>,
}

/// What became of a value that the source has.
enum Try {
    Stored(Version),
    Absent,
    /// The key is not in the state for which the terms were worked out.
    Changed,
}

/// A pair stays with its writer until it is admitted.
const HERE: &str = "a pair is given up once";

impl<K: Eq, V> Core<K, V> {
    /// Stands in line to write `key`.
    pub(crate) fn stand_in_line(self: &Arc<Self>, hash: u64, key: K) -> Turn<K, V> {
        let time = self.lease_time();
        if time.until != deadline::NEVER {
            self.keep_time();
        }
        let fresh = Arc::new(Flight::new(key, time.until));
        // Out here, so that whatever panics in the effects of the transition finds it with an owner who gives it back.
        let mut turn = None;
        self.transition(hash, |locked, _| {
            turn = Some(match locked.writing(hash, &fresh.subject) {
                Some(flight) => self.join_line(hash, flight, time),
                None => {
                    locked.open_writing(hash, Arc::clone(&fresh));
                    Turn::Now(self.writing(hash, Arc::clone(&fresh), fresh.number(), false))
                }
            });
        });
        match turn.expect("it was given") {
            Turn::Wait(place) => place.needed(),
            turn => turn,
        }
    }

    fn join_line(self: &Arc<Self>, hash: u64, flight: Arc<Flight<K, V>>, time: LeaseTime) -> Turn<K, V> {
        if let Some(token) = flight.take_overdue(time.now, time.until) {
            return Turn::Now(self.writing(hash, flight, token, true));
        }
        if lineage::is_inside(flight.lease()) {
            return Turn::Reentrant;
        }
        let number = flight.sit();
        Turn::Wait(Place { core: Arc::clone(self), hash, flight, number, _edge: None })
    }

    fn writing(self: &Arc<Self>, hash: u64, flight: Arc<Flight<K, V>>, token: Token, after_overdue: bool) -> Writing<K, V> {
        Writing { core: Arc::clone(self), hash, flight, token, after_overdue, settled: false }
    }

    /// The turn of `token` is over: it is the next one's, or the line is gone.
    fn pass_turn(&self, hash: u64, flight: &Arc<Flight<K, V>>, token: Token) {
        let mut locked = self.table.stripe_number(self.table.stripe_of(hash)).lock();
        let handed = flight.hand_over(token);
        let closed = if matches!(handed, HandOver::Nobody) { locked.close_writing(hash, flight) } else { None };
        drop(locked);
        if let HandOver::Called(waiter) = handed {
            waiter.into_iter().for_each(Waiter::wake);
        }
        // The key's `Drop` is the user's, and there may be a panic under way already.
        resume(catch_unwind(AssertUnwindSafe(|| drop(closed))));
    }
}

impl<K: Eq, V> Place<K, V> {
    /// If the caller is part of a load or a write, that needs this one from here on.
    fn needed(mut self) -> Turn<K, V> {
        match lineage::need(self.flight.lease()) {
            Ok(edge) => {
                self._edge = edge;
                Turn::Wait(self)
            }
            Err(lineage::Cycle) => Turn::Reentrant,
        }
    }

    /// The turn, or how long to sleep at most before looking again. `waiter` will be woken when it comes.
    pub(crate) fn look(&mut self, waiter: Waiter) -> Result<Writing<K, V>, Option<Duration>> {
        let time = self.core.lease_time();
        match self.flight.look(self.number, waiter, time.now, time.until) {
            Look::Wait(overdue) => Err(deadline::remaining(overdue, time.now)),
            Look::Called(token) => Ok(self.turn(token, false)),
            Look::Overdue(token) => Ok(self.turn(token, true)),
            Look::Landed(_) => unreachable!("nothing comes of a line but turns"),
        }
    }

    fn turn(&self, token: Token, after_overdue: bool) -> Writing<K, V> {
        self.core.writing(self.hash, Arc::clone(&self.flight), token, after_overdue)
    }
}

impl<K: Eq, V> Drop for Place<K, V> {
    fn drop(&mut self) {
        if let Some(token) = self.flight.leave(self.number) {
            self.core.pass_turn(self.hash, &self.flight, token);
        }
    }
}

impl<K: Eq, V> Writing<K, V> {
    /// While the frame lives, this thread writes the source.
    pub(crate) fn enter(&self) -> Frame {
        Frame::enter(self.token)
    }

    /// The source is about to be written. Gives the entry that is there, which readers go on to see, or not, as the builder chose.
    pub(crate) fn begin(&self) -> Option<EntryRef<K, V>> {
        let Writing { core, hash, flight, after_overdue, .. } = self;
        let number = core.table.stripe_of(*hash);
        // Out here, as in `stand_in_line`.
        let mut current = None;
        core.transition(*hash, |locked, now| {
            if !locked.is_writing(*hash, flight) {
                // Overdue before it began, and swept away: it is late whatever it does.
                return;
            }
            if *after_overdue {
                locked.make_absent(*hash, &flight.subject, None, now);
            }
            locked.begin_writing(*hash, flight);
            if let Some(resident) = locked.find(*hash, &flight.subject, now) {
                current = Some(EntryRef::new(core.table.keep(number, locked.pin(resident))));
                if core.settings.while_writing == WhileWriting::Miss {
                    locked.take_out(resident, Cause::Invalidated, now);
                }
            }
        });
        current
    }

    /// The source has been written.
    pub(crate) fn finish(mut self, loaded: Loaded<V>) -> Option<Version>
    where
        K: Clone,
    {
        let Loaded { value, source, ttl } = loaded;
        let how = How { claim: source.map_or(Claim::Unversioned, Claim::At), ttl, ..How::PLAIN };
        let core = Arc::clone(&self.core);
        let mut pair = Some((self.flight.subject.clone(), value));
        loop {
            let (key, value) = pair.as_ref().expect(HERE);
            // As a load's: what is older than the source says was seen to by the fence.
            let terms = Special { leased: true, ..core.terms(self.hash, key, value, how, &[]) };
            match self.try_finish(&terms, &mut pair, source) {
                Try::Stored(version) => return Some(version),
                Try::Absent => return None,
                Try::Changed => {}
            }
        }
    }

    fn try_finish(&mut self, terms: &Special, pair: &mut Option<(K, V)>, source: Option<u64>) -> Try {
        let Writing { core, hash, flight, token, .. } = self;
        let (core, hash, lease_now) = (Arc::clone(core), *hash, core.lease_time().now);
        let mut fresh = false;
        let tried = core.transition(hash, |locked, now| {
            let (key, _) = pair.as_ref().expect(HERE);
            if !locked.is_writing(hash, flight) || !flight.is_led_by(*token, lease_now) {
                // Others may have written the source meanwhile.
                locked.make_absent(hash, key, source, now);
                return Try::Absent;
            }
            if flight.is_fenced() || locked.ended_since(&terms.groups, flight.mark()).is_some() {
                locked.make_absent(hash, key, source, now);
                return Try::Absent;
            }
            let moment = Moment { now, capacity: core.capacity() };
            let permit = match locked.admit(terms, key, moment) {
                Ok(permit) => permit,
                Err(Refusal::Changed) => return Try::Changed,
                Err(_) => {
                    locked.make_absent(hash, key, source, now);
                    return Try::Absent;
                }
            };
            let load = locked.take_flight(hash, key);
            let put = locked.write(terms, permit, pair.take().expect(HERE), now);
            if let Some(load) = load {
                locked.divert(load, &put);
            }
            core.make_room(locked, now);
            fresh = put.fresh;
            Try::Stored(put.version)
        });
        self.settled = !matches!(tried, Try::Changed);
        if fresh {
            core.missed(hash, terms.weight);
        }
        tried
    }
}

impl<K: Eq, V> Drop for Writing<K, V> {
    fn drop(&mut self) {
        let Writing { core, hash, flight, token, settled, .. } = self;
        let absent = catch_unwind(AssertUnwindSafe(|| {
            if !*settled {
                core.transition(*hash, |locked, now| locked.make_absent(*hash, &flight.subject, None, now));
            }
        }));
        core.pass_turn(*hash, flight, *token);
        resume(absent);
    }
}
