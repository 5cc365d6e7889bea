//! How a scene is played: in so many schedules, by turns one with any thread next at any step, and one with priorities that change at a few
//! steps (probabilistic concurrency testing), which finds what needs a thread to stand still for long.
//!
//! | environment | |
//! | --- | --- |
//! | `SCHEDULES=n` | as many for each scene, instead of 10,000 |
//! | `SEED=n` | other schedules |
//! | `SCHEDULE=text` | this one, which was printed as the failing schedule (not the seed beside it): with the name of its test |

use std::env::current_exe;
use std::env::var;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::panicking;

use brindle::broken::Broken;
use brindle::broken::without;
use shuttle::Config;
use shuttle::MaxSteps;
use shuttle::Runner;
use shuttle::scheduler::PctScheduler;
use shuttle::scheduler::RandomScheduler;
use shuttle::scheduler::ReplayScheduler;
use shuttle::scheduler::Schedule;
use shuttle::scheduler::Scheduler;
use shuttle::scheduler::Task;
use shuttle::scheduler::TaskId;
use shuttle::scheduler::UncontrolledNondeterminismCheckScheduler as Repeating;

/// Schedules of a scene, unless `SCHEDULES` says otherwise.
const SCHEDULES: usize = 10_000;
/// Schedules that are played twice, to see that a scene does the same in the same schedule: else none could be replayed.
const REPEATED: usize = 20;
/// Steps at which priorities change, and one.
const DEPTH: usize = 3;
/// Far more than a scene has: who gets there goes in circles.
const STEPS: usize = 100_000;
/// Names the mechanism that is taken out in this process.
const WITHOUT: &str = "BRINDLE_WITHOUT";
/// Before the number of schedules after which a scene failed.
const AFTER: &str = "failed in schedule ";

/// Plays a scene. What it asserts must hold in every schedule, and nobody may wait for ever.
pub(crate) fn play(scene: impl Fn() + Send + Sync + 'static) {
    let scene: Arc<dyn Fn() + Send + Sync> = Arc::new(scene);
    match Broken::ALL.iter().find(|mechanism| var(WITHOUT) == Ok(format!("{mechanism:?}"))) {
        Some(&mechanism) => without(mechanism, || explore(&scene)),
        None => explore(&scene),
    }
}

fn explore(scene: &Arc<dyn Fn() + Send + Sync>) {
    let played = Played::default();
    if let Ok(schedule) = var("SCHEDULE") {
        return run(ReplayScheduler::new_from_encoded(schedule.trim()), scene, &played);
    }
    let (schedules, seed) = (number("SCHEDULES", SCHEDULES), number("SEED", 0) as u64);
    if var(WITHOUT).is_err() {
        run(Repeating::new(Both::new(seed, REPEATED)), scene, &played);
    }
    run(Both::new(seed, schedules), scene, &played);
}

fn run(schedules: impl Scheduler + 'static, scene: &Arc<dyn Fn() + Send + Sync>, played: &Played) {
    let mut config = Config::new();
    config.stack_size = 1 << 17;
    config.max_steps = MaxSteps::FailAfter(STEPS);
    config.silence_warnings = true;
    let (scene, count) = (Arc::clone(scene), Arc::clone(&played.0));
    Runner::new(schedules, config).run(move || {
        count.fetch_add(1, Relaxed);
        scene();
    });
}

fn number(name: &str, default: usize) -> usize {
    var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Draws by turns: at random, and by priorities.
#[derive(Debug)]
struct Both {
    random: RandomScheduler,
    priorities: PctScheduler,
    is_random: bool,
}

impl Both {
    fn new(seed: u64, schedules: usize) -> Self {
        let half = schedules.div_ceil(2);
        let (random, priorities) = (RandomScheduler::new_from_seed(seed, half), PctScheduler::new_from_seed(seed, DEPTH, half));
        Both { random, priorities, is_random: false }
    }
}

impl Scheduler for Both {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.is_random = !self.is_random;
        if self.is_random { self.random.new_execution() } else { self.priorities.new_execution() }
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, is_yielding: bool) -> Option<TaskId> {
        if self.is_random {
            self.random.next_task(runnable, current, is_yielding)
        } else {
            self.priorities.next_task(runnable, current, is_yielding)
        }
    }

    fn next_u64(&mut self) -> u64 {
        if self.is_random { self.random.next_u64() } else { self.priorities.next_u64() }
    }
}

/// Counts schedules, and says how many there were before one failed.
#[derive(Default)]
struct Played(Arc<AtomicUsize>);

impl Drop for Played {
    fn drop(&mut self) {
        if panicking() {
            println!("{AFTER}{}", self.0.load(Relaxed));
        }
    }
}

/// In which schedule the test `scene` fails when `mechanism` is taken out, if any; 0 if the process did not live to tell. In a process of its
/// own: what is broken may break that.
pub(crate) fn fails_without(mechanism: Broken, scene: &str) -> Option<usize> {
    let mut command = Command::new(current_exe().expect("this test"));
    command.args([scene, "--exact", "--nocapture"]).env(WITHOUT, format!("{mechanism:?}")).env_remove("SCHEDULE");
    command.env("RUST_BACKTRACE", "0");
    let output = command.output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("running 1 test"), "there is no test `{scene}`");
    let after = said.lines().find_map(|line| line.split(AFTER).nth(1)?.parse().ok());
    (!output.status.success()).then(|| after.unwrap_or(0))
}
