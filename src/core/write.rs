//! Writes of one key. All that user code has to say of the pair is asked before the lock.

use std::sync::Arc;
use std::time::Duration;

use crate::entry::EntryRef;
use crate::event::Moment;
use crate::event::Write;
use crate::rule::swap::Condition;
use crate::rule::version::Claim;
use crate::rule::version::Version;
use crate::table::Found;
use crate::table::Put;
use crate::table::Refusal;
use crate::table::Refused;
use crate::time::deadline;

use super::Core;

/// Which kind of write.
#[derive(Clone, Copy)]
pub(crate) struct How {
    pub(crate) claim: Claim,
    pub(crate) condition: Condition,
    /// Instead of the cache's time to live.
    pub(crate) ttl: Option<Duration>,
    pub(crate) refuse_heavy: bool,
}

impl How {
    pub(crate) const PLAIN: How =
        How { claim: Claim::Unversioned, condition: Condition::Always, ttl: None, refuse_heavy: false };
}

/// A write that did not happen.
pub(crate) struct Failure<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
    pub(crate) why: Why<K, V>,
}

pub(crate) enum Why<K, V> {
    /// The entry that is there.
    Conflict(Option<EntryRef<K, V>>),
    Superseded(Version),
    /// The value's weight.
    TooHeavy(u64),
}

/// When an entry will expire, and what was there when that was asked.
struct Span {
    due: u64,
    idle: u64,
    assumed: Option<Option<Version>>,
}

impl<K: Eq, V> Core<K, V> {
    /// Writes one pair.
    pub(crate) fn write(self: &Arc<Self>, hash: u64, key: K, value: V, how: How) -> Result<Version, Failure<K, V>> {
        let weight = self.settings.weigher.as_ref().map_or(1, |weigher| weigher(&key, &value));
        let claim = match (how.claim, &self.settings.versioned_by) {
            (Claim::Unversioned, Some(source)) => Claim::At(source(&key, &value)),
            (claim, _) => claim,
        };
        let needs_time = how.ttl.is_some() || claim != Claim::Unversioned;
        let (mut key, mut value) = (key, value);
        loop {
            let now = if needs_time { self.keep_time() } else { self.now() };
            let Span { due, idle, assumed } = self.span(hash, &key, &value, how.ttl, now);
            let timed = self.settings.expiry.is_some();
            let (condition, refuse_heavy) = (how.condition, how.refuse_heavy);
            let write = Write { hash, key, value, weight, due, idle, timed, claim, condition, assumed, refuse_heavy };
            match self.put(write, now) {
                Ok(version) => return Ok(version),
                Err((Refusal::Changed, write)) => {
                    key = write.key;
                    value = write.value;
                }
                Err((refusal, write)) => return Err(self.failure(hash, refusal, write)),
            }
        }
    }

    /// One try.
    fn put(&self, write: Write<K, V>, now: u64) -> Result<Version, Refused<K, V>> {
        let hash = write.hash;
        let Put { version, weight, fresh } = self.transition_in(self.table.stripe_of(hash), now, |locked, now| {
            let put = locked.put(write, Moment { now, capacity: self.capacity() });
            self.make_room(locked, now);
            put
        })?;
        if fresh {
            self.missed(hash, weight);
        }
        Ok(version)
    }

    fn failure(&self, hash: u64, refusal: Refusal<K, V>, write: Write<K, V>) -> Failure<K, V> {
        let why = match refusal {
            Refusal::Conflict(current) => Why::Conflict(
                current.map(|pin| EntryRef::new(self.table.keep(self.table.stripe_of(hash), pin))),
            ),
            Refusal::Superseded(version) => Why::Superseded(version),
            Refusal::TooHeavy | Refusal::Changed => Why::TooHeavy(write.weight),
        };
        Failure { key: write.key, value: write.value, why }
    }

    /// How long the pair may stay. Where `Expiry` decides, it depends on what is there now, which is then part of the write's terms.
    fn span(&self, hash: u64, key: &K, value: &V, ttl: Option<Duration>, now: u64) -> Span {
        let after = |ttl: Option<Duration>| ttl.map_or(deadline::NEVER, |ttl| deadline::after(now, ttl));
        let due = after(ttl.or(self.settings.time_to_live));
        let idle = after(self.settings.time_to_idle);
        let Some(expiry) = self.settings.expiry.as_ref().filter(|_| ttl.is_none()) else {
            return Span { due, idle, assumed: None };
        };
        let current = self.glance(hash, key).map(|found| (found.version(), remaining(&found, now)));
        let said = match current {
            None => expiry.after_create(key, value),
            Some((_, remaining)) => expiry.after_update(key, value, remaining),
        };
        Span { due: due.min(after(said)), idle, assumed: Some(current.map(|(version, _)| version)) }
    }
}

fn remaining<K, V>(found: &Found<'_, K, V>, now: u64) -> Option<Duration> {
    deadline::remaining(found.deadlines().0, now)
}
