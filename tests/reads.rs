//! Promise 11: a hit takes no lock and allocates nothing; a guard may be kept, sent, and outlive the cache. And what every read does.

mod common;

use std::alloc::GlobalAlloc;
use std::alloc::Layout;
use std::alloc::System;
use std::cell::Cell;
use std::cell::RefCell;
use std::hash::Hash;
use std::hash::Hasher;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::sync::mpsc::channel;
use std::thread;

use brindle::Cache;
use brindle::EntryRef;
use brindle::Iter;
use equivalent::Equivalent;

use common::Census;
use common::Counted;
use common::Flat;
use common::together;
use common::watched;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

/// Counts what each thread allocates.
struct Counting;

// SAFETY: all that it does beyond the system's allocator is to count.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        let _ = BYTES.try_with(|bytes| bytes.set(bytes.get() + layout.size() as i64));
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let _ = BYTES.try_with(|bytes| bytes.set(bytes.get() - layout.size() as i64));
        // SAFETY: passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn assert_hits_allocate_nothing(cache: &Cache<u64, u64>) {
    (0..1000).for_each(|key| {
        cache.insert(key, key + 1);
    });
    // The thread's first read makes its cell.
    assert_eq!(cache.get(&0), Some(1));
    let hits = |read: &dyn Fn(u64) -> u64| allocations(|| (0..5000).for_each(|at| assert_eq!(read(at % 1000), at % 1000 + 1)));
    assert_eq!(hits(&|key| cache.get(&key).unwrap()), 0, "get");
    assert_eq!(hits(&|key| cache.with(&key, |value| *value).unwrap()), 0, "with");
    assert_eq!(hits(&|key| cache.peek(&key).unwrap()), 0, "peek");
    assert_eq!(hits(&|key| cache.get_entry(&key).unwrap().value), 0, "get_entry");
    assert_eq!(hits(&|key| u64::from(cache.contains_key(&key)) + key), 0, "contains_key");
    assert_eq!(allocations(|| (1000..6000).for_each(|key| assert_eq!(cache.get(&key), None))), 0, "a miss");
}

#[test]
fn a_hit_allocates_nothing() {
    watched(|| {
        assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1, "the counter counts");
        assert_hits_allocate_nothing(&Cache::new(10_000));
        let hour = std::time::Duration::from_secs(3_600);
        let builder = Cache::builder().max_capacity(100_000).weigher(|_, value| value % 7).time_to_live(hour);
        assert_hits_allocate_nothing(&builder.time_to_idle(hour).build().unwrap());
        assert_hits_allocate_nothing(&Cache::builder().stripes(64).build().unwrap());
    });
}

/// The key of a cache in which all keys collide.
struct Sticky {
    id: u64,
    gate: Option<Arc<Gate>>,
}

/// Tells that somebody is there, and lets them wait. Later visitors pass.
struct Gate {
    doors: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

/// A gate, news of the first who comes to it, and what lets them go on.
fn gate() -> (Arc<Gate>, Receiver<()>, Sender<()>) {
    let (here, news) = channel();
    let (go, wait) = channel();
    (Arc::new(Gate { doors: Mutex::new(Some((here, wait))) }), news, go)
}

impl Gate {
    fn pass(&self) {
        let doors = self.doors.lock().unwrap().take();
        if let Some((here, wait)) = doors {
            here.send(()).unwrap();
            wait.recv().unwrap();
        }
    }
}

impl Sticky {
    fn plain(id: u64) -> Self {
        Sticky { id, gate: None }
    }

    fn gated(id: u64, gate: &Arc<Gate>) -> Self {
        Sticky { id, gate: Some(Arc::clone(gate)) }
    }
}

impl Hash for Sticky {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl PartialEq for Sticky {
    fn eq(&self, other: &Self) -> bool {
        if let Some(gate) = &self.gate {
            gate.pass();
        }
        self.id == other.id
    }
}

impl Eq for Sticky {}

#[test]
fn a_hit_takes_no_lock() {
    watched(|| {
        let cache = Cache::builder().max_capacity(100).stripes(1).hasher(Flat).build().unwrap();
        let version = cache.insert(Sticky::plain(1), 10_u64);
        let (gate, news, go) = gate();
        thread::scope(|scope| {
            let stuck = scope.spawn(|| cache.insert(Sticky::gated(2, &gate), 20));
            news.recv().unwrap();
            // Now a thread stands inside the only lock, for as long as we like.
            let (wrote, written) = channel();
            let waiting = cache.clone();
            let writer = scope.spawn(move || {
                waiting.insert(Sticky::plain(3), 30);
                wrote.send(()).unwrap();
            });
            for _ in 0..100 {
                let key = Sticky::plain(1);
                assert_eq!(cache.get(&key), Some(10));
                assert_eq!(cache.with(&key, |value| *value), Some(10));
                assert_eq!(cache.peek(&key), Some(10));
                assert!(cache.contains_key(&key));
                assert_eq!(cache.get_entry(&key).unwrap().version, version);
                assert_eq!(*cache.get_ref(&key).unwrap(), 10);
                assert_eq!(cache.get(&Sticky::plain(9)), None);
                assert_eq!((cache.len(), cache.weight(), cache.capacity()), (1, 1, 100));
            }
            assert!(written.try_recv().is_err(), "the lock was not held");
            go.send(()).unwrap();
            stuck.join().unwrap();
            writer.join().unwrap();
        });
        assert_eq!(cache.len(), 3);
    });
}

/// A look-up that stops at its first comparison.
struct Slow(u64, Arc<Gate>);

impl Hash for Slow {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// A key that is counted as it lives, in a type whose hash is all alike.
#[derive(Clone)]
struct CountedKey(Counted);

impl Hash for CountedKey {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl PartialEq for CountedKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}

impl Eq for CountedKey {}

impl Equivalent<CountedKey> for Slow {
    fn equivalent(&self, key: &CountedKey) -> bool {
        self.1.pass();
        self.0 == key.0.id()
    }
}

#[test]
fn what_a_reader_is_at_stays_whole() {
    watched(|| {
        let (keys, values) = (Census::default(), Census::default());
        let cache = Cache::builder().max_capacity(100).stripes(1).hasher(Flat).build().unwrap();
        cache.insert(CountedKey(keys.value(1)), values.value(1));
        let (gate, news, go) = gate();
        thread::scope(|scope| {
            let reader = scope.spawn(|| cache.with(&Slow(1, Arc::clone(&gate)), Counted::id));
            news.recv().unwrap();
            // The reader stands between finding the entry and reading it.
            assert!(cache.invalidate(&CountedKey(keys.value(1))));
            cache.reclaim();
            assert_eq!((keys.alive(), values.alive()), (1, 1), "dropped under a reader's hands");
            for round in 0..300 {
                cache.insert(CountedKey(keys.value(2)), values.value(round));
            }
            go.send(()).unwrap();
            assert!(matches!(reader.join().unwrap(), Some(1) | None));
        });
        cache.reclaim();
        assert_eq!((keys.alive(), values.alive()), (1, 1));
    });
}

#[test]
fn a_value_that_has_a_reader_and_a_guard_waits_for_both() {
    watched(|| {
        for reader_goes_first in [false, true] {
            let census = Census::default();
            let cache = Cache::builder().max_capacity(100).stripes(1).build().unwrap();
            cache.insert(1, census.value(1));
            let (here, news) = channel();
            let (go, wait) = channel();
            thread::scope(|scope| {
                // The door is the scope's own, so that a failure opens it.
                let (cache, census, go) = (&cache, &census, go);
                let reader = scope.spawn(move || {
                    cache.with(&1, |value| {
                        here.send(()).unwrap();
                        let _ = wait.recv();
                        value.id()
                    })
                });
                news.recv().unwrap();
                let guard = cache.get_ref(&1).unwrap();
                cache.invalidate(&1);
                // Whatever reclamation makes of an entry that is held twice,
                cache.reclaim();
                assert_eq!(census.alive(), 1);
                if reader_goes_first {
                    go.send(()).unwrap();
                    assert_eq!(reader.join().unwrap(), Some(1));
                    cache.reclaim();
                    assert_eq!((census.alive(), guard.id()), (1, 1), "dropped under the guard");
                    return;
                }
                drop(guard);
                // the guard that goes leaves it to the reader.
                assert_eq!(census.alive(), 1, "dropped under the reader");
                (0..200).for_each(|key| _ = cache.insert(2 + key % 3, census.value(2)));
                go.send(()).unwrap();
                assert_eq!(reader.join().unwrap(), Some(1), "the reader has another's value in its hands");
            });
            cache.clear();
            cache.reclaim();
            assert_eq!(census.alive(), 0);
        }
    });
}

#[test]
fn a_closure_holds_back_no_outgrown_array() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::builder().stripes(1).build().unwrap();
        cache.insert(0, 0);
        let (here, news) = channel();
        let (go, wait) = channel::<()>();
        thread::scope(|scope| {
            let (cache, go) = (&cache, go);
            scope.spawn(move || {
                cache.with(&0, |_| {
                    here.send(()).unwrap();
                    let _ = wait.recv();
                })
            });
            news.recv().unwrap();
            let (bytes, memory) = (BYTES.get(), cache.memory_used() as i64);
            (1..20_000).for_each(|key| _ = cache.insert(key, key));
            cache.reclaim();
            let (bytes, memory) = (BYTES.get() - bytes, cache.memory_used() as i64 - memory);
            assert!(bytes < memory + memory / 20, "{bytes} bytes are held where the cache says that it has {memory}");
            drop(go);
        });
    });
}

#[test]
fn a_look_up_finds_its_key_while_the_table_grows_under_it() {
    watched(|| {
        let census = Census::default();
        let cache = Cache::builder().stripes(1).hasher(Flat).build().unwrap();
        (0..5).for_each(|id| {
            cache.insert(CountedKey(census.value(id)), id);
        });
        let (gate, news, go) = gate();
        thread::scope(|scope| {
            let reader = scope.spawn(|| cache.get(&Slow(4, Arc::clone(&gate))));
            news.recv().unwrap();
            (5..200).for_each(|id| {
                cache.insert(CountedKey(census.value(id)), id);
            });
            cache.reclaim();
            go.send(()).unwrap();
            assert_eq!(reader.join().unwrap(), Some(4), "an entry that stayed was not found");
        });
    });
}

#[test]
fn guards_are_kept_sent_and_outlive_the_cache() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<EntryRef<String, Counted>>();
    is_send_and_sync::<Cache<String, Counted>>();
    fn is_send<T: Send>() {}
    is_send::<Iter<String, Counted>>();
    watched(|| {
        let census = Census::default();
        let cache = Cache::new(100);
        (0..50).for_each(|id| {
            cache.insert(id, census.value(id));
        });
        let guards: Vec<EntryRef<u64, Counted>> = (0..50).map(|id| cache.get_ref(&id).unwrap()).collect();
        // Replaced, removed, evicted, cleared, and the rest with the cache.
        (0..10).for_each(|id| {
            cache.insert(id, census.value(id + 1000));
        });
        (10..20).for_each(|id| assert!(cache.invalidate(&id)));
        cache.set_capacity(5);
        cache.clear();
        cache.reclaim();
        assert_eq!(census.alive(), 50, "only what guards hold is left");
        drop(cache);
        let (halves, whole): (Vec<_>, Vec<_>) = guards.into_iter().map(|guard| (guard.clone(), guard)).unzip();
        let reading = thread::spawn(move || halves.iter().for_each(|guard| assert_eq!(guard.id(), *guard.key())));
        reading.join().unwrap();
        assert_eq!(census.alive(), 50);
        together(5, |thread| whole.iter().skip(thread).for_each(|guard| assert_eq!(guard.value().id(), *guard.key())));
        drop(whole);
        assert_eq!(census.alive(), 0);
    });
}

#[test]
fn a_guard_keeps_no_other_value_when_the_cache_is_gone() {
    watched(|| {
        let census = Census::default();
        let cache = Cache::new(100);
        (0..50).for_each(|id| {
            cache.insert(id, census.value(id));
        });
        let guard = cache.get_ref(&7).unwrap();
        drop(cache);
        assert_eq!(census.alive(), 1, "the guard keeps values alive that are not its own");
        assert_eq!(guard.id(), 7);
    });
}

#[test]
fn a_guard_stays_as_it_was_found() {
    watched(|| {
        let cache = Cache::new(100);
        let first = cache.insert("k", String::from("first"));
        let guard = cache.get_ref("k").unwrap();
        let second = cache.insert("k", String::from("second"));
        let newer = cache.get_ref("k").unwrap();
        cache.remove("k");
        (0..2000).for_each(|_| {
            cache.insert("other", String::from("x"));
        });
        cache.reclaim();
        assert_eq!((guard.as_str(), guard.version(), guard.key()), ("first", first, &"k"));
        assert_eq!((newer.as_str(), newer.version()), ("second", second));
        assert!(guard.version() < newer.version());
        assert!(format!("{guard:?}").contains("first"));
    });
}

#[test]
fn the_last_of_many_guards_drops_the_value_once() {
    watched(|| {
        let census = Census::default();
        let cache = Cache::builder().max_capacity(4).stripes(1).build().unwrap();
        for round in 0..300 {
            cache.insert(1, census.value(round));
            let guard = cache.get_ref(&1).unwrap();
            // Two threads give their guards back while a third retires and reclaims the entry.
            together(3, |thread| {
                let guard = guard.clone();
                if thread == 2 {
                    cache.invalidate(&1);
                    cache.reclaim();
                }
                assert_eq!(guard.id(), round);
            });
            drop(guard);
            cache.reclaim();
            assert_eq!(census.alive(), 0, "round {round}");
        }
    });
}

#[test]
fn closures_may_read_and_write_the_cache() {
    watched(|| {
        fn dive(cache: &Cache<u64, Counted>, census: &Census, depth: u64) -> u64 {
            if depth == 12 {
                (0..200).for_each(|_| {
                    cache.insert(99, census.value(99));
                });
                cache.clear();
                cache.reclaim();
                return 0;
            }
            let deeper = cache.with(&depth, |value| {
                let below = dive(cache, census, depth + 1);
                // Everything was removed and reclaimed down there, and yet:
                value.id() + below
            });
            deeper.unwrap()
        }
        let census = Census::default();
        let cache = Cache::builder().max_capacity(100).stripes(2).build().unwrap();
        (0..12).for_each(|key| {
            cache.insert(key, census.value(key));
        });
        assert_eq!(dive(&cache, &census, 0), (0..12).sum());
        assert!(cache.is_empty());
        cache.reclaim();
        assert_eq!(census.alive(), 0, "every reader has given back what it held");
    });
}

#[test]
fn a_panic_in_a_closure_holds_nothing_back() {
    watched(|| {
        let census = Census::default();
        let cache = Cache::new(100);
        for round in 0..20 {
            cache.insert(1, census.value(round));
            let panic = catch_unwind(AssertUnwindSafe(|| cache.with(&1, |_| panic!("in the closure"))));
            assert!(panic.is_err());
            assert_eq!(cache.with(&1, Counted::id), Some(round));
        }
        cache.clear();
        cache.reclaim();
        assert_eq!(census.alive(), 0);
    });
}

/// Reads the cache while its thread is torn down.
struct Late(Cache<u64, Counted>, Census, Sender<u64>);

impl Drop for Late {
    fn drop(&mut self) {
        let Late(cache, census, seen) = self;
        cache.with(&1, |value| {
            cache.insert(1, census.value(2));
            cache.reclaim();
            seen.send(value.id()).unwrap();
        });
        seen.send(cache.get_ref(&1).unwrap().id()).unwrap();
    }
}

thread_local! {
    static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
}

#[test]
fn a_thread_may_read_while_it_ends() {
    watched(|| {
        for reads_before in [false, true] {
            let census = Census::default();
            let cache = Cache::new(100);
            cache.insert(1, census.value(1));
            let (seen, news) = channel();
            let late = Late(cache.clone(), census.clone(), seen);
            let thread = thread::spawn(move || {
                // Registered before or after the thread's own state in the cache, so torn down after or before it.
                if reads_before {
                    late.0.contains_key(&1);
                }
                LATE.with(|place| *place.borrow_mut() = Some(late));
                LATE.with(|place| place.borrow().as_ref().unwrap().0.contains_key(&1));
            });
            thread.join().unwrap();
            assert_eq!(news.iter().collect::<Vec<_>>(), [1, 2]);
            cache.clear();
            cache.reclaim();
            assert_eq!(census.alive(), 0);
        }
    });
}

#[test]
fn threads_that_end_leave_no_memory_behind() {
    watched(|| {
        let cache = Cache::new(100);
        cache.insert(1, 1);
        let visit = || {
            let cache = cache.clone();
            thread::spawn(move || cache.get(&1)).join().unwrap()
        };
        (0..8).for_each(|_| assert_eq!(visit(), Some(1)));
        let before = cache.memory_used();
        (0..200).for_each(|_| assert_eq!(visit(), Some(1)));
        // Other tests' threads have numbers too, so a cell or two more may be in use; not one for each of the 200.
        assert!(cache.memory_used() - before < 50 * 1024, "{} bytes more", cache.memory_used() - before);
        assert_eq!(cache.stats().hits, 208);
    });
}

#[test]
fn reads_are_counted_but_not_glances() {
    watched(|| {
        let cache = Cache::new(100);
        cache.insert(1, 1);
        assert_eq!((cache.get(&1), cache.get(&2)), (Some(1), None));
        assert_eq!((cache.with(&1, |v| *v), cache.with(&2, |v| *v)), (Some(1), None));
        assert!(cache.get_ref(&1).is_some() && cache.get_ref(&2).is_none());
        assert!(cache.get_entry(&1).is_some() && cache.get_entry(&2).is_none());
        let counted = cache.stats();
        assert_eq!((counted.hits, counted.misses), (4, 4));
        assert!((counted.hit_ratio() - 0.5).abs() < 1e-9);
        assert_eq!((cache.peek(&1), cache.peek(&2)), (Some(1), None));
        assert!(cache.contains_key(&1) && !cache.contains_key(&2));
        assert_eq!(cache.iter().count(), 1);
        assert_eq!((cache.stats().hits, cache.stats().misses), (4, 4));

        let unread = Cache::<u64, u64>::new(10);
        assert_eq!(unread.stats().hit_ratio(), 0.0);
    });
}

#[test]
fn hits_of_many_threads_are_all_counted() {
    watched(|| {
        let cache = Cache::new(100);
        cache.insert(1, 1);
        together(6, |_| (0..3000).for_each(|at| assert_eq!(cache.get(&(at % 2)).is_some(), at % 2 == 1)));
        assert_eq!((cache.stats().hits, cache.stats().misses), (9000, 9000));
    });
}

/// Half of a compound key, borrowed.
#[derive(Hash)]
struct Borrowed<'a>(&'a str, u32);

impl Equivalent<(String, u32)> for Borrowed<'_> {
    fn equivalent(&self, key: &(String, u32)) -> bool {
        self.0 == key.0 && self.1 == key.1
    }
}

#[test]
fn every_look_up_takes_borrowed_keys() {
    watched(|| {
        let cache: Cache<String, u32> = Cache::new(100);
        cache.insert("a".into(), 1);
        assert_eq!((cache.get("a"), cache.peek("a"), cache.get("b")), (Some(1), Some(1), None));
        assert_eq!(cache.with("a", |v| *v), Some(1));
        assert_eq!(cache.get_ref("a").unwrap().key(), "a");
        assert_eq!(cache.get_entry("a").unwrap().value, 1);
        assert!(cache.contains_key("a"));
        assert_eq!(cache.remove_if("a", |_, v| *v == 2), None);
        assert_eq!(cache.remove("a"), Some(1));
        cache.insert("a".into(), 2);
        assert!(cache.invalidate("a") && !cache.invalidate("a"));
        assert!(cache.invalidate_at("a", 3));

        let cache: Cache<(String, u32), u32> = Cache::new(100);
        cache.insert(("a".into(), 1), 5);
        cache.insert(("a".into(), 2), 6);
        assert_eq!((cache.get(&Borrowed("a", 1)), cache.get(&Borrowed("a", 2))), (Some(5), Some(6)));
        assert_eq!(cache.get(&Borrowed("b", 1)), None);
        assert_eq!(cache.remove(&Borrowed("a", 1)), Some(5));
        assert!(!cache.contains_key(&Borrowed("a", 1)) && cache.contains_key(&Borrowed("a", 2)));
    });
}

#[test]
fn values_need_not_be_clone_for_borrowing_reads() {
    watched(|| {
        struct Plain(u32);
        let cache = Cache::new(10);
        cache.insert(1, Plain(7));
        assert_eq!(cache.with(&1, |plain| plain.0), Some(7));
        assert_eq!(cache.get_ref(&1).unwrap().0, 7);
        assert!(cache.contains_key(&1));
        assert_eq!(cache.iter().map(|entry| entry.0).sum::<u32>(), 7);
        assert!(cache.invalidate(&1));
    });
}
