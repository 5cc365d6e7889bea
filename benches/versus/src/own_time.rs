//! How long a thread itself has been running: others that want its core do not add to it, as they do to what a clock on the wall tells.

use std::time::Duration;

/// Of this thread, since it began; none where the system does not tell.
#[cfg(unix)]
pub fn now() -> Option<Duration> {
    use rustix::time::ClockId;
    use rustix::time::clock_gettime;

    let time = clock_gettime(ClockId::ThreadCPUTime);
    Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
}

#[cfg(not(unix))]
pub fn now() -> Option<Duration> {
    None
}
