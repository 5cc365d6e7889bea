//! Promise 11: a hit writes no shared memory once its entry's counter is saturated. The cache lives in memory that is made read-only before
//! many threads read it: the first write kills the process, which is therefore a child of the test. Only what a thread writes to a
//! record of its own is elsewhere.
#![cfg(all(target_os = "linux", not(miri)))]

#[path = "common/arena.rs"]
mod arena;
mod common;

use std::borrow::Borrow;
use std::convert::Infallible;
use std::env;
use std::future::Future;
use std::hash::Hash;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::Command;
use std::process::Output;
use std::process::exit;
use std::sync::Barrier;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::thread;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::Leased;

use arena::Arena;
use arena::holds;
use arena::inside;
use arena::seal;
use common::watched;

#[global_allocator]
static ARENA: Arena = Arena;

const THREADS: usize = 6;
const ENTRIES: u64 = 5_000;
/// More reads than any counter counts.
const SATURATING: usize = 20;
/// Far longer than a test takes, and so is a small share of it.
const LONG: Duration = Duration::from_secs(1 << 20);

/// Set where a test finds itself in the child.
const CHILD: &str = "BRINDLE_TEST_CHILD";
/// How a child ends that is through: any other end, also that of a child which found no test of its name, means something else.
const THROUGH: i32 = 42;

/// Runs `work` in a process of its own, that of the test `name`.
fn apart(name: &str, work: impl FnOnce()) -> Output {
    if env::var_os(CHILD).is_some() {
        be_killed_quietly();
        work();
        exit(THROUGH);
    }
    let myself = env::current_exe().expect("a running program");
    Command::new(myself).args(["--exact", name, "--nocapture"]).env(CHILD, "yes").output().expect("a child")
}

/// To be killed is what some children are for: by the system itself, not by a sanitizer that takes the signal and exits, and without a core.
fn be_killed_quietly() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads the limits that it is given, and leaves the signal to the system.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &none);
        libc::signal(libc::SIGSEGV, libc::SIG_DFL);
    }
}

fn survives(name: &'static str, work: impl FnOnce() + Send + 'static) {
    watched(move || {
        let child = apart(name, work);
        let said = String::from_utf8_lossy(&child.stderr);
        assert_eq!(child.status.code(), Some(THROUGH), "{}; the last of its calls:\n{said}", child.status);
    });
}

fn is_killed(name: &'static str, work: impl FnOnce() + Send + 'static) {
    watched(move || assert_eq!(apart(name, work).status.signal(), Some(libc::SIGSEGV)));
}

/// Builds a cache, fills and saturates it, seals its memory, and lets all threads `read` at once.
fn sealed<K: Key>(build: impl FnOnce() -> Cache<K, u64>, read: impl Fn(&Cache<K, u64>, &[K]) + Sync) {
    let keys: Vec<K> = (0..ENTRIES).map(K::numbered).collect();
    let cache = inside(build);
    let (present, ready) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
    let reader = || {
        // The thread's first read makes the record of its own.
        assert!(!cache.contains_key(&keys[0]));
        present.wait();
        ready.wait();
        read(&cache, &keys);
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..THREADS).map(|_| scope.spawn(reader)).collect();
        present.wait();
        fill(&cache, &keys);
        let _sealed = seal();
        ready.wait();
        readers.into_iter().for_each(|reader| reader.join().expect("all reads hit"));
    });
}

/// Writes all keys, into the arena, and reads each until it counts no more.
fn fill<K: Key>(cache: &Cache<K, u64>, keys: &[K]) {
    cache.contains_key(&keys[0]);
    inside(|| {
        for (key, value) in keys.iter().zip(0..) {
            cache.insert(key.clone(), value);
        }
    });
    for key in keys {
        (0..SATURATING).for_each(|_| assert!(cache.get(key).is_some()));
        assert!(cache.with(key, |value| holds(value)).expect("there is room for all"), "an entry is not where it is watched");
    }
}

trait Key: Hash + Eq + Clone + Send + Sync + Borrow<Self::Borrowed> {
    type Borrowed: Hash + Eq + ToOwned<Owned = Self> + ?Sized;

    fn numbered(number: u64) -> Self;
}

impl Key for u64 {
    type Borrowed = u64;

    fn numbered(number: u64) -> Self {
        number
    }
}

impl Key for String {
    type Borrowed = str;

    fn numbered(number: u64) -> Self {
        format!("a key that is longer than what fits in line: {number}")
    }
}

/// Every call that can hit, for every key.
fn hits<K: Key>(cache: &Cache<K, u64>, keys: &[K]) {
    hit("get", keys, |key| cache.get(key));
    hit("with", keys, |key| cache.with(key, |value| *value));
    hit("with, in with, in with", keys, |key| cache.with(key, |_| cache.with(key, |_| cache.with(key, |value| *value)))??);
    hit("get_entry", keys, |key| cache.get_entry(key).map(|entry| entry.value));
    hit("peek", keys, |key| cache.peek(key));
    hit("contains_key", keys, |key| cache.contains_key(key).then(|| cache.peek(key))?);
    hit("get_many", keys, |key| cache.get_many([key, key])[1]);
    hit("get_many_snapshot", keys, |key| cache.get_many_snapshot([key, key])[1]);
    hit("get_with", keys, |key| Some(cache.get_with(key, unwanted)));
    hit("try_get_with", keys, |key| cache.try_get_with(key, unwanted::<Result<_, Infallible>>).ok());
    hit("get_with_async", keys, |key| Some(at_once(cache.get_with_async(key, async { unwanted() }))));
    hit("get_or_lease", keys, |key| match cache.get_or_lease(key, None) {
        Leased::Value(value) => Some(value),
        _ => None,
    });
    hit("try_get_many_with", keys, |key| {
        let all = cache.try_get_many_with([key], |_| unwanted::<Result<[(K, u64); 0], Infallible>>());
        all.ok()?[0]
    });
}

fn hit<K: Key>(call: &str, keys: &[K], read: impl Fn(&K::Borrowed) -> Option<u64>) {
    // Read where a child was killed.
    eprintln!("{call}");
    for (key, value) in keys.iter().zip(0..) {
        assert_eq!(read(key.borrow()), Some(value), "{call}");
    }
}

fn unwanted<T>() -> T {
    unreachable!("what is loaded is there")
}

fn at_once<T>(task: impl Future<Output = T>) -> T {
    let Poll::Ready(result) = pin!(task).poll(&mut Context::from_waker(Waker::noop())) else { panic!("a hit waits") };
    result
}

#[test]
fn hits_write_nothing() {
    survives("hits_write_nothing", || sealed::<u64>(|| Cache::new(2 * ENTRIES), hits));
}

#[test]
fn hits_on_strings_write_nothing() {
    survives("hits_on_strings_write_nothing", || sealed::<String>(|| Cache::new(2 * ENTRIES), hits));
}

#[test]
fn hits_in_a_full_cache_write_nothing() {
    survives("hits_in_a_full_cache_write_nothing", || sealed::<u64>(|| Cache::new(ENTRIES), hits));
}

#[test]
fn hits_of_entries_with_all_there_is_to_them_write_nothing() {
    let build = || {
        let builder = Cache::builder().max_capacity(100 * ENTRIES).weigher(|_, value| value % 7).group_by(|key, _| [key % 10]);
        builder.versioned_by(|_, value| *value).removal_listener(|_| ()).build().expect("choices that go together")
    };
    survives("hits_of_entries_with_all_there_is_to_them_write_nothing", move || sealed::<u64>(build, hits));
}

#[test]
fn hits_of_entries_that_expire_write_nothing() {
    let build = || {
        let builder = Cache::builder().max_capacity(2 * ENTRIES).time_to_live(LONG).time_to_idle(LONG);
        builder.refresh_after(LONG / 2).early_refresh(1.0).build().expect("choices that go together")
    };
    survives("hits_of_entries_that_expire_write_nothing", move || sealed::<u64>(build, hits));
}

#[test]
fn hits_under_a_clock_that_stands_write_nothing() {
    let build = || {
        let builder = Cache::builder().max_capacity(2 * ENTRIES).time_to_live(LONG).time_to_idle(LONG);
        builder.clock(Clock::mock().0).build().expect("choices that go together")
    };
    survives("hits_under_a_clock_that_stands_write_nothing", move || sealed::<u64>(build, hits));
}

#[test]
fn misses_write_nothing() {
    let misses = |cache: &Cache<u64, u64>, _: &[u64]| {
        for key in ENTRIES..2 * ENTRIES {
            assert_eq!((cache.get(&key), cache.contains_key(&key)), (None, false));
        }
    };
    survives("misses_write_nothing", move || sealed::<u64>(|| Cache::new(2 * ENTRIES), misses));
}

// What does write is caught.

#[test]
fn an_insert_is_caught() {
    is_killed("an_insert_is_caught", || sealed::<u64>(|| Cache::new(2 * ENTRIES), |cache, _| _ = cache.insert(0, 0)));
}

#[test]
fn the_count_of_a_guard_is_caught() {
    is_killed("the_count_of_a_guard_is_caught", || {
        sealed::<u64>(|| Cache::new(2 * ENTRIES), |cache, _| assert!(cache.get_ref(&0).is_some()));
    });
}
