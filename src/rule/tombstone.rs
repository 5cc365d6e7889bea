//! Which source-versioned writes and invalidations are still news, given what is known of their key.
//! Pure decisions: no clock, no lock, no value.

use crate::rule::version::Version;

/// How source versions of different keys relate to each other.
///
/// ```
/// use brindle::Ordering;
///
/// assert_eq!(Ordering::default(), Ordering::PerKey);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ordering {
    /// Each key has its own counter (a row version): sources of different keys cannot be compared.
    ///
    /// Late writes are refused as long as the key's tombstone lives, that is, if they lag by no more than the
    /// tombstones' time to live. [`WhenForgotten`] says what happens where the tombstone budget overflows sooner.
    #[default]
    PerKey,
    /// One order over all keys (a snapshot's log sequence number, a commit timestamp).
    ///
    /// Late writes are refused for ever in bounded memory: a tombstone that goes leaves its source behind as a
    /// floor, and absent keys without a tombstone of their own accept only sources above the floor. A write of one
    /// key may so be refused because of another key's tombstone, which costs a miss and no more.
    Global,
}

/// Whether a write whose source equals what is known of the key is news.
///
/// What is known is the present entry's source or, of an absent key, the one that it had when it was removed. An invalidation
/// [at](crate::Cache::invalidate_at) some source is about the states below it, and stands in the way of none at it.
///
/// ```
/// use brindle::EqualSource;
///
/// assert_eq!(EqualSource::default(), EqualSource::Refuse);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EqualSource {
    /// The write is old news: the source of truth gives every state a source of its own.
    #[default]
    Refuse,
    /// The write takes effect: several states may share one source, and the last to arrive stays.
    Replace,
}

/// What becomes of a source-versioned write to an absent key after a tombstone had to go before its time, under
/// [`Ordering::PerKey`].
///
/// ```
/// use brindle::WhenForgotten;
///
/// assert_eq!(WhenForgotten::default(), WhenForgotten::Refuse);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WhenForgotten {
    /// It is refused until the lost tombstone would have gone anyway: nothing of what that kept out comes back. Loads go on
    /// filling the cache. What is refused meanwhile fences, and leaves no tombstone of its own: of two such writes that both come late,
    /// the older may be taken if it is the one that comes after that time.
    #[default]
    Refuse,
    /// It is accepted: a write that comes late may bring back what was invalidated.
    Accept,
}

/// How far an absent key is known to be dead. The greater of two is dead further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Dead {
    // The fields are in the order in which they decide which of two is greater.
    source: u64,
    extent: Extent,
    revision: u64,
}

/// Whether the source itself is dead too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Extent {
    Below,
    UpTo,
    /// It is even where several states share a source: the last of them was written over.
    Over,
}

impl Dead {
    /// Dead at and below `version`: it was invalidated or removed, and its source may not write it again.
    pub(crate) const fn up_to(version: Version) -> Self {
        Self::new(version, Extent::UpTo)
    }

    /// Dead at and below `version`, of a state that only inherited its source from an earlier one: that earlier one was written over, and
    /// must not come back.
    pub(crate) const fn over(version: Version) -> Self {
        Self::new(version, Extent::Over)
    }

    /// Dead below `version`, which left the cache though nothing newer is known, and so may come back.
    pub(crate) const fn below(version: Version) -> Self {
        Self::new(version, Extent::Below)
    }

    const fn new(version: Version, extent: Extent) -> Self {
        Self { source: version.source(), extent, revision: version.revision() }
    }

    /// The same as a floor: without the revision, which says nothing of other keys.
    pub(crate) const fn floor(self) -> Self {
        Self { revision: 0, ..self }
    }

    /// Is it no more than a floor, which may be of another key?
    pub(crate) const fn is_floor(self) -> bool {
        self.revision == 0
    }

    /// The version up to or below which the key is dead.
    pub(crate) const fn version(self) -> Version {
        Version::new(self.source, self.revision)
    }

    /// Whether a write at `source` is news to the dead.
    fn admits(self, source: u64, equal: EqualSource) -> bool {
        let may_equal = match self.extent {
            Extent::Below => true,
            Extent::UpTo => equal == EqualSource::Replace,
            Extent::Over => false,
        };
        source > self.source || (source == self.source && may_equal)
    }
}

/// What is known of the past of an absent key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing: it was never seen, or so long ago that no write can still be on its way.
    Nothing,
    /// It is dead so far.
    Buried(Dead),
    /// It may be dead so far: a tombstone now gone left this behind, its own or another key's.
    Floor(Dead),
    /// It may have been buried at any version, for a tombstone is gone before its time; at this one at least
    /// ([`UNKNOWN`] if none is left).
    Forgotten(Version),
}

impl Known {
    /// The same, were this death known too.
    pub(crate) fn with(self, dead: Dead) -> Self {
        match self {
            Self::Nothing => Self::Buried(dead),
            Self::Buried(other) => Self::Buried(other.max(dead)),
            // A floor stands for every death at or below it.
            Self::Floor(floor) if dead.floor() <= floor => self,
            Self::Floor(_) if dead.is_floor() => Self::Floor(dead),
            Self::Floor(_) => Self::Buried(dead),
            Self::Forgotten(least) => Self::Forgotten(least.max(dead.version())),
        }
    }

    /// The highest source that is known, which a write without a source version keeps. 0 if none is.
    pub(crate) const fn source(self) -> u64 {
        match self {
            Self::Buried(dead) | Self::Floor(dead) => dead.source,
            Self::Forgotten(version) => version.source(),
            Self::Nothing => 0,
        }
    }
}

/// What a refused writer is told where no version is known. No state has it, for revisions start at 1.
pub(crate) const UNKNOWN: Version = Version::new(0, 0);

/// Whether a write at `source` is newer than the present entry (`current`) or, if there is none, than what is
/// `known`. Refusing, it tells the version that stands in the way; [`UNKNOWN`], or one that is too low, if that has
/// been forgotten.
pub(crate) fn admit_source(current: Option<Version>, known: Known, source: u64, equal: EqualSource) -> Result<(), Version> {
    if let Some(current) = current {
        let replaces = source == current.source() && equal == EqualSource::Replace;
        return admit(replaces || source > current.source(), current);
    }
    match known {
        Known::Nothing => Ok(()),
        Known::Buried(dead) | Known::Floor(dead) => admit(dead.admits(source, equal), dead.version()),
        Known::Forgotten(least) => Err(least),
    }
}

/// Whether an invalidation at `source` has anything to say of a key whose present entry is known to have `reached` a source: it kills
/// what is older, and then the key is dead below `source`. An entry at `source` or above stands for all that came before it, and stays.
pub(crate) fn admits_invalidation(reached: Option<u64>, source: u64) -> bool {
    reached.is_none_or(|reached| reached < source)
}

fn admit(yes: bool, otherwise: Version) -> Result<(), Version> {
    if yes { Ok(()) } else { Err(otherwise) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_5: Version = Version::new(5, 9);
    const EITHER: [EqualSource; 2] = [EqualSource::Refuse, EqualSource::Replace];

    #[test]
    fn a_newer_write_replaces_and_an_older_one_does_not() {
        for equal in EITHER {
            assert_eq!(admit_source(Some(AT_5), Known::Nothing, 6, equal), Ok(()));
            assert_eq!(admit_source(Some(AT_5), Known::Nothing, 4, equal), Err(AT_5));
        }
    }

    #[test]
    fn the_policy_decides_between_equal_writes() {
        let write = |equal| admit_source(Some(AT_5), Known::Nothing, 5, equal);
        assert_eq!(write(EqualSource::Refuse), Err(AT_5));
        assert_eq!(write(EqualSource::Replace), Ok(()));
    }

    #[test]
    fn only_a_newer_write_raises_the_dead() {
        let dead = Dead::up_to(AT_5);
        for known in [Known::Buried(dead), Known::Floor(dead)] {
            for equal in EITHER {
                assert_eq!(admit_source(None, known, 4, equal), Err(AT_5));
                assert_eq!(admit_source(None, known, 6, equal), Ok(()));
            }
            assert_eq!(admit_source(None, known, 5, EqualSource::Refuse), Err(AT_5));
            assert_eq!(admit_source(None, known, 5, EqualSource::Replace), Ok(()));
        }
    }

    #[test]
    fn what_only_left_may_come_back() {
        let known = Known::Buried(Dead::below(AT_5));
        for equal in EITHER {
            assert_eq!(admit_source(None, known, 4, equal), Err(AT_5));
            assert_eq!(admit_source(None, known, 5, equal), Ok(()));
        }
    }

    #[test]
    fn the_source_decides_who_is_dead_further() {
        let (older, newer) = (Version::new(5, 1), Version::new(6, 0));
        assert!(Dead::below(older) < Dead::below(AT_5));
        assert!(Dead::below(AT_5) < Dead::up_to(older));
        assert!(Dead::up_to(AT_5) < Dead::below(newer));
        assert_eq!(Dead::up_to(AT_5).floor(), Dead::up_to(Version::new(5, 0)));
    }

    #[test]
    fn a_present_entry_speaks_for_itself() {
        for known in [Known::Buried(Dead::up_to(Version::new(8, 1))), Known::Forgotten(UNKNOWN)] {
            assert_eq!(admit_source(Some(AT_5), known, 6, EqualSource::Refuse), Ok(()));
        }
    }

    #[test]
    fn the_forgotten_refuse_everything_and_the_unknown_nothing() {
        for source in [0, u64::MAX] {
            for least in [UNKNOWN, AT_5] {
                let known = Known::Forgotten(least);
                assert_eq!(admit_source(None, known, source, EqualSource::Replace), Err(least));
            }
            assert_eq!(admit_source(None, Known::Nothing, source, EqualSource::Refuse), Ok(()));
        }
    }

    #[test]
    fn an_invalidation_kills_what_is_below_it() {
        assert!(!admits_invalidation(Some(5), 4));
        assert!(!admits_invalidation(Some(5), 5));
        assert!(admits_invalidation(Some(5), 6));
        assert!(admits_invalidation(None, 0));
    }

    #[test]
    fn one_more_death_is_known() {
        let (older, newer) = (Dead::up_to(Version::new(4, 1)), Dead::up_to(Version::new(6, 1)));
        let known = Dead::up_to(AT_5);
        assert_eq!(Known::Nothing.with(older), Known::Buried(older));
        assert_eq!(Known::Buried(known).with(older), Known::Buried(known));
        assert_eq!(Known::Buried(known).with(newer), Known::Buried(newer));
        assert_eq!(Known::Floor(known.floor()).with(older), Known::Floor(known.floor()));
        assert_eq!(Known::Floor(known.floor()).with(newer), Known::Buried(newer));
        assert_eq!(Known::Forgotten(UNKNOWN).with(newer), Known::Forgotten(newer.version()));
    }

    #[test]
    fn the_highest_known_source() {
        assert_eq!(Known::Buried(Dead::below(AT_5)).source(), 5);
        assert_eq!(Known::Floor(Dead::up_to(AT_5)).source(), 5);
        assert_eq!(Known::Nothing.source(), 0);
        assert_eq!(Known::Forgotten(AT_5).source(), 5);
        assert_eq!(Known::Forgotten(UNKNOWN).source(), 0);
    }
}
