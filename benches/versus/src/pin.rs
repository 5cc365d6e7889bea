//! Threads stay on one core each, where the system lets them.

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use core_affinity::CoreId;

static CORES: OnceLock<Vec<CoreId>> = OnceLock::new();
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Keeps this thread on the nth of the cores that there were at the first call, from the start again when there are no more.
pub fn pin(nth: usize) {
    let cores = CORES.get_or_init(|| core_affinity::get_core_ids().unwrap_or_default());
    let pinned = !cores.is_empty() && core_affinity::set_for_current(cores[nth % cores.len()]);
    if !pinned {
        REFUSED.store(true, Relaxed);
    }
}

/// Whether a thread could not be pinned.
pub fn refused() -> bool {
    REFUSED.load(Relaxed)
}
