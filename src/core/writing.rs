//! Writes through the cache: the source is written first, then the cache, and no load that overlaps the write of the source is stored.
//! Those of one key go one at a time, by turns; who has the turn has a [`Writing`], who waits for it a [`Place`].
//!
//! A turn passes on in the transition that ends it, before any user code runs that the end brings about: so that may write the same key.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;

use crate::config::WhileWriting;
use crate::entry::EntryRef;
use crate::event::Cause;
use crate::event::Moment;
use crate::event::Special;
use crate::flight::Number;
use crate::flight::Stand;
use crate::flight::Token;
use crate::lineage;
use crate::lineage::Edge;
use crate::lineage::Frame;
use crate::loaded::Loaded;
use crate::rule::version::Claim;
use crate::rule::version::Version;
use crate::sync::Broken;
use crate::sync::Waiter;
use crate::sync::is_broken;
use crate::table::Line;
use crate::table::Locked;
use crate::table::Refusal;
use crate::time::deadline;
use crate::unwind::Panic;
use crate::unwind::keep_first;
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
    line: Arc<Line<K>>,
    token: Token,
    /// The key is as it should be, and the turn has passed on.
    over: bool,
}

/// A place in the line of those who want to write a key.
pub(crate) struct Place<K: Eq, V> {
    core: Arc<Core<K, V>>,
    hash: u64,
    line: Arc<Line<K>>,
    number: Number,
    /// The load or write that the waiting code is part of needs this one.
    edge: Option<Edge>,
}

/// What became of a value that the source has.
enum Try {
    Stored {
        version: Version,
        fresh: bool,
    },
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
        let fresh = Arc::new(Line::new(key, time.until));
        // Out here, so that whatever panics in the effects of the transition finds it with an owner who gives it back.
        let mut turn = None;
        self.transition(hash, |locked, _| {
            turn = Some(match locked.line(hash, &fresh.subject).filter(|_| !is_broken(Broken::OneWriter)) {
                Some(line) => self.join_line(hash, line, time),
                None => {
                    locked.open_line(hash, Arc::clone(&fresh));
                    Turn::Now(self.writing(hash, Arc::clone(&fresh), fresh.number()))
                }
            });
        });
        // Now, not on the way out: a key whose `Drop` panics would take what is returned with it (rust-lang/rust#47949), and those in line
        // would wait for a place that nobody has.
        drop(fresh);
        match turn.expect("it was given") {
            Turn::Wait(place) => place.needed(),
            turn => turn,
        }
    }

    fn join_line(self: &Arc<Self>, hash: u64, line: Arc<Line<K>>, time: LeaseTime) -> Turn<K, V> {
        if let Some(token) = line.take_overdue(time.now, time.until) {
            return Turn::Now(self.writing(hash, line, token));
        }
        if lineage::is_inside(line.number()) {
            return Turn::Reentrant;
        }
        let number = line.sit();
        Turn::Wait(Place { core: Arc::clone(self), hash, line, number, edge: None })
    }

    fn writing(self: &Arc<Self>, hash: u64, line: Arc<Line<K>>, token: Token) -> Writing<K, V> {
        Writing { core: Arc::clone(self), hash, line, token, over: false }
    }

    /// Whoever has the turn of `token`, or was called to it, does without it: where a clock or a key's `Eq` panics too. What he may have begun
    /// is given up.
    fn pass_turn(&self, hash: u64, line: &Arc<Line<K>>, token: Token) -> Result<(), Panic> {
        let (now, until, asked) = self.ask_clock();
        let number = self.table.stripe_of(hash);
        let mut locked = self.table.stripe_number(number).lock();
        if line.is_turn_of(token) {
            locked.give_up_turn(hash, line, now);
        }
        locked.pass_turn(hash, line, token, until);
        let ended = locked.take_ended();
        drop(locked);
        let mut panic = None;
        keep_first(&mut panic, asked);
        keep_first(&mut panic, self.let_go(number, ended));
        panic.map_or(Ok(()), Err)
    }

    /// What time it is, until when the next one has time, and what the clock panicked with, which may be the user's.
    fn ask_clock(&self) -> (u64, u64, Result<(), Panic>) {
        match catch_unwind(AssertUnwindSafe(|| (self.now().unwrap_or(0), self.lease_time().until))) {
            Ok((now, until)) => (now, until, Ok(())),
            Err(panic) => (0, deadline::NEVER, Err(panic)),
        }
    }
}

impl<K: Eq, V> Place<K, V> {
    /// If the caller is part of a load or a write, that needs this line to move on from here on, whoever's turn it is.
    fn needed(mut self) -> Turn<K, V> {
        match lineage::need(self.line.number()) {
            Ok(edge) => {
                self.edge = edge;
                Turn::Wait(self)
            }
            Err(lineage::Cycle) => Turn::Reentrant,
        }
    }

    /// The turn, or how long to sleep at most before looking again. `waiter` will be woken when it comes.
    pub(crate) fn look(&mut self, waiter: Waiter) -> Result<Writing<K, V>, Option<Duration>> {
        let time = self.core.lease_time();
        match self.line.look(self.number, waiter, time.now, time.until) {
            Stand::Turn(token) => Ok(self.core.writing(self.hash, Arc::clone(&self.line), token)),
            Stand::Wait(overdue) => Err(deadline::remaining(overdue, time.now)),
        }
    }
}

impl<K: Eq, V> Drop for Place<K, V> {
    fn drop(&mut self) {
        // Whoever it needs, it does not any more.
        self.edge = None;
        if let Some(token) = self.line.leave(self.number).filter(|_| !is_broken(Broken::TurnPassed)) {
            resume(self.core.pass_turn(self.hash, &self.line, token));
        }
    }
}

impl<K: Eq, V> Writing<K, V> {
    /// While the frame lives, the code on this thread is part of the turn.
    pub(crate) fn enter(&self) -> Frame {
        Frame::enter(self.line.number())
    }

    /// The source is about to be written. Gives the entry that is there, which readers go on to see, or not, as the builder chose.
    pub(crate) fn begin(&self) -> Option<EntryRef<K, V>> {
        let Writing { core, hash, line, token, .. } = self;
        let lease_now = core.lease_time().now;
        let shown = core.settings.while_writing == WhileWriting::ServeOld;
        // Out here, as in `stand_in_line`.
        let mut current = None;
        core.transition(*hash, |locked, now| {
            // Overdue before it has begun, it is late whatever it does.
            if locked.has_turn(*hash, line, *token, lease_now)
                && let Some(resident) = locked.begin_turn(*hash, line, shown, now)
            {
                current = Some(EntryRef::new(core.table.keep(core.table.stripe_of(*hash), locked.pin(resident))));
                if !shown {
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
        let mut pair = Some((self.line.subject.clone(), value));
        loop {
            let terms = self.terms(pair.as_ref().expect(HERE), how);
            match self.try_finish(&terms, &mut pair) {
                Try::Changed => {}
                Try::Absent => return None,
                Try::Stored { version, fresh } => {
                    if fresh {
                        self.core.missed(self.hash, terms.weight);
                    }
                    return Some(version);
                }
            }
        }
    }

    /// This is where user code is asked of the value, as part of the turn.
    fn terms(&self, (key, value): &(K, V), how: How) -> Special {
        let _frame = self.enter();
        // As a load's: what is older than the source says was seen to by the fence.
        Special { leased: true, ..self.core.terms(self.hash, key, value, how, &[]) }
    }

    fn try_finish(&mut self, terms: &Special, pair: &mut Option<(K, V)>) -> Try {
        let Writing { core, hash, line, token, over } = self;
        let (hash, token, time) = (*hash, *token, core.lease_time());
        core.transition(hash, |locked, now| {
            let in_time = locked.has_turn(hash, line, token, time.now);
            let undisturbed = in_time && !line.is_fenced() && !locked.ended_since(&terms.groups, line.mark());
            let tried = if undisturbed { core.store_written(locked, terms, pair, now) } else { Try::Absent };
            if let Try::Absent = tried {
                let source = if let Claim::At(source) = terms.claim { Some(source) } else { None };
                locked.make_absent(hash, &line.subject, source, now);
            }
            if !matches!(tried, Try::Changed) {
                locked.pass_turn(hash, line, token, time.until);
                *over = true;
            }
            tried
        })
    }
}

impl<K: Eq, V> Core<K, V> {
    /// Stores what the source has, and gives it to those who wait for loads of the key.
    fn store_written(&self, locked: &mut Locked<'_, K, V>, terms: &Special, pair: &mut Option<(K, V)>, now: u64) -> Try {
        let moment = Moment { now, capacity: self.capacity() };
        let key = &pair.as_ref().expect(HERE).0;
        let permit = match locked.admit(terms, key, moment) {
            Ok(permit) => permit,
            Err(Refusal::Changed) => return Try::Changed,
            Err(_) => return Try::Absent,
        };
        let load = locked.take_flight(terms.hash, key);
        let put = locked.write(terms, permit, pair.take().expect(HERE), now);
        if let Some(load) = load {
            locked.divert(load, &put);
        }
        self.make_room(locked, now);
        Try::Stored { version: put.version, fresh: put.fresh }
    }
}

impl<K: Eq, V> Drop for Writing<K, V> {
    fn drop(&mut self) {
        let Writing { core, hash, line, token, over } = self;
        if *over {
            return;
        }
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let until = core.lease_time().until;
            core.transition(*hash, |locked, now| {
                locked.make_absent(*hash, &line.subject, None, now);
                locked.pass_turn(*hash, line, *token, until);
            });
        }));
        let mut panic = None;
        if ended.is_err() {
            keep_first(&mut panic, ended);
            keep_first(&mut panic, core.pass_turn(*hash, line, *token));
        }
        resume(panic.map_or(Ok(()), Err));
    }
}
