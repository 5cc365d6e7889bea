//! Pure decisions: the current state of a key and a request in, the outcome out. No locks, no clocks, no values.

pub(crate) mod swap;
pub(crate) mod tombstone;
pub(crate) mod version;
