//! The source of truth: versioned rows in a SQLite file.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::TransactionBehavior;
use rusqlite::params;

use crate::common::error::Error;
use crate::common::file::File;
use crate::common::progress::Progress;
use crate::common::random::mix;
use crate::common::words::grouped;

const BODY_BYTES: usize = 128;
const FIRST_VERSION: u64 = 1;
const ROWS_A_FILL: usize = 10_000;
const TABLES: &str = "CREATE TABLE rows (key INTEGER PRIMARY KEY, version INTEGER NOT NULL, body BLOB NOT NULL);";

/// What a cache holds: cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) version: u64,
    pub(crate) body: Arc<[u8]>,
}

pub(crate) struct Database {
    file: File,
    load_delay: Duration,
}

impl Database {
    /// A new database with `rows` rows at their first version.
    pub(crate) fn create(rows: usize, load_delay: Duration, stop: &AtomicBool, progress: &mut Progress) -> Result<Self, Error> {
        let (file, mut connection) = File::create("stale_refill", TABLES)?;
        let mut filled = 0;
        while filled < rows {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            let end = rows.min(filled + ROWS_A_FILL);
            let transaction = connection.transaction()?;
            {
                let mut insert = transaction.prepare_cached("INSERT INTO rows VALUES (?1, ?2, ?3)")?;
                for key in filled as u64..end as u64 {
                    insert.execute(params![key, FIRST_VERSION, body_of(key, FIRST_VERSION)])?;
                }
            }
            transaction.commit()?;
            filled = end;
            progress.show(|| format!("filling the database: {} of {} rows", grouped(filled as u64), grouped(rows as u64)));
        }
        progress.clear();
        Ok(Self { file, load_delay })
    }

    pub(crate) fn reader(&self) -> Result<Reader, Error> {
        let connection = self.file.reader()?;
        Ok(Reader { connection, delay: self.load_delay, loads: Cell::new(0) })
    }

    pub(crate) fn writer(&self) -> Result<Writer, Error> {
        Ok(Writer { connection: self.file.writer()? })
    }

    /// The version of every row, by key.
    pub(crate) fn versions(&self) -> Result<Vec<u64>, Error> {
        let connection = self.file.reader()?;
        let mut select = connection.prepare("SELECT version FROM rows ORDER BY key")?;
        let versions = select.query_map([], |row| row.get(0))?.collect::<Result<Vec<u64>, _>>()?;
        Ok(versions)
    }
}

/// One thread's way to read.
pub(crate) struct Reader {
    connection: Connection,
    delay: Duration,
    loads: Cell<u64>,
}

impl Reader {
    /// Loads a row, as it was after every commit that had finished by then.
    pub(crate) fn load(&self, key: u64) -> Result<Row, Error> {
        self.loads.set(self.loads.get() + 1);
        let mut select = self.connection.prepare_cached("SELECT version, body FROM rows WHERE key = ?1")?;
        let row = select.query_row([key], |row| {
            let body = Arc::from(row.get_ref(1)?.as_blob()?);
            Ok(Row { version: row.get(0)?, body })
        })?;
        // The way back over a network, where there is one.
        if !self.delay.is_zero() {
            thread::sleep(self.delay);
        }
        Ok(row)
    }

    /// Loads so far.
    pub(crate) fn loads(&self) -> u64 {
        self.loads.get()
    }
}

/// One thread's way to write.
pub(crate) struct Writer {
    connection: Connection,
}

impl Writer {
    /// Gives the row its next version, which is returned, and a new body.
    pub(crate) fn update(&mut self, key: u64) -> Result<u64, Error> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version =
            transaction.prepare_cached("SELECT version + 1 FROM rows WHERE key = ?1")?.query_row([key], |row| row.get(0))?;
        transaction.prepare_cached("UPDATE rows SET version = ?2, body = ?3 WHERE key = ?1")?.execute(params![
            key,
            version,
            body_of(key, version)
        ])?;
        transaction.commit()?;
        Ok(version)
    }
}

/// The only body that this version of this row ever had.
pub(crate) fn body_of(key: u64, version: u64) -> [u8; BODY_BYTES] {
    let mut body = [0; BODY_BYTES];
    let mut word = mix(key).wrapping_add(version);
    for chunk in body.chunks_exact_mut(size_of::<u64>()) {
        word = mix(word.wrapping_add(0x9e37_79b9_7f4a_7c15));
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    body
}
