//! Requests that LRU serves well: what was asked for lately is asked for again, however often it was before.

use crate::workload::Draw;
use crate::workload::Keys;

/// Of all keys asked for so far, ordered by when that was last, the d-th is asked for with a chance of about one in d, up to half
/// of `keys`; one request in sixteen is for a new key.
pub fn requests(requests: usize, keys: u64) -> Vec<u64> {
    let mut draws = Keys::new(Draw::Uniform(keys));
    let mut stack = Stack::new(requests);
    let deepest = (keys as f64 / 2.0).max(2.0);
    let mut fresh = 0..;
    (0..requests)
        .map(|_| {
            let depth = deepest.powf(draws.below(1 << 32) as f64 / (1_u64 << 32) as f64) as usize;
            let known = draws.below(16) > 0 && depth <= stack.len();
            let key = if known { stack.take(depth) } else { fresh.next().expect("endless") };
            stack.push(key);
            key
        })
        .collect()
}

/// Keys in the order of their last use. A place a request, of which those still taken are counted by a Fenwick tree.
struct Stack {
    keys: Vec<u64>,
    taken: Vec<usize>,
    len: usize,
}

impl Stack {
    fn new(requests: usize) -> Self {
        let places = requests.next_power_of_two();
        Self { keys: Vec::with_capacity(requests), taken: vec![0; places + 1], len: 0 }
    }

    fn len(&self) -> usize {
        self.len
    }

    fn push(&mut self, key: u64) {
        self.keys.push(key);
        self.len += 1;
        self.add(self.keys.len(), 1);
    }

    /// Takes out the one used last if `depth` is 1, the one used before it if 2, and so on.
    fn take(&mut self, depth: usize) -> u64 {
        let place = self.find(self.len + 1 - depth);
        self.add(place, usize::MAX);
        self.len -= 1;
        self.keys[place - 1]
    }

    fn add(&mut self, mut place: usize, count: usize) {
        while place < self.taken.len() {
            self.taken[place] = self.taken[place].wrapping_add(count);
            place += place & place.wrapping_neg();
        }
    }

    /// The place that is the n-th taken.
    fn find(&self, mut n: usize) -> usize {
        let mut place = 0;
        let mut step = self.taken.len() - 1;
        while step > 0 {
            if place + step < self.taken.len() && self.taken[place + step] < n {
                place += step;
                n -= self.taken[place];
            }
            step /= 2;
        }
        place + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_gives_by_recency() {
        let mut stack = Stack::new(9);
        for key in 10..15 {
            stack.push(key);
        }
        assert_eq!([stack.take(1), stack.take(4), stack.take(2)], [14, 10, 12]);
        stack.push(20);
        assert_eq!((stack.len(), [stack.take(1), stack.take(2), stack.take(1)]), (3, [20, 11, 13]));
    }
}
