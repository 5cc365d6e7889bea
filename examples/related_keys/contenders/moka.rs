//! moka: `try_get_with` to read through, `insert` and `invalidate` after a commit.

use super::Contender;
use crate::common::error::Error;
use crate::database::Reader;
use crate::fragment::Fragment;
use crate::fragment::Key;

pub(crate) struct Moka {
    cache: moka::sync::Cache<Key, Fragment>,
}

impl Moka {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { cache: moka::sync::Cache::new(capacity as u64) }
    }
}

impl Contender for Moka {
    fn name(&self) -> &'static str {
        "moka, one by one"
    }

    fn promises(&self) -> bool {
        false
    }

    fn read(&self, order: u64, key: Key, database: &Reader) -> Result<Fragment, Error> {
        self.cache
            .try_get_with(key, || database.order(order).map(|order| Fragment::of(key, &order)))
            .map_err(|error| Error::SharedLoad(error))
    }

    fn written(&self, key: Key, value: Fragment, related: &[Key]) {
        self.cache.insert(key, value);
        for key in related {
            self.cache.invalidate(key);
        }
    }
}
