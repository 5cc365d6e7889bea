//! Ends the process when nothing moves any more: a lost wake-up or a deadlock is a violation too.

use std::process::exit;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

/// Nothing takes as long as this.
const STANDSTILL: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_secs(1);

pub(crate) struct Watch {
    steps: AtomicU64,
    doing: Mutex<String>,
}

impl Watch {
    /// Starts a thread that looks on for as long as the process lives.
    pub(crate) fn start() -> Arc<Self> {
        let watch = Arc::new(Self { steps: AtomicU64::new(0), doing: Mutex::default() });
        let watching = Arc::clone(&watch);
        thread::spawn(move || watching.look_on());
        watch
    }

    fn look_on(&self) {
        let (mut seen, mut since) = (0, Duration::ZERO);
        while since < STANDSTILL {
            thread::sleep(LOOK);
            let steps = self.steps();
            since = if steps == seen { since + LOOK } else { Duration::ZERO };
            seen = steps;
        }
        let doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        eprintln!("\nsoak: nothing has moved for {} s: somebody waits for ever\n{doing}", STANDSTILL.as_secs());
        exit(1);
    }

    /// What to say where it stands still.
    pub(crate) fn doing(&self, what: String) {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner) = what;
        self.add(1);
    }

    pub(crate) fn add(&self, steps: u64) {
        self.steps.fetch_add(steps, Relaxed);
    }

    /// Operations so far.
    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Relaxed)
    }
}
