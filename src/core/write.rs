//! Writes of one key. All that user code has to say of the pair is asked before the lock.

use std::time::Duration;

use crate::entry::EntryRef;
use crate::event::Moment;
use crate::event::Plain;
use crate::event::Refresh;
use crate::event::Special;
use crate::event::Terms;
use crate::expiry::Expiry;
use crate::rule::swap::Condition;
use crate::rule::version::Claim;
use crate::rule::version::Version;
use crate::sync::Broken;
use crate::sync::Ordering;
use crate::sync::is_broken;
use crate::table::Found;
use crate::table::Locked;
use crate::table::Refusal;
use crate::table::TIMED;
use crate::table::Written;
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
    /// How long its load took, in nanoseconds; 0 if that is not known.
    pub(crate) took: u64,
}

impl How {
    pub(crate) const PLAIN: How =
        How { claim: Claim::Unversioned, condition: Condition::Always, ttl: None, refuse_heavy: false, took: 0 };

    /// Does it ask for nothing, but perhaps for a state to find the key in, or to be at a source version?
    #[inline(always)]
    fn is_plain(&self) -> bool {
        let claim = matches!((self.claim, self.condition), (Claim::Unversioned, _) | (Claim::At(_), Condition::Always));
        claim && self.ttl.is_none() && !self.refuse_heavy
    }
}

/// A pair stays with its writer until it is admitted.
const HERE: &str = "a pair is given up once";

/// Why a pair was not written (`None`: it is to be tried again), and the pair.
type Refused<K, V> = (Option<Why<K, V>>, (K, V));

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

impl<K: Eq, V> Core<K, V> {
    /// The terms of a write. This is where the user's code is asked of the pair, under no lock.
    ///
    /// `named` are the groups that the writer names.
    pub(super) fn terms(&self, hash: u64, key: &K, value: &V, how: How, named: &[u64]) -> Special {
        let weight = self.settings.weigher.as_ref().map_or(1, |weigher| weigher(key, value));
        let claim = self.claim(key, value, how.claim);
        if how.ttl.is_some() || claim != Claim::Unversioned {
            self.keep_time();
        }
        let asked = self.now();
        let now = asked.unwrap_or(0);
        let How { condition, refuse_heavy, ttl, .. } = how;
        let after = |ttl: Option<Duration>| ttl.map_or(deadline::NEVER, |ttl| deadline::after(now, ttl));
        let due = after(ttl.or(self.settings.time_to_live));
        let idle = after(self.settings.time_to_idle);
        let fixed = Special {
            hash,
            now: asked,
            weight,
            due,
            last: due,
            idle,
            timed: false,
            claim,
            condition,
            leased: false,
            refresh: if self.refreshing {
                self.refresh_at(hash, now, how.took)
            } else {
                Refresh { at: deadline::NEVER, took: 0 }
            },
            assumed: None,
            refuse_heavy,
            held: false,
            groups: self.settings.grouping.groups(key, value, named),
        };
        match self.settings.expiry.as_deref() {
            None => fixed,
            Some(_) if ttl.is_some() => Special { timed: true, ..fixed },
            Some(expiry) => self.expiring(fixed, key, value, expiry),
        }
    }

    /// What a write claims of its source, which may stand in the value.
    pub(crate) fn claim(&self, key: &K, value: &V, claim: Claim) -> Claim {
        match (claim, &self.settings.versioned_by) {
            (Claim::Unversioned, Some(source)) => Claim::At(source(key, value)),
            (claim, _) => claim,
        }
    }

    /// Where `Expiry` decides how long the pair may stay, that depends on what is there, which is then part of the write's terms.
    #[inline(never)]
    fn expiring(&self, terms: Special, key: &K, value: &V, expiry: &dyn Expiry<K, V>) -> Special {
        let now = self.settings.clock.now();
        let current = self.glance(terms.hash, key).map(|found| (found.version(), deadline::remaining(due_of(&found), now)));
        let ttl = match current {
            None => expiry.after_create(key, value),
            Some((_, remaining)) => expiry.after_update(key, value, remaining),
        };
        let due = ttl.map_or(deadline::NEVER, |ttl| deadline::after(now, ttl));
        let assumed = Some(current.map(|(version, _)| version));
        Special { due: terms.due.min(due), timed: true, assumed, ..terms }
    }
}

impl<K: Eq, V> Core<K, V> {
    /// Writes one pair. In line, so that of each kind of write only what it needs is left.
    #[inline(always)]
    pub(crate) fn write(&self, hash: u64, key: K, value: V, how: How) -> Result<Version, Failure<K, V>> {
        if self.plain && how.is_plain() {
            return match (self.write_fast(hash, key, value, how), how.claim, how.condition) {
                (Ok(version), ..) => Ok(version),
                (Err(pair), Claim::Unversioned, Condition::Always) => self.write_plain(hash, pair),
                (Err(pair), ..) => self.write_special(hash, pair, how, &[]),
            };
        }
        self.write_special(hash, (key, value), how, &[])
    }

    /// Writes one pair into the groups that its writer names, beside its own.
    pub(crate) fn write_in_groups(&self, hash: u64, key: K, value: V, named: &[u64]) -> Result<Version, Failure<K, V>> {
        self.write_special(hash, (key, value), How::PLAIN, named)
    }

    /// The plain write of a plain cache in a quiet stripe, as nearly every write is: straight code. Anything else gives the pair back.
    #[inline(always)]
    fn write_fast(&self, hash: u64, key: K, value: V, how: How) -> Result<Version, (K, V)> {
        let source = if let Claim::At(source) = how.claim { Some(source) } else { None };
        if source.is_some() {
            self.keep_time();
        }
        let Some((mut locked, now)) = self.lock_in_time(hash) else { return Err((key, value)) };
        let look = match source {
            Some(source) => locked.look_fast_at(hash, &key, source, self.capacity()),
            None => locked
                .look_fast(hash, &key, self.capacity())
                .filter(|look| how.condition.holds(look.version()) || is_broken(Broken::Compare)),
        };
        let Some(look) = look else { return Err((key, value)) };
        let written = locked.write_fast_at(look, hash, (key, value), source);
        Ok(self.after_fast(locked, hash, written, now))
    }

    /// The lock of the stripe of `hash`, and what time it is if that can only be asked before, as it is the user's code that tells. `None`
    /// if time has begun to matter just now, as in `transition_late`.
    #[inline(always)]
    pub(super) fn lock_in_time(&self, hash: u64) -> Option<(Locked<'_, K, V>, Option<u64>)> {
        let is_users = self.settings.clock.is_users();
        let now = if is_users { self.now() } else { None };
        let stripe = self.table.stripe(hash);
        // The lock takes about as long as the bucket, which comes meanwhile.
        stripe.prefetch_bucket(hash);
        let locked = stripe.lock();
        (!is_users || now.is_some() || !self.now_matters()).then_some((locked, now))
    }

    /// What there is to do after a plain write in a quiet stripe.
    #[inline(always)]
    pub(super) fn after_fast(&self, mut locked: Locked<'_, K, V>, hash: u64, written: Written, now: Option<u64>) -> Version {
        if written.fresh {
            return self.after_fresh(locked, hash, written.version, now);
        }
        let reclaim = locked.wants_reclaim();
        drop(locked);
        if reclaim {
            self.reclaim_stripe(self.table.stripe_of(hash));
        }
        written.version
    }

    /// The same for a key that was absent: now it must have room.
    #[inline(always)]
    fn after_fresh(&self, mut locked: Locked<'_, K, V>, hash: u64, version: Version, now: Option<u64>) -> Version {
        if !self.fits(&locked) {
            // For the tombstones of those that must go. A user's clock was asked before the lock, or else time did not matter to this stripe.
            let is_users = self.settings.clock.is_users();
            let now = now.or_else(|| if is_users { None } else { self.now() }).unwrap_or(0);
            self.make_room(&mut locked, now);
        }
        let (before, after) = (locked.weight_before(), locked.stripe_weight());
        self.account(before, after);
        let reclaim = locked.wants_reclaim();
        drop(locked);
        if after > before && !self.is_within_capacity() {
            self.settle(self.table.stripe_of(hash));
        }
        if reclaim {
            self.reclaim_stripe(self.table.stripe_of(hash));
        }
        self.missed(hash, 1);
        version
    }

    #[inline(never)]
    fn write_plain(&self, hash: u64, pair: (K, V)) -> Result<Version, Failure<K, V>> {
        self.write_on(pair, |_| Plain { hash, leased: false })
    }

    #[inline(never)]
    fn write_special(&self, hash: u64, pair: (K, V), how: How, named: &[u64]) -> Result<Version, Failure<K, V>> {
        self.write_on(pair, |(key, value)| self.terms(hash, key, value, how, named))
    }

    /// Tries until the key is in the state for which the terms were worked out.
    fn write_on<T: Terms>(&self, mut pair: (K, V), work_out: impl Fn(&(K, V)) -> T) -> Result<Version, Failure<K, V>> {
        loop {
            match self.put(&work_out(&pair), pair) {
                Ok(version) => return Ok(version),
                Err((None, back)) => pair = back,
                Err((Some(why), (key, value))) => return Err(Failure { key, value, why }),
            }
        }
    }

    /// One try. A refused pair comes back.
    #[inline(always)]
    fn put(&self, terms: &impl Terms, pair: (K, V)) -> Result<Version, Refused<K, V>> {
        // Out here, so that a panic of the key's `Eq`, or of what runs after the unlock, drops them when the lock is gone.
        let (mut pair, mut refused) = (Some(pair), None);
        let now = terms.now().or_else(|| self.now());
        let put = self.transition_at(self.table.stripe_of(terms.hash()), now, |locked, now| {
            let moment = Moment { now, capacity: self.capacity() };
            match locked.admit(terms, pair.as_ref().map(|(key, _)| key).expect(HERE), moment) {
                Ok(permit) => {
                    let put = locked.write(terms, permit, pair.take().expect(HERE), now);
                    self.make_room(locked, now);
                    Some(put)
                }
                Err(refusal) => {
                    refused = self.reason(terms, locked, refusal);
                    None
                }
            }
        });
        let Some(put) = put else { return Err((refused, pair.expect(HERE))) };
        if put.fresh {
            self.missed(terms.hash(), terms.weight());
        }
        Ok(put.version)
    }

    /// `None` if the write is to be tried again.
    #[cold]
    pub(super) fn reason(&self, terms: &impl Terms, locked: &Locked<'_, K, V>, refusal: Refusal<'_, K, V>) -> Option<Why<K, V>> {
        let number = self.table.stripe_of(terms.hash());
        match refusal {
            Refusal::Conflict(None) => Some(Why::Conflict(None)),
            Refusal::Conflict(Some(resident)) => {
                Some(Why::Conflict(Some(EntryRef::new(self.table.keep(number, locked.pin(resident))))))
            }
            Refusal::Superseded(version) => Some(Why::Superseded(version)),
            Refusal::TooHeavy => Some(Why::TooHeavy(terms.weight())),
            Refusal::Changed => None,
        }
    }
}

/// What is left of an entry's own time, idle or not.
fn due_of<K, V>(found: &Found<'_, K, V>) -> u64 {
    if found.node().has(TIMED) { found.deadlines().due.load(Ordering::Relaxed) } else { deadline::NEVER }
}
