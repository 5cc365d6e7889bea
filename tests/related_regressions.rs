//! What a review of transactions, snapshots, groups and writes through the cache found: each of these went wrong once.

mod common;

use std::future::pending;
use std::future::poll_fn;
use std::hint::spin_loop;
use std::mem::forget;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use brindle::Cache;
use brindle::Clock;
use brindle::Leased;
use brindle::LoadError;
use brindle::Loaded;
use brindle::TimeSource;
use brindle::WriteError;

use common::Itself;
use common::executor::Task;
use common::executor::oneshot;
use common::watched;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_listener_that_writes_through_the_key_of_which_it_is_told_is_no_hang() {
    watched(|| {
        let cell: Arc<OnceLock<Cache<u64, u64>>> = Arc::default();
        let (inner, nested) = (Arc::clone(&cell), AtomicBool::new(false));
        let listener = move |_| {
            if !nested.swap(true, SeqCst) {
                let _ = inner.get().unwrap().write_through(1, |_| Ok::<_, ()>(Loaded::new(9)));
            }
        };
        let cache = Cache::builder().removal_listener(listener).build().unwrap();
        cell.set(cache.clone()).unwrap();
        cache.insert(1, 1);
        // It does not wait for itself.
        let _ = cache.write_through(1, |_| Ok::<_, ()>(Loaded::new(2)));
    });
}

#[test]
fn a_weigher_that_writes_the_key_through_is_no_hang() {
    watched(|| {
        let cell: Arc<OnceLock<Cache<u64, u64>>> = Arc::default();
        let (inner, nested) = (Arc::clone(&cell), AtomicBool::new(false));
        let weigher = move |_: &u64, _: &u64| {
            if !nested.swap(true, SeqCst) {
                let _ = inner.get().unwrap().write_through(1, |_| Ok::<_, ()>(Loaded::new(9)));
            }
            1
        };
        let cache = Cache::builder().weigher(weigher).build().unwrap();
        cell.set(cache.clone()).unwrap();
        // It does not wait for itself.
        let _ = cache.write_through(1, |_| Ok::<_, ()>(Loaded::new(2)));
    });
}

#[test]
fn a_circle_through_the_line_is_known_though_the_turn_has_passed_on() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::new(100);
        let (first_may_end, gate) = oneshot();
        let mut first = Task::new(cache.write_through_async(1, |_| gate));
        first.pends();
        // The second in line will need key 2,
        let write = |_| async { cache.try_get_with_async(&2, async { Ok::<_, ()>(20) }).await.map(Loaded::new) };
        let mut second = Task::new(cache.write_through_async(1, write));
        second.pends();
        // and whoever loads key 2 is the third.
        let load = async { cache.write_through_async(1, |_| async { Ok::<_, ()>(Loaded::new(3)) }).await.map(|_| 2) };
        let mut third = Task::new(cache.try_get_with_async(&2, load));
        third.pends();
        first_may_end.send(Ok::<_, ()>(Loaded::new(1)));
        assert!(first.ends().is_ok());
        assert!(second.is_woken(), "it is its turn");
        // It needs the third, who needs the line to move on: it is told so, and the third has its turn.
        assert!(matches!(second.ends(), Err(WriteError::Failed(LoadError::Reentrant))));
        assert_eq!(third.ends(), Ok(2));
    });
}

#[test]
fn a_walk_yields_nothing_older_than_what_was_seen() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::builder().stripes(1).max_capacity(100).build().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let keys = 0..2_u64;
        keys.clone().for_each(|key| {
            cache.insert(key, 0);
        });
        let (writing, end) = (cache.clone(), Arc::clone(&over));
        let writer = thread::spawn(move || {
            for generation in 1.. {
                writing.insert(0, generation);
                writing.insert(1, generation);
                if end.load(SeqCst) {
                    return;
                }
            }
        });
        let start = Instant::now();
        let mut older = None;
        while older.is_none() && start.elapsed() < 5 * SECOND {
            let mut walk = cache.iter();
            let Some(first) = walk.next() else { continue };
            let other = 1 - *first.key();
            for _ in 0..20 {
                spin_loop();
            }
            let before = *first;
            let mut seen = cache.get(&other);
            while seen == Some(before) {
                seen = cache.get(&other);
            }
            if let Some(second) = walk.next()
                && Some(*second) < seen
            {
                older = Some((seen, *second));
            }
        }
        over.store(true, SeqCst);
        writer.join().unwrap();
        assert_eq!(older, None);
    });
}

/// Both entries have expired, and may still be served by loads.
fn stale() -> Cache<u64, u64> {
    let (clock, hand) = Clock::mock();
    let cache = Cache::builder().clock(clock).time_to_live(10 * SECOND).serve_stale(10 * SECOND).build().unwrap();
    cache.insert(1, 1);
    cache.insert(2, 2);
    hand.advance(11 * SECOND);
    cache
}

/// Somebody loads: who comes then is served what is stale.
fn is_served(cache: &Cache<u64, u64>) -> bool {
    let Leased::Lease(_lease) = cache.get_or_lease(&1, None) else { return false };
    let mut second = Task::new(cache.get_with_async(&1, async { 9 }));
    matches!(second.poll(), Poll::Ready(1))
}

#[test]
fn a_read_leaves_what_is_stale() {
    let cache = stale();
    assert_eq!(cache.get(&1), None);
    assert!(is_served(&cache));
}

#[test]
fn a_snapshot_leaves_what_is_stale_to_loads() {
    let cache = stale();
    assert_eq!(cache.get_many_snapshot(&[1, 2]), [None, None]);
    assert_eq!(cache.stats().expired, 0);
    assert!(is_served(&cache));
}

#[test]
fn a_transaction_that_only_reads_leaves_what_is_stale_to_loads() {
    let cache = stale();
    cache.transaction(|t| t.read(&1)).unwrap();
    assert!(is_served(&cache));
}

#[test]
fn a_transaction_that_aborts_leaves_what_is_stale_to_loads() {
    let cache = stale();
    let aborted = cache.transaction(|t| {
        let version = cache.insert(3, 3);
        t.insert(1, 2);
        t.expect_version(&3, version);
        cache.insert(3, 4);
    });
    assert!(aborted.is_err());
    assert!(is_served(&cache));
}

#[test]
fn what_a_transaction_says_of_a_key_that_it_removes_is_known_for_its_time() {
    let (clock, hand) = Clock::mock();
    let cache: Cache<u64, u64> = Cache::builder().clock(clock).max_capacity(100).build().unwrap();
    hand.advance(100_000 * SECOND);
    cache
        .transaction(|t| {
            t.insert_at(1, 5, 5);
            t.invalidate(&1);
        })
        .unwrap();
    // Time begins to matter, and a transition of the stripe sweeps.
    cache.insert_with_ttl(2, 2, SECOND);
    cache.invalidate(&1);
    assert!(cache.insert_at(1, 4, 4).is_err());
}

#[test]
fn the_weights_of_a_transaction_do_not_overflow_their_sum() {
    watched(|| {
        let most = 1_u64 << 56;
        let cache: Cache<u64, u64> = Cache::builder().stripes(1).weigher(move |_, _| most).build().unwrap();
        cache
            .transaction(|t| {
                (0..300).for_each(|key| t.insert(key, key));
            })
            .unwrap();
        assert!(cache.len() <= 1 && cache.weight() <= cache.capacity(), "{} entries", cache.len());
    });
}

#[test]
fn a_transaction_that_swaps_one_heavy_entry_for_another_evicts_nothing() {
    let in_stripe = |number: u64, key: u64| number << 48 | key << 16 | key;
    for (old, new) in [(in_stripe(1, 1), in_stripe(0, 99)), (in_stripe(0, 99), in_stripe(1, 1))] {
        let cache = Cache::builder().stripes(2).hasher(Itself).max_capacity(100).weigher(|_, weight| *weight);
        let cache: Cache<u64, u64, Itself> = cache.build().unwrap();
        (0..10).for_each(|key| {
            cache.insert(in_stripe(0, key), 1);
        });
        cache.insert(old, 90);
        let committed = cache.transaction(|t| {
            t.invalidate(&old);
            t.insert(new, 90);
        });
        assert!(committed.is_ok());
        assert_eq!((cache.weight(), cache.stats().evicted), (100, 0), "{old} {new}");
    }
}

/// One stripe, loads and writes are overdue after ten seconds, and a hand that moves the clock on.
fn timed() -> (Cache<u64, u64>, impl Fn(u64)) {
    let (clock, hand) = Clock::mock();
    let cache = Cache::builder().stripes(1).max_capacity(100).clock(clock).load_timeout(10 * SECOND).build().unwrap();
    (cache, move |seconds| hand.advance(Duration::from_secs(seconds)))
}

#[test]
fn whoever_came_first_goes_first_after_an_overdue_write_too() {
    let (cache, advance) = timed();
    let order = Mutex::new(Vec::new());
    let mut first = Task::new(cache.write_through_async(1, |_| pending::<Result<Loaded<u64>, ()>>()));
    first.pends();
    let mut second = Task::new(cache.write_through_async(1, |_| {
        order.lock().unwrap().push(2);
        async { Ok::<_, ()>(Loaded::new(2)) }
    }));
    second.pends();
    advance(11);
    let mut third = Task::new(cache.write_through_async(1, |_| {
        order.lock().unwrap().push(3);
        async { Ok::<_, ()>(Loaded::new(3)) }
    }));
    let _ = third.poll();
    let _ = second.poll();
    if !third.is_over() {
        let _ = third.poll();
    }
    assert_eq!(*order.lock().unwrap(), [2, 3]);
}

#[test]
fn a_load_that_was_leaked_goes_though_somebody_waited_for_it_when_it_was_due() {
    let (cache, advance) = timed();
    let Leased::Lease(lease) = cache.get_or_lease(&1, None) else { panic!("nobody else loads") };
    forget(lease);
    let mut waiter = Task::new(cache.get_with_async(&1, async { 1 }));
    waiter.pends();
    advance(11);
    // Sweeps while the waiter is there.
    cache.insert(2, 2);
    drop(waiter);
    for _ in 0..10 {
        advance(11);
        cache.insert(2, 2);
    }
    assert_eq!(cache.stats().flights, 0);
}

#[test]
fn the_source_that_stands_in_the_value_is_known_too() {
    let cache: Cache<u64, u64> = Cache::builder().max_capacity(100).versioned_by(|_, value| *value).build().unwrap();
    cache.insert(7, 1);
    let written = cache.write_through(7, |_| {
        cache.remove(&7);
        Ok::<_, ()>(Loaded::new(10))
    });
    assert_eq!(written, Ok(None));
    assert!(cache.insert_at(7, 9, 9).is_err(), "the source has acknowledged 10");
}

#[test]
fn a_newer_value_by_its_own_source_stays() {
    let cache: Cache<u64, u64> = Cache::builder().max_capacity(100).versioned_by(|_, value| *value).build().unwrap();
    cache.insert(7, 1);
    let written = cache.write_through(7, |_| {
        cache.insert(7, 11);
        Ok::<_, ()>(Loaded::new(10))
    });
    assert_eq!((written, cache.get(&7)), (Ok(None), Some(11)));
}

#[test]
fn who_came_after_the_end_of_a_group_does_not_get_what_is_not_stored_because_of_a_write() {
    let cache: Cache<u64, u64> = Cache::builder().max_capacity(100).group_by(|_, value| [*value % 10]).build().unwrap();
    let mut write = Task::new(cache.write_through_async(7, |_| pending::<Result<Loaded<u64>, ()>>()));
    write.pends();
    let Leased::Lease(slow) = cache.get_or_lease(&7, None) else { panic!("nobody else loads") };
    cache.invalidate_group(&1_u64);
    let mut late = Task::new(cache.get_with_async(&7, async { 21 }));
    late.pends();
    assert!(slow.fill(11).is_err());
    assert_eq!(late.ends(), 21);
}

#[test]
fn who_writes_after_an_overdue_write_that_was_swept_away_does_not_build_on_what_it_may_have_replaced() {
    let (cache, advance) = timed();
    cache.insert(7, 1);
    let mut leaked = Task::new(cache.write_through_async(7, |_| pending::<Result<Loaded<u64>, ()>>()));
    leaked.pends();
    forget(leaked);
    advance(11);
    cache.insert(8, 8);
    cache.insert(8, 8);
    let found = AtomicU64::new(0);
    let _ = cache.write_through(7, |current| {
        found.store(current.map_or(0, |entry| *entry), SeqCst);
        Ok::<_, ()>(Loaded::new(3))
    });
    assert_eq!(found.load(SeqCst), 0);
}

#[test]
fn what_overlaps_an_overdue_write_is_not_stored_after_it() {
    for swept in [false, true] {
        let (cache, advance) = timed();
        let mut leaked = Task::new(cache.write_through_async(7, |_| pending::<Result<Loaded<u64>, ()>>()));
        leaked.pends();
        forget(leaked);
        advance(5);
        // Reads the old state, before the source commits the new one.
        let Leased::Lease(lease) = cache.get_or_lease(&7, None) else { panic!("nobody else loads") };
        advance(6);
        if swept {
            cache.insert(8, 8);
            cache.insert(8, 8);
        }
        assert!(lease.fill(1).is_err(), "swept: {swept}");
        // Whoever loads from here on began after the write was over.
        assert_eq!((cache.get_with(&7, || 2), cache.get(&7)), (2, Some(2)));
    }
}

#[test]
fn a_circle_through_a_load_that_was_taken_over_is_known() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::new(100);
        let Leased::Lease(lease) = cache.get_or_lease(&1, None) else { panic!("nobody else loads") };
        // Each loads a key and, inside, the other's.
        let load = |key, other| cache.try_get_with(&key, || cache.try_get_with(&other, || Ok::<_, ()>(other)).map_err(|_| ()));
        let waits = |wanted| {
            while cache.stats().waits < wanted {
                thread::yield_now();
            }
        };
        thread::scope(|scope| {
            let first = scope.spawn(|| load(1, 2));
            waits(1);
            let second = scope.spawn(|| load(2, 1));
            waits(2);
            drop(lease);
            // They do not wait for each other.
            [first, second].into_iter().for_each(|thread| _ = thread.join().expect("it ends well"));
        });
    });
}

#[test]
fn what_a_stale_entry_says_of_the_source_holds_in_a_transaction() {
    let (clock, hand) = Clock::mock();
    let cache = Cache::builder().clock(clock).time_to_live(10 * SECOND).serve_stale(10 * SECOND).max_capacity(100).build();
    let cache: Cache<u64, u64> = cache.unwrap();
    cache.insert_at(1, 5, 5).unwrap();
    let seen = cache.insert_at(2, 5, 5).unwrap();
    hand.advance(11 * SECOND);
    assert!(cache.transaction(|t| t.insert_at(1, 4, 4)).is_err(), "5 is known");
    cache.transaction(|t| t.insert(2, 6)).unwrap();
    let version = cache.get_entry(&2).map(|entry| entry.version);
    assert!(version > Some(seen), "{version:?} after {seen:?}");
    // One by one it is so:
    assert!(cache.insert_at(1, 4, 4).is_err());
}

#[test]
fn whoever_is_called_by_an_overdue_write_that_ends_goes_first() {
    let (cache, advance) = timed();
    let order = Mutex::new(Vec::new());
    let may_end = AtomicBool::new(false);
    let mut first = Task::new(cache.write_through_async(1, |_| {
        poll_fn(|_| match may_end.load(SeqCst) {
            true => Poll::Ready(Ok::<_, ()>(Loaded::new(1))),
            false => Poll::Pending,
        })
    }));
    first.pends();
    let write = |number| {
        let order = &order;
        Task::new(cache.write_through_async(1, move |_| {
            order.lock().unwrap().push(number);
            async move { Ok::<_, ()>(Loaded::new(number)) }
        }))
    };
    let (mut second, mut third) = (write(2), write(3));
    second.pends();
    third.pends();
    advance(11);
    may_end.store(true, SeqCst);
    assert_eq!(first.ends(), Ok(None));
    let _ = third.poll();
    let _ = second.poll();
    if !third.is_over() {
        let _ = third.poll();
    }
    assert_eq!(*order.lock().unwrap(), [2, 3]);
}

/// A time source that can be made to panic.
#[derive(Clone, Default)]
struct Broken(Arc<AtomicBool>);

impl TimeSource for Broken {
    fn now(&self) -> Duration {
        assert!(!self.0.load(SeqCst), "the clock is broken");
        SECOND
    }
}

/// A cache with an entry of key 1, and what is left of it after a write of that key at whose end the clock panics.
fn after_a_panic() -> Cache<u64, u64> {
    let broken = Broken::default();
    let clock = Clock::from_source(broken.clone());
    let cache: Cache<u64, u64> = Cache::builder().clock(clock).load_timeout(10 * SECOND).build().unwrap();
    cache.insert(1, 1);
    let written = catch_unwind(AssertUnwindSafe(|| {
        cache.write_through(1, |_| {
            broken.0.store(true, SeqCst);
            Ok::<_, ()>(Loaded::new(2))
        })
    }));
    assert!(written.is_err());
    broken.0.store(false, SeqCst);
    cache
}

#[test]
fn a_clock_that_panics_at_the_end_of_a_write_is_a_panic_and_no_abort() {
    watched(|| {
        let cache = after_a_panic();
        assert!(cache.write_through(1, |_| Ok::<_, ()>(Loaded::new(3))).unwrap().is_some());
    });
}

#[test]
fn a_write_that_ends_in_a_panic_of_the_clock_leaves_nothing_old() {
    watched(|| assert_eq!(after_a_panic().get(&1), None, "nobody knows what the source has"));
}

/// No bug, but nothing else told if it became one: between two turns nobody writes.
#[test]
fn between_two_turns_loads_are_stored_and_what_was_written_stays() {
    let (cache, _) = timed();
    let found = AtomicU64::new(0);
    let may_end = AtomicBool::new(false);
    let mut first = Task::new(cache.write_through_async(7, |_| {
        poll_fn(|_| if may_end.load(SeqCst) { Poll::Ready(Ok::<_, ()>(Loaded::new(1))) } else { Poll::Pending })
    }));
    first.pends();
    let mut second = Task::new(cache.write_through_async(7, |current| {
        found.store(current.map_or(0, |entry| *entry), SeqCst);
        async { Ok::<_, ()>(Loaded::new(2)) }
    }));
    second.pends();
    may_end.store(true, SeqCst);
    assert!(first.ends().unwrap().is_some());
    assert_eq!(cache.get(&7), Some(1));
    // The second has been called, and has not come yet.
    cache.invalidate(&7);
    assert_eq!((cache.get_with(&7, || 5), cache.get(&7)), (5, Some(5)));
    assert!(second.ends().unwrap().is_some());
    assert_eq!((found.load(SeqCst), cache.get(&7)), (5, Some(2)));
}

/// As above: a group that ended before a turn began is none of its business.
#[test]
fn a_write_that_begins_after_the_end_of_a_group_is_stored() {
    let cache = Cache::builder().stripes(1).max_capacity(100).group_by(|_, value| [*value % 10]);
    let cache: Cache<u64, u64> = cache.build().unwrap();
    // As long as it is under way the stripe remembers which groups have ended.
    let Leased::Lease(_lease) = cache.get_or_lease(&8, None) else { panic!("nobody else loads") };
    cache.invalidate_group(&1_u64);
    assert!(cache.write_through(7, |_| Ok::<_, ()>(Loaded::new(11))).unwrap().is_some());
    assert_eq!(cache.get(&7), Some(11));
}
