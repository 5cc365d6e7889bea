//! The cache, its source of truth, and all that is under way.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use brindle::{Cache, Cause, Clock, Lease, Loaded, MockClock, Removed, WhileWriting};

use super::tasks::Running;
use super::value::Value;
use super::{Act, Armed, End, Hook, KEYS, Setup};
use crate::Hasher;
use crate::executor::{Sender, oneshot};
use crate::tracked::Ledger;

pub type PerKey = [u64; KEYS];

/// What user code panics with on purpose: not by `panic!`, which would end the run.
struct Planned;

#[derive(Clone, Debug)]
pub struct Broken;

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

pub struct World {
    pub setup: Setup,
    pub cache: Cache<u8, Value, Hasher>,
    hand: MockClock,
    ledger: Arc<Ledger>,
    /// Each state of a key is a number that grows.
    pub truth: [Cell<u64>; KEYS],
    /// Nothing less may be seen of a key.
    floor: [Cell<u64>; KEYS],
    /// How often loads of a key were, or may have been, fenced.
    fences: [Cell<u64>; KEYS],
    /// Writes that have begun and not returned.
    busy: [Cell<u64>; KEYS],
    /// Writes through the cache that wait or run.
    pub lines: [Cell<u64>; KEYS],
    /// Keys of the loads that run, and how often they were fenced when they began.
    underway: RefCell<Vec<(usize, u64)>>,
    /// Loads that wait for their end.
    pub gates: RefCell<Vec<Sender<End>>>,
    pub tasks: RefCell<Vec<Option<Running>>>,
    pub leases: RefCell<Vec<Held>>,
    armed: RefCell<Vec<(Hook, Armed)>>,
    /// How many calls of user code are on the stack.
    depth: Cell<u32>,
    /// A thread is on its way to its loader: if another load began now, in the middle of its call, it would wait for that for ever.
    pub blocking: Cell<bool>,
    /// `fences` when the call began that is under way.
    since: Cell<PerKey>,
}

/// A lease that is held, and what will be brought.
pub struct Held {
    pub lease: Lease<u8, Value>,
    pub state: u64,
    pub underway: Underway,
}

/// Loads that run until this is dropped.
pub struct Underway(Vec<(usize, u64)>);

impl Drop for Underway {
    fn drop(&mut self) {
        let world = World::current();
        let mut underway = world.underway.borrow_mut();
        for over in &self.0 {
            let at = underway.iter().position(|one| one == over).expect("it began");
            underway.swap_remove(at);
        }
    }
}

/// A write through the cache: however it ends, what it wrote is known then.
pub struct Reached {
    key: usize,
    state: Cell<u64>,
}

impl Reached {
    pub fn begins(key: usize) -> Self {
        let lines = &World::current().lines[key];
        lines.set(lines.get() + 1);
        Self { key, state: Cell::new(0) }
    }

    /// The source has a new state.
    pub fn reach(&self) -> Value {
        let world = World::current();
        world.fenced(self.key);
        self.state.set(world.advance(self.key));
        world.value(self.state.get())
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        let world = World::current();
        world.lines[self.key].set(world.lines[self.key].get() - 1);
        world.fenced(self.key);
        world.know(self.key, self.state.get());
    }
}

/// The cache runs code of the user's: whatever is armed happens now.
pub fn fire(hook: Hook) {
    let Some(world) = WORLD.with_borrow(Option::clone) else { return };
    if world.blocking.get() {
        return;
    }
    let armed = {
        let mut armed = world.armed.borrow_mut();
        armed.iter().position(|one| one.0 == hook).map(|at| armed.remove(at).1)
    };
    match armed {
        Some(Armed::Run(act)) => {
            world.depth.set(world.depth.get() + 1);
            world.act(act);
            world.depth.set(world.depth.get() - 1);
        }
        Some(Armed::Panic) if !thread::panicking() => planned(),
        _ => {}
    }
}

pub fn planned() -> ! {
    resume_unwind(Box::new(Planned))
}

/// The result, unless user code panicked as planned.
pub fn survives<R>(call: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => Some(result),
        Err(panic) if panic.is::<Planned>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

impl World {
    pub fn enter(setup: Setup) -> Rc<Self> {
        let (clock, hand) = Clock::mock();
        let world = Rc::new(Self {
            setup,
            cache: cache(setup, clock),
            hand,
            ledger: Arc::default(),
            truth: Default::default(),
            floor: Default::default(),
            fences: Default::default(),
            busy: Default::default(),
            lines: Default::default(),
            underway: RefCell::default(),
            gates: RefCell::default(),
            tasks: RefCell::default(),
            leases: RefCell::default(),
            armed: RefCell::default(),
            depth: Cell::default(),
            blocking: Cell::default(),
            since: Cell::default(),
        });
        WORLD.set(Some(Rc::clone(&world)));
        world
    }

    pub fn current() -> Rc<Self> {
        WORLD.with_borrow(Option::clone).expect("it was entered")
    }

    pub fn arm(&self, hook: Hook, armed: Armed) {
        self.armed.borrow_mut().push((hook, armed));
    }

    pub fn act(&self, act: Act) {
        match act {
            Act::Start(kind, key, other) => self.start(kind, key as usize, other as usize),
            Act::Poll(at) => self.poll_any(at),
            Act::PollWoken => self.poll_woken(),
            Act::End(at, end) => self.end_load(at, end),
            Act::Cancel(at) => self.cancel(at),
            Act::Write(write, key) => self.write(write, key as usize),
            Act::Load(key, end) => self.load(key as usize, end),
            Act::WriteThrough(key, end) => self.write_through(key as usize, end),
            Act::Lease(key) => self.lease(key as usize),
            Act::EndLease(at, end) => self.end_lease(at, end),
            Act::Read(key) => self.read(key as usize),
            Act::Snapshot => self.snapshot(),
            Act::Advance(seconds) => self.hand.advance(Duration::from_secs(seconds.count())),
        }
    }

    /// Is this within a call of the cache? Then it is part of that call's load, if it is one.
    pub fn is_within(&self) -> bool {
        self.depth.get() > 0
    }

    pub fn floors(&self) -> PerKey {
        self.floor.each_ref().map(Cell::get)
    }

    /// A write that has returned, or a load: everybody who comes later must know.
    pub fn know(&self, key: usize, state: u64) {
        self.floor[key].set(self.floor[key].get().max(state));
    }

    /// Makes a call that may load.
    pub fn calls<R>(&self, call: impl FnOnce() -> R) -> R {
        let outer = self.since.replace(self.fences.each_ref().map(Cell::get));
        let result = call();
        self.since.set(outer);
        result
    }

    pub fn advance(&self, key: usize) -> u64 {
        self.truth[key].set(self.truth[key].get() + 1);
        self.truth[key].get()
    }

    pub fn fenced(&self, key: usize) {
        self.fences[key].set(self.fences[key].get() + 1);
    }

    pub fn busy(&self, key: usize) -> &Cell<u64> {
        &self.busy[key]
    }

    pub fn value(&self, state: u64) -> Value {
        Value::new(state, self.ledger.value(1))
    }

    pub fn loaded(&self, state: u64) -> Loaded<Value> {
        let loaded = Loaded::new(self.value(state));
        if self.setup.sourced { loaded.at(state) } else { loaded }
    }

    /// Loads begin: no other of the same key runs that nothing has fenced. (Where loads may be overdue, one may; and while a write
    /// waits or runs nobody here knows what it has fenced.)
    pub fn begins(&self, keys: impl Iterator<Item = usize>) -> Underway {
        // The lease was given when the call had begun, and perhaps fenced already: then it is in nobody's way.
        let lead = |key: usize| if self.since.get()[key] == self.fences[key].get() { self.fences[key].get() } else { u64::MAX };
        let began: Vec<_> = keys.map(|key| (key, lead(key))).collect();
        for one in &began {
            let quiet = self.lines[one.0].get() == 0 && self.busy[one.0].get() == 0 && one.1 != u64::MAX;
            let doubled = quiet && self.underway.borrow().contains(one);
            assert!(!doubled || self.setup.load_timeout, "two loads of key {} at once", one.0);
            self.underway.borrow_mut().push(*one);
        }
        Underway(began)
    }

    /// Waits until it is told how it ends.
    pub async fn end(&self) -> Result<(), Broken> {
        let (end, gate) = oneshot();
        self.gates.borrow_mut().push(end);
        self.comes_to(gate.await)
    }

    pub fn comes_to(&self, end: End) -> Result<(), Broken> {
        match end {
            End::Brings => Ok(()),
            End::Fails => Err(Broken),
            End::Panics => planned(),
        }
    }

    fn end_load(&self, at: u8, end: End) {
        let gate = {
            let mut gates = self.gates.borrow_mut();
            let some = gates.len();
            (some > 0).then(|| gates.swap_remove(usize::from(at) % some))
        };
        gate.into_iter().for_each(|gate| gate.send(end));
    }

    /// What holds after every step.
    pub fn check(&self) {
        for (key, floor) in self.floors().into_iter().enumerate() {
            let seen = self.cache.iter().find(|entry| usize::from(*entry.key()) == key).map(|entry| entry.state);
            assert!(seen.is_none_or(|seen| seen >= floor), "{seen:?} of key {key} is there after {floor}");
        }
        assert!(self.cache.weight() <= self.cache.capacity(), "heavier than its capacity");
    }

    /// All loads end well, and no task moves that is not woken: a lost wake-up leaves it standing.
    pub fn finish(self: Rc<Self>) {
        self.armed.borrow_mut().clear();
        let leases = std::mem::take(&mut *self.leases.borrow_mut());
        drop(leases);
        loop {
            let gates = std::mem::take(&mut *self.gates.borrow_mut());
            let no_gates = gates.is_empty();
            gates.into_iter().for_each(|gate| gate.send(End::Brings));
            if !self.poll_woken_once() && no_gates {
                break;
            }
        }
        let left: Vec<_> = self.tasks.borrow().iter().flatten().map(|running| running.kind).collect();
        assert!(left.is_empty(), "they wait for ever: {left:?}");
        self.check();
        assert_eq!(self.cache.stats().flights, 0, "flights are left");
        assert_eq!(*self.underway.borrow(), [], "loads run, and nobody waits");
        WORLD.take();
        let world = Rc::into_inner(self).expect("nobody else has it");
        let ledger = Arc::clone(&world.ledger);
        drop(world);
        assert_eq!(ledger.alive(), [], "values were leaked");
    }
}

fn cache(setup: Setup, clock: Clock) -> Cache<u8, Value, Hasher> {
    let seconds = Duration::from_secs;
    let mut builder = Cache::builder()
        .hasher(Hasher::default())
        .stripes(1 + usize::from(setup.two_stripes))
        .max_capacity(if setup.tight { 2 } else { 100 })
        .clock(clock)
        .while_writing(if setup.hide { WhileWriting::Miss } else { WhileWriting::ServeOld })
        .weigher(|_, _| {
            fire(Hook::Weigher);
            1
        })
        .group_by(|key: &u8, _: &Value| [*key % 2])
        .removal_listener(|Removed { entry, cause, .. }: Removed<u8, Value>| {
            if !matches!(cause, Cause::Evicted | Cause::Expired) {
                World::current().fenced(usize::from(*entry.key()));
            }
            fire(Hook::Listener);
        });
    if setup.load_timeout {
        builder = builder.load_timeout(seconds(10));
    }
    if setup.negative_ttl {
        builder = builder.negative_ttl(seconds(2));
    }
    if setup.stale {
        builder = builder.time_to_live(seconds(8)).serve_stale(seconds(5));
        if setup.fail_safe {
            builder = builder.fail_safe();
        }
    }
    if setup.refresh_after {
        builder = builder.refresh_after(seconds(4));
    }
    builder.build().expect("these settings are sound")
}
