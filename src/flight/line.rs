//! Those who want to write one key: they do it by turns, in the order in which they came. It knows no table, and nothing here waits.
//!
//! Beside the seats a line carries what the stripe has noted of the turn, under the stripe's lock.

use crate::sync::AtomicBool;
use crate::sync::AtomicU64;
use crate::sync::Mutex;
use crate::sync::Ordering;
use crate::sync::Waiter;

use super::seats::Number;
use super::seats::Seats;
use super::seats::Token;
use super::seats::next_number;

pub(crate) struct Line<S> {
    pub(crate) subject: S,
    /// Tells this line from every other one of the process.
    number: u64,
    seats: Mutex<Seats>,
    /// A turn has begun and not ended, nor been given up. If another begins, what came of it nobody knows.
    active: AtomicBool,
    /// Somebody else has written or invalidated the key since the turn began.
    fenced: AtomicBool,
    /// The stripe's revision when the turn began, and that of the entry that readers see meanwhile (0 for none).
    mark: AtomicU64,
    shown: AtomicU64,
}

/// What the owner of a seat finds.
pub(crate) enum Stand {
    /// It is his turn, under this token.
    Turn(Token),
    /// Not yet: he will be woken, and the present turn is overdue at this moment.
    Wait(u64),
}

/// What became of a turn that is over.
pub(crate) enum Passed {
    /// It had been another's already.
    Late,
    /// The next was called, who is to be woken if he sleeps.
    Next(Option<Waiter>),
    /// Nobody waits.
    Nobody,
}

impl<S> Line<S> {
    /// A line whose first turn is overdue at `deadline`. That turn's token is the line's number.
    pub(crate) fn new(subject: S, deadline: u64) -> Self {
        let number = next_number();
        Line {
            subject,
            number,
            seats: Mutex::new(Seats::new(number, deadline)),
            active: AtomicBool::new(false),
            fenced: AtomicBool::new(false),
            mark: AtomicU64::new(0),
            shown: AtomicU64::new(0),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Is it the turn of `token`, and in time?
    pub(crate) fn has_turn(&self, token: Token, now: u64) -> bool {
        let seats = self.seats.lock();
        seats.holder == token && !seats.is_overdue(now)
    }

    /// Is it the turn of `token`, in time or not?
    pub(crate) fn is_turn_of(&self, token: Token) -> bool {
        self.seats.lock().holder == token
    }

    /// Takes a place at the end.
    pub(crate) fn sit(&self) -> Number {
        self.seats.lock().sit()
    }

    /// The turn, for somebody who has no seat, if the present one is overdue and nobody waits.
    pub(crate) fn take_overdue(&self, now: u64, until: u64) -> Option<Token> {
        let mut seats = self.seats.lock();
        if !seats.is_overdue(now) || seats.first().is_some() {
            return None;
        }
        Some(seats.take(None, until).0)
    }

    /// What is there for the owner of a seat. If it is not his turn, `waiter` is woken when it is. A turn that is overdue passes on.
    pub(crate) fn look(&self, seat: Number, waiter: Waiter, now: u64, until: u64) -> Stand {
        let mut seats = self.seats.lock();
        if let Some(token) = seats.come(seat, until) {
            return Stand::Turn(token);
        }
        let mut next = None;
        if seats.is_overdue(now) {
            if seats.first() == Some(seat) {
                let (token, former) = seats.take(Some(seat), until);
                drop(seats);
                drop(former);
                return Stand::Turn(token);
            }
            next = seats.call(until).flatten();
        }
        let deadline = seats.deadline;
        let former = seats.wait(seat, waiter);
        drop(seats);
        drop(former);
        next.into_iter().for_each(Waiter::wake);
        Stand::Wait(deadline)
    }

    /// Gives a seat up. The token of the turn to which its owner had been called comes back, to be passed on.
    pub(crate) fn leave(&self, seat: Number) -> Option<Token> {
        let (token, former) = self.seats.lock().leave(seat);
        drop(former);
        token
    }

    /// The turn of `token` is over: it is the next one's, who has until `until`.
    pub(crate) fn pass(&self, token: Token, until: u64) -> Passed {
        let mut seats = self.seats.lock();
        if seats.holder != token {
            return Passed::Late;
        }
        seats.call(until).map_or(Passed::Nobody, Passed::Next)
    }

    /// When the turn is overdue, and whether somebody is there to see to it then.
    pub(crate) fn due(&self) -> (u64, bool) {
        let seats = self.seats.lock();
        (seats.deadline, !seats.is_empty())
    }

    /// A turn begins, at this revision, with the entry of revision `shown` to be seen by readers.
    pub(crate) fn begin(&self, mark: u64, shown: u64) {
        self.active.store(true, Ordering::SeqCst);
        self.fenced.store(false, Ordering::SeqCst);
        // Relaxed: written and read under the stripe's lock.
        self.mark.store(mark, Ordering::Relaxed);
        self.shown.store(shown, Ordering::Relaxed);
    }

    /// The turn that had begun has ended, or is given up.
    pub(crate) fn end(&self) {
        self.active.store(false, Ordering::SeqCst);
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::SeqCst)
    }

    pub(crate) fn fence(&self) {
        self.fenced.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::SeqCst)
    }

    pub(crate) fn mark(&self) -> u64 {
        self.mark.load(Ordering::Relaxed)
    }

    pub(crate) fn shown(&self) -> u64 {
        self.shown.load(Ordering::Relaxed)
    }
}
