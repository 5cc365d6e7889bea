//! Brindle, as its documentation shows, and with the same two calls as moka: `try_get_with` to read through, `invalidate` after a
//! write.

use std::sync::Arc;

use brindle::Cache;

use super::BRINDLE;
use super::Contender;
use crate::common::error::Error;
use crate::database::Reader;
use crate::database::Row;

pub(crate) struct Brindle {
    cache: Cache<u64, Row>,
}

impl Brindle {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { cache: Cache::new(capacity as u64) }
    }
}

impl Contender for Brindle {
    fn name(&self) -> &'static str {
        BRINDLE
    }

    fn read(&self, key: u64, database: &Reader) -> Result<Row, Error> {
        // All who wait for the load get its error. This one cannot be cloned, so it is shared.
        self.cache.try_get_with(&key, || database.load(key).map_err(Arc::new)).map_err(|error| Error::SharedLoad(Arc::new(error)))
    }

    fn written(&self, key: u64) {
        // Fences a load that is under way: what it has read goes to those who wait for it already, but is not stored, and who comes
        // later does not join it.
        self.cache.invalidate(&key);
    }
}
