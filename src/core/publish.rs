//! The step of a load that stores what it brought: the lease is checked and the value made resident in one critical section, and those
//! who wait are woken after it. What may not be stored goes to them all the same.

use std::sync::Arc;

use crate::entry::EntryRef;
use crate::error::WhyUnfilled;
use crate::event::Moment;
use crate::event::Plain;
use crate::event::Special;
use crate::event::Terms;
use crate::flight::Crew;
use crate::loaded::Loaded;
use crate::rule::version::Claim;
use crate::rule::version::Version;
use crate::sync::Broken;
use crate::sync::Ordering;
use crate::sync::is_broken;
use crate::table::Landing;
use crate::table::Refusal;

use super::Core;
use super::How;
use super::lease::Lease;
use super::load::LeaseTime;

/// A value stays with its loader until it is admitted.
const HERE: &str = "a value is given up once";

/// A value that was loaded and not stored.
pub(crate) struct Unstored<K, V> {
    pub(crate) value: V,
    pub(crate) why: WhyUnfilled,
    /// The entry that is there, which is newer.
    pub(crate) instead: Option<EntryRef<K, V>>,
}

/// What came of one try to store a value.
enum Try {
    Stored(Version),
    Not(WhyUnfilled),
    /// Others know the flight, and it keeps its key: the entry needs one of its own.
    NeedsKey,
    /// The key is not in the state for which the terms were worked out.
    Changed,
}

impl<K: Eq + Clone, V: Clone> Core<K, V> {
    /// Stores what was loaded under a lease, if that still counts. The value comes back if it was not stored; those who wait have it
    /// then, or the newer one that is there.
    pub(super) fn publish(
        self: &Arc<Self>,
        mut lease: Lease<K, V>,
        loaded: Loaded<V>,
        took: u64,
    ) -> Result<Version, Box<Unstored<K, V>>> {
        let Loaded { value, source, ttl } = loaded;
        let claim = source.map_or(Claim::Unversioned, Claim::At);
        let mut value = Some(value);
        let stored = if self.plain && claim == Claim::Unversioned && ttl.is_none() {
            if let Some(version) = self.store_fast(&mut lease, &mut value) {
                return Ok(version);
            }
            self.store(&mut lease, &mut value, |lease, _| Plain { hash: lease.hash(), leased: true })
        } else {
            let how = How { claim, ttl, took, ..How::PLAIN };
            let terms = |lease: &Lease<K, V>, value: &V| self.terms(lease.hash(), lease.key(), value, how, &[]);
            self.store(&mut lease, &mut value, |lease, value| Special { leased: true, ..terms(lease, value) })
        };
        stored.map_err(|why| Box::new(self.unstored(lease, value.expect(HERE), why)))
    }

    /// Stores a plain value if there is nothing in the stripe to see to but the flight, and nobody waits for that, as is nearly always so.
    fn store_fast(&self, lease: &mut Lease<K, V>, value: &mut Option<V>) -> Option<Version> {
        let hash = lease.hash();
        let lease_now = self.lease_time().now;
        let (mut locked, now) = self.lock_in_time(hash)?;
        let flight = lease.flight();
        // The table and the lease know it: so nobody waits, and nobody else can come to know it but under this lock.
        if Arc::strong_count(flight) > 2 {
            return None;
        }
        // Where leases end by time, or failures stay, it may be another's by now.
        if is_broken(Broken::CheckedStore) || self.leases_end() && !flight.is_led_by(lease.token(), lease_now) {
            return None;
        }
        let closed = locked.close(hash, flight)?;
        let Some(look) = locked.look_fast(hash, &flight.subject, self.capacity()) else {
            // Not so: back to where it was, under the same lock, for the long way.
            let until = closed.due().0;
            locked.open(hash, closed, until);
            return None;
        };
        drop(closed);
        let key = lease.end_alone();
        let written = locked.write_fast(look, hash, (key, value.take().expect(HERE)));
        Some(self.after_fast(locked, hash, written, now))
    }

    /// Tries until it is stored or refused.
    fn store<T: Terms>(
        self: &Arc<Self>,
        lease: &mut Lease<K, V>,
        value: &mut Option<V>,
        work_out: impl Fn(&Lease<K, V>, &V) -> T,
    ) -> Result<Version, WhyUnfilled> {
        let mut spare: Option<K> = None;
        let mut terms = work_out(lease, value.as_ref().expect(HERE));
        loop {
            match self.try_store(lease, &terms, value, &mut spare) {
                Try::Stored(version) => return Ok(version),
                Try::NeedsKey => spare = Some(lease.key().clone()),
                Try::Changed => terms = work_out(lease, value.as_ref().expect(HERE)),
                Try::Not(why) => return Err(why),
            }
        }
    }

    fn try_store(
        self: &Arc<Self>,
        lease: &mut Lease<K, V>,
        terms: &impl Terms,
        value: &mut Option<V>,
        spare: &mut Option<K>,
    ) -> Try {
        let LeaseTime { now: lease_now, .. } = self.lease_time();
        let hash = lease.hash();
        let number = self.table.stripe_of(hash);
        let (mut closed, mut fresh) = (None, false);
        let checked = is_broken(Broken::CheckedStore) && self.table.stripe_number(number).lock().is_open(hash, lease.flight());
        let tried = self.transition_in(number, |locked, now| {
            let flight = lease.flight();
            if !checked && (!locked.is_open(hash, flight) || is_broken(Broken::Unjoined) && flight.is_fenced()) {
                // What is neither open nor fenced was ended by another lease.
                return Try::Not(if flight.is_fenced() { WhyUnfilled::Fenced } else { WhyUnfilled::TimedOut });
            }
            if !flight.is_led_by(lease.token(), lease_now) && !is_broken(Broken::LeaseToken) {
                return Try::Not(WhyUnfilled::TimedOut);
            }
            let meanwhile = !locked.has_no_lines() && locked.is_being_written(hash, &flight.subject, lease_now, now);
            if meanwhile || locked.ended_since(terms.groups(), flight.mark()) {
                closed = locked.refuse(hash, flight);
                return Try::Not(WhyUnfilled::Fenced);
            }
            // The table and the lease know it. Nobody else can come to know it but under this lock.
            let shared = Arc::strong_count(flight) > 2 || checked;
            if shared && spare.is_none() {
                return Try::NeedsKey;
            }
            let moment = Moment { now, capacity: self.capacity() };
            let permit = match locked.admit(terms, &flight.subject, moment) {
                Ok(permit) => permit,
                Err(Refusal::Superseded(newer)) => {
                    // Whoever is called to it from here on has to start anew.
                    closed = locked.refuse(hash, flight);
                    return Try::Not(WhyUnfilled::Older(newer));
                }
                Err(_) => return Try::Changed,
            };
            drop(locked.close(hash, flight));
            let (key, awaited) = match spare.take() {
                Some(key) => (key, Some(lease.end().0)),
                None => (lease.end_alone(), None),
            };
            let put = locked.write(terms, permit, (key, value.take().expect(HERE)), now);
            if let Some(flight) = awaited {
                locked.divert(flight, &put);
            }
            self.make_room(locked, now);
            fresh = put.fresh;
            Try::Stored(put.version)
        });
        drop(closed);
        if fresh {
            self.missed(hash, terms.weight());
        }
        tried
    }

    /// What becomes of a value that may not be stored: those who still wait for it get it, or what is newer.
    fn unstored(self: &Arc<Self>, mut lease: Lease<K, V>, value: V, why: WhyUnfilled) -> Unstored<K, V> {
        // What was there before the lease was given is not newer, unless the source says so.
        let before = if matches!(why, WhyUnfilled::Older(_)) { 0 } else { lease.flight().mark() };
        let resident = self.glance(lease.hash(), lease.key()).map(|found| self.guard(lease.hash(), &found));
        let instead = resident.filter(|entry| entry.version().revision() > before);
        match why {
            // The lease is another's, or goes to one who waits.
            WhyUnfilled::TimedOut => {}
            WhyUnfilled::Fenced | WhyUnfilled::Older(_) => {
                self.tally.fenced.fetch_add(u64::from(why == WhyUnfilled::Fenced), Ordering::Relaxed);
                if lease.flight().is_awaited() {
                    let landing = match &instead {
                        Some(entry) => Landing::Stored(entry.pinned()),
                        None => Landing::Unstored(value.clone()),
                    };
                    let (flight, token) = lease.end();
                    drop(flight.land(token, Some(landing)).map(Crew::wake));
                }
            }
        }
        drop(lease);
        Unstored { value, why, instead }
    }
}
