//! Does a cache keep its promises for as long as it runs, used in every way at once?
//!
//! Epoch after epoch a new cache is built with choices drawn from a seed: capacity, stripes, weights, lifetimes, listener, source versions,
//! tombstones, timeouts, stale and background loads, a clock that jumps. Threads and tasks read, write, swap, load, cancel, walk and
//! clear, and judge what they are shown against a source of truth. In quiet moments all counts must agree to the last value; when an epoch
//! is over, nothing of its cache may be left.
//!
//! ```text
//! cargo run --release --example soak -- --help
//! ```

mod args;
mod background;
#[cfg(feature = "write-behind")]
mod behind;
#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "the other examples use the rest of it")]
mod common;
mod epoch;
mod fences;
mod listener;
mod memory;
mod plan;
mod quiet;
mod report;
mod row;
mod source;
mod tasks;
mod truth;
mod watch;
mod work;

use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::args::Args;
use crate::common::error::Error;
use crate::common::progress::Progress;
use crate::common::terminal;
use crate::common::terminal::say;
use crate::common::terminal::watch_for_interrupt;
use crate::memory::Counting;
use crate::plan::Plan;
use crate::report::Report;
use crate::watch::Watch;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    terminal::run("soak", Args::from_command_line(), args::HELP, soak)
}

/// Epoch after epoch until the time is up.
fn soak(args: &Args) -> Result<(), Error> {
    let interrupted = watch_for_interrupt()?;
    say(&report::heading(args))?;
    let mut report = Report::new();
    let ran = run(args, &interrupted, &mut report);
    say(&report.text())?;
    ran
}

fn run(args: &Args, interrupted: &AtomicBool, report: &mut Report) -> Result<(), Error> {
    let (mut progress, watch, start) = (Progress::new(), Watch::start(), Instant::now());
    for seed in (0..).map(|epoch| args.seed.wrapping_add(epoch)) {
        let left = args.time.saturating_sub(start.elapsed());
        if left.is_zero() || interrupted.load(Ordering::Relaxed) {
            break;
        }
        let plan = Plan::draw(seed);
        let plan = Plan { time: plan.time.min(left), ..plan };
        let description = report::description(&plan, args.threads);
        watch.doing(description.clone());
        let show = |loaders| progress.show(|| report.line(start.elapsed(), args.time, watch.steps(), loaders));
        let outcome = epoch::run(plan, args.threads, &watch, interrupted, show);
        let outcome = outcome.and_then(|outcome| report.add(&outcome, watch.steps(), start.elapsed()));
        if let Err(violation) = outcome {
            progress.clear();
            return Err(Error::Failed(format!("a promise is broken\n{violation}\n{description}")));
        }
    }
    progress.clear();
    Ok(())
}
