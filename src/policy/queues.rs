//! The two queues of a stripe, linked by slot number through one array.

use super::Slot;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Queue {
    Window = 0,
    Main = 1,
}

/// Neighbours in a circular list. The top bit of `prev` is set for an entry of main.
#[derive(Clone, Copy, Default)]
struct Link {
    prev: u32,
    next: u32,
}

const IN_MAIN: u32 = 1 << 31;

impl Link {
    fn prev(self) -> Slot {
        self.prev & !IN_MAIN
    }

    fn set_prev(&mut self, slot: Slot) {
        self.prev = self.prev & IN_MAIN | slot;
    }

    fn queue(self) -> Queue {
        if self.prev & IN_MAIN == 0 { Queue::Window } else { Queue::Main }
    }
}

#[derive(Clone, Copy, Default)]
struct Ring {
    /// The oldest entry; means nothing while `len` is 0.
    front: Slot,
    len: u32,
    weight: u64,
}

/// Two first-in-first-out queues; each slot is in at most one.
#[derive(Default)]
pub(super) struct Queues {
    links: Vec<Link>,
    rings: [Ring; 2],
}

impl Queues {
    pub(super) fn reserve(&mut self, slots: usize) {
        self.links.reserve_exact(slots.saturating_sub(self.links.len()));
    }

    pub(super) fn len(&self, queue: Queue) -> usize {
        self.rings[queue as usize].len as usize
    }

    pub(super) fn weight(&self, queue: Queue) -> u64 {
        self.rings[queue as usize].weight
    }

    pub(super) fn front(&self, queue: Queue) -> Option<Slot> {
        let ring = &self.rings[queue as usize];
        (ring.len > 0).then_some(ring.front)
    }

    pub(super) fn push_back(&mut self, queue: Queue, slot: Slot, weight: u64) {
        self.make_room(slot);
        let ring = &mut self.rings[queue as usize];
        ring.len += 1;
        ring.weight += weight;
        let tag = if queue == Queue::Main { IN_MAIN } else { 0 };
        if ring.len == 1 {
            ring.front = slot;
            self.links[slot as usize] = Link { prev: slot | tag, next: slot };
            return;
        }
        let front = ring.front;
        let back = self.links[front as usize].prev();
        self.links[slot as usize] = Link { prev: back | tag, next: front };
        self.links[back as usize].next = slot;
        self.links[front as usize].set_prev(slot);
    }

    pub(super) fn remove(&mut self, slot: Slot, weight: u64) {
        let link = self.links[slot as usize];
        let ring = &mut self.rings[link.queue() as usize];
        ring.len -= 1;
        ring.weight -= weight;
        if ring.front == slot {
            ring.front = link.next;
        }
        self.links[link.prev() as usize].next = link.next;
        self.links[link.next as usize].set_prev(link.prev());
    }

    /// Puts `new` where `old` is.
    pub(super) fn replace(&mut self, old: Slot, new: Slot, old_weight: u64, new_weight: u64) {
        self.make_room(new);
        let link = self.links[old as usize];
        let ring = &mut self.rings[link.queue() as usize];
        ring.weight = ring.weight - old_weight + new_weight;
        if old == new {
            return;
        }
        if ring.front == old {
            ring.front = new;
        }
        if link.next == old {
            let tag = link.prev & IN_MAIN;
            self.links[new as usize] = Link { prev: new | tag, next: new };
            return;
        }
        self.links[new as usize] = link;
        self.links[link.prev() as usize].next = new;
        self.links[link.next as usize].set_prev(new);
    }

    /// The front entry becomes the back one.
    pub(super) fn rotate(&mut self, queue: Queue) {
        let ring = &mut self.rings[queue as usize];
        ring.front = self.links[ring.front as usize].next;
    }

    pub(super) fn clear(&mut self) {
        self.links.clear();
        self.rings = [Ring::default(); 2];
    }

    pub(super) fn memory(&self) -> usize {
        self.links.capacity() * size_of::<Link>()
    }

    fn make_room(&mut self, slot: Slot) {
        if self.links.len() <= slot as usize {
            self.links.resize(slot as usize + 1, Link::default());
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
    fn keeps_order_through_replace_rotate_and_remove() {
        let mut queues = Queues::default();
        for slot in 0..5 {
            queues.push_back(Queue::Main, slot, 1);
        }
        queues.push_back(Queue::Window, 9, 1);
        queues.replace(2, 7, 1, 1);
        queues.replace(9, 8, 1, 1);
        queues.rotate(Queue::Main);
        queues.remove(3, 1);
        assert_eq!(drain(&mut queues, Queue::Main), [1, 7, 4, 0]);
        assert_eq!(drain(&mut queues, Queue::Window), [8]);
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
