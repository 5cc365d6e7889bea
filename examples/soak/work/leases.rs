//! Leases taken by hand: filled, failed, dropped, or lost for a while and filled when their time is over.

use std::time::Duration;

use brindle::Lease;
use brindle::Leased;
use brindle::Loaded;

use crate::row::District;
use crate::row::Row;
use crate::source::Down;
use crate::source::Fate;
use crate::source::planned;

use super::Worker;

/// Leases that a worker has lost at one time.
const LOST: usize = 8;
const PATIENCE: Duration = Duration::from_millis(2);

/// A lease that nobody fills, and what would have been its value.
pub(crate) struct Lost {
    lease: Lease<u64, Row>,
    stamp: u64,
}

impl Worker<'_> {
    pub(super) fn lease(&mut self) {
        let (truth, key) = (self.truth(), self.key_of(District::is_loaded));
        let (bounds, since, fate) = (truth.bounds(key), truth.traffic.since(key), Fate::draw(&mut self.random));
        let patience = if self.one_in(2) { Some(PATIENCE) } else { None };
        match self.cache.get_or_lease(&key, patience) {
            Leased::Value(row) => truth.judge("get_or_lease", key, bounds, &row),
            Leased::Lease(lease) if self.shared.plan.loses_leases() && self.one_in(4) => self.lose(lease),
            Leased::Lease(lease) => {
                // A panic drops the lease.
                planned(|| {
                    let brought = truth.load(key, since, fate);
                    self.settle(lease, brought);
                });
            }
            Leased::Reentrant => truth.blame(|| format!("`get_or_lease` of key {key} is said to wait for itself")),
            _ => {}
        }
    }

    pub(super) fn settle(&self, lease: Lease<u64, Row>, brought: Result<Loaded<Row>, Down>) {
        match brought {
            // What cannot be stored is given back.
            Ok(loaded) => _ = lease.fill_loaded(loaded),
            Err(down) => lease.fail(down),
        }
    }

    fn lose(&mut self, lease: Lease<u64, Row>) {
        let stamp = self.truth().committed(*lease.key());
        self.left.leases.push(Lost { lease, stamp });
        if self.left.leases.len() > LOST {
            let found = self.left.leases.swap_remove(self.random.below(LOST));
            found.fill();
        }
    }
}

impl Lost {
    /// Fills it with what the source had when it was taken.
    pub(crate) fn fill(self) {
        let row = Row::new(*self.lease.key(), self.stamp, 0);
        let source = (District::of(row.key) == District::Versioned).then_some(self.stamp);
        // Mostly it comes too late, and the value comes back.
        drop(self.lease.fill_loaded(Loaded { value: row, source, ttl: None }));
    }
}
