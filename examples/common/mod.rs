//! What the examples share: flags, threads that take turns, a database file, who is judged by what, and how it is said.

pub(crate) mod error;
pub(crate) mod file;
pub(crate) mod flags;
pub(crate) mod ledger;
pub(crate) mod progress;
pub(crate) mod random;
pub(crate) mod terminal;
pub(crate) mod turn;
pub(crate) mod words;
