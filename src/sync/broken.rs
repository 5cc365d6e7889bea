//! Mechanisms that can be taken out, so that the proofs can be seen to notice. In the crate as it is used none can: then this is nothing.

/// What keeps a promise. The comment says which, and what goes wrong without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(unreachable_pub, reason = "the models' tests reach it, by the door in `lib.rs`")]
#[cfg_attr(not(any(brindle_loom, brindle_shuttle)), allow(dead_code))]
pub enum Broken {
    /// A write, removal or invalidation leaves the loads of its key alone: what they read before comes back.
    Fence,
    /// Reclamation looks at the announcements without having passed the barrier: it drops what is being read.
    HeavyBarrier,
    /// A write draws no revision of its own: versions are used again, and a swap takes one state for another.
    Revision,
    /// An eviction takes the stripe's revisions back to their beginning.
    EvictedRevision,
    /// A conditional write does not look at what is there.
    Compare,
    /// A write that names its source is taken for news, whatever is there.
    Source,
    /// What leaves leaves no tombstone: older versions of it come back.
    Tombstone,
    /// A tombstone that goes leaves no floor behind.
    Floor,
    /// A stripe that has lost a tombstone too early goes on as if nothing had been.
    Forgetful,
    /// A flight that is fenced stays to be found: who comes later waits for it.
    Unjoined,
    /// Who needs a load does not look for one that is under way.
    OneFlight,
    /// A load's right to store is asked under one lock, and its value stored under another.
    CheckedStore,
    /// A lease stores its value though it is overdue, or was passed on.
    LeaseToken,
    /// A removal takes the entry out under one lock, and fences under another.
    OneRemoval,
    /// Nobody remembers, when a load ends, that the group of its value was invalidated.
    EndedGroup,
    /// Loads are stored while their key is written through the cache.
    Turn,
    /// A commit shows its new values before all that they replace is out of sight.
    Hidden,
    /// A commit goes from key to key, each under its lock alone.
    AtOnce,
    /// A snapshot does not look whether all that it has read is there still.
    SecondLook,
    /// Reads do not look at deadlines.
    Deadline,
}

impl Broken {
    /// All of them.
    #[cfg(any(brindle_loom, brindle_shuttle))]
    pub const ALL: &[Broken] = &[
        Broken::Fence,
        Broken::HeavyBarrier,
        Broken::Revision,
        Broken::EvictedRevision,
        Broken::Compare,
        Broken::Source,
        Broken::Tombstone,
        Broken::Floor,
        Broken::Forgetful,
        Broken::Unjoined,
        Broken::OneFlight,
        Broken::CheckedStore,
        Broken::LeaseToken,
        Broken::OneRemoval,
        Broken::EndedGroup,
        Broken::Turn,
        Broken::Hidden,
        Broken::AtOnce,
        Broken::SecondLook,
        Broken::Deadline,
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
