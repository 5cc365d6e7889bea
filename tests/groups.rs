//! Groups: an entry is in the groups that `group_by` and its write name, whatever wrote it, for as long as it is there and no longer; and
//! `invalidate_group` takes out these entries and no others.

mod common;
#[path = "fences/faces.rs"]
mod faces;
mod grouped;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use std::time::Instant;

use brindle::Cache;
use brindle::Cause;
use brindle::Clock;
use brindle::Expected;
use brindle::Loaded;
use brindle::Op;
use brindle::Removed;

use common::executor::block_on;
use common::watched;
use faces::On;
use faces::Way;
use faces::call;
use faces::future;
use faces::ways;
use grouped::Numbers;
use grouped::builder;
use grouped::grouped;
use grouped::read;
use grouped::twice;
use grouped::value;

const KEY: u64 = 7;
const OTHER: u64 = 8;
const SECOND: Duration = Duration::from_secs(1);

/// Loads this value, on this thread.
fn load(cache: &Numbers, way: Way, key: u64, value: u64) {
    let loaded = match way.on {
        On::Thread => call(cache, way.face, &key, || Ok(value)),
        On::Task => block_on(future(cache, way.face, key, async move { Ok(value) })),
    };
    assert_eq!(loaded.value(), value, "{way}");
}

/// Writes a value of a key.
type Writing = Box<dyn Fn(&Numbers, u64, u64)>;

struct Write {
    name: String,
    act: Writing,
    /// Writes over what is there, too.
    replaces: bool,
}

fn writes() -> Vec<Write> {
    type Act = fn(&Numbers, u64, u64);
    let transact: [(&str, Act); 5] = [
        ("transaction, insert", |cache, key, value| cache.transaction(|t| t.insert(key, value)).unwrap()),
        ("transaction, insert_at", |cache, key, value| cache.transaction(|t| t.insert_at(key, value, 5)).unwrap()),
        ("transaction, insert_with_ttl", |cache, key, value| {
            cache.transaction(|t| t.insert_with_ttl(key, value, SECOND * 1_000)).unwrap();
        }),
        ("transaction, compare_and_swap", |cache, key, value| {
            let version = cache.get_ref(&key).map(|entry| entry.version());
            cache.transaction(|t| t.compare_and_swap(key, version, value)).unwrap();
        }),
        ("transaction, insert_in_groups", |cache, key, value| {
            cache.transaction(|t| t.insert_in_groups(key, value, ["of a transaction"])).unwrap();
        }),
    ];
    let plain: [(&str, Act); 9] = [
        ("insert", |cache, key, value| _ = cache.insert(key, value)),
        ("try_insert", |cache, key, value| _ = cache.try_insert(key, value).unwrap()),
        ("insert_with_ttl", |cache, key, value| _ = cache.insert_with_ttl(key, value, SECOND * 1_000)),
        ("insert_at", |cache, key, value| _ = cache.insert_at(key, value, 5).unwrap()),
        ("insert_in_groups", |cache, key, value| _ = cache.insert_in_groups(key, value, ["besides"])),
        ("insert_in_groups, none", |cache, key, value| _ = cache.insert_in_groups(key, value, [(); 0])),
        ("compare_and_swap", |cache, key, value| {
            let version = cache.get_ref(&key).map(|entry| entry.version());
            cache.compare_and_swap(key, version, value).unwrap();
        }),
        ("and_compute_with, put", |cache, key, value| _ = cache.entry(key).and_compute_with(|_| Op::Put(value))),
        ("reload, at a source", |cache, key, value| {
            cache.reload(&key, || Ok::<_, ()>(Loaded::new(value).at(9).with_ttl(SECOND * 1_000))).unwrap();
        }),
    ];
    let named = |(name, act): (&str, Act)| Write { name: name.to_string(), act: Box::new(act), replaces: true };
    let absent = Write {
        name: "insert_if_absent".to_string(),
        act: Box::new(|cache, key, value| _ = cache.insert_if_absent(key, value).unwrap()),
        replaces: false,
    };
    let loads = ways().into_iter().map(|way| Write {
        name: way.to_string(),
        act: Box::new(move |cache, key, value| load(cache, way, key, value)),
        replaces: way.reloads(),
    });
    plain.into_iter().chain(transact).map(named).chain([absent]).chain(loads).collect()
}

#[test]
fn whatever_writes_a_value_puts_it_in_its_groups() {
    watched(|| {
        for write in writes() {
            for first in [None, Some(value(9, &[4, 5])), Some(value(9, &[]))] {
                if first.is_some() && !write.replaces {
                    continue;
                }
                for written in [value(1, &[1, 2]), twice(1, &[1, 2])] {
                    for through in [1, 2] {
                        let case = format!("{} over {first:?}, group {through}", write.name);
                        let cache = grouped();
                        first.map(|first| cache.insert(KEY, first));
                        cache.insert(OTHER, value(2, &[3, 4]));
                        (write.act)(&cache, KEY, written);
                        assert_eq!((cache.invalidate_group(&5_u64), cache.get(&KEY)), (0, Some(written)), "old group: {case}");
                        assert_eq!(cache.invalidate_group(&through), 1, "{case}");
                        assert_eq!(read(&cache, [KEY, OTHER]), [(OTHER, value(2, &[3, 4]))], "{case}");
                        assert_eq!(cache.invalidate_group(&(3 - through)), 0, "it has left its other group, too: {case}");
                        (write.act)(&cache, KEY + 100, value(1, &[6]));
                        assert_eq!(cache.invalidate_group(&through), 0, "{case}");
                    }
                }
            }
        }
    });
}

#[test]
fn what_writes_nothing_changes_no_groups() {
    type Try = fn(&Numbers, u64);
    let tries: [(&str, Try); 9] = [
        ("compare_and_swap that fails", |cache, new| assert!(cache.compare_and_swap(KEY, Expected::Absent, new).is_err())),
        ("insert_if_absent of what is there", |cache, new| assert!(cache.insert_if_absent(KEY, new).is_err())),
        ("insert_at of old news", |cache, new| assert!(cache.insert_at(KEY, new, 4).is_err())),
        ("and_compute_with, keep", |cache, _| _ = cache.entry(KEY).and_compute_with(|_| Op::Keep)),
        ("a load that fails", |cache, _| assert!(cache.try_refresh(&KEY, || Err(())).is_err())),
        ("a load of what is older", |cache, new| _ = cache.reload(&KEY, || Ok::<_, ()>(Loaded::new(new).at(4)))),
        ("a lease that is dropped", |cache, _| drop(cache.get_or_lease(&OTHER, None))),
        ("a transaction that is aborted", |cache, new| {
            let aborted = cache.transaction(|t| {
                t.insert(KEY, new);
                t.invalidate_group(&1_u64);
                t.expect_version(&OTHER, cache.get_ref(&KEY).map(|entry| entry.version()));
            });
            assert!(aborted.is_err());
        }),
        ("a transaction that fails", |cache, new| {
            let failed = cache.try_transaction(|t| {
                t.insert_in_groups(KEY, new, [2_u64]);
                Err::<(), _>("no")
            });
            assert!(failed.is_err());
        }),
    ];
    watched(move || {
        for (name, act) in tries {
            let cache = grouped();
            cache.insert_at(KEY, value(1, &[1]), 5).unwrap();
            act(&cache, value(2, &[2]));
            assert_eq!((cache.invalidate_group(&2_u64), cache.get(&KEY)), (0, Some(value(1, &[1]))), "{name}");
            assert_eq!((cache.invalidate_group(&1_u64), cache.get(&KEY)), (1, None), "{name}");
        }
    });
}

#[test]
fn groups_may_be_named_by_the_write() {
    watched(|| {
        for cache in [Cache::new(1_000), grouped()] {
            let all = || {
                cache.clear();
                cache.insert_in_groups(1, value(1, &[]), ["a", "b", "a"]);
                cache.insert_in_groups(2, value(2, &[]), vec![String::from("b"), String::from("c")]);
                cache.insert_in_groups(3, value(3, &[3]), [3_u64, 30]);
                cache.transaction(|t| t.insert_in_groups(4, value(4, &[3]), [(1_u8, "pair")])).unwrap();
                cache.insert(5, value(5, &[]));
            };
            let keys_after =
                |taken: usize| read(&cache, 1..=5).iter().map(|pair| pair.0).chain([100 + taken as u64]).collect::<Vec<_>>();
            all();
            assert_eq!(keys_after(cache.invalidate_group("b")), [3, 4, 5, 102]);
            all();
            assert_eq!(keys_after(cache.invalidate_group("c")), [1, 3, 4, 5, 101]);
            assert_eq!(keys_after(cache.invalidate_group(&30_u64)), [1, 4, 5, 101]);
            assert_eq!(keys_after(cache.invalidate_group(&(1_u8, "pair"))), [1, 5, 101]);
            assert_eq!(keys_after(cache.invalidate_group("d")), [1, 5, 100]);
            // Whatever writes over it takes it out of them.
            for (key, write) in (100..).zip(writes().into_iter().filter(|write| write.replaces)) {
                cache.insert_in_groups(key, value(1, &[]), ["named"]);
                (write.act)(&cache, key, value(2, &[]));
                assert_eq!((cache.invalidate_group("named"), cache.get(&key)), (0, Some(value(2, &[]))), "{}", write.name);
            }
        }
    });
}

#[test]
fn what_leaves_is_in_no_group_any_more() {
    type Leave = fn(&Numbers, &brindle::MockClock);
    let ways_out: [(&str, Leave); 14] = [
        ("insert", |cache, _| _ = cache.insert(KEY, value(2, &[2]))),
        ("remove", |cache, _| _ = cache.remove(&KEY)),
        ("remove_if", |cache, _| _ = cache.remove_if(&KEY, |_, _| true)),
        ("invalidate", |cache, _| _ = cache.invalidate(&KEY)),
        ("invalidate_at", |cache, _| _ = cache.invalidate_at(&KEY, 9)),
        ("retain", |cache, _| cache.retain(|key, _| *key != KEY)),
        ("clear", |cache, _| cache.clear()),
        ("evict", |cache, _| {
            cache.set_capacity(0);
            cache.set_capacity(1_000);
        }),
        ("expire", |cache, hand| {
            cache.insert_with_ttl(KEY, value(1, &[1]), SECOND);
            hand.advance(SECOND * 10);
            // Ordinary traffic drops it.
            (1_000..3_000).for_each(|key| _ = cache.insert(key, value(0, &[])));
            cache.reclaim();
        }),
        ("and_compute_with, remove", |cache, _| _ = cache.entry(KEY).and_compute_with(|_| Op::Remove)),
        ("invalidate_group", |cache, _| assert_eq!(cache.invalidate_group(&0_u64), 1)),
        ("transaction, remove", |cache, _| _ = cache.transaction(|t| t.remove(&KEY)).unwrap()),
        ("transaction, invalidate", |cache, _| cache.transaction(|t| t.invalidate(&KEY)).unwrap()),
        ("transaction, invalidate_group", |cache, _| cache.transaction(|t| t.invalidate_group(&0_u64)).unwrap()),
    ];
    watched(move || {
        for (name, leave) in ways_out {
            let (clock, hand) = Clock::mock();
            let cache = builder().clock(clock).build().unwrap();
            cache.insert(KEY, value(1, &[0, 1]));
            leave(&cache, &hand);
            assert_ne!(cache.get(&KEY), Some(value(1, &[0, 1])), "{name}");
            cache.insert(KEY, value(3, &[3]));
            assert_eq!([0, 1, 2].map(|group: u64| cache.invalidate_group(&group)), [0; 3], "{name}");
            assert_eq!(cache.get(&KEY), Some(value(3, &[3])), "{name}");
            assert_eq!(cache.invalidate_group(&3_u64), 1, "{name}");
        }
    });
}

#[test]
fn there_may_be_many_of_all() {
    const MANY: u64 = 5_000;
    watched(|| {
        for stripes in [1, 16] {
            let cache = builder().stripes(stripes).build().unwrap();
            // One value in thousands of groups,
            for through in [0, MANY / 2, MANY - 1] {
                cache.insert_in_groups(KEY, value(1, &[]), (0..MANY).map(|group| ("many", group)));
                assert_eq!(cache.invalidate_group(&("many", through)), 1);
                assert_eq!((0..MANY).map(|group| cache.invalidate_group(&("many", group))).sum::<usize>(), 0);
            }
            // thousands of values in one group,
            (0..MANY).for_each(|key| _ = cache.insert(key, value(key, &[key % 2])));
            assert_eq!(cache.invalidate_group(&1_u64), MANY as usize / 2);
            assert_eq!(cache.len(), MANY as usize / 2);
            assert!((0..MANY).all(|key| cache.contains_key(&key) == (key % 2 == 0)));
            assert_eq!(cache.invalidate_group(&0_u64), MANY as usize / 2);
            assert!(cache.is_empty());
            // and thousands of groups of one value or two.
            (0..MANY).for_each(|key| _ = cache.insert_in_groups(key, 0, [("few", key), ("few", (key + 1) % MANY)]));
            for group in (0..MANY).step_by(5) {
                assert_eq!(cache.invalidate_group(&("few", group)), 2);
            }
            assert_eq!(cache.len() as u64, MANY - MANY / 5 * 2);
            // Nobody is in any of them twice, however often it was written.
            cache.clear();
            (0..100).for_each(|_| _ = cache.insert(KEY, twice(1, &[1])));
            assert_eq!((cache.invalidate_group(&1_u64), cache.invalidate_group(&1_u64)), (1, 0));
        }
    });
}

fn took(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// A thousand of them, each of one member, cost less than some walks over all entries: none of them is a walk.
#[test]
fn an_invalidation_costs_what_the_group_has_members() {
    const KEYS: u64 = 50_000;
    watched(|| {
        let cache = grouped();
        (0..KEYS).for_each(|key| _ = cache.insert_in_groups(key, value(key, &[1]), [("its own", key)]));
        let is_quicker = |round: u64| {
            let walks = took(|| (0..50).for_each(|_| cache.retain(|_, _| true)));
            let groups = took(|| {
                for key in round * 1_000..(round + 1) * 1_000 {
                    assert_eq!(cache.invalidate_group(&("its own", key)), 1);
                    assert_eq!(cache.invalidate_group(&("nobody's", key)), 0);
                }
            });
            println!("1000 groups of one and 1000 of none: {groups:?}, 50 walks: {walks:?}");
            assert_eq!(cache.len() as u64, KEYS - (round + 1) * 1_000);
            groups < walks
        };
        // Somebody else may have had the processor meanwhile, though not each time.
        assert!((0..4).any(is_quicker), "an invalidation costs as much as a walk");
    });
}

#[test]
fn a_transaction_invalidates_what_is_in_the_group_when_it_commits() {
    watched(|| {
        let cache = grouped();
        cache.insert(1, value(1, &[1]));
        cache.insert(2, value(2, &[1, 2]));
        cache.insert(3, value(3, &[2]));
        let outside = cache.clone();
        let written = cache.transaction(move |t| {
            t.insert(4, value(4, &[1]));
            t.invalidate_group(&1_u64);
            t.insert(3, value(30, &[1]));
            // Joins the group before the commit.
            outside.insert(5, value(5, &[1]));
            assert_eq!(read(&outside, 1..=5).len(), 4, "nothing is seen before the commit");
        });
        written.unwrap();
        assert_eq!(read(&cache, 1..=5), [(3, value(30, &[1])), (4, value(4, &[1]))], "own writes stay");
        assert_eq!(cache.invalidate_group(&2_u64), 0, "3 has left it");
        assert_eq!(cache.invalidate_group(&1_u64), 2);
    });
}

#[test]
fn the_listener_hears_of_every_member_once() {
    watched(|| {
        let told: Arc<Mutex<Vec<(u64, Cause)>>> = Arc::default();
        let inner: Arc<Mutex<Option<Numbers>>> = Arc::default();
        let taken = Arc::new(AtomicUsize::new(0));
        let (tell, within, take) = (Arc::clone(&told), Arc::clone(&inner), Arc::clone(&taken));
        let listener = move |removed: Removed<u64, u64>| {
            tell.lock().unwrap().push((*removed.key(), removed.cause()));
            // Outside of all locks: it may do the same again, and hears of what is left then.
            let cache = within.lock().unwrap().clone();
            cache.inspect(|cache| _ = take.fetch_add(cache.invalidate_group(&1_u64), SeqCst));
        };
        let cache = builder().removal_listener(listener).build().unwrap();
        *inner.lock().unwrap() = Some(cache.clone());
        (0..20).for_each(|key| _ = cache.insert(key, value(key, if key % 3 == 0 { &[1, 2] } else { &[2] })));
        assert_eq!(cache.invalidate_group(&1_u64) + taken.load(SeqCst), 7);
        let mut heard = std::mem::take(&mut *told.lock().unwrap());
        heard.sort_unstable_by_key(|notice| notice.0);
        let members: Vec<_> = (0..20).step_by(3).map(|key| (key, Cause::Invalidated)).collect();
        assert_eq!(heard, members);
        assert_eq!(cache.stats().invalidated, 7);
        *inner.lock().unwrap() = None;
    });
}

#[test]
fn what_was_known_of_a_member_stays_known() {
    watched(|| {
        let cache = grouped();
        let first = cache.insert_at(KEY, value(1, &[1]), 5).unwrap();
        let guard = cache.get_ref(&KEY).unwrap();
        assert_eq!(cache.invalidate_group(&1_u64), 1);
        assert_eq!(*guard, value(1, &[1]), "a guard keeps what it has");
        assert!(cache.insert_at(KEY, value(2, &[1]), 4).is_err(), "older than what was taken out");
        assert!(cache.compare_and_swap(KEY, first, value(2, &[1])).is_err());
        assert_eq!(cache.get(&KEY), None);
        let second = cache.insert(KEY, value(3, &[1]));
        assert!(second > first);
        cache.invalidate_group(&1_u64);
        assert!(cache.insert_at(KEY, value(4, &[2]), 6).unwrap() > second);
        assert_eq!(cache.invalidate_group(&2_u64), 1);
    });
}
