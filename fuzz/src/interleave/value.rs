//! A state of the source. Its copies are counted, and making one runs code of the user's.

use super::Hook;
use super::world::fire;
use crate::tracked::Tracked;

pub struct Value {
    pub state: u64,
    tracked: Tracked,
}

impl Value {
    pub fn new(state: u64, tracked: Tracked) -> Self {
        Self { state, tracked }
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        fire(Hook::Clone);
        Self { state: self.state, tracked: self.tracked.clone() }
    }
}
