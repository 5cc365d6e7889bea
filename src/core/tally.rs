//! What loads have counted since the cache was built. Every load writes here and no hit does.

use crate::sync::AtomicU64;

#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Tally {
    pub(crate) loads: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) takeovers: AtomicU64,
    pub(crate) fenced: AtomicU64,
    pub(crate) waits: AtomicU64,
    pub(crate) stale_served: AtomicU64,
}
