//! Promises 7 and 11: threads that end, in every way, while they have something of the cache in their hands; what they had is dropped elsewhere, later, or
//! while the thread is torn down; and a process that is forked.

mod common;
mod harness;
mod injection;

use std::any::Any;
use std::cell::RefCell;
use std::mem::forget;
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::Leased;
use brindle::Loaded;
use brindle::MockClock;
use brindle::Op;

use common::Census;
use common::Counted;
use harness::planned;
use harness::survives;
use harness::watched;
use injection::acts::READS;
use injection::acts::REMOVALS;
use injection::acts::TRANSACTIONS;
use injection::acts::WRITES;
use injection::loads::LOADS;
use injection::loads::WRITE_THROUGHS;
use injection::stage::KINDS;
use injection::stage::Stage;

type Values = Cache<u64, Counted>;

const KEY: u64 = 1;
const ABSENT: u64 = 2;
const TIMEOUT: Duration = Duration::from_secs(10);

fn build() -> (Values, MockClock, Census) {
    let (clock, hand) = Clock::mock();
    let cache = Cache::builder().max_capacity(100).stripes(2).clock(clock).load_timeout(TIMEOUT).build().expect("valid choices");
    let census = Census::default();
    cache.insert(KEY, census.value(KEY));
    (cache, hand, census)
}

/// Every key can be written, read, loaded and invalidated, nothing is in flight, and nothing is left but what is `lost`.
fn judge(cache: Values, census: &Census, lost: usize, case: &str) {
    assert_eq!(cache.stats().flights, 0, "{case}");
    for key in [KEY, ABSENT] {
        cache.insert(key, census.value(key));
        assert_eq!(cache.with(&key, Counted::id), Some(key), "{case}");
        cache.invalidate(&key);
        assert_eq!(cache.get_with(&key, || census.value(key)).id(), key, "{case}");
        let written = cache.write_through(key, |_| Ok::<_, ()>(Loaded::new(census.value(key))));
        assert!(matches!(written, Ok(Some(_))), "{case}");
    }
    // What left is reclaimed, whatever the dead threads were doing.
    cache.clear();
    cache.reclaim();
    assert_eq!(census.alive(), lost, "{case}");
    drop(cache);
    assert_eq!(census.alive(), lost, "{case}");
}

type Held = Box<dyn Any + Send>;
type Hold = (&'static str, fn(&Values) -> Held);

/// What a thread may have in its hands, and another may drop.
const HOLDS: [Hold; 4] = [
    ("a guard", |cache| Box::new(cache.get_ref(&KEY))),
    ("many guards", |cache| Box::new((0..50).map(|_| cache.get_ref(&KEY)).collect::<Vec<_>>())),
    ("a walk", |cache| {
        let mut walk = cache.iter();
        Box::new((walk.next(), walk))
    }),
    ("a lease", |cache| match cache.get_or_lease(&ABSENT, None) {
        Leased::Lease(lease) => Box::new(lease),
        _ => panic!("nobody else loads"),
    }),
];

type End = (&'static str, fn(Values, fn(&Values) -> Held) -> Option<Held>);

struct Kept(RefCell<Option<Held>>);

thread_local! {
    /// One is registered before what the cache keeps for a thread, and goes after it; the other the other way round.
    static FIRST: Kept = const { Kept(RefCell::new(None)) };
    static LAST: Kept = const { Kept(RefCell::new(None)) };
}

/// How a thread ends. What comes back is dropped by whoever joins it.
const ENDS: [End; 7] = [
    ("returns", |cache, hold| {
        let held = hold(&cache);
        drop(cache);
        drop(held);
        None
    }),
    ("panics", |cache, hold| {
        let _held = hold(&cache);
        planned()
    }),
    ("gives it back", |cache, hold| Some(hold(&cache))),
    ("passes it to a thread that panics", |cache, hold| {
        let held = hold(&cache);
        let other = thread::spawn(move || {
            let _held = held;
            planned();
        });
        assert!(other.join().is_err());
        None
    }),
    ("keeps it in a thread-local, until the cache's own are gone", |cache, hold| {
        FIRST.with(|kept| kept.0.replace(None));
        let held = hold(&cache);
        FIRST.with(|kept| kept.0.replace(Some(held)));
        None
    }),
    ("keeps it in a thread-local that goes first", |cache, hold| {
        let held = hold(&cache);
        LAST.with(|kept| kept.0.replace(Some(held)));
        None
    }),
    ("forgets it", |cache, hold| {
        forget(hold(&cache));
        None
    }),
];

#[test]
fn whatever_a_thread_has_in_its_hands_when_it_ends_harms_nobody() {
    watched(|| {
        for (what, hold) in HOLDS {
            for (how, end) in ENDS {
                for removed in [false, true] {
                    let case = format!("a thread that has {what} {how}, removed meanwhile: {removed}");
                    let (cache, hand, census) = build();
                    let theirs = cache.clone();
                    let ended = thread::spawn(move || end(theirs, hold)).join();
                    let held = ended.ok().flatten();
                    if removed {
                        cache.clear();
                        (0..200).for_each(|key| _ = cache.insert(key, census.value(key)));
                        cache.clear();
                    }
                    drop(held);
                    // A lease that nobody will end is overdue some time, and the next caller has the key.
                    hand.advance(TIMEOUT);
                    assert_eq!(cache.get_with(&ABSENT, || census.value(ABSENT)).id(), ABSENT, "{case}");
                    let guarded = matches!(what, "a guard" | "many guards" | "a walk");
                    judge(cache, &census, usize::from(how == "forgets it" && guarded), &case);
                }
            }
        }
    });
}

#[test]
fn what_a_thread_had_may_outlive_the_cache() {
    watched(|| {
        for (what, hold) in HOLDS {
            let (cache, _, census) = build();
            let theirs = cache.clone();
            let held = thread::spawn(move || hold(&theirs)).join().expect("it ends well");
            drop(cache);
            let dropper = thread::spawn(move || drop(held));
            dropper.join().expect("it ends well");
            assert_eq!(census.alive(), 0, "{what}");
        }
    });
}

type Inside = (&'static str, fn(&Values));

/// Calls in the midst of which a thread may die.
const INSIDES: [Inside; 9] = [
    ("with", |cache| _ = cache.with(&KEY, |_| planned())),
    ("with in with", |cache| _ = cache.with(&KEY, |_| cache.with(&KEY, |_| planned()))),
    ("retain", |cache| cache.retain(|_, _| planned())),
    ("remove_if", |cache| drop(cache.remove_if(&KEY, |_, _| planned()))),
    ("and_compute_with", |cache| drop(cache.entry(KEY).and_compute_with(|_| -> Op<Counted> { planned() }))),
    ("a transaction", |cache| {
        let guard = cache.get_ref(&KEY);
        drop(cache.transaction(|t| {
            t.invalidate(&KEY);
            planned();
        }));
        drop(guard);
    }),
    ("a loader", |cache| drop(cache.get_with(&ABSENT, || planned()))),
    ("a loader in a loader", |cache| drop(cache.get_with(&ABSENT, || cache.get_with(&(ABSENT + 1), || planned())))),
    ("a write through the cache", |cache| drop(cache.write_through(KEY, |_| -> Result<_, ()> { planned() }))),
];

#[test]
fn a_thread_that_dies_inside_a_call_harms_nobody() {
    watched(|| {
        for (what, inside) in INSIDES {
            let (cache, _, census) = build();
            for _ in 0..20 {
                let theirs = cache.clone();
                assert!(thread::spawn(move || inside(&theirs)).join().is_err(), "{what}");
            }
            judge(cache, &census, 0, what);
        }
    });
}

/// Runs every call of the face when its thread is torn down.
struct AtTheEnd(Option<Arc<Stage>>);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        let Some(stage) = self.0.take() else { return };
        for act in [READS, WRITES, REMOVALS, TRANSACTIONS, LOADS, WRITE_THROUGHS].into_iter().flatten() {
            stage.prepare();
            (act.1)(&stage);
        }
        // A panic here would end the process.
        stage.judge();
    }
}

thread_local! {
    static EARLY: RefCell<AtTheEnd> = const { RefCell::new(AtTheEnd(None)) };
    static LATE: RefCell<AtTheEnd> = const { RefCell::new(AtTheEnd(None)) };
}

#[test]
fn every_call_can_be_made_while_the_thread_is_torn_down() {
    watched(|| {
        for kind in KINDS {
            let stage = Arc::new(Stage::new(kind));
            for _ in 0..3 {
                let theirs = Arc::clone(&stage);
                let ending = thread::spawn(move || {
                    EARLY.with_borrow_mut(|early| early.0 = Some(Arc::clone(&theirs)));
                    // What the cache keeps for a thread is made now.
                    theirs.prepare();
                    drop(theirs.cache.get(&theirs.key(0)));
                    LATE.with_borrow_mut(|late| late.0 = Some(theirs));
                });
                ending.join().expect("it ends well");
                stage.judge();
            }
            let world = Arc::clone(&stage.world);
            drop(stage);
            assert_eq!(world.census.alive(), 0);
        }
    });
}

/// Stands in a closure when its thread is torn down.
struct Stands(Option<(Values, Sender<()>, Receiver<()>)>);

impl Drop for Stands {
    fn drop(&mut self) {
        let Some((cache, here, go)) = self.0.take() else { return };
        let read = cache.with(&KEY, |value| {
            here.send(()).expect("somebody waits");
            go.recv().expect("somebody says so");
            value.id()
        });
        // A panic here would end the process.
        assert_eq!(read, Some(KEY));
    }
}

thread_local! {
    static STANDS: RefCell<Stands> = const { RefCell::new(Stands(None)) };
}

/// The number by which the cache knows a thread is another's when the first is torn down: what the first still reads is kept all the same.
#[test]
fn what_a_thread_reads_while_it_is_torn_down_is_not_dropped_meanwhile() {
    watched(|| {
        let (cache, _, census) = build();
        cache.insert(ABSENT, census.value(ABSENT));
        let ((here, standing), (go, wait)) = (channel(), channel());
        let theirs = cache.clone();
        let ending = thread::spawn(move || {
            STANDS.with_borrow_mut(|stands| stands.0 = Some((theirs.clone(), here, wait)));
            theirs.with(&KEY, |_| ());
        });
        standing.recv().expect("it comes there");
        let alive = census.alive();
        // As many threads as could have the number.
        let others: Vec<_> = (0..8)
            .map(|_| {
                let theirs = cache.clone();
                thread::spawn(move || (0..10).for_each(|_| _ = theirs.with(&ABSENT, Counted::id)))
            })
            .collect();
        others.into_iter().for_each(|other| other.join().expect("it ends well"));
        cache.invalidate(&KEY);
        cache.reclaim();
        assert_eq!(census.alive(), alive, "dropped while it is read");
        go.send(()).expect("it waits");
        ending.join().expect("it ends well");
        judge(cache, &census, 0, "read to the end");
    });
}

const READS_EACH: u64 = 100_000;

fn read_often(cache: &Values) {
    (0..READS_EACH).for_each(|_| assert_eq!(cache.with(&KEY, Counted::id), Some(KEY)));
}

/// Reads when its thread is torn down, at the same time as another.
struct ReadsAtTheEnd(Option<(Values, Sender<()>, Arc<Barrier>)>);

impl Drop for ReadsAtTheEnd {
    fn drop(&mut self) {
        let Some((cache, here, together)) = self.0.take() else { return };
        here.send(()).expect("somebody waits");
        together.wait();
        read_often(&cache);
    }
}

thread_local! {
    static READS_LAST: RefCell<ReadsAtTheEnd> = const { RefCell::new(ReadsAtTheEnd(None)) };
}

/// What is written for a thread alone, by plain loads and stores, is not written by another beside it, though he has its number.
#[test]
fn the_number_of_a_thread_is_not_used_by_it_after_it_was_given_back() {
    watched(|| {
        for _ in 0..5 {
            let (cache, _, census) = build();
            let ((here, last), together) = (channel(), Arc::new(Barrier::new(2)));
            let (theirs, with_them) = (cache.clone(), Arc::clone(&together));
            let ending = thread::spawn(move || {
                READS_LAST.with_borrow_mut(|reads| reads.0 = Some((theirs.clone(), here, with_them)));
                theirs.with(&KEY, |_| ());
            });
            last.recv().expect("it comes there");
            let theirs = cache.clone();
            let other = thread::spawn(move || {
                theirs.with(&KEY, |_| ());
                together.wait();
                read_often(&theirs);
            });
            [ending, other].into_iter().for_each(|thread| thread.join().expect("it ends well"));
            assert_eq!(cache.stats().hits, 2 + 2 * READS_EACH, "hits were lost");
            judge(cache, &census, 0, "numbers given back");
        }
    });
}

/// A child process has a copy of the cache, and of the threads only the one that forked: it can use it all the same.
#[cfg(target_os = "linux")]
#[test]
fn a_forked_process_may_use_the_cache() {
    const CHILD: &str = "BRINDLE_FORK_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let program = std::env::current_exe().expect("a program");
        let mut child = std::process::Command::new(program);
        child.args(["a_forked_process_may_use_the_cache", "--exact", "--nocapture"]).env(CHILD, "1");
        let output = child.output().expect("a process");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let (cache, _, census) = build();
    let guard = cache.get_ref(&KEY);
    // SAFETY: the child runs on this thread alone, and leaves without ado.
    let child = unsafe { libc::fork() };
    let used = survives(|| {
        // Many batches are reclaimed, each with a barrier.
        (0..5_000).for_each(|number| _ = cache.insert(number % 300, census.value(number % 300)));
        cache.reclaim();
        assert_eq!(cache.get_with(&1_000, || census.value(1_000)).id(), 1_000);
        assert_eq!(guard.as_ref().map(|guard| guard.id()), Some(KEY));
        assert_eq!(cache.iter().count(), cache.len());
    });
    drop(guard);
    judge(cache, &census, 0, "after a fork");
    if child == 0 {
        // SAFETY: ends this process.
        unsafe { libc::_exit(if used.is_some() { 0 } else { 1 }) }
    }
    let mut status = 0;
    // SAFETY: the child is ours.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the child: {status}");
}
