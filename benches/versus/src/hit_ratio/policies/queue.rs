//! A doubly linked list of keys, oldest in front, that knows its length and weight. Every step takes constant time.

use crate::hit_ratio::trace::Key;
use crate::hit_ratio::trace::Weights;

pub struct Queue<'a> {
    /// Of each key, and at last of the end: what is after it (in front: the oldest) and before it (the newest).
    links: Vec<Link>,
    weights: Weights<'a>,
    len: usize,
    weight: u64,
}

#[derive(Clone, Copy)]
struct Link {
    before: Key,
    after: Key,
}

const ABSENT: Link = Link { before: Key::MAX, after: Key::MAX };

impl<'a> Queue<'a> {
    pub fn new(weights: Weights<'a>) -> Self {
        let end = weights.keys() as Key;
        let mut links = vec![ABSENT; weights.keys() + 1];
        links[end as usize] = Link { before: end, after: end };
        Self { links, weights, len: 0, weight: 0 }
    }

    pub fn contains(&self, key: Key) -> bool {
        self.links[key as usize].after != ABSENT.after
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn weight(&self) -> u64 {
        self.weight
    }

    pub fn front(&self) -> Option<Key> {
        self.after(self.end())
    }

    /// The next newer one; the oldest after the end itself.
    pub fn after(&self, key: Key) -> Option<Key> {
        Some(self.links[key as usize].after).filter(|&after| after != self.end())
    }

    pub fn push_back(&mut self, key: Key) {
        debug_assert!(!self.contains(key));
        let end = self.end();
        let last = self.links[end as usize].before;
        self.links[key as usize] = Link { before: last, after: end };
        self.links[last as usize].after = key;
        self.links[end as usize].before = key;
        self.len += 1;
        self.weight += self.weights.of(key);
    }

    pub fn pop_front(&mut self) -> Option<Key> {
        let key = self.front()?;
        self.remove(key);
        Some(key)
    }

    /// Takes a key out, wherever it stands. Whether it was there.
    pub fn remove(&mut self, key: Key) -> bool {
        let there = self.contains(key);
        if there {
            let Link { before, after } = std::mem::replace(&mut self.links[key as usize], ABSENT);
            self.links[before as usize].after = after;
            self.links[after as usize].before = before;
            self.len -= 1;
            self.weight -= self.weights.of(key);
        }
        there
    }

    pub fn move_to_back(&mut self, key: Key) {
        self.remove(key);
        self.push_back(key);
    }

    /// Lets the oldest go until no more than this weight is left.
    pub fn shrink_to(&mut self, weight: u64) {
        while self.weight > weight {
            self.pop_front();
        }
    }

    fn end(&self) -> Key {
        (self.links.len() - 1) as Key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hit_ratio::trace::Trace;

    #[test]
    fn keys_come_out_as_they_went_in_wherever_one_is_taken_out() {
        let trace = Trace::sized("t", [(0, 1), (1, 2), (2, 4), (3, 8)]);
        let mut queue = Queue::new(trace.weights());
        assert_eq!(queue.pop_front(), None);
        for key in 0..4 {
            queue.push_back(key);
        }
        assert!(queue.remove(2) && !queue.remove(2));
        queue.move_to_back(0);
        assert_eq!((queue.len(), queue.weight()), (3, 11));
        assert_eq!([queue.front(), queue.after(1), queue.after(3), queue.after(0)], [Some(1), Some(3), Some(0), None]);
        queue.shrink_to(10);
        assert_eq!([queue.pop_front(), queue.pop_front(), queue.pop_front()], [Some(3), Some(0), None]);
        assert!(queue.is_empty() && queue.weight() == 0);
    }
}
