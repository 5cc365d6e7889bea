//! Mechanisms that can be taken out, so that the proofs can be seen to notice. In the crate as it is used none can: then this is nothing.

/// What keeps a promise. The comment says which, and what goes wrong without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(unreachable_pub, reason = "the models' tests reach it, by the door in `lib.rs`")]
#[cfg_attr(not(any(brindle_loom, brindle_shuttle)), allow(dead_code))]
pub enum Broken {
    /// Changes of the cache's weight are added in two steps: of two at once one is lost, and the cache outgrows its capacity.
    AddedWeight,
    /// Nobody looks whether a load that is to be waited for needs the one that waits: both wait for ever.
    Circles,
    /// A walk yields what it has gathered though that has left the cache since.
    CurrentOnly,
    /// A lease that is dropped is handed to nobody: those who wait sleep for ever.
    DroppedLease,
    /// A write, removal or invalidation leaves the loads of its key alone: what they read before comes back.
    Fence,
    /// Reclamation looks at the announcements without having passed the barrier: it drops what is being read.
    HeavyBarrier,
    /// What is pending in a write-behind is evicted like any other: a load brings what the source had before.
    HeldEntries,
    /// A removal takes out what is there, not what was judged: a newer value goes with it.
    JudgedVersion,
    /// What a load brings for a group that has ended goes to those too who came after that end.
    LateSeats,
    /// Who locks several stripes locks them in any order: two of them wait for each other for ever.
    LockOrder,
    /// A snapshot that locks stripes locks one after the other: it sees half of a transaction.
    LockedTogether,
    /// Several drive the sink of a write-behind at once: an older value is written after a newer one.
    OneDriver,
    /// Who writes a key through the cache does not look whether somebody else does: the source's last state is not the cache's.
    OneWriter,
    /// Whose turn has come to write through the cache is not woken.
    TurnWakes,
}

impl Broken {
    /// All of them.
    #[cfg(any(brindle_loom, brindle_shuttle))]
    pub const ALL: &[Broken] = &[
        Broken::AddedWeight,
        Broken::Circles,
        Broken::CurrentOnly,
        Broken::DroppedLease,
        Broken::Fence,
        Broken::HeavyBarrier,
        Broken::HeldEntries,
        Broken::JudgedVersion,
        Broken::LateSeats,
        Broken::LockOrder,
        Broken::LockedTogether,
        Broken::OneDriver,
        Broken::OneWriter,
        Broken::TurnWakes,
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
