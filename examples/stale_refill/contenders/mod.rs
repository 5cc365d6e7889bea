//! The caches that are compared, behind one small face.

mod brindle;
mod moka;
mod plain;

use std::time::Duration;

use crate::common::error::Error;
use crate::database::Reader;
use crate::database::Row;

/// A cache in front of the database.
pub(crate) trait Contender: Sync {
    fn name(&self) -> &'static str;

    /// The row, from the cache or else from the database.
    fn read(&self, key: u64, database: &Reader) -> Result<Row, Error>;

    /// The row's update is committed; when this returns, the cache has been told.
    fn written(&self, key: u64);
}

/// The name of the contender that must never be stale.
pub(crate) const BRINDLE: &str = "Brindle";

/// All of them, each with room for `capacity` rows.
pub(crate) fn all(capacity: usize, time_to_live: Duration) -> Vec<Box<dyn Contender>> {
    vec![
        Box::new(plain::Plain::new(capacity, time_to_live)),
        Box::new(moka::Moka::new(capacity, time_to_live)),
        Box::new(brindle::Brindle::new(capacity)),
    ]
}
