//! Promise 9 for groups: the index is bounded by the entries and leaves with them, whichever way they leave; and invalidations leave nothing,
//! however many there are and whatever is being loaded meanwhile. Every byte is counted.

#[path = "common/bytes.rs"]
mod bytes;
mod common;
mod grouped;

use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::Lease;
use brindle::Leased;
use brindle::MockClock;
use brindle::Op;
use brindle::WhyUnfilled;

use bytes::Counting;
use bytes::in_use;
use common::watched;
use grouped::Numbers;
use grouped::groups_of;
use grouped::value;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Runs `test`, watched, with an account of its own.
fn counted(test: impl FnOnce() + Send + 'static) {
    watched(move || bytes::on(bytes::open(), test));
}

const SECOND: Duration = Duration::from_secs(1);
const ROOM: u64 = 500;

/// A cache of `ROOM` entries, and the hand of its clock.
fn small() -> (Numbers, MockClock) {
    let (clock, hand) = Clock::mock();
    let builder = Cache::builder().max_capacity(ROOM).stripes(2).clock(clock).time_to_live(SECOND * 1_000);
    (builder.group_by(|key, value| groups_of(*value).into_iter().chain([100 + *key])).build().unwrap(), hand)
}

/// What is in use when nothing is resident.
#[track_caller]
fn settled(cache: &Numbers, what: &str) -> i64 {
    cache.clear();
    cache.reclaim();
    assert_eq!((cache.len(), cache.stats().flights), (0, 0), "{what}");
    in_use()
}

/// Three groups of its own for each key, besides those of its value.
fn fill(cache: &Numbers, number: u64) {
    cache.insert_in_groups(number, value(number, &[number % 3]), [("first", number), ("second", number), ("pair", number / 2)]);
}

type Round = fn(&Numbers, &MockClock, u64);

/// Each lets the entry of key `number` in, and out again.
const WAYS_OUT: [(&str, Round); 15] = [
    ("evicted", |cache, _, number| fill(cache, number)),
    ("loaded and evicted", |cache, _, number| _ = cache.get_with(&number, || value(number, &[1, 2, 3]))),
    ("replaced", |cache, _, number| fill(cache, number % 100)),
    ("replaced in another group", |cache, _, number| {
        cache.insert_in_groups(number % 10, value(number, &[]), [("of the value", number)]);
    }),
    ("removed", |cache, _, number| {
        fill(cache, number);
        cache.remove(&number);
    }),
    ("invalidated", |cache, _, number| {
        fill(cache, number);
        cache.invalidate_at(&number, 0);
        cache.invalidate(&number);
    }),
    ("computed away", |cache, _, number| {
        fill(cache, number);
        cache.entry(number).and_compute_with(|_| Op::Remove);
    }),
    ("retained not", |cache, _, number| {
        fill(cache, number);
        if number.is_multiple_of(100) {
            cache.retain(|_, _| false);
        }
    }),
    ("cleared", |cache, _, number| {
        fill(cache, number);
        if number.is_multiple_of(100) {
            cache.clear();
        }
    }),
    ("expired", |cache, hand, number| {
        fill(cache, number);
        hand.advance(SECOND * 100);
    }),
    ("too heavy", |cache, _, number| {
        cache.set_capacity(0);
        fill(cache, number);
        cache.set_capacity(ROOM);
    }),
    ("one group invalidated", |cache, _, number| {
        fill(cache, number);
        assert_eq!(cache.invalidate_group(&("first", number)), 1);
    }),
    ("many members invalidated", |cache, _, number| {
        fill(cache, number);
        if number.is_multiple_of(200) {
            (0..3).for_each(|group: u64| _ = cache.invalidate_group(&group));
            assert!(cache.is_empty());
        }
    }),
    ("by a transaction", |cache, _, number| {
        cache.transaction(|t| t.insert_in_groups(number, value(number, &[1]), [("first", number)])).unwrap();
        cache.transaction(|t| t.remove(&number)).unwrap();
    }),
    ("by a transaction's group", |cache, _, number| {
        fill(cache, number);
        cache.transaction(|t| t.invalidate_group(&("second", number))).unwrap();
    }),
];

#[test]
fn the_index_leaves_with_its_entries() {
    const TIMES: u64 = 10_000;
    for (name, round) in WAYS_OUT {
        counted(move || {
            // What a thread takes once, it has taken before the count begins.
            drop(small());
            let before = in_use();
            let (cache, hand) = small();
            (0..TIMES).for_each(|number| round(&cache, &hand, number));
            let left = settled(&cache, name) - before;
            // As much as a cache without groups has grown to by then. An index of so many entries would be far more.
            assert!(left <= 400 * 1024, "{left} bytes are left of {TIMES} times `{name}`");
            // Nor is there an entry to be found through it.
            assert_eq!((0..3).map(|group: u64| cache.invalidate_group(&group)).sum::<usize>(), 0, "{name}");
            drop((cache, hand));
            assert_eq!(in_use() - before, 0, "bytes left by `{name}`");
        });
    }
}

#[test]
fn the_index_is_a_part_of_the_memory_used() {
    counted(|| {
        let bytes = |in_groups: bool| {
            let cache: Numbers = Cache::builder().max_capacity(10_000).stripes(2).build().unwrap();
            for key in 0..10_000 {
                match in_groups {
                    true => cache.insert_in_groups(key, key, (0..10).map(|group| (group, key))),
                    false => cache.insert(key, key),
                };
            }
            (cache.memory_used() as i64, in_use(), cache)
        };
        let (plain, before, _plain) = bytes(false);
        let (with, after, cache) = bytes(true);
        // A hundred thousand memberships: the hash of the group at least, and where the entry is.
        let index = with - plain;
        assert!(index >= 100_000 * 8, "{index} bytes are said to be used");
        let real = after - before - plain;
        assert!((index - real).abs() <= real / 4 + 65_536, "{real} bytes are used, {index} are told of");
        assert!(index <= 100_000 * 100, "{index} bytes for a hundred thousand memberships");
        cache.clear();
        cache.reclaim();
        let left = in_use() - before;
        assert!(left < after - before - index / 2, "{left} bytes are left of {index}");
    });
}

const MILLION: u64 = 1_000_000;

fn lease(cache: &Numbers, key: u64) -> Lease<u64, u64> {
    match cache.get_or_lease(&key, None) {
        Leased::Lease(lease) => lease,
        _ => panic!("no lease of {key}"),
    }
}

#[test]
fn a_million_invalidations_leave_nothing() {
    counted(|| {
        let (cache, _hand) = small();
        drop(lease(&cache, 1));
        cache.invalidate_group(&0_u64);
        let before = in_use();
        assert_eq!((0..MILLION).map(|group| cache.invalidate_group(&group)).sum::<usize>(), 0);
        assert_eq!(in_use() - before, 0);
        // The same where there are entries in other groups.
        (0..100).for_each(|key| fill(&cache, key));
        let before = in_use();
        assert_eq!((0..MILLION / 10).map(|group| cache.invalidate_group(&("nobody's", group))).sum::<usize>(), 0);
        assert_eq!((in_use() - before, cache.len()), (0, 100));
    });
}

#[test]
fn a_hundred_thousand_invalidations_during_a_load_leave_nothing_after_it() {
    counted(|| {
        for ends in ["filled", "refused", "dropped", "fenced"] {
            let (cache, _hand) = small();
            drop(lease(&cache, 1));
            let before = in_use();
            let open = lease(&cache, 1);
            (0..MILLION / 10).for_each(|group| _ = cache.invalidate_group(&("during", group)));
            let held = in_use() - before;
            // A load may be slow, or hang for ever: that is no reason to keep all that ever happens.
            assert!(held < 512 * 1024, "{held} bytes are kept for one load");
            match ends {
                // Where so much was invalidated, it may be refused: that costs a load.
                "filled" => drop(open.fill(value(1, &[1]))),
                "refused" => {
                    cache.invalidate_group(&1_u64);
                    assert_eq!(open.fill(value(1, &[1])).unwrap_err().why, WhyUnfilled::Fenced);
                }
                "dropped" => drop(open),
                _ => {
                    cache.invalidate(&1);
                    drop(open);
                }
            }
            // What is kept for a load goes with it, or with the next.
            drop(lease(&cache, 2));
            let left = settled(&cache, ends) - before;
            assert!(left <= 1024, "{left} bytes are left after a load that was {ends}");
        }
    });
}

/// There is always a load under way, though none is for long.
#[test]
fn invalidations_among_loads_that_overlap_leave_nothing() {
    counted(|| {
        let (cache, _hand) = small();
        let mut open = lease(&cache, 0);
        let mut round = |number: u64| {
            let next = lease(&cache, number);
            cache.invalidate_group(&("between", number));
            drop(std::mem::replace(&mut open, next));
        };
        (1..1_000).for_each(&mut round);
        let before = in_use();
        (1_000..100_000).for_each(&mut round);
        let grown = in_use() - before;
        assert!(grown <= 16 * 1024, "{grown} bytes are left of 99000 invalidations among loads");
    });
}

/// Groups come and go with values that are loaded, refused or not.
#[test]
fn loads_that_are_refused_leave_nothing() {
    counted(|| {
        let (cache, _hand) = small();
        let round = |number: u64| {
            let open = lease(&cache, number);
            assert_eq!(cache.invalidate_group(&1_u64), 0);
            assert!(open.fill(value(number, &[1, 2])).is_err());
        };
        (0..1_000).for_each(round);
        let level = settled(&cache, "refused");
        (1_000..100_000).for_each(round);
        let grown = settled(&cache, "refused") - level;
        assert!(grown <= 1024, "{grown} bytes are left of 99000 loads that were refused");
    });
}
