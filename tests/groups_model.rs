//! Groups against a model: whatever is done to the cache, in any order, an invalidation takes out just those entries that the model has in the
//! group. And loads, held by their leases, are refused just when a group of what they bring was invalidated since they began.

mod common;
mod grouped;

use std::collections::BTreeSet;
use std::collections::HashMap;

use brindle::Cache;
use brindle::Clock;
use brindle::Expected;
use brindle::Lease;
use brindle::Leased;
use brindle::MockClock;
use brindle::Op;
use brindle::WhyUnfilled;

use common::Rng;
use common::watched;
use grouped::GROUPS;
use grouped::Numbers;
use grouped::groups_of;
use grouped::twice;
use grouped::value;

const KEYS: u64 = 48;
/// Besides those that values name: groups that writes name.
const NAMED: u64 = 4;
const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

struct Entry {
    value: u64,
    groups: BTreeSet<u64>,
}

struct Model {
    cache: Numbers,
    hand: MockClock,
    entries: HashMap<u64, Entry>,
    /// Those that have expired, and may lie about.
    expired: HashMap<u64, Entry>,
    rng: Rng,
    written: u64,
    /// Entries may leave by themselves.
    evicts: bool,
}

impl Model {
    fn new(seed: u64, stripes: usize, capacity: u64) -> Self {
        let (clock, hand) = Clock::mock();
        let builder = Cache::builder().max_capacity(capacity).stripes(stripes).clock(clock);
        let builder = builder.time_to_live(SECOND * 100).group_by(|_, value| groups_of(*value));
        let cache = builder.build().unwrap();
        let (entries, expired) = (HashMap::new(), HashMap::new());
        Model { cache, hand, entries, expired, rng: Rng::new(seed), written: 0, evicts: capacity < KEYS }
    }

    fn key(&mut self) -> u64 {
        self.rng.below(KEYS)
    }

    /// A new value, in some groups.
    fn value(&mut self) -> u64 {
        self.written += 1;
        let groups: Vec<u64> = (0..self.rng.below(4)).map(|_| self.rng.below(GROUPS)).collect();
        if self.rng.below(4) == 0 { twice(self.written, &groups) } else { value(self.written, &groups) }
    }

    fn named(&mut self) -> Vec<u64> {
        (0..self.rng.below(3)).map(|_| GROUPS + self.rng.below(NAMED)).collect()
    }

    fn put(&mut self, key: u64, value: u64, named: &[u64]) {
        let groups = groups_of(value).into_iter().chain(named.iter().copied()).collect();
        self.entries.insert(key, Entry { value, groups });
    }

    /// Forgets what has left by itself, and nothing else may have.
    fn settle(&mut self) {
        let cache = &self.cache;
        if self.evicts {
            self.entries.retain(|key, _| cache.contains_key(key));
        }
        for key in 0..KEYS {
            assert_eq!(cache.peek(&key), self.entries.get(&key).map(|entry| entry.value), "key {key}");
        }
    }

    fn members(&self, group: u64) -> usize {
        self.entries.values().filter(|entry| entry.groups.contains(&group)).count()
    }

    fn leave(&mut self, group: u64) {
        self.entries.retain(|_, entry| !entry.groups.contains(&group));
    }

    fn invalidate_group(&mut self) {
        self.settle();
        let group = self.rng.below(GROUPS + NAMED + 1);
        let (alive, taken) = (self.members(group), self.cache.invalidate_group(&group));
        let expired = self.expired.values().filter(|entry| entry.groups.contains(&group)).count();
        assert!((alive..=alive + expired).contains(&taken), "{taken} members of {group}: {alive} alive, {expired} expired");
        self.leave(group);
        self.settle();
    }

    fn write(&mut self, how: u64) {
        let (key, value) = (self.key(), self.value());
        let mut named = Vec::new();
        match how {
            0 => _ = self.cache.insert(key, value),
            1 => {
                named = self.named();
                self.cache.insert_in_groups(key, value, &named);
            }
            2 => _ = self.cache.entry(key).and_compute_with(|_| Op::Put(value)),
            3 => {
                let version = self.cache.get_ref(&key).map(|entry| entry.version());
                self.cache.compare_and_swap(key, version, value).unwrap();
            }
            4 => _ = self.cache.refresh(&key, || value),
            _ => {
                // In this order: what a write evicts is not hit here.
                self.settle();
                if self.cache.get_with(&key, || value) != value {
                    return;
                }
            }
        }
        self.put(key, value, &named);
    }

    fn take_out(&mut self, how: u64) {
        let key = self.key();
        match how {
            0 => _ = self.cache.remove(&key),
            1 => _ = self.cache.invalidate(&key),
            2 => _ = self.cache.entry(key).and_compute_with(|_| Op::Remove),
            3 => {
                let (third, all) = (self.rng.below(3), self.rng.below(20) == 0);
                let keep = |key: u64| !all && key % 3 != third;
                self.cache.retain(|key, _| keep(*key));
                self.entries.retain(|key, _| keep(*key));
            }
            4 if self.rng.below(10) == 0 => {
                self.cache.clear();
                self.entries.clear();
            }
            _ if self.rng.below(20) == 0 => {
                // All expire, and lie about until something drops them.
                self.hand.advance(SECOND * 101);
                self.expired = std::mem::take(&mut self.entries);
            }
            _ => (),
        }
        if how < 3 {
            self.entries.remove(&key);
        }
    }

    fn change_nothing(&mut self) {
        let (key, value) = (self.key(), self.value());
        if self.entries.contains_key(&key) && self.cache.contains_key(&key) {
            assert!(self.cache.compare_and_swap(key, Expected::Absent, value).is_err());
            assert!(self.cache.insert_if_absent(key, value).is_err());
        }
        assert!(self.cache.try_refresh(&key, || Err(())).is_err());
        _ = self.cache.entry(key).and_compute_with(|_| Op::Keep);
        let failed = self.cache.try_transaction(|t| {
            t.insert(key, value);
            t.invalidate_group(&0_u64);
            Err::<(), _>(())
        });
        assert!(failed.is_err());
    }

    fn transact(&mut self) {
        let [one, other, third] = [self.key(), self.key(), self.key()];
        let (first, second, named) = (self.value(), self.value(), self.named());
        let group = self.rng.below(GROUPS + NAMED);
        let transaction = self.cache.transaction(|t| {
            t.remove(&third);
            t.invalidate_group(&group);
            t.insert(one, first);
            t.insert_in_groups(other, second, &named);
        });
        transaction.unwrap();
        self.leave(group);
        self.entries.remove(&third);
        self.put(one, first, &[]);
        self.put(other, second, &named);
    }

    fn step(&mut self) {
        match self.rng.below(20) {
            0..8 => {
                let how = self.rng.below(6);
                self.write(how);
            }
            8..12 => {
                let how = self.rng.below(6);
                self.take_out(how);
            }
            12 | 13 => self.change_nothing(),
            14 | 15 => self.transact(),
            _ => self.invalidate_group(),
        }
    }
}

#[test]
fn an_invalidation_takes_out_just_the_members() {
    watched(|| {
        for (seed, (stripes, capacity)) in [(1, 1_000), (8, 1_000), (1, 16), (4, 16), (2, 30)].into_iter().enumerate() {
            let mut model = Model::new(seed as u64 + 1, stripes, capacity);
            (0..6_000).for_each(|_| model.step());
            assert_eq!(model.cache.stats().flights, 0);
        }
    });
}

/// A load that is under way.
struct Open {
    key: u64,
    lease: Lease<u64, u64>,
    /// Groups that were invalidated since it began.
    since: BTreeSet<u64>,
    fenced: bool,
}

struct Loads {
    model: Model,
    open: Vec<Open>,
}

impl Loads {
    fn begin(&mut self) {
        let key = self.model.key();
        if self.open.iter().any(|open| open.key == key && !open.fenced) || self.model.cache.contains_key(&key) {
            return;
        }
        let Leased::Lease(lease) = self.model.cache.get_or_lease(&key, None) else { panic!("no lease of {key}") };
        self.open.push(Open { key, lease, since: BTreeSet::new(), fenced: false });
    }

    fn invalidate(&mut self, group: u64) {
        assert_eq!(self.model.cache.invalidate_group(&group), self.model.members(group), "members of {group}");
        self.model.leave(group);
        for open in &mut self.open {
            open.since.insert(group);
        }
    }

    fn write(&mut self) {
        let (key, value, named) = (self.model.key(), self.model.value(), self.model.named());
        self.model.cache.insert_in_groups(key, value, &named);
        self.model.put(key, value, &named);
        self.fence(key);
    }

    fn remove(&mut self) {
        let key = self.model.key();
        self.model.cache.invalidate(&key);
        self.model.entries.remove(&key);
        self.fence(key);
    }

    fn fence(&mut self, key: u64) {
        self.open.iter_mut().filter(|open| open.key == key).for_each(|open| open.fenced = true);
    }

    fn end(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let at = self.model.rng.below(self.open.len() as u64) as usize;
        let Open { key, lease, since, fenced } = self.open.swap_remove(at);
        if self.model.rng.below(5) == 0 {
            return drop(lease);
        }
        let value = self.model.value();
        let refused = fenced || groups_of(value).iter().any(|group| since.contains(group));
        match lease.fill(value) {
            Ok(_) => {
                assert!(!refused, "{value:b} of key {key} was stored: fenced {fenced}, invalidated since {since:?}");
                self.model.put(key, value, &[]);
            }
            Err(unfilled) => {
                assert!(refused, "{value:b} of key {key} was refused: invalidated since {since:?}");
                assert_eq!((unfilled.value, unfilled.why), (value, WhyUnfilled::Fenced));
            }
        }
    }

    fn step(&mut self) {
        match self.model.rng.below(16) {
            0..6 => self.begin(),
            6..11 => self.end(),
            11 => self.write(),
            12 => self.remove(),
            _ => {
                let group = self.model.rng.below(GROUPS + NAMED);
                self.invalidate(group);
            }
        }
        self.model.settle();
    }
}

#[test]
fn a_load_is_refused_just_when_one_of_its_groups_was_invalidated() {
    watched(|| {
        for (seed, stripes) in [1, 2, 16].into_iter().enumerate() {
            let mut loads = Loads { model: Model::new(seed as u64 + 11, stripes, 1_000), open: Vec::new() };
            (0..8_000).for_each(|_| loads.step());
            loads.open.clear();
            assert_eq!(loads.model.cache.stats().flights, 0);
            assert!(loads.model.cache.stats().fenced > 100);
        }
    });
}
