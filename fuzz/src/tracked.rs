//! Values whose every copy is counted.

use std::sync::{Arc, Mutex};

/// How many copies of each value are alive.
#[derive(Default)]
pub struct Ledger(Mutex<Vec<u64>>);

impl Ledger {
    pub fn value(self: &Arc<Self>, weight: u64) -> Tracked {
        let mut copies = self.0.lock().unwrap();
        copies.push(1);
        Tracked { id: Box::new(copies.len() - 1), weight, ledger: Arc::clone(self) }
    }

    /// The values of which a copy is alive.
    pub fn alive(&self) -> Vec<usize> {
        let copies = self.0.lock().unwrap();
        (0..copies.len()).filter(|&id| copies[id] > 0).collect()
    }
}

pub struct Tracked {
    /// In a box, so that the address sanitizer sees who reads a value that was dropped.
    id: Box<usize>,
    pub weight: u64,
    ledger: Arc<Ledger>,
}

impl Tracked {
    pub fn id(&self) -> usize {
        *self.id
    }
}

impl Clone for Tracked {
    fn clone(&self) -> Self {
        let copies = &mut self.ledger.0.lock().unwrap()[self.id()];
        assert!(*copies > 0, "a dropped value was cloned");
        *copies += 1;
        Self { id: self.id.clone(), weight: self.weight, ledger: Arc::clone(&self.ledger) }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let copies = &mut self.ledger.0.lock().unwrap()[*self.id];
        assert!(*copies > 0, "a value was dropped twice");
        *copies -= 1;
    }
}
