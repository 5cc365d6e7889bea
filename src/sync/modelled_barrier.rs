//! The asymmetric barrier as a model has it: both halves are full fences, and the short way, which leaves out all but the compiler's
//! half, is taken as where `membarrier` is offered. That is what the heavy half makes of every running thread: it passes a full fence.

use std::sync::atomic::Ordering;

use super::broken::Broken;
use super::broken::is_broken;
use super::fence;

pub(crate) fn light_barrier() {
    if !is_broken(Broken::LightBarrier) {
        fence(Ordering::SeqCst);
    }
}

pub(crate) fn light_asymmetric_barrier() {
    light_barrier();
}

pub(super) fn is_asymmetric() -> bool {
    true
}

pub(crate) fn heavy_barrier() {
    if !is_broken(Broken::HeavyBarrier) {
        fence(Ordering::SeqCst);
    }
}

pub(super) fn prepare() {}
