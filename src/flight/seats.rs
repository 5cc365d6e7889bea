//! Those who wait for something that one has at a time, and who has it: by a token, so that whatever a former holder still does is told
//! from what the present one does. Whoever was called has to come for it; if he gives up his seat instead, it passes on.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::mem;

use crate::sync::Broken;
use crate::sync::Sequence;
use crate::sync::Waiter;
use crate::sync::is_broken;
use crate::time::deadline::is_due;

pub(crate) type Token = u64;
pub(crate) type Number = u64;

/// Different for every lease, flight, line and seat of the process, and greater than those that this thread knows of.
pub(crate) fn next_number() -> u64 {
    static NUMBERS: Sequence = Sequence::new();
    // Who compares two numbers has seen to it, by a lock, that one was drawn first.
    NUMBERS.next()
}

pub(super) struct Seats {
    /// Who has it.
    pub(super) holder: Token,
    /// When he is overdue.
    pub(super) deadline: u64,
    /// Who was called and has not come yet.
    called: Option<Number>,
    /// In the order in which they came. A seat has no waiter until its owner has looked for the first time.
    waiting: BTreeMap<Number, Option<Waiter>>,
    /// Those of them who were called and did not come in time, until they look again: they are called last.
    passed_over: BTreeSet<Number>,
    /// Somebody has ever taken a seat.
    taken: bool,
}

impl Seats {
    pub(super) fn new(holder: Token, deadline: u64) -> Self {
        Seats { holder, deadline, called: None, waiting: BTreeMap::new(), passed_over: BTreeSet::new(), taken: false }
    }

    /// Drops it, or spares itself the trouble where there is nothing to give back.
    pub(super) fn discard(self) {
        if !self.taken {
            mem::forget(self);
        }
    }

    pub(super) fn is_overdue(&self, now: u64) -> bool {
        is_due(self.deadline, now)
    }

    pub(super) fn sit(&mut self) -> Number {
        let number = next_number();
        self.taken = true;
        self.waiting.insert(number, None);
        number
    }

    /// Who was called has come: it is his until `until`.
    pub(super) fn come(&mut self, seat: Number, until: u64) -> Option<Token> {
        if self.called != Some(seat) {
            return None;
        }
        self.called = None;
        self.deadline = until;
        Some(self.holder)
    }

    /// He goes on waiting; his former waiter comes back, to be dropped under no lock, as wakers are the executor's code.
    pub(super) fn wait(&mut self, seat: Number, waiter: Waiter) -> Option<Waiter> {
        self.passed_over.remove(&seat);
        if is_broken(Broken::NewestWaker) && self.waiting.get(&seat).is_some_and(Option::is_some) {
            return Some(waiter);
        }
        self.waiting.insert(seat, Some(waiter)).flatten()
    }

    /// Gives a seat up: the token to pass on, if its owner had been called to it, and his waiter, to be dropped under no lock.
    pub(super) fn leave(&mut self, seat: Number) -> (Option<Token>, Option<Waiter>) {
        let former = self.waiting.remove(&seat).flatten();
        self.passed_over.remove(&seat);
        if self.waiting.is_empty() && self.passed_over.is_empty() {
            // Empty ones may keep their last node.
            (self.waiting, self.passed_over) = (BTreeMap::new(), BTreeSet::new());
        }
        let called = self.called == Some(seat);
        if called {
            self.called = None;
        }
        (called.then_some(self.holder), former)
    }

    /// It becomes his who is here for it, under a new token.
    pub(super) fn take(&mut self, seat: Option<Number>, until: u64) -> (Token, Option<Waiter>) {
        let mut former = None;
        if let Some(seat) = seat {
            former = self.waiting.remove(&seat).flatten();
            self.passed_over.remove(&seat);
        }
        (self.pass(None, until), former)
    }

    /// Calls whoever waits longest, who has until `until` to come: his waiter, if he sleeps. `None` if nobody waits.
    pub(super) fn call(&mut self, until: u64) -> Option<Option<Waiter>> {
        let (seat, waiter) = self.waiting.pop_first().or_else(|| self.passed_over.pop_first().map(|seat| (seat, None)))?;
        self.pass(Some(seat), until);
        Some(waiter)
    }

    /// Who would be called.
    pub(super) fn first(&self) -> Option<Number> {
        self.waiting.first_key_value().map(|(&seat, _)| seat).or_else(|| self.passed_over.first().copied())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.passed_over.is_empty() && self.called.is_none()
    }

    /// All who wait, for it is over.
    pub(super) fn take_waiting(&mut self) -> BTreeMap<Number, Option<Waiter>> {
        mem::take(&mut self.waiting)
    }

    fn pass(&mut self, to: Option<Number>, deadline: u64) -> Token {
        if let Some(passed_over) = self.called.take() {
            // He has been woken, and will look if he still can.
            self.passed_over.insert(passed_over);
        }
        if !is_broken(Broken::NewToken) {
            self.holder = next_number();
        }
        self.called = to;
        self.deadline = deadline;
        self.holder
    }
}
