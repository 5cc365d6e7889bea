//! A SQLite file that is thrown away at the end.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::OpenFlags;
use tempfile::TempDir;

use super::error::Error;

const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// In a folder that goes away with it.
pub(crate) struct File {
    folder: TempDir,
}

impl File {
    /// An empty database with these tables.
    pub(crate) fn create(example: &str, tables: &str) -> Result<(Self, Connection), Error> {
        let folder = TempDir::with_prefix(format!("{example}-"))
            .map_err(|source| Error::Io { what: "cannot make a temporary folder".to_owned(), source })?;
        let file = Self { folder };
        let connection = file.connect(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        connection.execute_batch("PRAGMA journal_mode = WAL;")?;
        connection.execute_batch(tables)?;
        Ok((file, connection))
    }

    pub(crate) fn reader(&self) -> Result<Connection, Error> {
        self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    pub(crate) fn writer(&self) -> Result<Connection, Error> {
        self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    fn connect(&self, flags: OpenFlags) -> Result<Connection, Error> {
        let path = self.folder.path().join("rows.sqlite");
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // It need not survive a power cut.
        connection.pragma_update(None, "synchronous", "OFF")?;
        Ok(connection)
    }
}
