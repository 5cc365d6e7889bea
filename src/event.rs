//! Plain data that passes between the rooms: what is to be written, why an entry left, what a stripe counted.

use smallvec::SmallVec;

use crate::rule::swap::Condition;
use crate::rule::swap::Expected;
use crate::rule::version::Claim;
use crate::rule::version::Version;

/// Why a value left the cache.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// A newer value of the same key took its place.
    Replaced,
    /// It was removed or invalidated.
    Invalidated,
    /// There was no room for it.
    Evicted,
    /// Its time was up.
    Expired,
    /// The whole cache was cleared.
    Cleared,
}

/// The terms of a write, made ready outside the lock: all that user code has to say of the pair is said. A trait, so that the plain write,
/// as most are, is compiled without all that it does not ask for.
pub(crate) trait Terms {
    fn hash(&self) -> u64;

    /// What is not plain, if anything.
    fn special(&self) -> Option<&Special>;

    #[inline(always)]
    fn weight(&self) -> u64 {
        self.special().map_or(1, |special| special.weight)
    }

    #[inline(always)]
    fn claim(&self) -> Claim {
        self.special().map_or(Claim::Unversioned, |special| special.claim)
    }

    /// Does a load bring it?
    fn is_leased(&self) -> bool;

    /// The time for which they were worked out, if time matters.
    #[inline(always)]
    fn now(&self) -> Option<u64> {
        self.special().and_then(|special| special.now)
    }

    /// Must it stay until it is released?
    #[inline(always)]
    fn is_held(&self) -> bool {
        self.special().is_some_and(|special| special.held)
    }

    /// Does the policy get to know it?
    #[inline(always)]
    fn is_evictable(&self) -> bool {
        self.special().is_none_or(|special| special.weight > 0 && !special.held)
    }

    /// The groups that the entry will be in.
    #[inline(always)]
    fn groups(&self) -> &[u64] {
        self.special().map_or(&[], |special| &special.groups)
    }
}

/// The terms of a write that asks for nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain {
    pub(crate) hash: u64,
    pub(crate) leased: bool,
}

impl Terms for Plain {
    #[inline(always)]
    fn hash(&self) -> u64 {
        self.hash
    }

    #[inline(always)]
    fn special(&self) -> Option<&Special> {
        None
    }

    #[inline(always)]
    fn is_leased(&self) -> bool {
        self.leased
    }
}

/// The terms of a write that may ask for anything.
#[derive(Clone, Debug)]
pub(crate) struct Special {
    pub(crate) hash: u64,
    /// The time for which they were worked out, if time matters.
    pub(crate) now: Option<u64>,
    pub(crate) weight: u64,
    /// When it expires as things are, when it does at the latest, and when it does if it is never read; `NEVER` for not at all.
    pub(crate) due: u64,
    pub(crate) last: u64,
    pub(crate) idle: u64,
    pub(crate) refresh: Refresh,
    /// Keep deadlines for it even if it has none now: reads may set them.
    pub(crate) timed: bool,
    pub(crate) claim: Claim,
    pub(crate) condition: Condition,
    /// A load brought it, whose lease protects it from what came in between: only older sources refuse it.
    pub(crate) leased: bool,
    /// The state that `due` was worked out for, where that matters: another state refuses the write.
    pub(crate) assumed: Option<Option<Version>>,
    /// Refuse the write if the value weighs more than the cache may, instead of taking it in and out.
    pub(crate) refuse_heavy: bool,
    /// Keep the entry, whatever its deadlines and whoever needs room, until it is released.
    pub(crate) held: bool,
    /// The groups that the entry will be in, each once.
    pub(crate) groups: SmallVec<[u64; 2]>,
}

impl Terms for Special {
    #[inline(always)]
    fn hash(&self) -> u64 {
        self.hash
    }

    #[inline(always)]
    fn special(&self) -> Option<&Special> {
        Some(self)
    }

    #[inline(always)]
    fn is_leased(&self) -> bool {
        self.leased
    }
}

/// What a transaction wants of one key.
pub(crate) struct Wanted {
    pub(crate) hash: u64,
    /// The states in which it wants to find the key: all must hold.
    pub(crate) expected: SmallVec<[Expected; 1]>,
    /// The first source that it says a state of the key has, which must be news, and the last one, which is not older.
    pub(crate) first_said: Option<u64>,
    pub(crate) said: Option<u64>,
    /// Every state of the key below this source is dead.
    pub(crate) below: Option<u64>,
    pub(crate) end: End,
}

/// What becomes of a key.
pub(crate) enum End {
    /// It stays as it is, but for what is declared dead.
    Stays,
    Gone,
    Written(Special),
}

impl Wanted {
    /// Does it change the key, or end what may be there?
    pub(crate) fn touches(&self) -> bool {
        self.below.is_some() || !matches!(self.end, End::Stays)
    }

    /// The source that must be news, unless that is asked of what is written.
    pub(crate) fn said_before(&self) -> Option<u64> {
        match &self.end {
            End::Written(Special { claim: Claim::At(source), .. }) if self.first_said == Some(*source) => None,
            _ => self.first_said,
        }
    }

    /// What the last written value can claim that nobody gave a source.
    pub(crate) fn inherited(&self) -> Claim {
        self.said.max(self.below).map_or(Claim::Unversioned, Claim::Atop)
    }
}

/// When an entry wants to be loaded again, and how long its load took, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refresh {
    pub(crate) at: u64,
    pub(crate) took: u64,
}

/// What the moment of a call adds to a stripe's fixed settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: u64,
    pub(crate) capacity: u64,
}

/// What a stripe has counted since the cache was built.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) inserts: u64,
    pub(crate) replaced: u64,
    pub(crate) invalidated: u64,
    pub(crate) evicted: u64,
    pub(crate) expired: u64,
    pub(crate) cleared: u64,
    pub(crate) refused_stale: u64,
    pub(crate) loads_older: u64,
    pub(crate) load_timeouts: u64,
}

impl Counts {
    pub(crate) fn left(&mut self, cause: Cause) {
        *match cause {
            Cause::Replaced => &mut self.replaced,
            Cause::Invalidated => &mut self.invalidated,
            Cause::Evicted => &mut self.evicted,
            Cause::Expired => &mut self.expired,
            Cause::Cleared => &mut self.cleared,
        } += 1;
    }
}
