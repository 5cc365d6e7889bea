//! An asymmetric store-load barrier: free for the many readers, dear for the few reclaimers.
//!
//! A reader announces what it is about to use, passes [`light_barrier`], then checks that it is still there. A reclaimer unlinks,
//! passes [`heavy_barrier`], then reads the announcements. One of the two sees the other. Where Linux offers `membarrier(2)` the
//! light half is no instruction at all and the heavy half makes every running thread of the process pass a full fence; elsewhere both
//! halves are full fences. The technique is the one of "asymmetric Dekker synchronization" (Dice, Huang, Yang, 2001) and of the
//! `membarrier` manual page.

use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;
use std::sync::atomic::compiler_fence;
use std::sync::atomic::fence;

const UNKNOWN: u8 = 0;
const FENCES: u8 = 1;
const ASYMMETRIC: u8 = 2;

static SCHEME: AtomicU8 = AtomicU8::new(UNKNOWN);

/// The reader's half. A thread that has not yet passed [`prepare`] pays a full fence, which pairs with either heavy half.
pub(crate) fn light_barrier() {
    if is_asymmetric() {
        light_asymmetric_barrier();
    } else {
        fence(Ordering::SeqCst);
    }
}

/// The reader's half, for who knows that the scheme is asymmetric: only the compiler must keep the order.
#[inline(always)]
pub(crate) fn light_asymmetric_barrier() {
    compiler_fence(Ordering::SeqCst);
}

/// Is the light half free in this process?
pub(crate) fn is_asymmetric() -> bool {
    // Relaxed: the scheme is settled before any thread takes a place (`prepare`), and stays.
    SCHEME.load(Ordering::Relaxed) == ASYMMETRIC
}

/// The reclaimer's half: when it returns, every announcement that preceded a reader's check in program order is visible here, or
/// that check sees what was unlinked before the call.
pub(crate) fn heavy_barrier() {
    prepare();
    fence(Ordering::SeqCst);
    // A forked child has to register anew.
    if is_asymmetric() && !platform::barrier_everywhere() && !platform::register() {
        // What was granted is refused now, and to go on would be unsound.
        std::process::abort();
    }
}

/// Settles which scheme the process uses. Every thread calls it before its first light barrier that matters.
pub(crate) fn prepare() {
    if SCHEME.load(Ordering::Relaxed) != UNKNOWN {
        return;
    }
    let scheme = if platform::register() { ASYMMETRIC } else { FENCES };
    // SeqCst: racing callers agree on the first answer.
    let _ = SCHEME.compare_exchange(UNKNOWN, scheme, Ordering::SeqCst, Ordering::SeqCst);
}

#[cfg(all(target_os = "linux", not(miri)))]
mod platform {
    const REGISTER_PRIVATE_EXPEDITED: libc::c_long = 1 << 4;
    const PRIVATE_EXPEDITED: libc::c_long = 1 << 3;
    const NONE: libc::c_long = 0;

    fn membarrier(command: libc::c_long) -> bool {
        // SAFETY: membarrier takes three integers, touches no memory of ours and answers -1 where it is unknown or forbidden.
        unsafe { libc::syscall(libc::SYS_membarrier, command, NONE, NONE) == 0 }
    }

    /// Registers the process, and passes the barrier once to see that it works.
    pub(super) fn register() -> bool {
        membarrier(REGISTER_PRIVATE_EXPEDITED) && membarrier(PRIVATE_EXPEDITED)
    }

    pub(super) fn barrier_everywhere() -> bool {
        membarrier(PRIVATE_EXPEDITED)
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
mod platform {
    pub(super) fn register() -> bool {
        false
    }

    pub(super) fn barrier_everywhere() -> bool {
        true
    }
}
