//! Mechanisms that can be taken out, so that the proofs can be seen to notice. In the crate as it is used none can: then this is nothing.

#[cfg(not(any(brindle_loom, brindle_shuttle)))]
use std::sync::atomic::Ordering;

/// What keeps a promise. The comment says what is done without it, and what goes wrong then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(unreachable_pub, reason = "the models' tests reach it, by the door in `lib.rs`")]
#[cfg_attr(not(any(brindle_loom, brindle_shuttle)), allow(dead_code))]
pub enum Broken {
    /// Changes of the cache's weight are added in two steps: of two at once one is lost, and the cache outgrows its capacity.
    AddedWeight,
    /// A commit goes from key to key, each under its lock alone.
    AtOnce,
    /// What a value has from a floor, which is another key's, counts as its own: an old one outlives the word that ends it.
    Borrowed,
    /// A bucket's slot is stored without release: a reader that follows it finds a node that is not filled yet.
    BucketOrder,
    /// A thread's cells are published without release: a reclaimer reads hazard words that are not there yet.
    CellOrder,
    /// A load's right to store is asked under one lock, and its value stored under another.
    CheckedStore,
    /// Nobody looks whether a load that is to be waited for needs the one that waits: both wait for ever.
    Circles,
    /// A clock notes what it shows without a look at what others were shown meanwhile: it goes backwards.
    ClockLatest,
    /// A conditional write does not look at what is there.
    Compare,
    /// The number of buckets is stored before the buckets: a reader looks behind the end of the old ones.
    CountAfterBuckets,
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
    /// Who gives up a lease that was fenced leaves those who wait: they sleep for ever.
    FencedHandOver,
    /// A tombstone that goes leaves no floor behind.
    Floor,
    /// A stripe that has lost a tombstone too early goes on as if nothing had been.
    Forgetful,
    /// What is to be reclaimed is gathered after the barrier: what was retired since is dropped while it is read.
    GatherFirst,
    /// Who leaves his seat keeps the lease that he was called to: those behind him sleep for ever.
    HandOver,
    /// A hazard word is freed without release: what its reader still reads is dropped.
    HazardOrder,
    /// A node is announced no more when a closure is to look at its value: that is dropped under the closure.
    HazardStays,
    /// Reclamation looks at the announcements without having passed the barrier: it drops what is being read.
    HeavyBarrier,
    /// What is pending in a write-behind is evicted like any other: a load brings what the source had before.
    HeldEntries,
    /// A source version that is refused, as nobody remembers enough, is not heard either: what it shows to be old comes and stays.
    Heard,
    /// A commit shows its new values before all that they replace is out of sight.
    Hidden,
    /// Outgrown arrays are freed without a look at who is in the table: their readers walk what is gone.
    InTable,
    /// A new array is published without release: a reader walks buckets that are not there yet.
    IndexOrder,
    /// A removal takes out what is there, not what was judged: a newer value goes with it.
    JudgedVersion,
    /// Who is about to sleep does not ask again, under the lock, whether the flight has landed: nobody wakes him any more.
    LandingSeen,
    /// Who lands a flight wakes nobody: those who wait sleep for ever.
    LandingWakes,
    /// What a load brings for a group that has ended goes to those too who came after that end.
    LateSeats,
    /// A lease stores its value though it is overdue, or was passed on.
    LeaseToken,
    /// A reader passes no barrier between announcing a node and looking for it again: it reads what is dropped.
    LightBarrier,
    /// What others write and invalidate during a write through is not noted: it is undone.
    LineFence,
    /// A reader does not look whether a node that it has announced is still linked: it reads what was reclaimed before.
    LinkedStill,
    /// Who locks several stripes locks them in any order: two of them wait for each other for ever.
    LockOrder,
    /// A snapshot that locks stripes locks one after the other: it sees half of a transaction.
    LockedTogether,
    /// Who takes a lease over has the token of the former holder: both store.
    NewToken,
    /// A task is woken by the first waker that it came with: polled with another since, it sleeps for ever.
    NewestWaker,
    /// An outgrown array is left as it was: a reader in it takes for linked what has left the table since.
    OldArrayWiped,
    /// Several drive the sink of a write-behind at once: an older value is written after a newer one.
    OneDriver,
    /// Who needs a load does not look for one that is under way.
    OneFlight,
    /// A removal takes the entry out under one lock, and fences under another.
    OneRemoval,
    /// Who writes a key through the cache does not look whether somebody else does: the source's last state is not the cache's.
    OneWriter,
    /// Where a stripe cannot make room for what came into it, nobody does: the cache outgrows its capacity.
    OthersMakeRoom,
    /// A node is parked without another look at its pins: it waits for ever for one that has gone.
    ParkedLook,
    /// Reclamation does not look at the pins: it drops what guards keep.
    Pins,
    /// What is read and pinned is parked: its last pin drops it under its readers.
    ReadBeforePinned,
    /// An entry is marked as retired after its successor is seen: a walk yields it still.
    RetiredFirst,
    /// A write draws no revision of its own: versions are used again, and a swap takes one state for another.
    Revision,
    /// A snapshot does not look whether all that it has read is there still.
    SecondLook,
    /// An entry's slot is there before its tag: the short way to it sees it before the long way.
    SlotLast,
    /// A write that names its source is taken for news, whatever is there.
    Source,
    /// Reclamation does not look at the hazard words of the common pool: it drops what nested readers read.
    Spares,
    /// Several tell the listener at a time: it hears of a value before it hears of that value's predecessor.
    TellingAlone,
    /// What leaves leaves no tombstone: older versions of it come back.
    Tombstone,
    /// Loads are stored while their key is written through the cache.
    Turn,
    /// Who leaves a line keeps the turn that he was called to: those behind him sleep for ever.
    TurnPassed,
    /// Whose turn has come to write through the cache is not woken.
    TurnWakes,
    /// A flight that is fenced stays to be found: who comes later waits for it.
    Unjoined,
    /// Who gives the last pin back passes no barrier before he looks whether the node is retired: nobody drops it.
    UnpinFence,
    /// An outgrown array is emptied before the new one is shown: a reader finds its entry in neither.
    WipedLast,
}

impl Broken {
    /// All of them.
    #[cfg(any(brindle_loom, brindle_shuttle))]
    pub const ALL: &[Broken] = &[
        Broken::AddedWeight,
        Broken::AtOnce,
        Broken::Borrowed,
        Broken::BucketOrder,
        Broken::CellOrder,
        Broken::CheckedStore,
        Broken::Circles,
        Broken::ClockLatest,
        Broken::Compare,
        Broken::CountAfterBuckets,
        Broken::CurrentOnly,
        Broken::Deadline,
        Broken::DroppedLease,
        Broken::EndedGroup,
        Broken::EvictedRevision,
        Broken::Fence,
        Broken::FencedHandOver,
        Broken::Floor,
        Broken::Forgetful,
        Broken::GatherFirst,
        Broken::HandOver,
        Broken::HazardOrder,
        Broken::HazardStays,
        Broken::HeavyBarrier,
        Broken::HeldEntries,
        Broken::Heard,
        Broken::Hidden,
        Broken::InTable,
        Broken::IndexOrder,
        Broken::JudgedVersion,
        Broken::LandingSeen,
        Broken::LandingWakes,
        Broken::LateSeats,
        Broken::LeaseToken,
        Broken::LightBarrier,
        Broken::LineFence,
        Broken::LinkedStill,
        Broken::LockOrder,
        Broken::LockedTogether,
        Broken::NewToken,
        Broken::NewestWaker,
        Broken::OldArrayWiped,
        Broken::OneDriver,
        Broken::OneFlight,
        Broken::OneRemoval,
        Broken::OneWriter,
        Broken::OthersMakeRoom,
        Broken::ParkedLook,
        Broken::Pins,
        Broken::ReadBeforePinned,
        Broken::RetiredFirst,
        Broken::Revision,
        Broken::SecondLook,
        Broken::SlotLast,
        Broken::Source,
        Broken::Spares,
        Broken::TellingAlone,
        Broken::Tombstone,
        Broken::Turn,
        Broken::TurnPassed,
        Broken::TurnWakes,
        Broken::Unjoined,
        Broken::UnpinFence,
        Broken::WipedLast,
    ];
}

#[cfg(not(any(brindle_loom, brindle_shuttle)))]
#[inline(always)]
pub(crate) const fn is_broken(_mechanism: Broken) -> bool {
    false
}

/// The order of an access, where it is a mechanism itself.
#[cfg(not(any(brindle_loom, brindle_shuttle)))]
#[inline(always)]
pub(crate) const fn ordered(_mechanism: Broken, order: Ordering) -> Ordering {
    order
}

#[cfg(any(brindle_loom, brindle_shuttle))]
pub(crate) use self::switched::is_broken;
#[cfg(any(brindle_loom, brindle_shuttle))]
pub(crate) use self::switched::ordered;
#[cfg(any(brindle_loom, brindle_shuttle))]
pub use self::switched::without;

#[cfg(any(brindle_loom, brindle_shuttle))]
mod switched {
    use std::cell::Cell;
    use std::sync::atomic::Ordering;

    use super::Broken;

    // Of the thread of the operating system: on one of those a model plays all of its threads.
    std::thread_local! {
        static BROKEN: Cell<Option<Broken>> = const { Cell::new(None) };
    }

    pub(crate) fn is_broken(mechanism: Broken) -> bool {
        BROKEN.get() == Some(mechanism)
    }

    /// Taken out, the access has no order.
    pub(crate) fn ordered(mechanism: Broken, order: Ordering) -> Ordering {
        if is_broken(mechanism) { Ordering::Relaxed } else { order }
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
