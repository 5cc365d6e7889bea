//! A place among those who wait for a load. Who has it looks, sleeps until he is woken, and looks again; if he goes, nobody misses him.

use std::sync::Arc;
use std::time::Duration;

use crate::failure::Failure;
use crate::flight::Look;
use crate::flight::Number;
use crate::flight::Token;
use crate::lineage;
use crate::lineage::Edge;
use crate::sync::Broken;
use crate::sync::Ordering;
use crate::sync::Waiter;
use crate::sync::is_broken;
use crate::table::Flight;
use crate::table::Landing;
use crate::time::deadline;

use super::Core;
use super::lease::Lease;

pub(crate) struct Seat<K, V> {
    core: Arc<Core<K, V>>,
    hash: u64,
    flight: Arc<Flight<K, V>>,
    number: Number,
    /// It has been waited on.
    waited: bool,
    /// The load that the waiting code is part of needs this one.
    edge: Option<Edge>,
}

/// What has come for one who waits.
pub(crate) enum Came<K, V> {
    Value(V),
    Failed(Failure),
    /// The lease is his.
    Lead(Lease<K, V>),
    /// Nothing will come of the flight: he has to ask again.
    Nothing,
}

impl<K, V> Seat<K, V> {
    pub(super) fn take(core: &Arc<Core<K, V>>, hash: u64, flight: Arc<Flight<K, V>>) -> Self {
        let number = flight.sit();
        Seat { core: Arc::clone(core), hash, flight, number, waited: false, edge: None }
    }

    /// If the caller is part of a load, that load needs this one from here on. `None` if it would wait for itself.
    pub(super) fn needed(mut self) -> Option<Self> {
        loop {
            let lease = self.flight.lease();
            self.edge = lineage::need(lease).ok()?;
            // If it has passed on meanwhile, what was noted goes by a number that nobody has.
            if self.edge.is_none() || self.flight.lease() == lease {
                return Some(self);
            }
            self.edge = None;
        }
    }
}

impl<K, V: Clone> Seat<K, V> {
    /// What has come, or how long to sleep at most before looking again. `waiter` will be woken when something comes.
    pub(crate) fn look(&mut self, waiter: Waiter) -> Result<Came<K, V>, Option<Duration>> {
        let time = self.core.lease_time();
        match self.flight.look(self.number, waiter, time.now, time.until) {
            Look::Wait(overdue) => {
                if !std::mem::replace(&mut self.waited, true) {
                    self.core.tally.waits.fetch_add(1, Ordering::Relaxed);
                }
                Err(deadline::remaining(overdue, time.now))
            }
            Look::Landed(landing) => Ok(match landing {
                Some(Landing::Stored(pinned)) => Came::Value(pinned.pair().1.clone()),
                // It came after what is brought here was declared dead.
                Some(Landing::Unstored(_)) if self.flight.is_late(self.number) && !is_broken(Broken::LateSeats) => Came::Nothing,
                Some(Landing::Unstored(value)) => Came::Value(value.clone()),
                Some(Landing::Failed { failure, .. }) => Came::Failed(failure.clone()),
                None => Came::Nothing,
            }),
            Look::Called(token) => Ok(self.lead(token)),
            Look::Overdue(token) => {
                self.core.tally.timeouts.fetch_add(1, Ordering::Relaxed);
                self.core.tally.takeovers.fetch_add(1, Ordering::Relaxed);
                Ok(self.lead(token))
            }
        }
    }
}

impl<K, V> Seat<K, V> {
    /// The key that is waited for.
    pub(crate) fn key(&self) -> &K {
        &self.flight.subject
    }

    /// The lease is the waiter's. If a fence came before he did, it is good for nothing, and he starts anew like everybody else.
    fn lead(&self, token: Token) -> Came<K, V> {
        if self.flight.is_fenced() {
            self.core.hand_over(self.hash, Arc::clone(&self.flight), token);
            return Came::Nothing;
        }
        // Nobody waits for this: if the lock is taken, what he brings for a group that ended before he begins is not stored.
        // Nor if he came so late that it is another's, whose load may have begun before.
        if let Some(locked) = self.core.table.stripe_number(self.core.table.stripe_of(self.hash)).try_lock()
            && self.flight.lease() == token
        {
            locked.renew(&self.flight);
        }
        Came::Lead(Lease::new(&self.core, self.hash, Arc::clone(&self.flight), token))
    }
}

impl<K, V> Drop for Seat<K, V> {
    fn drop(&mut self) {
        if let Some(token) = self.flight.leave(self.number).filter(|_| !is_broken(Broken::HandOver)) {
            self.core.hand_over(self.hash, Arc::clone(&self.flight), token);
        }
    }
}
