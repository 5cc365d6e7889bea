//! moka, as its documentation shows: `try_get_with` to read through, `invalidate` after a write.

use std::time::Duration;

use super::Contender;
use crate::common::error::Error;
use crate::database::Reader;
use crate::database::Row;

pub(crate) struct Moka {
    cache: moka::sync::Cache<u64, Row>,
}

impl Moka {
    pub(crate) fn new(capacity: usize, time_to_live: Duration) -> Self {
        let cache = moka::sync::Cache::builder().max_capacity(capacity as u64).time_to_live(time_to_live).build();
        Self { cache }
    }
}

impl Contender for Moka {
    fn name(&self) -> &'static str {
        "moka"
    }

    fn read(&self, key: u64, database: &Reader) -> Result<Row, Error> {
        self.cache.try_get_with(key, || database.load(key)).map_err(|error| Error::SharedLoad(error))
    }

    fn written(&self, key: u64) {
        self.cache.invalidate(&key);
    }
}
