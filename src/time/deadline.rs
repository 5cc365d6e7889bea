//! Arithmetic on moments, counted in nanoseconds since the clock started. Pure: reads no clock.

use std::time::Duration;

/// The deadline of what never falls due. No clock ever shows it.
pub(crate) const NEVER: u64 = u64::MAX;

/// A duration in nanoseconds, or [`NEVER`] if it does not fit (584 years).
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

/// The moment `ttl` after `now`; [`NEVER`] if no clock will reach it. A zero `ttl` is due at once.
pub(crate) fn after(now: u64, ttl: Duration) -> u64 {
    now.saturating_add(nanos(ttl))
}

/// Whether `deadline` has come: a deadline is due from its own nanosecond on.
pub(crate) const fn is_due(deadline: u64, now: u64) -> bool {
    deadline <= now
}

/// The time left until `deadline`: zero if it is due, `None` if it never will be.
pub(crate) fn remaining(deadline: u64, now: u64) -> Option<Duration> {
    (deadline != NEVER).then(|| Duration::from_nanos(deadline.saturating_sub(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_ttl_is_due_at_once() {
        assert!(is_due(after(7, Duration::ZERO), 7));
    }

    #[test]
    fn a_deadline_is_due_from_its_own_nanosecond() {
        let deadline = after(7, Duration::from_nanos(3));
        assert!(!is_due(deadline, 9));
        assert!(is_due(deadline, 10));
    }

    #[test]
    fn what_does_not_fit_is_never() {
        assert_eq!(after(0, Duration::MAX), NEVER);
        assert_eq!(after(u64::MAX - 1, Duration::from_nanos(2)), NEVER);
        assert!(!is_due(NEVER, NEVER - 1));
    }

    #[test]
    fn remaining_is_zero_when_due_and_none_when_never() {
        assert_eq!(remaining(10, 4), Some(Duration::from_nanos(6)));
        assert_eq!(remaining(10, 11), Some(Duration::ZERO));
        assert_eq!(remaining(NEVER, 11), None);
    }
}
