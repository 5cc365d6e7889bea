//! Time as plain numbers: nanoseconds since the clock started.
//!
//! `clock` is the one place that asks what time it is; `deadline` computes with the answers; `wheel` keeps
//! slots in the order in which they fall due. None of them knows keys, values or the table, and none waits.

mod clock;
pub(crate) mod deadline;
mod wheel;

pub use clock::Clock;
pub use clock::MockClock;
pub use clock::TimeSource;
pub(crate) use wheel::Wheel;
