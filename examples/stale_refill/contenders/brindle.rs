//! Brindle, with the database's commit sequence as the version of what it holds.

use brindle::Cache;
use brindle::Ordering;

use super::BRINDLE;
use super::Contender;
use crate::database::Committed;
use crate::database::Reader;
use crate::database::Row;
use crate::error::Error;

pub(crate) struct Brindle {
    cache: Cache<u64, Row>,
}

impl Brindle {
    pub(crate) fn new(capacity: usize) -> Result<Self, Error> {
        let cache = Cache::builder()
            .max_capacity(capacity as u64)
            // One order for all keys, as a commit sequence, an LSN or a commit timestamp gives it.
            .ordering(Ordering::Global)
            .build()
            .map_err(|why| Error::Build(why.to_string()))?;
        Ok(Self { cache })
    }
}

impl Contender for Brindle {
    fn name(&self) -> &'static str {
        BRINDLE
    }

    fn read(&self, key: u64, database: &Reader) -> Result<Row, Error> {
        if let Some(row) = self.cache.get(&key) {
            return Ok(row);
        }
        let loaded = database.load(key)?;
        match self.cache.insert_at(key, loaded.row.clone(), loaded.snapshot) {
            Ok(_) => Ok(loaded.row),
            // The cache knows of a state at least as new, so the row is not stored. It may be returned: its snapshot was
            // taken after this read began, so it holds every write that had finished by then.
            Err(superseded) => Ok(superseded.value),
        }
    }

    fn written(&self, key: u64, committed: Committed) {
        // The key is dead in every snapshot below this commit: what was loaded from them is dropped, and refused if it comes later. A
        // load that saw this very commit may be stored.
        self.cache.invalidate_at(&key, committed.sequence);
    }
}
