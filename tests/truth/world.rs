//! The cache, its source, and all that is under way; each step of a run.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use brindle::Cache;
use brindle::EqualSource;
use brindle::Lease;
use brindle::Loaded;
use brindle::MockClock;
use brindle::Ordering;
use brindle::Version;

use crate::choices::Choices;
use crate::choices::KEYS;
use crate::choices::Spread;
use crate::judge::Instance;
use crate::judge::Origin;
use crate::judge::Said;
use crate::source::Commit;
use crate::source::Source;
use crate::source::Value;
use crate::steps::Step;
use crate::tasks::Shared;

type TheCache = Cache<u8, Value, Spread>;
pub type Checked = Result<(), String>;

pub struct Held {
    pub lease: Lease<u8, Value>,
    pub born: u64,
    pub value: Option<Value>,
}

/// What a task comes to.
pub enum Done {
    Read(Vec<(u8, Option<Value>)>),
    Written { key: u8, claims: bool, version: Option<Version> },
}

pub struct Task {
    /// What was said when its call began.
    pub said: Option<Said>,
    pub future: Pin<Box<dyn Future<Output = Done>>>,
    pub writes: Option<u8>,
    pub shows: Arc<Mutex<Option<Value>>>,
    pub began: Arc<AtomicBool>,
}

pub struct World {
    pub choices: Choices,
    pub cache: TheCache,
    pub clock: MockClock,
    pub time: u64,
    pub step: u64,
    pub source: Source,
    pub shared: Arc<Shared>,
    pub instances: Vec<Instance>,
    pub said: Said,
    pub leases: Vec<Held>,
    pub tasks: Vec<Task>,
    pub versions: [Option<Version>; KEYS],
}

impl World {
    pub fn new(seed: u64) -> Self {
        let choices = Choices::draw(seed);
        let shared = Arc::new(Shared::default());
        let (cache, clock) = choices.build(&shared);
        World {
            choices,
            cache,
            clock,
            time: 0,
            step: 0,
            source: Source::default(),
            shared,
            instances: Vec::new(),
            said: Said::default(),
            leases: Vec::new(),
            tasks: Vec::new(),
            versions: [None; KEYS],
        }
    }

    pub fn run(mut self, steps: &[Step]) -> Checked {
        for step in steps {
            self.step += 1;
            *self.shared.step.lock().unwrap() = self.step;
            self.change(*step).and_then(|()| self.go_on(*step)).map_err(|why| format!("{step:?} at {}: {why}", self.step))?;
            self.look_around().map_err(|why| format!("after {step:?} at {}: {why}", self.step))?;
        }
        Ok(())
    }

    pub fn instance(&mut self, commit: Commit, born: u64, origin: Origin) -> Value {
        let id = self.instances.len();
        self.instances.push(Instance { born, origin });
        Value { id, key: commit.key, lsn: commit.lsn, group: commit.group, weight: commit.weight }
    }

    /// In per-key order, what was refused while something was forgotten is not remembered itself; or nothing is refused, by choice.
    pub fn is_lenient(&self) -> bool {
        self.choices.ordering == Ordering::PerKey && self.cache.stats().tombstones_lost > 0
    }

    pub fn judge(&self, said: &Said, key: u8, value: Value) -> Checked {
        said.allows(key, value, self.instances[value.id], self.is_lenient())
    }

    pub fn judge_now(&self, key: u8, value: Option<Value>) -> Checked {
        value.map_or(Ok(()), |value| self.judge(&self.said, key, value))
    }

    /// Every key is read after every step.
    pub fn look_around(&mut self) -> Checked {
        for key in 0..KEYS as u8 {
            if !self.choices.counts_reads {
                self.judge_now(key, self.cache.peek(&key))?;
                continue;
            }
            let Some(entry) = self.cache.get_ref(&key) else { continue };
            self.judge_now(key, Some(*entry.value()))?;
            let now = entry.version();
            let Some(before) = self.versions[usize::from(key)].replace(now) else { continue };
            if now.revision() < before.revision()
                || self.choices.ordering == Ordering::Global && self.choices.claims == 0 && now < before
            {
                return Err(format!("key {key} went back from {before} to {now}"));
            }
        }
        Ok(())
    }

    /// What is there of a key, by whatever way it came.
    pub fn resident(&self, key: u8) -> Option<Value> {
        self.cache.peek(&key)
    }

    /// The version of what a write or removal ends for good.
    pub fn seals(&self, key: u8) -> u64 {
        let Some(value) = self.resident(key) else { return 0 };
        match self.instances[value.id].origin {
            Origin::Event | Origin::Load { claims: true } => value.lsn,
            Origin::Load { claims: false } | Origin::Local => 0,
        }
    }

    /// What was removed may come again at its own version where several states may share one; what was written over may not.
    pub fn removed(&mut self, key: u8, seal: u64) {
        self.fence(key, if self.choices.equal == EqualSource::Refuse { seal } else { 0 });
    }

    pub fn fence(&mut self, key: u8, seal: u64) {
        let at = usize::from(key);
        self.said.fenced[at] = self.step;
        self.said.sealed[at] = self.said.sealed[at].max(seal);
    }

    pub fn fence_loads(&mut self, key: u8) {
        self.said.loads_fenced[usize::from(key)] = (self.step, self.resident(key).map(|value| value.id));
    }

    pub fn tell(&mut self, key: u8, lsn: u64) {
        let told = &mut self.said.told[usize::from(key)];
        *told = (*told).max(lsn);
    }

    /// An event that may come now: in per-key order nothing lags longer than tombstones live.
    pub fn event(&self, dice: u64) -> Option<Commit> {
        let in_time = |commit: &Commit| commit.time + self.choices.tombstone_ttl > self.time;
        self.source.any(dice).filter(|commit| self.choices.ordering == Ordering::Global || in_time(commit))
    }

    pub fn commit(&mut self, key: u8, dice: u64) -> Commit {
        self.source.commit(key, dice, self.time)
    }

    pub fn check_sealed(&self, commit: Commit) -> Checked {
        if commit.lsn <= self.said.sealed[usize::from(commit.key)] && !self.is_lenient() {
            return Err(format!("{commit:?} comes back, which was replaced or removed"));
        }
        Ok(())
    }

    pub fn local(&self) -> Origin {
        if self.choices.versioned_by { Origin::Event } else { Origin::Local }
    }

    pub fn claims(&self, dice: u64) -> bool {
        match self.choices.claims {
            0 => false,
            1 => dice >> 16 & 1 == 0,
            _ => true,
        }
    }

    pub fn loaded(&self, value: Value) -> Loaded<Value> {
        let claims = self.instances[value.id].origin == Origin::Load { claims: true };
        if claims { Loaded::new(value).at(value.lsn) } else { Loaded::new(value) }
    }
}
