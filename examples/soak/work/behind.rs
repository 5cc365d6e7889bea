//! Writes of keys whose source is written later.

use crate::row::District;
use crate::row::Row;

use super::Worker;

impl Worker<'_> {
    pub(super) fn write_behind(&mut self) {
        let (truth, behind) = (self.truth(), &self.shared.behind);
        if self.one_in(50) {
            // An error comes back to whoever drives the sink, and what is not written is written later.
            _ = behind.flush();
            return;
        }
        let key = self.key_of(|district| district == District::Behind);
        let _turn = truth.turn(key);
        let stamp = truth.commit(key);
        if let Ok(version) = behind.insert(key, Row::new(key, stamp, 0)) {
            behind.sink().acknowledge(key, version.revision());
            truth.raise(key, stamp);
        }
    }
}
