//! Brindle: with the same calls as moka, and with the same changes in a transaction.

use std::sync::Arc;

use brindle::Cache;

use super::Contender;
use crate::common::error::Error;
use crate::database::Reader;
use crate::fragment::Fragment;
use crate::fragment::Key;

pub(crate) struct Brindle {
    name: &'static str,
    cache: Cache<Key, Fragment>,
    at_once: bool,
    snapshots: bool,
}

impl Brindle {
    pub(crate) fn one_by_one(capacity: usize) -> Self {
        Self { name: "Brindle, one by one", cache: Cache::new(capacity as u64), at_once: false, snapshots: false }
    }

    pub(crate) fn at_once(capacity: usize) -> Self {
        Self { name: "Brindle, transaction", at_once: true, ..Self::one_by_one(capacity) }
    }

    pub(crate) fn at_once_with_snapshots(capacity: usize) -> Self {
        Self { name: "Brindle, snapshot", snapshots: true, ..Self::at_once(capacity) }
    }
}

impl Contender for Brindle {
    fn name(&self) -> &'static str {
        self.name
    }

    fn promises(&self) -> bool {
        self.at_once
    }

    fn read(&self, order: u64, key: Key, database: &Reader) -> Result<Fragment, Error> {
        let load = || database.order(order).map(|order| Fragment::of(key, &order)).map_err(Arc::new);
        // All who wait for the load get its error. This one cannot be cloned, so it is shared.
        self.cache.try_get_with(&key, load).map_err(|error| Error::SharedLoad(Arc::new(error)))
    }

    fn look(&self, keys: &[Key]) -> Option<Vec<Option<Fragment>>> {
        self.snapshots.then(|| self.cache.get_many_snapshot(keys))
    }

    fn written(&self, key: Key, value: Fragment, related: &[Key]) {
        if !self.at_once {
            self.cache.insert(key, value);
            for key in related {
                self.cache.invalidate(key);
            }
            return;
        }
        let committed = self.cache.transaction(|t| {
            t.insert(key, value);
            for key in related {
                t.invalidate(key);
            }
        });
        committed.expect("a transaction that expects nothing does not abort");
    }
}
