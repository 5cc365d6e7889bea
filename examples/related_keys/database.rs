//! The source of truth: orders and their lines in a SQLite file.

use std::cell::Cell;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::TransactionBehavior;
use rusqlite::params;

use crate::args::Args;
use crate::common::error::Error;
use crate::common::file::File;
use crate::common::progress::Progress;
use crate::common::words::grouped;
use crate::fragment::Order;
use crate::fragment::price;

const FIRST_VERSION: u64 = 1;
const ORDERS_A_FILL: usize = 1_000;
const TABLES: &str = "
    CREATE TABLE orders (id INTEGER PRIMARY KEY, version INTEGER NOT NULL);
    CREATE TABLE lines (id INTEGER, line INTEGER, price INTEGER NOT NULL, PRIMARY KEY (id, line)) WITHOUT ROWID;";

pub(crate) struct Database {
    file: File,
    lines: usize,
    load_delay: Duration,
}

impl Database {
    /// A new database with every order at its first version.
    pub(crate) fn create(args: &Args, stop: &AtomicBool, progress: &mut Progress) -> Result<Self, Error> {
        let (file, mut connection) = File::create("related_keys", TABLES)?;
        let mut filled = 0;
        while filled < args.orders {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            let end = args.orders.min(filled + ORDERS_A_FILL);
            fill(&mut connection, filled as u64..end as u64, args.lines)?;
            filled = end;
            progress.show(|| format!("filling the database: {} orders", grouped(filled as u64)));
        }
        progress.clear();
        Ok(Self { file, lines: args.lines, load_delay: args.load_delay })
    }

    pub(crate) fn reader(&self) -> Result<Reader, Error> {
        Ok(Reader { connection: self.file.reader()?, delay: self.load_delay, loads: Cell::new(0) })
    }

    pub(crate) fn writer(&self) -> Result<Writer, Error> {
        Ok(Writer { connection: self.file.writer()?, lines: self.lines })
    }

    /// The version of every order.
    pub(crate) fn versions(&self) -> Result<Vec<u64>, Error> {
        let connection = self.file.reader()?;
        let mut select = connection.prepare("SELECT version FROM orders ORDER BY id")?;
        let versions = select.query_map([], |row| row.get(0))?.collect::<Result<Vec<u64>, _>>()?;
        Ok(versions)
    }
}

fn fill(connection: &mut Connection, orders: std::ops::Range<u64>, lines: usize) -> Result<(), Error> {
    let transaction = connection.transaction()?;
    {
        let mut order = transaction.prepare_cached("INSERT INTO orders VALUES (?1, ?2)")?;
        let mut line = transaction.prepare_cached("INSERT INTO lines VALUES (?1, ?2, ?3)")?;
        for id in orders {
            order.execute(params![id, FIRST_VERSION])?;
            for at in 0..lines {
                line.execute(params![id, at, price(id, at, FIRST_VERSION)])?;
            }
        }
    }
    Ok(transaction.commit()?)
}

/// One thread's way to read.
pub(crate) struct Reader {
    connection: Connection,
    delay: Duration,
    loads: Cell<u64>,
}

impl Reader {
    /// The order as it is after some commit, no earlier than the last that had finished by now. One statement sees one state.
    pub(crate) fn order(&self, id: u64) -> Result<Order, Error> {
        self.loads.set(self.loads.get() + 1);
        let mut select = self.connection.prepare_cached(
            "SELECT orders.version, lines.price FROM orders JOIN lines ON lines.id = orders.id WHERE orders.id = ?1 ORDER BY lines.line",
        )?;
        let mut order = Order { version: 0, prices: Vec::new() };
        let mut rows = select.query([id])?;
        while let Some(row) = rows.next()? {
            order.version = row.get(0)?;
            order.prices.push(row.get(1)?);
        }
        // The way back over a network, where there is one.
        if !self.delay.is_zero() {
            thread::sleep(self.delay);
        }
        Ok(order)
    }

    /// Loads so far.
    pub(crate) fn loads(&self) -> u64 {
        self.loads.get()
    }
}

/// One thread's way to write.
pub(crate) struct Writer {
    connection: Connection,
    lines: usize,
}

impl Writer {
    /// Gives the order its next version, with new prices, and commits.
    pub(crate) fn update(&mut self, id: u64) -> Result<Order, Error> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version: u64 = transaction
            .prepare_cached("UPDATE orders SET version = version + 1 WHERE id = ?1 RETURNING version")?
            .query_row([id], |row| row.get(0))?;
        let prices: Vec<u64> = (0..self.lines).map(|line| price(id, line, version)).collect();
        {
            let mut update = transaction.prepare_cached("UPDATE lines SET price = ?3 WHERE id = ?1 AND line = ?2")?;
            for (line, price) in prices.iter().enumerate() {
                update.execute(params![id, line, price])?;
            }
        }
        transaction.commit()?;
        Ok(Order { version, prices })
    }
}
