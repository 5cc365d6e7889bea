//! The two queues of a stripe: first-in-first-out rings of slot numbers, and where in them each slot is.

use super::Slot;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Queue {
    Window = 0,
    Main = 1,
}

/// Where a slot is: the place in its ring, and the top bit set for an entry of main.
#[derive(Clone, Copy, Default)]
struct Place(u32);

const IN_MAIN: u32 = 1 << 31;

impl Place {
    fn new(queue: Queue, at: usize) -> Self {
        Place(at as u32 | if queue == Queue::Main { IN_MAIN } else { 0 })
    }

    fn queue(self) -> Queue {
        if self.0 & IN_MAIN == 0 { Queue::Window } else { Queue::Main }
    }

    fn at(self) -> usize {
        (self.0 & !IN_MAIN) as usize
    }
}

#[derive(Default)]
struct Ring {
    slots: Vec<Slot>,
    /// Where the oldest entry is; means nothing while `len` is 0.
    front: usize,
    len: usize,
    weight: u64,
}

impl Ring {
    /// The place `ahead` of the front.
    fn place(&self, ahead: usize) -> usize {
        let at = self.front + ahead;
        if at < self.slots.len() { at } else { at - self.slots.len() }
    }

    /// The same entries in an array of another size, the oldest first.
    fn resized(&self, size: usize) -> Vec<Slot> {
        let mut slots = Vec::with_capacity(size);
        slots.extend((0..self.len).map(|ahead| self.slots[self.place(ahead)]));
        slots.resize(size, 0);
        slots
    }
}

/// Each slot is in at most one of the queues.
#[derive(Default)]
pub(super) struct Queues {
    rings: [Ring; 2],
    places: Vec<Place>,
}

impl Queues {
    pub(super) fn reserve(&mut self, slots: usize) {
        self.places.reserve_exact(slots.saturating_sub(self.places.len()));
    }

    pub(super) fn len(&self, queue: Queue) -> usize {
        self.rings[queue as usize].len
    }

    pub(super) fn weight(&self, queue: Queue) -> u64 {
        self.rings[queue as usize].weight
    }

    #[inline]
    pub(super) fn front(&self, queue: Queue) -> Option<Slot> {
        let ring = &self.rings[queue as usize];
        (ring.len > 0).then(|| ring.slots[ring.front])
    }

    /// The entry so many places behind the front one.
    #[inline]
    pub(super) fn behind_front(&self, queue: Queue, ahead: usize) -> Option<Slot> {
        let ring = &self.rings[queue as usize];
        (ring.len > ahead).then(|| ring.slots[ring.place(ahead)])
    }

    #[inline]
    pub(super) fn push_back(&mut self, queue: Queue, slot: Slot, weight: u64) {
        let ring = &mut self.rings[queue as usize];
        if ring.len == ring.slots.len() {
            return self.push_back_grown(queue, slot, weight);
        }
        let at = ring.place(ring.len);
        ring.slots[at] = slot;
        ring.len += 1;
        ring.weight += weight;
        self.set_place(slot, Place::new(queue, at));
    }

    /// In place of one that leaves from the middle comes the newest of its queue: no gap is left, and what comes and goes at once
    /// moves nothing.
    #[inline]
    pub(super) fn remove(&mut self, slot: Slot, weight: u64) {
        let place = self.places[slot as usize];
        let ring = &mut self.rings[place.queue() as usize];
        ring.len -= 1;
        ring.weight -= weight;
        if place.at() == ring.front {
            ring.front = ring.place(1);
            return;
        }
        let newest = ring.slots[ring.place(ring.len)];
        ring.slots[place.at()] = newest;
        self.places[newest as usize] = place;
    }

    pub(super) fn move_to_main(&mut self, slot: Slot, weight: u64) {
        self.remove(slot, weight);
        self.push_back(Queue::Main, slot, weight);
    }

    /// Puts `new` where `old` is.
    #[inline]
    pub(super) fn replace(&mut self, old: Slot, new: Slot, old_weight: u64, new_weight: u64) {
        let place = self.places[old as usize];
        let ring = &mut self.rings[place.queue() as usize];
        ring.weight = ring.weight - old_weight + new_weight;
        ring.slots[place.at()] = new;
        self.set_place(new, place);
    }

    /// The front entry becomes the back one.
    #[inline]
    pub(super) fn rotate(&mut self, queue: Queue) {
        let ring = &mut self.rings[queue as usize];
        let (from, to) = (ring.front, ring.place(ring.len % ring.slots.len().max(1)));
        ring.front = ring.place(1);
        if from != to {
            let slot = ring.slots[from];
            ring.slots[to] = slot;
            self.places[slot as usize] = Place::new(queue, to);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Queues::default();
    }

    pub(super) fn memory(&self) -> usize {
        let slots: usize = self.rings.iter().map(|ring| ring.slots.capacity()).sum();
        slots * size_of::<Slot>() + self.places.capacity() * size_of::<Place>()
    }

    fn set_place(&mut self, slot: Slot, place: Place) {
        match self.places.get_mut(slot as usize) {
            Some(known) => *known = place,
            None => self.set_first_place(slot, place),
        }
    }

    #[cold]
    fn set_first_place(&mut self, slot: Slot, place: Place) {
        let wanted = slot as usize + 1;
        if wanted > self.places.capacity() {
            self.places.reserve_exact(wanted - self.places.len() + wanted / 8);
        }
        self.places.resize(wanted, Place::default());
        self.places[slot as usize] = place;
    }

    #[cold]
    fn push_back_grown(&mut self, queue: Queue, slot: Slot, weight: u64) {
        let len = self.rings[queue as usize].len;
        self.resize(queue, len + len / 8 + 8);
        // What one queue gains the other has mostly lost.
        let other = if queue == Queue::Main { Queue::Window } else { Queue::Main };
        let Ring { slots, len, .. } = &self.rings[other as usize];
        if len + len / 4 + 8 < slots.len() {
            self.resize(other, len + len / 8 + 8);
        }
        self.push_back(queue, slot, weight);
    }

    fn resize(&mut self, queue: Queue, size: usize) {
        let ring = &mut self.rings[queue as usize];
        ring.slots = ring.resized(size);
        ring.front = 0;
        for (at, &slot) in ring.slots[..ring.len].iter().enumerate() {
            self.places[slot as usize] = Place::new(queue, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queues: &mut Queues, queue: Queue) -> Vec<Slot> {
        let mut slots = Vec::new();
        while let Some(slot) = queues.front(queue) {
            slots.push(slot);
            queues.remove(slot, 1);
        }
        slots
    }

    #[test]
    fn keeps_order_through_replace_and_rotate() {
        let mut queues = Queues::default();
        for slot in 0..5 {
            queues.push_back(Queue::Main, slot, 1);
        }
        queues.push_back(Queue::Window, 9, 1);
        queues.replace(2, 7, 1, 1);
        queues.replace(9, 8, 1, 1);
        queues.rotate(Queue::Main);
        assert_eq!(drain(&mut queues, Queue::Main), [1, 7, 3, 4, 0]);
        assert_eq!(drain(&mut queues, Queue::Window), [8]);
    }

    #[test]
    fn the_newest_fills_a_gap() {
        let mut queues = Queues::default();
        for slot in 0..5 {
            queues.push_back(Queue::Window, slot, 1);
        }
        queues.remove(1, 1);
        queues.remove(3, 1);
        assert_eq!(drain(&mut queues, Queue::Window), [0, 4, 2]);
    }

    #[test]
    fn a_full_ring_turns_and_grows_in_order() {
        let mut queues = Queues::default();
        for slot in 0..8 {
            queues.push_back(Queue::Main, slot, 1);
        }
        (0..3).for_each(|_| queues.rotate(Queue::Main));
        queues.push_back(Queue::Main, 8, 1);
        queues.remove(3, 1);
        queues.push_back(Queue::Window, 3, 1);
        assert_eq!(drain(&mut queues, Queue::Main), [4, 5, 6, 7, 0, 1, 2, 8]);
        assert_eq!(drain(&mut queues, Queue::Window), [3]);
    }

    #[test]
    fn weights_add_up() {
        const HEAVY: u64 = 1 << 56;
        let mut queues = Queues::default();
        queues.push_back(Queue::Main, 0, HEAVY);
        queues.push_back(Queue::Main, 1, HEAVY);
        assert_eq!(queues.weight(Queue::Main), 2 * HEAVY);
        queues.replace(0, 2, HEAVY, 3);
        queues.remove(1, HEAVY);
        assert_eq!((queues.weight(Queue::Main), queues.len(Queue::Main)), (3, 1));
    }
}
