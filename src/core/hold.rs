//! Writes that stay in the cache until they are released: what the source of truth has yet to hear of.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;

use crate::entry::EntryRef;
use crate::event::Cause;
use crate::event::Moment;
use crate::event::Special;
use crate::rule::version::Version;
use crate::sync::Broken;
use crate::sync::is_broken;
use crate::time::deadline;
use crate::unwind::resume;

use super::Core;
use super::How;
use super::Why;

/// A pair stays with its writer until it is admitted.
const HERE: &str = "a pair is given up once";

/// Why a pair was not written.
pub(crate) enum Unheld<K, V, R> {
    /// The gate was shut.
    Shut(R),
    /// The cache refused it.
    Refused(Why<K, V>),
    /// It is to be tried again.
    Changed,
}

/// Why, and the pair.
type NotPut<K, V, R> = (Unheld<K, V, R>, (K, V));

impl<K: Eq, V> Core<K, V> {
    /// The terms of a write that is held. User code is asked of the pair here, under no lock.
    pub(crate) fn terms_held(&self, hash: u64, key: &K, value: &V) -> Special {
        let terms = self.terms(hash, key, value, How { refuse_heavy: true, ..How::PLAIN }, &[]);
        // Nobody's reads move its deadline while it is held: time to idle begins with the release.
        Special { held: !is_broken(Broken::HeldEntries), timed: self.has_times(), idle: deadline::NEVER, ..terms }
    }

    /// Writes a pair and holds it, one try, and gives what was written to what the `gate` gave. Both run under the stripe's lock: so what
    /// passes the gate is in the order of its versions.
    pub(crate) fn put_held<F, R>(
        self: &Arc<Self>,
        terms: &Special,
        pair: (K, V),
        gate: impl FnOnce(&K) -> Result<F, R>,
    ) -> Result<Version, NotPut<K, V, R>>
    where
        F: FnOnce(EntryRef<K, V>),
    {
        let number = self.table.stripe_of(terms.hash);
        // Out here, as in `put`.
        let (mut pair, mut refused) = (Some(pair), Unheld::Changed);
        let put = self.transition_in(number, |locked, now| {
            let key = pair.as_ref().map(|(key, _)| key).expect(HERE);
            let pass = match gate(key) {
                Ok(pass) => pass,
                Err(reason) => {
                    refused = Unheld::Shut(reason);
                    return None;
                }
            };
            match locked.admit(terms, key, Moment { now, capacity: self.capacity() }) {
                Ok(permit) => {
                    let put = locked.write(terms, permit, pair.take().expect(HERE), now);
                    pass(EntryRef::new(self.table.keep(number, locked.pin_put(&put))));
                    self.make_room(locked, now);
                    Some(put)
                }
                Err(refusal) => {
                    refused = self.reason(terms, locked, refusal).map_or(Unheld::Changed, Unheld::Refused);
                    None
                }
            }
        });
        let Some(put) = put else { return Err((refused, pair.expect(HERE))) };
        if put.fresh {
            self.missed(terms.hash, terms.weight);
        }
        Ok(put.version)
    }

    /// The source has what a held entry says. Whatever read the source before may not be stored any more; and what came into the entry's
    /// place may have done so: it goes, unless it is held itself or its source is newer than the one that the entry came with.
    pub(crate) fn written(&self, hash: u64, entry: &EntryRef<K, V>) {
        let mut compared = Ok(());
        self.transition(hash, |locked, now| {
            let released = locked.release(entry.hold(), self.idle_from(now));
            let claim = locked.claim_of(entry.hold());
            // The keys' `Eq` may panic.
            compared = catch_unwind(AssertUnwindSafe(|| {
                locked.fence(hash, entry.key());
                let other = if released { None } else { locked.find(hash, entry.key(), now) };
                if let Some(other) = other.filter(|other| other.is_outdated(claim)) {
                    locked.take_out(other, Cause::Invalidated, now);
                }
            }));
            if compared.is_err() {
                // Then what may be the key's goes: that costs others a miss, and nobody reads what is older.
                locked.fence_all();
                if !released {
                    locked.take_out_outdated(hash, claim, now);
                }
            }
        });
        self.fit(hash);
        resume(compared);
    }
}

impl<K, V> Core<K, V> {
    /// Nobody will tell the source of a held entry: it may go like any other.
    pub(crate) fn release(&self, hash: u64, entry: &EntryRef<K, V>) {
        self.transition(hash, |locked, now| locked.release(entry.hold(), self.idle_from(now)));
        self.fit(hash);
    }

    /// What could not go before may go now.
    fn fit(&self, hash: u64) {
        if !self.is_within_capacity() {
            self.settle(self.table.stripe_of(hash));
        }
    }

    fn has_times(&self) -> bool {
        let settings = &self.settings;
        settings.time_to_live.is_some() || settings.time_to_idle.is_some() || settings.expiry.is_some()
    }

    /// The deadline for time to idle of what is read now, where entries have deadlines.
    fn idle_from(&self, now: u64) -> Option<u64> {
        let idle = self.settings.time_to_idle.map_or(deadline::NEVER, |tti| deadline::after(now, tti));
        self.has_times().then_some(idle)
    }
}
