//! Whose turn it is to drive the sink, and who waits. One lock guards the backlog and the turn; under it no user code runs but the keys'
//! `Eq`. Writers take it under their stripe's lock, so nobody takes a stripe's lock under it: entries are dropped when it is gone.

use crate::entry::EntryRef;
use crate::event::Special;
use crate::rule::version::Claim;
use crate::rule::version::Version;
use crate::sync::Broken;
use crate::sync::Mutex;
use crate::sync::MutexGuard;
use crate::sync::Waiter;
use crate::sync::is_broken;

use super::backlog::Backlog;
use super::error::Trouble;
use super::error::WhyUnwritten;
use super::inside;
use super::inside::Inside;
use super::sink::Pending;

pub(super) struct Desk<K, V> {
    state: Mutex<State<K, V>>,
}

struct State<K, V> {
    backlog: Backlog<K, V>,
    closed: bool,
    /// Somebody has the turn.
    taken: bool,
    /// Turns that were ever taken.
    turns: u64,
    /// The last turn, if it has failed, and how.
    failed: Option<(u64, Trouble)>,
    waiting: Vec<Waiting>,
    calls: u64,
}

struct Waiting {
    call: u64,
    /// It wants to know when so many keys wait.
    least: usize,
    waiter: Waiter,
}

/// What a call waits for.
pub(super) enum Goal<'a, K> {
    /// Everything is written that came before the mark.
    Written { before: u64 },
    /// Everything is written.
    Drained,
    /// A value of this key would be taken, or refused for good.
    Room { hash: u64, key: &'a K, weight: u64, most_weight: u64 },
    /// There is something to write, or never will be; it drives nothing.
    Something,
    /// There is nothing to write; it drives one batch of so many keys at least, or the last ones.
    Nothing { least: usize },
}

/// What a call does next.
pub(super) enum Next<'a, K, V> {
    Reached,
    Drive(Turn<'a, K, V>),
    /// The turn of another has failed, which began after the call.
    Failed(Trouble),
    /// The caller is inside the sink that it would wait for.
    Reentrant,
}

/// Why a value is not taken.
pub(super) enum Refusal {
    /// There is no room for its weight, or for another key.
    Full {
        weight: u64,
    },
    Closed,
    TooHeavy {
        weight: u64,
        capacity: u64,
    },
    Superseded(Version),
}

impl Refusal {
    pub(super) fn why<E>(self) -> WhyUnwritten<E> {
        match self {
            Refusal::Full { .. } => WhyUnwritten::Full,
            Refusal::Closed => WhyUnwritten::Closed,
            Refusal::TooHeavy { weight, capacity } => WhyUnwritten::TooHeavy { weight, capacity },
            Refusal::Superseded(version) => WhyUnwritten::Superseded(version),
        }
    }
}

/// What is to be done when the locks are gone: a value was covered by a newer one, and somebody waited for something to write.
pub(super) struct After<K, V> {
    covered: Option<EntryRef<K, V>>,
    woken: Vec<Waiter>,
}

impl<K, V> After<K, V> {
    pub(super) const fn nothing() -> Self {
        After { covered: None, woken: Vec::new() }
    }
}

impl<K, V> Drop for After<K, V> {
    fn drop(&mut self) {
        self.woken.drain(..).for_each(Waiter::wake);
    }
}

impl<K> Goal<'_, K> {
    /// How many keys must wait for the call to look again.
    fn least(&self) -> usize {
        match self {
            Goal::Something => 1,
            Goal::Nothing { least } => *least,
            Goal::Written { .. } | Goal::Drained | Goal::Room { .. } => usize::MAX,
        }
    }

    /// Is the failure of another's turn an answer? Who drives for the sake of driving goes on.
    fn shares_failures(&self) -> bool {
        matches!(self, Goal::Written { .. } | Goal::Drained | Goal::Room { .. })
    }
}

impl<K, V> State<K, V> {
    /// Those who wait for what has happened now.
    fn everybody(&mut self) -> Vec<Waiter> {
        std::mem::take(&mut self.waiting).into_iter().map(|waiting| waiting.waiter).collect()
    }

    /// Those who wait for so many keys.
    fn sated(&mut self) -> Vec<Waiter> {
        let there = self.backlog.waiting();
        self.waiting.extract_if(.., |waiting| waiting.least <= there).map(|waiting| waiting.waiter).collect()
    }

    fn may_drive<Q>(&self, goal: &Goal<'_, Q>) -> bool {
        let there = self.backlog.waiting();
        let enough = match goal {
            Goal::Nothing { least } => there >= *least || self.closed,
            Goal::Something => false,
            Goal::Written { .. } | Goal::Drained | Goal::Room { .. } => true,
        };
        enough && there > 0 && (!self.taken || is_broken(Broken::OneDriver))
    }
}

impl<K: Eq, V> State<K, V> {
    fn has_reached(&self, goal: &Goal<'_, K>) -> bool {
        match *goal {
            Goal::Written { before } => self.backlog.is_written_before(before),
            Goal::Drained => self.backlog.len() == 0,
            Goal::Room { hash, key, weight, most_weight } => {
                self.closed || weight > most_weight || self.backlog.place(hash, key, weight, most_weight).is_some()
            }
            Goal::Something => self.backlog.waiting() > 0 || self.closed && self.backlog.len() == 0,
            Goal::Nothing { .. } => self.backlog.waiting() == 0,
        }
    }
}

impl<K, V> Desk<K, V> {
    pub(super) fn new(most: usize) -> Self {
        let backlog = Backlog::new(most);
        let state = State { backlog, closed: false, taken: false, turns: 0, failed: None, waiting: Vec::new(), calls: 0 };
        Desk { state: Mutex::new(state) }
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// What the calling thread does from here on it does inside the sink.
    pub(super) fn enter(&self) -> Inside {
        inside::enter(self.address())
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().backlog.len()
    }

    pub(super) fn mark(&self) -> u64 {
        self.state.lock().backlog.mark()
    }

    /// Nothing is taken from here on.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let woken = state.everybody();
        drop(state);
        woken.into_iter().for_each(Waiter::wake);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Was it closed, and is everything written?
    pub(super) fn is_over(&self) -> bool {
        let state = self.state.lock();
        state.closed && state.backlog.len() == 0
    }

    /// The newest values, in the order of the queue.
    pub(super) fn pending(&self) -> Vec<Pending<K, V>> {
        let mut all = self.state.lock().backlog.all();
        all.sort_unstable_by_key(|&(place, _)| place);
        all.into_iter().map(|(_, entry)| Pending::new(entry)).collect()
    }

    pub(super) fn drain(&self) -> Vec<(u64, EntryRef<K, V>)> {
        self.state.lock().backlog.drain()
    }

    pub(super) fn call(&self) -> Call<'_, K, V> {
        let mut state = self.state.lock();
        state.calls += 1;
        Call { desk: self, number: state.calls, turns: state.turns }
    }
}

impl<K: Eq, V> Desk<K, V> {
    /// The gate of [`put_held`](crate::core::Core::put_held): whoever passes keeps the lock until the value is there.
    pub(super) fn gate<'a>(
        &'a self,
        terms: &Special,
        key: &K,
        capacity: u64,
        after: &'a mut After<K, V>,
    ) -> Result<impl FnOnce(EntryRef<K, V>) + use<'a, K, V>, Refusal> {
        let &Special { hash, weight, claim, .. } = terms;
        let mut state: MutexGuard<'a, State<K, V>> = self.state.lock();
        if state.closed {
            return Err(Refusal::Closed);
        }
        if weight > capacity {
            return Err(Refusal::TooHeavy { weight, capacity });
        }
        let place = state.backlog.place(hash, key, weight, capacity).ok_or(Refusal::Full { weight })?;
        // The cache may have forgotten what was here long ago.
        if let (Claim::At(source), Some(newer)) = (claim, place.covers())
            && source < newer.source()
        {
            return Err(Refusal::Superseded(newer));
        }
        Ok(move |entry| {
            let before = state.backlog.weight();
            after.covered = state.backlog.push(place, hash, entry, weight);
            // A lighter value in the place of another is room for those who wait for it.
            after.woken = if state.backlog.weight() < before { state.everybody() } else { state.sated() };
        })
    }
}

/// One call that may wait. If it goes, nobody misses it.
pub(super) struct Call<'a, K, V> {
    desk: &'a Desk<K, V>,
    number: u64,
    /// Turns taken before it came: their failures do not concern it.
    turns: u64,
}

impl<'a, K: Eq, V> Call<'a, K, V> {
    /// What to do next. `None`: sleep until the waiter is woken, and look again.
    pub(super) fn look(&mut self, goal: &Goal<'_, K>, waiter: Waiter) -> Option<Next<'a, K, V>> {
        let mut state = self.desk.state.lock();
        if state.has_reached(goal) {
            return Some(Next::Reached);
        }
        if inside::is_inside(self.desk.address()) {
            return Some(Next::Reentrant);
        }
        if let Some((_, trouble)) = state.failed.as_ref().filter(|(turn, _)| *turn > self.turns && goal.shares_failures()) {
            self.turns = state.turns;
            return Some(Next::Failed(trouble.clone()));
        }
        if state.may_drive(goal) {
            state.taken = true;
            state.turns += 1;
            return Some(Next::Drive(Turn { desk: self.desk, number: state.turns, batch: Vec::new(), hashes: Vec::new() }));
        }
        let own = Waiting { call: self.number, least: goal.least(), waiter };
        // Wakers are the user's: the old one is dropped after the unlock.
        let old = match state.waiting.iter_mut().find(|waiting| waiting.call == self.number) {
            Some(waiting) => Some(std::mem::replace(waiting, own)),
            None => {
                state.waiting.push(own);
                None
            }
        };
        drop(state);
        drop(old);
        None
    }
}

impl<K, V> Drop for Call<'_, K, V> {
    fn drop(&mut self) {
        let mut state = self.desk.state.lock();
        let at = state.waiting.iter().position(|waiting| waiting.call == self.number);
        let own = at.map(|at| state.waiting.swap_remove(at));
        drop(state);
        drop(own);
    }
}

/// The right to drive the sink. Its end, of whatever kind, gives back what is not written, and lets the others look again.
pub(super) struct Turn<'a, K, V> {
    desk: &'a Desk<K, V>,
    number: u64,
    batch: Vec<Pending<K, V>>,
    hashes: Vec<u64>,
}

impl<K, V> Turn<'_, K, V> {
    /// Takes the next batch. False if there is nothing to write.
    pub(super) fn take(&mut self, limit: usize) -> bool {
        let taken = self.desk.state.lock().backlog.take(limit);
        (self.hashes, self.batch) = taken.into_iter().map(|(hash, entry)| (hash, Pending::new(entry))).unzip();
        !self.batch.is_empty()
    }

    pub(super) fn batch(&self) -> &[Pending<K, V>] {
        &self.batch
    }

    /// What is in the batch, with the hashes of the keys.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, &EntryRef<K, V>)> {
        self.hashes.iter().copied().zip(self.batch.iter().map(Pending::entry))
    }

    /// The batch is written.
    pub(super) fn landed(&mut self) {
        let mut state = self.desk.state.lock();
        let written = state.backlog.landed();
        let failed = state.failed.take();
        drop(state);
        let batch = std::mem::take(&mut self.batch);
        drop((failed, written, batch));
    }

    /// The batch is not written, this time.
    pub(super) fn give_back(&mut self) {
        let covered = self.desk.state.lock().backlog.give_back();
        let batch = std::mem::take(&mut self.batch);
        drop((covered, batch));
    }

    /// The turn ends without success.
    pub(super) fn fail(&mut self, trouble: Trouble) {
        let before = self.desk.state.lock().failed.replace((self.number, trouble));
        drop(before);
    }
}

impl<K, V> Drop for Turn<'_, K, V> {
    fn drop(&mut self) {
        let mut state = self.desk.state.lock();
        let covered = if self.batch.is_empty() { Vec::new() } else { state.backlog.give_back() };
        state.taken = false;
        let woken = state.everybody();
        drop(state);
        woken.into_iter().for_each(Waiter::wake);
        drop(covered);
    }
}
