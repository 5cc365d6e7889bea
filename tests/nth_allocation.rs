//! Memory: the n-th allocation of every call fails, for every n, and the process ends in an orderly abort (or the call goes on), never in a fault, a hang
//! or a panic; and every byte that a cache took is given back with it, whatever call it took it for. In processes of their own.

#![cfg(target_os = "linux")]

#[path = "common/bytes.rs"]
mod bytes;
mod common;
mod harness;
mod injection;

use std::alloc::GlobalAlloc;
use std::alloc::Layout;
use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::process::Command;
use std::process::Output;
use std::ptr::null_mut;
use std::thread;
use std::time::Duration;

use bytes::Counting;
use bytes::in_use;
use injection::acts::Played;
use injection::acts::READS;
use injection::acts::REMOVALS;
use injection::acts::TRANSACTIONS;
use injection::acts::WRITES;
#[cfg(feature = "write-behind")]
use injection::behind::BEHIND;
use injection::loads::LOADS;
use injection::loads::WRITE_THROUGHS;
use injection::stage::KINDS;
use injection::stage::Kind;
use injection::stage::Stage;
use injection::tasks::TASKS;
use injection::tasks::VARIANTS;

thread_local! {
    /// Allocations of this thread until the one that fails. Zero: none does.
    static LEFT: Cell<u64> = const { Cell::new(0) };
}

struct Failing;

/// Is this the allocation that fails?
fn fails() -> bool {
    let left = LEFT.try_with(|left| left.replace(left.get().saturating_sub(1))).unwrap_or(0);
    left == 1
}

// SAFETY: passes every call on to another allocator, but for those that fail.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return null_mut();
        }
        // SAFETY: passed on.
        unsafe { Counting.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { Counting.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if fails() {
            return null_mut();
        }
        // SAFETY: passed on.
        unsafe { Counting.realloc(at, layout, size) }
    }
}

#[global_allocator]
static FAILING: Failing = Failing;

/// Every call of the face.
fn acts() -> Vec<Played> {
    let tables = [READS, WRITES, REMOVALS, TRANSACTIONS, LOADS, WRITE_THROUGHS];
    let mut acts: Vec<_> = tables.into_iter().flatten().map(Played::new).collect();
    #[cfg(feature = "write-behind")]
    acts.extend(BEHIND.iter().map(Played::new));
    acts.extend(TASKS.iter().flat_map(|act| Played::variants(act.0, act.1, VARIANTS)));
    acts
}

/// How often bytes must be missing before they count as lost.
const ROUNDS: usize = 4;

const CHILD: &str = "BRINDLE_ALLOCATION_CHILD";

/// Runs the test of that name in a process of its own, where it knows itself by the variable.
fn in_a_process(test: &str) -> Output {
    let program = std::env::current_exe().expect("a program");
    let mut child = Command::new(program);
    child.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, "1");
    // Thousands of aborts, whose traces would take minutes.
    child.env("RUST_BACKTRACE", "0");
    child.output().expect("a process")
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

#[track_caller]
fn assert_succeeded(output: &Output) {
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let last: Vec<_> = complained.lines().rev().take(30).collect();
    assert!(output.status.success(), "{}\n{said}\n{last:#?}", output.status);
}

/// How a process ended whose `n`-th allocation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// There was no `n`-th allocation.
    NeverFailed,
    /// The call went on without it.
    WentOn,
    Aborted,
}

const NEVER_FAILED: libc::c_int = 10;
const WENT_ON: libc::c_int = 11;
const UNWOUND: libc::c_int = 12;

/// Runs the act in a fork of this process, which has no other thread that matters.
fn play(kind: Kind, act: &Played, n: u64) -> End {
    // SAFETY: the child runs on this thread alone, and leaves without ado.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "no process");
    if child == 0 {
        let code = without(kind, act, n);
        // SAFETY: ends this process.
        unsafe { libc::_exit(code) }
    }
    let mut status = 0;
    // SAFETY: the child is ours.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    let name = &act.name;
    let case = || format!("{kind:?}, `{name}`, without allocation {n}");
    if libc::WIFSIGNALED(status) {
        assert_eq!(libc::WTERMSIG(status), libc::SIGABRT, "killed by another signal (14: it hangs): {}", case());
        return End::Aborted;
    }
    match libc::WEXITSTATUS(status) {
        NEVER_FAILED => End::NeverFailed,
        WENT_ON => End::WentOn,
        UNWOUND => panic!("a panic from an allocator: {}", case()),
        other => panic!("exit code {other}: {}", case()),
    }
}

fn without(kind: Kind, act: &Played, n: u64) -> libc::c_int {
    // SAFETY: settings of this process alone: an end if it hangs, and no core file.
    unsafe {
        libc::alarm(60);
        libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 });
    }
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let stage = Stage::new(kind);
        stage.prepare();
        LEFT.set(n);
        (act.run)(&stage);
        let left = LEFT.replace(0);
        if left == 0 {
            stage.judge();
        }
        left
    }));
    match ran {
        Ok(0) => WENT_ON,
        Ok(_) => NEVER_FAILED,
        Err(_) => UNWOUND,
    }
}

#[test]
fn the_nth_allocation_fails() {
    if !is_child() {
        let output = in_a_process("the_nth_allocation_fails");
        assert_succeeded(&output);
        let complaints = String::from_utf8_lossy(&output.stderr).matches("memory allocation of").count();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(&format!("aborted: {complaints},")) && complaints > 500, "{complaints} complaints: {said}");
        return;
    }
    let (mut aborted, mut went_on) = (0, 0);
    for (number, act) in acts().iter().enumerate() {
        // Kind after kind, as what a call allocates differs little.
        let kind = KINDS[number % KINDS.len()];
        for n in 1.. {
            match play(kind, act, n) {
                End::NeverFailed => break,
                End::Aborted => aborted += 1,
                End::WentOn => went_on += 1,
            }
        }
    }
    println!("aborted: {aborted}, went on: {went_on}");
}

#[test]
fn every_byte_is_given_back() {
    if !is_child() {
        assert_succeeded(&in_a_process("every_byte_is_given_back"));
        return;
    }
    for kind in KINDS {
        for act in acts() {
            let work = || {
                let stage = Stage::new(kind);
                stage.prepare();
                (act.run)(&stage);
                (act.run)(&stage);
            };
            // What a thread takes once, it takes now.
            work();
            // The timers' list grows with those that happen to be in it together, and stays so: what is lost is lost each time.
            let lost = || {
                let before = in_use();
                work();
                not_given_back(before)
            };
            let least = (0..ROUNDS).map(|_| lost()).find(|&lost| lost <= 0);
            assert!(least.is_some(), "bytes are not given back, {ROUNDS} times: {kind:?}, `{}`", act.name);
        }
    }
}

/// Bytes that are in use beyond those before. The thread of the timers may have something to give back still.
fn not_given_back(before: i64) -> i64 {
    let left = || in_use() - before;
    for _ in 0..100 {
        if left() <= 0 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    left()
}
