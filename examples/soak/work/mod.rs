//! What the worker threads do: each draws one operation after the other.

#[cfg(feature = "write-behind")]
mod behind;
mod leases;
mod loads;
mod reads;
mod related;
mod through;
mod wide;
mod writes;

use brindle::Cache;
use brindle::EntryRef;

use crate::common::random::Random;
use crate::epoch::Shared;
use crate::row::District;
use crate::row::Row;
use crate::truth::Truth;

pub(crate) use self::leases::Lost;
pub(crate) use self::writes::Message;

/// Guards that a worker keeps for long.
pub(crate) const GUARDS: usize = 32;

pub(crate) struct Worker<'a> {
    shared: &'a Shared,
    cache: Cache<u64, Row>,
    random: Random,
    left: Left,
}

/// What a worker holds when its time is up.
#[derive(Default)]
pub(crate) struct Left {
    pub(crate) guards: Vec<EntryRef<u64, Row>>,
    pub(crate) leases: Vec<Lost>,
}

impl Left {
    /// Whatever became of the cache, a guard shows what it showed, and a lease can still be given back or filled.
    pub(crate) fn let_go(self, truth: &Truth, fills: bool) {
        for guard in &self.guards {
            if let Some(fault) = guard.fault(*guard.key()) {
                truth.blame(|| format!("a guard of key {} that outlived the cache shows {fault}: {guard:?}", guard.key()));
            }
        }
        drop(self.guards);
        self.leases.into_iter().filter(|_| fills).for_each(Lost::fill);
    }
}

impl<'a> Worker<'a> {
    pub(crate) fn new(shared: &'a Shared, cache: Cache<u64, Row>, number: u64) -> Self {
        Self { shared, cache, random: Random::new(shared.plan.seed, 100 + number), left: Left::default() }
    }

    pub(crate) fn finish(self) -> Left {
        self.left
    }

    /// Guards and leases that it holds.
    pub(crate) fn held(&self) -> (u64, u64) {
        (self.left.guards.len() as u64, self.left.leases.len() as u64)
    }

    fn truth(&self) -> &'a Truth {
        &self.shared.truth
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.random.below(many) == 0
    }

    fn key(&mut self) -> u64 {
        self.shared.zipf.draw(&mut self.random)
    }

    /// A key of the district, near one that is drawn.
    fn key_of(&mut self, wanted: impl Fn(District) -> bool) -> u64 {
        let drawn = self.key();
        (0..).map(|step| (drawn + step) % self.truth().keys()).find(|&key| wanted(District::of(key))).unwrap_or(drawn)
    }

    /// One operation.
    pub(crate) fn step(&mut self) {
        match self.random.below(1000) {
            0..500 => self.read(),
            500..640 => self.load(),
            640..690 => self.run_tasks(),
            690..710 => self.lease(),
            710..830 => self.write(),
            830..860 => self.write_through(),
            860..910 => self.transfer(),
            910..960 => self.count_on(),
            960..980 => self.end_something(),
            980..998 => self.write_behind(),
            _ => self.do_something_wide(),
        }
    }

    #[cfg(not(feature = "write-behind"))]
    fn write_behind(&mut self) {
        self.write();
    }
}
