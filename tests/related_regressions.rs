//! What a review of transactions, snapshots, groups and writes through the cache found: each of these went wrong once.

mod common;

use std::future::pending;
use std::mem::forget;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use brindle::Cache;
use brindle::Clock;
use brindle::Leased;
use brindle::LoadError;
use brindle::Loaded;
use brindle::WriteError;

use common::Itself;
use common::executor::Task;
use common::watched;

const SECOND: Duration = Duration::from_secs(1);

/// Runs `work`; false if it hangs. What hangs is leaked.
fn ends(work: impl FnOnce() + Send + 'static) -> bool {
    let (done, waiting) = channel();
    thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    waiting.recv_timeout(10 * SECOND).is_ok()
}

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
        let ended = ends(move || {
            let _ = cache.write_through(1, |_| Ok::<_, ()>(Loaded::new(2)));
        });
        assert!(ended, "the write waits for itself");
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
        let ended = ends(move || {
            let _ = cache.write_through(1, |_| Ok::<_, ()>(Loaded::new(2)));
        });
        assert!(ended, "the write waits for itself");
    });
}

#[test]
fn a_circle_through_the_line_is_known_though_the_turn_has_passed_on() {
    watched(|| {
        let cache: Cache<u64, u64> = Cache::new(100);
        let (first_may_end, first_waits) = channel::<()>();
        let (first_began, began) = channel();
        let one = cache.clone();
        let first = thread::spawn(move || {
            one.write_through(1, |_| {
                first_began.send(()).unwrap();
                first_waits.recv().unwrap();
                Ok::<_, ()>(Loaded::new(1))
            })
        });
        began.recv().unwrap();
        // The second in line will need key 2.
        let two = cache.clone();
        let (second_ended, second) = channel();
        thread::spawn(move || {
            let written = two.write_through(1, |_| match two.try_get_with(&2, || Ok::<_, ()>(20)) {
                Ok(value) => Ok(Loaded::new(value)),
                Err(error) => Err(error),
            });
            second_ended.send(written).unwrap();
        });
        thread::sleep(Duration::from_millis(200));
        // Whoever loads key 2 is the third in line.
        let three = cache.clone();
        let (third_ended, third) = channel();
        thread::spawn(move || {
            let loaded = three.try_get_with(&2, || three.write_through(1, |_| Ok::<_, ()>(Loaded::new(3))).map(|_| 2));
            third_ended.send(loaded).unwrap();
        });
        thread::sleep(Duration::from_millis(200));
        first_may_end.send(()).unwrap();
        first.join().unwrap().unwrap();
        let second = second.recv_timeout(10 * SECOND).expect("the second waits for the third, and the third for the second");
        let third = third.recv_timeout(10 * SECOND).expect("the third waits for the second");
        let refused = matches!(second, Err(WriteError::Failed(LoadError::Reentrant)));
        assert!(refused || matches!(third, Err(LoadError::Failed(WriteError::Reentrant))));
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
                std::hint::spin_loop();
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

fn stale() -> (Cache<u64, u64>, impl Fn()) {
    let (clock, hand) = Clock::mock();
    let cache = Cache::builder().clock(clock).time_to_live(10 * SECOND).serve_stale(10 * SECOND).build().unwrap();
    cache.insert(1, 1);
    cache.insert(2, 2);
    hand.advance(11 * SECOND);
    (cache, move || hand.advance(SECOND))
}

/// Somebody loads: who comes then is served what is stale.
fn is_served(cache: &Cache<u64, u64>) -> bool {
    let Leased::Lease(_lease) = cache.get_or_lease(&1, None) else { return false };
    let mut second = Task::new(cache.get_with_async(&1, async { 9 }));
    matches!(second.poll(), std::task::Poll::Ready(1))
}

#[test]
fn a_read_leaves_what_is_stale() {
    let (cache, _) = stale();
    assert_eq!(cache.get(&1), None);
    let fine = is_served(&cache);
    assert!(fine);
}

#[test]
fn a_snapshot_leaves_what_is_stale_to_loads() {
    let (cache, _) = stale();
    assert_eq!(cache.get_many_snapshot(&[1, 2]), [None, None]);
    assert_eq!(cache.stats().expired, 0);
    assert!(is_served(&cache));
}

#[test]
fn a_transaction_that_only_reads_leaves_what_is_stale_to_loads() {
    let (cache, _) = stale();
    cache.transaction(|t| t.read(&1)).unwrap();
    assert!(is_served(&cache));
}

#[test]
fn a_transaction_that_aborts_leaves_what_is_stale_to_loads() {
    let (cache, _) = stale();
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
        let (first_done, first) = channel();
        let one = cache.clone();
        thread::spawn(move || {
            let loaded = one.try_get_with(&1, || one.try_get_with(&2, || Ok::<_, ()>(2)).map_err(|_| ()));
            first_done.send(loaded).unwrap();
        });
        thread::sleep(SECOND / 5);
        let (second_done, second) = channel();
        let two = cache.clone();
        thread::spawn(move || {
            let loaded = two.try_get_with(&2, || two.try_get_with(&1, || Ok::<_, ()>(1)).map_err(|_| ()));
            second_done.send(loaded).unwrap();
        });
        thread::sleep(SECOND / 5);
        drop(lease);
        assert!(first.recv_timeout(10 * SECOND).is_ok() && second.recv_timeout(10 * SECOND).is_ok(), "they wait for each other");
    });
}
