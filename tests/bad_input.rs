//! Senseless choices, keys and values of bad manners, code that comes back into the cache from everywhere.

#![allow(dropping_copy_types, clippy::type_complexity, reason = "what a call answers is often not the point here")]

mod common;
mod harness;

use std::cell::Cell;
use std::cell::RefCell;
use std::hash::BuildHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use brindle::BuildError;
use brindle::Cache;
use brindle::Cause;
use brindle::Clock;
use brindle::EntryRef;
use brindle::EqualSource;
use brindle::Expected;
use brindle::Expiry;
use brindle::Op;
use brindle::Removed;
use brindle::TimeSource;
use brindle::WhenForgotten;

use harness::Ledger;
use harness::Random;
use harness::planned;
use harness::planned_in_drop;
use harness::survives;
use harness::watched;

#[track_caller]
fn whole<K: Hash + Eq, V, S: BuildHasher>(cache: &Cache<K, V, S>, weigh: impl Fn(&EntryRef<K, V>) -> u64) {
    let entries: Vec<_> = cache.iter().collect();
    assert_eq!(cache.len(), entries.len());
    assert_eq!(cache.weight(), entries.iter().map(weigh).sum::<u64>());
    assert!(cache.weight() <= cache.capacity());
}

// Choices.

#[test]
fn zero_stripes_are_refused_with_advice() {
    let error = Cache::<u64, u64>::builder().stripes(0).build().unwrap_err();
    assert_eq!(error, BuildError::NoStripes);
    let boxed: Box<dyn std::error::Error + Send + Sync> = Box::new(error);
    assert!(boxed.to_string().contains("one or more"), "{boxed}");
}

#[test]
fn too_many_stripes_are_refused_with_the_limit() {
    for stripes in [65_537, usize::MAX / 2, usize::MAX] {
        let error = Cache::<u64, u64>::builder().max_capacity(10).stripes(stripes).build().unwrap_err();
        let BuildError::TooManyStripes(most) = error else { panic!("{error:?}") };
        assert!(error.to_string().contains(&most.to_string()), "{error}");
        assert!(most < stripes);
    }
}

#[test]
fn more_stripes_than_entries() {
    watched(|| {
        for (capacity, stripes) in [(1, 64), (3, 64), (10, 1024), (7, 5)] {
            let cache = Cache::builder().max_capacity(capacity).stripes(stripes).build().unwrap();
            for key in 0..2_000_u64 {
                cache.insert(key, key);
                assert!(cache.weight() <= capacity);
                assert!(cache.get(&key).is_none_or(|value| value == key));
            }
            whole(&cache, |_| 1);
            assert_eq!(cache.len() as u64, capacity, "{stripes} stripes");
        }
    });
}

#[test]
fn capacities_from_nothing_to_everything() {
    watched(|| {
        let none = Cache::new(0);
        assert!((0..500).all(|key| none.insert(key, key).revision() > 0 && none.get(&key).is_none() && none.is_empty()));
        assert!(none.try_insert(1, 1).is_err());
        let light = Cache::builder().max_capacity(0).weigher(|_, weight: &u64| *weight).build().unwrap();
        light.insert(1, 0);
        assert_eq!(light.get(&1), Some(0), "what weighs nothing fits everywhere");
        let one = Cache::new(1);
        for key in 0..500 {
            one.insert(key, key);
            assert_eq!(one.len(), 1);
        }
        for most in [u64::MAX, u64::MAX - 1, 1 << 56, (1 << 56) + 1] {
            let all = Cache::builder().max_capacity(most).weigher(|_, weight: &u64| *weight).build().unwrap();
            all.insert(1, (1 << 56) - 1);
            all.insert(2, 1);
            assert_eq!((all.len(), all.weight()), (2, 1 << 56));
            all.insert(3, 1 << 55);
            assert!(all.weight() <= all.capacity());
            whole(&all, |entry| **entry);
            all.set_capacity(u64::MAX);
            all.set_capacity(0);
            assert_eq!((all.len(), all.weight()), (0, 0));
        }
    });
}

// Weighers.

#[test]
fn a_weigher_that_says_the_maximum() {
    watched(|| {
        let left = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&left);
        let cache = Cache::builder().max_capacity(100).stripes(4).weigher(|_, weight: &u64| *weight);
        let cache = cache.removal_listener(move |removed| heard.lock().unwrap().push((*removed.value(), removed.cause())));
        let cache = cache.build().unwrap();
        for round in 0..200_u64 {
            cache.insert(round % 3, 10);
            cache.insert(round % 3, u64::MAX);
            assert_eq!(cache.get(&(round % 3)), None, "the heavy value took effect: what was there is gone");
            let refused = cache.try_insert(round % 3, u64::MAX).unwrap_err();
            assert_eq!((refused.weight, refused.value, refused.capacity), (u64::MAX, u64::MAX, 100));
            assert!(cache.insert_if_absent(round % 3, u64::MAX).is_ok());
            whole(&cache, |entry| **entry);
        }
        assert_eq!(cache.weight(), 0);
        let left = left.lock().unwrap();
        let count = |wanted| left.iter().filter(|&&heard| heard == wanted).count();
        assert_eq!(count((u64::MAX, Cause::Evicted)), 400);
        assert_eq!(count((10, Cause::Replaced)), 200);
    });
}

#[test]
fn a_weigher_that_panics_every_other_time() {
    watched(|| {
        for n in 1..6 {
            let calls = AtomicU64::new(0);
            let cache = Cache::builder().max_capacity(50).stripes(2).weigher(move |_: &u64, weight: &u64| {
                if calls.fetch_add(1, SeqCst) % n == n - 1 {
                    planned();
                }
                *weight
            });
            let cache = cache.build().unwrap();
            let mut random = Random(n);
            for _ in 0..1_000 {
                let (key, weight) = (random.below(40), random.below(8));
                let before = cache.get(&key);
                if survives(|| cache.insert(key, weight)).is_none() {
                    assert_eq!(cache.get(&key), before, "a write that panicked changed something");
                }
                survives(|| cache.entry(key).and_compute_with(|entry| Op::Put(entry.map_or(1, |weight| (**weight + 1) % 9))));
                whole(&cache, |entry| **entry);
            }
        }
    });
}

// Hashers and keys.

#[derive(Clone, Default)]
struct Constant(u64);

impl BuildHasher for Constant {
    type Hasher = Stuck;

    fn build_hasher(&self) -> Stuck {
        Stuck(self.0)
    }
}

struct Stuck(u64);

impl Hasher for Stuck {
    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[test]
fn a_hasher_that_knows_one_number() {
    watched(|| {
        for hash in [0, u64::MAX, 0x0000_8000_0001_0000] {
            let cache = Cache::builder().max_capacity(700).hasher(Constant(hash)).build().unwrap();
            for key in 0..1_500_u64 {
                cache.insert(key, key);
            }
            whole(&cache, |_| 1);
            assert_eq!(cache.len(), 700);
            let there: Vec<u64> = cache.iter().map(|entry| *entry).collect();
            assert!(there.iter().all(|key| cache.get(key) == Some(*key)));
            for key in there.iter().step_by(2) {
                assert_eq!(cache.remove(key), Some(*key));
                assert_eq!(cache.remove(key), None);
            }
            assert!(there.iter().skip(1).step_by(2).all(|key| cache.get(key) == Some(*key)));
            cache.clear();
            assert!(there.iter().all(|key| cache.get(key).is_none()));
            // All keys share one tombstone: one may be refused for the other's sake, and no more.
            assert!(cache.invalidate_at(&1, 7));
            assert!(cache.insert_at(2, 2, 6).is_err());
            assert!(cache.insert_at(2, 2, 7).is_ok());
            assert!(cache.insert_at(1, 1, 6).is_err());
            assert_eq!((cache.get(&1), cache.get(&2)), (None, Some(2)));
            whole(&cache, |_| 1);
        }
    });
}

thread_local! {
    /// The key's `Eq` and `Hash` panic at this call from now on, and again; zero: they do not.
    static EQ_PANICS: Cell<u64> = const { Cell::new(0) };
    static HASH_PANICS: Cell<u64> = const { Cell::new(0) };
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn arm(which: &'static thread::LocalKey<Cell<u64>>, n: u64) {
    CALLS.set(0);
    which.set(n);
}

fn called(which: &'static thread::LocalKey<Cell<u64>>) {
    if which.get() > 0 {
        CALLS.set(CALLS.get() + 1);
        if CALLS.get().is_multiple_of(which.get()) {
            planned();
        }
    }
}

#[derive(Clone, Debug)]
struct Touchy(u64);

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        called(&EQ_PANICS);
        self.0 == other.0
    }
}

impl Eq for Touchy {}

impl Hash for Touchy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        called(&HASH_PANICS);
        self.0.hash(state);
    }
}

/// Every operation there is, one after another, each of which may panic.
fn all_operations<S: BuildHasher>(cache: &Cache<Touchy, u64, S>, key: &Touchy) {
    let mut calls: Vec<Box<dyn FnMut() + '_>> = vec![
        Box::new(|| drop(cache.get(key))),
        Box::new(|| assert!(cache.with(key, |value| *value).is_none_or(|value| value < 1_000_000))),
        Box::new(|| drop(cache.get_ref(key))),
        Box::new(|| assert!(cache.get_entry(key).is_none_or(|entry| entry.value < 1_000_000))),
        Box::new(|| drop(cache.peek(key))),
        Box::new(|| assert!([true, false].contains(&cache.contains_key(key)))),
        Box::new(|| assert!(cache.insert(key.clone(), 2).revision() > 0)),
        Box::new(|| drop(cache.try_insert(key.clone(), 3))),
        Box::new(|| assert!(cache.insert_with_ttl(key.clone(), 4, Duration::MAX).revision() > 0)),
        Box::new(|| drop(cache.insert_if_absent(key.clone(), 5))),
        Box::new(|| drop(cache.insert_at(key.clone(), 6, 6))),
        Box::new(|| drop(cache.compare_and_swap(key.clone(), Expected::Absent, 7))),
        Box::new(|| drop(cache.entry(key.clone()).and_compute_with(|_| Op::Put(8)))),
        Box::new(|| drop(cache.remove_if(key, |_, value| *value % 2 == 0))),
        Box::new(|| drop(cache.entry(key.clone()).and_compute_with(|_| Op::Remove))),
        Box::new(|| drop(cache.remove(key))),
        Box::new(|| assert!([true, false].contains(&cache.invalidate(key)))),
        Box::new(|| assert!([true, false].contains(&cache.invalidate_at(key, 3)))),
        Box::new(|| cache.retain(|_, value| *value != 5)),
        Box::new(|| cache.iter().for_each(drop)),
    ];
    for call in &mut calls {
        survives(call);
        let entries = cache.iter().count();
        assert_eq!((cache.len(), cache.weight()), (entries, entries as u64));
    }
}

fn touchy_keys(which: &'static thread::LocalKey<Cell<u64>>) {
    for n in 1..40 {
        // One stripe of few buckets, so that there is much to compare.
        let cache = Cache::builder().max_capacity(30).stripes(1).hasher(Constant(9)).build().unwrap();
        for round in 0..6 {
            (0..24).for_each(|key| drop(cache.insert_if_absent(Touchy(key), key)));
            arm(which, n);
            all_operations(&cache, &Touchy(round * 5));
            arm(which, 0);
            whole(&cache, |_| 1);
        }
        for key in 0..20 {
            cache.insert(Touchy(key), key + 100);
            assert_eq!(cache.get(&Touchy(key)), Some(key + 100), "key {key}, n {n}");
            // No lock is stuck for others either.
            assert!(thread::scope(|scope| scope.spawn(|| cache.contains_key(&Touchy(key))).join().unwrap()));
        }
        whole(&cache, |_| 1);
    }
}

#[test]
fn keys_whose_eq_panics() {
    watched(|| touchy_keys(&EQ_PANICS));
}

#[test]
fn keys_whose_hash_panics() {
    watched(|| touchy_keys(&HASH_PANICS));
}

#[test]
fn keys_whose_eq_lies() {
    #[derive(Clone)]
    struct Liar(u64, u64);

    impl PartialEq for Liar {
        fn eq(&self, other: &Self) -> bool {
            match self.1 {
                0 => false,
                1 => true,
                lie => (self.0 ^ other.0 ^ lie).count_ones().is_multiple_of(2),
            }
        }
    }

    impl Eq for Liar {}

    impl Hash for Liar {
        fn hash<H: Hasher>(&self, state: &mut H) {
            (self.0 % 16).hash(state);
        }
    }

    watched(|| {
        for lie in 0..6 {
            let ledger = Ledger::default();
            let cache = Cache::builder().max_capacity(60).stripes(2).build().unwrap();
            let mut random = Random(lie);
            for number in 0..3_000 {
                let key = Liar(random.below(200), lie);
                match number % 8 {
                    0 => drop(cache.remove(&key)),
                    1 => drop(cache.get(&key)),
                    2 => drop(cache.entry(key).and_compute_with(|_| Op::Put(ledger.value(1)))),
                    3 => cache.retain(|_, value| value.number % 7 != 3),
                    _ => drop(cache.insert_with_ttl(key, ledger.value(number), Duration::from_secs(1_000))),
                }
                assert!(cache.len() <= 60);
            }
            whole(&cache, |_| 1);
            drop(cache);
            ledger.all_dropped_once();
        }
    });
}

// Values that panic and that call the cache.

type Calls = Cache<u64, Caller>;

static SHARED: OnceLock<Calls> = OnceLock::new();

thread_local! {
    /// What the `Clone` or `Drop` of a [`Caller`] does, once.
    static ON_CLONE: RefCell<Option<fn(u64)>> = const { RefCell::new(None) };
    static ON_DROP: RefCell<Option<fn(u64)>> = const { RefCell::new(None) };
}

struct Caller(u64);

impl Clone for Caller {
    fn clone(&self) -> Self {
        if let Some(call) = ON_CLONE.with(RefCell::take) {
            call(self.0);
        }
        Caller(self.0)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if let Ok(Some(call)) = ON_DROP.try_with(RefCell::take) {
            call(self.0);
        }
    }
}

fn shared() -> &'static Calls {
    SHARED.get_or_init(|| Cache::builder().max_capacity(300).stripes(1).build().unwrap())
}

/// Every way back into the cache, for the same key and stripe.
const BACK: [fn(u64); 9] = [
    |key| drop(shared().get(&key)),
    |key| drop(shared().insert(key, Caller(key))),
    |key| drop(shared().remove(&key)),
    |key| drop(shared().entry(key).and_compute_with(|_| Op::Put(Caller(key)))),
    |_| shared().retain(|key, _| key % 2 == 0),
    |_| shared().clear(),
    |_| shared().reclaim(),
    |_| (0..200).for_each(|key| drop(shared().insert(key, Caller(key)))),
    |_| {
        drop(shared().stats());
        shared().set_capacity(20);
        shared().set_capacity(300);
    },
];

/// Every operation during which a value is cloned or dropped.
const THERE: [fn(u64); 12] = [
    |key| drop(shared().get(&key)),
    |key| drop(shared().get_entry(&key)),
    |key| drop(shared().peek(&key)),
    |key| drop(shared().remove(&key)),
    |key| drop(shared().remove_if(&key, |_, _| true)),
    |key| drop(shared().insert_if_absent(key, Caller(key))),
    |key| drop(shared().insert_at(key, Caller(key), 0)),
    |key| drop(shared().compare_and_swap(key, None, Caller(key))),
    |_| shared().reclaim(),
    |_| (0..200).for_each(|key| drop(shared().insert(key, Caller(key)))),
    |_| shared().clear(),
    |key| {
        let guard = shared().get_ref(&key);
        shared().invalidate(&key);
        shared().reclaim();
        drop(guard);
    },
];

fn values_that_call(hook: &'static thread::LocalKey<RefCell<Option<fn(u64)>>>) {
    for there in THERE {
        for back in BACK {
            (0..40).for_each(|key| drop(shared().insert(key, Caller(key))));
            hook.set(Some(back));
            there(7);
            hook.set(None);
            hook.set(Some(|_| planned_in_drop()));
            survives(|| there(7));
            hook.set(None);
            whole(shared(), |_| 1);
            assert!((0..40).all(|key| shared().insert(key, Caller(key)).revision() > 0 && shared().contains_key(&key)));
        }
    }
}

#[test]
fn values_whose_clone_and_drop_panic_or_call_the_cache() {
    watched(|| {
        values_that_call(&ON_CLONE);
        values_that_call(&ON_DROP);
    });
}

/// The promise is that no user code but `Eq` runs under a lock: not the drop of a value on its way out of a failed call either.
#[test]
fn a_value_dropped_because_eq_panicked_may_call_the_cache() {
    struct Back(OnceLock<Cache<Touchy, Back>>);

    impl Drop for Back {
        fn drop(&mut self) {
            if let Some(cache) = self.0.take() {
                // The other key may be compared with this one, if their hashes are alike: that is not to panic again.
                arm(&EQ_PANICS, 0);
                cache.insert(Touchy(2), Back(OnceLock::new()));
            }
        }
    }

    watched(|| {
        let cache = Cache::builder().max_capacity(10).stripes(1).build().unwrap();
        cache.insert(Touchy(1), Back(OnceLock::new()));
        arm(&EQ_PANICS, 1);
        let back = Back(OnceLock::from(cache.clone()));
        assert!(survives(|| cache.insert(Touchy(1), back)).is_none());
        arm(&EQ_PANICS, 0);
        assert_eq!(cache.len(), 2);
    });
}

/// A payload whose own drop panics: whoever swallows a panic must not be felled by it.
struct Bomb(Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        planned_in_drop();
    }
}

#[test]
fn a_listener_whose_panic_panics_when_dropped() {
    watched(|| {
        let (told, bombs) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (heard, dropped) = (Arc::clone(&told), Arc::clone(&bombs));
        let cache = Cache::builder().max_capacity(10).stripes(1).removal_listener(move |_| {
            if heard.fetch_add(1, SeqCst) == 0 {
                resume_unwind(Box::new(Bomb(Arc::clone(&dropped))));
            }
        });
        let cache = cache.build().unwrap();
        cache.insert(1, 1);
        survives(|| cache.insert(1, 2));
        cache.insert(1, 3);
        cache.insert(1, 4);
        assert_eq!(told.load(SeqCst), 3, "the listener is told no more");
    });
}

#[test]
fn values_whose_drop_panics_with_a_bomb() {
    struct Armed(Arc<AtomicUsize>, Arc<AtomicUsize>);

    impl Drop for Armed {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
            if !thread::panicking() {
                resume_unwind(Box::new(Bomb(Arc::clone(&self.1))));
            }
        }
    }

    watched(|| {
        let (drops, bombs) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let cache = Cache::builder().max_capacity(1_000).stripes(1).build().unwrap();
        (0..20).for_each(|key| drop(cache.insert(key, Armed(Arc::clone(&drops), Arc::clone(&bombs)))));
        (0..20).for_each(|key| drop(cache.invalidate(&key)));
        // What comes out is the first panic; it is a bomb itself, so it is not dropped but forgotten.
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cache.reclaim())).map_or_else(std::mem::forget, drop);
        assert_eq!(drops.load(SeqCst), 20, "every value is dropped, whatever panics");
        assert_eq!(cache.len(), 0);
    });
}

// Versions.

#[test]
fn sources_at_both_ends() {
    watched(|| {
        for choice in [WhenForgotten::Refuse, WhenForgotten::Accept] {
            for tombstones in [0, 1, 100] {
                let cache = Cache::builder().max_capacity(100).tombstone_capacity(tombstones).when_forgotten(choice);
                let cache = cache.equal_source(EqualSource::Replace).build().unwrap();
                assert_eq!(cache.insert_at("k", 1, 0).unwrap().source(), 0);
                assert_eq!(cache.insert_at("k", 2, 0).unwrap().source(), 0, "an equal source replaces");
                assert_eq!(cache.insert_at("k", 3, u64::MAX).unwrap().source(), u64::MAX);
                assert_eq!(cache.insert_at("k", 4, u64::MAX - 1).unwrap_err().current.source(), u64::MAX);
                assert!(!cache.invalidate_at("k", 0));
                assert_eq!(cache.get("k"), Some(3));
                assert_eq!(cache.insert("k", 5).source(), u64::MAX);
                assert!(!cache.invalidate_at("k", u64::MAX), "a state as new is there");
                assert!(cache.invalidate("k"));
                assert_eq!(cache.get("k"), None);
                if tombstones > 0 || choice == WhenForgotten::Refuse {
                    assert!(cache.insert_at("k", 6, u64::MAX - 1).is_err());
                }
                assert!(cache.invalidate_at("far", u64::MAX));
                if tombstones > 1 {
                    assert!(cache.insert_at("far", 1, u64::MAX - 1).is_err());
                    assert!(cache.insert_at("far", 2, u64::MAX).is_ok());
                }
                assert!(cache.invalidate_at("other", 0));
                cache.insert("k", 7);
                assert_eq!(cache.get("k"), Some(7), "writes without a source always take effect");
                whole(&cache, |_| 1);
            }
        }
    });
}

// Time.

#[test]
fn no_time_at_all_and_all_the_time_there_is() {
    struct Fixed(Option<Duration>);

    impl Expiry<u64, u64> for Fixed {
        fn after_create(&self, _: &u64, _: &u64) -> Option<Duration> {
            self.0
        }

        fn after_read(&self, _: &u64, _: &u64, _: Option<Duration>) -> Option<Duration> {
            self.0
        }
    }

    watched(|| {
        for (start, last) in [(Duration::ZERO, false), (Duration::from_secs(9), false), (Duration::MAX, true)] {
            for (ttl, stays) in [(Duration::ZERO, false), (Duration::MAX, true), (Duration::from_secs(1 << 40), true)] {
                let (clock, hand) = Clock::mock();
                hand.set(start);
                let builder = || Cache::<u64, u64>::builder().max_capacity(10).clock(clock.clone());
                let caches = [
                    builder().time_to_live(ttl).build().unwrap(),
                    builder().time_to_idle(ttl).build().unwrap(),
                    builder().expire_after(Fixed(Some(ttl))).build().unwrap(),
                    builder().time_to_idle(ttl).time_to_live(Duration::MAX).expire_after(Fixed(None)).build().unwrap(),
                    builder().build().unwrap(),
                ];
                for (number, cache) in caches.iter().enumerate() {
                    for key in 0..5 {
                        if number == 4 {
                            cache.insert_with_ttl(key, key, ttl)
                        } else {
                            cache.insert(key, key)
                        };
                        let expected = stays.then_some(key);
                        assert_eq!(cache.peek(&key), expected, "cache {number}, {ttl:?} from {start:?}");
                        assert_eq!(cache.get(&key), expected, "cache {number}, {ttl:?} from {start:?}");
                        assert_eq!(cache.iter().count(), cache.len());
                    }
                }
                if !last {
                    hand.advance(Duration::from_secs(1_000));
                }
                for cache in &caches {
                    assert_eq!(cache.get(&1), stays.then_some(1));
                    whole(cache, |_| 1);
                }
            }
        }
    });
}

#[test]
fn a_clock_that_is_set_back() {
    watched(|| {
        let (clock, hand) = Clock::mock();
        let cache = Cache::builder().max_capacity(10).clock(clock).time_to_live(Duration::from_secs(10)).build().unwrap();
        hand.set(Duration::from_secs(100));
        cache.insert(1, 1);
        hand.set(Duration::from_secs(5));
        assert_eq!(cache.get(&1), Some(1));
        cache.insert(2, 2);
        hand.set(Duration::from_secs(110));
        assert_eq!((cache.get(&1), cache.get(&2)), (None, None));
        hand.set(Duration::ZERO);
        assert_eq!((cache.get(&1), cache.get(&2)), (None, None), "what has expired does not come back");
        cache.insert(3, 3);
        assert_eq!(cache.get(&3), Some(3));
        whole(&cache, |_| 1);
    });
}

#[test]
fn a_time_source_that_jumps_both_ways() {
    struct Jumpy(AtomicU64);

    impl TimeSource for Jumpy {
        fn now(&self) -> Duration {
            let mut random = Random(self.0.fetch_add(1, SeqCst));
            match random.below(10) {
                0 => Duration::ZERO,
                // Far ahead once, and every other time would be in the past.
                1 if self.0.load(SeqCst) > 15_000 => Duration::MAX,
                _ => Duration::from_millis(random.below(self.0.load(SeqCst) + 1)),
            }
        }
    }

    watched(|| {
        let cache = Cache::builder().max_capacity(50).stripes(2).clock(Clock::from_source(Jumpy(AtomicU64::new(0))));
        let cache = cache.time_to_live(Duration::from_millis(300)).time_to_idle(Duration::from_millis(200)).build().unwrap();
        let mut random = Random(5);
        for number in 0..10_000 {
            let key = random.below(80);
            match number % 4 {
                0 => drop(cache.insert(key, key)),
                1 => drop(cache.remove(&key)),
                2 => drop(cache.entry(key).and_compute_with(|_| Op::Put(key))),
                _ => assert!(cache.get(&key).is_none_or(|value| value == key)),
            }
            assert!(cache.weight() <= 50);
        }
        cache.clear();
        whole(&cache, |_| 1);
    });
}

#[test]
fn a_time_source_that_panics_or_calls_the_cache() {
    struct Source {
        cache: Arc<OnceLock<Cache<u64, u64>>>,
        calls: AtomicU64,
        inside: AtomicUsize,
    }

    impl TimeSource for Source {
        fn now(&self) -> Duration {
            let call = self.calls.fetch_add(1, SeqCst);
            if self.inside.fetch_add(1, SeqCst) == 0
                && let Some(cache) = self.cache.get()
            {
                cache.insert(call % 5, call);
                cache.get(&1);
                cache.remove(&(call % 7));
            }
            self.inside.fetch_sub(1, SeqCst);
            if call % 13 == 12 {
                planned();
            }
            // Time stands at zero for a while: the cache must not take that for a clock that was not asked.
            Duration::from_millis((call / 500) * 10)
        }
    }

    watched(|| {
        let there = Arc::new(OnceLock::new());
        let source = Source { cache: Arc::clone(&there), calls: AtomicU64::new(0), inside: AtomicUsize::new(0) };
        let cache = Cache::builder().max_capacity(8).stripes(1).clock(Clock::from_source(source));
        let cache = cache.time_to_live(Duration::from_millis(25)).build().unwrap();
        there.get_or_init(|| cache.clone());
        for number in 0..600_u64 {
            survives(|| cache.insert(number % 10, number));
            survives(|| cache.get(&(number % 10)));
            survives(|| cache.invalidate(&(number % 6)));
            assert!(cache.weight() <= 8);
        }
        survives(|| cache.clear());
    });
}

// Types.

#[test]
fn zero_sized_keys_and_values() {
    watched(|| {
        let cache = Cache::new(10);
        for _ in 0..1_000 {
            cache.insert((), ());
            assert_eq!((cache.get(&()), cache.len()), (Some(()), 1));
        }
        let guard = cache.get_ref(&()).unwrap();
        assert_eq!(cache.remove(&()), Some(()));
        cache.reclaim();
        assert_eq!((*guard, cache.get(&())), ((), None));
        let many = Cache::new(100);
        (0..1_000_u32).for_each(|key| drop(many.insert(key, ())));
        assert_eq!(many.iter().count(), 100);
    });
}

#[test]
fn huge_values_and_great_alignment() {
    #[repr(align(256))]
    #[derive(Clone, PartialEq, Debug)]
    struct Aligned(u64);

    #[repr(align(4096))]
    struct Page(u8);

    watched(|| {
        let huge = Cache::builder().max_capacity(100).stripes(2).build().unwrap();
        let aligned = Cache::builder().max_capacity(100).stripes(2).build().unwrap();
        let pages = Cache::new(20);
        for key in 0..1_500_u64 {
            huge.insert(key, [key; 128]);
            aligned.insert(key, Aligned(key));
            pages.insert(key % 40, Page(key as u8));
            assert!(huge.get(&(key / 2)).is_none_or(|value| value == [key / 2; 128]));
            assert!(aligned.get(&(key / 2)).is_none_or(|value| value == Aligned(key / 2)));
        }
        for entry in &aligned {
            assert_eq!(std::ptr::from_ref(entry.value()).addr() % 256, 0);
        }
        for entry in &pages {
            assert_eq!(std::ptr::from_ref(entry.value()).addr() % 4096, 0);
            assert_eq!(u64::from(entry.0) % 40, u64::from((entry.0 as u64 % 40) as u8));
        }
        whole(&huge, |_| 1);
        whole(&aligned, |_| 1);
        whole(&pages, |_| 1);
    });
}

#[test]
fn values_that_cannot_be_cloned() {
    struct Only(u64);

    let cache = Cache::new(100);
    cache.insert(1, Only(1));
    assert_eq!(cache.with(&1, |only| only.0), Some(1));
    assert_eq!(cache.get_ref(&1).unwrap().0, 1);
    let refused = cache.insert_if_absent(1, Only(2)).unwrap_err();
    assert_eq!((refused.value.0, refused.current.unwrap().0), (2, 1));
    assert!(cache.entry(1).and_compute_with(|only| Op::Put(Only(only.map_or(0, |only| only.0) + 5))).is_replaced_by(6, &cache));
    assert!(cache.invalidate(&1));
    cache.retain(|_, only| only.0 > 0);
    cache.clear();

    trait IsReplacedBy {
        fn is_replaced_by(&self, value: u64, cache: &Cache<i32, Only>) -> bool;
    }

    impl IsReplacedBy for brindle::Computed<i32, Only> {
        fn is_replaced_by(&self, value: u64, cache: &Cache<i32, Only>) -> bool {
            matches!(self, brindle::Computed::Replaced(_, old) if old.0 == 1) && cache.with(&1, |only| only.0) == Some(value)
        }
    }
}

// Closures.

#[test]
fn with_in_with_twenty_levels_deep() {
    fn down(cache: &Cache<u64, String>, level: u64) -> usize {
        let below = |text: &String| {
            assert_eq!(*text, format!("value {level}"));
            // What is held stays, whatever happens to its key meanwhile.
            cache.remove(&level);
            cache.insert(level + 100, "x".repeat(50));
            cache.reclaim();
            let deeper = if level == 0 { 0 } else { down(cache, level - 1) };
            assert_eq!(*text, format!("value {level}"));
            deeper + text.len()
        };
        cache.with(&level, below).unwrap()
    }

    watched(|| {
        let cache = Cache::builder().max_capacity(1_000).stripes(1).build().unwrap();
        for _ in 0..10 {
            (0..20).for_each(|level| drop(cache.insert(level, format!("value {level}"))));
            assert_eq!(down(&cache, 19), 10 * 7 + 10 * 8);
            // And with a panic at the bottom.
            (0..20).for_each(|level| drop(cache.insert(level, format!("value {level}"))));
            assert!(survives(|| dive(&cache, 19)).is_none());
            whole(&cache, |_| 1);
        }
    });

    fn dive(cache: &Cache<u64, String>, level: u64) {
        cache.with(&level, |_| if level == 0 { planned() } else { dive(cache, level - 1) });
    }
}

/// Everything that calls a closure, with everything a closure may do to the cache.
#[test]
fn closures_that_come_back() {
    watched(|| {
        type Nested = Cache<u64, u64>;
        let inner: [fn(&Nested, u64); 10] = [
            |cache, key| drop(cache.get(&key)),
            |cache, key| drop(cache.insert(key, 1)),
            |cache, key| drop(cache.insert_with_ttl(key, 1, Duration::ZERO)),
            |cache, key| drop(cache.remove(&key)),
            |cache, key| drop(cache.get_ref(&key)),
            |cache, key| drop(cache.entry(key).and_compute_with(|_| Op::Put(3))),
            |cache, key| drop(cache.remove_if(&key, |_, _| true)),
            |cache, _| cache.retain(|_, value| *value != 1),
            |cache, _| cache.clear(),
            |cache, _| {
                cache.reclaim();
                cache.set_capacity(5);
                cache.set_capacity(64);
                cache.iter().for_each(drop);
                drop((cache.stats(), cache.memory_used()));
            },
        ];
        for back in inner {
            for panics in [false, true] {
                let heard: Arc<OnceLock<Nested>> = Arc::default();
                let depth = Arc::new(AtomicUsize::new(0));
                // Only the outermost comes back: else it would go on for ever.
                let hook = {
                    let (cache, depth) = (Arc::clone(&heard), Arc::clone(&depth));
                    move |key: u64| {
                        if depth.fetch_add(1, SeqCst) == 1 {
                            back(cache.get().unwrap(), key);
                            if panics {
                                depth.fetch_sub(1, SeqCst);
                                planned();
                            }
                        }
                        depth.fetch_sub(1, SeqCst);
                    }
                };
                let (weigher, source, listener) = (hook.clone(), hook.clone(), hook.clone());
                let cache = Cache::builder().max_capacity(64).stripes(1).expire_after(Coming(Box::new(hook.clone())));
                let cache = cache.removal_listener(move |removed: Removed<u64, u64>| listener(*removed.key()));
                let cache = cache.versioned_by(move |key, value| {
                    source(*key);
                    *value
                });
                let cache = cache.weigher(move |key, _| {
                    weigher(*key);
                    1
                });
                let cache = cache.build().unwrap();
                assert!(heard.set(cache.clone()).is_ok());
                let outer: [&dyn Fn(u64); 9] = [
                    &|key| drop(cache.insert(key, key + 10)),
                    &|key| drop(cache.get(&key)),
                    &|key| drop(cache.with(&key, |_| hook(key))),
                    &|key| {
                        drop(cache.remove_if(&key, |_, _| {
                            hook(key);
                            true
                        }))
                    },
                    &|key| {
                        cache.retain(|_, value| {
                            hook(key);
                            *value % 3 > 0
                        })
                    },
                    &|key| {
                        let mut times = 0;
                        drop(cache.entry(key).and_compute_with(|_| {
                            times += 1;
                            if times < 3 {
                                hook(key);
                            }
                            Op::Put(50 + key)
                        }));
                    },
                    &|key| drop(cache.insert(key, key + 10)),
                    &|key| drop(cache.invalidate(&key)),
                    &|_| cache.clear(),
                ];
                for call in outer {
                    for key in 0..9 {
                        depth.store(1, SeqCst);
                        survives(|| call(key));
                        depth.store(100, SeqCst);
                        whole(&cache, |_| 1);
                    }
                }
                let told = cache.stats();
                assert_eq!(
                    told.inserts,
                    told.replaced + told.invalidated + told.evicted + told.expired + told.cleared + told.len as u64
                );
            }
        }
    });

    struct Coming(Box<dyn Fn(u64) + Send + Sync>);

    impl Expiry<u64, u64> for Coming {
        fn after_create(&self, key: &u64, _: &u64) -> Option<Duration> {
            (self.0)(*key);
            Some(Duration::from_secs(1_000))
        }

        fn after_update(&self, key: &u64, _: &u64, remaining: Option<Duration>) -> Option<Duration> {
            (self.0)(*key);
            remaining
        }

        fn after_read(&self, key: &u64, _: &u64, remaining: Option<Duration>) -> Option<Duration> {
            (self.0)(*key);
            remaining
        }
    }
}

#[test]
fn a_listener_that_inserts_what_evicts() {
    watched(|| {
        let cache: Arc<OnceLock<Cache<u64, u64>>> = Arc::default();
        let told = Arc::new(AtomicU64::new(0));
        let (inside, heard) = (Arc::clone(&cache), Arc::clone(&told));
        let built = Cache::builder().max_capacity(4).stripes(2).removal_listener(move |removed: Removed<u64, u64>| {
            heard.fetch_add(1, SeqCst);
            // Each notice makes another, ten thousand times.
            if *removed.value() < 10_000 {
                inside.get().unwrap().insert(removed.key() + 4, removed.value() + 1);
            }
        });
        let cache = cache.get_or_init(|| built.build().unwrap());
        for key in 0..5 {
            cache.insert(key, 0);
        }
        let stats = cache.stats();
        assert_eq!(told.load(SeqCst), stats.inserts - stats.len as u64);
        assert!(told.load(SeqCst) > 10_000);
        whole(cache, |_| 1);
    });
}

// Threads.

#[test]
fn a_cache_used_while_its_thread_is_torn_down() {
    struct Last(RefCell<Option<(Cache<u64, u64>, u64)>>);

    impl Drop for Last {
        fn drop(&mut self) {
            if let Some((cache, number)) = self.0.take() {
                cache.insert(number, number);
                assert_eq!(cache.with(&number, |outer| cache.with(&number, |inner| outer + inner)), Some(Some(2 * number)));
                let guard = cache.get_ref(&number).unwrap();
                (0..200).for_each(|_| drop(cache.insert(number, number)));
                cache.reclaim();
                assert_eq!(*guard, number);
            }
        }
    }

    thread_local! {
        static FIRST: Last = const { Last(RefCell::new(None)) };
        static SECOND: Last = const { Last(RefCell::new(None)) };
    }

    watched(|| {
        let cache = Cache::new(10_000);
        for number in 0..100 {
            let cache = cache.clone();
            let worker = thread::spawn(move || {
                // One is registered before the cache's own thread-local state, one after it.
                FIRST.with(|last| last.0.replace(Some((cache.clone(), number))));
                cache.get(&number);
                SECOND.with(|last| last.0.replace(Some((cache.clone(), number + 1_000))));
            });
            worker.join().unwrap();
        }
        assert_eq!(cache.len(), 200);
        whole(&cache, |_| 1);
    });
}

#[test]
fn a_cache_dropped_while_guards_live() {
    watched(|| {
        for on_another in [false, true] {
            let ledger = Ledger::default();
            let cache = Cache::builder().max_capacity(50).stripes(2).build().unwrap();
            let mut guards = Vec::new();
            for key in 0..300_u64 {
                cache.insert(key, ledger.value(key));
                guards.extend(cache.get_ref(&key));
                if key % 3 == 0 {
                    guards.extend(guards.last().cloned());
                }
            }
            let walk = cache.iter();
            cache.retain(|key, _| key % 2 == 0);
            drop(cache);
            assert!(guards.iter().all(|guard| guard.number == *guard.key()));
            let rest = move || {
                assert!(walk.count() <= 50);
                drop(guards);
            };
            if on_another {
                thread::spawn(rest).join().unwrap()
            } else {
                rest()
            }
            ledger.all_dropped_once();
        }
    });
}

#[test]
fn guards_dropped_on_other_threads() {
    watched(|| {
        let ledger = Ledger::default();
        let cache = Cache::builder().max_capacity(64).stripes(2).build().unwrap();
        let (send, receive) = std::sync::mpsc::sync_channel::<EntryRef<u64, harness::Counted>>(100);
        let dropper = thread::spawn(move || receive.into_iter().for_each(|guard| assert_eq!(guard.number, *guard.key())));
        for number in 0..6_000_u64 {
            let key = number % 100;
            cache.insert(key, ledger.value(key));
            if let Some(guard) = cache.get_ref(&key) {
                send.send(guard).unwrap();
            }
        }
        drop(send);
        dropper.join().unwrap();
        cache.reclaim();
        assert_eq!(ledger.alive(), cache.len(), "no guard is left, so nothing is held back");
        drop(cache);
        ledger.all_dropped_once();
    });
}

#[test]
fn thousands_of_threads_that_live_for_a_moment() {
    watched(|| {
        let cache = Cache::builder().max_capacity(100).build().unwrap();
        let mut memory = 0;
        for round in 0..300_u64 {
            let workers = (0..10_u64).map(|worker| {
                let cache = cache.clone();
                thread::spawn(move || {
                    let key = round * 10 + worker;
                    cache.insert(key % 150, key);
                    drop(cache.get(&(key / 2 % 150)));
                    cache.get_ref(&(key % 150))
                })
            });
            let workers: Vec<_> = workers.collect();
            workers.into_iter().for_each(|worker| drop(worker.join().unwrap()));
            if round == 100 {
                memory = cache.memory_used();
            }
        }
        let stats = cache.stats();
        assert_eq!(stats.hits + stats.misses, 6_000, "the counts of threads that are gone are kept");
        assert!(cache.memory_used() <= memory * 2, "{memory} bytes, then {}", cache.memory_used());
        whole(&cache, |_| 1);
    });
}
