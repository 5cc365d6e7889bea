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
}

impl Broken {
    /// All of them.
    #[cfg(any(brindle_loom, brindle_shuttle))]
    pub const ALL: &[Broken] = &[Broken::Fence, Broken::HeavyBarrier];
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
