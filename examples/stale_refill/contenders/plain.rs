//! Cache-aside as it is written by hand: look in the map, else load and store; a write removes.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::time::Duration;
use std::time::Instant;

use super::Contender;
use crate::common::error::Error;
use crate::database::Reader;
use crate::database::Row;

/// A map behind one lock; the oldest entry makes room.
pub(crate) struct Plain {
    state: RwLock<State>,
    capacity: usize,
    time_to_live: Duration,
}

#[derive(Default)]
struct State {
    entries: HashMap<u64, Entry>,
    /// Every insert in its order; those that were replaced or removed since are skipped.
    arrivals: VecDeque<(u64, u64)>,
    inserts: u64,
}

struct Entry {
    row: Row,
    expires: Instant,
    arrival: u64,
}

impl Plain {
    pub(crate) fn new(capacity: usize, time_to_live: Duration) -> Self {
        Self { state: RwLock::default(), capacity, time_to_live }
    }

    fn get(&self, key: u64) -> Option<Row> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let entry = state.entries.get(&key)?;
        (Instant::now() < entry.expires).then(|| entry.row.clone())
    }

    fn insert(&self, key: u64, row: Row) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let arrival = state.inserts;
        state.inserts += 1;
        state.arrivals.push_back((key, arrival));
        state.entries.insert(key, Entry { row, expires: Instant::now() + self.time_to_live, arrival });
        while let Some(&(oldest, arrival)) = state.arrivals.front() {
            let resident = state.entries.get(&oldest).is_some_and(|entry| entry.arrival == arrival);
            if resident && state.entries.len() <= self.capacity {
                break;
            }
            state.arrivals.pop_front();
            if resident {
                state.entries.remove(&oldest);
            }
        }
    }
}

impl Contender for Plain {
    fn name(&self) -> &'static str {
        "plain map"
    }

    fn read(&self, key: u64, database: &Reader) -> Result<Row, Error> {
        if let Some(row) = self.get(key) {
            return Ok(row);
        }
        let row = database.load(key)?;
        self.insert(key, row.clone());
        Ok(row)
    }

    fn written(&self, key: u64) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).entries.remove(&key);
    }
}
