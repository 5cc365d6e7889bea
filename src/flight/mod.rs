//! One load in progress and who waits for it. What is loaded, and what comes of it, it carries for others and does not look at; it
//! knows no table. Nothing here waits.
//!
//! A flight belongs to the holder of its lease, who is named by a token. A lease that ends without a result passes to the waiter who
//! came first, under a new token: so whatever the old holder still does is told from what the new one does. Whoever was called has to
//! come for the lease; if he gives up his seat instead, it passes on.

mod line;
mod seats;

use std::collections::BTreeMap;

use crate::lineage;
use crate::sync::AtomicBool;
use crate::sync::AtomicU64;
use crate::sync::Broken;
use crate::sync::Mutex;
use crate::sync::OnceLock;
use crate::sync::Ordering;
use crate::sync::Waiter;
use crate::sync::is_broken;

use self::seats::Seats;

pub(crate) use self::line::Line;
pub(crate) use self::line::Passed;
pub(crate) use self::line::Stand;
pub(crate) use self::seats::Number;
pub(crate) use self::seats::Token;
pub(crate) use self::seats::next_number;

/// `S` is what is loaded, `T` what comes of it.
pub(crate) struct Flight<S, T> {
    pub(crate) subject: S,
    /// Tells this flight from every other one of the process.
    number: u64,
    fenced: AtomicBool,
    mark: AtomicU64,
    /// Seats from this number on were taken after what it brings was declared dead.
    late_from: AtomicU64,
    /// What came of it; `None` if nothing did and everybody has to start again. In a box, as most flights have nobody to tell.
    landed: OnceLock<Option<Box<T>>>,
    seats: Mutex<Seats>,
}

/// What the owner of a seat finds.
pub(crate) enum Look<'a, T> {
    Landed(Option<&'a T>),
    /// The lease was handed to him, under this token.
    Called(Token),
    /// The lease was overdue and is his now, under this token.
    Overdue(Token),
    /// Nothing yet: he will be woken, and the lease is overdue at this moment.
    Wait(u64),
}

/// What became of a lease that was given up.
pub(crate) enum HandOver {
    /// It was no longer the one that counts.
    Late,
    /// It passed to a waiter, who is to be woken if he sleeps.
    Called(Option<Waiter>),
    /// Nobody waits.
    Nobody,
}

impl<S, T> Flight<S, T> {
    /// A flight whose first lease is overdue at `deadline`. That lease's token is the flight's number.
    pub(crate) fn new(subject: S, deadline: u64) -> Self {
        let number = next_number();
        let seats = Seats::new(number, deadline);
        Flight {
            subject,
            number,
            fenced: AtomicBool::new(false),
            mark: AtomicU64::new(0),
            late_from: AtomicU64::new(Number::MAX),
            landed: OnceLock::new(),
            seats: Mutex::new(seats),
        }
    }

    /// What it carried, once nobody else knows it.
    pub(crate) fn into_subject(self) -> S {
        self.seats.into_inner().discard();
        self.subject
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whatever comes of it may not be stored.
    pub(crate) fn fence(&self) {
        self.fenced.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::SeqCst)
    }

    /// What came of it, if it is over.
    pub(crate) fn landed(&self) -> Option<Option<&T>> {
        self.landed.get().map(Option::as_deref)
    }

    /// The token of the lease that counts.
    pub(crate) fn lease(&self) -> Token {
        self.seats.lock().holder
    }

    /// Does the lease of `token` count, and is it in time?
    pub(crate) fn is_led_by(&self, token: Token, now: u64) -> bool {
        let seats = self.seats.lock();
        seats.holder == token && !seats.is_overdue(now) && self.landed.get().is_none()
    }

    /// Takes a seat among those who wait.
    pub(crate) fn sit(&self) -> Number {
        self.seats.lock().sit()
    }

    /// What is there for the owner of a seat. If nothing is, `waiter` is woken when something comes.
    ///
    /// An overdue lease becomes his, as does one that he was called to; it is then good until `until`.
    pub(crate) fn look(&self, seat: Number, waiter: Waiter, now: u64, until: u64) -> Look<'_, T> {
        if let Some(landed) = self.landed() {
            return Look::Landed(landed);
        }
        let mut seats = self.seats.lock();
        if let Some(landed) = self.landed().filter(|_| !is_broken(Broken::LandingSeen)) {
            return Look::Landed(landed);
        }
        if let Some(token) = seats.come(seat, until) {
            return Look::Called(token);
        }
        if seats.is_overdue(now) {
            let holder = seats.holder;
            let (token, former) = seats.take(Some(seat), until);
            lineage::pass_on(holder, token);
            drop(seats);
            drop(former);
            return Look::Overdue(token);
        }
        let deadline = seats.deadline;
        let former = seats.wait(seat, waiter);
        drop(seats);
        drop(former);
        Look::Wait(deadline)
    }

    /// Gives a seat up. The token of the lease to which its owner had been called comes back, to be handed over.
    pub(crate) fn leave(&self, seat: Number) -> Option<Token> {
        let (token, former) = self.seats.lock().leave(seat);
        drop(former);
        token
    }

    /// Takes an overdue lease for somebody who has no seat.
    pub(crate) fn take_overdue(&self, now: u64, until: u64) -> Option<Token> {
        let mut seats = self.seats.lock();
        let overdue = seats.is_overdue(now) && self.landed.get().is_none();
        overdue.then(|| {
            let holder = seats.holder;
            let (token, _) = seats.take(None, until);
            lineage::pass_on(holder, token);
            token
        })
    }

    /// The holder of `token` gives up: the lease passes to whoever waits longest. It keeps its deadline until he comes, so that nobody
    /// waits long for one who does not.
    pub(crate) fn hand_over(&self, token: Token) -> HandOver {
        let mut seats = self.seats.lock();
        if seats.holder != token || self.landed.get().is_some() {
            return HandOver::Late;
        }
        let deadline = seats.deadline;
        let called = seats.call(deadline);
        if called.is_some() {
            lineage::pass_on(token, seats.holder);
        }
        called.map_or(HandOver::Nobody, HandOver::Called)
    }

    /// Does anybody wait?
    pub(crate) fn is_awaited(&self) -> bool {
        !self.seats.lock().is_empty()
    }

    /// Ends the flight, if `token` counts, and gives those who wait, to be woken under no lock; gives the outcome back if it does not
    /// count, or if it is over already.
    pub(crate) fn land(&self, token: Token, outcome: Option<T>) -> Result<Crew, Option<T>> {
        self.end(outcome, |seats| seats.holder == token)
    }

    /// The same, whoever holds the lease.
    pub(crate) fn divert(&self, outcome: Option<T>) -> Result<Crew, Option<T>> {
        self.end(outcome, |_| true)
    }

    fn end(&self, outcome: Option<T>, may: impl FnOnce(&Seats) -> bool) -> Result<Crew, Option<T>> {
        let mut seats = self.seats.lock();
        if !may(&seats) {
            return Err(outcome);
        }
        self.landed.set(outcome.map(Box::new)).map_err(|outcome| outcome.map(|outcome| *outcome))?;
        Ok(Crew(seats.take_waiting()))
    }

    /// How far things were when the flight was opened.
    pub(crate) fn mark(&self) -> u64 {
        self.mark.load(Ordering::Relaxed)
    }

    /// Notes how far things are. Relaxed: noted under the lock of the stripe, for the holder of the lease that begins then.
    pub(crate) fn set_mark(&self, mark: u64) {
        self.mark.store(mark, Ordering::Relaxed);
    }

    /// What it brings is not for those who took seats from `number` on.
    pub(crate) fn set_late_from(&self, number: Number) {
        self.late_from.store(number, Ordering::SeqCst);
    }

    pub(crate) fn is_late(&self, seat: Number) -> bool {
        seat >= self.late_from.load(Ordering::SeqCst)
    }

    /// When the lease is overdue, and whether somebody is there to take it over then.
    pub(crate) fn due(&self) -> (u64, bool) {
        let seats = self.seats.lock();
        (seats.deadline, !seats.is_empty())
    }
}

/// Those who wait for a flight that is over.
#[must_use = "they sleep until they are woken"]
pub(crate) struct Crew(BTreeMap<Number, Option<Waiter>>);

impl Crew {
    /// Runs code of executors: under no lock.
    pub(crate) fn wake(self) {
        if !self.0.is_empty() && !is_broken(Broken::LandingWakes) {
            self.0.into_values().flatten().for_each(Waiter::wake);
        }
    }
}
