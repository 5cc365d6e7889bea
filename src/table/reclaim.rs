//! When a slot, or an outgrown array, is used no more: out of the table, past the barrier, announced by no reader, pinned by no guard.
//!
//! A stripe gathers what it retires and, when a batch is full, whoever filled it reclaims it after the unlock, and with it what other stripes
//! have ready, as the barrier interrupts every running thread and one serves them all. A stalled reader keeps
//! its one node back, never the batch. So a stripe holds at most a batch of retired entries, and one more for each writer that is
//! reclaiming at this moment.

use std::mem;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use smallvec::SmallVec;

use crate::event::Cause;
use crate::sync::Broken;
use crate::sync::Ordering;
use crate::sync::fence;
use crate::sync::heavy_barrier;
use crate::sync::is_broken;
use crate::unwind::Panic;
use crate::unwind::keep_first;

use super::flights::Ended;
use super::index::Index;
use super::locked::Locked;
use super::node::Node;
use super::node::PARKED;
use super::node::RETIRED;
use super::pin::Pin;
use super::reader::Announced;
use super::reader::Readers;
use super::slab::OldDirectory;
use super::stripe::Stripe;

/// The share of a batch for which it is worth while to lock another stripe.
const MANY: usize = 4;

/// What a transition leaves to be done after the unlock.
pub(crate) struct Effects<K, V> {
    pub(crate) reclaim: bool,
    pub(crate) tell: bool,
    /// Flights that have ended, and what those who wait for them get.
    pub(crate) ended: Vec<Ended<K, V>>,
}

impl<K, V> Effects<K, V> {
    /// Is there nothing to do?
    pub(crate) fn is_empty(&self) -> bool {
        !self.reclaim && !self.tell && self.ended.is_empty()
    }
}

/// An array that readers may still be walking.
pub(super) struct Outgrown<K, V> {
    _index: Option<Box<Index>>,
    _directory: Option<OldDirectory<K, V>>,
}

impl<K, V> Outgrown<K, V> {
    pub(super) fn index(index: Box<Index>) -> Self {
        Outgrown { _index: Some(index), _directory: None }
    }

    pub(super) fn directory(directory: OldDirectory<K, V>) -> Self {
        Outgrown { _index: None, _directory: Some(directory) }
    }
}

/// Retired slots that cannot be dropped yet. One that is both read and pinned counts as read: to be parked, a node must have its pins
/// alone, as the last of them drops it without asking the readers. Out of the table and announced by nobody, it gets no more readers.
struct InUse {
    read: Vec<u32>,
    pinned: Vec<u32>,
}

/// What several stripes have retired.
pub(super) type Gathered<'a, K, V> = SmallVec<[Retired<'a, K, V>; 8]>;

/// What one stripe has retired, taken out of it.
pub(super) struct Retired<'a, K, V> {
    stripe: &'a Stripe<K, V>,
    batch: Vec<u32>,
    outgrown: Vec<Outgrown<K, V>>,
}

impl<'a, K, V> Retired<'a, K, V> {
    /// Drops what is used no more: one barrier serves all. No lock is held while anything is dropped. A panic of a value's `Drop` comes back
    /// when everything is done.
    pub(super) fn reclaim(gather: impl FnOnce() -> Gathered<'a, K, V>, readers: &Readers) -> Result<(), Panic> {
        let early = is_broken(Broken::GatherFirst).then(|| announced_by_now(readers));
        let gathered = gather();
        if gathered.is_empty() {
            return Ok(());
        }
        let announced = early.unwrap_or_else(|| announced_by_now(readers));
        let mut panic = None;
        gathered.into_iter().for_each(|retired| keep_first(&mut panic, retired.settle(readers, &announced)));
        panic.map_or(Ok(()), Err)
    }

    fn settle(self, readers: &Readers, announced: &Announced) -> Result<(), Panic> {
        let Retired { stripe, mut batch, outgrown } = self;
        // Opened after the others were asked, so that it is not among them.
        let reading = readers.enter();
        let in_use = stripe.part_in_use(&mut batch, announced);
        let dropped = stripe.drop_pairs(&batch);
        drop(reading);
        let kept = if announced.in_table() { outgrown } else { Vec::new() };
        stripe.lock().settle(batch, in_use, kept);
        dropped
    }
}

fn announced_by_now(readers: &Readers) -> Announced {
    heavy_barrier();
    readers.announced()
}

impl<K, V> Stripe<K, V> {
    /// What was retired so far leaves the stripe, to be [reclaimed](Retired::reclaim).
    pub(super) fn gather(&self) -> Option<Retired<'_, K, V>> {
        self.lock().gather()
    }

    /// The same, if it is worth while, and if nobody has the lock.
    pub(super) fn gather_if_many(&self) -> Option<Retired<'_, K, V>> {
        let mut locked = self.try_lock()?;
        let many = locked.state.retired.len() >= locked.state.batch / MANY;
        if many { locked.gather() } else { None }
    }

    /// Takes every entry out, tells nobody, and drops what is in use no more.
    pub(super) fn close(&self, readers: &Readers) -> Result<(), Panic> {
        let mut locked = self.lock();
        locked.state.config.told = false;
        locked.clear(0);
        let ended = locked.take_ended();
        drop(locked);
        // Errors that were remembered, with their keys: their `Drop` is the user's.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(ended)));
        let mut panic = None;
        keep_first(&mut panic, dropped);
        keep_first(&mut panic, Retired::reclaim(|| self.gather().into_iter().collect(), readers));
        panic.map_or(Ok(()), Err)
    }

    /// Leaves in `batch` what can be dropped. The rest has readers, who will be gone soon, or else pins, which may stay.
    fn part_in_use(&self, batch: &mut Vec<u32>, announced: &Announced) -> InUse {
        let mut in_use = InUse { read: Vec::new(), pinned: Vec::new() };
        if announced.is_empty() && !self.slab.has_pins() {
            return in_use;
        }
        batch.retain(|&slot| {
            // SAFETY: retired slots were handed out, and the caller has a look-up open, which keeps the directory.
            let (read, pinned) = unsafe { (announced.uses(self.slab.node(slot).address()), self.slab.is_pinned(slot)) };
            if read && !(pinned && is_broken(Broken::ReadBeforePinned)) {
                in_use.read.push(slot);
            } else if pinned {
                in_use.pinned.push(slot);
            }
            !read && !pinned
        });
        in_use
    }

    /// Drops the pairs of slots that nobody else has any more. All are dropped, whatever panics.
    fn drop_pairs(&self, slots: &[u32]) -> Result<(), Panic> {
        if !mem::needs_drop::<(K, V)>() {
            return Ok(());
        }
        let mut panic = None;
        for &slot in slots {
            // SAFETY: handed out, and the caller has a look-up open. Retired, so no new reader finds it; past the barrier no reader
            // announces it and no pin holds it, so nobody ever will; it is in no list, so only the caller has it.
            keep_first(&mut panic, unsafe { drop_pair(self.slab.node(slot)) });
        }
        panic.map_or(Ok(()), Err)
    }

    /// Gives a pin back. The last one of a node that reclamation passed by drops its pair.
    ///
    /// # Safety
    /// The pin is of this stripe, and is not given back twice.
    pub(crate) unsafe fn unpin(&self, pin: &Pin<K, V>) -> Result<(), Panic> {
        // SAFETY: the pin itself keeps the node until here; nodes and their columns live as long as the stripe.
        let (node, pins) = unsafe { (&*pin.node, &*pin.pins) };
        // SeqCst: with the load below, it pairs with `RETIRED` stored and the pins loaded by the reclaimer, with a barrier between:
        // one of the two sees the other, so the slot is not left to nobody.
        if pins.fetch_sub(1, Ordering::SeqCst) != 1 {
            return Ok(());
        }
        if !is_broken(Broken::UnpinFence) {
            fence(Ordering::SeqCst);
        }
        if !node.has_for_sure(RETIRED) || !self.lock().unpark(pin.slot) {
            return Ok(());
        }
        // SAFETY: it was parked, so no reader has it, this was the last pin, and `unpark` chose us.
        let dropped = unsafe { drop_pair(node) };
        self.lock().state.slots.put_back(&[pin.slot]);
        dropped
    }

    /// Takes what the listener is to be told, if nobody else is telling it: until [`told`](Self::told) only the caller is.
    pub(crate) fn start_telling(&self) -> Option<Vec<(Pin<K, V>, Cause)>> {
        let mut locked = self.lock();
        let alone = !mem::replace(&mut locked.state.telling, true);
        (alone || is_broken(Broken::TellingAlone)).then(|| locked.take_notices())
    }

    /// What came in while the last notices were told; when there is nothing more, others may tell again.
    pub(crate) fn told(&self) -> Option<Vec<(Pin<K, V>, Cause)>> {
        let mut locked = self.lock();
        let more = locked.take_notices();
        locked.state.telling = !more.is_empty();
        locked.state.telling.then_some(more)
    }
}

impl<'a, K, V> Locked<'a, K, V> {
    fn gather(&mut self) -> Option<Retired<'a, K, V>> {
        let (batch, outgrown) = (mem::take(&mut self.state.retired), mem::take(&mut self.state.outgrown));
        let any = !batch.is_empty() || !outgrown.is_empty();
        any.then_some(Retired { stripe: self.stripe, batch, outgrown })
    }
}

impl<K, V> Locked<'_, K, V> {
    /// Freed slots may be used again; those in use wait for their readers or their last pin.
    fn settle(&mut self, mut freed: Vec<u32>, in_use: InUse, outgrown: Vec<Outgrown<K, V>>) {
        self.state.slots.put_back(&freed);
        self.state.outgrown.extend(outgrown);
        let mut waiting = in_use.read;
        for slot in in_use.pinned {
            self.node(slot).set(PARKED);
            // SAFETY: a retired slot, and the lock is held.
            if !unsafe { self.stripe.slab.is_pinned(slot) } && !is_broken(Broken::ParkedLook) {
                // The last pin came before `PARKED` and left the slot to us.
                self.node(slot).unset(PARKED);
                waiting.push(slot);
            }
        }
        // What others retired meanwhile counts for the next batch: so a slow reclamation does not raise what is held back.
        self.state.reclaim_at = waiting.len() + self.state.batch;
        self.state.retired.extend(waiting);
        if self.state.retired.capacity() == 0 {
            // The list is used again instead of made again.
            freed.clear();
            self.state.retired = freed;
        }
    }

    /// Is the slot parked, and the caller the one to free it?
    fn unpark(&mut self, slot: u32) -> bool {
        let node = self.node(slot);
        // SAFETY: the slot was handed out, and the lock is held.
        let free = node.has(PARKED) && !unsafe { self.stripe.slab.is_pinned(slot) };
        if free {
            node.unset(PARKED);
        }
        free
    }

    fn take_notices(&mut self) -> Vec<(Pin<K, V>, Cause)> {
        let notices = mem::take(&mut self.state.notices);
        // SAFETY: the notice is a pin of its node, counted when it was retired.
        let pins = notices.into_iter().map(|(slot, cause)| unsafe { (self.stripe.counted_pin(slot, self.node(slot)), cause) });
        pins.collect()
    }
}

/// # Safety
/// As for [`Node::drop_pair`].
unsafe fn drop_pair<K, V>(node: &Node<K, V>) -> Result<(), Panic> {
    // SAFETY: passed on.
    let dropping = || unsafe { node.drop_pair() };
    if mem::needs_drop::<(K, V)>() {
        return catch_unwind(AssertUnwindSafe(dropping));
    }
    dropping();
    Ok(())
}
