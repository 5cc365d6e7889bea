//! The sequential model: what the cache may answer, given all the calls before.
//!
//! It does not know whom the cache evicts. It is told by the listener or, without one, finds out by a miss; but what is
//! gone stays gone.

use std::collections::BTreeMap;
use std::time::Duration;

use brindle::{Cause, Version};

use crate::input::{Group, Groups};
use crate::ops::call::Setup;

pub struct Model {
    setup: Setup,
    pub now: Duration,
    pub capacity: u64,
    entries: BTreeMap<u8, Entry>,
    pasts: BTreeMap<u8, Past>,
    /// Values that left by a call, of which the listener has still to be told.
    leaving: BTreeMap<usize, (u8, Cause, Entry)>,
    /// What fenced the loads of all keys.
    fences: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub id: usize,
    pub version: Version,
    pub weight: u64,
    groups: Groups,
    /// The write named its source; else it kept the one that was known.
    claimed: bool,
    /// The source that it is known to have reached: its own or, as far as the key's own past goes, the one that it kept.
    reached: u64,
    /// It may have left by the call that is not over: nobody but the cache knows whether it has reached what the call said.
    doubtful: bool,
    due: Option<Duration>,
    /// At the latest: when a read counts as use is the cache's business.
    idle: Option<Duration>,
    /// When it was last known to be there.
    seen: Duration,
}

impl Entry {
    fn is_due(&self, now: Duration) -> bool {
        [self.due, self.idle].into_iter().flatten().any(|due| due <= now)
    }
}

/// What is known of a key for good, entry or not.
#[derive(Default)]
struct Past {
    revision: u64,
    /// Of the last entry but the present one.
    former: Option<Version>,
    highest_source: u64,
    /// The highest source that anybody has said of the key.
    said: u64,
    dead: Option<Dead>,
    /// The last revision that the listener was told of.
    told: Option<u64>,
    /// What fenced its loads.
    fences: u64,
}

/// What a write says of its source version.
#[derive(Clone, Copy, Debug)]
pub enum Claim {
    Nothing,
    /// This is it.
    Written(u64),
    /// It comes from the source itself, fenced, perhaps with a version: so one as new as what is known is welcome, and floors, which may be higher than
    /// what is known of the key, are nothing to it.
    Fetched(Option<u64>),
}

impl Claim {
    fn source(self) -> Option<u64> {
        match self {
            Self::Nothing => None,
            Self::Written(source) => Some(source),
            Self::Fetched(source) => source,
        }
    }

    fn is_fetched(self) -> bool {
        matches!(self, Self::Fetched(_))
    }
}

#[derive(Clone, Copy)]
struct Dead {
    source: u64,
    /// The source itself may still come: it was only evicted or has expired, or what is below it was invalidated.
    revivable: bool,
    since: Duration,
}

impl Model {
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            now: Duration::ZERO,
            capacity: setup.capacity.0,
            entries: BTreeMap::new(),
            pasts: BTreeMap::new(),
            leaving: BTreeMap::new(),
            fences: 0,
        }
    }

    /// The entry that may be served.
    pub fn live(&self, key: u8) -> Option<Entry> {
        self.entries.get(&key).copied().filter(|entry| !entry.is_due(self.now))
    }

    pub fn live_keys(&self) -> Vec<u8> {
        self.entries.keys().copied().filter(|&key| self.live(key).is_some()).collect()
    }

    /// All that takes room, what is due but not yet swept too.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub fn former(&self, key: u8) -> Option<Version> {
        self.pasts.get(&key)?.former
    }

    /// A read found this, or nothing.
    pub fn read(&mut self, key: u8, found: Option<(usize, Option<Version>)>) {
        match (self.live(key), found) {
            (Some(entry), Some((id, version))) => {
                assert_eq!(id, entry.id, "an older value of key {key} was served");
                assert!(version.is_none_or(|version| version == entry.version), "a wrong version");
                self.entry(key).seen = self.now;
            }
            (None, Some((id, _))) => {
                panic!("value {id} of key {key} was served after it had left or expired")
            }
            (Some(_), None) => self.missing(key),
            (None, None) => {}
        }
    }

    /// The entry is not served any more, though nothing here says why.
    fn missing(&mut self, key: u8) {
        if !self.setup.listener {
            self.leave(key, Cause::Evicted);
        } else if self.setup.time_to_idle.is_some() {
            self.entry(key).idle = Some(self.now);
        } else {
            panic!("key {key} is missing, and the listener was not told");
        }
    }

    /// A read that counts as use, if there was something to read.
    pub fn touch(&mut self, key: u8) {
        if self.live(key).is_some() {
            self.entry(key).idle = self.setup.time_to_idle.map(|idle| self.now + idle.0);
        }
    }

    /// A write took effect.
    pub fn wrote(&mut self, key: u8, (id, weight): (usize, u64), version: Version, claim: Claim, ttl: Option<Duration>) {
        // A fetched value in the place of one that has a floor's source is stored at that, if its own is lower.
        let atop = self.live(key).filter(|entry| claim.is_fetched() && self.setup.global && !entry.claimed);
        let atop =
            atop.is_some_and(|entry| entry.version.source() == version.source() && claim.source() < Some(version.source()));
        let claim = if atop { Claim::Fetched(None) } else { claim };
        self.check_version(key, version, claim);
        if let Some(old) = self.live(key) {
            self.leave(key, Cause::Replaced);
            self.past(key).former = Some(old.version);
        } else if self.entries.contains_key(&key) {
            self.leave(key, Cause::Expired);
        }
        self.fence(key);
        let past = self.past(key);
        past.revision = version.revision();
        past.highest_source = past.highest_source.max(version.source());
        past.said = past.said.max(claim.source().unwrap_or(0));
        let reached = claim.source().unwrap_or(past.said.min(version.source()));
        let entry = Entry {
            id,
            version,
            weight: if self.setup.weighted { weight } else { 1 },
            groups: Groups::default(),
            claimed: claim.source().is_some(),
            reached,
            doubtful: false,
            due: ttl.or(self.setup.time_to_live.map(|ttl| ttl.0)).map(|ttl| self.now + ttl),
            idle: self.setup.time_to_idle.map(|idle| self.now + idle.0),
            seen: self.now,
        };
        self.entries.insert(key, entry);
    }

    /// Versions rise; a source is kept or raised; the dead do not come back.
    fn check_version(&mut self, key: u8, version: Version, claim: Claim) {
        let entry = self.live(key);
        let dead = self.remembered(key, claim);
        let replace_equal = self.setup.replace_equal || claim.is_fetched();
        let claim = claim.source();
        let source = version.source();
        assert!(version.revision() > self.past(key).revision, "a revision was not new");
        assert!(claim.is_none_or(|claim| claim == source), "a source was not kept");
        if let Some(entry) = entry {
            assert!(version > entry.version, "{version:?} replaced {:?}", entry.version);
            assert!(
                claim.is_none_or(|claim| claim > entry.version.source() || claim == entry.version.source() && replace_equal),
                "an old write at {claim:?} replaced {:?}",
                entry.version
            );
            assert!(
                claim.is_some() || source == entry.version.source(),
                "{version} after {} of key {key}: a source was made up",
                entry.version
            );
        } else if let Some(dead) = dead {
            assert!(source >= dead.source, "the dead at {} came back as {version:?}", dead.source);
            assert!(
                claim.is_none_or(|claim| claim > dead.source || dead.revivable || replace_equal),
                "the dead at {} came back",
                dead.source
            );
        }
    }

    /// What the cache has promised not to forget yet where such a write is concerned.
    fn remembered(&self, key: u8, claim: Claim) -> Option<Dead> {
        let dead = self.pasts.get(&key)?.dead?;
        let recent = self.now < dead.since + self.setup.tombstone_ttl.0;
        let ample = self.setup.few_tombstones.is_none();
        // One order needs no tombstones but only floors, which hold back whatever is not fetched.
        let kept = if self.setup.global { !claim.is_fetched() } else { recent && ample };
        kept.then_some(dead)
    }

    /// A write at `source` was refused: was there a reason?
    pub fn refused(&mut self, key: u8, source: u64, current: Version) {
        if let Some(entry) = self.live(key) {
            assert!(current >= entry.version, "refused for the sake of {current:?}, which is too low");
        }
        let exact = !self.setup.global && self.setup.few_tombstones.is_none();
        assert!(!exact || source <= self.past(key).highest_source, "a newer write was refused");
        // It says that what is being loaded is old, all the same.
        self.fence(key);
        self.said(key, source);
    }

    /// The key has had this source: an older entry goes.
    fn said(&mut self, key: u8, source: u64) {
        let past = self.past(key);
        past.said = past.said.max(source);
        let Some(entry) = self.live(key) else { return };
        if entry.reached < source {
            self.removed(key);
        } else if self.is_unsure(&entry) {
            self.entry(key).doubtful = true;
        }
    }

    /// May its source be that of a floor, or what is left of one that was forgotten?
    fn is_unsure(&self, entry: &Entry) -> bool {
        !entry.claimed && (self.setup.global || self.setup.few_tombstones.is_some())
    }

    /// `invalidate_at` said whether it took effect.
    pub fn invalidated_at(&mut self, key: u8, source: u64, done: bool) {
        let live = self.live(key);
        let newer = live.is_some_and(|entry| entry.reached >= source);
        let unsure = live.is_some_and(|entry| self.is_unsure(&entry));
        assert!(if done { !newer || unsure } else { newer }, "invalidate_at({source}) of {live:?}: {done}");
        let past = self.past(key);
        past.said = past.said.max(source);
        if done {
            self.removed(key);
            self.bury(key, Dead { source, revivable: true, since: self.now });
        }
    }

    /// The same of a call that does not say so.
    pub fn ended_at(&mut self, key: u8, source: u64) {
        if self.live(key).is_none_or(|entry| entry.reached < source) {
            self.invalidated_at(key, source, true);
        } else {
            self.said(key, source);
        }
    }

    /// The last write of the key put it into groups.
    pub fn joined(&mut self, key: u8, groups: Groups) {
        self.entry(key).groups = groups;
    }

    pub fn members(&self, group: Group) -> Vec<u8> {
        let mut keys = self.live_keys();
        keys.retain(|key| self.entries[key].groups.holds(group));
        keys
    }

    /// How often loads of the key were fenced so far.
    pub fn fences(&self, key: u8) -> u64 {
        self.fences + self.pasts.get(&key).map_or(0, |past| past.fences)
    }

    pub fn fence(&mut self, key: u8) {
        self.past(key).fences += 1;
    }

    pub fn fence_all(&mut self) {
        self.fences += 1;
    }

    /// A call took the entry out, if there was one.
    pub fn removed(&mut self, key: u8) {
        self.fence(key);
        if self.live(key).is_some() {
            self.leave(key, Cause::Invalidated);
        }
    }

    pub fn cleared(&mut self) {
        self.fence_all();
        // Without a listener nobody knows whether an entry had been evicted before.
        let cause = if self.setup.listener { Cause::Cleared } else { Cause::Evicted };
        for key in self.entries.keys().copied().collect::<Vec<_>>() {
            self.leave(key, cause);
        }
    }

    fn leave(&mut self, key: u8, cause: Cause) {
        let Some(entry) = self.entries.remove(&key) else { return };
        self.past(key).former = Some(entry.version);
        let unobserved = matches!(cause, Cause::Evicted | Cause::Expired);
        if cause != Cause::Replaced {
            let since = if unobserved && !self.setup.listener { entry.seen } else { self.now };
            let source = entry.version.source();
            self.bury(key, Dead { source, revivable: unobserved && entry.claimed, since });
        }
        self.leaving.insert(entry.id, (key, cause, entry));
    }

    fn bury(&mut self, key: u8, dead: Dead) {
        let past = self.past(key);
        past.highest_source = past.highest_source.max(dead.source);
        let rank = |dead: Dead| (dead.source, !dead.revivable);
        // An entry without a source leaves no tombstone.
        if dead.source > 0 && past.dead.map(rank) < Some(rank(dead)) {
            past.dead = Some(dead);
        }
    }

    /// The listener was told.
    pub fn told(&mut self, key: u8, id: usize, version: Version, cause: Cause) {
        if !self.leaving.contains_key(&id) {
            let entry = self.entries.get(&key).filter(|entry| entry.id == id).copied();
            let entry = entry.unwrap_or_else(|| panic!("told of value {id} twice, or for nothing"));
            let allowed = match cause {
                Cause::Evicted => true,
                Cause::Expired => self.may_expire(&entry),
                _ => cause == Cause::Invalidated && entry.doubtful,
            };
            assert!(allowed, "value {id}, which nothing took out, was said to be {cause:?}");
            self.leave(key, cause);
        }
        let (of, expected, entry) = self.leaving.remove(&id).expect("it is leaving");
        assert_eq!((key, version), (of, entry.version), "told of value {id} under a wrong name");
        assert!(cause == expected || cause == Cause::Expired && self.may_expire(&entry), "told {cause:?} for {expected:?}");
        if let Some(dead) = &mut self.past(key).dead
            && cause == Cause::Expired
            && dead.source == version.source()
            && entry.claimed
        {
            // It had left by itself before the call that would have ended it.
            dead.revivable = true;
        }
        let told = self.past(key).told.replace(version.revision());
        assert!(told < Some(version.revision()), "told out of order");
    }

    fn may_expire(&self, entry: &Entry) -> bool {
        entry.is_due(self.now) || self.setup.time_to_idle.is_some()
    }

    /// The call is over: the listener should have been told of all that left by it.
    pub fn settle(&mut self) {
        if self.setup.listener {
            assert!(self.leaving.is_empty(), "never told: {:?}", self.leaving.keys());
        }
        self.leaving.clear();
        self.entries.values_mut().for_each(|entry| entry.doubtful = false);
    }

    fn entry(&mut self, key: u8) -> &mut Entry {
        self.entries.get_mut(&key).expect("just looked up")
    }

    fn past(&mut self, key: u8) -> &mut Past {
        self.pasts.entry(key).or_default()
    }
}
