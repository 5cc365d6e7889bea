//! Which state a conditional write wants to find.

use super::version::Version;

/// The state that a [`compare_and_swap`](crate::Cache::compare_and_swap) expects; made from a [`Version`] or an `Option<Version>`.
///
/// ```
/// use brindle::Expected;
/// let cache = brindle::Cache::new(100);
/// let version = cache.compare_and_swap("k", Expected::Absent, 1).unwrap();
/// cache.compare_and_swap("k", version, 2).unwrap();
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// The key has no entry: never had one, or it was removed, evicted or has expired.
    Absent,
    /// The key's entry has just this version.
    Version(Version),
}

impl From<Version> for Expected {
    fn from(version: Version) -> Self {
        Expected::Version(version)
    }
}

impl From<Option<Version>> for Expected {
    fn from(version: Option<Version>) -> Self {
        version.map_or(Expected::Absent, Expected::Version)
    }
}

/// What must hold for a write to take place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Condition {
    Always,
    If(Expected),
}

impl Condition {
    /// Does the condition hold for a key in this state?
    #[inline(always)]
    pub(crate) fn holds(self, current: Option<Version>) -> bool {
        match self {
            Condition::Always => true,
            Condition::If(Expected::Absent) => current.is_none(),
            Condition::If(Expected::Version(version)) => current == Some(version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_for_just_their_state() {
        let (one, two) = (Version::new(0, 1), Version::new(0, 2));
        let states = [None, Some(one), Some(two)];
        let held = |condition: Condition| states.map(|state| condition.holds(state));
        assert_eq!(held(Condition::Always), [true, true, true]);
        assert_eq!(held(Condition::If(None.into())), [true, false, false]);
        assert_eq!(held(Condition::If(one.into())), [false, true, false]);
        assert_eq!(held(Condition::If(Some(two).into())), [false, false, true]);
    }
}
