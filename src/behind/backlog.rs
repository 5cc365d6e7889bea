//! What the sink has yet to write: of each key the newest value, in the order in which the keys came. A plain state machine: whoever has
//! it has it alone, and what it gives back is to be dropped when its lock is gone.

use std::collections::BTreeMap;

use hashbrown::HashTable;

use crate::entry::EntryRef;
use crate::rule::version::Version;

/// A value and its place in the queue. Pinned, so that it stays whatever the cache does.
struct Item<K, V> {
    entry: EntryRef<K, V>,
    weight: u64,
    place: u64,
}

/// All there is of a key: the value that waits, and the one that the sink is at. One of the two is there.
struct Slot<K, V> {
    hash: u64,
    waiting: Option<Item<K, V>>,
    flying: Option<Item<K, V>>,
}

impl<K, V> Slot<K, V> {
    fn newest(&self) -> &Item<K, V> {
        self.waiting.as_ref().or(self.flying.as_ref()).expect("a key without values has no slot")
    }
}

/// Where a value goes, for as long as nothing changes, and the version of what it covers.
pub(super) struct Place(Option<(usize, Version)>);

impl Place {
    /// What is pending of the key and would be covered.
    pub(super) fn covers(&self) -> Option<Version> {
        self.0.map(|(_, version)| version)
    }
}

pub(super) struct Backlog<K, V> {
    /// Keys that it may have.
    most: usize,
    slots: Vec<Option<Slot<K, V>>>,
    free: Vec<usize>,
    index: HashTable<usize>,
    /// The slots that wait, by place.
    order: BTreeMap<u64, usize>,
    /// The slots that the sink is at, by place.
    flight: Vec<usize>,
    /// Of the newest values.
    weight: u64,
    next_place: u64,
}

impl<K, V> Backlog<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Backlog {
            most,
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            order: BTreeMap::new(),
            flight: Vec::new(),
            weight: 0,
            next_place: 0,
        }
    }

    /// Keys that are not written.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// What the newest values weigh.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// Keys that the sink is not at.
    pub(super) fn waiting(&self) -> usize {
        self.order.len()
    }

    /// A mark between what came before and what will come.
    pub(super) fn mark(&self) -> u64 {
        self.next_place
    }

    /// Is everything written that came before the mark?
    pub(super) fn is_written_before(&self, mark: u64) -> bool {
        let waits = self.order.first_key_value().is_some_and(|(&place, _)| place < mark);
        let flies = self.flight.first().and_then(|&slot| self.slot(slot).flying.as_ref()).is_some_and(|item| item.place < mark);
        !waits && !flies
    }

    fn slot(&self, slot: usize) -> &Slot<K, V> {
        self.slots[slot].as_ref().expect("a slot that is named is in use")
    }

    fn slot_mut(&mut self, slot: usize) -> &mut Slot<K, V> {
        self.slots[slot].as_mut().expect("a slot that is named is in use")
    }

    /// Puts the newest value of a key where it belongs, and gives back the one that it covers.
    pub(super) fn push(&mut self, Place(place): Place, hash: u64, entry: EntryRef<K, V>, weight: u64) -> Option<EntryRef<K, V>> {
        let slot = place.map_or_else(|| self.add_slot(hash), |(slot, _)| slot);
        let before = if place.is_some() { self.slot(slot).newest().weight } else { 0 };
        self.weight = self.weight - before + weight;
        let end = self.next_place;
        let waiting = &mut self.slots[slot].as_mut().expect("a slot that is named is in use").waiting;
        if let Some(covered) = waiting {
            // It keeps its place: a key that is written all the time is not put off for ever.
            let place = covered.place;
            return waiting.replace(Item { entry, weight, place }).map(|item| item.entry);
        }
        *waiting = Some(Item { entry, weight, place: end });
        self.order.insert(end, slot);
        self.next_place += 1;
        None
    }

    fn add_slot(&mut self, hash: u64) -> usize {
        let fresh = Some(Slot { hash, waiting: None, flying: None });
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = fresh;
                slot
            }
            None => {
                self.slots.push(fresh);
                self.slots.len() - 1
            }
        };
        let slots = &self.slots;
        self.index.insert_unique(hash, slot, |&slot| slots[slot].as_ref().map_or(0, |slot| slot.hash));
        slot
    }

    fn remove_slot(&mut self, slot: usize) {
        let hash = self.slot(slot).hash;
        if let Ok(found) = self.index.find_entry(hash, |&other| other == slot) {
            found.remove();
        }
        self.slots[slot] = None;
        self.free.push(slot);
    }

    /// The next batch, with the hashes of its keys: the sink is at it from here on.
    pub(super) fn take(&mut self, limit: usize) -> Vec<(u64, EntryRef<K, V>)> {
        let mut batch = Vec::new();
        while batch.len() < limit
            && let Some((_, number)) = self.order.pop_first()
        {
            self.flight.push(number);
            let slot = self.slot_mut(number);
            slot.flying = slot.waiting.take();
            batch.extend(slot.flying.as_ref().map(|item| (slot.hash, item.entry.clone())));
        }
        batch
    }

    /// The sink has written what it was at.
    pub(super) fn landed(&mut self) -> Vec<EntryRef<K, V>> {
        let mut written = Vec::new();
        for number in std::mem::take(&mut self.flight) {
            let slot = self.slot_mut(number);
            let item = slot.flying.take();
            if slot.waiting.is_none() {
                self.weight -= item.as_ref().map_or(0, |item| item.weight);
                self.remove_slot(number);
            }
            written.extend(item.map(|item| item.entry));
        }
        written
    }

    /// The sink has not written what it was at: it goes back to its place, or what is newer comes there.
    pub(super) fn give_back(&mut self) -> Vec<EntryRef<K, V>> {
        let mut covered = Vec::new();
        for number in std::mem::take(&mut self.flight) {
            let slot = self.slot_mut(number);
            let Some(item) = slot.flying.take() else { continue };
            let place = item.place;
            let newer = match &mut slot.waiting {
                None => {
                    slot.waiting = Some(item);
                    None
                }
                Some(newer) => {
                    covered.push(item.entry);
                    Some(std::mem::replace(&mut newer.place, place))
                }
            };
            if let Some(newer) = newer {
                self.order.remove(&newer);
            }
            self.order.insert(place, number);
        }
        covered
    }

    /// The newest value of every key, in no order, by place.
    pub(super) fn all(&self) -> Vec<(u64, EntryRef<K, V>)> {
        let newest = self.slots.iter().flatten().map(Slot::newest);
        newest.map(|item| (item.place, item.entry.clone())).collect()
    }

    /// Gives everything up: the newest values, with the hashes of their keys.
    pub(super) fn drain(&mut self) -> Vec<(u64, EntryRef<K, V>)> {
        let slots = std::mem::take(&mut self.slots);
        *self = Self::new(self.most);
        let newest = |slot: Slot<K, V>| slot.waiting.or(slot.flying).map(|item| (slot.hash, item.entry));
        slots.into_iter().flatten().filter_map(newest).collect()
    }
}

impl<K: Eq, V> Backlog<K, V> {
    /// Where a value of `key` may go. `None` while there is no room for the key, or while all that waits would weigh more than
    /// `most_weight` with it.
    pub(super) fn place(&self, hash: u64, key: &K, weight: u64, most_weight: u64) -> Option<Place> {
        let is = |&slot: &usize| self.slot(slot).newest().entry.key() == key;
        let slot = self.index.find(hash, is).copied();
        let before = slot.map_or(0, |slot| self.slot(slot).newest().weight);
        let fits = (self.weight - before).saturating_add(weight) <= most_weight;
        let room = slot.is_some() || self.index.len() < self.most;
        (fits && room).then(|| Place(slot.map(|slot| (slot, self.slot(slot).newest().entry.version()))))
    }
}
