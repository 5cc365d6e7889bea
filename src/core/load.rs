//! The steps of a load: ask for a value, a seat or the lease; fail; hand over (`publish` has the one that stores). Each is one transition
//! of the key's stripe, and none waits. Who waits does so in the faces, on the [`Seat`] that a step gave him.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;

use equivalent::Equivalent;

use crate::entry::EntryRef;
use crate::failure::Failure;
use crate::flight::Crew;
use crate::flight::HandOver;
use crate::flight::Token;
use crate::lineage;
use crate::sync::Broken;
use crate::sync::Ordering;
use crate::sync::Waiter;
use crate::sync::is_broken;
use crate::table::Ended;
use crate::table::Flight;
use crate::table::Landing;
use crate::table::Locked;
use crate::table::Look;
use crate::table::Serving;
use crate::time::deadline;
use crate::unwind::Panic;
use crate::unwind::keep_first;
use crate::unwind::resume;

use super::Core;
use super::Settings;
use super::lease::Lease;
use super::seat::Seat;

/// What a call that may load wants.
#[derive(Clone, Copy)]
pub(crate) struct Wish {
    /// A load, even if there is a value.
    pub(crate) afresh: bool,
    /// An error will do for an answer.
    pub(crate) fallible: bool,
    /// It waits for the loads of others.
    pub(crate) waits: bool,
}

/// What it gets.
pub(crate) enum Step<K, V> {
    /// What may be served: it is live, or stale while somebody else loads.
    Value(EntryRef<K, V>),
    /// Somebody else loads.
    Wait(Seat<K, V>),
    /// The same, for those who do not wait.
    Busy,
    /// It is the caller's to load; here is what may be served meanwhile.
    Lead(Lease<K, V>, Option<Box<EntryRef<K, V>>>),
    /// The last load has failed, and it is too early for another.
    Failed(Failure),
    /// The caller is part of the load that it would wait for.
    Reentrant,
}

impl<K, V> Core<K, V> {
    /// Does anything depend on the age of a load?
    pub(super) fn leases_end(&self) -> bool {
        self.settings.load_timeout.is_some() || self.settings.negative_ttl.is_some()
    }

    /// Where nothing depends on the age of a load, nobody asks the clock.
    pub(super) fn lease_time(&self) -> LeaseTime {
        let Settings { load_timeout, clock, .. } = &self.settings;
        let now = if self.leases_end() { clock.now() } else { 0 };
        LeaseTime { now, until: load_timeout.map_or(deadline::NEVER, |timeout| deadline::after(now, timeout)) }
    }

    /// The lease of `token` ends without a result: a waiter takes over, or nothing is left of the flight.
    pub(super) fn hand_over(&self, hash: u64, flight: Arc<Flight<K, V>>, token: Token) {
        let mut locked = self.table.stripe(hash).lock();
        let fenced = flight.is_fenced();
        // What was fenced is nobody's to load again: everybody starts anew.
        let handed = if fenced { HandOver::Late } else { flight.hand_over(token) };
        let closed = if matches!(handed, HandOver::Nobody) { locked.close(hash, &flight) } else { None };
        drop(locked);
        match handed {
            HandOver::Called(waiter) => {
                self.tally.takeovers.fetch_add(1, Ordering::Relaxed);
                waiter.into_iter().for_each(Waiter::wake);
            }
            HandOver::Late if fenced && !is_broken(Broken::FencedHandOver) => {
                let _ = flight.land(token, None).map(Crew::wake);
            }
            HandOver::Late | HandOver::Nobody => {}
        }
        // The key's `Drop` is the user's, and there may be a panic under way already.
        resume(catch_unwind(AssertUnwindSafe(|| drop((flight, closed)))));
    }

    /// Until when an error of a load that fails now is the answer to those who come later.
    pub(super) fn backoff(&self) -> Option<u64> {
        let until = self.settings.negative_ttl.map(|ttl| deadline::after(self.settings.clock.now(), ttl));
        if until.is_some() {
            self.keep_time();
        }
        until
    }

    /// A load has failed: those who wait are told; with a backoff those who come soon will be.
    pub(super) fn fail(&self, hash: u64, flight: Arc<Flight<K, V>>, token: Token, failure: Failure, backoff: Option<u64>) {
        self.tally.failures.fetch_add(1, Ordering::Relaxed);
        let number = self.table.stripe_of(hash);
        let landing = Landing::Failed { failure, until: backoff.unwrap_or(0) };
        let mut locked = self.table.stripe_number(number).lock();
        // Landed under the lock: whoever would take the lease over, or come to the flight, finds it over.
        let landed = flight.land(token, Some(landing));
        let closed = match backoff {
            Some(until) if landed.is_ok() => {
                locked.keep_failed(hash, &flight, until);
                None
            }
            None if landed.is_ok() => locked.close(hash, &flight),
            _ => None,
        };
        let ended = locked.take_ended();
        drop(locked);
        let refused = landed.map(Crew::wake).err();
        let let_go = self.let_go(number, ended);
        let dropped = catch_unwind(AssertUnwindSafe(|| drop((flight, closed, refused))));
        let mut panic = None;
        keep_first(&mut panic, let_go);
        keep_first(&mut panic, dropped);
        resume(panic.map_or(Ok(()), Err));
    }

    /// Frees those who wait for flights that have ended, if there is something for them, and lets the flights go.
    #[cold]
    pub(super) fn let_go(&self, number: usize, ended: Vec<Ended<K, V>>) -> Result<(), Panic> {
        let mut panic = None;
        for ended in ended {
            let (flight, written) = match ended {
                Ended::Flight { flight, written } => (flight, written),
                Ended::Turn { line, next } => {
                    next.into_iter().filter(|_| !is_broken(Broken::TurnWakes)).for_each(Waiter::wake);
                    keep_first(&mut panic, catch_unwind(AssertUnwindSafe(|| drop(line))));
                    continue;
                }
            };
            let landing = written.map(|pin| Landing::Stored(self.table.keep(number, pin)));
            let dropped = catch_unwind(AssertUnwindSafe(|| {
                if landing.is_some() {
                    drop(flight.divert(landing).map(Crew::wake));
                }
                drop(flight);
            }));
            keep_first(&mut panic, dropped);
        }
        panic.map_or(Ok(()), Err)
    }
}

/// A moment by the clock that leases are measured with, and when a lease that begins then is overdue.
#[derive(Clone, Copy)]
pub(super) struct LeaseTime {
    pub(super) now: u64,
    pub(super) until: u64,
}

impl<K: Eq, V> Core<K, V> {
    /// The next step of a call that may load `key`.
    pub(crate) fn ask<Q>(self: &Arc<Self>, hash: u64, key: &Q, wish: Wish) -> Step<K, V>
    where
        Q: Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let time = self.lease_time();
        if time.until != deadline::NEVER {
            // Whoever takes the stripe's lock sees to leases that nobody will end.
            self.keep_time();
        }
        // Where no flight is open there is none to join, so one is made at once; else only if it turns out to be needed.
        let open = self.table.stripe(hash).flights() > 0;
        let step = if open { self.join(hash, key, wish, time, None) } else { None };
        let step = step.or_else(|| {
            let fresh = Arc::new(Flight::new(key.to_owned(), time.until));
            match self.lead_fast(hash, key, fresh, time) {
                Ok(lease) => Some(Step::Lead(lease, None)),
                Err(fresh) => self.join(hash, key, wish, time, Some(fresh)),
            }
        });
        match step.expect("with a flight of his own the caller may lead") {
            Step::Wait(seat) => seat.needed().map_or(Step::Reentrant, Step::Wait),
            step => step,
        }
    }

    /// Leads the `fresh` flight if there is nothing else in the stripe to see to, as is nearly always so.
    fn lead_fast<Q>(
        self: &Arc<Self>,
        hash: u64,
        key: &Q,
        fresh: Arc<Flight<K, V>>,
        time: LeaseTime,
    ) -> Result<Lease<K, V>, Arc<Flight<K, V>>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let mut locked = self.table.stripe(hash).lock();
        if !locked.look_fast(hash, key, self.capacity()).is_some_and(Look::is_absent) {
            return Err(fresh);
        }
        locked.open(hash, Arc::clone(&fresh), time.until);
        drop(locked);
        let token = fresh.number();
        Ok(Lease::new(self, hash, fresh, token))
    }

    /// Takes what is there; leads the `fresh` flight if nothing is. `None` if one is needed and not given.
    fn join<Q>(
        self: &Arc<Self>,
        hash: u64,
        key: &Q,
        wish: Wish,
        time: LeaseTime,
        mut fresh: Option<Arc<Flight<K, V>>>,
    ) -> Option<Step<K, V>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        // Out here, so that whatever panics in the effects of the transition finds them with an owner who gives them back.
        let (mut step, mut stale, mut closed) = (None, None, None);
        self.transition(hash, |locked, now| {
            let keep = |pin| EntryRef::new(self.table.keep(self.table.stripe_of(hash), pin));
            match if wish.afresh { locked.find_held(hash, key) } else { locked.find_serving(hash, key, now) } {
                Some(Serving::Live(resident)) => {
                    step = Some(Step::Value(keep(locked.pin(resident))));
                    return;
                }
                Some(Serving::Stale(resident)) => stale = Some(keep(locked.pin(resident))),
                None => {}
            }
            if let Some(flight) = locked.flight(hash, key, time.now).filter(|_| !is_broken(Broken::OneFlight)) {
                step = self.join_flight(locked, hash, &flight, wish, time, &mut stale);
                if step.is_none() {
                    closed = locked.close(hash, &flight);
                }
            }
            if step.is_none()
                && let Some(flight) = fresh.take()
            {
                locked.open(hash, Arc::clone(&flight), time.until);
                let token = flight.number();
                step = Some(Step::Lead(Lease::new(self, hash, flight, token), stale.take().map(Box::new)));
            }
        });
        drop((fresh, closed));
        step
    }

    /// What a flight that was found by its key has for the caller. `None` if it is one that failed, and no answer any more.
    fn join_flight(
        self: &Arc<Self>,
        locked: &Locked<'_, K, V>,
        hash: u64,
        flight: &Arc<Flight<K, V>>,
        wish: Wish,
        time: LeaseTime,
        stale: &mut Option<EntryRef<K, V>>,
    ) -> Option<Step<K, V>> {
        let failure = match flight.landed() {
            None => None,
            Some(Some(Landing::Failed { failure, until })) if !deadline::is_due(*until, time.now) => Some(failure),
            Some(_) => return None,
        };
        if failure.is_none()
            && let Some(token) = flight.take_overdue(time.now, time.until)
        {
            locked.renew(flight);
            self.tally.timeouts.fetch_add(1, Ordering::Relaxed);
            self.tally.takeovers.fetch_add(1, Ordering::Relaxed);
            return Some(Step::Lead(Lease::new(self, hash, Arc::clone(flight), token), stale.take().map(Box::new)));
        }
        if let Some(stale) = stale.take() {
            self.count_stale();
            return Some(Step::Value(stale));
        }
        if !wish.waits {
            return Some(Step::Busy);
        }
        match failure {
            Some(failure) => wish.fallible.then(|| Step::Failed(failure.clone())),
            None if lineage::is_inside(flight.lease()) => Some(Step::Reentrant),
            None => Some(Step::Wait(Seat::take(self, hash, Arc::clone(flight)))),
        }
    }
}
