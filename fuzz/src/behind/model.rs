//! What is pending, as a list, and what the source has.

use std::collections::BTreeMap;

use brindle::Version;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Item {
    place: u64,
    key: u8,
    id: usize,
    weight: u64,
}

pub struct Model {
    keys: usize,
    batch: usize,
    room: u64,
    waiting: Vec<Item>,
    /// What the sink is at.
    flying: Vec<Item>,
    next: u64,
    pub closed: bool,
    /// Of the sink, one after another.
    pub failures: usize,
    source: BTreeMap<u8, (usize, Version)>,
    /// The newest that was ever taken.
    newest: BTreeMap<u8, (usize, Version)>,
}

impl Model {
    pub fn new(keys: usize, batch: usize, room: u64) -> Self {
        let (waiting, flying, source, newest) = Default::default();
        Self { keys, batch, room, waiting, flying, next: 0, closed: false, failures: 0, source, newest }
    }

    /// Between what came before and what will come.
    pub fn mark(&self) -> u64 {
        self.next
    }

    pub fn is_written_before(&self, mark: u64) -> bool {
        self.all().iter().all(|item| item.place >= mark)
    }

    /// The newest of each key, in the order of the queue.
    fn all(&self) -> Vec<Item> {
        let covered = |item: &&Item| self.waiting.iter().any(|newer| newer.key == item.key);
        let mut all: Vec<Item> = self.flying.iter().filter(|item| !covered(item)).chain(&self.waiting).copied().collect();
        all.sort_unstable_by_key(|item| item.place);
        all
    }

    pub fn pending(&self) -> Vec<(u8, usize)> {
        self.all().into_iter().map(|item| (item.key, item.id)).collect()
    }

    pub fn newest(&self, key: u8) -> Option<usize> {
        self.all().into_iter().find(|item| item.key == key).map(|item| item.id)
    }

    /// Is there room for such a value?
    pub fn takes(&self, key: u8, weight: u64) -> bool {
        let others: Vec<Item> = self.all().into_iter().filter(|item| item.key != key).collect();
        let known = others.len() < self.all().len();
        let weighs: u64 = others.iter().map(|item| item.weight).sum();
        !self.closed && (known || others.len() < self.keys) && weighs + weight <= self.room
    }

    /// A key that waits keeps its place.
    pub fn inserted(&mut self, key: u8, id: usize, weight: u64, version: Version) {
        assert!(self.takes(key, weight), "taken, and there was no room");
        let before = self.newest.insert(key, (id, version));
        assert!(before.is_none_or(|(_, before)| before < version), "{version} after {before:?}");
        match self.waiting.iter_mut().find(|item| item.key == key) {
            Some(item) => (item.id, item.weight) = (id, weight),
            None => {
                self.waiting.push(Item { place: self.next, key, id, weight });
                self.next += 1;
            }
        }
    }

    /// A read found this, or nothing.
    pub fn saw(&self, key: u8, found: Option<usize>) {
        let pending = self.newest(key);
        assert!(pending.is_none() || pending == found, "{found:?} of key {key}, of which {pending:?} is pending");
    }

    /// The sink got this batch: the first that wait.
    pub fn take(&mut self, batch: impl Iterator<Item = (u8, usize, Version)>) {
        assert!(self.flying.is_empty(), "two batches at once");
        self.waiting.sort_unstable_by_key(|item| item.place);
        let taken = self.batch.min(self.waiting.len());
        self.flying = self.waiting.drain(..taken).collect();
        let batch: Vec<_> = batch.collect();
        assert!(self.flying.iter().map(|item| (item.key, item.id)).eq(batch.iter().map(|item| (item.0, item.1))), "{batch:?}");
        for (key, id, version) in batch {
            let before = self.source.get(&key);
            assert!(before.is_none_or(|before| before.1 <= version), "{version} of key {key} after {before:?}");
            // Whatever the sink says, it may have written it.
            self.source.insert(key, (id, version));
        }
    }

    pub fn ended(&mut self, well: bool) {
        let flying = std::mem::take(&mut self.flying);
        self.failures = if well { 0 } else { self.failures + 1 };
        if well {
            return;
        }
        for item in flying {
            match self.waiting.iter_mut().find(|newer| newer.key == item.key) {
                Some(newer) => newer.place = item.place,
                None => self.waiting.push(item),
            }
        }
    }

    pub fn check_written(&self) {
        assert_eq!(self.pending(), []);
        assert_eq!(self.source, self.newest, "the source has another state");
    }
}
