//! Promise 8, one key: every short sequence of changes and conditions in one transaction ends as the same calls do, made one by one on a cache
//! of their own, and is refused as a whole if one of them is. What is read on the way is what those calls would read.

mod common;

use std::collections::BTreeMap;
use std::hash::BuildHasherDefault;
use std::hash::DefaultHasher;
use std::mem::take;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use brindle::Aborted;
use brindle::Builder;
use brindle::Cache;
use brindle::Cause;
use brindle::Clock;
use brindle::EqualSource;
use brindle::Expected;
use brindle::MockClock;
use brindle::Ordering;
use brindle::Transaction;
use brindle::Version;
use brindle::WhyAborted;

use common::executor::Task;
use common::watched;

type Hasher = BuildHasherDefault<DefaultHasher>;
type Tried = Cache<u64, u64, Hasher>;
type Told = Arc<Mutex<Vec<(u64, u64, Cause)>>>;

/// What the key has before; the n-th change writes ten more than n.
const FIRST: u64 = 1;
/// No key of any case.
const OTHER: u64 = u64::MAX;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Change {
    Insert,
    InsertAt(u64),
    InsertFor(Duration),
    Swap,
    SwapWrong,
    Expect,
    Read,
    Remove,
    Invalidate,
    InvalidateAt(u64),
}

use Change::*;

/// No source of a write is one of an invalidation or that of the start (10): what a write says of its own source is then never the
/// same as what it takes over.
const CHANGES: [Change; 14] = [
    Insert,
    InsertAt(5),
    InsertAt(15),
    InsertAt(25),
    InsertFor(Duration::MAX),
    InsertFor(Duration::ZERO),
    Swap,
    SwapWrong,
    Expect,
    Read,
    Remove,
    Invalidate,
    InvalidateAt(8),
    InvalidateAt(18),
];

impl Change {
    fn writes(self) -> bool {
        matches!(self, Insert | InsertAt(_) | InsertFor(_) | Swap | SwapWrong)
    }

    fn takes_out(self) -> bool {
        matches!(self, Remove | Invalidate)
    }
}

type Start = fn(&Tried, u64, &MockClock);

const STARTS: [(&str, Start); 6] = [
    ("nothing", |_, _, _| {}),
    ("an entry", |cache, key, _| _ = cache.insert(key, FIRST)),
    ("an entry at 10", |cache, key, _| _ = cache.insert_at(key, FIRST, 10).unwrap()),
    ("an entry removed at 10", |cache, key, _| {
        cache.insert_at(key, FIRST, 10).unwrap();
        cache.remove(&key);
    }),
    ("dead below 10", |cache, key, _| assert!(cache.invalidate_at(&key, 10))),
    ("an entry at 10 that has expired", |cache, key, time| {
        cache.insert_at(key, 0, 10).unwrap();
        cache.insert_with_ttl(key, FIRST, Duration::from_secs(1));
        time.advance(Duration::from_secs(1));
    }),
];

type Choose = fn(Builder<u64, u64, Hasher>) -> Builder<u64, u64, Hasher>;

fn tried(choose: Choose) -> (Tried, MockClock, Told) {
    let (clock, time) = Clock::mock();
    let told = Told::default();
    let log = Arc::clone(&told);
    let builder = choose(Cache::builder().stripes(4).hasher(Hasher::default()).clock(clock));
    let builder = builder.removal_listener(move |removed: brindle::Removed<u64, u64>| {
        log.lock().unwrap().push((*removed.key(), *removed.value(), removed.cause()));
    });
    (builder.build().unwrap(), time, told)
}

/// One cache for the transactions, one for the calls one by one.
struct Pair {
    tried: Tried,
    model: Tried,
    told: Told,
    times: [MockClock; 2],
}

/// What is known of a sequence as it goes on.
struct Course {
    start: Option<Version>,
    /// A condition did not hold, a write was no news: the whole must abort.
    conflict: bool,
    superseded: bool,
    /// The last own value, if it is to be written, and whether an invalidation at a source came after it and nothing else did.
    pending: Option<u64>,
    unsaid: bool,
    /// Reads need not see what the model does.
    loose: bool,
}

impl Course {
    fn is_refused(&self) -> bool {
        self.conflict || self.superseded
    }

    /// The same call on the model, and what it means to the whole.
    fn goes_on(&mut self, change: Change, model: &Tried, key: u64, value: u64) {
        match change {
            Insert | Swap => _ = model.insert(key, value),
            InsertAt(source) => self.superseded |= model.insert_at(key, value, source).is_err(),
            InsertFor(ttl) => _ = model.insert_with_ttl(key, value, ttl),
            SwapWrong => self.conflict = true,
            Expect | Read => {}
            Remove => _ = model.remove(&key),
            Invalidate => _ = model.invalidate(&key),
            InvalidateAt(source) => _ = model.invalidate_at(&key, source),
        }
        if change.writes() {
            (self.pending, self.unsaid, self.loose) = (Some(value), false, change == InsertFor(Duration::ZERO));
        } else if change.takes_out() {
            (self.pending, self.unsaid, self.loose) = (None, false, false);
        } else if let InvalidateAt(_) = change {
            // An own value goes by the page, and may stay by the sources.
            let stays = model.contains_key(&key) || self.is_refused();
            self.loose |= stays;
            self.unsaid |= self.pending.is_some() && stays;
            if !stays {
                self.pending = None;
            }
        }
    }

    fn judge_read(&self, seen: Option<u64>, model: Option<u64>, case: &str) {
        if self.is_refused() {
            return;
        }
        let loosely = self.loose && (seen.is_none() || seen == self.pending);
        assert!(seen == model || loosely, "read {seen:?}, not {model:?}: {case}");
    }
}

fn change(t: &mut Transaction<'_, u64, u64, Hasher>, change: Change, key: u64, value: u64, [right, wrong]: [Expected; 2]) {
    match change {
        Insert => t.insert(key, value),
        InsertAt(source) => t.insert_at(key, value, source),
        InsertFor(ttl) => t.insert_with_ttl(key, value, ttl),
        Swap => t.compare_and_swap(key, right, value),
        SwapWrong => t.compare_and_swap(key, wrong, value),
        Expect => t.expect_version(&key, right),
        Read => _ = t.read(&key),
        Remove => _ = t.remove(&key),
        Invalidate => t.invalidate(&key),
        InvalidateAt(source) => t.invalidate_at(&key, source),
    }
}

impl Pair {
    fn new(choose: Choose) -> Self {
        let (tried, time, told) = tried(choose);
        let (model, model_time, _) = self::tried(choose);
        Pair { tried, model, told, times: [time, model_time] }
    }

    fn version(&self, key: u64) -> Option<Version> {
        self.tried.get_entry(&key).map(|entry| entry.version)
    }

    fn run(&self, start: Start, changes: &[Change], key: u64, case: &str) {
        let Pair { tried, model, told, times } = self;
        start(tried, key, &times[0]);
        start(model, key, &times[1]);
        let before = self.version(key);
        let wrong = before.map_or(Expected::Version(tried.insert(OTHER, 0)), |_| Expected::Absent);
        told.lock().unwrap().retain(|(of, value, cause)| (*of, *value, *cause) == (key, FIRST, Cause::Expired));
        let mut course = Course { start: before, conflict: false, superseded: false, pending: None, unsaid: false, loose: false };
        let result = tried.transaction(|t| {
            for (number, &next) in changes.iter().enumerate() {
                let value = 10 + number as u64;
                change(t, next, key, value, [before.into(), wrong]);
                course.goes_on(next, model, key, value);
                let seen = t.get(&key);
                course.judge_read(seen, model.get(&key), case);
                assert_eq!(t.contains_key(&key), seen.is_some(), "{case}");
                assert_eq!(self.version(key), before, "seen before the commit: {case}");
            }
            changes.len()
        });
        match result {
            Ok(answer) => {
                assert!(!course.is_refused(), "must abort: {case}");
                assert_eq!(answer, changes.len());
                self.judge(&course, changes, key, case);
            }
            Err(aborted) => self.judge_abort(&course, aborted, key, case),
        }
    }

    fn judge_abort(&self, course: &Course, aborted: Aborted<u64, u64>, key: u64, case: &str) {
        assert!(course.is_refused(), "{:?} for no reason: {case}", aborted.why);
        match aborted.why {
            WhyAborted::Conflict { current } => {
                assert!(course.conflict, "{case}");
                assert_eq!(current, course.start, "{case}");
            }
            WhyAborted::Superseded { current } => {
                assert!(course.superseded, "{case}");
                assert!(current.source() >= 5, "{current} stands in nobody's way: {case}");
            }
            _ => panic!("nobody knows why: {case}"),
        }
        assert_eq!((aborted.key, &aborted.others[..]), (key, &[][..]), "{case}");
        let unsaid = course.unsaid && aborted.value.is_none();
        assert!(aborted.value == course.pending || unsaid, "gives back {:?}: {case}", aborted.value);
        assert_eq!(self.version(key), course.start, "{case}");
        let told = take(&mut *self.told.lock().unwrap());
        assert!(told.iter().all(|(_, _, cause)| *cause == Cause::Expired), "told {told:?} of nothing: {case}");
    }

    fn judge(&self, course: &Course, changes: &[Change], key: u64, case: &str) {
        let (entry, right) = (self.tried.get_entry(&key), self.model.get_entry(&key));
        let value = entry.map(|entry| entry.value);
        assert!(value == right.map(|entry| entry.value) || (course.unsaid && value.is_none()), "left {value:?}: {case}");
        if course.unsaid {
            return;
        }
        assert_eq!(entry.map(|entry| entry.version.source()), right.map(|entry| entry.version.source()), "source: {case}");
        let version = entry.map(|entry| entry.version);
        if course.pending.is_some() {
            assert!(version.is_none() || version > course.start, "{version:?} after {:?}: {case}", course.start);
        } else {
            assert!(version.is_none() || version == course.start, "{version:?} though nothing was written: {case}");
        }
        self.judge_told(course, changes, value, key, case);
        for source in [3, 7, 9, 12, 16, 22, 30] {
            let write = |cache: &Tried| cache.insert_at(key, 99, source).is_ok();
            assert_eq!(write(&self.tried), write(&self.model), "then a write at {source}: {case}");
        }
    }

    /// The listener hears of the value that was in the cache, if it is gone, and of no own value but one that has no time.
    fn judge_told(&self, course: &Course, changes: &[Change], value: Option<u64>, key: u64, case: &str) {
        let mut told: BTreeMap<u64, Vec<Cause>> = BTreeMap::new();
        for (of, value, cause) in take(&mut *self.told.lock().unwrap()) {
            assert!(of == key || of == OTHER, "{case}");
            if of == key {
                told.entry(value).or_default().push(cause);
            }
        }
        let last = changes.iter().rfind(|change| change.writes());
        if let Some(own) = course.pending.filter(|_| last == Some(&InsertFor(Duration::ZERO))) {
            let own = told.remove(&own).unwrap_or_default();
            assert!(own.is_empty() || own == [Cause::Expired], "{case}");
        }
        let cause = match course.start {
            Some(_) if course.pending.is_some() => vec![Cause::Replaced],
            Some(_) if value.is_none() => vec![Cause::Invalidated],
            _ => vec![],
        };
        let of_first = told.remove(&FIRST).unwrap_or_default();
        assert!(of_first == cause || (course.start.is_none() && of_first == [Cause::Expired]), "told {of_first:?}: {case}");
        assert!(told.is_empty(), "told {told:?} that nobody has seen: {case}");
    }
}

fn all_sequences(most: usize) -> Vec<Vec<Change>> {
    let mut all = vec![vec![]];
    let mut from = 0;
    for _ in 0..most {
        let to = all.len();
        for shorter in from..to {
            all.extend(CHANGES.map(|change| [&all[shorter][..], &[change]].concat()));
        }
        from = to;
    }
    all
}

/// Nobody has said what the same source means, said twice in one transaction.
fn says_it_once(changes: &[Change]) -> bool {
    (1..changes.len()).all(|at| !matches!(changes[at], InsertAt(_)) || !changes[..at].contains(&changes[at]))
}

/// Every sequence of at most so many changes, from every start. With one cache for all, or, where what is known of one key says something of
/// others, one for each.
fn run_all(name: &str, choose: Choose, most: usize, alone: bool) {
    let sequences = all_sequences(most);
    for (start_name, start) in STARTS {
        let mut pair = Pair::new(choose);
        for (key, changes) in sequences.iter().filter(|changes| says_it_once(changes)).enumerate() {
            if alone {
                pair = Pair::new(choose);
            }
            pair.run(start, changes, key as u64, &format!("{changes:?} of {start_name}, {name}"));
        }
    }
}

#[test]
fn a_sequence_of_changes_ends_as_the_calls_one_by_one() {
    watched(|| run_all("plain", |builder| builder, 3, false));
}

#[test]
fn and_so_whatever_has_been_chosen() {
    watched(|| {
        let choices: [(&str, Choose); 6] = [
            ("equal sources replace", |builder| builder.equal_source(EqualSource::Replace)),
            ("idle entries expire", |builder| builder.time_to_idle(Duration::from_secs(3600))),
            ("a weigher", |builder| builder.weigher(|_, value| value % 3)),
            ("groups", |builder| builder.group_by(|_, value| [value % 2])),
            ("backoff", |builder| builder.negative_ttl(Duration::from_secs(1)).load_timeout(Duration::from_secs(1))),
            ("much at once", |builder| {
                builder.equal_source(EqualSource::Replace).time_to_live(Duration::from_secs(3600)).group_by(|_, _| [0])
            }),
        ];
        choices.into_iter().for_each(|(name, choose)| run_all(name, choose, 2, false));
    });
}

#[test]
fn and_so_where_loads_may_serve_what_has_expired() {
    watched(|| run_all("stale", |builder| builder.serve_stale(Duration::from_secs(1000)), 2, false));
}

#[test]
fn and_so_where_there_is_one_order_of_sources_and_room_for_no_tombstone() {
    watched(|| run_all("floors", |builder| builder.stripes(1).ordering(Ordering::Global).tombstone_capacity(0), 2, true));
}

/// Where a write says nothing of its source, what earlier ones said stays true, though their values are never seen.
#[test]
fn what_was_said_of_the_source_stays_true() {
    watched(|| {
        let (cache, _, told) = tried(|builder| builder);
        cache.insert_at(1, 1, 9).unwrap();
        let aborted = cache
            .transaction(|t| {
                t.insert_at(1, 2, 9);
                t.insert(1, 3);
            })
            .unwrap_err();
        assert!(matches!(aborted.why, WhyAborted::Superseded { current } if current.source() == 9), "{:?}", aborted.why);
        assert_eq!((aborted.key, aborted.value), (1, Some(3)));
        cache
            .transaction(|t| {
                t.insert_at(1, 2, 11);
                t.insert(1, 3);
            })
            .unwrap();
        assert_eq!(cache.get_entry(&1).map(|entry| (entry.value, entry.version.source())), Some((3, 11)));
        cache
            .transaction(|t| {
                t.insert_at(1, 4, 12);
                t.remove(&1);
            })
            .unwrap();
        assert_eq!(cache.insert_at(1, 5, 12).unwrap_err().current.source(), 12, "it was written at 12 and removed");
        cache
            .transaction(|t| {
                t.insert(2, 1);
                t.invalidate_at(&2, 7);
            })
            .unwrap();
        assert!(!cache.contains_key(&2) && cache.insert_at(2, 2, 6).is_err() && cache.insert_at(2, 2, 7).is_ok());
        let aborted = cache.transaction(|t| [6, 5].into_iter().for_each(|source| t.insert_at(3, source, source)));
        assert!(matches!(aborted.unwrap_err().why, WhyAborted::Superseded { .. }), "the second is no news to the first");
        assert!(!cache.contains_key(&3));
        let aborted = cache.transaction(|t| {
            t.invalidate_at(&3, 6);
            t.insert_at(3, 1, 5);
        });
        assert!(matches!(aborted.unwrap_err().why, WhyAborted::Superseded { .. }));
        assert_eq!(cache.insert_at(3, 1, 1).map_err(|_| ()).map(Version::source), Ok(1), "nothing was buried");
        assert_eq!(*told.lock().unwrap(), [(1, 1, Cause::Replaced), (1, 3, Cause::Invalidated)]);
    });
}

/// Expired values that loads may still serve: an abort leaves them, with what is known of their source, a commit ends them.
#[test]
fn what_is_stale_goes_with_a_commit_and_stays_with_an_abort() {
    watched(|| {
        type Body = fn(&mut Transaction<'_, u64, u64, Hasher>);
        let bodies: [Body; 4] = [
            |t| t.insert_with_ttl(1, 2, Duration::ZERO),
            |t| _ = t.remove(&1),
            |t| t.invalidate(&1),
            |t| t.invalidate_at(&1, 11),
        ];
        for body in bodies {
            for commits in [false, true] {
                let (cache, time, _) = tried(|builder| builder.serve_stale(Duration::from_secs(1000)));
                (STARTS[5].1)(&cache, 1, &time);
                let done = cache.transaction(|t| {
                    body(t);
                    if !commits {
                        t.expect_version(&OTHER, cache.insert(2, 2));
                    }
                });
                assert_eq!(done.is_ok(), commits);
                // One loads, and the other is served what is stale, if anything is.
                let mut loads = Task::new(cache.get_with_async(&1, std::future::pending()));
                loads.pends();
                let mut served = Task::new(cache.get_with_async(&1, std::future::pending()));
                let stale = served.poll();
                assert_eq!(stale, if commits { Poll::Pending } else { Poll::Ready(FIRST) });
                assert!(cache.insert_at(1, 3, 9).is_err(), "10 is known");
            }
        }
    });
}
