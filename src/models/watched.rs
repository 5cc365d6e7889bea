//! A value that knows whether it lives. Loom sees who looks at it, so who looks while another drops it is found out.

use std::sync::Arc;

use loom::cell::UnsafeCell;

/// What is in the cache.
pub(super) struct Watched(Arc<Life>);

/// The same, for whoever wants to know what became of it.
pub(super) struct Witness(Arc<Life>);

struct Life {
    lives: UnsafeCell<bool>,
}

// SAFETY: loom fails a model in which two threads are at a cell at once, one of them to write.
unsafe impl Send for Life {}
// SAFETY: as above.
unsafe impl Sync for Life {}

impl Watched {
    pub(super) fn new() -> (Self, Witness) {
        let life = Arc::new(Life { lives: UnsafeCell::new(true) });
        (Watched(Arc::clone(&life)), Witness(life))
    }

    /// One of which only those who look at it need to know.
    pub(super) fn unseen() -> Self {
        Self::new().0
    }

    pub(super) fn look(&self) {
        assert!(self.0.lives(), "it is looked at, and was dropped");
    }
}

impl Witness {
    pub(super) fn is_dropped(&self) -> bool {
        !self.0.lives()
    }
}

impl Life {
    fn lives(&self) -> bool {
        // SAFETY: as loom sees to it.
        self.lives.with(|lives| unsafe { *lives })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // SAFETY: as loom sees to it.
        let lived = self.0.lives.with_mut(|lives| std::mem::replace(unsafe { &mut *lives }, false));
        assert!(lived, "it is dropped twice");
    }
}
