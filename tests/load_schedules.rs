//! Promises 1, 2, 6 and 7 in random schedules of hand-polled tasks: calls for one key and for many, loads that end well, fail or panic, tasks
//! that are dropped, every kind of write, a clock that moves, every choice on and off. No call yields less than was there when it began, no two
//! loads of a key run at once unless something came between, every task that is left alone comes to its end, and no flight is left.
//!
//! `SCHEDULES=200000 SEED=7 cargo test --test load_schedules` runs more of them, from another seed. What fails prints its seed.

mod common;
mod harness;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use brindle::Cache;
use brindle::Clock;
use brindle::Leased;
use brindle::Loaded;
use brindle::MockClock;
use brindle::Op;

use common::Rng;
use common::executor::Boxed;
use common::executor::Sender;
use common::executor::Task;
use common::executor::oneshot;
use common::watched;
use harness::planned;
use harness::survives;

/// Few, so that calls meet.
const KEYS: usize = 3;
/// A few seconds in a debug build.
const SCHEDULES: u64 = 5_000;
const SEED: u64 = 1;
const STEPS: u64 = 120;

type Numbers = Cache<u64, u64>;
type PerKey = [u64; KEYS];
/// Keys and the values that a call has given for them.
type Given = Vec<(u64, u64)>;
type Call = Boxed<'static, Given>;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[derive(Clone, Debug)]
struct Broken;

#[derive(Clone, Copy, Debug)]
enum End {
    Fails,
    Panics,
    Brings,
}

/// Where loads get their values.
#[derive(Default)]
struct Source {
    /// Each value is a number that grows.
    truth: PerKey,
    /// How often each key was fenced.
    fences: PerKey,
    /// Keys of the loads that run, and how often they were fenced when they began.
    underway: Vec<(u64, u64)>,
    /// A load that began beside another of the same key.
    doubled: Option<(u64, u64)>,
    /// Loads that wait for their end.
    gates: Vec<Sender<End>>,
}

#[derive(Clone)]
struct World {
    cache: Numbers,
    source: Arc<Mutex<Source>>,
    /// Values have source versions, writes too.
    sourced: bool,
    /// Loads may be overdue: then another one may run beside them.
    timed: bool,
}

/// Loads that run until this is dropped.
struct Underway(World, Vec<(u64, u64)>);

impl Drop for Underway {
    fn drop(&mut self) {
        let mut source = self.0.source();
        for over in &self.1 {
            let at = source.underway.iter().position(|one| one == over).unwrap();
            source.underway.swap_remove(at);
        }
    }
}

impl World {
    /// Nobody may panic while he has it: loads end in panics, and ask for it.
    fn source(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap()
    }

    fn begins(&self, keys: &[u64]) -> Underway {
        let mut source = self.source();
        let began: Vec<_> = keys.iter().map(|&key| (key, source.fences[key as usize])).collect();
        for &one in &began {
            if source.underway.contains(&one) && !self.timed {
                source.doubled = Some(one);
            }
            source.underway.push(one);
        }
        drop(source);
        Underway(self.clone(), began)
    }

    /// Waits until the schedule says how the load ends.
    async fn end(&self) -> Result<(), Broken> {
        let (end, gate) = oneshot();
        self.source().gates.push(end);
        match gate.await {
            End::Fails => Err(Broken),
            End::Panics => planned(),
            End::Brings => Ok(()),
        }
    }

    fn loaded(&self, value: u64) -> Loaded<u64> {
        if self.sourced { Loaded::new(value).at(value) } else { Loaded::new(value) }
    }

    async fn load(self, key: u64) -> Result<Loaded<u64>, Broken> {
        let _underway = self.begins(&[key]);
        let value = self.source().truth[key as usize];
        self.end().await?;
        Ok(self.loaded(value))
    }

    /// For calls that cannot fail.
    async fn load_in_the_end(self, key: u64) -> u64 {
        let _underway = self.begins(&[key]);
        loop {
            let value = self.source().truth[key as usize];
            if self.end().await.is_ok() {
                return value;
            }
        }
    }

    /// Leaves out the first few.
    async fn load_many(self, keys: Vec<u64>, left_out: usize) -> Result<Vec<(u64, Loaded<u64>)>, Broken> {
        let _underway = self.begins(&keys);
        let truth = self.source().truth;
        self.end().await?;
        Ok(keys.into_iter().skip(left_out).map(|key| (key, self.loaded(truth[key as usize]))).collect())
    }

    async fn fill_lease(self, key: u64) -> Given {
        match self.cache.get_or_lease_async(&key).await {
            Leased::Value(value) => vec![(key, value)],
            Leased::Lease(lease) => match self.clone().load(key).await {
                Ok(loaded) => {
                    let value = loaded.value;
                    _ = lease.fill_loaded(loaded);
                    vec![(key, value)]
                }
                Err(broken) => {
                    lease.fail(broken);
                    vec![]
                }
            },
            _ => vec![],
        }
    }

    async fn drop_lease(self, key: u64) -> Given {
        match self.cache.get_or_lease_async(&key).await {
            Leased::Value(value) => vec![(key, value)],
            Leased::Lease(_lease) => {
                _ = self.clone().load(key).await;
                vec![]
            }
            _ => vec![],
        }
    }

    async fn get_many(self, keys: [u64; 3], left_out: usize) -> Given {
        let values = self.cache.try_get_many_with_async(&keys, |keys| self.clone().load_many(keys, left_out)).await;
        let values = values.into_iter().flatten();
        keys.into_iter().zip(values).filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

/// A call that begins at its first poll.
fn call(world: World, rng: &mut Rng) -> (&'static str, Call) {
    let key = rng.below(KEYS as u64);
    let one = move |value| (key, value);
    let given = move |value: Option<u64>| value.map(one).into_iter().collect();
    match rng.below(9) {
        // Without a source version it would pass for newer than all.
        0 | 1 if !world.sourced => ("get_with", Box::pin(async move { vec![one(got_with(world, key).await)] })),
        0..=3 => ("load", Box::pin(async move { given(world.cache.load_async(&key, world.clone().load(key)).await.ok()) })),
        4 => ("reload", Box::pin(async move { given(world.cache.reload_async(&key, world.clone().load(key)).await.ok()) })),
        5 => ("lease", Box::pin(world.fill_lease(key))),
        6 => ("lease that is dropped", Box::pin(world.drop_lease(key))),
        _ => {
            let left_out = usize::from(rng.below(3) == 0);
            ("many", Box::pin(world.get_many([key, rng.below(KEYS as u64), key], left_out)))
        }
    }
}

async fn got_with(world: World, key: u64) -> u64 {
    world.cache.get_with_async(&key, world.clone().load_in_the_end(key)).await
}

struct Write {
    name: &'static str,
    /// Every key is fenced, not only the one that is written.
    fences_all: bool,
    run: fn(&Numbers, u64, u64),
}

const fn write(name: &'static str, run: fn(&Numbers, u64, u64)) -> Write {
    Write { name, fences_all: false, run }
}

/// Those that may stand among source versions.
const SOURCED: u64 = 6;

const WRITES: [Write; 13] = [
    write("insert_at", |cache, key, new| _ = cache.insert_at(key, new, new)),
    write("invalidate_at", |cache, key, new| _ = cache.invalidate_at(&key, new)),
    write("invalidate", |cache, key, _| _ = cache.invalidate(&key)),
    write("remove", |cache, key, _| _ = cache.remove(&key)),
    write("remove_if", |cache, key, _| _ = cache.remove_if(&key, |_, _| true)),
    Write { fences_all: true, ..write("retain", |cache, key, _| cache.retain(|&other, _| other != key)) },
    write("insert", |cache, key, new| _ = cache.insert(key, new)),
    write("insert of no time", |cache, key, new| _ = cache.insert_with_ttl(key, new, Duration::ZERO)),
    write("insert for a while", |cache, key, new| _ = cache.insert_with_ttl(key, new, seconds(3))),
    write("compute Remove", |cache, key, _| _ = cache.entry(key).and_compute_with(|_| Op::Remove)),
    write("compute Put", |cache, key, new| _ = cache.entry(key).and_compute_with(|_| Op::Put(new))),
    write("compare_and_swap", |cache, key, new| {
        let version = cache.get_entry(&key).map(|entry| entry.version);
        cache.compare_and_swap(key, version, new).expect("nobody else writes");
    }),
    Write { fences_all: true, ..write("clear", |cache, _, _| cache.clear()) },
];

fn cache(rng: &mut Rng) -> (Numbers, MockClock, bool) {
    let (clock, hand) = Clock::mock();
    let mut heads = || rng.below(2) == 0;
    let (timed, room) = (heads(), if heads() && heads() { 2 } else { 100 });
    let mut builder = Cache::builder().stripes(if heads() { 1 } else { 2 }).max_capacity(room).clock(clock);
    if timed {
        builder = builder.load_timeout(seconds(10));
    }
    if heads() {
        builder = builder.negative_ttl(seconds(2));
    }
    if heads() {
        builder = builder.time_to_live(seconds(8)).serve_stale(seconds(5));
        if heads() {
            builder = builder.fail_safe();
        }
    }
    if heads() {
        builder = builder.refresh_after(seconds(4));
    }
    (builder.build().unwrap(), hand, timed)
}

struct Running {
    what: &'static str,
    task: Task<Call>,
    /// Nothing less may be given to it.
    floor: PerKey,
}

struct Schedule {
    seed: u64,
    rng: Rng,
    world: World,
    hand: MockClock,
    /// What each key was when it was last written.
    floor: PerKey,
    running: Vec<Running>,
    log: Vec<String>,
}

impl Drop for Schedule {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("run it again with SCHEDULES=1 SEED={}; it went\n  {}", self.seed, self.log.join("\n  "));
        }
    }
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let (cache, hand, timed) = cache(&mut rng);
        let world = World { cache, source: Arc::default(), sourced: rng.below(3) == 0, timed };
        Schedule { seed, rng, world, hand, floor: PerKey::default(), running: Vec::new(), log: Vec::new() }
    }

    fn run(mut self) {
        for _ in 0..self.rng.below(STEPS) {
            self.step();
            let doubled = self.world.source().doubled;
            assert_eq!(doubled, None, "two loads of this key, fenced so often, at once");
            self.reads();
        }
        self.comes_to_an_end();
    }

    fn step(&mut self) {
        match self.rng.below(12) {
            0..=3 => self.start(),
            4 | 5 => self.move_one(),
            6 | 7 => self.end_a_load(),
            8 => self.cancel(),
            9 | 10 => self.write(),
            _ => self.wait(),
        }
    }

    fn start(&mut self) {
        let (what, call) = call(self.world.clone(), &mut self.rng);
        self.log.push(format!("{what} starts"));
        self.running.push(Running { what, task: Task::new(call), floor: self.floor });
        self.poll(self.running.len() - 1);
    }

    fn any(&mut self) -> Option<usize> {
        let some = self.running.len() as u64;
        (some > 0).then(|| self.rng.below(some) as usize)
    }

    /// Executors poll what was woken, and now and then something else.
    fn move_one(&mut self) {
        let Some(at) = self.any() else { return };
        if self.running[at].task.is_woken() || self.rng.below(4) == 0 {
            self.poll(at);
        }
    }

    fn poll(&mut self, at: usize) {
        let polled = survives(|| self.running[at].task.poll());
        if matches!(polled, Some(Poll::Pending)) {
            return;
        }
        let Running { what, task, floor } = self.running.swap_remove(at);
        // After a panic it is not over, and lets go of its load here.
        drop(task);
        let Some(Poll::Ready(given)) = polled else { return self.log.push(format!("{what} panics")) };
        self.log.push(format!("{what} gives {given:?}"));
        for (key, value) in given {
            assert!(value >= floor[key as usize], "{what} gives the old {value} of {key}, and began at {floor:?}");
        }
    }

    fn end_a_load(&mut self) {
        let mut source = self.world.source();
        if source.gates.is_empty() {
            return;
        }
        let at = self.rng.below(source.gates.len() as u64) as usize;
        let gate = source.gates.swap_remove(at);
        drop(source);
        let end = [End::Fails, End::Panics, End::Brings, End::Brings, End::Brings, End::Brings][self.rng.below(6) as usize];
        self.log.push(format!("a load ends: {end:?}"));
        gate.send(end);
    }

    fn cancel(&mut self) {
        let Some(at) = self.any() else { return };
        let cancelled = self.running.swap_remove(at);
        self.log.push(format!("{} is dropped", cancelled.what));
    }

    fn write(&mut self) {
        let key = self.rng.below(KEYS as u64);
        let which = self.rng.below(if self.world.sourced { SOURCED } else { WRITES.len() as u64 });
        let write = &WRITES[which as usize];
        let mut source = self.world.source();
        source.truth[key as usize] += 1;
        let new = source.truth[key as usize];
        for other in 0..KEYS {
            source.fences[other] += u64::from(write.fences_all || other == key as usize);
        }
        drop(source);
        (write.run)(&self.world.cache, key, new);
        self.floor[key as usize] = new;
        self.log.push(format!("{} of {key}: {new}", write.name));
    }

    fn wait(&mut self) {
        let step = self.rng.below(5);
        self.log.push(format!("{step} seconds go by"));
        self.hand.advance(seconds(step));
    }

    fn reads(&self) {
        for (key, &floor) in self.floor.iter().enumerate() {
            let value = self.world.cache.get(&(key as u64));
            assert!(value.is_none_or(|value| value >= floor), "get gives the old {value:?} of {key}, not {floor}");
        }
    }

    /// All loads end well, and no task moves that is not woken: a lost wake leaves it standing.
    fn comes_to_an_end(&mut self) {
        loop {
            let gates = std::mem::take(&mut self.world.source().gates);
            let no_gates = gates.is_empty();
            gates.into_iter().for_each(|gate| gate.send(End::Brings));
            match self.running.iter().position(|one| one.task.is_woken()) {
                Some(at) => self.poll(at),
                None if no_gates => break,
                None => {}
            }
        }
        let left: Vec<_> = self.running.iter().map(|one| one.what).collect();
        assert!(left.is_empty(), "they wait for ever: {left:?}");
        assert_eq!(self.world.cache.stats().flights, 0, "flights are left");
    }
}

fn chosen(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |number| number.parse().expect("a number"))
}

#[test]
fn in_no_schedule_comes_anything_old_back_or_is_anybody_forgotten() {
    let (schedules, seed) = (chosen("SCHEDULES", SCHEDULES), chosen("SEED", SEED));
    let all = move || (seed..seed + schedules).for_each(|seed| Schedule::new(seed).run());
    // Who wants many more has the time for it.
    if schedules > SCHEDULES { all() } else { watched(all) }
}
