//! Mechanisms that can be taken out, so that the proofs can be seen to notice. In the crate as it is used none can: then this is nothing.

/// What keeps a promise. The comment says which, and what goes wrong without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(unreachable_pub, reason = "the models' tests reach it, by the door in `lib.rs`")]
#[cfg_attr(not(any(brindle_loom, brindle_shuttle)), allow(dead_code))]
pub enum Broken {
    /// Changes of the cache's weight are added in two steps: of two at once one is lost, and the cache outgrows its capacity.
    AddedWeight,
    /// A commit goes from key to key, each under its lock alone.
    AtOnce,
    /// A load's right to store is asked under one lock, and its value stored under another.
    CheckedStore,
    /// Nobody looks whether a load that is to be waited for needs the one that waits: both wait for ever.
    Circles,
    /// A conditional write does not look at what is there.
    Compare,
    /// A walk yields what it has gathered though that has left the cache since.
    CurrentOnly,
    /// Reads do not look at deadlines.
    Deadline,
    /// A lease that is dropped is handed to nobody: those who wait sleep for ever.
    DroppedLease,
    /// Nobody remembers, when a load ends, that the group of its value was invalidated.
    EndedGroup,
    /// An eviction takes the stripe's revisions back to their beginning.
    EvictedRevision,
    /// A write, removal or invalidation leaves the loads of its key alone: what they read before comes back.
    Fence,
    /// A tombstone that goes leaves no floor behind.
    Floor,
    /// A stripe that has lost a tombstone too early goes on as if nothing had been.
    Forgetful,
    /// Reclamation looks at the announcements without having passed the barrier: it drops what is being read.
    HeavyBarrier,
    /// What is pending in a write-behind is evicted like any other: a load brings what the source had before.
    HeldEntries,
    /// A commit shows its new values before all that they replace is out of sight.
    Hidden,
    /// A removal takes out what is there, not what was judged: a newer value goes with it.
    JudgedVersion,
    /// What a load brings for a group that has ended goes to those too who came after that end.
    LateSeats,
    /// A lease stores its value though it is overdue, or was passed on.
    LeaseToken,
    /// Who locks several stripes locks them in any order: two of them wait for each other for ever.
    LockOrder,
    /// A snapshot that locks stripes locks one after the other: it sees half of a transaction.
    LockedTogether,
    /// Several drive the sink of a write-behind at once: an older value is written after a newer one.
    OneDriver,
    /// Who needs a load does not look for one that is under way.
    OneFlight,
    /// A removal takes the entry out under one lock, and fences under another.
    OneRemoval,
    /// Who writes a key through the cache does not look whether somebody else does: the source's last state is not the cache's.
    OneWriter,
    /// A write draws no revision of its own: versions are used again, and a swap takes one state for another.
    Revision,
    /// A snapshot does not look whether all that it has read is there still.
    SecondLook,
    /// An entry's slot is there before its tag: the short way to it sees it before the long way.
    SlotLast,
    /// A write that names its source is taken for news, whatever is there.
    Source,
    /// What leaves leaves no tombstone: older versions of it come back.
    Tombstone,
    /// Loads are stored while their key is written through the cache.
    Turn,
    /// Whose turn has come to write through the cache is not woken.
    TurnWakes,
    /// A flight that is fenced stays to be found: who comes later waits for it.
    Unjoined,
}

impl Broken {
    /// All of them.
    #[cfg(any(brindle_loom, brindle_shuttle))]
    pub const ALL: &[Broken] = &[
        Broken::AddedWeight,
        Broken::AtOnce,
        Broken::CheckedStore,
        Broken::Circles,
        Broken::Compare,
        Broken::CurrentOnly,
        Broken::Deadline,
        Broken::DroppedLease,
        Broken::EndedGroup,
        Broken::EvictedRevision,
        Broken::Fence,
        Broken::Floor,
        Broken::Forgetful,
        Broken::HeavyBarrier,
        Broken::HeldEntries,
        Broken::Hidden,
        Broken::JudgedVersion,
        Broken::LateSeats,
        Broken::LeaseToken,
        Broken::LockOrder,
        Broken::LockedTogether,
        Broken::OneDriver,
        Broken::OneFlight,
        Broken::OneRemoval,
        Broken::OneWriter,
        Broken::Revision,
        Broken::SecondLook,
        Broken::SlotLast,
        Broken::Source,
        Broken::Tombstone,
        Broken::Turn,
        Broken::TurnWakes,
        Broken::Unjoined,
    ];
}

#[cfg(not(any(brindle_loom, brindle_shuttle)))]
#[inline(always)]
pub(crate) const fn is_broken(_mechanism: Broken) -> bool {
    false
}

#[cfg(any(brindle_loom, brindle_shuttle))]
pub(crate) use self::switched::is_broken;
#[cfg(any(brindle_loom, brindle_shuttle))]
pub use self::switched::without;

#[cfg(any(brindle_loom, brindle_shuttle))]
mod switched {
    use std::cell::Cell;

    use super::Broken;

    // Of the thread of the operating system: on one of those a model plays all of its threads.
    std::thread_local! {
        static BROKEN: Cell<Option<Broken>> = const { Cell::new(None) };
    }

    pub(crate) fn is_broken(mechanism: Broken) -> bool {
        BROKEN.get() == Some(mechanism)
    }

    /// Explores on this thread with one mechanism taken out.
    pub fn without<R>(mechanism: Broken, explore: impl FnOnce() -> R) -> R {
        let _put_back = PutBack(BROKEN.replace(Some(mechanism)));
        explore()
    }

    /// Also when the exploration panics, as it should.
    struct PutBack(Option<Broken>);

    impl Drop for PutBack {
        fn drop(&mut self) {
            BROKEN.set(self.0);
        }
    }
}
