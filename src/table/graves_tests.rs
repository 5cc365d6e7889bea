//! Tests of the tombstones: their bookkeeping, and that what they and the decisions in `rule::tombstone` amount to
//! depends on no order of arrival and brings nothing back.

use super::*;
use crate::rule::tombstone::EqualSource;
use crate::rule::tombstone::admit_source;
use crate::rule::tombstone::admits_invalidation;
use crate::rule::version::Version;
use std::collections::HashMap;

const ORDERINGS: [Ordering; 2] = [Ordering::PerKey, Ordering::Global];
const EITHER: [EqualSource; 2] = [EqualSource::Refuse, EqualSource::Replace];

fn graves(capacity: usize, ttl: u64, ordering: Ordering) -> Graves {
    Graves::new(capacity, ttl, ordering, WhenForgotten::Refuse)
}

const fn at(source: u64) -> Dead {
    Dead::up_to(Version::new(source, 1))
}

const fn floor(source: u64) -> Known {
    Known::Floor(at(source).floor())
}

#[test]
fn nothing_buried_means_nothing_allocated() {
    let mut graves = graves(1000, 10, Ordering::PerKey);
    graves.sweep(100, 10);
    assert_eq!(graves.known(1, 100), Known::Nothing);
    assert_eq!(graves.memory(), 0);
    graves.bury(1, at(1), 100);
    assert!(graves.memory() > 0);
}

#[test]
fn a_grave_keeps_the_highest_version() {
    let mut graves = graves(2, 10, Ordering::PerKey);
    for source in [5, 9, 7] {
        graves.bury(1, at(source), 0);
    }
    assert_eq!(graves.known(1, 0), Known::Buried(at(9)));
    assert_eq!((graves.len(), graves.lost_early()), (1, 0));
}

#[test]
fn what_was_invalidated_does_not_come_back_for_having_been_evicted() {
    let mut graves = graves(1, 10, Ordering::Global);
    let (invalidated, evicted) = (Version::new(5, 1), Version::new(5, 2));
    graves.bury(1, Dead::up_to(invalidated), 0);
    graves.bury(1, Dead::below(evicted), 0);
    assert_eq!(graves.known(1, 0), Known::Buried(Dead::up_to(invalidated)));
    graves.sweep(10, 1);
    graves.bury(1, Dead::below(evicted), 10);
    graves.bury(2, Dead::up_to(evicted), 10);
    assert_eq!(graves.known(1, 10), floor(5));
    assert!(graves.is_empty(), "the floor knows as much");
    graves.bury(1, Dead::below(Version::new(6, 3)), 10);
    graves.sweep(20, 1);
    assert_eq!(graves.known(1, 20), Known::Floor(Dead::below(Version::new(6, 0))));
}

#[test]
fn tombstones_go_by_age_and_a_new_burial_is_a_new_youth() {
    let mut graves = graves(9, 10, Ordering::PerKey);
    graves.bury(1, at(1), 0);
    graves.bury(2, at(2), 5);
    graves.bury(1, at(1), 6);
    graves.sweep(14, 9);
    assert_eq!(graves.len(), 2);
    graves.sweep(15, 9);
    assert_eq!(graves.known(2, 15), Known::Nothing);
    assert_eq!(graves.known(1, 15), Known::Buried(at(1)));
    graves.sweep(16, 9);
    assert_eq!((graves.len(), graves.lost_early()), (0, 0));
    assert!(!graves.is_forgetful(16));
}

#[test]
fn a_sweep_is_bounded() {
    let mut graves = graves(9, 10, Ordering::Global);
    for hash in 0..5 {
        graves.bury(hash, at(hash + 1), 0);
    }
    graves.sweep(10, 3);
    assert_eq!(graves.len(), 2);
    assert_eq!(graves.known(0, 10), floor(3));
}

#[test]
fn in_global_order_the_floor_rises_whenever_a_tombstone_goes() {
    let mut graves = graves(2, 10, Ordering::Global);
    for (hash, source) in [(1, 7), (2, 5), (3, 6)] {
        graves.bury(hash, at(source), 0);
    }
    assert_eq!((graves.len(), graves.lost_early()), (2, 1));
    assert_eq!(graves.known(1, 0), floor(7));
    assert_eq!(graves.known(2, 0), Known::Buried(at(5)));
    graves.sweep(10, 9);
    assert_eq!(graves.known(2, 10), floor(7));
    assert_eq!(graves.lost_early(), 1);
}

#[test]
fn a_burial_below_the_floor_does_not_hide_the_floor() {
    let mut graves = graves(1, 10, Ordering::Global);
    graves.bury(1, at(9), 0);
    graves.bury(2, at(10), 0);
    graves.bury(1, at(5), 0);
    assert_eq!(graves.known(1, 0), floor(9));
    assert_eq!(graves.len(), 1);
}

#[test]
fn in_per_key_order_an_early_loss_makes_the_stripe_forgetful_for_its_rest() {
    let mut graves = graves(1, 10, Ordering::PerKey);
    graves.bury(1, at(9), 3);
    graves.bury(2, at(4), 5);
    assert_eq!(graves.known(1, 12), Known::Forgotten(UNKNOWN));
    assert_eq!(graves.known(2, 12), Known::Forgotten(at(4).version()));
    assert_eq!(graves.known(1, 13), Known::Nothing);
    assert_eq!(graves.known(2, 13), Known::Buried(at(4)));
    assert_eq!(graves.lost_early(), 1);
}

#[test]
fn an_old_tombstone_that_makes_room_is_not_lost_early() {
    let mut graves = graves(1, 10, Ordering::PerKey);
    graves.bury(1, at(9), 0);
    graves.bury(2, at(4), 10);
    assert_eq!(graves.lost_early(), 0);
    assert_eq!(graves.known(1, 10), Known::Nothing);
}

#[test]
fn who_accepts_when_forgotten_is_told_and_not_stopped() {
    let mut graves = Graves::new(1, 10, Ordering::PerKey, WhenForgotten::Accept);
    graves.bury(1, at(9), 0);
    graves.bury(2, at(4), 0);
    assert_eq!(graves.known(1, 5), Known::Nothing);
    assert_eq!(graves.known(2, 5), Known::Buried(at(4)));
    assert!(graves.is_forgetful(5));
    assert!(!graves.is_forgetful(10));
}

#[test]
fn without_capacity_every_burial_is_lost_at_once() {
    let mut global = graves(0, 10, Ordering::Global);
    global.bury(1, at(0), 0);
    assert_eq!(global.known(2, 0), floor(0));
    let mut per_key = graves(0, 10, Ordering::PerKey);
    per_key.bury(1, at(3), 5);
    assert_eq!(per_key.known(2, 14), Known::Forgotten(UNKNOWN));
    assert_eq!(per_key.known(2, 15), Known::Nothing);
    for graves in [global, per_key] {
        assert_eq!((graves.len(), graves.lost_early(), graves.memory()), (0, 1, 0));
    }
}

#[test]
fn without_end_of_life_nothing_goes_by_age() {
    let mut graves = graves(3, u64::MAX, Ordering::PerKey);
    graves.bury(1, at(1), 5);
    graves.sweep(u64::MAX - 1, 9);
    assert_eq!(graves.len(), 1);
}

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Beside the graves, a memory without limits.
#[derive(Default)]
struct Perfect {
    /// By key: every burial, as the lowest source that was still news to it, and the time.
    burials: HashMap<u64, Vec<(u64, u64)>>,
}

impl Perfect {
    /// Whether a write at `source` to `key` must be refused: ever after a burial above it in global order, and for
    /// `ttl` in per-key order.
    fn refuses(&self, key: u64, source: u64, now: u64, graves: &Graves) -> bool {
        let binds =
            |&(news, buried): &(u64, u64)| source < news && (graves.ordering == Ordering::Global || now < buried + graves.ttl);
        self.burials.get(&key).is_some_and(|burials| burials.iter().any(binds))
    }
}

/// Forgetting is careful: whatever must be refused is refused, whatever has been dropped, swept or shared.
fn forgets_carefully(seed: u64, capacity: usize, ordering: Ordering) {
    let mut random = Random(seed);
    let mut graves = graves(capacity, 40, ordering);
    let mut perfect = Perfect::default();
    let mut now = 0;
    for _ in 0..600 {
        now += random.below(4);
        let (key, source) = (random.below(24), random.below(60));
        // Some keys share a hash.
        let hash = key % 16;
        match random.below(4) {
            0 | 1 => {
                // Who read the clock first may come last.
                let then = now.saturating_sub(random.below(6));
                let (dead, news) = match random.below(2) {
                    0 => (at(source), source + 1),
                    _ => (Dead::below(Version::new(source, 2)), source),
                };
                graves.bury(hash, dead, then);
                perfect.burials.entry(key).or_default().push((news, then));
            }
            2 => graves.sweep(now, random.below(4) as usize),
            _ => {
                let admitted = admit_source(None, graves.known(hash, now), source, EqualSource::Refuse).is_ok();
                assert!(!(admitted && perfect.refuses(key, source, now, &graves)), "seed {seed}");
            }
        }
        assert!(graves.len() <= capacity);
        assert!(graves.yard.graves.len() <= capacity);
        assert_eq!(graves.len(), graves.yard.places.len());
    }
}

#[test]
fn forgetting_is_careful() {
    for seed in 1..=300 {
        for capacity in [0, 1, 3, 8, 100] {
            for ordering in ORDERINGS {
                forgets_carefully(seed, capacity, ordering);
            }
        }
    }
}

/// What comes in for a key. A write at one source always brings the same state, or no order could decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Write(u64),
    Invalidate(u64),
}

use Request::Invalidate;
use Request::Write;

const REQUESTS: [Request; 6] = [Write(1), Write(2), Write(3), Invalidate(1), Invalidate(2), Invalidate(3)];

const HASH: u64 = 0xABCD;

/// The smallest stripe there is: one key's entry, or its absence, and the tombstones.
struct Tiny {
    entry: Option<Version>,
    graves: Graves,
    equal: EqualSource,
    revision: u64,
    now: u64,
}

impl Tiny {
    fn new(capacity: usize, ordering: Ordering, equal: EqualSource) -> Self {
        Self { entry: None, graves: graves(capacity, 1_000, ordering), equal, revision: 0, now: 0 }
    }

    fn draw(&mut self, source: u64) -> Version {
        self.revision += 1;
        self.now += 1;
        Version::new(source, self.revision)
    }

    fn apply(&mut self, request: Request) {
        match request {
            Write(source) => {
                let known = self.graves.known(HASH, self.now);
                if admit_source(self.entry, known, source, self.equal).is_ok() {
                    self.entry = Some(self.draw(source));
                }
            }
            Invalidate(source) => {
                if admits_invalidation(self.entry.map(Version::source), source) {
                    self.entry = None;
                    let version = self.draw(source);
                    self.graves.bury(HASH, Dead::below(version), self.now);
                }
            }
        }
    }

    fn evict(&mut self) {
        if let Some(version) = self.entry.take() {
            self.graves.bury(HASH, Dead::below(version), self.now);
        }
    }

    /// The state without its revision, which does depend on arrival: alive at a source, or dead below one.
    fn state(&self) -> Result<u64, u64> {
        match self.entry {
            Some(entry) => Ok(entry.source()),
            None => Err(self.graves.known(HASH, self.now).source()),
        }
    }
}

/// What any order of `requests` must lead to: the highest source decides, and of a write and an invalidation there the write.
fn decided(requests: &[Request]) -> Result<u64, u64> {
    let source = |request: &Request| match *request {
        Write(source) | Invalidate(source) => source,
    };
    let highest = requests.iter().map(source).max().unwrap_or(0);
    if requests.contains(&Write(highest)) { Ok(highest) } else { Err(highest) }
}

/// Calls `check` with every sequence of up to `length` requests: every permutation of every choice, duplicates
/// included.
fn for_all_sequences(length: usize, check: &mut impl FnMut(&[Request])) {
    fn extend(sequence: &mut Vec<Request>, length: usize, check: &mut impl FnMut(&[Request])) {
        check(sequence);
        if sequence.len() < length {
            for request in REQUESTS {
                sequence.push(request);
                extend(sequence, length, check);
                sequence.pop();
            }
        }
    }
    extend(&mut Vec::new(), length, check);
}

#[test]
fn order_decides_not_arrival() {
    for ordering in ORDERINGS {
        for equal in EITHER {
            for_all_sequences(6, &mut |sequence| {
                let mut stripe = Tiny::new(4, ordering, equal);
                sequence.iter().for_each(|&request| stripe.apply(request));
                assert_eq!(stripe.state(), decided(sequence), "{ordering:?} {equal:?} {sequence:?}");
            });
        }
    }
}

#[test]
fn in_global_order_the_floor_alone_decides_as_well() {
    for equal in EITHER {
        for_all_sequences(6, &mut |sequence| {
            let mut stripe = Tiny::new(0, Ordering::Global, equal);
            sequence.iter().for_each(|&request| stripe.apply(request));
            assert_eq!(stripe.state(), decided(sequence), "{equal:?} {sequence:?}");
        });
    }
}

/// Evictions and the burials of other keys may cost the entry, never bring back another one.
#[test]
fn what_gets_in_the_way_costs_a_miss_at_most() {
    for capacity in [0, 1, 4] {
        for ordering in ORDERINGS {
            for equal in EITHER {
                for_all_sequences(4, &mut |sequence| {
                    for moment in 0..=sequence.len() {
                        let mut stripe = Tiny::new(capacity, ordering, equal);
                        for (place, &request) in sequence.iter().enumerate() {
                            if place == moment {
                                stripe.evict();
                                stripe.graves.bury(HASH + 1, at(2), stripe.now);
                                stripe.graves.bury(HASH + 2, at(1), stripe.now);
                            }
                            stripe.apply(request);
                        }
                        if let Some(entry) = stripe.entry {
                            assert_eq!(Ok(entry.source()), decided(sequence), "{ordering:?} {sequence:?}");
                        }
                    }
                });
            }
        }
    }
}
